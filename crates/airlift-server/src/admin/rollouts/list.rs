//! `GET /api/v1/organizations/{organization}/rollouts?before=&limit=`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::ShownRollout;
use crate::admin::auth::Principal;
use crate::admin::{Api, Problem};

/// Most rollouts in one answer, and the number without `limit`.
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Page {
    before: Option<i64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(in crate::admin) struct Listed {
    rollouts: Vec<ShownRollout>,
}

/// Lists rollouts, newest first.
pub(in crate::admin) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listed>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    api.rollouts.look_after_time();
    let rollouts = api.rollouts.of(organization.id).map(|table| {
        table.newest(|rollouts| {
            let wanted =
                rollouts.filter(|rollout| page.before.is_none_or(|before| rollout.id() < before));
            wanted.take(limit).map(ShownRollout::new).collect()
        })
    });
    let rollouts = rollouts.unwrap_or_default();
    Ok(Json(Listed { rollouts }))
}
