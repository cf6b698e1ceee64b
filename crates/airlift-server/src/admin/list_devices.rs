//! `GET /api/v1/organizations/{organization}/devices?after=&limit=&filter=`

use std::sync::Arc;

use airlift_rollout::{Filter, Millis};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::{Api, Problem};
use crate::catalog::snapshot::Organization;
use crate::fleet::device::{Device, State as DeviceState};

const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
    /// In the language of `docs/rollouts.md`.
    filter: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Devices {
    devices: Vec<ListedDevice>,
}

/// What is known of a device: what it said, when, and what it was told.
#[derive(Serialize)]
pub(super) struct ListedDevice {
    node: String,
    #[serde(flatten)]
    state: DeviceState,
    /// The release whose image it runs, if it is one of this organization's.
    running_release: Option<RunningRelease>,
}

#[derive(Serialize)]
struct RunningRelease {
    id: i64,
    version: String,
}

impl ListedDevice {
    pub(super) fn new(device: &Device, organization: &Organization) -> Self {
        let state = device.lock().clone();
        let build = organization.build(state.sketch_md5, state.sketch_sha256);
        let running_release = build.map(|build| RunningRelease {
            id: build.id,
            version: build.version.clone(),
        });
        Self {
            node: device.node.to_string(),
            state,
            running_release,
        }
    }
}

/// Lists devices by name, from behind `after` on.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Devices>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let filter = page.filter.as_deref().map(str::parse::<Filter>);
    let filter = filter
        .transpose()
        .map_err(|error| Problem::bad_request("bad-filter", format!("filter: {error}")))?;
    // With a filter nobody knows how many are looked at for how many that are chosen.
    let most = if filter.is_some() { usize::MAX } else { limit };
    let devices = api
        .registry
        .list(organization.id, page.after.as_deref(), most);
    let now = Millis(api.clock.now().0);
    let is_chosen = |device: &&Arc<Device>| {
        filter.as_ref().is_none_or(|filter| {
            let state = device.lock();
            filter.matches(&state.facts(&device.node, &organization), now)
        })
    };
    let devices = devices
        .iter()
        .filter(is_chosen)
        .take(limit)
        .map(|device| ListedDevice::new(device, &organization))
        .collect();
    Ok(Json(Devices { devices }))
}
