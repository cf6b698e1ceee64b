//! Airlift's own part: what the other parts are, in which order they are applied, and what each of them needs before it.
//!
//! ```text
//! version (1 B) = 1   count (1 B)   zero (2 B)      then, for each part in the order of the payload:
//!
//!  0  tag (4)          8  descriptor (2)  bytes at the start of its value that describe it
//!  4  length (4)      10  order (2)       lower numbers are applied first
//!                     12  requires (4)    bit n: the part n of this table is applied before
//!                     16  SHA-256 (32)    of the value behind the descriptor
//! ```
//!
//! It is the first part of the payload, or it is not there: the images of NXP's tools have none. A device that knows the digest of a part before
//! its bytes come need not fetch what it holds already. Numbers are little endian.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;

use super::{Tlv, tag};

/// Bytes of a manifest at most: a device keeps it in the buffer of the header.
pub const MAX_MANIFEST_LEN: usize = 1024;

/// Parts of a manifest at most.
pub const MAX_MANIFEST_PARTS: usize = (MAX_MANIFEST_LEN - HEAD_LEN) / ENTRY_LEN;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 4;
const ENTRY_LEN: usize = 48;

/// What a manifest says of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestPart {
    /// Its tag.
    pub tag: u32,
    /// Bytes of its value, the descriptor included.
    pub length: u32,
    /// Bytes at the start of the value that describe it.
    pub descriptor_len: u16,
    /// Of the parts that nothing stands in the way of, the one with the lowest number is applied first, and of those the first in the payload.
    pub order: u16,
    /// Bit `n`: the part with the index `n` has to be applied before.
    pub requires: u32,
    /// SHA-256 of the value behind the descriptor.
    pub sha256: [u8; 32],
}

impl ManifestPart {
    const fn parse(bytes: &[u8; ENTRY_LEN]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            l0,
            l1,
            l2,
            l3,
            d0,
            d1,
            o0,
            o1,
            r0,
            r1,
            r2,
            r3,
            sha256 @ ..,
        ] = *bytes;
        Self {
            tag: u32::from_le_bytes([t0, t1, t2, t3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            descriptor_len: u16::from_le_bytes([d0, d1]),
            order: u16::from_le_bytes([o0, o1]),
            requires: u32::from_le_bytes([r0, r1, r2, r3]),
            sha256,
        }
    }

    #[cfg(feature = "alloc")]
    fn emit(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.tag.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.descriptor_len.to_le_bytes());
        bytes.extend(self.order.to_le_bytes());
        bytes.extend(self.requires.to_le_bytes());
        bytes.extend(self.sha256);
    }

    /// Bytes of the value behind the descriptor.
    #[must_use]
    pub const fn content_len(&self) -> u32 {
        self.length.saturating_sub(self.descriptor_len as u32)
    }

    const fn needs(&self, index: usize) -> bool {
        self.requires & Manifest::bit(index) != 0
    }
}

/// A manifest that says nothing impossible; a view of its bytes.
///
/// ```
/// use airlift_formats::nxp::{Manifest, PayloadBuilder, PartRule};
///
/// let mut builder = PayloadBuilder::default();
/// builder.custom(100, b"", b"sounds")?.custom(101, b"", b"texts")?;
/// // The texts first.
/// let rule = PartRule { tag: 100, order: 0, requires: &[101] };
/// let payload = builder.build_with_manifest(&[rule])?;
/// let manifest = Manifest::parse(&payload[8..8 + 4 + 2 * 48])?;
/// assert_eq!(manifest.next(0), Some(1));
/// assert_eq!(manifest.next(0b10), Some(0));
/// assert_eq!(manifest.next(0b11), None);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest<'a> {
    parts: &'a [[u8; ENTRY_LEN]],
}

/// Why a manifest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not as long as its parts take: [`count`](Self::Length::count) of them.
    Length {
        /// Bytes that there are.
        found: usize,
        /// Parts that it says it has.
        count: u8,
    },
    /// Of a version that is not known, or with something where there is nothing in this one.
    Version {
        /// The version.
        version: u8,
    },
    /// No part, or more than [`MAX_MANIFEST_PARTS`].
    Count {
        /// Parts that it says it has.
        count: u8,
    },
    /// A part is there twice, or is the manifest itself.
    Tag {
        /// Its tag.
        tag: u32,
    },
    /// A descriptor that is longer than its part.
    Descriptor {
        /// The tag of the part.
        tag: u32,
    },
    /// A part requires one that is not there.
    UnknownRequirement {
        /// The tag of the part that requires it.
        tag: u32,
    },
    /// A part requires the application: that is tried last.
    RequiresApplication {
        /// The tag of the part that requires it.
        tag: u32,
    },
    /// A part requires another one that, by its number, is applied later.
    Order {
        /// The tag of the part that requires it.
        tag: u32,
    },
    /// Parts require each other.
    Cycle {
        /// The tag of one of them.
        tag: u32,
    },
    /// A part of the payload has another tag or length than the manifest says, or is one more.
    Part {
        /// The part as it is in the payload.
        tlv: Tlv,
    },
    /// A part of the manifest is not in the payload.
    PartMissing {
        /// Its tag.
        tag: u32,
    },
    /// A part has another digest than the manifest says.
    Digest {
        /// Its tag.
        tag: u32,
    },
}

