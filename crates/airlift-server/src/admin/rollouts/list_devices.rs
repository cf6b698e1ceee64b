//! `GET /api/v1/organizations/{organization}/rollouts/{id}/devices?state=&stage=&after=&limit=`

use airlift_rollout::{Member, MemberState, Millis, Rollout};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::number;
use crate::admin::auth::Principal;
use crate::admin::{Api, Problem};
use crate::rollout::RolloutError;

const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Page {
    state: Option<String>,
    /// 1 for the first.
    stage: Option<usize>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(in crate::admin) struct Listed {
    devices: Vec<ListedDevice>,
}

/// How far a device is.
#[derive(Serialize)]
struct ListedDevice {
    node: String,
    /// 1 for the first; 0 before the rollout starts.
    stage: usize,
    state: &'static str,
    /// Of a device that was skipped: the rule by which it had no use for the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    since: Millis,
    attempt: u32,
}

/// Lists the devices of a rollout by name, from behind `after` on.
pub(in crate::admin) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id)): Path<(String, String)>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listed>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let id = number(&id)?;
    api.rollouts.look_after_time();
    let table = api.rollouts.of(organization.id);
    let devices = table.and_then(|table| table.get(id, |rollout| devices(rollout, &page)));
    let devices = devices.ok_or(RolloutError::NoSuchRollout)?;
    Ok(Json(Listed { devices }))
}

fn devices(rollout: &Rollout, page: &Page) -> Vec<ListedDevice> {
    let has_started = usize::from(rollout.started_at().is_some());
    let is_wanted = |name: &str, member: &Member| {
        let stage = member.stage() + has_started;
        page.after
            .as_ref()
            .is_none_or(|after| name > after.as_str())
            && page
                .state
                .as_ref()
                .is_none_or(|state| *state == member.state().as_str())
            && page.stage.is_none_or(|wanted| wanted == stage)
    };
    let members = rollout.members();
    let mut wanted: Vec<_> = members
        .filter(|(name, member)| is_wanted(name, member))
        .collect();
    wanted.sort_unstable_by_key(|(name, _)| *name);
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let listed = wanted.into_iter().take(limit);
    listed
        .map(|(name, member)| ListedDevice {
            node: name.to_owned(),
            stage: member.stage() + has_started,
            state: member.state().as_str(),
            reason: match member.state() {
                MemberState::Skipped(why) => Some(why.to_string()),
                _ => None,
            },
            since: member.since(),
            attempt: member.attempt(),
        })
        .collect()
}
