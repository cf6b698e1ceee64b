//! Sets at boot: the one that was interrupted is finished or undone before the app's first line, and the app of a set that proved itself keeps it.

use airlift_device::install::{EspLayout, EspOtadata};
use airlift_device::journal::Journal;
use airlift_device::set::{Holds, SetFailure, SetLook, SetRestore, SetState};
use airlift_device::{Error as EngineError, Outcome, Refusal, Status, Updater};

use super::super::device::{Engine, Observer, Parts, why_rolled_back};
use super::super::provision::{SECTOR, WORD};
use super::super::recovery::Told;
use super::super::transfer::BUFFER;
use super::super::{DeviceError, Event};
use super::external::Externals;
use super::notes::{Attempt, Stage};
use super::report::why;
use crate::flash::{SimFlash, block_on};

type Engines<'d> = Result<Engine<'d>, EngineError<crate::flash::FlashError>>;

impl Parts {
    /// Starts the engine, which finishes or undoes what a power cut interrupted.
    pub(in super::super) fn recover<'d>(
        &mut self,
        flash: SimFlash<WORD, SECTOR>,
        layout: &'d EspLayout,
        running: Option<u8>,
        on: &mut Observer<'_>,
    ) -> Result<(Engine<'d>, Told), DeviceError> {
        let boot = EspOtadata::new(layout.otadata, layout.slots().len() as u8);
        let mut buffer = [0; BUFFER];
        let Some(unit) = &mut self.set else {
            let mut told = Told::default();
            let started = block_on(Updater::recover(
                flash,
                boot,
                layout.layout(),
                running,
                &mut told,
                &mut buffer,
            ));
            return match started {
                Err(EngineError::Refused(Refusal::SetPending)) => Err(DeviceError::SetPending),
                started => Ok((started?, told)),
            };
        };
        let was = interrupted(flash.clone(), layout);
        let mut externals = unit.lend_externals();
        let mut mechanisms = (Told::default(), SetRestore(Externals(&mut externals)));
        let started: Engines<'d> = block_on(Updater::recover(
            flash,
            boot,
            layout.layout(),
            running,
            &mut mechanisms,
            &mut buffer,
        ));
        let told = mechanisms.0;
        unit.externals = externals;
        let engine = started?;
        if let Some(content) = was {
            on(&Event::SetRecovered { content });
        }
        Ok((engine, told))
    }

    /// The running app found itself good.
    pub(in super::super) fn confirm(&mut self, engine: &mut Engine<'_>) -> Result<(), DeviceError> {
        let Some(unit) = &mut self.set else {
            return Ok(block_on(engine.confirm())?);
        };
        let mut externals = unit.lend_externals();
        let mut buffer = [0; BUFFER];
        let mut mechanism = SetRestore(Externals(&mut externals));
        let confirmed = block_on(engine.confirm_set(&mut mechanism, &mut buffer));
        unit.externals = externals;
        Ok(confirmed?)
    }

    /// Compares the notes with what the engine says of the set, and tells what is new.
    pub(in super::super) fn settle_set(
        &mut self,
        engine: &mut Engine<'_>,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        let seen = Seen::of(engine)?;
        let status = engine.status();
        let Some(unit) = &mut self.set else {
            return Ok(());
        };
        if let Some(attempt) = unit.notes.attempt().cloned()
            && let Some(after) = settled(&attempt, &seen, status)
        {
            if after.stage == Stage::Done {
                unit.notes.note_installed()?;
            }
            unit.notes.note(after)?;
        }
        let Some(attempt) = unit.notes.attempt().filter(|attempt| !attempt.reported) else {
            return Ok(());
        };
        if unit.told == Some(attempt.payload) {
            return Ok(());
        }
        let event = match attempt.stage {
            Stage::Done => Event::SetDone {
                version: attempt.version.clone(),
                software_version: attempt.software_version,
            },
            Stage::Undone => Event::SetUndone {
                reason: attempt.reason.clone(),
            },
            Stage::Failed => Event::SetFailed {
                reason: attempt.reason.clone(),
            },
            _ => return Ok(()),
        };
        unit.told = Some(attempt.payload);
        on(&event);
        Ok(())
    }
}

/// What becomes of a set whose applying, or undoing, was cut: it is finished with `new` content, or with `old`. An app that is tried, or waits for it, is no
/// interruption.
fn interrupted(mut flash: SimFlash<WORD, SECTOR>, layout: &EspLayout) -> Option<&'static str> {
    block_on(async {
        let journal = Journal::mount(&mut flash, layout.journal).await;
        let mut set = SetLook::new(&journal, &mut flash);
        if set.state().await.ok()? != SetState::Stuck {
            return None;
        }
        match set.failure().await.ok()? {
            Some(_) => Some("old"),
            None => Some("new"),
        }
    })
}

/// What the engine says of the last set.
struct Seen {
    state: SetState,
    failure: Option<SetFailure>,
    /// Each part is what the set brought.
    all_new: bool,
}

impl Seen {
    fn of(engine: &mut Engine<'_>) -> Result<Self, DeviceError> {
        block_on(async {
            let mut all_new = true;
            for index in 0.. {
                match engine.set_part(index).await? {
                    Some(part) => all_new &= part.holds == Holds::New,
                    None => break,
                }
            }
            Ok(Self {
                state: engine.set_state().await?,
                failure: engine.set_failure().await?,
                all_new,
            })
        })
    }
}

/// What the notes have to say now; `None`: what they say.
fn settled(attempt: &Attempt, seen: &Seen, status: Status) -> Option<Attempt> {
    let ours = |sha256: &[u8; 32]| *sha256 == attempt.payload;
    let failed = |stage| {
        let reason = seen.failure.as_ref().map(why);
        (stage, reason.unwrap_or_default())
    };
    let (stage, reason) = match (attempt.stage, &seen.state) {
        (Stage::Committed | Stage::InSequence, SetState::Done { sha256, .. }) if ours(sha256) => {
            (Stage::Done, String::new())
        }
        (
            Stage::Committed,
            SetState::Reverted {
                sha256,
                reported: false,
                ..
            },
        ) if ours(sha256) => failed(Stage::Undone),
        (Stage::Committed, SetState::Applied | SetState::OnTrial | SetState::Stuck) => return None,
        (Stage::InSequence, SetState::Partly { sha256, .. }) if ours(sha256) && seen.all_new => {
            (Stage::Done, String::new())
        }
        // One could not be applied, or the set was given up.
        (Stage::Committed | Stage::InSequence, SetState::Partly { sha256, .. })
            if ours(sha256) && seen.failure.is_some() =>
        {
            failed(Stage::Failed)
        }
        // The power went before the engine had taken it, or while one part after the other was applied.
        (Stage::Committed | Stage::InSequence, _) => (Stage::Fetching, String::new()),
        (Stage::OnTrial, _) => match status {
            Status::Idle {
                last: Some((Outcome::Confirmed, ..)),
            } => (Stage::Done, String::new()),
            Status::Idle {
                last: Some((Outcome::RolledBack { started, reason }, ..)),
            } => (Stage::Failed, why_rolled_back(started, reason).to_owned()),
            Status::Idle { .. } => (Stage::Failed, "not-confirmed".to_owned()),
            _ => return None,
        },
        _ => return None,
    };
    Some(Attempt {
        stage,
        reason,
        ..attempt.clone()
    })
}
