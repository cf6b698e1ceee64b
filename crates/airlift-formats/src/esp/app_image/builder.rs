//! Builds app images: what the demo, the simulator and tests use as firmware.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

use super::{
    APP_DESCRIPTOR_LEN, AppDescriptor, CHECKSUM_SEED, ChipId, HASH_LEN, HEADER_LEN, Header, MAGIC,
    MAX_SEGMENTS, Mmu, SEGMENT_HEADER_LEN, SEGMENT_LIMIT, SegmentHeader, image_len,
};

/// Why an image cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The chip's memory is not known here.
    UnknownChip {
        /// That chip.
        chip: ChipId,
    },
    /// A text is longer than its field in the app descriptor, or has a NUL in it.
    Text {
        /// Name of the field.
        field: &'static str,
        /// Bytes that fit.
        capacity: usize,
    },
    /// More than 16 segments, those that are inserted as padding included.
    TooManySegments,
    /// A segment would have 16 MiB or more.
    SegmentTooLarge {
        /// Bytes of its data.
        length: usize,
    },
    /// The payload does not fit into the address range that the chip maps flash to.
    PayloadTooLarge {
        /// Bytes of the payload.
        length: usize,
        /// Bytes that fit.
        capacity: usize,
    },
    /// A load address, or the partition's place, is not a multiple of 4.
    Unaligned {
        /// That address.
        address: u32,
    },
    /// The chip has neither RAM nor mapped flash at a load address.
    LoadAddress {
        /// That address.
        load_addr: u32,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownChip { chip } => write!(f, "cannot build for {chip}"),
            Self::Text { field, capacity } => write!(
                f,
                "the {field} has to be a text of at most {capacity} bytes without NUL"
            ),
            Self::TooManySegments => f.write_str("an image has at most 16 segments"),
            Self::SegmentTooLarge { length } => {
                write!(f, "a segment of {length} bytes is not below 16 MiB")
            }
            Self::PayloadTooLarge { length, capacity } => write!(
                f,
                "a payload of {length} bytes cannot be mapped, at most {capacity} bytes can"
            ),
            Self::Unaligned { address } => {
                write!(f, "address {address:#x} is not a multiple of 4")
            }
            Self::LoadAddress { load_addr } => {
                write!(f, "the chip has no memory at {load_addr:#010x}")
            }
        }
    }
}

impl core::error::Error for BuildError {}

/// Puts an app image together: header, descriptor, segments, padding, checksum and SHA-256.
///
/// Segment 0 is mapped from flash and holds the app descriptor and, behind it, the [payload](Self::payload). Further
/// segments follow in the order of the calls; before a mapped one, padding is inserted so that its place in the flash and
/// its address agree. What comes out passes the strict [`Verifier`](super::Verifier).
///
/// ```
/// use airlift_formats::esp::app_image::{AppImageBuilder, ChipId, Expect, Kind, Verifier};
///
/// let image = AppImageBuilder::new(ChipId::ESP32C3)
///     .project("thermostat")
///     .version("2.1.0")
///     .payload(b"what the firmware carries")
///     .build()?;
///
/// let mut verifier = Verifier::new(Expect::strict(Kind::App));
/// verifier.update(&image)?;
/// assert_eq!(verifier.finish()?.chip(), ChipId::ESP32C3);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AppImageBuilder {
    header: Header,
    descriptor: AppDescriptor,
    partition_offset: u32,
    payload: Vec<u8>,
    segments: Vec<(u32, Vec<u8>)>,
    failure: Option<BuildError>,
}

