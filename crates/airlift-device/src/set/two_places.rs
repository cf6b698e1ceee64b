//! A part in another flash: two places, one of which is used, and a journal that says which.

use sha2::{Digest as _, Sha256};

use super::super::journal::{Journal, Phase, Record, Subject};
use super::super::updater::digest_flash;
use super::super::{NorFlash, dual};
use super::{Copy, Failed, PartOffer, Processor, Step};
use crate::flash::{ERASED, Region};
use crate::record::{RECORD_LEN, Tail};
use crate::{Error, Offer};

/// Keeps a part in two places of another flash: what is in use in one, what is staged in the other, and a journal says which is which. Applying and
/// reverting is one record of it, so that a power cut leaves the one or the other. What is there already is not fetched, and a download that was
/// interrupted goes on.
///
/// It is a whole [`Processor`]. One that wants to look at descriptors, or at what comes, has one of these inside: see
/// `crates/airlift-device/tests/custom_processor.rs`.
pub struct TwoPlaces<F> {
    tag: u32,
    flash: F,
    journal: Region,
    places: [Region; 2],
    /// The place in use, as it was when the journal was read last.
    slot: u8,
    /// Where the next word goes, and the bytes that wait for one.
    at: u32,
    gathered: [u8; RECORD_LEN as usize],
    count: usize,
}

/// The one subject of its journal.
const SUBJECT: Subject = Subject::partition(0);

/// What the journal says, or would say if it said nothing: the first place is used, and nobody knows what is in it.
#[derive(Clone, Copy)]
struct State {
    record: Record,
    /// What was in use before it.
    before: Offer,
    /// The image that what is staged belongs to.
    image: [u8; 32],
}

impl State {
    const TAIL: usize = 4 + 32 + 32;

    /// What is in use.
    const fn used(&self) -> Offer {
        match self.record.phase {
            Phase::Staging | Phase::Ready => self.before,
            _ => Offer {
                length: self.record.length,
                sha256: self.record.sha256,
            },
        }
    }

    fn tail(&self) -> [u8; Self::TAIL] {
        let mut tail = [0; Self::TAIL];
        let fields: [&[u8]; 3] = [
            &self.before.length.to_le_bytes(),
            &self.before.sha256,
            &self.image,
        ];
        for (to, from) in tail.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        tail
    }

    fn parse(record: Record, tail: &Tail) -> Self {
        let (length, rest) = tail.bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let (sha256, rest) = rest.split_first_chunk().unwrap_or((&[0; 32], &[]));
        Self {
            record,
            before: Offer {
                length: u32::from_le_bytes(*length),
                sha256: *sha256,
            },
            image: rest.first_chunk().copied().unwrap_or_default(),
        }
    }
}

/// What the flash or the journal cannot do, its owner cannot either.
fn failed<E>(_: Error<E>) -> Failed {
    Failed
}

#[dual(AFIT)]
impl<F: NorFlash> TwoPlaces<F> {
    /// The part with this tag in `flash`, which has nothing else to do with the regions: `journal`, two or more sectors of 4 KiB or more in all, and two places of
    /// whole sectors, of which the first is in use at the beginning.
    ///
    /// # Errors
    ///
    /// [`Failed`] if the regions overlap, are not whole sectors of the flash, or the journal is too small.
    pub fn new(tag: u32, flash: F, journal: Region, places: [Region; 2]) -> Result<Self, Failed> {
        let (sector, capacity) = (F::ERASE_SIZE as u32, flash.capacity() as u32);
        let [one, other] = places;
        let whole = [journal, one, other]
            .iter()
            .all(|region| region.is_whole_sectors(sector, capacity));
        let apart = !one.overlaps(other) && !places.iter().any(|place| place.overlaps(journal));
        let line = RECORD_LEN as usize;
        let fits = line.is_multiple_of(F::WRITE_SIZE)
            && line.is_multiple_of(F::READ_SIZE)
            && F::ERASE_SIZE.is_multiple_of(line)
            && F::ERASE_SIZE > line;
        if !(whole && apart && fits) || journal.len < 2 * Journal::page::<F>() {
            return Err(Failed);
        }
        Ok(Self {
            tag,
            flash,
            journal,
            places,
            slot: 0,
            at: 0,
            gathered: [0; RECORD_LEN as usize],
            count: 0,
        })
    }

