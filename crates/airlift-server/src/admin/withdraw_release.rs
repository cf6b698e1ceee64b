//! `DELETE /api/v1/organizations/{organization}/releases/{id}`, also as `POST .../{id}/withdraw`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Principal;
use super::show_release;
use super::{Api, Problem};

#[derive(Serialize)]
pub(super) struct Withdrawn {
    withdrawn: i64,
    /// What the place offers instead: the newest release of the same kind (and partition) before it that is not withdrawn.
    now_offered: Option<i64>,
}

/// Takes a release back: no device is offered it from now on, and its rollouts are aborted. The record stays, and so do its bytes. Doing so again
/// changes nothing.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id)): Path<(String, String)>,
) -> Result<Json<Withdrawn>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let release = show_release::find(&api, &organization, &id).await?;
    api.catalog
        .withdraw(&organization, release.id, api.clock.now())
        .await?;
    api.rollouts
        .withdrawn(organization.id, release.id, principal.token)
        .await?;
    let now = principal.organization(&api, &organization.name)?;
    let offered = now.offered(
        &release.project,
        release.target_kind,
        &release.target,
        release.partition.as_deref(),
    );
    Ok(Json(Withdrawn {
        withdrawn: release.id,
        now_offered: offered.map(|offered| offered.id),
    }))
}
