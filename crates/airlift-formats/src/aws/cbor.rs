//! CBOR (RFC 8949) that is there as a whole: where an item ends, and what it is.

use super::{Fault, Text, value::Content};

/// Arrays, maps and tags within each other. The messages of streams have two.
const MAX_DEPTH: u8 = 8;

/// Length of an array or map of indefinite length, which is not counted.
pub(super) const INDEFINITE: u32 = u32::MAX;

/// Goes over `bytes`. After an error it stands at the item that has the fault.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

/// The first byte of an item and the number that follows it.
struct Head {
    major: u8,
    /// The lower five bits of the first byte: 31 is an indefinite length.
    info: u8,
    number: u64,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next item, and all that is in it.
    pub(super) fn value(&mut self) -> Result<Content<'a>, Fault> {
        self.item(0)
    }

    /// Members of the map, or elements of the array, that starts here.
    pub(super) fn count(&mut self) -> Result<u32, Fault> {
        let head = self.head()?;
        if head.info == 31 {
            return Ok(INDEFINITE);
        }
        // What is too many is found out when they do not come.
        Ok(u32::try_from(head.number).unwrap_or(u32::MAX - 1))
    }

    /// Takes the mark that ends what has an indefinite length, if it is there.
    pub(super) fn take_break(&mut self) -> bool {
        let there = self.bytes.get(self.at) == Some(&0xFF);
        self.at += usize::from(there);
        there
    }

    fn item(&mut self, depth: u8) -> Result<Content<'a>, Fault> {
        let start = self.at;
        let content = self.content(depth, start);
        if content.is_err() && depth == MAX_DEPTH {
            // The outermost item that is too deep, not what came of it.
            self.at = start;
        }
        content
    }

    fn content(&mut self, depth: u8, start: usize) -> Result<Content<'a>, Fault> {
        let head = self.head()?;
        Ok(match head.major {
            0 => u32::try_from(head.number).map_or(Content::Beyond, Content::Unsigned),
            1 => Content::Beyond,
            2 => Content::Bytes(self.string(&head)?),
            3 => match core::str::from_utf8(self.string(&head)?) {
                Ok(text) => Content::Text(Text::from(text)),
                Err(_) => return Err(Fault::Encoding),
            },
            7 => match (head.info, head.number) {
                (22 | 23, _) => Content::Null,
                (31, _) => return Err(Fault::Syntax),
                _ => Content::Other,
            },
            container => {
                if depth == MAX_DEPTH {
                    return Err(Fault::TooDeep);
                }
                let items = match container {
                    4 => head.number,
                    5 => head.number.saturating_mul(2),
                    _ => 1,
                };
                self.items(&head, items, depth + 1)?;
                match container {
                    4 => Content::List { start },
                    5 => Content::Object { start },
                    _ => Content::Other,
                }
            }
        })
    }

    fn items(&mut self, head: &Head, items: u64, depth: u8) -> Result<(), Fault> {
        if head.info != 31 {
            // Each item takes a byte at least: a count that lies ends where the bytes end.
            for _ in 0..items {
                self.item(depth)?;
            }
            return Ok(());
        }
        while !self.take_break() {
            self.item(depth)?;
            if head.major == 5 {
                self.item(depth)?;
            }
        }
        Ok(())
    }

    fn string(&mut self, head: &Head) -> Result<&'a [u8], Fault> {
        if head.info == 31 {
            return Err(Fault::Chunked);
        }
        let len = usize::try_from(head.number).map_err(|_| Fault::Truncated)?;
        let end = self.at.checked_add(len).ok_or(Fault::Truncated)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let first = *self.bytes.get(self.at).ok_or(Fault::Truncated)?;
        let (major, info) = (first >> 5, first & 31);
        let width = match info {
            0..24 => 0,
            24..28 => 1 << (info - 24),
            // Numbers and tags have no indefinite length.
            31 if !matches!(major, 0 | 1 | 6) => 0,
            _ => return Err(Fault::Syntax),
        };
        let start = self.at + 1;
        let number = self
            .bytes
            .get(start..start + width)
            .ok_or(Fault::Truncated)?;
        self.at = start + width;
        Ok(Head {
            major,
            info,
            number: match info {
                0..24 => u64::from(info),
                _ => number
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<(Content<'_>, usize), Fault> {
        let mut scanner = Scanner::new(bytes, 0);
        let content = scanner.value()?;
        Ok((content, scanner.at))
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
            (&[0x82, 1, 0x81, 2], Content::List { start: 0 }),
            (&[0x9F, 1, 2, 0xFF], Content::List { start: 0 }),
            (&[0xA1, 1, 2], Content::Object { start: 0 }),
            (&[0xBF, 1, 2, 0xFF], Content::Object { start: 0 }),
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
        assert_eq!(scan(&nested[1..]), Ok((Content::List { start: 0 }, 9)));
    }
}
