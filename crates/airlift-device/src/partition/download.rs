//! New content on its way into a partition.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::updater::{Transfer, Updater, check_buffer};
use super::super::{NorFlash, dual};
use super::{Job, JournalRestore, Partition, RESUMES, Scheme, digest_of};
use crate::flash::Region;
use crate::record::CopyTail;
use crate::verify::ImageCheck;
use crate::{Error, Offer, Refusal};

/// New content on its way: feed it with the bytes from [`offset`](Self::offset) on, then [`finish`](Self::finish) it.
///
/// Dropping it loses nothing that the scheme keeps: [`Updater::begin_partition`] with the same offer goes on,
/// [`Updater::restore_partition`] goes back.
pub struct PartitionDownload<'u, 'l, 'b, F, B, C, S> {
    updater: &'u mut Updater<'l, F, B>,
    transfer: Transfer<'b>,
    check: C,
    scheme: S,
    job: Job,
    /// The old content is safe, as far as the scheme cares for it.
    prepared: bool,
    /// The first bytes have been looked at, and the journal says what is being done.
    begun: bool,
    /// It was refused.
    closed: bool,
}

#[dual(AFIT)]
impl<'u, 'l, 'b, F: NorFlash, B: BootControl, C: ImageCheck, S: Scheme>
    PartitionDownload<'u, 'l, 'b, F, B, C, S>
{
    pub(super) async fn begin(
        updater: &'u mut Updater<'l, F, B>,
        partition: &Partition,
        scheme: S,
        offer: Offer,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<Self, Error<F::Error>> {
        let subject = Subject::partition(partition.region.offset);
        let region = partition.region;
        if !scheme.suits(partition.kind) {
            return Err(Refusal::WrongKind.into());
        }
        updater.check_target(partition)?;
        updater.check_no_set().await?;
        updater.check_unclaimed(region, subject).await?;
        offer.check_fits(region.len)?;
        check_buffer::<F, C>(buffer)?;
        let stages = scheme.first_phase() == Phase::Staging;
        let mut record = updater.journal.find(&mut updater.flash, subject).await?;
        let mut damaged = record.is_some_and(|record| record.is_damaged());
        if stages && damaged {
            // Its room may hold the only good copy, which is to be used before it is overwritten.
            damaged = !updater
                .make_whole(subject, &mut JournalRestore, buffer, true)
                .await?;
            record = updater.journal.find(&mut updater.flash, subject).await?;
        }
        let before = CopyTail::parse(&updater.journal.tail_of(&mut updater.flash, subject).await);
        if stages && damaged && before.length > 0 {
            let (flash, place) = (&mut updater.flash, before.place);
            let found = digest_of(flash, place, before.length, buffer).await;
            if found.is_ok_and(|found| found == before.sha256) {
                // The copy is good, and is all that there is: it was the partition that failed.
                return Err(Error::NotRecovered {
                    partition: region.offset,
                });
            }
        }
        let mut copy = CopyTail {
            target: region.len,
            place: Region::default(),
            length: 0,
            sha256: [0; 32],
            staged: Region::default(),
        };
        if damaged && !stages {
            // A retry never overwrites the only good copy; and where there is none, what is left of the content is none either.
            if before.length > 0 {
                copy = before;
            }
        } else if let Some(room) = scheme.room() {
            let needed = scheme.needs(partition, &offer);
            copy.place = updater.check_room(room, region, needed, subject).await?;
        }
        let mut durable = 0;
        let here = |record: &Record| {
            record.slot & !RESUMES == scheme.code() & !RESUMES
                && before.target == region.len
                && before.place == copy.place
                && offer.is_of(record)
                && record.is_sound(F::ERASE_SIZE as u32)
        };
        let record = record.filter(here);
        if let Some(record) = &record {
            if record.phase == scheme.first_phase() {
                durable = updater.journal.marked(&mut updater.flash, subject).await;
            } else if record.phase == Phase::Ready {
                durable = offer.length;
            }
        }
        let to = if stages { copy.place } else { region };
        let job = Job {
            subject,
            region,
            offer,
            scheme: scheme.code(),
            copy,
            damaged,
        };
        let transfer =
            Transfer::new(&mut updater.flash, subject, to, 0, offer, durable, buffer).await;
        let mut download = Self {
            transfer,
            prepared: false,
            begun: false,
            closed: false,
            updater,
            check,
            scheme,
            job,
        };
        if download.offset() > 0 {
            download.prepared = true;
            download.begun = true;
            match record {
                Some(record) if record.stride > 0 => download.transfer.go_on(&record),
                Some(record) if record.phase == Phase::Ready => {}
                _ => download.enter_first().await?,
            }
        }
        Ok(download)
    }

    /// The next byte that is wanted: 0 for a new download, more for one that was interrupted.
    pub fn offset(&self) -> u32 {
        self.transfer.offset()
    }

    /// Takes the next bytes, any number of them. With the first ones, [`Backup`](super::Backup) copies the old content away.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the first bytes show that it is not for this device (the partition has not been touched then), if there are more
    /// bytes than were offered, or if the copy could not be made. A download that was refused takes nothing more: [`Error::State`].
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error<F::Error>> {
        self.check_open()?;
        if !self.transfer.has_room_for(bytes) {
            return self.give_up(Refusal::TooLong).await;
        }
        if !self.prepared {
            let buffer = self.transfer.buffer();
            self.scheme
                .prepare(&mut self.job, self.updater, buffer)
                .await?;
            self.prepared = true;
        }
        while !bytes.is_empty() {
            bytes = self.transfer.gather(bytes);
            if !bytes.is_empty() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// All bytes were given: verifies the content as it lies in the flash, and makes it the partition's.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if bytes are missing: the download can go on. [`Error::Refused`] if the content is not what was offered or not
    /// good; the partition then holds its old content, except under [`Direct`](super::Direct).
    pub async fn finish(mut self) -> Result<(), Error<F::Error>> {
        self.check_open()?;
        self.transfer.check_complete()?;
        self.flush().await?;
        let flash = &mut self.updater.flash;
        if self.scheme.first_phase() == Phase::Writing {
            self.transfer.erase_rest(flash).await?;
        }
        match self.transfer.verify(flash, &self.check, false).await {
            Ok(()) => {}
            Err(Error::Refused(refusal)) => return self.give_up(refusal).await,
            Err(error) => return Err(error),
        }
        if self.scheme.first_phase() == Phase::Staging {
            self.job.enter(self.updater, Phase::Ready, 0).await?;
        }
        let buffer = self.transfer.buffer();
        self.scheme
            .complete(&mut self.job, self.updater, buffer)
            .await
    }

    async fn flush(&mut self) -> Result<(), Error<F::Error>> {
        if self.transfer.gathered().is_empty() {
            return Ok(());
        }
        if !self.begun {
            let prefix = self.transfer.gathered();
            let length = self.job.offer.length;
            if let Err(refusal) = self.check.check_prefix(prefix, length) {
                return self.give_up(refusal).await;
            }
            if self.scheme.first_phase() == Phase::Staging {
                self.updater
                    .vacate(self.job.copy.place, self.job.subject)
                    .await?;
            }
            // Another partition may have its copies where this one lies.
            self.updater
                .displace(self.job.region, self.job.subject, &[0; 32])
                .await?;
            self.enter_first().await?;
            self.begun = true;
        }
        let Updater { journal, flash, .. } = &mut *self.updater;
        self.transfer.flush(flash, journal).await?;
        Ok(())
    }

    /// The partition is not touched any more once the journal says how the update ended.
    fn check_open(&self) -> Result<(), Error<F::Error>> {
        if self.closed {
            return Err(Error::State);
        }
        Ok(())
    }

    /// The last moment before anything is destroyed.
    async fn enter_first(&mut self) -> Result<(), Error<F::Error>> {
        let record = self.job.record(self.scheme.first_phase());
        let record = self.transfer.record(record);
        self.job.append(self.updater, record).await
    }

    async fn give_up(&mut self, refusal: Refusal) -> Result<(), Error<F::Error>> {
        self.closed = true;
        // An earlier attempt may have begun what this one did not get to.
        let subject = self.job.subject;
        let record = self
            .updater
            .journal
            .find(&mut self.updater.flash, subject)
            .await?;
        if record.is_some_and(|record| record.is_damaged()) {
            let buffer = self.transfer.buffer();
            self.scheme
                .give_up(&mut self.job, self.updater, buffer, refusal)
                .await?;
        } else {
            self.job
                .enter(self.updater, Phase::Declined, refusal.code())
                .await?;
        }
        Err(refusal.into())
    }
}
