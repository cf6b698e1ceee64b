//! The second step of a two-step update: the app has moved to the other slot, and its data take the slot that the old app left.
//!
//! The journal holds, for the app of each slot, which data it works with and where to get them, so that the state survives any number of boots
//! and a roll-back: the app that runs finds its own description. Data start 64 bytes into the slot, and those 64 bytes stay erased: no boot
//! loader takes that for an image, and no torn write can make it one.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject, TAIL_LEN};
use super::super::updater::{APP_ID, Transfer, Updater, check_buffer};
use super::super::{NorFlash, dual};
use super::{DataDescription, DataState, MAX_SOURCE, MAX_VERSION};
use crate::flash::Region;
use crate::verify::ImageCheck;
use crate::{Error, Offer, Refusal};

/// Bytes at the start of the slot that stay erased: a whole number of flash words, and an alignment that any reader is content with.
pub const DATA_OFFSET: u32 = 64;

/// In the tail of the record: the name of the app, the lengths of the texts, the texts.
const TEXTS: usize = APP_ID + 2;

const _: () = assert!(TEXTS + MAX_VERSION + MAX_SOURCE <= TAIL_LEN);

#[dual(AFIT)]
impl<'l, F: NorFlash, B: BootControl> Updater<'l, F, B> {
    /// Step one, before the app is fetched: the app that `app` offers will work with these data. Nothing is fetched or erased yet, and the
    /// running app keeps its own data until the new app is written over them.
    ///
    /// # Errors
    ///
    /// [`Refusal::DescriptionTooLong`], [`Refusal::TooBig`] if the data do not fit into the slot that will be left to them, [`Refusal::NoSlot`],
    /// [`Refusal::TrialPending`].
    pub async fn plan_data(
        &mut self,
        app: &Offer,
        data: &DataDescription<'_>,
    ) -> Result<(), Error<F::Error>> {
        let slot = self.passive().ok_or(Refusal::NoSlot)?;
        let place = self.beside(slot).ok_or(Refusal::NoSlot)?;
        let app = app.sha256.first_chunk().copied().unwrap_or_default();
        self.describe_data(slot, place, app, data, None).await
    }

    /// The running app works with these data from now on: for its first start, and for other data without another app. What the passive slot
    /// holds is not touched until [`begin_data`](Self::begin_data).
    ///
    /// # Errors
    ///
    /// As [`plan_data`](Self::plan_data).
    pub async fn want_data(&mut self, data: &DataDescription<'_>) -> Result<(), Error<F::Error>> {
        let slot = self.running.ok_or(Refusal::NoSlot)?;
        let place = self.passive().ok_or(Refusal::NoSlot)?;
        let subject = Subject::data_of(slot);
        let record = self.journal.find(&mut self.flash, subject).await?;
        let same = |record: &Record| {
            record.phase != Phase::Missing && record.slot == place && data.offer.is_of(record)
        };
        let known = record.filter(same);
        self.describe_data(slot, place, [0; APP_ID], data, known)
            .await
    }

    async fn describe_data(
        &mut self,
        slot: u8,
        place: u8,
        app: [u8; APP_ID],
        data: &DataDescription<'_>,
        known: Option<Record>,
    ) -> Result<(), Error<F::Error>> {
        self.check_no_trial()?;
        let (version, source) = (data.version.as_bytes(), data.source.as_bytes());
        if version.len() > MAX_VERSION || source.len() > MAX_SOURCE {
            return Err(Refusal::DescriptionTooLong.into());
        }
        let room = self.layout.slots.get(usize::from(place));
        let room = room.map_or(0, |room| room.len.saturating_sub(DATA_OFFSET));
        data.offer.check_fits(room)?;
        let mut tail = [0; TAIL_LEN];
        let lengths = [version.len() as u8, source.len() as u8];
        let fields: [&[u8]; 4] = [&app, &lengths, version, source];
        for (to, from) in tail.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        let Offer { length, sha256 } = data.offer;
        let subject = Subject::data_of(slot);
        let mut record = Record::new(subject, Phase::Missing, length, sha256);
        record.slot = place;
        let used = TEXTS + version.len() + source.len();
        let tail = tail.get(..used).unwrap_or_default();
        if let Some(known) = known {
            if self
                .journal
                .tail(&mut self.flash, subject)
                .await
                .get(APP_ID..used)
                == tail.get(APP_ID..)
            {
                return Ok(());
            }
            // The same data from elsewhere: what is there of them stays.
            record = known;
            record.progress = self.journal.marked(&mut self.flash, subject).await;
            record.stride = 0;
        }
        self.journal.append(&mut self.flash, record, tail).await
    }

