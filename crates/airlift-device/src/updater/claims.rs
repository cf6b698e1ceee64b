//! Who needs the bytes of a region: the passive slot can hold an image, a backup, a staged file, or data, and each of them is
//! recorded as gone before it is overwritten.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::{NorFlash, dual};
use super::Updater;
use crate::flash::Region;
use crate::record::CopyTail;
use crate::{Error, Refusal};

/// Bytes of an image's digest that name it in the record of its data.
pub(crate) const APP_ID: usize = 8;

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    /// Refuses `region` as a place to write to while it holds the only good copy of a partition that is not whole.
    pub(crate) async fn check_unclaimed(
        &mut self,
        region: Region,
        by: Subject,
    ) -> Result<(), Error<F::Error>> {
        let mut number = 0;
        while let Some(subject) = self.journal.subject(number) {
            number += 1;
            let record = self.journal.find(&mut self.flash, subject).await?;
            if let Some(partition) = subject.partition_offset()
                && subject != by
                && record.is_some_and(|record| record.is_damaged())
            {
                let copy = CopyTail::parse(&self.journal.tail_of(&mut self.flash, subject).await);
                // A partition that the layout has no room for any more needs no copy.
                if copy.length > 0
                    && copy.place.overlaps(region)
                    && self
                        .check_place(Region::new(partition, copy.target))
                        .is_ok()
                {
                    return Err(Refusal::HoldsCopy { partition }.into());
                }
            }
        }
        Ok(())
    }

    /// Refuses to begin anything while a set is being applied or undone.
    pub(crate) async fn check_no_set(&mut self) -> Result<(), Error<F::Error>> {
        let set = self.journal.find(&mut self.flash, Subject::SET).await?;
        if set.is_some_and(|set| set.phase.is_set_pending()) {
            return Err(Refusal::SetPending.into());
        }
        Ok(())
    }

    /// Records that whatever `region` holds is gone, because `by` is about to write there; `app` is the digest of an app that does.
    pub(crate) async fn displace(
        &mut self,
        region: Region,
        by: Subject,
        app: &[u8; 32],
    ) -> Result<(), Error<F::Error>> {
        let mut number = 0;
        while let Some(subject) = self.journal.subject(number) {
            number += 1;
            let Some(mut record) = self.journal.find(&mut self.flash, subject).await? else {
                continue;
            };
            let tail = self.journal.tail_of(&mut self.flash, subject).await;
            let is_in = |slot: u8| {
                let slot = self.layout.slots.get(usize::from(slot));
                slot.is_some_and(|slot| slot.overlaps(region))
            };
            let after = if let Some(owner) = subject.slot() {
                let other_app = tail.bytes.first_chunk::<APP_ID>() != app.first_chunk();
                if is_in(owner) && other_app {
                    Some(Phase::Void)
                } else {
                    let held = matches!(record.phase, Phase::Fetching | Phase::Present);
                    (held && is_in(record.slot)).then_some(Phase::Missing)
                }
            } else if subject == Subject::SET {
                None
            } else if subject == Subject::APP {
                displaced_app(&record).filter(|_| is_in(record.slot))
            } else {
                let held = matches!(record.phase, Phase::Saving | Phase::Staging | Phase::Ready);
                let CopyTail { place, staged, .. } = CopyTail::parse(&tail);
                let after = if record.is_damaged() {
                    Phase::Restoring
                } else {
                    Phase::Declined
                };
                (held && (place.overlaps(region) || staged.overlaps(region))).then_some(after)
            };
            if let Some(after) = after
                && subject != by
            {
                record.phase = after;
                record.reason = Refusal::Displaced.code();
                // Nothing went wrong: the server sees that the update is not there.
                record.reported = true;
                record.gone = true;
                record.progress = 0;
                record.stride = 0;
                self.journal.amend(&mut self.flash, record).await?;
                if after == Phase::Void {
                    number -= 1; // Another one has taken its place.
                }
            }
        }
        Ok(())
    }
}

/// What an app update becomes whose slot is needed for something else.
fn displaced_app(record: &Record) -> Option<Phase> {
    match record.phase {
        Phase::Downloading | Phase::Staged | Phase::Held => Some(Phase::Refused),
        Phase::RolledBack if !record.gone => Some(Phase::RolledBack),
        _ => None,
    }
}
