//! The streaming verifier.

use crc::{Digest, NoTable};
use sha2::{Digest as _, Sha256};

use super::{
    APP_DESCRIPTOR_LEN, AppDescriptor, BootloaderDescriptor, CHECKSUM_SEED, ChipId, HASH_LEN,
    HEADER_LEN, Header, ImageError, MAGIC, MAX_PARTITION_SIZE, MAX_SEGMENTS, Mmu, PREFIX_LEN,
    SEGMENT_HEADER_LEN, SEGMENT_LIMIT, SIGNATURE_BLOCK_LEN, SIGNATURE_SECTOR_LEN, SegmentHeader,
    SignatureFault, image_len, signature,
};

/// By whose rules an image is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Airlift's: everything that the image promises has to hold. An image that passes also passes [`Idf`](Self::Idf).
    Strict,
    /// What the code of ESP-IDF accepts (`esp_image_verify` without secure boot), in its order: no SHA-256, any padding and
    /// anything behind the image are fine. Flash behind the last byte reads as erased.
    Idf,
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An app: starts with an app descriptor.
    App,
    /// A second-stage boot loader. [`Profile::Idf`]: an image at the boot loader's address, whose SHA-256 is not looked at.
    Bootloader,
}

impl Kind {
    /// What the first bytes of an image look like; an app unless there is a boot loader's descriptor.
    #[must_use]
    pub fn guess(prefix: &[u8]) -> Self {
        let descriptor = prefix
            .get(DATA_OFFSET..)
            .and_then(<[u8]>::first_chunk)
            .and_then(BootloaderDescriptor::parse);
        match descriptor {
            Some(_) => Self::Bootloader,
            None => Self::App,
        }
    }
}

/// What is known about an image's place and chip before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// By whose rules to judge.
    pub profile: Profile,
    /// What the image has to be.
    pub kind: Kind,
    /// The chip that it has to be for. Without one the image's own is taken; the strict profile then refuses an unknown one.
    pub chip: Option<ChipId>,
    /// Revision of the chip, major * 100 + minor; without one revisions are not checked.
    pub chip_revision: Option<u16>,
    /// Revision of the chip's eFuse block, major * 100 + minor; without one it is not checked.
    pub efuse_block_revision: Option<u16>,
    /// Bytes of the partition that the image has to fit into.
    pub partition_size: Option<u32>,
    /// Flash address of the partition: mapped segments have to fit their MMU pages there.
    pub partition_offset: u32,
    /// Strict profile: refuse an image without a SHA-256.
    pub require_hash: bool,
    /// Number of bytes that will come, if known: wrong lengths are then found at once.
    pub file_len: Option<u32>,
}

impl Expect {
    /// The strict profile, nothing else known.
    #[must_use]
    pub const fn strict(kind: Kind) -> Self {
        Self {
            profile: Profile::Strict,
            kind,
            chip: None,
            chip_revision: None,
            efuse_block_revision: None,
            partition_size: None,
            partition_offset: 0,
            require_hash: true,
            file_len: None,
        }
    }

    /// ESP-IDF's profile, nothing else known.
    #[must_use]
    pub const fn idf(kind: Kind) -> Self {
        let mut expect = Self::strict(kind);
        expect.profile = Profile::Idf;
        expect
    }
}

/// A segment that has gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its index.
    pub index: u8,
    /// Offset of its header in the image.
    pub offset: u32,
    /// Its header.
    pub header: SegmentHeader,
}

/// A signature sector behind an image. Its signatures were **not** verified, only its digest and CRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureSector {
    /// Offset of the sector in the file.
    pub offset: u32,
    /// Number of blocks in use.
    pub blocks: u8,
}

/// What is known of an image that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Length of the image with its SHA-256, without padding and signature behind it.
    pub image_len: u32,
    /// Number of bytes that were looked at, everything behind the image included.
    pub file_len: u32,
    /// SHA-256 of all these bytes.
    pub file_sha256: [u8; 32],
    /// The header.
    pub header: Header,
    /// The app descriptor, if there is one.
    pub app: Option<AppDescriptor>,
    /// The boot loader descriptor, if there is one.
    pub bootloader: Option<BootloaderDescriptor>,
    /// The signature sector, if there is one (strict profile).
    pub signature: Option<SignatureSector>,
}

impl Summary {
    /// The chip that the image is for.
    #[must_use]
    pub const fn chip(&self) -> ChipId {
        self.header.chip
    }

