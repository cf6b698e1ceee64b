//! What a device asks for.

use core::fmt;

use super::super::{
    Fault, Format, MessageError, Sink, Text, Value, base64, emit::Emitter, scan::Content,
    value::Reader,
};
use super::{
    ErrorCode, MAX_BITMAP_LEN, MAX_BLOCK_COUNT, MAX_BLOCK_OFFSET, MAX_BLOCK_SIZE, MAX_FILE_ID,
    MAX_STREAM_VERSION, MAX_TOKEN_LEN, MIN_BLOCK_SIZE, Rejected,
};

/// Asks for blocks of a file.
///
/// `B` is the bitmap: bytes in a request that is written, a [`Bitmap`] in one that was read, which can have it as text. What
/// is written can have numbers that a service refuses; what was read is within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetStream<'a, B = Bitmap<'a>> {
    /// `c`: comes back with each answer. At most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<Text<'a>>,
    /// `s`: the version that the stream must have.
    pub version: Option<u32>,
    /// `f`: the file, 0 to [`MAX_FILE_ID`].
    pub file: u32,
    /// `l`: bytes in a block, [`MIN_BLOCK_SIZE`] to [`MAX_BLOCK_SIZE`].
    pub block_size: u32,
    /// `o`: the first block, at most [`MAX_BLOCK_OFFSET`]. Bits of the bitmap count from here.
    pub offset: u32,
    /// `b`: which blocks; without it, those that follow each other from `offset`.
    pub bitmap: Option<B>,
    /// `n`: how many blocks, at most [`MAX_BLOCK_COUNT`]; with a bitmap, how many of it at most.
    pub count: Option<u32>,
}

/// A set of blocks: bit 0 of byte 0 is the first one.
#[derive(Clone, Copy)]
pub struct Bitmap<'a>(Packed<'a>);

#[derive(Clone, Copy)]
enum Packed<'a> {
    Bytes(&'a [u8]),
    /// Valid base64.
    Base64(Text<'a>),
    /// Digits in pairs.
    Hex(&'a str),
}

/// Asks which files a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DescribeStream<'a> {
    /// `c`: comes back with the answer. At most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<Text<'a>>,
}

/// A request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<'a> {
    /// What to answer.
    pub answer: Rejected<'a>,
    /// What is wrong, for a log.
    pub cause: MessageError,
}

impl<'a> GetStream<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// It is none, or goes beyond the limits. The token is in the answer if it can be read.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, Refused<'a>> {
        let (mut reader, token) = parse(format, message)?;
        let root = reader.root;
        let block_size = reader.number(root, "l", MAX_BLOCK_SIZE);
        if block_size < MIN_BLOCK_SIZE {
            reader.fail(Fault::Range, "l", root);
        }
        let request = Self {
            token,
            version: reader.optional_number(root, "s", MAX_STREAM_VERSION),
            file: reader.number(root, "f", MAX_FILE_ID),
            block_size,
            offset: (reader.optional_number(root, "o", MAX_BLOCK_OFFSET)).unwrap_or(0),
            bitmap: Bitmap::read(&mut reader),
            count: reader.optional_number(root, "n", MAX_BLOCK_COUNT),
        };
        let request = reader.finish(request);
        request.map_err(|cause| refused(token, code_of(format, cause), cause))
    }
}

impl GetStream<'_, &[u8]> {
    /// Writes the request. The order of the members is that of the C library. A token that has escapes, because it was read from a message in
    /// JSON, is left out.
    pub fn emit<S: Sink + ?Sized>(&self, format: Format, sink: &mut S) {
        let mut emitter = Emitter::new(format, sink);
        let token = self.token.and_then(|token| token.as_str());
        let optional = [
            token.is_some(),
            self.version.is_some(),
            self.bitmap.is_some(),
            self.count.is_some(),
        ];
        let members = Some(3 + optional.into_iter().map(u8::from).sum::<u8>());
        emitter.open(members);
        if let Some(token) = token {
            emitter.plain_text("c", token);
        }
        if let Some(version) = self.version {
            emitter.unsigned("s", version);
        }
        self.emit_block(&mut emitter);
        if let Some(bitmap) = self.bitmap {
            emitter.bytes("b", bitmap);
        }
        if let Some(count) = self.count {
            emitter.unsigned("n", count);
        }
        emitter.close(members);
    }

    /// Writes the request for `count` blocks from `offset` as the C library of AWS does, byte for byte.
    ///
    /// In CBOR it has the token `rdy` and always the same bitmap, the four bytes `MQ==`, whose first bit is the first block:
    /// with more than one block it selects others than those that follow. In JSON it has the version 1, and no token.
    pub fn emit_as_c_library<S: Sink + ?Sized>(
        format: Format,
        file: u32,
        block_size: u32,
        offset: u32,
        count: u32,
        sink: &mut S,
    ) {
        let request = Self {
            token: Some(Text::from("rdy")),
            version: None,
            file,
            block_size,
            offset,
            bitmap: Some(b"MQ==".as_slice()),
            count: Some(count),
        };
        match format {
            Format::Cbor => request.emit(format, sink),
            Format::Json => {
                let mut emitter = Emitter::new(format, sink).spaced();
                emitter.open(None);
                emitter.unsigned("s", 1);
                request.emit_block(&mut emitter);
                emitter.unsigned("n", count);
                emitter.close(None);
            }
        }
    }

    fn emit_block<S: Sink + ?Sized>(&self, emitter: &mut Emitter<'_, S>) {
        emitter.unsigned("f", self.file);
        emitter.unsigned("l", self.block_size);
        emitter.unsigned("o", self.offset);
    }
}

