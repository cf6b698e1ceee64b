//! Which part of an image a byte belongs to: what a refusal is told with, and what people see pass.

use airlift_formats::matter::image::{HeaderParser, MAX_HEADER_LEN, Rules as ImageRules};
use airlift_formats::nxp::{Event, PayloadReader, Rules, Tags, Tlv};

/// Parts of an image that are followed; the engine takes fewer.
const MAX_TLVS: usize = 32;

/// Reads along. It judges nothing: what it cannot follow, the engine refuses in its own words.
#[derive(Default)]
pub(super) struct Whereabouts {
    /// What may be header.
    head: Vec<u8>,
    payload: Option<PayloadReader<MAX_TLVS>>,
    lost: bool,
    part: Option<Tlv>,
}

/// What the header says, as far as the device keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) software_version: u32,
    /// The same for people.
    pub(super) version: String,
    pub(super) payload: [u8; 32],
}

/// A stretch of the image that belongs to one thing.
pub(super) struct Stretch<'d> {
    pub(super) bytes: &'d [u8],
    /// The header is complete.
    pub(super) head: Option<Head>,
    /// The part is complete.
    pub(super) ended: Option<Tlv>,
}

impl Stretch<'_> {
    /// The input is used up.
    pub(super) fn is_nothing(&self) -> bool {
        self.bytes.is_empty() && self.ended.is_none()
    }
}

impl Whereabouts {
    /// Takes the next stretch from the front of `input`.
    pub(super) fn next<'d>(&mut self, input: &mut &'d [u8]) -> Stretch<'d> {
        let all = *input;
        let (mut head, mut ended) = (None, None);
        if let Some(reader) = self.payload.as_mut().filter(|_| !self.lost) {
            match reader.read(input) {
                Ok(Some(Event::Begin(tlv) | Event::Value { tlv, .. })) => self.part = Some(tlv),
                Ok(Some(Event::End(tlv))) => ended = Some(tlv),
                Ok(None) => {}
                Err(_) => {
                    self.lost = true;
                    *input = &[];
                }
            }
        } else if self.lost {
            *input = &[];
        } else {
            head = self.next_of_head(input);
        }
        Stretch {
            bytes: all.get(..all.len() - input.len()).unwrap_or(all),
            head,
            ended,
        }
    }

    fn next_of_head(&mut self, input: &mut &[u8]) -> Option<Head> {
        // The parser borrows its buffer, so it cannot be kept here.
        let before = self.head.len();
        self.head.extend_from_slice(input);
        let mut buffer = [0; MAX_HEADER_LEN];
        let mut parser = HeaderParser::new(&mut buffer, ImageRules::strict());
        let mut rest = self.head.as_slice();
        let complete = parser.push(&mut rest);
        let taken = (self.head.len() - rest.len()).saturating_sub(before);
        let header = match complete {
            Ok(false) => {
                *input = &[];
                return None;
            }
            Ok(true) => parser.into_header(),
            Err(error) => Err(error),
        };
        let Ok(header) = header else {
            self.lost = true;
            *input = &[];
            return None;
        };
        *input = input.get(taken..).unwrap_or_default();
        let rules = Rules {
            tags: Tags::Any,
            ..Rules::strict()
        };
        self.payload = Some(PayloadReader::new(header.payload_size, rules));
        let mut payload = [0; 32];
        for (to, from) in payload.iter_mut().zip(header.digest) {
            *to = *from;
        }
        let head = Head {
            software_version: header.software_version,
            version: header
                .software_version_string
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            payload,
        };
        self.head = Vec::new();
        Some(head)
    }

    /// The part that the last stretch belongs to, and how far into the payload that stretch reaches.
    pub(super) fn place(&self) -> (Option<u32>, Option<u64>) {
        match (self.part, &self.payload) {
            (Some(part), Some(payload)) => (Some(part.tag), Some(payload.position())),
            _ => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use airlift_formats::matter::image::ImageBuilder;
    use airlift_formats::nxp::PayloadBuilder;

    use super::*;

    /// What passes, in words, for pieces of this size.
    fn follow(image: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
        let mut whereabouts = Whereabouts::default();
        let (mut seen, mut bytes) = (Vec::new(), Vec::new());
        for mut piece in image.chunks(piece) {
            loop {
                let stretch = whereabouts.next(&mut piece);
                bytes.extend(stretch.bytes);
                if let Some(head) = &stretch.head {
                    seen.push(format!("version {}", head.software_version));
                }
                if let Some(part) = stretch.ended {
                    seen.push(format!("part {} at {}", part.tag, part.offset));
                }
                if stretch.is_nothing() {
                    break;
                }
            }
        }
        (seen, bytes)
    }

    #[test]
    fn what_passes_does_not_depend_on_the_pieces() {
        let mut payload = PayloadBuilder::default();
        payload.custom(100, b"", b"").unwrap();
        payload.custom(101, b"", &[1; 300]).unwrap();
        let builder = ImageBuilder::new(1, 2, 7, "7");
        let image = builder.build(&payload.build()).unwrap();
        for piece in [1, 7, 16, 64, 1024, image.len()] {
            let (seen, bytes) = follow(&image, piece);
            assert_eq!(seen, ["version 7", "part 100 at 0", "part 101 at 8"]);
            assert_eq!(bytes, image, "every byte passes once");
        }
    }

    #[test]
    fn what_is_no_image_passes_as_well() {
        let noise: Vec<u8> = (0..3000_u32).map(|i| (i * 7) as u8).collect();
        let (seen, bytes) = follow(&noise, 500);
        assert_eq!((seen, bytes), (Vec::new(), noise));
    }
}
