//! What the device can truthfully say of the last set.

use super::super::install::BootControl;
use super::super::journal::{Journal, Phase, Record, Subject};
use super::super::updater::Updater;
use super::super::{NorFlash, dual};
use super::list::bit;
use super::{CUSTOM, PRESENT, Parts};
use crate::Error;

/// What the device can truthfully say of the last set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetState {
    /// There was none.
    None,
    /// All parts are in place, and the app of the set waits to be tried: [`Updater::activate`](crate::Updater::activate) and restart, before anything else is done.
    Applied,
    /// The app of the set runs, on trial: confirm or reject it; a reset undoes the set.
    OnTrial,
    /// It could not be finished or undone yet: the flash or a processor failed, more than once. What is where, [`Updater::set_part`](crate::Updater::set_part) says, and why,
    /// [`Updater::set_failure`](crate::Updater::set_failure); the next boot goes on, unless the set is [given up](crate::Updater::give_up_set).
    Stuck,
    /// Every part is what the set brought.
    Done {
        /// Digest of the set, and whether that was [reported](crate::Updater::set_reported).
        sha256: [u8; 32],
        /// See there.
        reported: bool,
    },
    /// Every part is what it was before.
    Reverted {
        /// Digest of the set.
        sha256: [u8; 32],
        /// Tag of the part that could not be applied; 0: the app did not stay.
        tag: u32,
        /// Whether it was [reported](crate::Updater::set_reported).
        reported: bool,
    },
    /// Its parts need not be one world: it was applied in sequence, and either is not finished or has an app in it; or it was
    /// [given up](crate::Updater::give_up_set). What is where, [`Updater::set_part`](crate::Updater::set_part) says.
    Partly {
        /// Digest of the set.
        sha256: [u8; 32],
        /// Whether it was [reported](crate::Updater::set_reported).
        reported: bool,
    },
}

/// What is where a part of a set belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// What was there before the set.
    Old,
    /// What the set brought. A part that was there before the set is what it brought, too.
    New,
    /// Neither as a whole: a partition that was being written when the flash failed.
    Neither,
    /// The engine does not know: a processor could not do its step, or was not asked for its result.
    Unknown,
}

/// Where a part of a set belongs, as far as the journal says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartPlace {
    /// It is the app.
    App,
    /// The partition that starts at this offset.
    Partition(u32),
    /// A processor has it.
    Custom,
    /// It was where it belongs before the set came, and the journal keeps no more of it.
    Present,
}

/// One part of the last set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartReport {
    /// Its tag.
    pub tag: u32,
    /// Where it belongs.
    pub place: PartPlace,
    /// What is in its place.
    pub holds: Holds,
}

/// Why a set was not applied as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetFailure {
    /// The tag of the part that could not be applied. 0: the app did not stay.
    pub tag: u32,
    /// Why, as [`Refusal::code`](crate::Refusal::code) has it; of an app that did not stay, its own reason, see [`Outcome`](crate::Outcome), or 255: it never started.
    pub reason: u8,
}

/// Reads in the journal of a device what became of its last set: for somebody who only looks at a flash, and starts no engine over it. An
/// [`Updater`](crate::Updater) says the same itself.
pub struct SetLook<'j, F> {
    journal: &'j Journal,
    flash: &'j mut F,
}

#[dual(AFIT)]
impl<'j, F: NorFlash> SetLook<'j, F> {
    /// Looks into this journal.
    pub const fn new(journal: &'j Journal, flash: &'j mut F) -> Self {
        Self { journal, flash }
    }

    async fn set(&mut self) -> Result<Option<Record>, Error<F::Error>> {
        self.journal.find(self.flash, Subject::SET).await
    }

    async fn parts(&mut self) -> Parts {
        Parts::parse(self.journal.tail_of(self.flash, Subject::SET).await)
    }

