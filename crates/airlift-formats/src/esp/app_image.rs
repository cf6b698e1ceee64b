//! App and boot loader images of ESP-IDF (`esp_image_format`): reading, verifying as they stream by, and building.
//!
//! ```text
//! 0    header (24 B)          magic E9, number of segments, chip, chip revisions, "hash appended"
//! 24   segment header (8 B)   load address, length
//! 32   data of segment 0      starts with the app descriptor (256 B): version, project, secure version ...
//! ...  further segments
//!      zeros, then one byte   checksum: EF XOR every byte of segment data; ends at a multiple of 16
//!      SHA-256 (32 B)         of everything before it, if the header says so
//!      FF up to 4 KiB, then a signature sector (4 KiB)    images signed for Secure Boot v2
//! ```
//!
//! [`Verifier`] takes an image in pieces of any size and keeps some 500 bytes of state, so the same code runs on the device
//! (reading back from flash), on the host and in the simulated boot loader. It has two [profiles](Profile): what Airlift
//! demands before an image becomes bootable, and what ESP-IDF's own code accepts. [`check_prefix`] looks at the first
//! [`PREFIX_LEN`] bytes only: before anything is erased.
//!
//! All numbers are little endian.

#[cfg(feature = "alloc")]
mod builder;
mod chip;
mod descriptor;
mod error;
mod expect;
mod signature;
mod verifier;

#[cfg(feature = "alloc")]
pub use builder::{AppImageBuilder, BuildError};
pub use chip::{ChipId, Mmu};
pub use descriptor::{
    AppDescriptor, BootloaderDescriptor, ProjectMismatch, SecureVersionTooLow, text,
};
pub use error::{IdfLog, ImageError, SignatureFault};
pub use expect::{Expect, Kind, Prefix, Profile, Segment, SignatureSector, Summary};
pub use signature::{
    SIGNATURE_BLOCK_LEN, SIGNATURE_SECTOR_LEN, SignatureBlock, SignatureKind, signature_blocks,
};
pub use verifier::{Verifier, check_prefix};

/// First byte of every image.
pub const MAGIC: u8 = 0xE9;
/// Bytes of the image header.
pub const HEADER_LEN: usize = 24;
/// Bytes of a segment header.
pub const SEGMENT_HEADER_LEN: usize = 8;
/// Most segments that an image may have.
pub const MAX_SEGMENTS: u8 = 16;
/// A segment's data is shorter than this (16 MiB).
pub const SEGMENT_LIMIT: u32 = 0x100_0000;
/// ESP-IDF verifies no image in a partition larger than this (16 MiB).
pub const MAX_PARTITION_SIZE: u32 = 0x100_0000;
/// What the checksum starts from.
pub const CHECKSUM_SEED: u8 = 0xEF;
/// Bytes of the appended SHA-256.
pub const HASH_LEN: usize = 32;
/// Bytes of the app descriptor.
pub const APP_DESCRIPTOR_LEN: usize = 256;
/// Header, first segment header and app descriptor: all that is needed to refuse most wrong images.
pub const PREFIX_LEN: usize = HEADER_LEN + SEGMENT_HEADER_LEN + APP_DESCRIPTOR_LEN;

/// The header of an image: any 24 bytes are one, [`Verifier`] judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// [`MAGIC`] in an image.
    pub magic: u8,
    /// Number of segments, padding segments included; 1 to [`MAX_SEGMENTS`].
    pub segment_count: u8,
    /// SPI flash mode: 0 QIO, 1 QOUT, 2 DIO, 3 DOUT, 4 FAST, 5 SLOW.
    pub spi_mode: u8,
    /// SPI flash clock (four bits): 0 half, 1 a third, 2 a quarter of its source, 0xF undivided.
    pub spi_speed: u8,
    /// Flash size (four bits): 1 MiB shifted left by this, up to 7.
    pub spi_size: u8,
    /// Address of the entry point.
    pub entry: u32,
    /// Write-protect pin of the flash, 0xEE: off.
    pub wp_pin: u8,
    /// Drive strength of the flash pins.
    pub spi_pin_drv: [u8; 3],
    /// The chip that the image is for.
    pub chip: ChipId,
    /// Least chip revision in the old counting; nothing looks at it any more.
    pub min_revision_legacy: u8,
    /// Least chip revision, major * 100 + minor.
    pub min_revision: u16,
    /// Highest chip revision, major * 100 + minor; 0 and 0xFFFF: no limit.
    pub max_revision: u16,
    /// Unused.
    pub reserved: [u8; 4],
    /// 1: a SHA-256 of everything before it ends the image; 0: none. The boot loader takes any other number for 1.
    pub hash_appended: u8,
}

