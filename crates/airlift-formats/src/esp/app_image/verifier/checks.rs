//! What is checked as soon as a header or a descriptor is complete.

use super::{DATA_OFFSET, Stage, Verifier};
use crate::esp::app_image::{
    APP_DESCRIPTOR_LEN, ChipId, Header, ImageError, Kind, MAGIC, MAX_PARTITION_SIZE, MAX_SEGMENTS,
    Mmu, Profile, SEGMENT_HEADER_LEN, SEGMENT_LIMIT, Segment, SegmentHeader, image_len,
};

/// A segment below this address is not loaded anywhere.
const FIRST_LOAD_ADDR: u32 = 0x1000_0000;

impl Verifier {
    /// The image header is complete.
    pub(super) fn check_header(&mut self) -> Result<(), ImageError> {
        let expect = self.expect;
        let header = Header::parse(&self.scratch);
        self.header = header;
        if let (Profile::Idf, Some(partition_size)) = (expect.profile, expect.partition_size)
            && partition_size > MAX_PARTITION_SIZE
        {
            return Err(ImageError::PartitionTooLarge { partition_size });
        }
        if header.magic != MAGIC {
            return Err(ImageError::Magic {
                found: header.magic,
            });
        }
        match expect.chip {
            Some(expected) if expected != header.chip => {
                return Err(ImageError::Chip {
                    expected,
                    found: header.chip,
                });
            }
            None if self.is_strict() && header.chip.mmu().is_none() => {
                return Err(ImageError::UnknownChip { found: header.chip });
            }
            _ => {}
        }
        if let Some(found) = expect.chip_revision {
            if found < header.min_revision {
                return Err(ImageError::RevisionTooLow {
                    required: header.min_revision,
                    found,
                });
            }
            let allowed = header.max_revision;
            if expect.kind == Kind::App && is_limit(allowed) && found > allowed {
                return Err(ImageError::RevisionTooHigh { allowed, found });
            }
        }
        let found = header.segment_count;
        if found > MAX_SEGMENTS || (found == 0 && self.is_strict()) {
            return Err(ImageError::SegmentCount { found });
        }
        if self.is_strict() {
            match header.hash_appended {
                0 if expect.require_hash => return Err(ImageError::HashMissing),
                0 | 1 => {}
                found => return Err(ImageError::HashFlag { found }),
            }
        }
        if found == 0 {
            self.begin_footer();
        } else {
            self.begin(Stage::SegmentHeader, SEGMENT_HEADER_LEN as u32);
        }
        Ok(())
    }

    /// A segment header is complete.
    pub(super) fn check_segment(
        &mut self,
        on_segment: &mut impl FnMut(Segment),
    ) -> Result<(), ImageError> {
        let header = match self.scratch.first_chunk() {
            Some(bytes) => SegmentHeader::parse(bytes),
            None => return Ok(()),
        };
        let segment = self.segment;
        on_segment(Segment {
            index: segment,
            offset: self.position.saturating_sub(SEGMENT_HEADER_LEN as u32),
            header,
        });
        let length = header.data_len;
        if length % 4 != 0 || length >= SEGMENT_LIMIT {
            return Err(ImageError::SegmentLength { segment, length });
        }
        let is_app = self.expect.kind == Kind::App;
        if segment == 0 && is_app && length < APP_DESCRIPTOR_LEN as u32 {
            return Err(ImageError::FirstSegmentTooShort { length });
        }
        if self.is_strict() {
            self.check_fit(segment, length)?;
            let (load_addr, chip) = (header.load_addr, self.header.chip);
            if is_loaded(&header) && !chip.has_memory_at(load_addr) {
                return Err(ImageError::LoadAddress {
                    segment,
                    load_addr,
                    chip,
                });
            }
        }
        // The page size of an app's first segment is in its descriptor, which has still to come.
        if segment != 0 || !is_app || !self.has_configurable_pages() {
            self.check_mapping(segment, header.load_addr, self.position)?;
        }
        self.begin(Stage::Data, length);
        Ok(())
    }

