//! Several images in the payload of one Matter OTA image: the format of NXP's multi-image OTA, which Silicon Labs uses as well.
//!
//! ```text
//! tag (4 B)  length (4 B)  value      repeated to the end of the payload; nothing else: no count, no checksum
//!
//! value of an application or boot loader:  descriptor (132 B): version, version string, build date; then the image
//! value of factory data:                   a Matter TLV structure with the fields 4, 5, 6 and 11
//! ```
//!
//! This is not Matter's TLV encoding. Numbers are little endian, nothing is aligned, and values may be cut anywhere by the
//! blocks of a transfer. [`PayloadReader`] takes blocks of any size and says where each value starts, what belongs to it and
//! where it ends: whoever processes them looks the tag up and hands the bytes on. An [`Accumulator`] collects the start of a
//! value, such as its [`Descriptor`], from the pieces. [`FactoryData`] reads the fields of factory data.
//!
//! There is no digest in here. The one in the header of the image around it covers the whole payload. A [`Manifest`], Airlift's own first
//! part, has one for each part, and says in which order they are applied.

mod accumulator;
#[cfg(feature = "alloc")]
mod builder;
mod content;
mod descriptor;
mod error;
mod factory_data;
#[cfg(feature = "nxp-legacy")]
pub mod legacy;
mod manifest;
mod reader;
pub mod tag;

pub use accumulator::{Accumulator, TooLong};
#[cfg(feature = "alloc")]
pub use builder::{BuildError, PartRule, PayloadBuilder};
pub use content::Content;
pub use descriptor::{DESCRIPTOR_LEN, DESCRIPTOR_TEXT_LEN, Descriptor, TextTooLong};
pub use error::PayloadError;
pub use factory_data::{
    DAC_KEY_LEN, FactoryData, FactoryDataError, FactoryField, MAX_FACTORY_DATA_LEN,
};
pub use manifest::{MAX_MANIFEST_LEN, MAX_MANIFEST_PARTS, Manifest, ManifestError, ManifestPart};
pub use reader::{Event, MAX_TLVS, PayloadReader, Rules, Summary, Tags};

/// Bytes before each value.
pub const TLV_HEADER_LEN: usize = 8;

/// One part of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tlv {
    /// What the value is for.
    pub tag: u32,
    /// Bytes of the value, a descriptor included.
    pub length: u32,
    /// Where its header starts, from the start of the payload.
    pub offset: u64,
}

impl Tlv {
    /// Reads the header of a part that starts at this offset of the payload.
    #[must_use]
    pub const fn parse(bytes: &[u8; TLV_HEADER_LEN], offset: u64) -> Self {
        let &[t0, t1, t2, t3, l0, l1, l2, l3] = bytes;
        Self {
            tag: u32::from_le_bytes([t0, t1, t2, t3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            offset,
        }
    }

    /// The bytes of the header; inverse of [`parse`](Self::parse).
    #[must_use]
    pub const fn emit(&self) -> [u8; TLV_HEADER_LEN] {
        let [t0, t1, t2, t3] = self.tag.to_le_bytes();
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        [t0, t1, t2, t3, l0, l1, l2, l3]
    }

    /// Where its value starts, from the start of the payload.
    #[must_use]
    pub const fn value_offset(&self) -> u64 {
        self.offset.saturating_add(TLV_HEADER_LEN as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn headers_parse_and_emit_as_inverse(bytes: [u8; TLV_HEADER_LEN], offset: u64) {
            proptest::prop_assert_eq!(Tlv::parse(&bytes, offset).emit(), bytes);
        }
    }
}
