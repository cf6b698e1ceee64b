//! A committed set, rolled forward or undone, at any boot and from wherever the power went.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::partition::{
    Content, Damaged, JournalRestore, RestoreMechanism, copy, digest_of,
};
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::{CUSTOM, Parts, Processors, Step};
use crate::flash::Region;
use crate::record::CopyTail;
use crate::{Error, Refusal};

/// Registers sets, and the processors of their custom parts (`()`: there are none), with [`Updater::recover`]: finishes the set that was interrupted, or
/// undoes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetRestore<P>(pub P);

#[dual(AFIT)]
impl<P: Processors> RestoreMechanism for SetRestore<P> {
    const KNOWS_SETS: bool = true;

    async fn custom(&mut self, tag: u32, step: Step) -> bool {
        self.0.step(tag, step).await.is_ok()
    }

    fn can_restore(&mut self, _damaged: &Damaged) -> bool {
        false
    }

    async fn restore<F: NorFlash>(
        &mut self,
        _flash: &mut F,
        _damaged: &Damaged,
        _buffer: &mut [u8],
    ) -> Option<Content> {
        None
    }
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    /// Takes the set, if one is pending, as far as it gets. Every step can be repeated.
    pub(crate) async fn drive_set<M: RestoreMechanism>(
        &mut self,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        let Some(mut set) = self.journal.find(&mut self.flash, Subject::SET).await? else {
            return Ok(());
        };
        let parts = Parts {
            tail: self.journal.tail_of(&mut self.flash, Subject::SET).await,
        };
        if set.phase == Phase::Committed {
            match self.roll_forward(&parts, custom, buffer).await? {
                Ok(true) => {
                    self.each_part(&parts, Phase::Replaced, Phase::Updated)
                        .await?;
                    set.phase = Phase::Done;
                    self.journal.amend(&mut self.flash, set).await?;
                    return Ok(());
                }
                Ok(false) => return Ok(()),
                Err(tag) => {
                    // Which part it was, in a field that has no other use here.
                    set.progress = tag;
                    set.phase = Phase::Reverting;
                    self.journal.amend(&mut self.flash, set).await?;
                }
            }
        }
        if set.phase == Phase::Reverting {
            self.undo(&parts, custom, buffer).await?;
            set.phase = Phase::Reverted;
            self.journal.amend(&mut self.flash, set).await?;
        }
        Ok(())
    }