impl ManifestError {
    /// A small number for the variant that never changes: what a device keeps or reports. At most 12.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Length { .. } => 1,
            Self::Version { .. } => 2,
            Self::Count { .. } => 3,
            Self::Tag { .. } => 4,
            Self::Descriptor { .. } => 5,
            Self::UnknownRequirement { .. } => 6,
            Self::RequiresApplication { .. } => 7,
            Self::Order { .. } => 8,
            Self::Cycle { .. } => 9,
            Self::Part { .. } => 10,
            Self::PartMissing { .. } => 11,
            Self::Digest { .. } => 12,
        }
    }

    /// The word for a [`code`](Self::code), for reports and JSON.
    #[must_use]
    pub const fn token(code: u8) -> &'static str {
        match code {
            1 => "manifest-length",
            2 => "manifest-version",
            3 => "manifest-count",
            4 => "manifest-tag",
            5 => "manifest-descriptor",
            6 => "manifest-unknown-requirement",
            7 => "manifest-requires-application",
            8 => "manifest-order",
            9 => "manifest-cycle",
            10 => "manifest-other-part",
            11 => "manifest-part-missing",
            12 => "manifest-digest",
            _ => "manifest-unknown",
        }
    }

    /// The tag of the part that is wrong, where it is one.
    #[must_use]
    pub const fn tag(&self) -> Option<u32> {
        match *self {
            Self::Length { .. } | Self::Version { .. } | Self::Count { .. } => None,
            Self::Tag { tag }
            | Self::Descriptor { tag }
            | Self::UnknownRequirement { tag }
            | Self::RequiresApplication { tag }
            | Self::Order { tag }
            | Self::Cycle { tag }
            | Self::PartMissing { tag }
            | Self::Digest { tag } => Some(tag),
            Self::Part { tlv } => Some(tlv.tag),
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("manifest")?;
        if let Some(tag) = self.tag() {
            write!(f, ", tag {tag}")?;
        }
        f.write_str(": ")?;
        match *self {
            Self::Length { found, count } => {
                write!(
                    f,
                    "it has {found} bytes, and says that it has {count} parts"
                )
            }
            Self::Version { version } => write!(
                f,
                "of version {version}, or with bytes that mean nothing in version {VERSION}"
            ),
            Self::Count { count } => write!(f, "{count} parts: 1 to {MAX_MANIFEST_PARTS} can be"),
            Self::Tag { .. } => f.write_str("it is there twice, or is the manifest's own"),
            Self::Descriptor { .. } => f.write_str("the descriptor is longer than the part"),
            Self::UnknownRequirement { .. } => f.write_str("it requires a part that is not there"),
            Self::RequiresApplication { .. } => {
                f.write_str("it requires the application, which is tried last")
            }
            Self::Order { .. } => {
                f.write_str("it requires a part that is applied later, by its order")
            }
            Self::Cycle { .. } => f.write_str("it requires a part that requires it"),
            Self::Part { tlv } => write!(
                f,
                "at payload offset {} there is a part of {} bytes that it does not say",
                tlv.offset, tlv.length
            ),
            Self::PartMissing { .. } => f.write_str("it is not in the payload"),
            Self::Digest { .. } => f.write_str("the part has another SHA-256"),
        }
    }
}

impl core::error::Error for ManifestError {}

