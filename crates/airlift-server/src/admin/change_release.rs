//! `PATCH /api/v1/organizations/{organization}/releases/{id}` `{"notes": "...", "allow_downgrade": true, "held": false}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::auth::Principal;
use super::list_releases::ListedRelease;
use super::{Api, Problem, show_release};

/// Longest notes, in bytes.
const MAX_NOTES: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// For people; the empty text takes them away.
    notes: Option<String>,
    allow_downgrade: Option<bool>,
    /// `false`: offered to everybody from now on.
    held: Option<bool>,
}

/// Changes what can be changed of a release: never its bytes, its version or its place.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id)): Path<(String, String)>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<ListedRelease>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Json(change) = body?;
    let release = show_release::find(&api, &organization, &id).await?;
    let notes = change.notes.or_else(|| release.notes.clone());
    if notes.as_ref().is_some_and(|notes| notes.len() > MAX_NOTES) {
        let detail = format!("notes have at most {MAX_NOTES} bytes");
        return Err(Problem::bad_request("notes-too-long", detail));
    }
    let held = change.held.unwrap_or(release.held);
    if held && !release.held {
        let detail = "devices may have been offered it already: withdraw it, and publish it anew with hold=true";
        return Err(Problem::conflict("release-not-held", detail));
    }
    if !held && release.held {
        let table = api.rollouts.of(organization.id);
        if table.is_some_and(|table| table.is_under_way(release.id)) {
            let detail = "a rollout of this release is not finished: wait for it, or abort it, before everybody is offered the release";
            return Err(Problem::conflict("rollout-status", detail));
        }
    }
    let notes = notes.filter(|notes| !notes.is_empty());
    let allow_downgrade = change.allow_downgrade.unwrap_or(release.allow_downgrade);
    api.catalog
        .change(
            &organization,
            release.id,
            held,
            allow_downgrade,
            notes.as_deref(),
        )
        .await?;
    let organization = principal.organization(&api, &organization.name)?;
    let release = show_release::find(&api, &organization, &id).await?;
    Ok(Json(ListedRelease::new(release, &organization)))
}
