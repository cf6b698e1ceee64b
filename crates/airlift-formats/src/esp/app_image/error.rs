//! What can be wrong with an image, in our words and in ESP-IDF's.

use super::ChipId;
use core::fmt;

/// Why an image is refused. Offsets count from the start of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// The first byte is not E9.
    Magic {
        /// That byte; FF in erased flash.
        found: u8,
    },
    /// The image is for another chip.
    Chip {
        /// The chip it is to run on.
        expected: ChipId,
        /// The chip it is for.
        found: ChipId,
    },
    /// The image is for a chip that is not known here, so its segments cannot be checked.
    UnknownChip {
        /// The number in the header.
        found: ChipId,
    },
    /// The chip is older than the image needs. Revisions are major * 100 + minor.
    RevisionTooLow {
        /// What the image needs.
        required: u16,
        /// What the chip has.
        found: u16,
    },
    /// The chip is newer than the image supports.
    RevisionTooHigh {
        /// The newest one that the image supports.
        allowed: u16,
        /// What the chip has.
        found: u16,
    },
    /// No segments, or more than 16.
    SegmentCount {
        /// Number of segments.
        found: u8,
    },
    /// No SHA-256 is appended.
    HashMissing,
    /// The field that says whether a SHA-256 is appended is neither 0 nor 1.
    HashFlag {
        /// That field.
        found: u8,
    },
    /// A segment's length is not a multiple of 4, or 16 MiB and more.
    SegmentLength {
        /// Index of the segment.
        segment: u8,
        /// Its length.
        length: u32,
    },
    /// The first segment of an app has no room for the descriptor.
    FirstSegmentTooShort {
        /// Its length.
        length: u32,
    },
    /// The app does not start with an app descriptor.
    DescriptorMagic {
        /// What stands in the place of its magic number.
        found: u32,
    },
    /// The app descriptor asks for MMU pages that the chip does not have.
    MmuPageSize {
        /// Base 2 logarithm of the page size.
        log2: u8,
    },
    /// A segment that is mapped from flash cannot be: its place in the flash and its address differ within a page.
    Mapping {
        /// Index of the segment.
        segment: u8,
        /// Where it belongs in memory.
        load_addr: u32,
        /// Where its data are in the flash.
        data_addr: u32,
    },
    /// The chip's eFuse block is older than the app needs. Revisions are major * 100 + minor.
    EfuseBlockTooLow {
        /// What the app needs.
        required: u16,
        /// What the chip has.
        found: u16,
    },
    /// The chip's eFuse block is newer than the app supports.
    EfuseBlockTooHigh {
        /// The newest one that the app supports.
        allowed: u16,
        /// What the chip has.
        found: u16,
    },
    /// A segment reaches beyond the end of the file.
    BeyondFile {
        /// Index of the segment.
        segment: u8,
        /// Bytes that the image has at least.
        needed: u32,
        /// Bytes of the file.
        file_len: u32,
    },
    /// The image does not fit into the partition.
    PartitionTooSmall {
        /// Bytes that are needed, at least.
        needed: u32,
        /// Bytes of the partition.
        partition_size: u32,
    },
    /// ESP-IDF does not verify an image in a partition above 16 MiB.
    PartitionTooLarge {
        /// Bytes of the partition.
        partition_size: u32,
    },
    /// A byte between the segments and the checksum is not zero.
    Padding {
        /// Where.
        offset: u32,
        /// The byte.
        found: u8,
    },
    /// The checksum over the segment data is wrong.
    Checksum {
        /// The right one.
        computed: u8,
        /// The one in the image.
        found: u8,
    },
    /// The appended SHA-256 is not that of the image.
    Hash,
    /// Behind the image there is something that is neither erased nor a signature sector.
    TrailingData {
        /// Where.
        offset: u32,
        /// The byte.
        found: u8,
    },
    /// The signature sector is damaged.
    Signature {
        /// Index of the block.
        block: u8,
        /// What is wrong with it.
        fault: SignatureFault,
    },
    /// The image ends early.
    Truncated {
        /// Bytes that are needed, at least.
        needed: u32,
        /// Bytes that there are.
        found: u32,
    },
    /// A segment belongs to an address where the chip has neither RAM nor mapped flash: its boot loader would stop there.
    LoadAddress {
        /// Index of the segment.
        segment: u8,
        /// Where it belongs in memory.
        load_addr: u32,
        /// The chip.
        chip: ChipId,
    },
    /// The file does not have the announced length.
    FileLength {
        /// What was announced.
        expected: u32,
        /// Bytes that there are; one more than announced if there are too many.
        found: u32,
    },
}