    /// Number of segments.
    #[must_use]
    pub const fn segments(&self) -> u8 {
        self.header.segment_count
    }

    /// Whether the image ends with a SHA-256.
    #[must_use]
    pub const fn is_hashed(&self) -> bool {
        self.header.hash_appended != 0
    }
}

/// What the first bytes of an image say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The header.
    pub header: Header,
    /// The header of segment 0.
    pub segment: SegmentHeader,
    /// The app descriptor, if there is one.
    pub app: Option<AppDescriptor>,
}

/// Judges an image by its first [`PREFIX_LEN`] bytes: all that can be known before anything is erased.
///
/// # Errors
/// What [`Verifier::update`] would say about these bytes; [`ImageError::Truncated`] if there are fewer.
pub fn check_prefix(bytes: &[u8], expect: &Expect) -> Result<Prefix, ImageError> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() else {
        let found = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        return Err(ImageError::Truncated {
            needed: PREFIX_LEN as u32,
            found,
        });
    };
    let mut verifier = Verifier::new(*expect);
    verifier.update(prefix)?;
    let segment: &[u8; SEGMENT_HEADER_LEN] = prefix
        .get(HEADER_LEN..)
        .and_then(<[u8]>::first_chunk)
        .unwrap_or(&[0; SEGMENT_HEADER_LEN]);
    Ok(Prefix {
        header: verifier.header,
        segment: SegmentHeader::parse(segment),
        app: verifier.app(),
    })
}

/// A segment below this address is not loaded anywhere.
const FIRST_LOAD_ADDR: u32 = 0x1000_0000;

/// File offset of the data of segment 0.
const DATA_OFFSET: usize = HEADER_LEN + SEGMENT_HEADER_LEN;

/// Bytes at the start of segment 0 that are kept: what a descriptor uses.
const KEPT_LEN: usize = AppDescriptor::USED_LEN;

/// What the next byte belongs to. Each stage but the last ends at a known offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    SegmentHeader,
    Data,
    /// Zeros, then the checksum as the last byte.
    Footer,
    Hash,
    /// Erased flash up to the next sector, which may be a signature sector.
    Gap,
    Signature,
    /// Erased flash only (strict), or anything.
    Behind,
    /// An error was found; nothing can follow.
    Failed,
}

/// Verifies an image that comes in pieces of any size.
///
/// Errors come as early as they can be known: those of the header after 24 bytes, those of the descriptor after 214. After
/// an error the verifier stays in it. One pass over the bytes serves the appended SHA-256, a signature sector's and that of
/// the whole file.
#[derive(Clone)]
pub struct Verifier {
    expect: Expect,
    stage: Stage,
    /// Bytes that went by.
    position: u32,
    /// Offset at which the stage ends.
    stage_end: u32,
    /// SHA-256 of all bytes that went by.
    sha: Sha256,
    /// SHA-256 of all bytes up to the appended one, or up to the signature sector.
    digest: [u8; HASH_LEN],
    checksum: u8,
    /// Index of the segment that goes by or comes next.
    segment: u8,
    page_log2: u8,
    /// Everything compared so far in this stage was equal.
    equal: bool,
    signature: Option<SignatureSector>,
    block_crc: Digest<'static, u32, NoTable>,
    image_len: u32,
    header: Header,
    /// The header, a segment header or the hash that goes by.
    scratch: [u8; HEADER_LEN],
    /// The start of segment 0.
    kept: [u8; KEPT_LEN],
    failure: Option<ImageError>,
}

