//! `POST /api/v1/organizations` `{"name": "dev"}`

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::name;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewName {
    pub(super) name: String,
}

/// Something that was made, or is in a list.
#[derive(Serialize)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) created_at: Timestamp,
}

/// Creates an organization. Administrator only.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    body: Result<Json<NewName>, JsonRejection>,
) -> Result<(StatusCode, Json<Named>), Problem> {
    principal.require_admin()?;
    let Json(NewName { name }) = body?;
    check_new_name(&name)?;
    let created = api
        .catalog
        .create_organization(&name, api.clock.now())
        .await?;
    let created = created.ok_or_else(|| {
        Problem::conflict(
            "organization-exists",
            format!("there is an organization {name} already"),
        )
    })?;
    let created_at = Timestamp(created.created_at);
    Ok((StatusCode::CREATED, Json(Named { name, created_at })))
}

/// A name that something new may get: `+` stands for all projects and is nobody's name.
pub(super) fn check_new_name(name: &str) -> Result<(), Problem> {
    match name::check(name.as_bytes()) {
        Ok(name::ALL_PROJECTS) => Err(Problem::bad_request(
            "bad-name",
            "\"+\" stands for all projects and cannot be a name",
        )),
        Ok(_) => Ok(()),
        Err(why) => Err(Problem::bad_request("bad-name", why.to_string())),
    }
}
