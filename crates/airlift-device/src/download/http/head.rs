//! The head of a response: status line and header fields, byte by byte.

use core::fmt;

use super::field::{self, Field};

/// A head longer than this is refused: an endless one must not keep a device busy for ever.
pub const MAX_HEAD_LEN: u32 = 16 * 1024;

/// What was learned from the head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Bytes of the body.
    pub content_length: Option<u32>,
    /// Which part of the image the body is.
    pub content_range: Option<ContentRange>,
    /// MD5 of the whole image.
    pub md5: Option<[u8; 16]>,
    /// SHA-256 of the whole image.
    pub sha256: Option<[u8; 32]>,
    /// Seconds that the server asks to wait. A date in this place is passed over: a device may have no clock.
    pub retry_after: Option<u32>,
    /// The body is framed or packed in a way that hides the size of the image.
    pub(super) encoded: Option<Field>,
    version: Text<64>,
    etag: Text<80>,
}

impl Head {
    const EMPTY: Self = Self {
        status: 0,
        content_length: None,
        content_range: None,
        md5: None,
        sha256: None,
        retry_after: None,
        encoded: None,
        version: Text::EMPTY,
        etag: Text::EMPTY,
    };

    /// Version of the image, if it was sent and has no more than 64 bytes.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.get()
    }

    /// The strong validator of the image's bytes, quotes included, if one was sent and has no more than 80 bytes.
    /// A weak one is passed over: it may not be used to join two halves (RFC 9110, 13.1.5).
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.get()
    }

    /// `None` if the field may not have this value.
    fn set(&mut self, field: Field, value: &[u8]) -> Option<()> {
        match field {
            Field::ContentLength => self.content_length = Some(field::decimal(value)?),
            Field::ContentRange => self.content_range = Some(field::content_range(value)?),
            Field::Md5 => self.md5 = Some(field::hex(value)?),
            Field::Sha256 => self.sha256 = Some(field::hex(value)?),
            Field::RetryAfter => self.retry_after = field::decimal(value),
            Field::Version => self.version = Text::of(value),
            Field::ETag => {
                let text = core::str::from_utf8(value).ok()?;
                if crate::notify::esp_http::is_strong_etag(text) {
                    self.etag = Text::of(value);
                }
            }
            Field::TransferEncoding | Field::ContentEncoding => {
                if !value.eq_ignore_ascii_case(b"identity") {
                    self.encoded = Some(field);
                }
            }
        }
        Some(())
    }
}

/// The value of `Content-Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentRange {
    /// The body is bytes `first` to `last` (inclusive) of `total`.
    Bytes {
        /// Offset of the first byte.
        first: u32,
        /// Offset of the last byte.
        last: u32,
        /// Length of the image.
        total: u32,
    },
    /// No part of what was asked for exists.
    Unsatisfied {
        /// Length of the image.
        total: u32,
    },
}

/// A short text that is kept in place; empty when there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    /// Nothing if `text` is longer than `N`: half a version or half a validator would be a wrong one.
    fn of(text: &[u8]) -> Self {
        let mut kept = Self::EMPTY;
        if let (Some(place), Ok(len)) = (kept.bytes.get_mut(..text.len()), text.len().try_into()) {
            place.copy_from_slice(text);
            kept.len = len;
        }
        kept
    }

    fn get(&self) -> Option<&str> {
        let text = self.bytes.get(..usize::from(self.len))?;
        core::str::from_utf8(text).ok().filter(|s| !s.is_empty())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// Why a response cannot be read at all. (A response that can be read but is not what a device needs is a
/// [`Refusal`](super::Refusal).)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The first line is not `HTTP/1.x <status> ...`: no web server answers here.
    NotHttp,
    /// The status is not between 100 and 599, or switches to another protocol.
    BadStatus,
    /// A line of the head is no header field: no colon, a space before it, a folded line, control characters.
    BadField,
    /// This field came more than once.
    Duplicate(Field),
    /// The value of this field is not what the field may hold.
    BadValue(Field),
    /// A line that matters does not fit into the line buffer.
    LineTooLong,
    /// The head is longer than [`MAX_HEAD_LEN`].
    HeadTooLong,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's answer ")?;
        match self {
            Self::NotHttp => f.write_str("is not HTTP"),
            Self::BadStatus => f.write_str("has a status that HTTP does not know"),
            Self::BadField => f.write_str("has a line in its head that is no header field"),
            Self::Duplicate(field) => {
                f.write_str("has this header field twice: ")?;
                f.write_str(field.name())
            }
            Self::BadValue(field) => {
                f.write_str("has a malformed value in its header field ")?;
                f.write_str(field.name())
            }
            Self::LineTooLong => f.write_str("has a header field that is too long for this device"),
            Self::HeadTooLong => f.write_str("has a head that does not end"),
        }
    }
}

impl core::error::Error for HttpError {}

impl HttpError {
    /// The cause as one word for the report to the server.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::NotHttp => "not-http",
            Self::BadStatus => "bad-status",
            Self::BadField => "bad-header",
            Self::Duplicate(_) => "duplicate-header",
            Self::BadValue(_) => "bad-header-value",
            Self::LineTooLong => "header-too-long",
            Self::HeadTooLong => "head-too-long",
        }
    }
}