    /// What the running app can know of its data. `text` keeps what is borrowed.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read any more.
    pub async fn data_state<'t>(
        &mut self,
        text: &'t mut [u8; TAIL_LEN],
    ) -> Result<DataState<'t>, Error<F::Error>> {
        let Some((record, region)) = self.data_record().await? else {
            return Ok(DataState::Unknown);
        };
        let subject = record.subject;
        *text = self.journal.tail(&mut self.flash, subject).await;
        let offer = Offer {
            length: record.length,
            sha256: record.sha256,
        };
        let description = describe(offer, text);
        Ok(match record.phase {
            Phase::Present => {
                let start = region.offset + DATA_OFFSET;
                DataState::Present(description, Region::new(start, record.length))
            }
            Phase::Fetching => {
                let marked = self.journal.marked(&mut self.flash, subject).await;
                let durable = marked.saturating_sub(DATA_OFFSET).min(record.length);
                DataState::Fetching(description, durable)
            }
            _ => DataState::Missing(description),
        })
    }

    /// The record of the running app's data, and the slot for them.
    async fn data_record(&mut self) -> Result<Option<(Record, Region)>, Error<F::Error>> {
        let Some(slot) = self.running else {
            return Ok(None);
        };
        let subject = Subject::data_of(slot);
        let record = self.journal.find(&mut self.flash, subject).await?;
        Ok(record.and_then(|record| {
            let region = self.layout.slots.get(usize::from(record.slot))?;
            Some((record, *region))
        }))
    }

    /// Step two: begins to fetch the data of the running app into the slot that the old app left, or goes on with it. With the first byte,
    /// the old app is gone.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if nobody said which data; [`Error::Refused`], before anything is erased: while the app is on trial (the old one is the
    /// way back), or if the slot holds the only good copy of something.
    pub async fn begin_data<'u, 'b, C: ImageCheck>(
        &'u mut self,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<DataDownload<'u, 'l, 'b, F, B, C>, Error<F::Error>> {
        self.check_no_trial()?;
        let Some((record, region)) = self.data_record().await? else {
            return Err(Error::State);
        };
        if self.running == Some(record.slot) {
            return Err(Refusal::RunningApp.into());
        }
        check_buffer::<F, C>(buffer)?;
        self.check_no_set().await?;
        self.check_unclaimed(region, record.subject).await?;
        let offer = Offer {
            length: record.length,
            sha256: record.sha256,
        };
        // They did when they were described; the slots can have changed since.
        offer.check_fits(region.len.saturating_sub(DATA_OFFSET))?;
        let end = offer.length.saturating_add(DATA_OFFSET);
        let durable = match record.phase {
            Phase::Present => end,
            Phase::Fetching if record.is_sound(F::ERASE_SIZE as u32) => {
                self.journal.marked(&mut self.flash, record.subject).await
            }
            _ => 0,
        };
        let flash = &mut self.flash;
        let (subject, lead) = (record.subject, DATA_OFFSET);
        let transfer = Transfer::new(flash, subject, region, lead, offer, durable, buffer).await;
        let mut download = DataDownload {
            transfer,
            updater: self,
            check,
            record,
            begun: false,
        };
        if download.offset() > 0 {
            download.begun = true;
            if record.stride > 0 {
                download.transfer.go_on(&record);
            } else if record.phase == Phase::Fetching {
                download.enter().await?;
            }
        }
        Ok(download)
    }
}

