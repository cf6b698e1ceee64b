//! What a response means for the update, and its body.

use core::fmt;

use super::field::Field;
use super::head::{ContentRange, Head};

/// What was asked for when a download is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The `N` of `Range: bytes=N-`.
    pub offset: u32,
    /// Length of the image that was begun.
    pub total: u32,
    /// The validator that was sent in `If-Range`.
    pub etag: &'a str,
    /// SHA-256 of the image that was begun, if it is known.
    pub sha256: Option<[u8; 32]>,
}

/// What the server wants the device to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200, 206: bytes of an image follow.
    Image {
        /// Where they belong: 0, or what was asked for. 0 after a request to resume means that the image is another one
        /// (or the server cannot resume): what is there must not be joined with it.
        offset: u32,
        /// Length of the whole image.
        total: u32,
        /// Takes the bytes.
        body: Body,
    },
    /// 304, 204: nothing to do.
    UpToDate,
    /// 416 to a request to resume: what is there is of no use, ask again without a range.
    StartAgain,
    /// 429, 5xx: the server is busy or broken; come back later.
    Later {
        /// The status.
        status: u16,
        /// Seconds to wait, if the server says so.
        retry_after: Option<u32>,
    },
}

/// Why an answer is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 401: the server wants to know who asks.
    Unauthorized,
    /// 403: this device may not have it.
    Forbidden,
    /// 404: there is no such address.
    NotFound,
    /// 3xx: the image is elsewhere. Redirects are not followed: the address of the server is part of the configuration.
    Redirect(u16),
    /// A status that makes no sense here.
    Unexpected(u16),
    /// An image without `Content-Length`: its end could not be told from a broken connection.
    NoLength,
    /// An image of no bytes.
    Empty,
    /// The body is framed (`Transfer-Encoding`) or packed (`Content-Encoding`): no size, or not the image's.
    Encoded(Field),
    /// 206 though no part was asked for.
    UnaskedPart,
    /// 206 without a `Content-Range`, with another part than the one asked for, or with a length that contradicts it.
    WrongRange,
    /// 206 of an image of another length.
    OtherTotal,
    /// 206 of an image with another validator or digest.
    OtherImage,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "the server wants the device to sign in (401)",
            Self::Forbidden => "the server does not serve this device (403)",
            Self::NotFound => "the server has nothing at this address (404)",
            Self::Redirect(_) => {
                "the server sends the device to another address, which is not followed"
            }
            Self::Unexpected(_) => "the server gave an answer that makes no sense here",
            Self::NoLength => "the server did not say how long the image is",
            Self::Empty => "the server sent an image of no bytes",
            Self::Encoded(_) => {
                "the server framed or packed the image instead of sending it as it is"
            }
            Self::UnaskedPart => {
                "the server sent a part of the image though all of it was asked for"
            }
            Self::WrongRange => "the server sent another part of the image than the one asked for",
            Self::OtherTotal => {
                "the image at the server has another length than the one that was begun"
            }
            Self::OtherImage => "the image at the server is not the one that was begun",
        })?;
        match self {
            Self::Redirect(status) | Self::Unexpected(status) => write!(f, " (status {status})"),
            Self::Encoded(field) => write!(f, " ({})", field.name()),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Refusal {}

impl Refusal {
    /// The cause as one word for the report to the server.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Redirect(_) => "redirect",
            Self::Unexpected(_) => "unexpected-status",
            Self::NoLength => "no-length",
            Self::Empty => "empty",
            Self::Encoded(_) => "encoded",
            Self::UnaskedPart => "unasked-part",
            Self::WrongRange => "wrong-range",
            Self::OtherTotal => "other-total",
            Self::OtherImage => "other-image",
        }
    }
}

impl Head {
    /// What this response means. `expected` is what the request asked to resume; `None` if it asked for all.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of the body may be used.
    pub fn answer(&self, expected: Option<&Expected<'_>>) -> Result<Answer, Refusal> {
        match self.status {
            200 => self.whole(),
            206 => self.rest(expected.ok_or(Refusal::UnaskedPart)?),
            204 | 304 => Ok(Answer::UpToDate),
            416 if expected.is_some() => Ok(Answer::StartAgain),
            429 | 500..=599 => Ok(Answer::Later {
                status: self.status,
                retry_after: self.retry_after,
            }),
            401 => Err(Refusal::Unauthorized),
            403 => Err(Refusal::Forbidden),
            404 => Err(Refusal::NotFound),
            300..=399 => Err(Refusal::Redirect(self.status)),
            other => Err(Refusal::Unexpected(other)),
        }
    }

    fn whole(&self) -> Result<Answer, Refusal> {
        let total = self.body_length()?;
        Ok(Answer::Image {
            offset: 0,
            total,
            body: Body { missing: total },
        })
    }

    fn rest(&self, expected: &Expected<'_>) -> Result<Answer, Refusal> {
        let length = self.body_length()?;
        let Some(ContentRange::Bytes { first, last, total }) = self.content_range else {
            return Err(Refusal::WrongRange);
        };
        if total != expected.total {
            return Err(Refusal::OtherTotal);
        }
        // The parser made sure that first <= last < total.
        if first != expected.offset || last != total - 1 || length != total - first {
            return Err(Refusal::WrongRange);
        }
        let other_digest = matches!((self.sha256, expected.sha256), (Some(a), Some(b)) if a != b);
        if self.etag() != Some(expected.etag) || other_digest {
            return Err(Refusal::OtherImage);
        }
        Ok(Answer::Image {
            offset: first,
            total,
            body: Body { missing: length },
        })
    }

    fn body_length(&self) -> Result<u32, Refusal> {
        if let Some(field) = self.encoded {
            return Err(Refusal::Encoded(field));
        }
        match self.content_length {
            None => Err(Refusal::NoLength),
            Some(0) => Err(Refusal::Empty),
            Some(length) => Ok(length),
        }
    }
}

/// The bytes of the image, as many as the head promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    missing: u32,
}

impl Body {
    /// The part of `input` that belongs to the image: all of it, or less at the end. What a server sends behind the
    /// length that it announced is not looked at.
    #[must_use]
    pub fn push<'i>(&mut self, input: &'i [u8]) -> &'i [u8] {
        let wanted = usize::try_from(self.missing).unwrap_or(usize::MAX);
        let taken = input.get(..wanted).unwrap_or(input);
        // `taken` is no longer than `missing`.
        self.missing -= taken.len() as u32;
        taken
    }

    /// Bytes that have not come yet.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// To be called when the connection ends.
    ///
    /// # Errors
    /// The connection ended before the image did.
    pub fn finish(&self) -> Result<(), Truncated> {
        match self.missing {
            0 => Ok(()),
            missing => Err(Truncated { missing }),
        }
    }
}

/// The connection ended before the image did: what came is good to resume from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// Bytes that did not come.
    pub missing: u32,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = self.missing;
        write!(
            f,
            "the connection ended {missing} bytes before the image did"
        )
    }
}

impl core::error::Error for Truncated {}