impl<'a> Manifest<'a> {
    /// Reads the value of a part with the tag [`MANIFEST`](tag::MANIFEST).
    ///
    /// # Errors
    /// Everything that is not a manifest, and a manifest whose parts cannot be applied.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ManifestError> {
        let found = bytes.len();
        let Some((&[version, count, zero, null], rest)) = bytes.split_first_chunk::<HEAD_LEN>()
        else {
            return Err(ManifestError::Length { found, count: 0 });
        };
        if version != VERSION || zero != 0 || null != 0 {
            return Err(ManifestError::Version { version });
        }
        if count == 0 || usize::from(count) > MAX_MANIFEST_PARTS {
            return Err(ManifestError::Count { count });
        }
        let (parts, behind) = rest.as_chunks::<ENTRY_LEN>();
        if parts.len() != usize::from(count) || !behind.is_empty() {
            return Err(ManifestError::Length { found, count });
        }
        let manifest = Self { parts };
        for (index, part) in manifest.parts().enumerate() {
            manifest.check(index, &part)?;
        }
        manifest.check_order()?;
        Ok(manifest)
    }

    /// A view of bytes that were [parsed](Self::parse) before: of anything else, a manifest that means nothing.
    #[must_use]
    pub fn view(bytes: &'a [u8]) -> Self {
        let parts = bytes.get(HEAD_LEN..).unwrap_or_default();
        Self {
            parts: parts.as_chunks().0,
        }
    }

    /// The bytes; inverse of [`parse`](Self::parse).
    ///
    /// # Errors
    /// What `parse` would say to them.
    #[cfg(feature = "alloc")]
    pub fn emit(parts: &[ManifestPart]) -> Result<Vec<u8>, ManifestError> {
        let count = u8::try_from(parts.len()).unwrap_or(u8::MAX);
        let mut bytes = Vec::from([VERSION, count, 0, 0]);
        for part in parts {
            part.emit(&mut bytes);
        }
        Manifest::parse(&bytes)?;
        Ok(bytes)
    }

    /// The bit of the part with this index, in [`ManifestPart::requires`].
    #[must_use]
    pub const fn bit(index: usize) -> u32 {
        match 1_u32.checked_shl(index as u32) {
            Some(bit) => bit,
            None => 0,
        }
    }

    /// Number of parts.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether it has none: never, of one that was parsed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The parts, in the order of the payload.
    pub fn parts(&self) -> impl Iterator<Item = ManifestPart> + use<'a> {
        self.parts.iter().map(ManifestPart::parse)
    }

    /// The part with this index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<ManifestPart> {
        self.parts.get(index).map(ManifestPart::parse)
    }

    /// The index of the part that is applied next, when those in `done` are ([`bit`](Self::bit) by bit); none if there is no other, or if those that there are
    /// require each other.
    #[must_use]
    pub fn next(&self, done: u32) -> Option<usize> {
        let waits = |index: usize| done & Self::bit(index) == 0;
        self.parts()
            .enumerate()
            .filter(|(index, part)| waits(*index) && part.requires & !done == 0)
            .min_by_key(|(_, part)| part.order)
            .map(|(index, _)| index)
    }

    /// Compares with a part of the payload, the `index`th behind the manifest.
    ///
    /// # Errors
    /// [`ManifestError::Part`]
    pub fn check_part(&self, index: usize, tlv: Tlv) -> Result<ManifestPart, ManifestError> {
        self.get(index)
            .filter(|part| part.tag == tlv.tag && part.length == tlv.length)
            .ok_or(ManifestError::Part { tlv })
    }

    /// The payload has ended, with so many parts behind the manifest.
    ///
    /// # Errors
    /// [`ManifestError::PartMissing`]
    pub fn check_end(&self, parts: usize) -> Result<(), ManifestError> {
        match self.get(parts) {
            Some(part) => Err(ManifestError::PartMissing { tag: part.tag }),
            None => Ok(()),
        }
    }

    /// What can be said of one part and those that it names.
    fn check(&self, index: usize, part: &ManifestPart) -> Result<(), ManifestError> {
        let tag = part.tag;
        if tag == tag::MANIFEST || self.parts().take(index).any(|other| other.tag == tag) {
            return Err(ManifestError::Tag { tag });
        }
        if u32::from(part.descriptor_len) > part.length {
            return Err(ManifestError::Descriptor { tag });
        }
        let there = Self::bit(self.len()).wrapping_sub(1);
        if part.requires & !there != 0 {
            return Err(ManifestError::UnknownRequirement { tag });
        }
        let mut required = self.parts().enumerate();
        required.try_for_each(|(number, other)| match () {
            () if !part.needs(number) => Ok(()),
            () if other.tag == tag::APPLICATION => Err(ManifestError::RequiresApplication { tag }),
            () if other.order > part.order => Err(ManifestError::Order { tag }),
            () => Ok(()),
        })
    }

    fn check_order(&self) -> Result<(), ManifestError> {
        let mut done = 0;
        while let Some(next) = self.next(done) {
            done |= Self::bit(next);
        }
        let mut parts = self.parts().enumerate();
        match parts.find(|(index, _)| done & Self::bit(*index) == 0) {
            Some((_, part)) => Err(ManifestError::Cycle { tag: part.tag }),
            None => Ok(()),
        }
    }
}
