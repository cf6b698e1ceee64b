//! A committed set, rolled forward or undone, at any boot and from wherever the power went.

use super::super::install::BootControl;
use super::super::journal::{Phase, Subject};
use super::super::partition::{Content, Damaged, RestoreMechanism, copy, digest_of};
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::list::bit;
use super::{CUSTOM, PRESENT, Parts, Processors, Step};
use crate::flash::Region;
use crate::{Error, Refusal};

/// How often a step is tried before it is said to fail for good.
const TRIES: u32 = 3;

/// Registers sets, and the processors of their custom parts (`()`: there are none), with [`Updater::recover`]: finishes the set that was interrupted, or
/// undoes it. If neither is possible because the flash or a processor fails, the engine starts all the same, and
/// [`set_state`](Updater::set_state) says so.
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

/// How far a set is.
enum Forward {
    /// Everything is in place, and stays.
    Done,
    /// Everything is in place but the app, which is to be tried, or is tried.
    Waits,
    /// It cannot be: the tag of the part at which it ended, and why.
    Failed(u32, u8),
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    /// Takes the set, if one is pending, as far as it gets. Every step can be repeated.
    ///
    /// # Errors
    ///
    /// What keeps it from being recorded.
    pub(crate) async fn drive_set<M: RestoreMechanism>(
        &mut self,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        let Some(mut set) = self.journal.find(&mut self.flash, Subject::SET).await? else {
            return Ok(());
        };
        let parts = self.set_parts().await;
        if set.phase == Phase::Committed {
            match self.roll_forward(&parts, custom, buffer).await? {
                Forward::Done => {
                    self.each_part(&parts, Phase::Replaced, Phase::Updated)
                        .await?;
                    set.phase = Phase::Done;
                    return self.journal.amend(&mut self.flash, set).await;
                }
                Forward::Waits => return Ok(()),
                Forward::Failed(tag, reason) => {
                    // Which part it was, in a field that has no other use here.
                    set.progress = tag;
                    set.reason = reason;
                    set.set_parts_left(parts.all());
                    set.phase = Phase::Reverting;
                    self.journal.amend(&mut self.flash, set).await?;
                }
            }
        }
        if set.phase == Phase::Reverting {
            let left = self.undo(&parts, custom, buffer).await?;
            if left == 0 {
                set.phase = Phase::Reverted;
            }
            if left == 0 || left != set.parts_left() {
                set.set_parts_left(left);
                self.journal.amend(&mut self.flash, set).await?;
            }
        }
        Ok(())
    }