/// What is wrong with a block of a signature sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureFault {
    /// Magic or version is unknown.
    Version,
    /// It signs other bytes than those before it.
    Digest,
    /// Its CRC is wrong.
    Crc,
    /// Bytes at its end that must be zero are not.
    Padding,
}

impl ImageError {
    /// A small number for the variant that never changes: what a device keeps or reports.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Magic { .. } => 1,
            Self::Chip { .. } => 2,
            Self::UnknownChip { .. } => 3,
            Self::RevisionTooLow { .. } => 4,
            Self::RevisionTooHigh { .. } => 5,
            Self::SegmentCount { .. } => 6,
            Self::HashMissing => 7,
            Self::HashFlag { .. } => 8,
            Self::SegmentLength { .. } => 9,
            Self::FirstSegmentTooShort { .. } => 10,
            Self::DescriptorMagic { .. } => 11,
            Self::MmuPageSize { .. } => 12,
            Self::Mapping { .. } => 13,
            Self::EfuseBlockTooLow { .. } => 14,
            Self::EfuseBlockTooHigh { .. } => 15,
            Self::BeyondFile { .. } => 16,
            Self::PartitionTooSmall { .. } => 17,
            Self::PartitionTooLarge { .. } => 18,
            Self::Padding { .. } => 19,
            Self::Checksum { .. } => 20,
            Self::Hash => 21,
            Self::TrailingData { .. } => 22,
            Self::Signature { .. } => 23,
            Self::Truncated { .. } => 24,
            Self::FileLength { .. } => 25,
            Self::LoadAddress { .. } => 26,
        }
    }

    /// The word for a [`code`](Self::code), for reports and JSON.
    #[must_use]
    pub const fn token(code: u8) -> &'static str {
        match code {
            1 => "image-magic",
            2 => "image-chip",
            3 => "image-unknown-chip",
            4 => "image-revision-too-low",
            5 => "image-revision-too-high",
            6 => "image-segment-count",
            7 => "image-hash-missing",
            8 => "image-hash-flag",
            9 => "image-segment-length",
            10 => "image-first-segment-too-short",
            11 => "image-descriptor-magic",
            12 => "image-mmu-page-size",
            13 => "image-mapping",
            14 => "image-efuse-block-too-low",
            15 => "image-efuse-block-too-high",
            16 => "image-beyond-file",
            17 => "image-partition-too-small",
            18 => "image-partition-too-large",
            19 => "image-padding",
            20 => "image-checksum",
            21 => "image-hash",
            22 => "image-trailing-data",
            23 => "image-signature",
            24 => "image-truncated",
            25 => "image-file-length",
            26 => "image-load-address",
            _ => "image-unknown",
        }
    }

    /// The number that `esp_image_verify` returns for it: `ESP_FAIL` is 0xFFFFFFFF, `ESP_ERR_IMAGE_INVALID` 0x2002.
    #[must_use]
    pub const fn idf_code(&self) -> u32 {
        match self {
            Self::Chip { .. }
            | Self::RevisionTooLow { .. }
            | Self::RevisionTooHigh { .. }
            | Self::DescriptorMagic { .. }
            | Self::EfuseBlockTooLow { .. }
            | Self::EfuseBlockTooHigh { .. } => 0xFFFF_FFFF,
            Self::PartitionTooLarge { .. } => 0x102,
            _ => 0x2002,
        }
    }

    /// The line that ESP-IDF logs for it, for an image in a partition at this flash address.
    #[must_use]
    pub const fn idf_log(&self, partition_offset: u32) -> IdfLog<'_> {
        IdfLog {
            error: self,
            partition_offset,
        }
    }
}

