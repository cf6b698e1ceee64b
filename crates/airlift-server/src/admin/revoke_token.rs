//! `DELETE /api/v1/organizations/{organization}/tokens/{id}`

use axum::extract::{Path, State};
use http::StatusCode;

use super::auth::Principal;
use super::{Api, Problem};

/// Makes a token useless from now on. Doing so again changes nothing. Administrator only.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let organization = principal.organization(&api, &organization)?;
    principal.require_admin()?;
    let tokens = api.tokens.list(organization.id).await?;
    let token = tokens.iter().find(|token| token.id.to_string() == id);
    let token = token.ok_or_else(|| Problem::not_found("this organization has no such token"))?;
    api.tokens.revoke(token.id, api.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
