//! A payload in pieces of any size.

use super::{
    Content, DESCRIPTOR_LEN, MAX_FACTORY_DATA_LEN, MAX_MANIFEST_LEN, PayloadError, TLV_HEADER_LEN,
    Tlv,
};

/// Parts of a payload that a reader keeps the tags of, unless it is told otherwise.
pub const MAX_TLVS: usize = 32;

/// Which tags a payload may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tags {
    /// Those with a meaning: 1 to 11, and 100 and above.
    Assigned,
    /// Any: for whoever looks them up in a table of processors, and refuses or skips the others.
    Any,
}

/// What to demand of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Which tags there may be.
    pub tags: Tags,
    /// Accept a tag that comes twice. Whoever does has to know what that means.
    pub duplicates: bool,
    /// Accept an application or boot loader without image, factory data of any length, a manifest anywhere.
    pub any_length: bool,
}

impl Rules {
    /// Airlift's rules, for payloads with any tags of those with a meaning.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            tags: Tags::Assigned,
            duplicates: false,
            any_length: false,
        }
    }

    /// For reading payloads of others: only that the lengths add up.
    #[must_use]
    pub const fn lenient() -> Self {
        Self {
            tags: Tags::Any,
            duplicates: true,
            any_length: true,
        }
    }
}

/// What comes out of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'d> {
    /// A part starts. Its length is known to fit into the payload.
    Begin(Tlv),
    /// The next bytes of its value: at least one. An empty value has none.
    Value {
        /// The part that they belong to.
        tlv: Tlv,
        /// The bytes.
        bytes: &'d [u8],
    },
    /// The part is complete.
    End(Tlv),
}

/// Reads a payload that comes in pieces of any size, and keeps the tags of up to `N` parts to find one that comes twice.
///
/// What it says does not depend on the pieces, but for how many bytes come with one [`Event::Value`].
///
/// ```
/// use airlift_formats::nxp::{Event, PayloadReader, Rules};
///
/// let payload = [100, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c', 101, 0, 0, 0, 0, 0, 0, 0];
/// let mut reader = PayloadReader::<32>::new(payload.len() as u64, Rules::strict());
/// let mut values: Vec<(u32, Vec<u8>)> = Vec::new();
/// for mut piece in payload.chunks(5) {
///     while let Some(event) = reader.read(&mut piece)? {
///         match event {
///             Event::Begin(tlv) => values.push((tlv.tag, Vec::new())),
///             Event::Value { bytes, .. } => values.last_mut().unwrap().1.extend(bytes),
///             Event::End(_) => {}
///         }
///     }
/// }
/// assert_eq!(reader.finish()?.parts, 2);
/// assert_eq!(values, [(100, b"abc".to_vec()), (101, vec![])]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PayloadReader<const N: usize = MAX_TLVS> {
    rules: Rules,
    size: u64,
    position: u64,
    state: State,
    header: [u8; TLV_HEADER_LEN],
    seen: [u32; N],
    parts: u32,
    failure: Option<PayloadError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the header of a part, of which there are this many bytes.
    Header(usize),
    /// In a value, of which this many bytes are left.
    Value { tlv: Tlv, left: u32 },
}

/// What is known of a payload that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Number of parts.
    pub parts: u32,
    /// Bytes of the payload.
    pub size: u64,
}

impl<const N: usize> PayloadReader<N> {
    /// A reader at the start of a payload of this many bytes: the header of the image says how many.
    #[must_use]
    pub const fn new(size: u64, rules: Rules) -> Self {
        Self {
            rules,
            size,
            position: 0,
            state: State::Header(0),
            header: [0; TLV_HEADER_LEN],
            seen: [0; N],
            parts: 0,
            failure: None,
        }
    }

