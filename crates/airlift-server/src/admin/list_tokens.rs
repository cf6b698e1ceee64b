//! `GET /api/v1/organizations/{organization}/tokens`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Principal;
use super::create_token::AboutToken;
use super::{Api, Problem};

#[derive(Serialize)]
pub(super) struct TokenList {
    tokens: Vec<AboutToken>,
}

/// Lists an organization's tokens, revoked ones too, without secrets. Administrator only.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
) -> Result<Json<TokenList>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    principal.require_admin()?;
    let rows = api.tokens.list(organization.id).await?;
    Ok(Json(TokenList {
        tokens: rows.into_iter().map(AboutToken::from).collect(),
    }))
}
