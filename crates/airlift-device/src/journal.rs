//! The engine's memory of what it was doing: a small append-only log in a flash region of its own.
//!
//! ```text
//! page 0                                          page 1
//! +--------+------+--------+-----------+------+   +--------+--------+--------+- - - - - -
//! | record | tail | record | marks ... | ...  |   | copied | copied | record |   erased
//! +--------+------+--------+-----------+------+   +--------+--------+--------+- - - - - -
//!   seq 7           seq 8    of seq 8               seq 20   seq 21   seq 22, seals the page
//! ```
//!
//! A [`Record`] is 64 bytes with a CRC-32 over all of them, and a tail behind it where it has more to say. It has a [`Subject`]: the
//! app update, a partition, the data of an app. For each subject the whole record with the highest sequence number is the state. A torn
//! record fails its CRC (or cannot be read) and counts as not written.
//!
//! When a page is full, the next one is erased, the states of all subjects are copied to it, and then the new record is written, which
//! *seals* the page: it says that everything is there. Without a seal a page counts as erased, and the one before holds the state.
//! So two pages are the minimum, and wear spreads over all of them. A page is one sector, or as many as it takes for 2 KiB.
//!
//! A record can reserve **marks** behind itself: one flash word each, programmed when one more stretch of an image is
//! durable. A mark needs no CRC: it is programmed after the data that it speaks of, so a torn one is as good as a whole
//! one, and a lost one costs a stretch that is fetched again. A copied record keeps what its marks said as a number.
//!
//! A word may look erased and yet have been programmed by a write that the power cut tore: programming it again would be
//! refused by some parts and destroy it on others. So every record is read back after it is written, and if it did not
//! take, written again at the next position.
//!
//! The format is documented in `docs/journal.md`.

use super::{NorFlash, dual};
use crate::Error;
use crate::flash::{ERASED, Region, is_blank};
pub use crate::record::{Phase, RECORD_LEN, Record, Subject, TAIL_LEN};
use crate::record::{Place, Tail};

/// How many writes that did not take are followed by another before a record is given up.
const WRITE_ATTEMPTS: u32 = 8;

/// Least bytes of a page: room for the states of all subjects, and as much again for new ones.
const MIN_PAGE: u32 = 2048;

/// How many subjects the journal can hold: the app, eight partitions, the data of two apps, and one in between.
pub const MAX_SUBJECTS: usize = 12;

/// Where the states are: the subject, and the place of its record relative to the region, with the number of its tail's blocks in the
/// low bits (records are at multiples of 64).
#[derive(Clone, Copy, Debug)]
struct Index {
    entries: [(Subject, u32); MAX_SUBJECTS],
    len: usize,
}

const TAIL_BITS: u32 = RECORD_LEN - 1;

impl Index {
    const EMPTY: Self = Self {
        entries: [(Subject::APP, 0); MAX_SUBJECTS],
        len: 0,
    };

    fn as_slice(&self) -> &[(Subject, u32)] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    fn get(&self, subject: Subject) -> Option<u32> {
        let mut entries = self.as_slice().iter();
        Some(entries.find(|(of, _)| *of == subject)?.1)
    }

    fn has_room_for(&self, subject: Subject) -> bool {
        self.len < MAX_SUBJECTS || self.get(subject).is_some()
    }

    /// Notes where the newest record of a subject is; a void one ends it.
    fn set(&mut self, record: &Record, at: u32, tail: u8) {
        let known = self.as_slice().iter();
        let known = { known }.position(|(subject, _)| *subject == record.subject);
        if record.phase == Phase::Void {
            if let Some(known) = known {
                self.len -= 1;
                let last = self.len;
                self.entries.swap(known, last);
            }
            return;
        }
        let place = known.unwrap_or(self.len);
        if let Some(entry) = self.entries.get_mut(place) {
            *entry = (record.subject, at | u32::from(tail));
            self.len = self.len.max(place + 1);
        }
    }
}

/// The log in its region, and where the states are that it holds.
#[derive(Debug)]
pub struct Journal {
    region: Region,
    /// Start of the page that holds the states, relative to the region.
    head: u32,
    /// Where the next record may go, and where its page ends, relative to the region.
    next: u32,
    end: u32,
    sequence: u32,
    /// The next record is the first one of its page that is new.
    seal: bool,
    index: Index,
    /// The state of the app update, which is asked for most.
    current: Option<Record>,
}