impl Verifier {
    /// A verifier for one image.
    #[must_use]
    pub fn new(expect: Expect) -> Self {
        Self {
            expect,
            stage: Stage::Header,
            position: 0,
            stage_end: HEADER_LEN as u32,
            sha: Sha256::new(),
            digest: [0; HASH_LEN],
            checksum: CHECKSUM_SEED,
            segment: 0,
            page_log2: Mmu::DEFAULT_PAGE_LOG2,
            equal: true,
            signature: None,
            block_crc: signature::CRC.digest(),
            image_len: 0,
            header: Header::parse(&[0; HEADER_LEN]),
            scratch: [0; HEADER_LEN],
            kept: [0; KEPT_LEN],
            failure: None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The first thing that is wrong; the same again ever after.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.feed(bytes, |_| {})
    }

    /// Takes the next bytes and reports each segment header that goes by, before anything is said about it.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on_segment: impl FnMut(Segment),
    ) -> Result<(), ImageError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        while !bytes.is_empty() {
            match self.take(bytes, &mut on_segment) {
                Ok(rest) => bytes = rest,
                Err(failure) => {
                    self.failure = Some(failure);
                    self.stage = Stage::Failed;
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// What [`update`](Self::update) said; or that bytes are missing.
    pub fn finish(mut self) -> Result<Summary, ImageError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let file_len = self.position;
        let file_sha256 = self.sha.clone().finalize().into();
        match self.expect.profile {
            Profile::Strict => self.check_end()?,
            Profile::Idf => {
                // What was never written reads as FF.
                while matches!(
                    self.stage,
                    Stage::Header
                        | Stage::SegmentHeader
                        | Stage::Data
                        | Stage::Footer
                        | Stage::Hash
                ) {
                    self.update(&[0xFF; 64])?;
                }
            }
        }
        Ok(Summary {
            image_len: self.image_len,
            file_len,
            file_sha256,
            header: self.header,
            app: self.app(),
            bootloader: self
                .kept
                .first_chunk()
                .filter(|_| self.expect.kind == Kind::Bootloader)
                .and_then(BootloaderDescriptor::parse),
            signature: self.signature,
        })
    }

    /// Number of bytes taken so far.
    #[must_use]
    pub const fn position(&self) -> u32 {
        self.position
    }

    fn app(&self) -> Option<AppDescriptor> {
        AppDescriptor::from_used(&self.kept)
    }

    const fn is_strict(&self) -> bool {
        matches!(self.expect.profile, Profile::Strict)
    }

    /// Takes the bytes that belong to the stage, and returns the rest.
    fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        on_segment: &mut impl FnMut(Segment),
    ) -> Result<&'a [u8], ImageError> {
        let start = self.position;
        // At least one byte, whatever the arithmetic says: no stage can stand still.
        let left = self.stage_end.saturating_sub(start).max(1);
        let len = left.min(self.room()?) as usize;
        let (piece, rest) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
        match self.stage {
            Stage::Header | Stage::SegmentHeader => self.collect(piece),
            Stage::Data => self.take_data(piece)?,
            Stage::Footer => self.take_footer(piece)?,
            Stage::Hash => self.take_hash(piece),
            Stage::Gap => self.expect_erased(piece)?,
            Stage::Signature => self.take_signature(piece)?,
            Stage::Behind if self.is_strict() => self.expect_erased(piece)?,
            Stage::Behind | Stage::Failed => {}
        }
        self.sha.update(piece);
        self.position = start.saturating_add(length(piece));
        // A stage of no bytes at all (an empty segment) ends together with the one before it.
        while self.position == self.stage_end && self.next_stage(on_segment)? {}
        Ok(rest)
    }

    /// Goes on from a stage that is complete; false if that was the last one.
    fn next_stage(&mut self, on_segment: &mut impl FnMut(Segment)) -> Result<bool, ImageError> {
        match self.stage {
            Stage::Header => self.check_header()?,
            Stage::SegmentHeader => self.check_segment(on_segment)?,
            Stage::Data => self.next_segment(),
            Stage::Footer => self.end_footer()?,
            Stage::Hash => self.end_hash()?,
            Stage::Gap => self.begin_signature(),
            Stage::Signature => self.begin_behind(),
            Stage::Behind | Stage::Failed => return Ok(false),
        }
        Ok(true)
    }

    fn begin(&mut self, stage: Stage, len: u32) {
        self.stage = stage;
        self.stage_end = self.position.saturating_add(len);
    }

    /// Keeps the bytes of a header.
    fn collect(&mut self, piece: &[u8]) {
        let len = match self.stage {
            Stage::Header => HEADER_LEN,
            _ => SEGMENT_HEADER_LEN,
        };
        let left = self.stage_end.saturating_sub(self.position) as usize;
        let have = len.saturating_sub(left);
        copy_into(self.scratch.get_mut(have..), piece);
    }

