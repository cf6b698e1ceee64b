//! Rollouts, `/api/v1/organizations/{organization}/rollouts`. One operation a file.

pub(super) mod act;
pub(super) mod create;
pub(super) mod list;
pub(super) mod list_devices;
pub(super) mod show;

use airlift_rollout::{Counts, Millis, Plan, Rollout, Status};
use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Serialize;

use super::{Api, Problem};
use crate::rollout::RolloutError;

/// Their routes, below the organization.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/", post(create::handle).get(list::handle))
        .route("/{id}", get(show::handle))
        .route("/{id}/devices", get(list_devices::handle))
        .route("/{id}/{action}", post(act::handle))
}

/// A rollout, and how it stands.
#[derive(Serialize)]
pub(super) struct ShownRollout {
    id: i64,
    status: &'static str,
    /// Why it has stopped by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_because: Option<String>,
    plan: Plan,
    created_at: Millis,
    created_by: Option<i64>,
    approved_by: Option<i64>,
    started_at: Option<Millis>,
    /// None before it starts.
    stages: Vec<ShownStage>,
    /// Of all stages.
    counts: Counts,
}

#[derive(Serialize)]
struct ShownStage {
    /// 1 for the first.
    stage: usize,
    /// That of the named devices.
    canary: bool,
    /// How many devices there were up to its end when the rollout started.
    up_to: usize,
    open: bool,
    opened_at: Option<Millis>,
    counts: Counts,
}

impl ShownRollout {
    pub(super) fn new(rollout: &Rollout) -> Self {
        let status = rollout.status();
        let mut counts = Counts::default();
        let stages = rollout.stages().iter().enumerate().map(|(index, stage)| {
            counts += stage.counts;
            ShownStage {
                stage: index + 1,
                canary: stage.is_canary,
                up_to: stage.up_to,
                open: index <= rollout.open_stage(),
                opened_at: stage.opened_at,
                counts: stage.counts,
            }
        });
        Self {
            id: rollout.id(),
            status: status.as_str(),
            stopped_because: match status {
                Status::Stopped(why) => Some(why.to_string()),
                _ => None,
            },
            plan: rollout.plan().clone(),
            created_at: rollout.created_at(),
            created_by: rollout.created_by(),
            approved_by: rollout.approved_by(),
            started_at: rollout.started_at(),
            stages: stages.collect(),
            counts,
        }
    }
}

/// The number in an address.
pub(super) fn number(text: &str) -> Result<i64, Problem> {
    let number = text.parse().ok();
    number.ok_or_else(|| RolloutError::NoSuchRollout.into())
}

impl From<RolloutError> for Problem {
    fn from(error: RolloutError) -> Self {
        let detail = error.to_string();
        match error {
            RolloutError::NoSuchRollout | RolloutError::NoSuchRelease(_) => Self::not_found(detail),
            RolloutError::Withdrawn(_) => Self::conflict("release-withdrawn", detail),
            RolloutError::NotHeld(_) => Self::conflict("release-not-held", detail),
            RolloutError::NoSuchCanary(_) => Self::bad_request("no-such-canary", detail),
            RolloutError::BadPlan(_) => Self::bad_request("bad-plan", detail),
            RolloutError::NotNow(..) => Self::conflict("rollout-status", detail),
            RolloutError::SamePerson => Self::conflict("same-person", detail),
            RolloutError::NotStored => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-stored", detail)
            }
            RolloutError::Database(error) => error.into(),
        }
    }
}
