//! CBOR (RFC 8949) that is there as a whole.

use super::{
    Fault, Text,
    scan::{Content, Cursor},
};

/// Arrays, maps and tags within each other. The messages of streams have two.
const MAX_DEPTH: u8 = 8;

/// Length of an array or map of indefinite length, which is not counted.
pub(super) const INDEFINITE: u32 = u32::MAX;

/// The lower five bits of the first byte of what has an indefinite length.
const INDEFINITE_INFO: u8 = 31;

/// The type of an item, the lower five bits of its first byte, and the number that follows it.
struct Head {
    major: u8,
    info: u8,
    /// As far as it has 32 bits.
    number: u32,
    /// It has more.
    beyond: bool,
}

/// Passes an item and all that is in it.
pub(super) fn value<'a>(cursor: &mut Cursor<'a>, depth: u8) -> Result<Content<'a>, Fault> {
    let start = cursor.at;
    let Head {
        major,
        info,
        number,
        beyond,
    } = head(cursor)?;
    let indefinite = info == INDEFINITE_INFO;
    Ok(match major {
        0 if !beyond => Content::Unsigned(number),
        0 | 1 => Content::Beyond,
        2 | 3 => {
            if indefinite {
                return Err(Fault::Chunked);
            }
            if beyond {
                return Err(Fault::Truncated);
            }
            let bytes = cursor.take(number as usize)?;
            if major == 2 {
                return Ok(Content::Bytes(bytes));
            }
            match core::str::from_utf8(bytes) {
                Ok(text) => Content::Text(Text::from(text)),
                Err(_) => return Err(Fault::Encoding),
            }
        }
        7 => match info {
            22 | 23 => Content::Null,
            INDEFINITE_INFO => return Err(Fault::Syntax),
            _ => Content::Other,
        },
        _ => {
            if depth == MAX_DEPTH {
                cursor.at = start;
                return Err(Fault::TooDeep);
            }
            // Each item takes a byte at least: a count that lies ends where the bytes end.
            let mut left = if major == 6 { 1 } else { number };
            while indefinite || left > 0 || beyond {
                if indefinite && take_break(cursor) {
                    break;
                }
                left = left.wrapping_sub(1);
                value(cursor, depth + 1)?;
                if major == 5 {
                    value(cursor, depth + 1)?;
                }
            }
            match major {
                4 => Content::List,
                5 => Content::Object,
                _ => Content::Other,
            }
        }
    })
}

/// Members of the map (5), or elements of the array (4), that starts here, if it is one. What is too many is found out when they do not come.
pub(super) fn count(cursor: &mut Cursor<'_>, wanted: u8) -> Option<u32> {
    match head(cursor) {
        Ok(head) if head.major == wanted => Some(if head.info == INDEFINITE_INFO {
            INDEFINITE
        } else {
            head.number
        }),
        _ => None,
    }
}

/// Passes the mark that ends what has an indefinite length, if it is there.
pub(super) fn take_break(cursor: &mut Cursor<'_>) -> bool {
    let there = cursor.byte() == Some(0xFF);
    cursor.at += usize::from(there);
    there
}

fn head(cursor: &mut Cursor<'_>) -> Result<Head, Fault> {
    let start = cursor.at;
    let first = cursor.byte().ok_or(Fault::Truncated)?;
    let mut head = Head {
        major: first >> 5,
        info: first & 31,
        number: u32::from(first & 31),
        beyond: false,
    };
    let width = match head.info {
        0..24 => 0,
        24..28 => 1 << (head.info - 24),
        // Numbers and tags have no indefinite length.
        INDEFINITE_INFO if !matches!(head.major, 0 | 1 | 6) => 0,
        _ => return Err(Fault::Syntax),
    };
    cursor.at += 1;
    let Ok(bytes) = cursor.take(width) else {
        cursor.at = start;
        return Err(Fault::Truncated);
    };
    if width > 0 {
        head.number = 0;
    }
    for byte in bytes {
        head.beyond |= head.number >> 24 != 0;
        head.number = head.number << 8 | u32::from(*byte);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<(Content<'_>, usize), Fault> {
        let mut cursor = Cursor { bytes, at: 0 };
        let content = value(&mut cursor, 0)?;
        Ok((content, cursor.at))
    }

    #[test]
    fn every_type_is_told_and_every_cut_is_found() {
        let cases: &[(&[u8], Content<'_>)] = &[
            (&[0x17], Content::Unsigned(23)),
            (&[0x18, 0x17], Content::Unsigned(23)),
            (&[0x19, 1, 0], Content::Unsigned(256)),
            (&[0x1A, 0xFF, 0xFF, 0xFF, 0xFF], Content::Unsigned(u32::MAX)),
            (&[0x1B, 0, 0, 0, 0, 0, 0, 0, 5], Content::Unsigned(5)),
            (&[0x1B, 0, 0, 0, 1, 0, 0, 0, 0], Content::Beyond),
            (&[0x20], Content::Beyond),
            (
                &[0x3B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
                Content::Beyond,
            ),
            (&[0x42, 1, 2], Content::Bytes(&[1, 2])),
            (&[0x58, 1, 2], Content::Bytes(&[2])),
            (&[0x62, b'h', b'i'], Content::Text(Text::json("hi", false))),
            (&[0x82, 1, 0x81, 2], Content::List),
            (&[0x9F, 1, 2, 0xFF], Content::List),
            (&[0xA1, 1, 2], Content::Object),
            (&[0xBF, 1, 2, 0xFF], Content::Object),
            (&[0xC1, 0x1A, 1, 2, 3, 4], Content::Other),
            (&[0xF5], Content::Other),
            (&[0xF6], Content::Null),
            (&[0xF7], Content::Null),
            (&[0xF8, 0xFE], Content::Other),
            (&[0xF9, 0x3C, 0], Content::Other),
            (&[0xFB, 0, 0, 0, 0, 0, 0, 0, 0], Content::Other),
        ];
        for (bytes, content) in cases {
            assert_eq!(scan(bytes), Ok((*content, bytes.len())), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(
                    scan(&bytes[..end]),
                    Err(Fault::Truncated),
                    "{bytes:02x?} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        let nested = [&[0x81; 9][..], &[0]].concat();
        for (bytes, fault) in [
            (&[0x1C][..], Fault::Syntax),
            (&[0xBC], Fault::Syntax),
            (&[0x1F], Fault::Syntax),
            (&[0xDF], Fault::Syntax),
            (&[0xFF], Fault::Syntax),
            // An odd number of items in a map of indefinite length.
            (&[0xBF, 1, 0xFF], Fault::Syntax),
            (&[0x5F, 0x41, 1, 0xFF], Fault::Chunked),
            (&[0x7F, 0xFF], Fault::Chunked),
            (&[0x61, 0xFF], Fault::Encoding),
            (
                &[0x5B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
                Fault::Truncated,
            ),
            (
                &[0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
                Fault::Truncated,
            ),
            (&nested, Fault::TooDeep),
            (&[0xC0; 9], Fault::TooDeep),
        ] {
            assert_eq!(scan(bytes), Err(fault), "{bytes:02x?}");
        }
        assert_eq!(scan(&nested[1..]), Ok((Content::List, 9)));
    }
}
