//! Images of the ESP8266: a header of 8 bytes, segments, a checksum; and, from the Arduino core, two such images in one
//! file (the boot loader `eboot` up to 0x1000, then the sketch) with a CRC over all of it.
//!
//! Source: `tools/elf2bin.py` and `tools/signing.py` of esp8266/Arduino.

use crc::{CRC_32_MPEG_2, Crc, Digest, Table};
use md5::Digest as _;

use super::{App, BadImage, MAGIC};
use crate::catalog::release::Family;
use crate::digest::Md5;

/// Offset of the sketch behind `eboot`.
const SKETCH: u64 = 0x1000;
/// Offset of the file's length without signature, then its CRC (computed with both words zero), in core 2.7 and later.
const CRC_AT: u64 = SKETCH + 16;
/// Offset of the flash mode byte, which the device may change while it writes (`Updater.cpp`, `FLASH_MODE_OFFSET`).
const FLASH_MODE_AT: u64 = 2;
/// QIO, QOUT, DIO, DOUT.
const FLASH_MODES: [u8; 4] = [0, 1, 2, 3];
const MAX_SEGMENTS: u8 = 16;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_MPEG_2);

/// Whether the first segment lies in the memory of an ESP8266. An ESP32 image has pin settings and its chip id there.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let first_segment = head.get(8..12).and_then(|address| address.try_into().ok());
    head.first() == Some(&MAGIC)
        && first_segment.is_some_and(|address| has_memory_at(u32::from_le_bytes(address)))
}

/// Data RAM, instruction RAM, mapped flash.
fn has_memory_at(address: u32) -> bool {
    (0x3FFE_8000..0x4000_0000).contains(&address) || (0x4010_0000..0x4030_0000).contains(&address)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Header of the first image, or of the sketch behind it.
    Header,
    SegmentHeader,
    /// This many more bytes of a segment.
    Data(u64),
    /// Up to a multiple of 16, the last byte being the checksum.
    Footer,
    /// Between `eboot` and the sketch.
    Filler,
    /// Behind everything: nothing, or a signature.
    Behind,
}

pub(super) struct Esp8266 {
    stage: Stage,
    position: u64,
    /// Header or segment header as far as it has come.
    scratch: Vec<u8>,
    segments_left: u8,
    /// XOR of the segments' bytes of the image that goes by.
    checksum: u8,
    is_sketch: bool,
    checksum_holds: bool,
    crc: Digest<'static, u32, Table<16>>,
    crc_words: [u8; 8],
    /// With the flash mode byte as in the file, then as each mode would have it.
    md5: Vec<md5::Md5>,
    end: u64,
    trailer: Trailer,
}

/// What follows an image: `SIGNATURE || u32le(length of SIGNATURE)`, or nothing.
#[derive(Default)]
pub(super) struct Trailer {
    length: u64,
    last: Vec<u8>,
}

impl Trailer {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.last
            .extend_from_slice(bytes.get(bytes.len().saturating_sub(4)..).unwrap_or(bytes));
        self.last.drain(..self.last.len().saturating_sub(4));
    }

    pub(super) fn finish(self) -> Result<(), BadImage> {
        let says = self.last.as_slice().try_into().map(u32::from_le_bytes).ok();
        if self.length == 0 || says.is_some_and(|length| u64::from(length) + 4 == self.length) {
            return Ok(());
        }
        Err(BadImage(format!(
            "{} bytes follow the image that are no signature",
            self.length
        )))
    }
}

