//! The documents of FreeRTOS OTA jobs: which files an update has, where they are, and how they are signed.
//!
//! ```json
//! {"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-4f3c2e1a","files":[{"filepath":"firmware.bin","filesize":123456,
//!  "fileid":0,"certfile":"code-sign.pem","fileType":0,"update_data_url":null,"auth_scheme":null,"sig-sha256-ecdsa":"MEUC..."}]}}
//! ```
//!
//! The C library's parser hands out the first files before it has seen that a later one is broken, never sees more than
//! ten, takes numbers for other ones when they have more than 32 bits, and knows one kind of signature. This one reads all of the
//! document or nothing.

use super::{
    Elements, Fault, Format, MessageError, Sink, Text, Value,
    emit::Emitter,
    scan::Content,
    topic,
    value::{Node, Reader, Walk},
};

/// The most files that a document may have: what a stream may have.
pub const MAX_FILES: usize = 50;

/// How the files come to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// In blocks, by a stream.
    Mqtt,
    /// From a URL.
    Http,
}

impl Protocol {
    /// The word in the document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::Http => "HTTP",
        }
    }
}

/// How a file is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureKind {
    /// `sig-sha256-ecdsa`: the only one that the C library takes.
    Sha256Ecdsa,
    /// `sig-sha256-rsa`
    Sha256Rsa,
    /// `sig-sha1-ecdsa`
    Sha1Ecdsa,
    /// `sig-sha1-rsa`
    Sha1Rsa,
}

impl SignatureKind {
    /// The name of the member.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256Ecdsa => "sig-sha256-ecdsa",
            Self::Sha256Rsa => "sig-sha256-rsa",
            Self::Sha1Ecdsa => "sig-sha1-ecdsa",
            Self::Sha1Rsa => "sig-sha1-rsa",
        }
    }
}

/// The ways by which the files of a document can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Protocols {
    /// [`Protocol::Mqtt`]
    pub mqtt: bool,
    /// [`Protocol::Http`]
    pub http: bool,
}

impl Protocols {
    const fn has(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Mqtt => self.mqtt,
            Protocol::Http => self.http,
        }
    }
}

/// The document of an update.
///
/// `F` is the list of files: any iterator of [`File`] in one that is written, [`Files`] in one that was read.
#[derive(Debug, Clone)]
pub struct AfrOta<'a, F> {
    /// How the files can come. A document may name other ways, too, which nobody here knows.
    pub protocols: Protocols,
    /// The name of the stream: 1 to 128 of `A-Z a-z 0-9 _ -`. Without one, no file comes by [`Protocol::Mqtt`].
    pub stream: Option<&'a str>,
    /// The files, one at least.
    pub files: F,
}

/// A file of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Its number in the stream, 0 to 255. No two files have the same.
    pub id: u8,
    /// Its size in bytes, never 0.
    pub size: u32,
    /// What it is called on the device.
    pub path: Text<'a>,
    /// Which key on the device its signature is for: a path, or another name.
    pub certificate: Text<'a>,
    /// What it is, by numbers of the user's own, 0 to 255.
    pub file_type: Option<u8>,
    /// Where it is, for [`Protocol::Http`].
    pub url: Option<Text<'a>>,
    /// How the device shows that it may have it: `aws.s3.presigned`.
    pub auth_scheme: Option<Text<'a>>,
    /// The signature over all bytes of the file, as it stands in the document: base64.
    pub signature: Text<'a>,
    /// Its kind. Of several, the first one in the order of [`SignatureKind`].
    pub signature_kind: SignatureKind,
}

/// The files of a document that was read: nothing in them is wrong.
#[derive(Debug, Clone)]
pub struct Files<'a> {
    elements: Option<Elements<'a>>,
    protocol: Protocol,
}

impl<'a> Iterator for Files<'a> {
    type Item = File<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.elements.as_mut()?.next()?;
        let reader = &mut value.reader();
        Some(File::read(reader, value.offset(), self.protocol))
    }
}