    /// The place that is in use, and what it holds; `None`: what was there before the first part came.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn used(&mut self) -> Result<(Region, Option<Offer>), Failed> {
        let (_, state) = self.state().await?;
        let used = state.used();
        Ok((
            self.place(state.record.slot),
            (used.length > 0).then_some(used),
        ))
    }

    async fn stage(&mut self, length: u32, image: [u8; 32]) -> Result<(), Failed> {
        let (mut journal, mut state) = self.state().await?;
        let slot = state.record.slot;
        if length > self.place(slot ^ 1).len {
            return Err(Failed);
        }
        state.before = state.used();
        state.image = image;
        state.record = Record::new(SUBJECT, Phase::Staging, length, [0; 32]);
        state.record.slot = slot;
        state.record.stride = Journal::stride::<F>(length);
        self.at = 0;
        self.count = 0;
        self.note(&mut journal, &state).await
    }

    /// Programs what was gathered, and marks each stretch that is whole.
    async fn flush(&mut self) -> Result<(), Failed> {
        let sector = F::ERASE_SIZE as u32;
        let place = self.place(self.slot ^ 1);
        if self.at.saturating_add(self.count as u32) > place.len {
            return Err(Failed);
        }
        for byte in self.gathered.iter_mut().skip(self.count) {
            *byte = ERASED;
        }
        let start = place.offset + self.at;
        if self.at.is_multiple_of(sector) {
            self.flash.erase(start, start + sector).await?;
        }
        let words = self.count.next_multiple_of(F::WRITE_SIZE);
        let words = self.gathered.get(..words).unwrap_or_default();
        self.flash.write(start, words).await?;
        self.at += self.count as u32;
        self.count = 0;
        if self.at.is_multiple_of(sector) {
            let (journal, state) = self.state().await?;
            let Record {
                progress, stride, ..
            } = state.record;
            let marked = self.at.saturating_sub(progress);
            if stride > 0 && marked.is_multiple_of(stride) {
                journal
                    .mark(&mut self.flash, SUBJECT, marked / stride - 1)
                    .await;
            }
        }
        Ok(())
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    async fn decline(&mut self, journal: &mut Journal, state: &mut State) -> Result<(), Failed> {
        state.record.phase = Phase::Declined;
        state.record.length = state.before.length;
        state.record.sha256 = state.before.sha256;
        self.note(journal, state).await
    }

    async fn note(&mut self, journal: &mut Journal, state: &State) -> Result<(), Failed> {
        let mut record = state.record;
        if record.phase != Phase::Staging {
            record.stride = 0;
            record.progress = 0;
        }
        let tail = state.tail();
        let written = journal.append(&mut self.flash, record, &tail);
        written.await.map_err(failed)
    }

    /// The journal is read anew for every step: it is short, and two of these for one part cannot disagree.
    async fn state(&mut self) -> Result<(Journal, State), Failed> {
        let journal = Journal::mount(&mut self.flash, self.journal).await;
        let found = journal.find(&mut self.flash, SUBJECT).await;
        let record = found.map_err(failed)?;
        let tail = journal.tail_of(&mut self.flash, SUBJECT).await;
        let none = Record::new(SUBJECT, Phase::Declined, 0, [0; 32]);
        let state = State::parse(record.unwrap_or(none), &tail);
        self.slot = state.record.slot;
        Ok((journal, state))
    }

    const fn place(&self, slot: u8) -> Region {
        let [one, other] = self.places;
        if slot & 1 == 0 { one } else { other }
    }
}

