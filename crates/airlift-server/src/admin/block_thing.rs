//! `POST` and `DELETE /api/v1/organizations/{organization}/things/{thing}/block`

use axum::extract::{Path, State};
use http::StatusCode;

use super::auth::Principal;
use super::{Api, Problem, show_thing};

/// Keeps a thing out: its connections are closed at once, and it cannot sign in again.
pub(super) async fn block(
    state: State<Api>,
    principal: Principal,
    path: Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    set(state, principal, path, true).await
}

/// Lets it in again.
pub(super) async fn unblock(
    state: State<Api>,
    principal: Principal,
    path: Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    set(state, principal, path, false).await
}

async fn set(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, thing)): Path<(String, String)>,
    is_blocked: bool,
) -> Result<StatusCode, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let thing = show_thing::find(&api, organization.id, &thing).await?;
    api.jobs.block(thing.id, is_blocked).await?;
    Ok(StatusCode::NO_CONTENT)
}
