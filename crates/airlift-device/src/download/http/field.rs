//! The header fields that matter to a download, and the values that they may have.

use super::head::ContentRange;

/// A header field that is read; all others are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// Bytes of the body.
    ContentLength,
    /// Which part of the image the body is.
    ContentRange,
    /// A body in pieces of its own framing.
    TransferEncoding,
    /// A body that is packed.
    ContentEncoding,
    /// MD5 of the whole image.
    Md5,
    /// SHA-256 of the whole image.
    Sha256,
    /// Version of the image.
    Version,
    /// Validator of the image's bytes.
    ETag,
    /// Seconds to wait before the next check.
    RetryAfter,
}

const NAMES: [(&str, Field); 9] = [
    ("Content-Length", Field::ContentLength),
    ("Content-Range", Field::ContentRange),
    ("Transfer-Encoding", Field::TransferEncoding),
    ("Content-Encoding", Field::ContentEncoding),
    ("x-MD5", Field::Md5),
    ("x-SHA256", Field::Sha256),
    ("x-version", Field::Version),
    ("ETag", Field::ETag),
    ("Retry-After", Field::RetryAfter),
];

impl Field {
    /// The field of this name, whatever its case.
    pub(super) fn of_name(name: &[u8]) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|&(_, field)| field)
    }

    /// The name as it is usually written.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, field)| *field == self)
            .map_or("", |&(name, _)| name)
    }

    /// A bit of its own, to remember which fields were there.
    pub(super) fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// `tchar` of RFC 9110, 5.6.2.
pub(super) fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Digits and nothing else, no larger than a `u32`.
pub(super) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |number, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

/// Exactly `2 * N` hexadecimal digits, of either case.
pub(super) fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// `bytes FIRST-LAST/TOTAL` or `bytes */TOTAL` (RFC 9110, 14.4). A total of `*` is no use to a device: it has to know
/// that the rest belongs to the image that it began.
pub(super) fn content_range(text: &[u8]) -> Option<ContentRange> {
    let (unit, rest) = text.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes ") {
        return None;
    }
    let mut halves = rest.splitn(2, |&b| b == b'/');
    let (range, total) = (halves.next()?, decimal(halves.next()?)?);
    if range == b"*" {
        return Some(ContentRange::Unsatisfied { total });
    }
    let mut ends = range.splitn(2, |&b| b == b'-');
    let (first, last) = (decimal(ends.next()?)?, decimal(ends.next()?)?);
    (first <= last && last < total).then_some(ContentRange::Bytes { first, last, total })
}
