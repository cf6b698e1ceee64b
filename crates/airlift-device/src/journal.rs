//! The engine's memory of what it was doing: a small append-only log in a flash region of its own.
//!
//! ```text
//! sector 0                                   sector 1
//! +--------+--------+-----------+--------+   +--------+- - - - - - - -
//! | record | record | marks ... | record |   | record |    erased
//! +--------+--------+-----------+--------+   +--------+- - - - - - - -
//!   seq 7    seq 8    of seq 8    seq 9        seq 10 = the state
//! ```
//!
//! A [`Record`] is 64 bytes with a CRC-32 over all of them; the valid record with the highest sequence number is the
//! state. A torn record fails its CRC (or cannot be read) and counts as not written. When a sector is full, the next one
//! is erased and written; the old one keeps the state until the new record is whole, so two sectors are the minimum and
//! wear spreads over all of them.
//!
//! A record can reserve **marks** behind itself: one flash word each, programmed when one more stretch of an image is
//! durable. A mark needs no CRC: it is programmed after the data that it speaks of, so a torn one is as good as a whole
//! one, and a lost one costs a stretch that is fetched again.
//!
//! A word may look erased and yet have been programmed by a write that the power cut tore: programming it again would be
//! refused by some parts and destroy it on others. So every record is read back after it is written, and if it did not
//! take, written again at the next position.
//!
//! The format is documented in `docs/journal.md`.

use super::{NorFlash, dual};
use crate::Error;
use crate::flash::{ERASED, Region, is_blank};
pub use crate::record::{Phase, RECORD_LEN, Record};

/// How many positions are tried before a record is given up.
const WRITE_ATTEMPTS: u32 = 8;

/// The log in its region, and the state that it holds.
#[derive(Debug)]
pub struct Journal {
    region: Region,
    /// Where the next record may go, relative to the region.
    next: u32,
    /// Where the current record is, relative to the region.
    at: u32,
    sequence: u32,
    current: Option<Record>,
}

#[dual(AFIT)]
impl Journal {
    /// Finds the state in `region`, which must be two or more whole sectors (the updater checks that).
    pub async fn mount<F: NorFlash>(flash: &mut F, region: Region) -> Self {
        let mut journal = Self {
            region,
            next: 0,
            at: 0,
            sequence: 0,
            current: None,
        };
        let sector = F::ERASE_SIZE as u32;
        let mut start = 0;
        while start < region.len {
            let mut at = start;
            while at + RECORD_LEN <= start + sector {
                let mut bytes = [0; RECORD_LEN as usize];
                if flash.read(region.offset + at, &mut bytes).await.is_ok()
                    && let Some((sequence, record)) = Record::parse(&bytes)
                    && at - start + Self::room::<F>(&record) <= sector
                    && (journal.current.is_none() || sequence > journal.sequence)
                {
                    journal.sequence = sequence;
                    journal.current = Some(record);
                    journal.at = at;
                    journal.next = at + Self::room::<F>(&record);
                }
                at += RECORD_LEN;
            }
            start += sector;
        }
        if journal.current.is_none() {
            // Nothing is known of the first sector: as if it were full.
            journal.next = region.len;
        }
        journal
    }

    /// The state: the newest whole record.
    pub const fn current(&self) -> Option<&Record> {
        self.current.as_ref()
    }

    /// Appends `record`; when this returns `Ok`, it is the state after any power cut.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the flash refuses or loses what is written to it. The state stays.
    pub async fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: Record,
    ) -> Result<(), Error<F::Error>> {
        let sector = F::ERASE_SIZE as u32;
        let room = Self::room::<F>(&record);
        let sequence = self.sequence.wrapping_add(1);
        let bytes = record.emit(sequence);
        for _ in 0..WRITE_ATTEMPTS {
            // `next` may be exactly at the end of its sector (or of the region): then it is full.
            let used = match self.next % sector {
                0 => sector,
                used => used,
            };
            if used + room > sector {
                // The state lies in the sector that `at` is in: never erase that one.
                self.next = (self.at / sector + 1) * sector;
                if self.next >= self.region.len {
                    self.next = 0;
                }
                let from = self.region.offset + self.next;
                if flash.erase(from, from + sector).await.is_err() {
                    break;
                }
            }
            let at = self.next;
            self.next = at + RECORD_LEN;
            let address = self.region.offset + at;
            let mut found = [0; RECORD_LEN as usize];
            // An error of the write itself is not asked for its reason: what counts is what can be read.
            if flash.read(address, &mut found).await.is_ok()
                && is_blank(&found)
                && flash.write(address, &bytes).await.is_ok()
                && flash.read(address, &mut found).await.is_ok()
                && found == bytes
            {
                self.at = at;
                self.next = at + room;
                self.sequence = sequence;
                self.current = Some(record);
                return Ok(());
            }
        }
        Err(Error::Journal)
    }

    /// The shortest stretch that one mark can stand for so that a record for an image of `length` bytes and its marks fit
    /// into one sector.
    pub fn stride<F: NorFlash>(length: u32) -> u32 {
        let sector = F::ERASE_SIZE as u32;
        let marks = (sector - RECORD_LEN) / F::WRITE_SIZE as u32;
        let sectors = length.div_ceil(sector);
        sectors.div_ceil(marks.max(1)).max(1) * sector
    }

    /// Programs mark `number` of the current record. Marks are a help, not a promise: one that cannot be programmed costs
    /// a stretch that is fetched again.
    pub async fn mark<F: NorFlash>(&self, flash: &mut F, number: u32) {
        if self.current.is_some_and(|record| number < record.marks()) {
            let word = [0; RECORD_LEN as usize];
            let address = self.mark_address::<F>(number);
            if let Some(word) = word.get(..F::WRITE_SIZE) {
                let _ = flash.write(address, word).await;
            }
        }
    }

    /// How many bytes of the current record's image are durable according to its marks.
    pub async fn marked<F: NorFlash>(&self, flash: &mut F) -> u32 {
        let Some(record) = self.current else { return 0 };
        // From the end: a mark in between may be missing, see `mark`.
        let mut number = record.marks();
        while number > 0 {
            let mut word = [ERASED; RECORD_LEN as usize];
            if let Some(word) = word.get_mut(..F::WRITE_SIZE) {
                let read = flash.read(self.mark_address::<F>(number - 1), word).await;
                if read.is_err() || !is_blank(word) {
                    break;
                }
            }
            number -= 1;
        }
        record.stride.saturating_mul(number).min(record.length)
    }

    const fn mark_address<F: NorFlash>(&self, number: u32) -> u32 {
        self.region.offset + self.at + RECORD_LEN + number * F::WRITE_SIZE as u32
    }

    /// Bytes that a record and its marks take, in whole records.
    const fn room<F: NorFlash>(record: &Record) -> u32 {
        let bytes = RECORD_LEN.saturating_add(record.marks().saturating_mul(F::WRITE_SIZE as u32));
        bytes.saturating_add(RECORD_LEN - 1) / RECORD_LEN * RECORD_LEN
    }
}