    /// See [`Updater::set_state`](crate::Updater::set_state).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn state(&mut self) -> Result<SetState, Error<F::Error>> {
        let Some(set) = self.set().await? else {
            return Ok(SetState::None);
        };
        let (sha256, reported) = (set.sha256, set.reported);
        Ok(match set.phase {
            Phase::Done => SetState::Done { sha256, reported },
            Phase::Reverted => SetState::Reverted {
                sha256,
                tag: set.progress,
                reported,
            },
            Phase::Partly => SetState::Partly { sha256, reported },
            Phase::Committed => {
                let parts = self.parts().await;
                match app_of(self.journal, &parts) {
                    Some(Phase::Staged | Phase::Armed) => SetState::Applied,
                    Some(Phase::OnTrial | Phase::Confirming | Phase::Rejecting) => {
                        SetState::OnTrial
                    }
                    _ => SetState::Stuck,
                }
            }
            _ => SetState::Stuck,
        })
    }

    /// See [`Updater::set_failure`](crate::Updater::set_failure).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn failure(&mut self) -> Result<Option<SetFailure>, Error<F::Error>> {
        let Some(set) = self.set().await? else {
            return Ok(None);
        };
        let (tag, reason) = match set.phase {
            Phase::Reverting | Phase::Reverted => (set.progress, set.reason),
            Phase::Partly if set.reason != 0 => (set.progress, set.reason),
            Phase::Committed => {
                let parts = self.parts().await;
                match (app_of(self.journal, &parts), self.journal.current()) {
                    // It did not stay, and the parts have still to go back with it.
                    (Some(Phase::RolledBack), Some(app)) => (0, app.reason),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(SetFailure { tag, reason }))
    }

    /// See [`Updater::set_part`](crate::Updater::set_part).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn part(&mut self, index: usize) -> Result<Option<PartReport>, Error<F::Error>> {
        let Some(set) = self.set().await? else {
            return Ok(None);
        };
        let parts = self.parts().await;
        let Some((tag, subject)) = parts.get(index) else {
            return Ok(None);
        };
        let place = match subject {
            PRESENT => PartPlace::Present,
            CUSTOM => PartPlace::Custom,
            subject => match subject.partition_offset() {
                Some(offset) => PartPlace::Partition(offset),
                None => PartPlace::App,
            },
        };
        let app = app_of(self.journal, &parts);
        let holds = match (set.phase, place) {
            (Phase::Done, _) | (_, PartPlace::Present) => Holds::New,
            (Phase::Reverted, _) => Holds::Old,
            (_, PartPlace::Custom) => custom_holds(&set, app, index),
            (_, PartPlace::App) => match app {
                Some(Phase::OnTrial | Phase::Confirming | Phase::Rejecting | Phase::Confirmed) => {
                    Holds::New
                }
                _ => Holds::Old,
            },
            (_, PartPlace::Partition(_)) => {
                let record = self.journal.find(self.flash, subject).await?;
                record.map_or(Holds::Unknown, |record| match record.phase {
                    Phase::Replaced | Phase::Updated => Holds::New,
                    _ if record.is_damaged() => Holds::Neither,
                    _ => Holds::Old,
                })
            }
        };
        Ok(Some(PartReport { tag, place, holds }))
    }
}

/// A processor's part is what its last step has made of it, if that was done.
fn custom_holds(set: &Record, app: Option<Phase>, index: usize) -> Holds {
    let left = set.parts_left();
    let is_left = left & bit(index) != 0;
    match set.phase {
        // The app waits until everything else is there.
        Phase::Committed => match app {
            Some(Phase::Held) | None => Holds::Unknown,
            Some(_) => Holds::New,
        },
        Phase::Reverting if !is_left => Holds::Old,
        Phase::Partly if !is_left => match set.gone {
            true => Holds::Old,
            false => Holds::New,
        },
        // In sequence: what comes behind the one that failed was not begun.
        Phase::Partly if !set.gone && left & (bit(index) - 1) != 0 => Holds::Old,
        _ => Holds::Unknown,
    }
}

/// How far the app of the set is, if there is one and the journal still speaks of it.
fn app_of(journal: &Journal, parts: &Parts) -> Option<Phase> {
    let app = journal.current()?;
    parts.has_app(&app.sha256).then_some(app.phase)
}

#[dual(AFIT)]
impl<F: NorFlash, B: BootControl> Updater<'_, F, B> {
    fn look(&mut self) -> SetLook<'_, F> {
        SetLook::new(&self.journal, &mut self.flash)
    }

    /// What the device can truthfully say of the last set.
    ///
    /// # Errors
    ///
    /// [`Error::Journal`] if the journal cannot be read any more.
    pub async fn set_state(&mut self) -> Result<SetState, Error<F::Error>> {
        self.look().state().await
    }

    /// The digest of the last set.
    pub(crate) async fn set_name(&mut self) -> Result<Option<[u8; 32]>, Error<F::Error>> {
        let set = self.journal.find(&mut self.flash, Subject::SET).await?;
        Ok(set.map(|set| set.sha256))
    }

    /// Why the last set was not applied as a whole; `None`: it was, or is on its way.
    ///
    /// # Errors
    ///
    /// As [`set_state`](Self::set_state).
    pub async fn set_failure(&mut self) -> Result<Option<SetFailure>, Error<F::Error>> {
        self.look().failure().await
    }

    /// One part of the last set, in the order in which they are applied; `None` behind the last.
    ///
    /// # Errors
    ///
    /// As [`set_state`](Self::set_state).
    pub async fn set_part(&mut self, index: usize) -> Result<Option<PartReport>, Error<F::Error>> {
        self.look().part(index).await
    }

    /// How far the app of the set is, if there is one and the journal still speaks of it.
    pub(super) fn app_of(&self, parts: &Parts) -> Option<Phase> {
        app_of(&self.journal, parts)
    }
}
