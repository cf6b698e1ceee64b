//! Sets at boot: the one that was interrupted is finished or undone before the app's first line, and the app of a set that proved itself keeps it.

use airlift_device::install::{EspLayout, EspOtadata};
use airlift_device::journal::{Journal, Phase, Subject};
use airlift_device::set::{SetRestore, SetState};
use airlift_device::{Error as EngineError, Outcome, Refusal, Status, Updater};

use super::super::device::{Engine, Observer, Parts, why_rolled_back};
use super::super::provision::{SECTOR, WORD};
use super::super::recovery::Told;
use super::super::transfer::BUFFER;
use super::super::{DeviceError, Event};
use super::external::Externals;
use super::notes::{Attempt, Stage};
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

    /// Whether an app that is staged waits to be tried. One that came as a part of a set that was never committed does not.
    pub(in super::super) fn is_to_be_tried(
        &self,
        engine: &mut Engine<'_>,
    ) -> Result<bool, DeviceError> {
        Ok(match &self.set {
            Some(unit) if unit.has_app() => block_on(engine.set_state())? == SetState::Applied,
            _ => true,
        })
    }

    /// Compares the notes with what the engine says of the set, and tells what is new.
    pub(in super::super) fn settle_set(
        &mut self,
        engine: &mut Engine<'_>,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        let state = block_on(engine.set_state())?;
        let status = engine.status();
        let Some(unit) = &mut self.set else {
            return Ok(());
        };
        if let Some(attempt) = unit.notes.attempt().cloned()
            && let Some(after) = settled(&attempt, state, status)
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

/// What becomes of a set whose applying, or undoing, was cut: it is finished with `new` content, or with `old`. An app that is tried is no
/// interruption.
fn interrupted(mut flash: SimFlash<WORD, SECTOR>, layout: &EspLayout) -> Option<&'static str> {
    block_on(async {
        let journal = Journal::mount(&mut flash, layout.journal).await;
        let set = journal.find(&mut flash, Subject::SET).await.ok()??;
        let tried = journal.current().is_some_and(|app| {
            matches!(
                app.phase,
                Phase::Armed | Phase::OnTrial | Phase::Confirming | Phase::Rejecting
            )
        });
        match set.phase {
            Phase::Committed if !tried => Some("new"),
            Phase::Reverting => Some("old"),
            _ => None,
        }
    })
}

/// What the notes have to say now; `None`: what they say.
fn settled(attempt: &Attempt, state: SetState, status: Status) -> Option<Attempt> {
    let ours = |sha256: [u8; 32]| sha256 == attempt.payload;
    let app = match status {
        Status::Idle {
            last: Some((Outcome::RolledBack { started, reason }, ..)),
        } => why_rolled_back(started, reason),
        _ => "not-confirmed",
    };
    let (stage, reason) = match (attempt.stage, state) {
        (Stage::Committed, SetState::Done { sha256, .. }) if ours(sha256) => {
            (Stage::Done, String::new())
        }
        (
            Stage::Committed,
            SetState::Reverted {
                sha256,
                tag,
                reported: false,
            },
        ) if ours(sha256) => {
            let reason = match tag {
                0 => app.to_owned(),
                tag => format!("not-applied/tag:{tag}"),
            };
            (Stage::Undone, reason)
        }
        (Stage::Committed, SetState::Applied | SetState::OnTrial | SetState::Stuck) => return None,
        // The power went before the engine had taken it, or while one part after the other was applied.
        (Stage::Committed | Stage::InSequence, _) => (Stage::Fetching, String::new()),
        (Stage::OnTrial, _) => match status {
            Status::Idle {
                last: Some((Outcome::Confirmed, ..)),
            } => (Stage::Done, String::new()),
            Status::Idle { .. } => (Stage::Failed, app.to_owned()),
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