#[dual(AFIT)]
impl<F: NorFlash> Processor for TwoPlaces<F> {
    fn tag(&self) -> u32 {
        self.tag
    }

    async fn holds(&mut self, content: &Offer) -> bool {
        let state = self.state().await;
        state.is_ok_and(|(_, state)| content.length > 0 && state.used() == *content)
    }

    async fn open(&mut self, part: &PartOffer) -> Result<u32, Failed> {
        let (journal, state) = self.state().await?;
        let record = &state.record;
        if record.length == part.length && state.image == part.image {
            let there = match record.phase {
                Phase::Ready => record.length,
                Phase::Staging => journal.marked(&mut self.flash, SUBJECT).await,
                _ => 0,
            };
            if there > 0 {
                self.at = there.min(record.length);
                self.count = 0;
                return Ok(self.at);
            }
        }
        self.stage(part.length, part.image).await?;
        Ok(0)
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        self.stage(length, [0; 32]).await
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failed> {
        while let Some((byte, rest)) = bytes.split_first() {
            if let Some(place) = self.gathered.get_mut(self.count) {
                *place = *byte;
            }
            bytes = rest;
            self.count += 1;
            if self.count == self.gathered.len() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Failed> {
        if self.count > 0 {
            self.flush().await?;
        }
        let (mut journal, mut state) = self.state().await?;
        if state.record.phase == Phase::Ready {
            return Ok(());
        }
        let place = self.place(state.record.slot ^ 1);
        let content = Region::new(place.offset, state.record.length);
        let mut digest = Sha256::new();
        let mut buffer = [0; RECORD_LEN as usize];
        digest_flash(&mut self.flash, content, &mut buffer, &mut digest).await?;
        state.record.phase = Phase::Ready;
        state.record.sha256 = digest.finalize().into();
        self.note(&mut journal, &state).await
    }

    async fn read(&mut self, copy: Copy, at: u32, bytes: &mut [u8]) -> Result<bool, Failed> {
        let place = match copy {
            Copy::Used => self.place(self.slot),
            Copy::Staged => self.place(self.slot ^ 1),
        };
        let end = at.saturating_add(bytes.len() as u32);
        if end > place.len {
            return Err(Failed);
        }
        // Whole lines, so that any driver can.
        let line = RECORD_LEN as usize;
        let mut at = at as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut read = [0; RECORD_LEN as usize];
            let within = at % line;
            let start = place.offset + (at - within) as u32;
            self.flash.read(start, &mut read).await?;
            let there = (line - within).min(rest.len());
            let (now, later) = rest.split_at_mut_checked(there).unwrap_or_default();
            for (to, from) in now.iter_mut().zip(read.iter().skip(within)) {
                *to = *from;
            }
            at += there;
            rest = later;
        }
        Ok(true)
    }

    /// Nothing goes on with what is staged.
    async fn abort(&mut self) {
        if let Ok((mut journal, mut state)) = self.state().await
            && matches!(state.record.phase, Phase::Staging | Phase::Ready)
        {
            // If the journal does not take it, the next image has another name.
            let _ = self.decline(&mut journal, &mut state).await;
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        let (mut journal, mut state) = self.state().await?;
        match (step, state.record.phase) {
            (Step::Apply, Phase::Ready) => {
                state.record.phase = Phase::Replaced;
                state.record.slot ^= 1;
                self.note(&mut journal, &state).await
            }
            (Step::Apply, Phase::Replaced) => Ok(()),
            (Step::Apply, _) => Err(Failed),
            (Step::Revert, Phase::Replaced) => {
                state.record.slot ^= 1;
                self.decline(&mut journal, &mut state).await
            }
            // It was not applied.
            (Step::Revert, Phase::Staging | Phase::Ready) => {
                self.decline(&mut journal, &mut state).await
            }
            (Step::Revert, _) => Ok(()),
        }
    }
}