impl AppImageBuilder {
    /// An app without name, version and payload.
    #[must_use]
    pub fn new(chip: ChipId) -> Self {
        Self {
            header: Header {
                magic: MAGIC,
                segment_count: 0,
                spi_mode: 2,
                spi_speed: 0,
                spi_size: 2,
                entry: chip.mmu().map_or(0, |mmu| mmu.instructions.0),
                wp_pin: 0xEE,
                spi_pin_drv: [0; 3],
                chip,
                min_revision_legacy: 0,
                min_revision: 0,
                max_revision: 0xFFFF,
                reserved: [0; 4],
                hash_appended: 1,
            },
            descriptor: AppDescriptor {
                secure_version: 0,
                version: [0; 32],
                project: [0; 32],
                time: [0; 16],
                date: [0; 16],
                idf_version: [0; 32],
                elf_sha256: [0; 32],
                min_efuse_block_revision: 0,
                max_efuse_block_revision: 0xFFFF,
                mmu_page_log2: Mmu::DEFAULT_PAGE_LOG2,
                spi_flash_mode: 0,
            },
            partition_offset: 0,
            payload: Vec::new(),
            segments: Vec::new(),
            failure: None,
        }
    }

    /// Version of the app, at most 32 bytes.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.descriptor.version = self.field("version", version);
        self
    }

    /// Name of the project, at most 32 bytes.
    #[must_use]
    pub fn project(mut self, project: &str) -> Self {
        self.descriptor.project = self.field("project name", project);
        self
    }

    /// Date and time of the build, at most 16 bytes each.
    #[must_use]
    pub fn built(mut self, date: &str, time: &str) -> Self {
        self.descriptor.date = self.field("date", date);
        self.descriptor.time = self.field("time", time);
        self
    }

    /// What the app was built with, at most 32 bytes.
    #[must_use]
    pub fn idf_version(mut self, version: &str) -> Self {
        self.descriptor.idf_version = self.field("IDF version", version);
        self
    }

    /// Security version for anti-rollback.
    #[must_use]
    pub const fn secure_version(mut self, secure_version: u32) -> Self {
        self.descriptor.secure_version = secure_version;
        self
    }

    /// SHA-256 of the ELF file.
    #[must_use]
    pub const fn elf_sha256(mut self, digest: [u8; 32]) -> Self {
        self.descriptor.elf_sha256 = digest;
        self
    }

    /// Address of the entry point.
    #[must_use]
    pub const fn entry(mut self, entry: u32) -> Self {
        self.header.entry = entry;
        self
    }

    /// Chip revisions that the app runs on, major * 100 + minor; no upper limit: 0xFFFF.
    #[must_use]
    pub const fn chip_revisions(mut self, min: u16, max: u16) -> Self {
        self.header.min_revision = min;
        self.header.max_revision = max;
        self
    }

    /// Flash address of the partition, if that is not a multiple of 64 KiB.
    #[must_use]
    pub const fn partition_offset(mut self, offset: u32) -> Self {
        self.partition_offset = offset;
        self
    }

    /// Whether the image ends with a SHA-256; it does unless told otherwise.
    #[must_use]
    pub const fn append_hash(mut self, append: bool) -> Self {
        self.header.hash_appended = append as u8;
        self
    }

    /// Data behind the app descriptor in segment 0, from file offset 288; zeros fill it up to a multiple of 4.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// One more segment; zeros fill it up to a multiple of 4.
    #[must_use]
    pub fn segment(mut self, load_addr: u32, data: &[u8]) -> Self {
        self.segments.push((load_addr, data.to_vec()));
        self
    }

    /// The bytes of the image.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let chip = self.header.chip;
        let mmu = chip.mmu().ok_or(BuildError::UnknownChip { chip })?;
        let mut image = Image {
            bytes: self.header.emit().to_vec(),
            checksum: CHECKSUM_SEED,
            segments: 0,
        };

        let in_page = self.flash_address(HEADER_LEN + SEGMENT_HEADER_LEN) & WITHIN_PAGE;
        let load_addr = mmu.data.0 + in_page;
        let capacity =
            (mmu.data.1 - load_addr).min(SEGMENT_LIMIT - 4) as usize - APP_DESCRIPTOR_LEN;
        if self.payload.len() > capacity {
            return Err(BuildError::PayloadTooLarge {
                length: self.payload.len(),
                capacity,
            });
        }
        let mut first = self.descriptor.emit().to_vec();
        first.extend_from_slice(&self.payload);
        image.push(load_addr, &first)?;

        for (load_addr, data) in &self.segments {
            let load_addr = *load_addr;
            if load_addr >= 0x1000_0000 && !chip.has_memory_at(load_addr) {
                return Err(BuildError::LoadAddress { load_addr });
            }
            if mmu.maps(load_addr) {
                self.pad(&mut image, load_addr)?;
            }
            image.push(load_addr, data)?;
        }
        Ok(image.finish(self.header.hash_appended != 0))
    }

    /// Inserts a padding segment, if the data of the next segment would not stand where they can be mapped.
    fn pad(&self, image: &mut Image, load_addr: u32) -> Result<(), BuildError> {
        let end = image.bytes.len() + SEGMENT_HEADER_LEN;
        let missing = |end| load_addr.wrapping_sub(self.flash_address(end)) & WITHIN_PAGE;
        if missing(end) == 0 {
            return Ok(());
        }
        let length = missing(end + SEGMENT_HEADER_LEN);
        if length % 4 != 0 {
            let unaligned = [load_addr, self.partition_offset];
            let address = unaligned.into_iter().find(|address| address % 4 != 0);
            let address = address.unwrap_or(load_addr);
            return Err(BuildError::Unaligned { address });
        }
        let zeros: Vec<u8> = core::iter::repeat_n(0, length as usize).collect();
        image.push(0, &zeros)
    }

    fn flash_address(&self, offset: usize) -> u32 {
        self.partition_offset.wrapping_add(offset as u32)
    }

    /// A text in its field; too long a one is reported by [`build`](Self::build).
    fn field<const N: usize>(&mut self, field: &'static str, text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        match bytes.get_mut(..text.len()) {
            Some(place) if !text.contains('\0') => place.copy_from_slice(text.as_bytes()),
            _ => {
                let error = BuildError::Text { field, capacity: N };
                self.failure.get_or_insert(error);
            }
        }
        bytes
    }
}

