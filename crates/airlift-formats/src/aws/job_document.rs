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

use super::{Elements, Fault, Format, MessageError, Sink, Text, Value, emit::Emitter, topic};

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
    elements: Elements<'a>,
    protocol: Protocol,
}

impl<'a> Iterator for Files<'a> {
    type Item = File<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        File::read(&self.elements.next()?, self.protocol).ok()
    }
}

impl<'a> AfrOta<'a, Files<'a>> {
    /// Reads a document whose files are to come by `protocol`; none if it is a document of another kind.
    ///
    /// # Errors
    /// It is one of this kind, and wrong, or `protocol` is not among those that it has.
    pub fn parse(document: &Value<'a>, protocol: Protocol) -> Result<Option<Self>, MessageError> {
        let [afr_ota] = document.fields(&["afr_ota"])?;
        let Some(update) = afr_ota else {
            return Ok(None);
        };
        let [protocols, stream, files] = update.fields(&["protocols", "streamname", "files"])?;
        let list = protocols.ok_or(update.missing("protocols"))?;
        let mut protocols = Protocols::default();
        for element in list.elements()? {
            let name = element.text()?;
            protocols.mqtt |= name == *Protocol::Mqtt.name();
            protocols.http |= name == *Protocol::Http.name();
        }
        if !protocols.has(protocol) {
            return Err(list.fault(Fault::Content));
        }
        let stream = match stream {
            Some(field) => Some(field.name(topic::MAX_STREAM_NAME_LEN, false)?),
            None if protocol == Protocol::Mqtt => return Err(update.missing("streamname")),
            None => None,
        };
        let list = files.ok_or(update.missing("files"))?;
        let files = Files {
            elements: list.elements()?,
            protocol,
        };
        let mut ids = [0_u8; 32];
        let mut count = 0;
        for element in files.elements.clone() {
            count += 1;
            let id = File::read(&element, protocol)?.id;
            let seen = ids.get_mut(usize::from(id / 8));
            let bit = 1 << (id % 8);
            if seen.as_ref().is_some_and(|seen| **seen & bit != 0) {
                return Err(Fault::Duplicate.of("fileid", element.offset()));
            }
            if let Some(seen) = seen {
                *seen |= bit;
            }
        }
        if !(1..=MAX_FILES).contains(&count) {
            return Err(list.fault(Fault::Length));
        }
        Ok(Some(Self {
            protocols,
            stream,
            files,
        }))
    }
}

impl<'a> File<'a> {
    fn read(file: &Value<'a>, protocol: Protocol) -> Result<Self, MessageError> {
        let [size, id, path, certificate, file_type, url, auth_scheme] = file.fields(&[
            "filesize",
            "fileid",
            "filepath",
            "certfile",
            "fileType",
            "update_data_url",
            "auth_scheme",
        ])?;
        let text = |field: Option<Value<'a>>| field.map(|field| field.text()).transpose();
        let size = size.ok_or(file.missing("filesize"))?;
        if size.unsigned(u32::MAX)? == 0 {
            return Err(size.fault(Fault::Range));
        }
        let (signature_kind, signature) = Self::read_signature(file)?;
        let address = text(url)?;
        if protocol == Protocol::Http {
            let url = url.ok_or(file.missing("update_data_url"))?;
            if address.is_none_or(|address| address.is_empty()) {
                return Err(url.fault(Fault::Length));
            }
        }
        Ok(Self {
            id: id.ok_or(file.missing("fileid"))?.unsigned(255)? as u8,
            size: size.unsigned(u32::MAX)?,
            path: path.ok_or(file.missing("filepath"))?.text()?,
            certificate: certificate.ok_or(file.missing("certfile"))?.text()?,
            file_type: file_type
                .map(|field| field.unsigned(255))
                .transpose()?
                .map(|number| number as u8),
            url: address,
            auth_scheme: text(auth_scheme)?,
            signature,
            signature_kind,
        })
    }

    fn read_signature(file: &Value<'a>) -> Result<(SignatureKind, Text<'a>), MessageError> {
        const KINDS: [SignatureKind; 4] = [
            SignatureKind::Sha256Ecdsa,
            SignatureKind::Sha256Rsa,
            SignatureKind::Sha1Ecdsa,
            SignatureKind::Sha1Rsa,
        ];
        let found = file.fields(&KINDS.map(SignatureKind::name))?;
        let mut best = None;
        for (kind, field) in KINDS.into_iter().zip(found) {
            if let Some(field) = field {
                let text = field.text()?;
                best = best.or(Some((kind, text)));
            }
        }
        best.ok_or(file.missing(SignatureKind::Sha256Ecdsa.name()))
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
