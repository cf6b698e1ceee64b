//! What the server is told of images: what is in place, and how the last one ended. Each end once.

use airlift_device::Error as EngineError;
use airlift_device::notify::esp_http::{Method, PartitionFacts, State, is_report_text};

use super::super::ask::{Question, is_told};
use super::super::device::{Due, Observer, Running};
use super::super::{DeviceError, Event};
use super::notes::{Attempt, Stage};
use super::{PLACE, Unit};
use crate::flash::{FlashError, block_on};

impl Unit {
    /// What the server does not know of the last image.
    pub(super) fn due(&self) -> Option<Due> {
        let attempt = self.notes.attempt().filter(|attempt| !attempt.reported)?;
        let state = match attempt.stage {
            Stage::Fetching => State::Interrupted,
            Stage::Done => State::Confirmed,
            Stage::Undone => State::RolledBack,
            Stage::Refused => State::Refused,
            Stage::Failed => State::Failed,
            Stage::Committed | Stage::InSequence | Stage::OnTrial => return None,
        };
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Some(Due {
            state,
            sha256: Some(attempt.file.sha256),
            version: text(&attempt.version),
            reason: text(&attempt.reason).map(Into::into),
        })
    }
}

impl Running<'_> {
    /// What is in place.
    pub(super) fn set_facts(&self) -> PartitionFacts<'_> {
        let unit = self.parts.set.as_ref();
        let installed = unit.and_then(|unit| unit.notes.installed());
        PartitionFacts {
            name: PLACE,
            sha256: installed.map(|image| image.file.sha256),
            version: installed
                .map(|image| image.version.as_str())
                .filter(|version| is_report_text(version)),
        }
    }

    /// Tells how the last image ended, if the server does not know; one that cannot be reached is told with the next check.
    pub(in super::super) fn tell_of_set(&mut self, on: &mut Observer<'_>) {
        let due = self.parts.set.as_ref().and_then(super::Unit::due);
        let Some(due) = due.filter(|due| due.state != State::Interrupted) else {
            return;
        };
        if self.parts.server.host.is_empty() {
            return;
        }
        let answered = self.ask(&Question {
            method: Method::Head,
            begun: None,
            partition: Some(self.set_facts()),
            due: Some(&due),
        });
        if let Ok(answered) = answered {
            // As in `tell`.
            let _ = self.note_set_told(&due, answered.head.status, on);
        }
    }

    pub(super) fn note_set_told(
        &mut self,
        due: &Due,
        status: u16,
        on: &mut Observer<'_>,
    ) -> Result<(), DeviceError> {
        let Some(unit) = self.parts.set.as_mut().filter(|_| is_told(due, status)) else {
            return Ok(());
        };
        block_on(self.updater.set_reported())?;
        if unit.has_app() {
            // Its app came in no other way, so nobody else is to be told of it.
            block_on(self.updater.reported())?;
        }
        if let Some(mut attempt) = unit.notes.attempt().cloned() {
            attempt.reported = true;
            unit.notes.note(attempt)?;
        }
        on(&Event::PartitionReported {
            partition: PLACE.to_owned(),
            state: due.state.token(),
        });
        Ok(())
    }

    /// What was begun is not on offer any more, and the server was told so much.
    pub(super) fn give_up_attempt(&mut self) -> Result<(), EngineError<FlashError>> {
        let Some(unit) = &mut self.parts.set else {
            return Ok(());
        };
        match unit.notes.attempt().cloned() {
            Some(attempt) if attempt.stage == Stage::Fetching => unit.notes.note(Attempt {
                reported: true,
                ..attempt
            }),
            _ => Ok(()),
        }
    }
}