impl<'a> AfrOta<'a, Files<'a>> {
    /// Reads a document whose files are to come by `protocol`; none if it is a document of another kind.
    ///
    /// # Errors
    /// It is one of this kind, and wrong, or `protocol` is not among those that it has.
    pub fn parse(document: &Value<'a>, protocol: Protocol) -> Result<Option<Self>, MessageError> {
        let mut reader = document.reader();
        let update = reader.object(document.offset(), "afr_ota");
        let update = update.map(|node| Self::read(&mut reader, node, protocol));
        reader.finish(update)
    }

    fn read(reader: &mut Reader<'a>, node: Node, protocol: Protocol) -> Self {
        let mut protocols = Protocols::default();
        if let Some((list, mut walk)) = reader.list(node, "protocols") {
            while let Some((_, node, content)) = walk.next() {
                match content {
                    Content::Text(name) if name.is(Protocol::Mqtt.name()) => protocols.mqtt = true,
                    Content::Text(name) if name.is(Protocol::Http.name()) => protocols.http = true,
                    Content::Text(_) => {}
                    _ => reader.fail(Fault::Type, "protocols", node),
                }
            }
            if !protocols.has(protocol) {
                reader.fail(Fault::Content, "protocols", list);
            }
        }
        let mut stream = None;
        if protocol == Protocol::Mqtt || reader.find(node, "streamname").is_some() {
            stream = Some(reader.identifier(node, "streamname", topic::MAX_STREAM_NAME_LEN));
        }
        let mut elements = None;
        if let Some((list, walk)) = reader.list(node, "files") {
            elements = Some(Elements(walk.clone()));
            Self::check_files(reader, list, walk, protocol);
        }
        Self {
            protocols,
            stream,
            files: Files { elements, protocol },
        }
    }

    fn check_files(reader: &mut Reader<'a>, list: Node, mut walk: Walk<'a>, protocol: Protocol) {
        let mut ids = [0_u32; 8];
        let mut count = 0;
        while let Some((_, node, _)) = walk.next() {
            count += 1;
            let id = File::read(reader, node, protocol).id;
            let bit = 1 << (id % 32);
            if let Some(seen) = ids.get_mut(usize::from(id / 32)) {
                if *seen & bit != 0 {
                    reader.fail(Fault::Duplicate, "fileid", node);
                }
                *seen |= bit;
            }
        }
        if !(1..=MAX_FILES).contains(&count) {
            reader.fail(Fault::Length, "files", list);
        }
    }
}

impl<'a> File<'a> {
    fn read(reader: &mut Reader<'a>, node: Node, protocol: Protocol) -> Self {
        let (signature_kind, signature) = Self::read_signature(reader, node);
        let file_type = reader.optional_number(node, "fileType", 255);
        let file = Self {
            size: reader.number(node, "filesize", u32::MAX),
            id: reader.number(node, "fileid", 255) as u8,
            path: reader.text(node, "filepath"),
            certificate: reader.text(node, "certfile"),
            file_type: file_type.map(|number| number as u8),
            url: match protocol {
                Protocol::Http => Some(reader.text(node, "update_data_url")),
                Protocol::Mqtt => reader.optional_text(node, "update_data_url"),
            },
            auth_scheme: reader.optional_text(node, "auth_scheme"),
            signature,
            signature_kind,
        };
        if file.size == 0 {
            reader.fail(Fault::Range, "filesize", node);
        }
        if protocol == Protocol::Http && file.url.is_some_and(|url| url.is_empty()) {
            reader.fail(Fault::Length, "update_data_url", node);
        }
        file
    }

    fn read_signature(reader: &mut Reader<'a>, node: Node) -> (SignatureKind, Text<'a>) {
        let mut best = None;
        for kind in [
            SignatureKind::Sha256Ecdsa,
            SignatureKind::Sha256Rsa,
            SignatureKind::Sha1Ecdsa,
            SignatureKind::Sha1Rsa,
        ] {
            let text = reader.optional_text(node, kind.name());
            best = best.or(text.map(|text| (kind, text)));
        }
        let usual = SignatureKind::Sha256Ecdsa;
        best.unwrap_or_else(|| (usual, reader.text(node, usual.name())))
    }
}

impl<'a, F: Iterator<Item = File<'a>> + Clone> AfrOta<'_, F> {
    /// Writes the document, with the members in the order in which AWS has them.
    pub fn emit<S: Sink + ?Sized>(&self, sink: &mut S) {
        let mut emitter = Emitter::new(Format::Json, sink);
        emitter.open(None);
        emitter.name("afr_ota");
        emitter.open(None);
        emitter.open_list("protocols");
        for protocol in [Protocol::Mqtt, Protocol::Http] {
            if self.protocols.has(protocol) {
                emitter.text_element(protocol.name());
            }
        }
        emitter.close_list();
        if let Some(stream) = self.stream {
            emitter.text("streamname", stream.into());
        }
        emitter.open_list("files");
        for file in self.files.clone() {
            emitter.element();
            emitter.open(None);
            emitter.text("filepath", file.path);
            emitter.unsigned("filesize", file.size);
            emitter.unsigned("fileid", file.id.into());
            emitter.text("certfile", file.certificate);
            if let Some(file_type) = file.file_type {
                emitter.unsigned("fileType", file_type.into());
            }
            for (name, text) in [
                ("update_data_url", file.url),
                ("auth_scheme", file.auth_scheme),
            ] {
                match text {
                    Some(text) => emitter.text(name, text),
                    None => emitter.literal(name, "null"),
                }
            }
            emitter.text(file.signature_kind.name(), file.signature);
            emitter.close(None);
        }
        emitter.close_list();
        emitter.close(None);
        emitter.close(None);
    }
}
