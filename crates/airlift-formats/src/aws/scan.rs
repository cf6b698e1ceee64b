//! Where a value of a message ends, and what it is: what JSON and CBOR have in common.

use super::{Fault, Format, Text, cbor, json};

/// What a value is.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) enum Content<'a> {
    Object,
    List,
    Text(Text<'a>),
    Bytes(&'a [u8]),
    Unsigned(u32),
    /// A whole number that has a sign, or more than 32 bits.
    Beyond,
    Null,
    Other,
}

impl Content<'_> {
    /// A whole number, 0 to `max`.
    pub(super) const fn number(&self, max: u32) -> Result<u32, Fault> {
        match *self {
            Self::Unsigned(number) if number <= max => Ok(number),
            Self::Unsigned(_) | Self::Beyond => Err(Fault::Range),
            _ => Err(Fault::Type),
        }
    }
}

/// A place in a message. After an error it stands where the fault is.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte, if there is one.
    pub(super) fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next bytes, which are passed.
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or(Fault::Truncated)?;
        self.at += len;
        Ok(taken)
    }

    /// Passes white space, where the format has any.
    pub(super) fn skip_space(&mut self, format: Format) {
        if format == Format::Json {
            json::peek(self);
        }
    }

    /// Passes a value and all that is in it.
    pub(super) fn value(&mut self, format: Format) -> Result<Content<'a>, Fault> {
        match format {
            Format::Json => json::value(self),
            Format::Cbor => cbor::value(self, 0),
        }
    }
}
