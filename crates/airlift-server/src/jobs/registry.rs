//! What the device registry hears of things: the same as of devices that ask over HTTP.

use super::desk::Seat;
use super::execution::{Execution, Status};
use super::refusal::Refusal;
use super::service::AwsService;
use super::thing::Thing;
use crate::catalog::release::Release;
use crate::clock::Timestamp;
use crate::fleet::device::{CheckIn, Device, State};
use crate::fleet::report::{Report, ResultState};
use crate::rollout::Heard;

/// Longest reason that is kept, in characters, as in reports over HTTP.
const MAX_REASON: usize = 64;

impl AwsService {
    /// Takes down that a thing was heard of.
    pub(super) fn hear(&self, thing: &Thing) {
        let desk = self.desks.find(thing.id);
        let address = desk.and_then(|desk| desk.address());
        let now = self.clock.now();
        self.note(thing, now, |device, state| {
            let check_in = CheckIn {
                project: &thing.project,
                key: thing.key.as_deref().unwrap_or_default(),
                address,
                user_agent: None,
                about: None,
                build: None,
                partition: None,
                version_is_of_file_system: false,
                report: None,
            };
            state.hear(device, &check_in, now);
        });
    }

    /// Writes something into the registry's record of a thing. `None`: the registry is full.
    pub(super) fn note<T>(
        &self,
        thing: &Thing,
        now: Timestamp,
        note: impl FnOnce(&Device, &mut State) -> T,
    ) -> Option<T> {
        let device = self
            .registry
            .find_or_add(thing.organization, &thing.name, now)?;
        let mut state = device.lock();
        let noted = note(&device, &mut state);
        let newly_changed = state.queue();
        drop(state);
        if newly_changed {
            self.registry.changed(device);
        }
        Some(noted)
    }

    /// Takes down what a thing says of the end of an execution that installs a release. `was`: how it was before.
    pub(super) async fn take_report(
        &self,
        seat: &Seat<'_>,
        was: &Execution,
        ended: &Execution,
    ) -> Result<(), Refusal> {
        let (thing, now) = (seat.thing, seat.now);
        let Some(id) = ended.job.release else {
            return Ok(());
        };
        let row = self.database().release(thing.organization, id).await?;
        let Some(row) = row else {
            return Ok(());
        };
        let release = Release::try_from(row).map_err(|error| Refusal::internal(&error))?;
        let (state, reason) = result(was, ended);
        let report = Report {
            state,
            sha256: Some(release.sha256),
            version: Some(&release.version),
            reason: reason.as_deref(),
        };
        self.note(thing, now, |device, state| {
            state.hear_of_release(device, &release, &report, now);
        });
        if let Some(organization) = self.catalog().snapshot().by_id(thing.organization) {
            let heard = Heard {
                report,
                partition: release.partition.as_deref(),
                is_news: true,
            };
            self.rollouts.hear(organization, &thing.name, &heard);
        }
        Ok(())
    }
}

/// How an update ended that a thing says has ended, and why.
///
/// The agents of FreeRTOS have one word, `FAILED`, for an image that they refuse and for one that they went back from; that it was
/// on trial they have said before. Devices of ours say the cause as a word beside the agents' `reason`.
fn result(was: &Execution, ended: &Execution) -> (ResultState, Option<String>) {
    let details = ended.details.as_ref();
    let text = |name| details.and_then(|details| details.get(name));
    let reason = text("reason");
    let is_rejected = reason
        .as_ref()
        .is_some_and(|reason| reason.starts_with("rejected"));
    let state = match ended.status {
        Status::Succeeded => return (ResultState::Confirmed, None),
        Status::Rejected => ResultState::Refused,
        _ if was.is_on_trial() || ended.is_on_trial() => ResultState::RolledBack,
        _ if is_rejected => ResultState::Refused,
        _ => ResultState::Failed,
    };
    let cause = text("cause").or(reason);
    (
        state,
        cause.map(|cause| cause.chars().take(MAX_REASON).collect()),
    )
}