/// What was found at one position.
struct Found {
    place: Place,
    record: Record,
    whole: bool,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placed {
    Yes,
    /// The page has no room for it.
    Full,
    /// The flash does not keep it.
    Lost,
}

impl Found {
    const fn room<F: NorFlash>(&self) -> u32 {
        room::<F>(&self.record, self.place.tail)
    }
}

#[dual(AFIT)]
impl Journal {
    /// Finds the states in `region`, which must be two or more whole pages (the updater checks that).
    pub async fn mount<F: NorFlash>(flash: &mut F, region: Region) -> Self {
        let page = Self::page::<F>();
        let mut journal = Self {
            region,
            // Nothing is known of the first page: as if it were full.
            head: region.len - page,
            next: 0,
            end: 0,
            sequence: 0,
            seal: false,
            index: Index::EMPTY,
            current: None,
        };
        let mut start = 0;
        while start + page <= region.len {
            let mut at = start;
            let mut newest = None;
            while at < start + page {
                let found = journal.look::<F>(flash, at).await;
                if let Some(found) = &found
                    && found.place.seal
                    && found.whole
                {
                    newest = newest.max(Some(found.place.sequence));
                }
                at += found.map_or(RECORD_LEN, |found| found.room::<F>());
            }
            if let Some(newest) = newest
                && newest > journal.sequence
            {
                journal.head = start;
                journal.sequence = newest;
            }
            start += page;
        }
        if journal.sequence > 0 {
            journal.load(flash).await;
        }
        journal
    }

    /// Reads the states from the page that was found to hold them.
    async fn load<F: NorFlash>(&mut self, flash: &mut F) {
        let mut at = self.head;
        self.next = at;
        self.end = at + Self::page::<F>();
        while at < self.end {
            let Some(found) = self.look::<F>(flash, at).await else {
                at += RECORD_LEN;
                continue;
            };
            if found.whole {
                // Within a page they are in the order of their sequence numbers.
                self.note(&found.record, at, found.place.tail);
                self.sequence = self.sequence.max(found.place.sequence);
            }
            at += found.room::<F>();
            self.next = at;
        }
    }

    fn note(&mut self, record: &Record, at: u32, tail: u8) {
        self.index.set(record, at, tail);
        if record.subject == Subject::APP {
            self.current = Some(*record).filter(|record| record.phase != Phase::Void);
        }
    }

    /// The record at a position, if there is one and it lies within its page.
    async fn look<F: NorFlash>(&self, flash: &mut F, at: u32) -> Option<Found> {
        let mut bytes = [0; RECORD_LEN as usize];
        let address = self.region.offset + at;
        flash.read(address, &mut bytes).await.ok()?;
        let (place, record) = Record::parse(&bytes)?;
        let page = Self::page::<F>();
        if at % page + room::<F>(&record, place.tail) > page {
            return None;
        }
        let mut tail = Tail::EMPTY;
        let whole = place.tail == 0
            || self
                .read_tail(flash, at, place.tail, place.sequence, &mut tail)
                .await;
        Some(Found {
            place,
            record,
            whole,
        })
    }

    async fn read_tail<F: NorFlash>(
        &self,
        flash: &mut F,
        at: u32,
        blocks: u8,
        sequence: u32,
        tail: &mut Tail,
    ) -> bool {
        for number in 0..blocks {
            let mut block = [0; RECORD_LEN as usize];
            let address = self.region.offset + at + (1 + u32::from(number)) * RECORD_LEN;
            if flash.read(address, &mut block).await.is_err()
                || !tail.take(&block, number, blocks, sequence)
            {
                return false;
            }
        }
        true
    }

    /// The state of the app update.
    pub const fn current(&self) -> Option<&Record> {
        self.current.as_ref()
    }

    /// The state of a subject; `None`: there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if it cannot be read any more.
    pub async fn find<F: NorFlash>(
        &self,
        flash: &mut F,
        subject: Subject,
    ) -> Result<Option<Record>, Error<F::Error>> {
        if subject == Subject::APP {
            return Ok(self.current);
        }
        let Some(at) = self.index.get(subject) else {
            return Ok(None);
        };
        match self.look::<F>(flash, at & !TAIL_BITS).await {
            Some(found) if found.whole => Ok(Some(found.record)),
            _ => Err(Error::Journal),
        }
    }

    /// The tail of a subject's state; zeros where there is less.
    pub async fn tail<F: NorFlash>(&self, flash: &mut F, subject: Subject) -> [u8; TAIL_LEN] {
        self.tail_of(flash, subject).await.bytes
    }

    pub(crate) async fn tail_of<F: NorFlash>(&self, flash: &mut F, subject: Subject) -> Tail {
        let mut tail = Tail::EMPTY;
        if let Some(at) = self.index.get(subject)
            && let Some(found) = self.look::<F>(flash, at & !TAIL_BITS).await
        {
            let at = at & !TAIL_BITS;
            self.read_tail(flash, at, found.place.tail, found.place.sequence, &mut tail)
                .await;
        }
        tail
    }

