//! `GET /api/v1/organizations/{organization}/things?after=&limit=`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::store::things::ThingRow;

const MAX_LIMIT: u16 = 1000;
const DEFAULT_LIMIT: u16 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) after: String,
    limit: Option<u16>,
}

impl Page {
    pub(super) fn limit(&self) -> i64 {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT).into()
    }
}

#[derive(Serialize)]
pub(super) struct Things {
    things: Vec<AboutThing>,
}

/// A thing, and how it may sign in.
#[derive(Serialize)]
pub(super) struct AboutThing {
    name: String,
    project: String,
    key: Option<String>,
    certificate_fingerprint: Option<String>,
    has_password: bool,
    created_at: Timestamp,
    blocked_at: Option<Timestamp>,
    connected: bool,
}

impl AboutThing {
    pub(super) fn new(api: &Api, row: ThingRow) -> Self {
        Self {
            connected: api.jobs.is_connected(row.id),
            name: row.name,
            project: row.project,
            key: row.key,
            certificate_fingerprint: row.certificate_fingerprint,
            has_password: row.password_hash.is_some(),
            created_at: Timestamp(row.created_at),
            blocked_at: row.blocked_at.map(Timestamp),
        }
    }
}

/// Lists things by name, from behind `after` on.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Things>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let things = api
        .catalog
        .database
        .things(organization.id, &page.after, page.limit())
        .await?;
    let things = things
        .into_iter()
        .map(|row| AboutThing::new(&api, row))
        .collect();
    Ok(Json(Things { things }))
}
