//! `GET /api/v1/organizations/{organization}/devices/{node}`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Principal;
use super::list_devices::ListedDevice;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::store::fleet::EventRow;

/// Most events in one answer; no more are kept.
const MAX_EVENTS: i64 = 200;

#[derive(Serialize)]
pub(super) struct ShownDevice {
    #[serde(flatten)]
    device: ListedDevice,
    /// Newest first.
    events: Vec<Event>,
}

#[derive(Serialize)]
struct Event {
    at: Timestamp,
    event: String,
    /// `null`: it happened to the app.
    partition: Option<String>,
    version: Option<String>,
    sha256: Option<String>,
    reason: Option<String>,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        Self {
            at: Timestamp(row.at),
            event: row.event,
            partition: row.partition,
            version: row.version,
            sha256: row.sha256,
            reason: row.reason,
        }
    }
}

/// Shows one device with what happened to it.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, node)): Path<(String, String)>,
) -> Result<Json<ShownDevice>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let device = api.registry.find(organization.id, &node);
    let device =
        device.ok_or_else(|| Problem::not_found("this organization has no such device"))?;
    // Events of this moment may still be on their way into the database.
    api.writer.flush().await?;
    let events = api
        .catalog
        .database
        .events(organization.id, &node, MAX_EVENTS)
        .await?;
    Ok(Json(ShownDevice {
        device: ListedDevice::new(&device, &organization),
        events: events.into_iter().map(Event::from).collect(),
    }))
}
