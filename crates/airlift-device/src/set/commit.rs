//! The one record that commits a set, and what the application calls around it.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::partition::{RestoreMechanism, digest_of};
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::finish::InOrder;
use super::stage::is_erased_from;
use super::{CUSTOM, PRESENT, Part, PartDownload, Parts, SetState, check_parts};
use crate::flash::Region;
use crate::record::CopyTail;
use crate::{Error, Offer};

#[dual(AFIT)]
impl<'l, F: NorFlash, B: BootControl> Updater<'l, F, B> {
    /// Begins to stage one part: `length` bytes, whose digest the container vouches for as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], before anything is touched: what [`begin`](Self::begin) or [`begin_partition`](Self::begin_partition) would refuse.
    pub async fn begin_part<'u, 'b, C: crate::verify::ImageCheck>(
        &'u mut self,
        part: &Part,
        length: u32,
        check: C,
        buffer: &'b mut [u8],
    ) -> Result<PartDownload<'u, 'l, 'b, F, B, C>, Error<F::Error>> {
        PartDownload::begin(self, part, length, check, buffer).await
    }

    /// Every part is staged, and the container's digest and identity are what they should be: from here on it is all or nothing.
    ///
    /// The parts are applied in the order of `parts`, the app last; one that equals what is in its place is not written there again. Returns when they
    /// are in place, or when the set was undone: the [`SetState`] says which. A power cut in between is taken up by [`SetRestore`](super::SetRestore).
    ///
    /// # Errors
    ///
    /// [`Error::State`] if a part is not staged; [`Refusal::Duplicate`](crate::Refusal::Duplicate),
    /// [`Refusal::TooManyParts`](crate::Refusal::TooManyParts); [`Error::Journal`], after which the next boot goes on.
    pub async fn commit_set<M: RestoreMechanism>(
        &mut self,
        set: &Offer,
        parts: &[Part],
        mechanisms: &mut M,
        buffer: &mut [u8],
    ) -> Result<SetState, Error<F::Error>> {
        check_parts(parts)?;
        let mut list = InOrder::EMPTY;
        for part in parts {
            list.push(part.tag, part.subject())?;
        }
        self.commit_parts(set, list.as_slice(), mechanisms, buffer)
            .await
    }

    pub(super) async fn commit_parts<M: RestoreMechanism>(
        &mut self,
        set: &Offer,
        parts: &[(u32, Subject)],
        mechanisms: &mut M,
        buffer: &mut [u8],
    ) -> Result<SetState, Error<F::Error>> {
        if buffer.len() < F::WRITE_SIZE {
            return Err(Error::BufferTooSmall);
        }
        self.check_no_set().await?;
        let mut list = Parts::EMPTY;
        for last in [false, true] {
            for (tag, subject) in parts {
                if (*subject == Subject::APP) == last {
                    let subject = self.check_staged(*subject, &mut list, buffer).await?;
                    list.push(*tag, subject)?;
                }
            }
        }
        let record = Record::new(Subject::SET, Phase::Committed, set.length, set.sha256);
        let Self { journal, flash, .. } = self;
        journal.append(flash, record, list.bytes()).await?;
        self.drive_set(mechanisms, buffer).await?;
        self.set_state().await
    }

    /// Refuses a part that is not staged; notes the app's name. The subject that stands for it in the list.
    pub(super) async fn check_staged(
        &mut self,
        subject: Subject,
        list: &mut Parts,
        buffer: &mut [u8],
    ) -> Result<Subject, Error<F::Error>> {
        if matches!(subject, CUSTOM | PRESENT) {
            return Ok(subject);
        }
        let record = self.journal.find(&mut self.flash, subject).await?;
        let mut record = record.ok_or(Error::State)?;
        match record.phase {
            Phase::Held if subject == Subject::APP => {}
            Phase::Staged if subject == Subject::APP => {
                // It is not to be tried before the parts are there.
                record.phase = Phase::Held;
                self.journal.amend(&mut self.flash, record).await?;
            }
            Phase::Ready if subject != Subject::APP => {
                let (_, _, target) = self.part(subject).await?;
                let length = record.length;
                let flash = &mut self.flash;
                let found = digest_of(flash, target, length, buffer).await;
                if found.is_ok_and(|found| found == record.sha256)
                    && is_erased_from(flash, target, length, buffer).await
                {
                    record.phase = Phase::Updated;
                    self.journal.amend(&mut self.flash, record).await?;
                    return Ok(PRESENT);
                }
            }
            _ => return Err(Error::State),
        }
        if subject == Subject::APP {
            list.set_app(&record.sha256);
        }
        Ok(subject)
    }

    /// [`confirm`](Self::confirm), for an app that came in a set: the whole set stays.
    ///
    /// # Errors
    ///
    /// As `confirm`.
    pub async fn confirm_set<M: RestoreMechanism>(
        &mut self,
        mechanisms: &mut M,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        self.confirm().await?;
        self.drive_set(mechanisms, buffer).await
    }

    /// The outcome of the last set has reached the server, and so have those of its parts.
    pub async fn set_reported(&mut self) -> Result<(), Error<F::Error>> {
        let Some(mut set) = self.journal.find(&mut self.flash, Subject::SET).await? else {
            return Ok(());
        };
        if set.phase.is_set_pending() || set.reported {
            return Ok(());
        }
        let parts = self.set_parts().await;
        for (_, _, subject) in parts.iter() {
            if subject.partition_offset().is_some()
                && let Some(mut record) = self.journal.find(&mut self.flash, subject).await?
                && record.phase.is_ended()
                && !record.reported
            {
                record.reported = true;
                self.journal.amend(&mut self.flash, record).await?;
            }
        }
        set.reported = true;
        self.journal.amend(&mut self.flash, set).await
    }

    /// Gives up a set that is [`Stuck`](SetState::Stuck) because its flash, or a processor, fails for good: other updates are possible again. What is where
    /// stays; a partition that is not whole is [said to be](Self::partition_state), and a copy of its old content is put back at the next boot, or
    /// by [`restore_partition`](Self::restore_partition), if the flash takes it then.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if no set is stuck.
    pub async fn give_up_set(&mut self) -> Result<(), Error<F::Error>> {
        let set = self.journal.find(&mut self.flash, Subject::SET).await?;
        let Some(mut set) = set.filter(|set| set.phase == Phase::Reverting) else {
            return Err(Error::State);
        };
        let parts = self.set_parts().await;
        for (_, _, subject) in parts.iter() {
            if subject.partition_offset().is_some()
                && let Some(mut record) = self.journal.find(&mut self.flash, subject).await?
            {
                record.phase = match record.phase {
                    Phase::Replacing | Phase::Undoing => Phase::Restoring,
                    Phase::Replaced => Phase::Updated,
                    _ => continue,
                };
                self.journal.amend(&mut self.flash, record).await?;
            }
        }
        set.phase = Phase::Partly;
        set.gone = true;
        self.journal.amend(&mut self.flash, set).await
    }

    /// The parts of the last set.
    pub(super) async fn set_parts(&mut self) -> Parts {
        let Self { journal, flash, .. } = self;
        Parts::parse(journal.tail_of(flash, Subject::SET).await)
    }

    /// Record and tail of a partition in the set, and where it lies.
    pub(super) async fn part(
        &mut self,
        subject: Subject,
    ) -> Result<(Record, CopyTail, Region), Error<F::Error>> {
        let record = self.journal.find(&mut self.flash, subject).await?;
        let tail = CopyTail::parse(&self.journal.tail_of(&mut self.flash, subject).await);
        let offset = subject.partition_offset();
        let (record, offset) = record.zip(offset).ok_or(Error::State)?;
        Ok((record, tail, Region::new(offset, tail.target)))
    }
}