impl<'a> DescribeStream<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, Refused<'a>> {
        parse(format, message).map(|(_, token)| Self { token })
    }

    /// Writes the request.
    pub fn emit<S: Sink + ?Sized>(&self, format: Format, sink: &mut S) {
        let mut emitter = Emitter::new(format, sink);
        let members = Some(u8::from(self.token.is_some()));
        emitter.open(members);
        if let Some(token) = self.token {
            emitter.text("c", token);
        }
        emitter.close(members);
    }
}

/// What all requests have in common: they are objects, and may have a token.
fn parse(format: Format, message: &[u8]) -> Result<(Reader<'_>, Option<Text<'_>>), Refused<'_>> {
    let message = Value::parse(format, message);
    let object = message.and_then(|message| message.members().map(|_| message));
    let mut reader = object
        .map_err(|cause| refused(None, invalid(format), cause))?
        .reader();
    let token = token(&mut reader);
    // A bad token is not echoed.
    match reader.finish(token) {
        Ok(token) => Ok((
            object.map_or(Reader::new(format, &[]), |object| object.reader()),
            token,
        )),
        Err(cause) => Err(refused(None, ErrorCode::InvalidRequest, cause)),
    }
}

/// A token that can be echoed.
fn token<'a>(reader: &mut Reader<'a>) -> Option<Text<'a>> {
    let token = reader.optional_text(reader.root, "c")?;
    if token.len() > MAX_TOKEN_LEN {
        reader.fail(Fault::Length, "c", reader.root);
    }
    Some(token)
}

fn refused(token: Option<Text<'_>>, code: ErrorCode, cause: MessageError) -> Refused<'_> {
    Refused {
        answer: Rejected::new(token, code),
        cause,
    }
}

const fn invalid(format: Format) -> ErrorCode {
    match format {
        Format::Json => ErrorCode::InvalidJson,
        Format::Cbor => ErrorCode::InvalidCbor,
    }
}

/// What AWS calls what is wrong with a field. The service was seen to say `InvalidCbor` for a bitmap that is a text.
fn code_of(format: Format, cause: MessageError) -> ErrorCode {
    match (cause.fault, cause.field) {
        (Fault::Type, _) => invalid(format),
        (Fault::Range, "l") => ErrorCode::BlockSizeOutOfBounds,
        (Fault::Range, "o") => ErrorCode::OffsetOutOfBounds,
        (Fault::Range, "n") => ErrorCode::BlockCountLimitExceeded,
        (Fault::Length, "b") => ErrorCode::BlockBitmapLimitExceeded,
        _ => ErrorCode::InvalidRequest,
    }
}

impl<'a> Bitmap<'a> {
    /// The set that these bytes are.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Packed::Bytes(bytes))
    }

    /// In CBOR a string of bytes. In JSON hexadecimal if it starts with `0x`, as in the documentation of AWS, and otherwise
    /// base64, as the service takes it.
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let (node, content) = reader.find(reader.root, "b")?;
        match Self::from_content(content, reader.format) {
            Ok(bitmap) => Some(bitmap),
            Err(fault) => {
                reader.fail(fault, "b", node);
                None
            }
        }
    }

    fn from_content(content: Content<'a>, format: Format) -> Result<Self, Fault> {
        let bitmap = match (content, format) {
            (Content::Bytes(bytes), _) => Self::new(bytes),
            (Content::Text(text), Format::Json) => {
                match text.as_str().and_then(|text| text.strip_prefix("0x")) {
                    Some(digits) => {
                        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                        if !is_hex || digits.len() % 2 != 0 {
                            return Err(Fault::Content);
                        }
                        Self(Packed::Hex(digits))
                    }
                    None => {
                        // No bits are no blocks: as good as an empty string of bytes in CBOR.
                        if !text.is_empty()
                            && let Some(Err(error)) = base64::decode(text).find(Result::is_err)
                        {
                            return Err(Fault::Base64(error));
                        }
                        Self(Packed::Base64(text))
                    }
                }
            }
            _ => return Err(Fault::Type),
        };
        if bitmap.bytes().nth(MAX_BITMAP_LEN).is_some() {
            return Err(Fault::Length);
        }
        Ok(bitmap)
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().count()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().next().is_none()
    }

    /// The bytes, as they are or decoded.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<'a> {
        let (bytes, base64, hex) = match self.0 {
            Packed::Bytes(bytes) => (bytes, "".into(), ""),
            Packed::Base64(text) => (&[][..], text, ""),
            Packed::Hex(digits) => (&[][..], "".into(), digits),
        };
        let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or(0) as u8;
        let hex = hex.as_bytes().chunks(2);
        let hex = hex.map(move |pair| pair.iter().fold(0, |byte, next| byte << 4 | digit(next)));
        let base64 = base64::decode(base64).map_while(Result::ok);
        bytes.iter().copied().chain(base64).chain(hex)
    }

    /// The numbers of the bits that are set, counted from 0, in rising order.
    pub fn ones(&self) -> impl Iterator<Item = u32> + Clone + use<'a> {
        let bytes = (0..)
            .step_by(8)
            .zip(self.bytes())
            .filter(|(_, byte)| *byte != 0);
        bytes.flat_map(|(first, byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| first + bit)
        })
    }
}

impl PartialEq for Bitmap<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Bitmap<'_> {}

impl fmt::Debug for Bitmap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bitmap(")?;
        for byte in self.bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