    fn check_header(&mut self) -> Result<(), ImageError> {
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

    fn check_segment(&mut self, on_segment: &mut impl FnMut(Segment)) -> Result<(), ImageError> {
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

    fn take_data(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        self.checksum ^= piece.iter().fold(0, |sum, byte| sum ^ byte);
        let at = self.position as usize;
        if let (0, Some(have)) = (self.segment, at.checked_sub(DATA_OFFSET))
            && have < KEPT_LEN
        {
            copy_into(self.kept.get_mut(have..), piece);
            if have + piece.len() >= KEPT_LEN {
                self.check_descriptor()?;
            }
        }
        Ok(())
    }

    /// Called when the used part of a descriptor has come, and only if segment 0 is that long.
    fn check_descriptor(&mut self) -> Result<(), ImageError> {
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

    fn next_segment(&mut self) {
        self.segment = self.segment.saturating_add(1);
        if self.segment < self.header.segment_count {
            self.begin(Stage::SegmentHeader, SEGMENT_HEADER_LEN as u32);
        } else {
            self.begin_footer();
        }
    }

    fn begin_footer(&mut self) {
        let padding = 16 - (self.position & 15);
        self.begin(Stage::Footer, padding);
    }

    fn take_footer(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        let mut offset = self.position;
        for &found in piece {
            let is_checksum = offset.saturating_add(1) == self.stage_end;
            if is_checksum && found != self.checksum {
                let computed = self.checksum;
                return Err(ImageError::Checksum { computed, found });
            }
            if !is_checksum && found != 0 && self.is_strict() {
                return Err(ImageError::Padding { offset, found });
            }
            offset = offset.saturating_add(1);
        }
        Ok(())
    }

    fn end_footer(&mut self) -> Result<(), ImageError> {
        if self.header.hash_appended == 0 {
            return self.end_image();
        }
        self.digest = self.sha.clone().finalize().into();
        self.equal = true;
        if !self.is_strict() {
            // The reference looks at the length first.
            self.check_idf_fit(self.position.saturating_add(HASH_LEN as u32))?;
        }
        self.begin(Stage::Hash, HASH_LEN as u32);
        Ok(())
    }

    fn take_hash(&mut self, piece: &[u8]) {
        let left = self.stage_end.saturating_sub(self.position) as usize;
        self.equal &= matches(self.digest.get(HASH_LEN.saturating_sub(left)..), piece);
    }

    fn end_hash(&mut self) -> Result<(), ImageError> {
        // At the boot loader's address ESP-IDF does not look: flashing tools change its header.
        let ignored = !self.is_strict() && self.expect.kind == Kind::Bootloader;
        if !self.equal && !ignored {
            return Err(ImageError::Hash);
        }
        self.end_image()
    }

    fn end_image(&mut self) -> Result<(), ImageError> {
        self.image_len = self.position;
        if !self.is_strict() {
            self.check_idf_fit(self.image_len)?;
            self.begin_behind();
            return Ok(());
        }
        let sector = SIGNATURE_SECTOR_LEN as u32;
        let gap = self.position.wrapping_neg() & (sector - 1);
        self.begin(Stage::Gap, gap);
        Ok(())
    }

    fn check_idf_fit(&self, needed: u32) -> Result<(), ImageError> {
        match self.expect.partition_size {
            Some(partition_size) if needed > partition_size => Err(ImageError::PartitionTooSmall {
                needed,
                partition_size,
            }),
            _ => Ok(()),
        }
    }

    fn begin_signature(&mut self) {
        self.digest = self.sha.clone().finalize().into();
        self.begin(Stage::Signature, SIGNATURE_SECTOR_LEN as u32);
    }

    fn take_signature(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        let sector = self.stage_end.saturating_sub(SIGNATURE_SECTOR_LEN as u32);
        let mut offset = self.position;
        for &byte in piece {
            self.take_signature_byte(offset, offset.saturating_sub(sector), byte)?;
            offset = offset.saturating_add(1);
        }
        Ok(())
    }

    /// One byte of the sector; `at` counts from its start.
    fn take_signature_byte(&mut self, offset: u32, at: u32, byte: u8) -> Result<(), ImageError> {
        let (block, at) = place_in_block(at);
        let trailing = Err(ImageError::TrailingData {
            offset,
            found: byte,
        });
        if at == 0 && block < signature::MAX_BLOCKS && byte == signature::MAGIC {
            let sector = self
                .signature
                .get_or_insert(SignatureSector { offset, blocks: 0 });
            // A block behind an unused one would never be looked at.
            if sector.blocks != block {
                return trailing;
            }
            sector.blocks = block + 1;
            self.block_crc = signature::CRC.digest();
        }
        let used = self.signature.map_or(0, |sector| sector.blocks);
        if block >= used {
            return match (byte, self.signature) {
                (0xFF, _) => Ok(()),
                (_, None) => trailing,
                (_, Some(_)) => Err(ImageError::Signature {
                    block: used.saturating_sub(1),
                    fault: SignatureFault::Padding,
                }),
            };
        }
        let wrong = |fault| Err(ImageError::Signature { block, fault });
        if at < signature::CRC_OFFSET {
            self.block_crc.update(&[byte]);
        }
        match at {
            1 if byte != 2 && byte != 3 => wrong(SignatureFault::Version),
            2 | 3 if byte != 0 => wrong(SignatureFault::Version),
            4..36 if !matches(self.digest.get(at - 4..), &[byte]) => wrong(SignatureFault::Digest),
            1196..1200 => {
                let crc = self.block_crc.clone().finalize().to_le_bytes();
                match crc.get(at - signature::CRC_OFFSET) {
                    Some(expected) if *expected == byte => Ok(()),
                    _ => wrong(SignatureFault::Crc),
                }
            }
            1200.. if byte != 0 => wrong(SignatureFault::Padding),
            _ => Ok(()),
        }
    }

    fn begin_behind(&mut self) {
        self.stage = Stage::Behind;
        self.stage_end = u32::MAX;
    }

    fn expect_erased(&self, piece: &[u8]) -> Result<(), ImageError> {
        match piece.iter().position(|byte| *byte != 0xFF) {
            Some(index) => Err(ImageError::TrailingData {
                offset: self.position.saturating_add(index as u32),
                found: piece.get(index).copied().unwrap_or_default(),
            }),
            None => Ok(()),
        }
    }

    /// How many more bytes may come: the announced length and the partition bound them (strict profile).
    fn room(&self) -> Result<u32, ImageError> {
        if !self.is_strict() {
            return Ok(u32::MAX);
        }
        let partition_size = self.expect.partition_size.unwrap_or(u32::MAX);
        let expected = self.expect.file_len.unwrap_or(u32::MAX);
        match partition_size.min(expected).saturating_sub(self.position) {
            0 if expected <= partition_size => Err(ImageError::FileLength {
                expected,
                found: self.position.saturating_add(1),
            }),
            0 => Err(ImageError::PartitionTooSmall {
                needed: self.position.saturating_add(1),
                partition_size,
            }),
            room => Ok(room),
        }
    }

    /// Whether the strict profile can end here.
    fn check_end(&self) -> Result<(), ImageError> {
        let found = self.position;
        let complete = match self.stage {
            Stage::Gap | Stage::Behind => true,
            // Erased so far: not a signature sector.
            Stage::Signature => self.signature.is_none(),
            _ => false,
        };
        if !complete {
            return Err(ImageError::Truncated {
                needed: self.needed(),
                found,
            });
        }
        match self.expect.file_len {
            Some(expected) if expected != found => Err(ImageError::FileLength { expected, found }),
            _ => Ok(()),
        }
    }

    /// Bytes that the image has at least, by what is known of it.
    fn needed(&self) -> u32 {
        let hashed = self.header.hash_appended != 0;
        let end = self.stage_end;
        let more = self.header.segment_count.saturating_sub(self.segment);
        let headers = |count: u8| u32::from(count) * SEGMENT_HEADER_LEN as u32;
        let data_end = match self.stage {
            Stage::SegmentHeader | Stage::Data => {
                end.saturating_add(headers(more.saturating_sub(1)))
            }
            Stage::Footer => end.saturating_sub(1),
            _ => return end,
        };
        image_len(data_end, hashed).unwrap_or(u32::MAX)
    }
}

impl core::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Verifier")
            .field("expect", &self.expect)
            .field("stage", &self.stage)
            .field("position", &self.position)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
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

/// Block and offset in it of an offset in the signature sector; the rest of the sector counts as one block more.
fn place_in_block(at: u32) -> (u8, usize) {
    let mut at = at as usize;
    let mut block = 0;
    while block < signature::MAX_BLOCKS && at >= SIGNATURE_BLOCK_LEN {
        at -= SIGNATURE_BLOCK_LEN;
        block += 1;
    }
    (block, at)
}

fn length(piece: &[u8]) -> u32 {
    u32::try_from(piece.len()).unwrap_or(u32::MAX)
}

/// Copies as much as fits.
fn copy_into(to: Option<&mut [u8]>, from: &[u8]) {
    for (to, from) in to.into_iter().flatten().zip(from) {
        *to = *from;
    }
}

/// Whether `expected` starts with `found`.
fn matches(expected: Option<&[u8]>, found: &[u8]) -> bool {
    expected.is_some_and(|expected| expected.starts_with(found))
}
