//! What can be wrong with a payload.

use core::fmt;

use super::{Content, DESCRIPTOR_LEN, MAX_FACTORY_DATA_LEN, MAX_MANIFEST_LEN, Tlv};
use crate::matter::ChipError;

/// Why a payload is refused. Offsets count from the start of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadError {
    /// The tag has no meaning: [`ChipError::OTA_PROCESSOR_NOT_REGISTERED`].
    UnknownTag {
        /// The part.
        tlv: Tlv,
    },
    /// The tag has been there before. The reference gets out of step, or cancels the update.
    DuplicateTag {
        /// The part that comes again.
        tlv: Tlv,
    },
    /// There are more parts than the reader keeps tags of.
    TooManyTlvs {
        /// The first one that is too many.
        tlv: Tlv,
        /// How many there may be.
        max: usize,
    },
    /// The value reaches beyond the end of the payload. The reference does not check it.
    BeyondPayload {
        /// The part.
        tlv: Tlv,
        /// Bytes that the payload has left.
        left: u64,
    },
    /// An application or boot loader is too short for its descriptor: [`ChipError::OTA_PROCESSOR_START_IMAGE`].
    NoDescriptor {
        /// The part.
        tlv: Tlv,
    },
    /// An application or boot loader is nothing but a descriptor: [`ChipError::OTA_PROCESSOR_MAKE_ROOM`].
    NoImage {
        /// The part.
        tlv: Tlv,
    },
    /// Factory data without even an empty structure. The reference accepts them, and rewrites the factory data without a change.
    NoFactoryData {
        /// The part.
        tlv: Tlv,
    },
    /// Factory data longer than the section that they belong to. The reference takes them all into memory.
    FactoryDataTooLong {
        /// The part.
        tlv: Tlv,
    },
    /// A [manifest](super::Manifest) that is not the first part.
    ManifestNotFirst {
        /// The part.
        tlv: Tlv,
    },
    /// A manifest longer than it can be.
    ManifestTooLong {
        /// The part.
        tlv: Tlv,
    },
    /// The payload ends within the header of a part. The reference ignores it.
    HeaderTruncated {
        /// Where that header starts.
        offset: u64,
        /// Bytes of it that are there.
        found: u8,
    },
    /// The bytes end within a value. The reference applies what there is.
    ValueTruncated {
        /// The part.
        tlv: Tlv,
        /// Bytes of its value that are there.
        found: u32,
    },
    /// The bytes end before the payload does.
    PayloadTruncated {
        /// Bytes of the payload.
        needed: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// More bytes came than the payload has.
    PayloadTooLong {
        /// Bytes of the payload.
        size: u64,
    },
}