/// Reads the head of a response as it arrives.
#[derive(Debug)]
pub struct HeadParser<'b> {
    line: &'b mut [u8],
    /// Bytes of the current line that are in `line`.
    kept: usize,
    /// The current line did not fit.
    overflow: bool,
    /// Bytes of the head so far, those of interim responses included.
    taken: u32,
    /// Bits of the fields that were there.
    seen: u16,
    stage: Stage,
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    StatusLine,
    Fields,
    Done,
    Failed(HttpError),
}

impl<'b> HeadParser<'b> {
    /// A parser for one response. `line` holds one line of the head: 256 bytes are enough for every field that is
    /// read; longer lines of other fields are passed over.
    pub fn new(line: &'b mut [u8]) -> Self {
        Self {
            line,
            kept: 0,
            overflow: false,
            taken: 0,
            seen: 0,
            stage: Stage::StatusLine,
            head: Head::EMPTY,
        }
    }

    /// Takes the next bytes of the connection. `None`: all of them were taken and the head goes on. `Some`: the head is
    /// complete, and the body begins behind that many bytes of `input`.
    ///
    /// # Errors
    /// [`HttpError`]; the same again for every later call.
    pub fn push(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>, HttpError> {
        match self.stage {
            Stage::Done => return Ok(Some((self.head.clone(), 0))),
            Stage::Failed(error) => return Err(error),
            Stage::StatusLine | Stage::Fields => {}
        }
        for (index, &byte) in input.iter().enumerate() {
            match self.byte(byte) {
                Ok(false) => {}
                Ok(true) => {
                    self.stage = Stage::Done;
                    return Ok(Some((self.head.clone(), index + 1)));
                }
                Err(error) => {
                    self.stage = Stage::Failed(error);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Whether the head ends with this byte.
    fn byte(&mut self, byte: u8) -> Result<bool, HttpError> {
        self.taken += 1;
        if self.taken > MAX_HEAD_LEN {
            return Err(HttpError::HeadTooLong);
        }
        if byte == b'\n' {
            return self.line_end();
        }
        // What is not HTTP at all is told at its first bytes, not after 16 KiB of it.
        if self.stage == Stage::StatusLine
            && b"HTTP/1."
                .get(self.kept)
                .is_some_and(|&wanted| wanted != byte)
        {
            return Err(HttpError::NotHttp);
        }
        match self.line.get_mut(self.kept) {
            Some(place) => {
                *place = byte;
                self.kept += 1;
            }
            None => self.overflow = true,
        }
        Ok(false)
    }

    fn line_end(&mut self) -> Result<bool, HttpError> {
        let overflow = core::mem::take(&mut self.overflow);
        let kept = core::mem::take(&mut self.kept);
        let line = self.line.get(..kept).unwrap_or_default();
        // A line ends with LF; a CR before it belongs to the end (RFC 9112, 2.2).
        let line = match line.split_last() {
            Some((b'\r', rest)) if !overflow => rest,
            _ => line,
        };
        if self.stage == Stage::StatusLine {
            if overflow {
                return Err(HttpError::LineTooLong);
            }
            self.head.status = status(line)?;
            self.stage = Stage::Fields;
            return Ok(false);
        }
        if line.is_empty() && !overflow {
            if self.head.status >= 200 {
                return Ok(true);
            }
            // An interim response: the real one follows (RFC 9110, 15.2).
            self.head = Head::EMPTY;
            self.seen = 0;
            self.stage = Stage::StatusLine;
            return Ok(false);
        }
        let Some((name, value)) = name_and_value(line) else {
            // A line that was cut off may be a good one: the buffer is to blame.
            return Err(if overflow {
                HttpError::LineTooLong
            } else {
                HttpError::BadField
            });
        };
        let Some(field) = Field::of_name(name) else {
            return Ok(false);
        };
        if overflow {
            return Err(HttpError::LineTooLong);
        }
        if self.seen & field.bit() != 0 {
            return Err(HttpError::Duplicate(field));
        }
        self.seen |= field.bit();
        self.head
            .set(field, value)
            .ok_or(HttpError::BadValue(field))?;
        Ok(false)
    }
}

/// `name: value`, without the blanks around the value.
fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let value = value.get(1..)?;
    let is_control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    (field::is_token(name) && !value.iter().any(is_control)).then(|| (name, value.trim_ascii()))
}

/// `HTTP/1.x NNN` with or without a reason behind it.
fn status(line: &[u8]) -> Result<u16, HttpError> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(HttpError::NotHttp)?;
    let Some((&[minor, b' '], rest)) = rest.split_first_chunk() else {
        return Err(HttpError::NotHttp);
    };
    if !minor.is_ascii_digit() {
        return Err(HttpError::NotHttp);
    }
    let (code, reason) = rest.split_at_checked(3).ok_or(HttpError::BadStatus)?;
    let code = field::decimal(code).ok_or(HttpError::BadStatus)?;
    if !matches!(reason.first(), None | Some(b' ')) || !matches!(code, 100 | 102..=599) {
        return Err(HttpError::BadStatus);
    }
    u16::try_from(code).map_err(|_| HttpError::BadStatus)
}
