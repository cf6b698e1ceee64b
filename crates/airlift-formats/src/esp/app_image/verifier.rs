//! The streaming verifier.

mod checks;

use sha2::{Digest as _, Sha256};

use super::{
    AppDescriptor, BootloaderDescriptor, CHECKSUM_SEED, Expect, HASH_LEN, HEADER_LEN, Header,
    ImageError, Kind, Mmu, PREFIX_LEN, Prefix, Profile, SEGMENT_HEADER_LEN, SIGNATURE_SECTOR_LEN,
    Segment, SegmentHeader, SignatureSector, Summary, image_len, signature::SectorReader,
};

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
    signature: SectorReader,
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
            signature: SectorReader::new(),
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
                while self.stage != Stage::Behind {
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
            signature: match self.signature.blocks() {
                0 => None,
                blocks => Some(SignatureSector {
                    // Only erased flash can have come behind it.
                    offset: self.signature_offset(),
                    blocks,
                }),
            },
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
            Stage::Behind => {}
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
            Stage::Behind => return Ok(false),
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
        let gap = self.signature_offset().saturating_sub(self.position);
        self.begin(Stage::Gap, gap);
        Ok(())
    }

    /// The first sector that starts behind the image.
    const fn signature_offset(&self) -> u32 {
        let within = SIGNATURE_SECTOR_LEN as u32 - 1;
        self.image_len.saturating_add(within) & !within
    }

    fn begin_signature(&mut self) {
        self.digest = self.sha.clone().finalize().into();
        self.begin(Stage::Signature, SIGNATURE_SECTOR_LEN as u32);
    }

    fn take_signature(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        let mut offset = self.position;
        for &byte in piece {
            self.signature.take(byte, offset, &self.digest)?;
            offset = offset.saturating_add(1);
        }
        Ok(())
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
            Stage::Signature => self.signature.blocks() == 0,
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
