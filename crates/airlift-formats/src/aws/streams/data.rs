//! A block of a file.

use super::super::{
    Fault, Format, MessageError, Sink, Text,
    base64::{self, Base64Error},
    emit::Emitter,
    json,
    scan::Content,
    value::Reader,
};
use super::{MAX_BLOCK_ID, MAX_BLOCK_SIZE, MAX_FILE_ID};

/// A block of a file, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    /// `c`: the token of the request.
    pub token: Option<Text<'a>>,
    /// `f`: the file, 0 to [`MAX_FILE_ID`].
    pub file: u32,
    /// `i`: the number of the block, at most [`MAX_BLOCK_ID`].
    pub block: u32,
    /// `l`: bytes of the payload, by what the message says. Whoever takes the block must compare.
    pub len: u32,
    /// `p`: the bytes.
    pub payload: Payload<'a>,
}

/// The bytes of a block, as they are in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// As they are.
    Bytes(&'a [u8]),
    /// In base64, which has not been looked at.
    Base64(Text<'a>),
}

impl Payload<'_> {
    /// Copies the bytes to the start of `buffer`, and returns how many there are.
    ///
    /// # Errors
    /// They do not fit, or the text is not base64. Something may have been written into the buffer already.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<usize, Base64Error> {
        match *self {
            Self::Base64(text) => base64::decode_into(text, buffer),
            Self::Bytes(bytes) => {
                let place = buffer.get_mut(..bytes.len()).ok_or(Base64Error::TooLong)?;
                place.copy_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }
}

impl<'a> Data<'a> {
    /// Reads a message.
    ///
    /// Numbers in JSON may be text that is a number: the C library takes both.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(format, message);
        let payload = match reader.demand(reader.root, "p") {
            Some((_, Content::Text(text))) if format == Format::Json => Payload::Base64(text),
            Some((_, Content::Bytes(bytes))) => Payload::Bytes(bytes),
            found => {
                reader.fail(Fault::Type, "p", found.map_or(0, |(node, _)| node));
                Payload::Bytes(&[])
            }
        };
        let data = Self {
            token: reader.optional_text(reader.root, "c"),
            file: number(&mut reader, "f", MAX_FILE_ID),
            block: number(&mut reader, "i", MAX_BLOCK_ID),
            len: number(&mut reader, "l", MAX_BLOCK_SIZE),
            payload,
        };
        reader.finish(data)
    }

    /// Writes the message. In CBOR it is a map of indefinite length with the members in the order that AWS has.
    ///
    /// Base64 is decoded for CBOR: what of it is not base64 is left out.
    pub fn emit<S: Sink + ?Sized>(&self, format: Format, sink: &mut S) {
        let mut emitter = Emitter::new(format, sink);
        emitter.open(None);
        if let Some(token) = self.token {
            emitter.text("c", token);
        }
        emitter.unsigned("f", self.file);
        emitter.unsigned("i", self.block);
        emitter.unsigned("l", self.len);
        match (self.payload, format) {
            (Payload::Bytes(bytes), _) => emitter.bytes("p", bytes),
            (Payload::Base64(text), Format::Json) => emitter.text("p", text),
            (Payload::Base64(text), Format::Cbor) => {
                let bytes = base64::decode(text).map_while(Result::ok);
                emitter.byte_iterator("p", bytes.clone().count(), bytes);
            }
        }
        emitter.close(None);
    }
}

/// A number, which JSON may have as a text.
fn number(reader: &mut Reader<'_>, name: &'static str, max: u32) -> u32 {
    let Some((node, content)) = reader.demand(reader.root, name) else {
        return 0;
    };
    let content = match content {
        Content::Text(text) if reader.format == Format::Json => {
            json::whole_number(text.as_str().unwrap_or_default())
        }
        content => Ok(content),
    };
    match content.and_then(|content| content.number(max)) {
        Ok(number) => number,
        Err(fault) => {
            reader.fail(fault, name, node);
            0
        }
    }
}
