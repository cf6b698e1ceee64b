//! `POST /api/v1/organizations/{organization}/tokens` `{"label": "build server"}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::store::tokens::TokenRow;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[serde(default)]
    label: String,
}

#[derive(Serialize)]
pub(super) struct CreatedToken {
    /// Shown this once.
    token: String,
    #[serde(flatten)]
    about: AboutToken,
}

/// A token without its secret.
#[derive(Serialize)]
pub(super) struct AboutToken {
    id: i64,
    label: String,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

impl From<TokenRow> for AboutToken {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            label: row.label,
            created_at: Timestamp(row.created_at),
            revoked_at: row.revoked_at.map(Timestamp),
        }
    }
}

/// Creates a token that may publish in this organization and see its devices. Administrator only.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    body: Result<Json<NewToken>, JsonRejection>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let organization = principal.organization(&api, &organization)?;
    principal.require_admin()?;
    let Json(NewToken { label }) = body?;
    if label.chars().count() > 100 || label.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            "bad-label",
            "a label has at most 100 printable characters",
        ));
    }
    let (row, token) = api
        .tokens
        .create(Some(organization.id), &label, api.clock.now())
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(CreatedToken {
            token,
            about: row.into(),
        }),
    ))
}