/// A revision as Espressif writes it: v1.2 for 102.
struct Revision(u16);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic { found: 0xFF } => {
                f.write_str("no image: the first byte is 0xff, as in erased flash")
            }
            Self::Magic { found } => {
                write!(f, "no image: the first byte is {found:#04x}, not 0xe9")
            }
            Self::Chip { expected, found } => {
                write!(f, "the image is for {found}, not for {expected}")
            }
            Self::UnknownChip { found } => write!(
                f,
                "the image is for an unknown chip (number {}): its segments cannot be checked",
                found.0
            ),
            Self::RevisionTooLow { required, found } => write!(
                f,
                "the image needs chip revision {} or later, the chip has {}",
                Revision(required),
                Revision(found)
            ),
            Self::RevisionTooHigh { allowed, found } => write!(
                f,
                "the image supports chip revisions up to {}, the chip has {}",
                Revision(allowed),
                Revision(found)
            ),
            Self::SegmentCount { found } => {
                write!(f, "the image has {found} segments, not 1 to 16")
            }
            Self::HashMissing => f.write_str("the image has no SHA-256 appended"),
            Self::HashFlag { found } => write!(
                f,
                "header byte 23, whether a SHA-256 is appended, is {found:#x}, neither 0 nor 1"
            ),
            Self::SegmentLength { segment, length } => write!(
                f,
                "segment {segment} has length {length:#x}: not a multiple of 4 below 16 MiB"
            ),
            Self::FirstSegmentTooShort { length } => write!(
                f,
                "segment 0 has length {length:#x}: no room for an app descriptor (256 bytes)"
            ),
            Self::DescriptorMagic { found } => write!(
                f,
                "no app descriptor at offset 32: found {found:#010x} instead of 0xabcd5432"
            ),
            Self::MmuPageSize { log2 } => {
                write!(f, "the app descriptor asks for MMU pages of 2^{log2} bytes")
            }
            Self::Mapping {
                segment,
                load_addr,
                data_addr,
            } => write!(
                f,
                "segment {segment} cannot be mapped: its data are at {data_addr:#x} in flash, \
                 its address {load_addr:#010x} has another place in the page"
            ),
            Self::EfuseBlockTooLow { required, found } => write!(
                f,
                "the app needs eFuse block revision {} or later, the chip has {}",
                Revision(required),
                Revision(found)
            ),
            Self::EfuseBlockTooHigh { allowed, found } => write!(
                f,
                "the app supports eFuse block revisions up to {}, the chip has {}",
                Revision(allowed),
                Revision(found)
            ),
            Self::BeyondFile {
                segment,
                needed,
                file_len,
            } => write!(
                f,
                "segment {segment} reaches beyond the file: at least {needed} bytes are needed, \
                 there are {file_len}"
            ),
            Self::PartitionTooSmall {
                needed,
                partition_size,
            } => write!(
                f,
                "the image needs at least {needed} bytes, the partition has {partition_size}"
            ),
            Self::PartitionTooLarge { partition_size } => write!(
                f,
                "the partition of {partition_size} bytes is larger than 16 MiB"
            ),
            Self::Padding { offset, found } => write!(
                f,
                "padding before the checksum is not zero: {found:#04x} at offset {offset:#x}"
            ),
            Self::Checksum { computed, found } => write!(
                f,
                "wrong checksum: {found:#04x} in the image, {computed:#04x} over its segments"
            ),
            Self::Hash => f.write_str("the appended SHA-256 is not that of the image"),
            Self::TrailingData { offset, found } => write!(
                f,
                "data behind the image: {found:#04x} at offset {offset:#x}, \
                 neither erased (0xff) nor a signature sector"
            ),
            Self::Signature { block, fault } => {
                write!(f, "signature block {block} {fault}")
            }
            Self::Truncated { needed, found } => write!(
                f,
                "the image ends early: at least {needed} bytes are needed, there are {found}"
            ),
            Self::LoadAddress {
                segment,
                load_addr,
                chip,
            } => write!(
                f,
                "segment {segment} belongs to {load_addr:#010x}, where {chip} has no memory: \
                 perhaps the image is for another chip"
            ),
            Self::FileLength { expected, found } if found > expected => {
                write!(f, "{expected} bytes were announced, more have come")
            }
            Self::FileLength { expected, found } => {
                write!(f, "{expected} bytes were announced, there are {found}")
            }
        }
    }
}