    /// The image up to the end of this segment, further segment headers, checksum and hash: within file and partition.
    fn check_fit(&self, segment: u8, length: u32) -> Result<(), ImageError> {
        let more = self.header.segment_count.saturating_sub(segment + 1);
        let needed = self
            .position
            .saturating_add(length)
            .saturating_add(u32::from(more) * SEGMENT_HEADER_LEN as u32);
        let needed = image_len(needed, self.header.hash_appended != 0).unwrap_or(u32::MAX);
        if let Some(partition_size) = self.expect.partition_size
            && needed > partition_size
        {
            return Err(ImageError::PartitionTooSmall {
                needed,
                partition_size,
            });
        }
        if let Some(file_len) = self.expect.file_len
            && needed > file_len
        {
            return Err(ImageError::BeyondFile {
                segment,
                needed,
                file_len,
            });
        }
        Ok(())
    }

    fn mmu(&self) -> Option<Mmu> {
        self.header.chip.mmu()
    }

    fn has_configurable_pages(&self) -> bool {
        self.mmu().is_some_and(|mmu| mmu.configurable_pages)
    }

    /// A mapped segment's place in the flash and its address have to agree within a page.
    fn check_mapping(&self, segment: u8, load_addr: u32, offset: u32) -> Result<(), ImageError> {
        let mapped = self.mmu().is_some_and(|mmu| mmu.maps(load_addr));
        let data_addr = self.expect.partition_offset.wrapping_add(offset);
        let within_page = 1_u32.wrapping_shl(self.page_log2.into()).wrapping_sub(1);
        if mapped && (data_addr ^ load_addr) & within_page != 0 {
            return Err(ImageError::Mapping {
                segment,
                load_addr,
                data_addr,
            });
        }
        Ok(())
    }

    /// Called when the used part of a descriptor has come, and only if segment 0 is that long.
    pub(super) fn check_descriptor(&mut self) -> Result<(), ImageError> {
        if self.expect.kind == Kind::Bootloader {
            return Ok(());
        }
        let descriptor = self.app();
        let configurable = self.has_configurable_pages();
        let [m0, m1, m2, m3, ..] = self.kept;
        let found = u32::from_le_bytes([m0, m1, m2, m3]);
        if configurable || self.is_strict() {
            let Some(descriptor) = descriptor else {
                return Err(ImageError::DescriptorMagic { found });
            };
            if configurable {
                self.page_log2 = match descriptor.mmu_page_log2 {
                    0 => Mmu::DEFAULT_PAGE_LOG2,
                    13..=16 => descriptor.mmu_page_log2,
                    log2 if self.is_strict() => return Err(ImageError::MmuPageSize { log2 }),
                    log2 => log2,
                };
                let load_addr = match self.scratch.first_chunk() {
                    Some(bytes) => SegmentHeader::parse(bytes).load_addr,
                    None => 0,
                };
                self.check_mapping(0, load_addr, DATA_OFFSET as u32)?;
            }
        }
        self.check_efuse_block()
    }

    /// ESP-IDF reads these two fields whether there is a descriptor or not, but not on ESP32.
    fn check_efuse_block(&self) -> Result<(), ImageError> {
        let limits = self.kept.get(176..).and_then(<[u8]>::first_chunk);
        let (Some(found), Some(&[n0, n1, x0, x1])) = (self.expect.efuse_block_revision, limits)
        else {
            return Ok(());
        };
        if self.header.chip == ChipId::ESP32 {
            return Ok(());
        }
        let required = u16::from_le_bytes([n0, n1]);
        let allowed = u16::from_le_bytes([x0, x1]);
        if is_limit(required) && found < required {
            return Err(ImageError::EfuseBlockTooLow { required, found });
        }
        if is_limit(allowed) && found > allowed {
            return Err(ImageError::EfuseBlockTooHigh { allowed, found });
        }
        Ok(())
    }

    /// ESP-IDF's check of the length: only when the checksum has been right.
    pub(super) fn check_idf_fit(&self, needed: u32) -> Result<(), ImageError> {
        match self.expect.partition_size {
            Some(partition_size) if needed > partition_size => Err(ImageError::PartitionTooSmall {
                needed,
                partition_size,
            }),
            _ => Ok(()),
        }
    }
}

/// Whether a segment is more than padding.
const fn is_loaded(segment: &SegmentHeader) -> bool {
    segment.load_addr >= FIRST_LOAD_ADDR && segment.data_len > 0
}

/// Whether a revision field limits anything.
const fn is_limit(revision: u16) -> bool {
    !matches!(revision, 0 | 0xFFFF)
}