impl Header {
    /// Reads a header.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let &[
            magic,
            segment_count,
            spi_mode,
            spi,
            e0,
            e1,
            e2,
            e3,
            wp_pin,
            d0,
            d1,
            d2,
            c0,
            c1,
            min_revision_legacy,
            n0,
            n1,
            x0,
            x1,
            r0,
            r1,
            r2,
            r3,
            hash_appended,
        ] = bytes;
        Self {
            magic,
            segment_count,
            spi_mode,
            spi_speed: spi & 0xF,
            spi_size: spi >> 4,
            entry: u32::from_le_bytes([e0, e1, e2, e3]),
            wp_pin,
            spi_pin_drv: [d0, d1, d2],
            chip: ChipId(u16::from_le_bytes([c0, c1])),
            min_revision_legacy,
            min_revision: u16::from_le_bytes([n0, n1]),
            max_revision: u16::from_le_bytes([x0, x1]),
            reserved: [r0, r1, r2, r3],
            hash_appended,
        }
    }

    /// The bytes of the header; inverse of [`parse`](Self::parse).
    #[must_use]
    pub const fn emit(&self) -> [u8; HEADER_LEN] {
        let [e0, e1, e2, e3] = self.entry.to_le_bytes();
        let [d0, d1, d2] = self.spi_pin_drv;
        let [c0, c1] = self.chip.0.to_le_bytes();
        let [n0, n1] = self.min_revision.to_le_bytes();
        let [x0, x1] = self.max_revision.to_le_bytes();
        let [r0, r1, r2, r3] = self.reserved;
        [
            self.magic,
            self.segment_count,
            self.spi_mode,
            self.spi_size << 4 | self.spi_speed & 0xF,
            e0,
            e1,
            e2,
            e3,
            self.wp_pin,
            d0,
            d1,
            d2,
            c0,
            c1,
            self.min_revision_legacy,
            n0,
            n1,
            x0,
            x1,
            r0,
            r1,
            r2,
            r3,
            self.hash_appended,
        ]
    }
}

/// The header of a segment; its data follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentHeader {
    /// Where the data belong in memory; below 0x10000000: nowhere (padding has 0).
    pub load_addr: u32,
    /// Bytes of data; a multiple of 4.
    pub data_len: u32,
}

impl SegmentHeader {
    /// Reads a segment header.
    #[must_use]
    pub const fn parse(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Self {
        let &[a0, a1, a2, a3, l0, l1, l2, l3] = bytes;
        Self {
            load_addr: u32::from_le_bytes([a0, a1, a2, a3]),
            data_len: u32::from_le_bytes([l0, l1, l2, l3]),
        }
    }

    /// The bytes of the segment header; inverse of [`parse`](Self::parse).
    #[must_use]
    pub const fn emit(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let [a0, a1, a2, a3] = self.load_addr.to_le_bytes();
        let [l0, l1, l2, l3] = self.data_len.to_le_bytes();
        [a0, a1, a2, a3, l0, l1, l2, l3]
    }
}

/// Where the image ends whose segment data end at `data_end`: zeros and the checksum up to a multiple of 16, then the hash.
///
/// None if that is beyond 32 bits.
#[must_use]
pub const fn image_len(data_end: u32, hashed: bool) -> Option<u32> {
    // One byte of checksum, rounded up to 16: the same as the next multiple of 16 above `data_end`.
    let tail = 16 + if hashed { HASH_LEN as u32 } else { 0 };
    (data_end & !15).checked_add(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn headers_parse_and_emit_as_inverse(header: [u8; HEADER_LEN], segment: [u8; SEGMENT_HEADER_LEN]) {
            proptest::prop_assert_eq!(Header::parse(&header).emit(), header);
            proptest::prop_assert_eq!(SegmentHeader::parse(&segment).emit(), segment);
        }
    }

    #[test]
    fn an_image_ends_at_a_multiple_of_sixteen() {
        assert_eq!(image_len(32, false), Some(48));
        assert_eq!(image_len(47, false), Some(48));
        assert_eq!(image_len(48, true), Some(96));
        assert_eq!(image_len(u32::MAX, false), None);
    }
}