impl core::error::Error for ImageError {}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "is of an unknown version",
            Self::Digest => "signs other bytes than those before it",
            Self::Crc => "has a wrong CRC",
            Self::Padding => "has data where there must be none",
        })
    }
}

/// What ESP-IDF logs for an error, without level and tag. See [`ImageError::idf_log`].
#[derive(Debug, Clone, Copy)]
pub struct IdfLog<'a> {
    error: &'a ImageError,
    partition_offset: u32,
}

impl fmt::Display for IdfLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.partition_offset;
        match *self.error {
            ImageError::Magic { .. } => write!(
                f,
                "image at {at:#x} has invalid magic byte (nothing flashed here?)"
            ),
            ImageError::Chip { expected, found } => write!(
                f,
                "mismatch chip ID, expected {}, found {}",
                expected.0, found.0
            ),
            ImageError::RevisionTooLow { required, found } => write!(
                f,
                "chip revision check failed. Required >= {}, found {}.",
                Revision(required),
                Revision(found)
            ),
            ImageError::RevisionTooHigh { allowed, found } => write!(
                f,
                "chip revision check failed. Required <= {}, found {}.",
                Revision(allowed),
                Revision(found)
            ),
            ImageError::SegmentCount { found } => {
                write!(f, "image at {at:#x} segment count {found} exceeds max 16")
            }
            ImageError::SegmentLength { length, .. }
            | ImageError::FirstSegmentTooShort { length } => {
                write!(f, "invalid segment length {length:#x}")
            }
            ImageError::DescriptorMagic { .. } => {
                f.write_str("Failed to fetch app description header!")
            }
            ImageError::Mapping {
                segment,
                load_addr,
                data_addr,
            } => write!(
                f,
                "Segment {segment} load address {load_addr:#010x}, doesn't match data {data_addr:#010x}"
            ),
            ImageError::EfuseBlockTooLow { required, found } => write!(
                f,
                "Image requires efuse blk rev >= {}, but chip is {}",
                Revision(required),
                Revision(found)
            ),
            ImageError::EfuseBlockTooHigh { allowed, found } => write!(
                f,
                "Image requires efuse blk rev <= {}, but chip is {}",
                Revision(allowed),
                Revision(found)
            ),
            ImageError::PartitionTooSmall {
                needed,
                partition_size,
            } => write!(
                f,
                "Image length {needed} doesn't fit in partition length {partition_size}"
            ),
            ImageError::PartitionTooLarge { partition_size } => write!(
                f,
                "partition size {partition_size:#x} invalid, larger than 16MB"
            ),
            ImageError::Checksum { computed, found } => write!(
                f,
                "Checksum failed. Calculated {computed:#x} read {found:#x}"
            ),
            ImageError::Hash => f.write_str("Image hash failed - image is corrupt"),
            // The reference does not check the rest.
            ref other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        let words: Vec<_> = (1..=26).map(ImageError::token).collect();
        for (i, word) in words.iter().enumerate() {
            assert_ne!(*word, "image-unknown");
            assert!(!words[..i].contains(word), "{word} twice");
        }
        assert_eq!(ImageError::token(0), "image-unknown");
        assert_eq!(ImageError::token(27), "image-unknown");
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<ImageError>() <= 16);
    }
}