impl PayloadError {
    /// A small number for the variant that never changes: what a device keeps or reports.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::UnknownTag { .. } => 1,
            Self::DuplicateTag { .. } => 2,
            Self::TooManyTlvs { .. } => 3,
            Self::BeyondPayload { .. } => 4,
            Self::NoDescriptor { .. } => 5,
            Self::NoImage { .. } => 6,
            Self::NoFactoryData { .. } => 7,
            Self::FactoryDataTooLong { .. } => 8,
            Self::HeaderTruncated { .. } => 9,
            Self::ValueTruncated { .. } => 10,
            Self::PayloadTruncated { .. } => 11,
            Self::PayloadTooLong { .. } => 12,
            Self::ManifestNotFirst { .. } => 13,
            Self::ManifestTooLong { .. } => 14,
        }
    }

    /// The word for a [`code`](Self::code), for reports and JSON.
    #[must_use]
    pub const fn token(code: u8) -> &'static str {
        match code {
            1 => "nxp-unknown-tag",
            2 => "nxp-duplicate-tag",
            3 => "nxp-too-many-parts",
            4 => "nxp-beyond-payload",
            5 => "nxp-no-descriptor",
            6 => "nxp-no-image",
            7 => "nxp-no-factory-data",
            8 => "nxp-factory-data-too-long",
            9 => "nxp-header-truncated",
            10 => "nxp-value-truncated",
            11 => "nxp-payload-truncated",
            12 => "nxp-payload-too-long",
            13 => "nxp-manifest-not-first",
            14 => "nxp-manifest-too-long",
            _ => "nxp-unknown",
        }
    }

    /// The part that is wrong, where it is one.
    #[must_use]
    pub const fn tlv(&self) -> Option<Tlv> {
        match *self {
            Self::UnknownTag { tlv }
            | Self::DuplicateTag { tlv }
            | Self::TooManyTlvs { tlv, .. }
            | Self::BeyondPayload { tlv, .. }
            | Self::NoDescriptor { tlv }
            | Self::NoImage { tlv }
            | Self::NoFactoryData { tlv }
            | Self::FactoryDataTooLong { tlv }
            | Self::ManifestNotFirst { tlv }
            | Self::ManifestTooLong { tlv }
            | Self::ValueTruncated { tlv, .. } => Some(tlv),
            Self::HeaderTruncated { .. }
            | Self::PayloadTruncated { .. }
            | Self::PayloadTooLong { .. } => None,
        }
    }

    /// What the reference says to such a payload; none if it does not notice.
    #[must_use]
    pub const fn chip_error(&self) -> Option<ChipError> {
        Some(match self {
            Self::UnknownTag { .. } => ChipError::OTA_PROCESSOR_NOT_REGISTERED,
            Self::NoDescriptor { .. } => ChipError::OTA_PROCESSOR_START_IMAGE,
            Self::NoImage { .. } => ChipError::OTA_PROCESSOR_MAKE_ROOM,
            _ => return None,
        })
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Tlv { tag, offset, .. }) = self.tlv() {
            write!(f, "payload offset {offset}, tag {tag}: ")?;
        }
        match *self {
            Self::UnknownTag { .. } => f.write_str("the tag has no meaning"),
            Self::DuplicateTag { .. } => f.write_str("the tag has been there before"),
            Self::TooManyTlvs { max, .. } => write!(f, "more than {max} parts"),
            Self::BeyondPayload { tlv, left } => write!(
                f,
                "the value has {} bytes, the payload has {left} left",
                tlv.length
            ),
            Self::NoDescriptor { tlv } => write!(
                f,
                "the {} has {} bytes, too few for its descriptor ({DESCRIPTOR_LEN})",
                Content::of(tlv.tag).name(),
                tlv.length
            ),
            Self::NoImage { tlv } => write!(
                f,
                "the {} is nothing but a descriptor, without an image",
                Content::of(tlv.tag).name()
            ),
            Self::NoFactoryData { .. } => f.write_str("there are no factory data in it"),
            Self::FactoryDataTooLong { tlv } => write!(
                f,
                "the factory data have {} bytes, at most {MAX_FACTORY_DATA_LEN} fit",
                tlv.length
            ),
            Self::ManifestNotFirst { .. } => f.write_str("a manifest has to be the first part"),
            Self::ManifestTooLong { tlv } => write!(
                f,
                "the manifest has {} bytes, at most {MAX_MANIFEST_LEN} can be",
                tlv.length
            ),
            Self::HeaderTruncated { offset, found } => write!(
                f,
                "payload offset {offset}: {found} bytes at the end, too few for another part"
            ),
            Self::ValueTruncated { tlv, found } => {
                write!(f, "the value ends after {found} of {} bytes", tlv.length)
            }
            Self::PayloadTruncated { needed, found } => {
                write!(f, "the payload ends after {found} of {needed} bytes")
            }
            Self::PayloadTooLong { size } => {
                write!(f, "more came than the {size} bytes of the payload")
            }
        }
    }
}

impl core::error::Error for PayloadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        let words: Vec<_> = (1..=14).map(PayloadError::token).collect();
        for (index, word) in words.iter().enumerate() {
            assert_ne!(*word, "nxp-unknown");
            assert!(!words[..index].contains(word), "{word} twice");
        }
        assert_eq!(PayloadError::token(0), "nxp-unknown");
        assert_eq!(PayloadError::token(15), "nxp-unknown");
    }
}