/// Bits of an address that are the place within a page.
const WITHIN_PAGE: u32 = (1 << Mmu::DEFAULT_PAGE_LOG2) - 1;

/// An image on its way.
struct Image {
    bytes: Vec<u8>,
    checksum: u8,
    segments: u8,
}

impl Image {
    fn push(&mut self, load_addr: u32, data: &[u8]) -> Result<(), BuildError> {
        let length = data.len().next_multiple_of(4);
        let data_len = u32::try_from(length)
            .ok()
            .filter(|length| *length < SEGMENT_LIMIT)
            .ok_or(BuildError::SegmentTooLarge { length: data.len() })?;
        if self.segments == MAX_SEGMENTS {
            return Err(BuildError::TooManySegments);
        }
        self.segments += 1;
        let header = SegmentHeader {
            load_addr,
            data_len,
        };
        self.bytes.extend_from_slice(&header.emit());
        self.bytes.extend_from_slice(data);
        self.bytes
            .extend(core::iter::repeat_n(0, length - data.len()));
        self.checksum = data.iter().fold(self.checksum, |sum, byte| sum ^ byte);
        Ok(())
    }

    fn finish(mut self, hashed: bool) -> Vec<u8> {
        if let Some(count) = self.bytes.get_mut(1) {
            *count = self.segments;
        }
        // At most 16 segments below 16 MiB: far within 32 bits.
        let end = image_len(self.bytes.len() as u32, false).unwrap_or_default() as usize;
        self.bytes.resize(end.saturating_sub(1), 0);
        self.bytes.push(self.checksum);
        if hashed {
            let digest: [u8; HASH_LEN] = Sha256::digest(&self.bytes).into();
            self.bytes.extend_from_slice(&digest);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esp::app_image::{Expect, ImageError, Kind, PREFIX_LEN, Segment, Verifier, text};
    use proptest::prelude::*;

    fn verify(image: &[u8], expect: Expect) -> Result<Vec<Segment>, ImageError> {
        let mut segments = Vec::new();
        let mut verifier = Verifier::new(expect);
        verifier.feed(image, |segment| segments.push(segment))?;
        verifier.finish().map(|_| segments)
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let new = || AppImageBuilder::new(ChipId::ESP32);
        let text = |field, capacity| Some(BuildError::Text { field, capacity });
        assert_eq!(
            new().version(&"1".repeat(33)).build().err(),
            text("version", 32)
        );
        assert_eq!(
            new().project("a\0b").build().err(),
            text("project name", 32)
        );
        assert!(new().version(&"1".repeat(32)).build().is_ok());
        let unknown = AppImageBuilder::new(ChipId(1)).build();
        assert_eq!(unknown, Err(BuildError::UnknownChip { chip: ChipId(1) }));
        let many = (0..16).fold(new(), |builder, _| builder.segment(0x4008_0000, b"x"));
        assert_eq!(many.build(), Err(BuildError::TooManySegments));
        let load_addr = 0x4200_0000;
        let elsewhere = new().segment(load_addr, b"x").build();
        assert_eq!(elsewhere, Err(BuildError::LoadAddress { load_addr }));
        let address = 0x400D_0001;
        let unaligned = new().segment(address, b"x").build();
        assert_eq!(unaligned, Err(BuildError::Unaligned { address }));
        let large = new().payload(&std::vec![0; 0x40_0000]).build();
        assert!(matches!(large, Err(BuildError::PayloadTooLarge { .. })));
    }

    fn chip() -> impl Strategy<Value = ChipId> {
        proptest::sample::select(ChipId::all().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn what_is_built_is_verified_and_read_back(
            chip in chip(),
            version in "[0-9.]{0,32}",
            secure_version: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..3000),
            extra in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..50)), 0..5),
            place in 0..100u32,
            hashed: bool,
        ) {
            let mmu = chip.mmu().unwrap();
            let mut builder = AppImageBuilder::new(chip)
                .version(&version)
                .project("demo")
                .secure_version(secure_version)
                .partition_offset(place * 0x1000)
                .append_hash(hashed)
                .payload(&payload);
            for (mapped, data) in &extra {
                let load_addr = if *mapped { mmu.instructions.0 + 0x120 } else { 0 };
                builder = builder.segment(load_addr, data);
            }
            let image = builder.build().unwrap();
            let expect = Expect {
                chip: Some(chip),
                partition_offset: place * 0x1000,
                file_len: u32::try_from(image.len()).ok(),
                require_hash: hashed,
                ..Expect::strict(Kind::App)
            };
            let segments = verify(&image, expect).unwrap();
            let app = AppDescriptor::parse(image[32..].first_chunk().unwrap()).unwrap();
            prop_assert_eq!(text(&app.version), version.as_bytes());
            prop_assert_eq!(app.secure_version, secure_version);
            prop_assert_eq!(&image[PREFIX_LEN..PREFIX_LEN + payload.len()], &payload[..]);
            // The segments that were asked for, in their order; nothing else but padding.
            let mut wanted = extra.iter().map(|(_, data)| data);
            for segment in &segments[1..] {
                let start = segment.offset as usize + SEGMENT_HEADER_LEN;
                let data = &image[start..start + segment.header.data_len as usize];
                let is_padding = segment.header.load_addr == 0 && data.iter().all(|byte| *byte == 0);
                let is_wanted = wanted.clone().next().is_some_and(|wanted| {
                    data.starts_with(wanted) && data.len() == wanted.len().next_multiple_of(4)
                });
                if is_wanted {
                    wanted.next();
                } else {
                    prop_assert!(is_padding);
                }
            }
            prop_assert!(wanted.next().is_none());
        }
    }
}
