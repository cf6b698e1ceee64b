//! Why a message is refused.

use core::fmt;

use super::base64::Base64Error;

/// What is wrong with a message, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageError {
    /// The name of the field that is wrong, as it stands in the message; empty if the message cannot be read at all.
    pub field: &'static str,
    /// Where, in bytes from the start of the message. For a field that is missing: where the object starts that should have it.
    pub offset: u32,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a message or with one of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The message ends within a value.
    Truncated,
    /// This byte cannot stand here.
    Syntax,
    /// Text that is not UTF-8.
    Encoding,
    /// Objects and lists are nested deeper than is read: 32 levels in JSON, 8 in CBOR.
    TooDeep,
    /// Something follows the message.
    Trailing,
    /// A required field is not there, or `null`.
    Missing,
    /// The field is there twice. Readers differ in which of the two they take.
    Duplicate,
    /// The value is of another type than the field has.
    Type,
    /// The number is negative, or outside of the field's limits.
    Range,
    /// The text or list is empty, or longer than it may be.
    Length,
    /// The text has characters that the field may not have, or is none of the words that it may be.
    Content,
    /// The string of bytes comes in chunks of indefinite length, which nobody sends.
    Chunked,
    /// The text is not base64.
    Base64(Base64Error),
}

impl Fault {
    pub(super) const fn of(self, field: &'static str, offset: u32) -> MessageError {
        MessageError {
            field,
            offset,
            fault: self,
        }
    }

    /// The cause as one word, for reports and logs.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Syntax => "syntax",
            Self::Encoding => "not-utf-8",
            Self::TooDeep => "too-deep",
            Self::Trailing => "trailing-bytes",
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
            Self::Type => "wrong-type",
            Self::Range => "out-of-range",
            Self::Length => "wrong-length",
            Self::Content => "not-allowed",
            Self::Chunked => "chunked",
            Self::Base64(error) => error.token(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the message ends within a value",
            Self::Syntax => "this byte cannot stand here",
            Self::Encoding => "the text is not UTF-8",
            Self::TooDeep => "nested too deep",
            Self::Trailing => "something follows the message",
            Self::Missing => "required, and not there",
            Self::Duplicate => "is there twice",
            Self::Type => "is of another type than it should be",
            Self::Range => "is a number outside of the limits",
            Self::Length => "is empty or too long",
            Self::Content => "has characters, or is a word, that may not be there",
            Self::Chunked => "comes in chunks of indefinite length",
            Self::Base64(error) => return error.fmt(f),
        })
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: ", self.offset)?;
        if !self.field.is_empty() {
            write!(f, "field {:?}: ", self.field)?;
        }
        self.fault.fmt(f)
    }
}

impl core::error::Error for MessageError {}