impl Esp8266 {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Header,
            position: 0,
            scratch: Vec::with_capacity(8),
            segments_left: 0,
            checksum: 0,
            is_sketch: false,
            checksum_holds: false,
            crc: CRC.digest(),
            crc_words: [0; 8],
            md5: vec![md5::Md5::new(); 1 + FLASH_MODES.len()],
            end: 0,
            trailer: Trailer::default(),
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) -> Result<(), BadImage> {
        while !bytes.is_empty() {
            let left = match self.stage {
                Stage::Header | Stage::SegmentHeader => 8 - self.scratch.len() as u64,
                Stage::Data(left) => left,
                Stage::Footer => 16 - self.position % 16,
                Stage::Filler => SKETCH - self.position,
                Stage::Behind => u64::MAX,
            };
            let (piece, rest) =
                bytes.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
            bytes = rest;
            self.digest(piece);
            self.position += piece.len() as u64;
            self.take(piece, piece.len() as u64 == left)?;
        }
        Ok(())
    }

    /// Takes a piece of the current stage; `whole`: the stage ends with it.
    fn take(&mut self, piece: &[u8], whole: bool) -> Result<(), BadImage> {
        match self.stage {
            Stage::Header | Stage::SegmentHeader => {
                self.scratch.extend_from_slice(piece);
                if whole {
                    let header = std::mem::take(&mut self.scratch);
                    self.stage = self.after_header(&header)?;
                }
            }
            Stage::Data(left) => {
                self.checksum = piece.iter().fold(self.checksum, |sum, byte| sum ^ byte);
                self.stage = if whole {
                    self.after_segment()
                } else {
                    Stage::Data(left - piece.len() as u64)
                };
            }
            Stage::Footer if whole => {
                self.checksum_holds = piece.last() == Some(&self.checksum);
                self.end = self.position;
                self.stage = self.after_footer()?;
            }
            Stage::Footer => {}
            Stage::Filler => {
                if piece.iter().any(|byte| !matches!(byte, 0xAA | 0xFF | 0)) {
                    return Err(BadImage(format!(
                        "bytes between 0x{:x} and 0x{SKETCH:x} are neither padding nor part of an image",
                        self.end
                    )));
                }
                if whole {
                    self.is_sketch = true;
                    self.stage = Stage::Header;
                }
            }
            Stage::Behind => self.trailer.update(piece),
        }
        Ok(())
    }

    fn after_header(&mut self, header: &[u8]) -> Result<Stage, BadImage> {
        let start = self.position - 8;
        let (Some(first), Some(second)) = (header.first_chunk::<4>(), header.last_chunk::<4>())
        else {
            return Err(BadImage(format!("the header at 0x{start:x} is incomplete")));
        };
        if self.stage == Stage::SegmentHeader {
            let (address, length) = (u32::from_le_bytes(*first), u32::from_le_bytes(*second));
            let last = address.checked_add(length.saturating_sub(1));
            if !has_memory_at(address) || !last.is_some_and(has_memory_at) {
                return Err(BadImage(format!(
                    "the segment at 0x{start:x} (0x{length:x} bytes for address 0x{address:x}) does not fit an ESP8266's memory"
                )));
            }
            self.segments_left -= 1;
            return Ok(if length == 0 {
                self.after_segment()
            } else {
                Stage::Data(u64::from(length))
            });
        }
        let [magic, segments, ..] = *first;
        if magic != MAGIC {
            return Err(BadImage(format!(
                "there is no image at 0x{start:x}: 0x{magic:02x} instead of 0xe9"
            )));
        }
        if !(1..=MAX_SEGMENTS).contains(&segments) {
            return Err(BadImage(format!(
                "the image at 0x{start:x} says that it has {segments} segments, not 1 to {MAX_SEGMENTS}"
            )));
        }
        self.segments_left = segments;
        self.checksum = 0xEF;
        Ok(Stage::SegmentHeader)
    }

    fn after_segment(&self) -> Stage {
        if self.segments_left == 0 {
            Stage::Footer
        } else {
            Stage::SegmentHeader
        }
    }

    fn after_footer(&self) -> Result<Stage, BadImage> {
        if self.is_sketch {
            // With a CRC in it the checksum does not hold: the CRC is put in afterwards. Judged at the end.
            return Ok(Stage::Behind);
        }
        if !self.checksum_holds {
            return Err(wrong_checksum());
        }
        if self.position < SKETCH {
            return Ok(Stage::Filler);
        }
        // Exactly full: the sketch follows at once, or nothing does.
        Ok(Stage::Behind)
    }

    /// The CRC sees its own two words as zero; the MD5 sees all of the image and nothing behind it.
    fn digest(&mut self, piece: &[u8]) {
        if self.stage == Stage::Behind {
            return;
        }
        let word_at = |at: u64| at.checked_sub(CRC_AT).filter(|at| *at < 8);
        let touches_words =
            self.position < CRC_AT + 8 && self.position + piece.len() as u64 > CRC_AT;
        if touches_words {
            for (at, byte) in (self.position..).zip(piece) {
                match word_at(at).and_then(|at| self.crc_words.get_mut(usize::try_from(at).ok()?)) {
                    Some(word) => {
                        *word = *byte;
                        self.crc.update(&[0]);
                    }
                    None => self.crc.update(&[*byte]),
                }
            }
        } else {
            self.crc.update(piece);
        }
        let mode_at = FLASH_MODE_AT
            .checked_sub(self.position)
            .and_then(|at| usize::try_from(at).ok());
        let mode_at = mode_at.filter(|at| *at < piece.len());
        let modes = [None].into_iter().chain(FLASH_MODES.map(Some));
        for (md5, mode) in self.md5.iter_mut().zip(modes) {
            match (mode_at, mode) {
                (Some(at), Some(mode)) => {
                    let mut changed = piece.to_vec();
                    if let Some(byte) = changed.get_mut(at) {
                        *byte = mode;
                    }
                    md5.update(&changed);
                }
                _ => md5.update(piece),
            }
        }
    }

    pub(super) fn finish(self) -> Result<App, BadImage> {
        match self.stage {
            Stage::Filler | Stage::Behind => {}
            stage => {
                let at = self.position;
                let what = match stage {
                    Stage::Data(left) => format!("{left} bytes of a segment are missing"),
                    _ => "a header or the checksum is missing".to_owned(),
                };
                return Err(BadImage(format!(
                    "the image ends too early, after {at} bytes: {what}"
                )));
            }
        }
        if !self.checksum_holds {
            let [l0, l1, l2, l3, c0, c1, c2, c3] = self.crc_words;
            let (length, crc) = (
                u32::from_le_bytes([l0, l1, l2, l3]),
                u32::from_le_bytes([c0, c1, c2, c3]),
            );
            if u64::from(length) != self.end || crc != self.crc.finalize() {
                return Err(wrong_checksum());
            }
        }
        self.trailer.finish()?;
        let mut running_md5 = Vec::with_capacity(self.md5.len());
        for md5 in self.md5 {
            let md5 = Md5(md5.finalize().into());
            if !running_md5.contains(&md5) {
                running_md5.push(md5);
            }
        }
        Ok(App {
            family: Family::Esp8266,
            chip_id: None,
            version: None,
            project: None,
            running_md5,
            running_sha256: None,
        })
    }
}

fn wrong_checksum() -> BadImage {
    BadImage("the checksum does not match the content: the image was damaged".to_owned())
}