fn describe(offer: Offer, text: &[u8; TAIL_LEN]) -> DataDescription<'_> {
    let lengths = text.get(APP_ID..TEXTS).and_then(<[u8]>::first_chunk);
    let [version, source] = lengths.copied().unwrap_or_default();
    let texts = text.get(TEXTS..).unwrap_or_default();
    let split = texts.split_at_checked(version.into()).unwrap_or_default();
    let source = split.1.get(..source.into()).unwrap_or_default();
    // They were texts when they were written, and the record has a checksum.
    DataDescription {
        offer,
        version: core::str::from_utf8(split.0).unwrap_or_default(),
        source: core::str::from_utf8(source).unwrap_or_default(),
    }
}

/// Data on their way into a slot: feed it with the bytes from [`offset`](Self::offset) on, then [`finish`](Self::finish) it.
///
/// Dropping it loses nothing: [`Updater::begin_data`] goes on where the last whole stretch ended.
pub struct DataDownload<'u, 'l, 'b, F, B, C> {
    updater: &'u mut Updater<'l, F, B>,
    transfer: Transfer<'b>,
    check: C,
    record: Record,
    begun: bool,
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl, C: ImageCheck> DataDownload<'_, '_, '_, F, B, C> {
    /// The next byte that is wanted.
    pub fn offset(&self) -> u32 {
        self.transfer.offset()
    }

    /// Takes the next bytes, any number of them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the check does not like the first bytes (nothing has been erased then), or if there are more than were announced.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error<F::Error>> {
        if !self.transfer.has_room_for(bytes) {
            return self.give_up(Refusal::TooLong).await;
        }
        while !bytes.is_empty() {
            bytes = self.transfer.gather(bytes);
            if !bytes.is_empty() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// All bytes were given: verifies the data as they lie in the flash.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if bytes are missing: the download can go on. [`Error::Refused`] if they are not the ones that were described: they
    /// are missing then.
    pub async fn finish(mut self) -> Result<(), Error<F::Error>> {
        self.transfer.check_complete()?;
        self.flush().await?;
        let flash = &mut self.updater.flash;
        match self.transfer.verify(flash, &self.check, false).await {
            Ok(()) => {}
            Err(Error::Refused(refusal)) => return self.give_up(refusal).await,
            Err(error) => return Err(error),
        }
        self.note(Phase::Present, 0).await
    }

    async fn flush(&mut self) -> Result<(), Error<F::Error>> {
        if self.transfer.gathered().is_empty() {
            return Ok(());
        }
        if !self.begun {
            let prefix = self.transfer.gathered();
            let length = self.record.length;
            if let Err(refusal) = self.check.check_prefix(prefix, length) {
                return self.give_up(refusal).await;
            }
            self.updater
                .vacate(self.transfer.region, self.record.subject)
                .await?;
            self.enter().await?;
            self.begun = true;
        }
        let Updater { journal, flash, .. } = &mut *self.updater;
        self.transfer.flush(flash, journal).await?;
        Ok(())
    }

    /// The last moment before anything is destroyed.
    async fn enter(&mut self) -> Result<(), Error<F::Error>> {
        self.record.phase = Phase::Fetching;
        self.record = self.transfer.record(self.record);
        let Updater { journal, flash, .. } = &mut *self.updater;
        journal.amend(flash, self.record).await
    }

    async fn give_up(&mut self, refusal: Refusal) -> Result<(), Error<F::Error>> {
        self.note(Phase::Missing, refusal.code()).await?;
        Err(refusal.into())
    }

    async fn note(&mut self, phase: Phase, reason: u8) -> Result<(), Error<F::Error>> {
        let mut record = self.record;
        record.phase = phase;
        record.reason = reason;
        record.progress = 0;
        record.stride = 0;
        let Updater { journal, flash, .. } = &mut *self.updater;
        journal.amend(flash, record).await
    }
}
