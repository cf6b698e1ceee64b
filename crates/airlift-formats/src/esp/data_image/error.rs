//! Why a file is no data image.

use core::fmt;

use super::{CHECKSUM_SEED, ChipId, MIN_LEN};

/// Why a file is not taken for a data image. Offsets count from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataImageError {
    /// Fewer bytes than `esp_https_ota` takes for a header.
    TooShort {
        /// Bytes of the file.
        found: usize,
    },
    /// The first byte is not E9.
    Magic {
        /// That byte.
        found: u8,
    },
    /// It is an app: ESP-IDF verifies it by its SHA-256.
    AppImage {
        /// Bytes of the image.
        image_len: u32,
    },
    /// ESP-IDF verifies the file and would boot it: its checksum is right, and there is no SHA-256.
    ChecksumCollides {
        /// Bytes of the image that ESP-IDF takes it for.
        image_len: u32,
        /// Segments that the header declares.
        segments: u8,
    },
    /// The header declares segments. ESP-IDF refuses the file as it is, but only because of what the data are.
    Segments {
        /// How many.
        found: u8,
    },
    /// Byte 31 is EF, the right checksum of an image without segments: ESP-IDF verifies it, whatever the data are.
    ChecksumByte,
    /// Byte 23 says that a SHA-256 is appended.
    HashAppended {
        /// That byte.
        found: u8,
    },
    /// A byte of the header that has to be 0 is not.
    HeaderByte {
        /// Where.
        offset: u8,
        /// That byte.
        found: u8,
    },
    /// The file is for another chip.
    Chip {
        /// The chip it has to be for.
        expected: ChipId,
        /// The chip it is for.
        found: ChipId,
    },
}

impl DataImageError {
    /// The word for the variant, for JSON.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "data-image-too-short",
            Self::Magic { .. } => "data-image-magic",
            Self::AppImage { .. } => "data-image-app-image",
            Self::ChecksumCollides { .. } => "data-image-checksum-collides",
            Self::Segments { .. } => "data-image-segments",
            Self::ChecksumByte => "data-image-checksum-byte",
            Self::HashAppended { .. } => "data-image-hash-appended",
            Self::HeaderByte { .. } => "data-image-header-byte",
            Self::Chip { .. } => "data-image-chip",
        }
    }
}

impl fmt::Display for DataImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort { found } => write!(
                f,
                "{found} bytes are no data image: it has at least {MIN_LEN}, or esp_https_ota gives it up"
            ),
            Self::Magic { found } => {
                write!(f, "no data image: the first byte is {found:#04x}, not 0xe9")
            }
            Self::AppImage { image_len } => write!(
                f,
                "this is an app image of {image_len} bytes with its SHA-256, not data: devices boot it"
            ),
            Self::ChecksumCollides {
                image_len,
                segments,
            } => write!(
                f,
                "unsafe: ESP-IDF verifies it as an app image of {image_len} bytes in {segments} segment(s) and would boot \
                 it, because the checksum is right and there is no SHA-256"
            ),
            Self::Segments { found } => write!(
                f,
                "unsafe: the header declares {found} segment(s) instead of none, so that it depends on the data whether \
                 ESP-IDF boots it"
            ),
            Self::ChecksumByte => write!(
                f,
                "unsafe: byte 31 is {CHECKSUM_SEED:#04x}, the checksum of an image without segments, so that ESP-IDF \
                 verifies it and would boot it"
            ),
            Self::HashAppended { found } => write!(
                f,
                "not the header of a data image: byte 23, whether a SHA-256 is appended, is {found:#04x} instead of 0"
            ),
            Self::HeaderByte { offset, found } => write!(
                f,
                "not the header of a data image: byte {offset} is {found:#04x} instead of 0"
            ),
            Self::Chip { expected, found } => {
                write!(f, "the data image is for {found}, not for {expected}")
            }
        }
    }
}

impl core::error::Error for DataImageError {}