    /// Takes bytes from the front of `input` and says what they are; none when `input` is used up and nothing ends there.
    ///
    /// The end of a value is said as soon as its last byte is there.
    ///
    /// # Errors
    /// The first thing that is wrong; the same again ever after.
    pub fn read<'d>(&mut self, input: &mut &'d [u8]) -> Result<Option<Event<'d>>, PayloadError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = match self.state {
            State::Value { tlv, left: 0 } => {
                self.state = State::Header(0);
                return Ok(Some(Event::End(tlv)));
            }
            _ if input.is_empty() => return Ok(None),
            State::Value { tlv, left } => Ok(Some(self.value(tlv, left, input))),
            State::Header(have) => self.header(have, input),
        };
        if let Err(failure) = result {
            self.failure = Some(failure);
        }
        result
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// What [`read`](Self::read) said; bytes are missing.
    pub fn finish(self) -> Result<Summary, PayloadError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.state {
            State::Value { tlv, left } if left > 0 => Err(PayloadError::ValueTruncated {
                tlv,
                found: tlv.length.saturating_sub(left),
            }),
            State::Header(found) if found > 0 => Err(self.header_truncated(found)),
            _ if self.position < self.size => Err(PayloadError::PayloadTruncated {
                needed: self.size,
                found: self.position,
            }),
            _ => Ok(Summary {
                parts: self.parts,
                size: self.size,
            }),
        }
    }

    /// The part whose value comes next or has still to end.
    #[must_use]
    pub const fn current(&self) -> Option<Tlv> {
        match self.state {
            State::Value { tlv, .. } => Some(tlv),
            State::Header(_) => None,
        }
    }

    /// Bytes of the payload so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Passes over the next bytes of the present value, which whoever reads has from elsewhere; at most to its end. Says how many.
    pub fn skip(&mut self, bytes: u32) -> u32 {
        let State::Value { left, .. } = &mut self.state else {
            return 0;
        };
        let skipped = bytes.min(*left);
        *left = left.saturating_sub(skipped);
        self.position = self.position.saturating_add(u64::from(skipped));
        skipped
    }

    fn value<'d>(&mut self, tlv: Tlv, left: u32, input: &mut &'d [u8]) -> Event<'d> {
        let (piece, rest) = input
            .split_at_checked(left as usize)
            .unwrap_or((input, &[]));
        *input = rest;
        self.position = self.position.saturating_add(piece.len() as u64);
        self.state = State::Value {
            tlv,
            left: left.saturating_sub(piece.len() as u32),
        };
        Event::Value { tlv, bytes: piece }
    }

    fn header<'d>(
        &mut self,
        have: usize,
        input: &mut &'d [u8],
    ) -> Result<Option<Event<'d>>, PayloadError> {
        // Between two parts: within the header of one, an error has come before.
        if self.position >= self.size {
            return Err(PayloadError::PayloadTooLong { size: self.size });
        }
        let payload_left = self.size.saturating_sub(self.position);
        let wanted = TLV_HEADER_LEN.saturating_sub(have) as u64;
        let wanted = usize::try_from(wanted.min(payload_left)).unwrap_or(TLV_HEADER_LEN);
        let (piece, rest) = input.split_at_checked(wanted).unwrap_or((input, &[]));
        for (to, from) in self.header.iter_mut().skip(have).zip(piece) {
            *to = *from;
        }
        *input = rest;
        self.position = self.position.saturating_add(piece.len() as u64);
        let have = have.saturating_add(piece.len());
        self.state = State::Header(have);
        if have < TLV_HEADER_LEN {
            return if self.position >= self.size {
                Err(self.header_truncated(have))
            } else {
                Ok(None)
            };
        }
        let offset = self.position.saturating_sub(TLV_HEADER_LEN as u64);
        let tlv = Tlv::parse(&self.header, offset);
        self.check(tlv)?;
        self.state = State::Value {
            tlv,
            left: tlv.length,
        };
        Ok(Some(Event::Begin(tlv)))
    }

    fn check(&mut self, tlv: Tlv) -> Result<(), PayloadError> {
        let content = Content::of(tlv.tag);
        if self.rules.tags == Tags::Assigned && content == Content::Unassigned {
            return Err(PayloadError::UnknownTag { tlv });
        }
        if !self.rules.duplicates {
            self.remember(tlv)?;
        }
        self.parts = self.parts.saturating_add(1);
        let left = self.size.saturating_sub(self.position);
        if u64::from(tlv.length) > left {
            return Err(PayloadError::BeyondPayload { tlv, left });
        }
        if self.rules.any_length {
            return Ok(());
        }
        let length = tlv.length as usize;
        match content {
            _ if content.has_descriptor() && length < DESCRIPTOR_LEN => {
                Err(PayloadError::NoDescriptor { tlv })
            }
            _ if content.has_descriptor() && length == DESCRIPTOR_LEN => {
                Err(PayloadError::NoImage { tlv })
            }
            Content::FactoryData if length == 0 => Err(PayloadError::NoFactoryData { tlv }),
            Content::FactoryData if length > MAX_FACTORY_DATA_LEN => {
                Err(PayloadError::FactoryDataTooLong { tlv })
            }
            Content::Manifest if tlv.offset > 0 => Err(PayloadError::ManifestNotFirst { tlv }),
            Content::Manifest if length > MAX_MANIFEST_LEN => {
                Err(PayloadError::ManifestTooLong { tlv })
            }
            _ => Ok(()),
        }
    }

    /// Keeps the tag; refuses one that has been there.
    fn remember(&mut self, tlv: Tlv) -> Result<(), PayloadError> {
        let count = self.parts as usize;
        if self.seen.iter().take(count).any(|seen| *seen == tlv.tag) {
            return Err(PayloadError::DuplicateTag { tlv });
        }
        match self.seen.get_mut(count) {
            Some(place) => *place = tlv.tag,
            None => return Err(PayloadError::TooManyTlvs { tlv, max: N }),
        }
        Ok(())
    }

    const fn header_truncated(&self, found: usize) -> PayloadError {
        PayloadError::HeaderTruncated {
            offset: self.position.saturating_sub(found as u64),
            found: found as u8,
        }
    }
}