    /// A subject that has a state, by number from 0; `None` behind the last.
    pub fn subject(&self, number: usize) -> Option<Subject> {
        Some(self.index.as_slice().get(number)?.0)
    }

    /// Appends `record` with `tail` (at most [`TAIL_LEN`] bytes); when this returns `Ok`, it is the state of its subject after any power
    /// cut.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the flash refuses or loses what is written to it, [`Error::JournalFull`] if there are more subjects or longer
    /// tails than fit. The states stay.
    pub async fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: Record,
        tail: &[u8],
    ) -> Result<(), Error<F::Error>> {
        if !self.index.has_room_for(record.subject) {
            self.forget_one(flash).await?;
        }
        let mut whole = Tail::EMPTY;
        for (to, from) in whole.bytes.iter_mut().zip(tail) {
            *to = *from;
        }
        self.put(flash, &record, &whole, Tail::blocks(tail.len()))
            .await
    }

    /// Appends `record` with the tail that the state of its subject has.
    pub(crate) async fn amend<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: Record,
    ) -> Result<(), Error<F::Error>> {
        let tail = self.tail_of(flash, record.subject).await;
        let blocks = self.index.get(record.subject).unwrap_or(0) & TAIL_BITS;
        self.put(flash, &record, &tail, blocks as u8).await
    }

    /// Makes room for one more subject: a partition whose update has ended, and the server knows.
    async fn forget_one<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), Error<F::Error>> {
        let mut number = 0;
        while let Some(subject) = self.subject(number) {
            number += 1;
            if let Some(mut record) = self.find(flash, subject).await?
                && record.phase.is_ended()
                && record.reported
            {
                record.phase = Phase::Void;
                return self.put(flash, &record, &Tail::EMPTY, 0).await;
            }
        }
        Err(Error::JournalFull)
    }

    async fn put<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: &Record,
        tail: &Tail,
        blocks: u8,
    ) -> Result<(), Error<F::Error>> {
        let before = (self.index, self.current);
        let mut placed = self.place(flash, record, tail, blocks).await;
        if placed != Placed::Yes {
            placed = self.turn_page(flash, record.subject).await;
            if placed == Placed::Yes {
                placed = self.place(flash, record, tail, blocks).await;
            }
            if placed == Placed::Full && record.stride > 0 {
                // An update that begins anew when it is interrupted is better than none, and one that never ends.
                let bare = Record {
                    stride: 0,
                    ..*record
                };
                placed = self.place(flash, &bare, tail, blocks).await;
            }
        }
        if placed == Placed::Yes {
            self.head = self.end - Self::page::<F>();
            self.seal = false;
            return Ok(());
        }
        // A page without a seal holds nothing: the states are where they were, in a page that is to be thought full.
        (self.index, self.current) = before;
        self.seal = false;
        self.next = self.end;
        Err(match placed {
            Placed::Full => Error::JournalFull,
            _ => Error::Journal,
        })
    }

    /// Writes a record to the next position of the page that takes it.
    async fn place<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: &Record,
        tail: &Tail,
        blocks: u8,
    ) -> Placed {
        let room = room::<F>(record, blocks);
        let mut attempts = 0;
        while self.next + room <= self.end && attempts < WRITE_ATTEMPTS {
            let at = self.next;
            if !self.is_blank(flash, at).await {
                self.next += RECORD_LEN;
                continue;
            }
            self.next += room;
            self.sequence += 1;
            if self.write(flash, at, record, tail, blocks).await {
                self.note(record, at, blocks);
                return Placed::Yes;
            }
            attempts += 1;
        }
        if attempts == 0 {
            Placed::Full
        } else {
            Placed::Lost
        }
    }

    async fn is_blank<F: NorFlash>(&self, flash: &mut F, at: u32) -> bool {
        let mut found = [0; RECORD_LEN as usize];
        let address = self.region.offset + at;
        flash.read(address, &mut found).await.is_ok() && is_blank(&found)
    }

    /// The head first: what is in a tail must never stand alone.
    async fn write<F: NorFlash>(
        &self,
        flash: &mut F,
        at: u32,
        record: &Record,
        tail: &Tail,
        blocks: u8,
    ) -> bool {
        let place = Place {
            sequence: self.sequence,
            seal: self.seal,
            tail: blocks,
        };
        let mut bytes = record.emit(&place);
        let mut address = self.region.offset + at;
        for number in 0..=blocks {
            let mut found = [0; RECORD_LEN as usize];
            // An error of the write itself is not asked for its reason: what counts is what can be read.
            if flash.write(address, &bytes).await.is_err()
                || flash.read(address, &mut found).await.is_err()
                || found != bytes
            {
                return false;
            }
            address += RECORD_LEN;
            bytes = tail.block(number, blocks, self.sequence);
        }
        true
    }

    /// Erases the page behind the one that holds the states, and copies all of them to it but that of `except`, which is about to change.
    async fn turn_page<F: NorFlash>(&mut self, flash: &mut F, except: Subject) -> Placed {
        let page = Self::page::<F>();
        let mut start = self.head + page;
        if start + page > self.region.len {
            start = 0;
        }
        let from = self.region.offset + start;
        if flash.erase(from, from + page).await.is_err() {
            return Placed::Lost;
        }
        let index = self.index;
        self.next = start;
        self.end = start + page;
        self.seal = false;
        for &(subject, at) in index.as_slice() {
            let at = at & !TAIL_BITS;
            if subject == except {
                continue;
            }
            let Some(found) = self.look::<F>(flash, at).await else {
                return Placed::Lost;
            };
            let mut record = found.record;
            record.progress = self
                .marks_at(flash, &record, at, u32::from(found.place.tail))
                .await;
            record.stride = 0;
            let tail = self.tail_of(flash, subject).await;
            let placed = self.place(flash, &record, &tail, found.place.tail).await;
            if placed != Placed::Yes {
                return placed;
            }
        }
        self.seal = true;
        Placed::Yes
    }

    /// The shortest stretch that one mark can stand for so that a record for an image of `length` bytes and its marks fit
    /// into half a page.
    pub fn stride<F: NorFlash>(length: u32) -> u32 {
        let sector = F::ERASE_SIZE as u32;
        let marks = (Self::page::<F>() / 2 - 2 * RECORD_LEN) / F::WRITE_SIZE as u32;
        // One more than the length says: see `Record::marks`.
        let sectors = length.saturating_add(RECORD_LEN).div_ceil(sector);
        sectors.div_ceil(marks.max(1)).max(1) * sector
    }

    /// Programs mark `number` of a subject's state. Marks are a help, not a promise: one that cannot be programmed costs
    /// a stretch that is fetched again.
    pub async fn mark<F: NorFlash>(&self, flash: &mut F, subject: Subject, number: u32) {
        if let Ok(Some(record)) = self.find(flash, subject).await
            && number < record.marks()
            && let Some(at) = self.index.get(subject)
        {
            let word = [0; RECORD_LEN as usize];
            let address = self.mark_address::<F>(at & !TAIL_BITS, at & TAIL_BITS, number);
            if let Some(word) = word.get(..F::WRITE_SIZE) {
                let _ = flash.write(address, word).await;
            }
        }
    }

    /// How many bytes of a subject's image are durable according to its record and its marks, at most to the end of the stretch that the
    /// last byte lies in.
    pub async fn marked<F: NorFlash>(&self, flash: &mut F, subject: Subject) -> u32 {
        let record = self.find(flash, subject).await.ok().flatten();
        match record.zip(self.index.get(subject)) {
            Some((record, at)) => {
                self.marks_at(flash, &record, at & !TAIL_BITS, at & TAIL_BITS)
                    .await
            }
            None => 0,
        }
    }

    async fn marks_at<F: NorFlash>(
        &self,
        flash: &mut F,
        record: &Record,
        at: u32,
        tail: u32,
    ) -> u32 {
        // From the end: a mark in between may be missing, see `mark`.
        let mut number = record.marks();
        while number > 0 {
            let mut word = [ERASED; RECORD_LEN as usize];
            if let Some(word) = word.get_mut(..F::WRITE_SIZE) {
                let address = self.mark_address::<F>(at, tail, number - 1);
                if flash.read(address, word).await.is_err() || !is_blank(word) {
                    break;
                }
            }
            number -= 1;
        }
        record
            .progress
            .saturating_add(record.stride.saturating_mul(number))
    }

    const fn mark_address<F: NorFlash>(&self, at: u32, tail: u32, number: u32) -> u32 {
        self.region.offset + at + (1 + tail) * RECORD_LEN + number * F::WRITE_SIZE as u32
    }

    /// Bytes of a page, the unit that the region must have two of or more.
    pub(crate) const fn page<F: NorFlash>() -> u32 {
        let sector = F::ERASE_SIZE as u32;
        MIN_PAGE.div_ceil(sector) * sector
    }
}

/// Bytes that a record, its tail and its marks take, in whole records.
const fn room<F: NorFlash>(record: &Record, tail: u8) -> u32 {
    let marks = record.marks().saturating_mul(F::WRITE_SIZE as u32);
    let blocks = 1 + tail as u32 + marks.div_ceil(RECORD_LEN);
    blocks.saturating_mul(RECORD_LEN)
}