    /// `Ok(true)`: all is in place, and stays. `Ok(false)`: all is in place but the app, which is to be tried, or is tried. `Err`: this part cannot be
    /// applied.
    async fn roll_forward<M: RestoreMechanism>(
        &mut self,
        parts: &Parts,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<Result<bool, u32>, Error<F::Error>> {
        let mut index = 0;
        while let Some((tag, subject)) = parts.get(index) {
            index += 1;
            if subject == CUSTOM {
                if !custom.custom(tag, Step::Apply).await {
                    return Ok(Err(tag));
                }
                continue;
            }
            if subject != Subject::APP {
                match self.replace(subject, buffer).await {
                    Ok(()) => {}
                    Err(Error::Refused(_)) => return Ok(Err(tag)),
                    Err(error) => return Err(error),
                }
                continue;
            }
            let app = self.journal.current();
            let ours = app.filter(|app| app.sha256.first_chunk() == parts.app_id());
            match ours.map(|app| app.phase) {
                Some(Phase::Confirmed) => {}
                Some(phase) if phase.is_pending() => return Ok(Ok(false)),
                // It did not stay, and the parts go back with it.
                _ => return Ok(Err(0)),
            }
        }
        Ok(Ok(true))
    }

    /// Puts the staged content into its partition, unless it is there already.
    async fn replace(
        &mut self,
        subject: Subject,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        let (mut record, mut tail, target) = self.part(subject).await?;
        if matches!(record.phase, Phase::Replaced | Phase::Updated) {
            return Ok(());
        }
        let flash = &mut self.flash;
        if record.phase == Phase::Ready {
            let saved = copy(flash, target, target.len, tail.place, false, buffer)
                .await
                .map_err(Error::Flash)?;
            let found = digest_of(flash, tail.place, target.len, buffer)
                .await
                .map_err(Error::Flash)?;
            if found != saved {
                return Err(Refusal::ReadBack.into());
            }
            tail.length = target.len;
            tail.sha256 = saved;
            record.phase = Phase::Replacing;
            self.journal.append(flash, record, &tail.emit()).await?;
        }
        if record.phase != Phase::Replacing {
            return Err(Error::State);
        }
        let (length, sha256) = (record.length, record.sha256);
        copy_verified(flash, tail.staged, length, sha256, target, buffer).await?;
        record.phase = Phase::Replaced;
        self.journal.amend(flash, record).await
    }

    /// Copies the staged content of one partition in, for itself: from here on it is rolled forward. `false`: it could not be.
    pub(super) async fn apply_alone(
        &mut self,
        subject: Subject,
        buffer: &mut [u8],
    ) -> Result<bool, Error<F::Error>> {
        let (mut record, mut tail, _) = self.part(subject).await?;
        if record.phase != Phase::Ready {
            return Err(Error::State);
        }
        tail.place = tail.staged;
        tail.length = record.length;
        tail.sha256 = record.sha256;
        record.phase = Phase::Copying;
        let flash = &mut self.flash;
        self.journal.append(flash, record, &tail.emit()).await?;
        self.make_whole(subject, &mut JournalRestore, buffer, true)
            .await
    }

    /// Puts everything back.
    async fn undo<M: RestoreMechanism>(
        &mut self,
        parts: &Parts,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        let mut index = 0;
        while let Some((tag, subject)) = parts.get(index) {
            index += 1;
            if subject == CUSTOM {
                if !custom.custom(tag, Step::Revert).await {
                    return Err(Error::State);
                }
                continue;
            }
            if subject == Subject::APP {
                self.undo_app(parts).await?;
                continue;
            }
            let (mut record, tail, target) = self.part(subject).await?;
            match record.phase {
                Phase::Replacing | Phase::Replaced | Phase::Undoing => {}
                Phase::Ready => {
                    record.phase = Phase::Declined;
                    self.journal.amend(&mut self.flash, record).await?;
                    continue;
                }
                _ => continue,
            }
            record.phase = Phase::Undoing;
            self.journal.amend(&mut self.flash, record).await?;
            let (flash, save) = (&mut self.flash, tail.place);
            let undone = copy_verified(flash, save, tail.length, tail.sha256, target, buffer);
            match undone.await {
                Ok(()) => {}
                Err(Error::Refused(_)) => {
                    return Err(Error::NotRecovered {
                        partition: target.offset,
                    });
                }
                // Not to be called restored: the next boot goes on.
                Err(error) => return Err(error),
            }
            record.phase = Phase::Restored;
            self.journal.amend(flash, record).await?;
        }
        Ok(())
    }

    /// An app that waits to be tried is not tried any more.
    async fn undo_app(&mut self, parts: &Parts) -> Result<(), Error<F::Error>> {
        if let Some(mut app) = self.journal.current().copied()
            && app.sha256.first_chunk() == parts.app_id()
            && matches!(app.phase, Phase::Staged | Phase::Armed)
            && self.running != Some(app.slot)
        {
            self.release(app.slot).await?;
            app.phase = Phase::Refused;
            app.reason = Refusal::Displaced.code();
            self.journal.amend(&mut self.flash, app).await?;
        }
        Ok(())
    }

    /// Moves all partitions of the set from one phase to the next.
    async fn each_part(
        &mut self,
        parts: &Parts,
        from: Phase,
        to: Phase,
    ) -> Result<(), Error<F::Error>> {
        let mut index = 0;
        while let Some((_, subject)) = parts.get(index) {
            index += 1;
            if let Some(mut record) = self.journal.find(&mut self.flash, subject).await?
                && record.phase == from
            {
                record.phase = to;
                self.journal.amend(&mut self.flash, record).await?;
            }
        }
        Ok(())
    }

    async fn part(
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

/// Copies content that is known by its digest, and looks at it before and after.
#[dual(AFIT)]
async fn copy_verified<F: NorFlash>(
    flash: &mut F,
    from: Region,
    length: u32,
    sha256: [u8; 32],
    to: Region,
    buffer: &mut [u8],
) -> Result<(), Error<F::Error>> {
    let read = digest_of(flash, from, length, buffer).await;
    if read.map_err(Error::Flash)? != sha256 {
        return Err(Refusal::ReadBack.into());
    }
    copy(flash, from, length, to, true, buffer)
        .await
        .map_err(Error::Flash)?;
    let found = digest_of(flash, to, length, buffer).await;
    if found.map_err(Error::Flash)? != sha256 {
        return Err(Refusal::ReadBack.into());
    }
    Ok(())
}
