//! Parts that are applied one after the other, each for itself.

use super::super::install::BootControl;
use super::super::journal::{Phase, Record, Subject};
use super::super::partition::JournalRestore;
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::list::bit;
use super::{CUSTOM, PRESENT, Parts, Processors, Sequence, Step};
use crate::{Error, Offer, Refusal};

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    /// Applies staged parts until one cannot be. The record of the set says how far that got, before and after each step.
    pub(super) async fn apply_in_sequence<P: Processors>(
        &mut self,
        set: &Offer,
        parts: &[(u32, Subject)],
        processors: &mut P,
        buffer: &mut [u8],
    ) -> Result<Sequence, Error<F::Error>> {
        self.check_no_set().await?;
        let mut list = Parts::EMPTY;
        for (tag, subject) in parts {
            let subject = self.check_staged(*subject, &mut list, buffer).await?;
            list.push(*tag, subject)?;
        }
        let mut record = Record::new(Subject::SET, Phase::Partly, set.length, set.sha256);
        let mut left = list.all();
        record.set_parts_left(left);
        let Self { journal, flash, .. } = self;
        journal.append(flash, record, list.bytes()).await?;
        let mut done = Sequence {
            applied: 0,
            failed: None,
            reason: 0,
            restart: false,
        };
        for (index, tag, subject) in list.iter() {
            if subject == PRESENT {
                done.applied += 1;
                continue;
            }
            let applied = self.apply_one(tag, subject, processors, buffer).await?;
            if let Err(refusal) = applied {
                done.failed = Some(tag);
                done.reason = refusal.code();
                record.progress = tag;
                record.reason = done.reason;
                self.journal.amend(&mut self.flash, record).await?;
                return Ok(done);
            }
            done.restart |= subject == Subject::APP;
            done.applied += 1;
            left &= !bit(index);
            record.set_parts_left(left);
            if left == 0 && !done.restart {
                record.phase = Phase::Done;
            }
            self.journal.amend(&mut self.flash, record).await?;
        }
        Ok(done)
    }

    async fn apply_one<P: Processors>(
        &mut self,
        tag: u32,
        subject: Subject,
        processors: &mut P,
        buffer: &mut [u8],
    ) -> Result<Result<(), Refusal>, Error<F::Error>> {
        Ok(match subject {
            CUSTOM => {
                let applied = processors.step(tag, Step::Apply).await;
                applied.map_err(|_| Refusal::Processor { tag })
            }
            Subject::APP => {
                let mut tried = self.release_app().await;
                if tried.is_ok() {
                    tried = self.activate().await;
                }
                match tried {
                    Err(Error::Flash(_) | Error::BootSelection) => Err(Refusal::Flash),
                    other => Ok(other?),
                }
            }
            _ => match self.apply_alone(subject, buffer).await? {
                true => Ok(()),
                false => Err(Refusal::Flash),
            },
        })
    }

    /// Copies the staged content of one partition in, for itself: from here on it is rolled forward. `false`: it could not be.
    async fn apply_alone(
        &mut self,
        subject: Subject,
        buffer: &mut [u8],
    ) -> Result<bool, Error<F::Error>> {
        let (mut record, mut tail, _) = self.part(subject).await?;
        tail.place = tail.staged;
        tail.length = record.length;
        tail.sha256 = record.sha256;
        record.phase = Phase::Copying;
        let flash = &mut self.flash;
        self.journal.append(flash, record, &tail.emit()).await?;
        self.make_whole(subject, &mut JournalRestore, buffer, true)
            .await
    }
}