    async fn roll_forward<M: RestoreMechanism>(
        &mut self,
        parts: &Parts,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<Forward, Error<F::Error>> {
        // The app is released when everything else is there: from then on nothing of that is done again.
        match (parts.app(), self.app_of(parts)) {
            (None, _) | (Some(_), Some(Phase::Held)) => {}
            (Some(_), Some(Phase::Confirmed)) => return Ok(Forward::Done),
            (Some(_), Some(phase)) if phase.is_pending() => return Ok(Forward::Waits),
            // It did not stay, and the parts go back with it.
            (Some(_), _) => {
                let app = self.journal.current().map_or(0, |app| app.reason);
                return Ok(Forward::Failed(0, app));
            }
        }
        for (_, tag, subject) in parts.iter() {
            let mut tries = 1;
            while let Err(refusal) = self.apply(tag, subject, custom, buffer).await? {
                if tries == TRIES {
                    return Ok(Forward::Failed(tag, refusal.code()));
                }
                tries += 1;
            }
        }
        Ok(match parts.app() {
            Some(_) => Forward::Waits,
            None => Forward::Done,
        })
    }

    /// Applies one part. `Ok(Err(..))`: it could not be; the record of the set can still be written.
    async fn apply<M: RestoreMechanism>(
        &mut self,
        tag: u32,
        subject: Subject,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<Result<(), Refusal>, Error<F::Error>> {
        let applied = match subject {
            PRESENT => Ok(()),
            CUSTOM => {
                let applied = custom.custom(tag, Step::Apply).await;
                return Ok(applied.then_some(()).ok_or(Refusal::Processor { tag }));
            }
            Subject::APP => self.release_app().await,
            _ => self.replace(subject, buffer).await,
        };
        settle(applied)
    }

    /// The app that is held may be tried.
    pub(super) async fn release_app(&mut self) -> Result<(), Error<F::Error>> {
        let Some(mut app) = self.journal.current().copied() else {
            return Err(Error::State);
        };
        if app.phase == Phase::Held {
            // Nothing may still name the slot from an earlier life.
            self.release(app.slot).await?;
            app.phase = Phase::Staged;
            self.journal.amend(&mut self.flash, app).await?;
        }
        Ok(())
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

    /// Puts everything back, the last part first, and goes on behind one that cannot be. The parts that are left, bit by bit.
    async fn undo<M: RestoreMechanism>(
        &mut self,
        parts: &Parts,
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<u16, Error<F::Error>> {
        let mut left = 0;
        for (index, tag, subject) in parts.iter().rev() {
            let mut tries = 1;
            while self
                .revert(parts, (tag, subject), custom, buffer)
                .await?
                .is_err()
            {
                if tries == TRIES {
                    left |= bit(index);
                    break;
                }
                tries += 1;
            }
        }
        Ok(left)
    }

    /// As [`apply`](Self::apply).
    async fn revert<M: RestoreMechanism>(
        &mut self,
        parts: &Parts,
        (tag, subject): (u32, Subject),
        custom: &mut M,
        buffer: &mut [u8],
    ) -> Result<Result<(), Refusal>, Error<F::Error>> {
        let reverted = match subject {
            PRESENT => Ok(()),
            CUSTOM => {
                let reverted = custom.custom(tag, Step::Revert).await;
                return Ok(reverted.then_some(()).ok_or(Refusal::Processor { tag }));
            }
            Subject::APP => self.undo_app(parts).await,
            _ => self.put_back(subject, buffer).await,
        };
        settle(reverted)
    }

    /// Puts the old content back into its partition.
    async fn put_back(
        &mut self,
        subject: Subject,
        buffer: &mut [u8],
    ) -> Result<(), Error<F::Error>> {
        let (mut record, tail, target) = self.part(subject).await?;
        match record.phase {
            Phase::Undoing => {}
            Phase::Replacing | Phase::Replaced => {
                record.phase = Phase::Undoing;
                self.journal.amend(&mut self.flash, record).await?;
            }
            Phase::Ready => {
                record.phase = Phase::Declined;
                return self.journal.amend(&mut self.flash, record).await;
            }
            _ => return Ok(()),
        }
        let (flash, save) = (&mut self.flash, tail.place);
        copy_verified(flash, save, tail.length, tail.sha256, target, buffer).await?;
        record.phase = Phase::Restored;
        self.journal.amend(flash, record).await
    }

    /// An app that waits to be tried is not tried any more.
    async fn undo_app(&mut self, parts: &Parts) -> Result<(), Error<F::Error>> {
        if let Some(mut app) = self.journal.current().copied()
            && parts.has_app(&app.sha256)
            && matches!(app.phase, Phase::Held | Phase::Staged | Phase::Armed)
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
        for (_, _, subject) in parts.iter() {
            if subject.partition_offset().is_some()
                && let Some(mut record) = self.journal.find(&mut self.flash, subject).await?
                && record.phase == from
            {
                record.phase = to;
                self.journal.amend(&mut self.flash, record).await?;
            }
        }
        Ok(())
    }
}

/// Tells what a part has from what the journal has.
fn settle<E>(done: Result<(), Error<E>>) -> Result<Result<(), Refusal>, Error<E>> {
    match done {
        Ok(()) => Ok(Ok(())),
        Err(Error::Refused(refusal)) => Ok(Err(refusal)),
        Err(Error::Flash(_) | Error::BootSelection) => Ok(Err(Refusal::Flash)),
        Err(error) => Err(error),
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
