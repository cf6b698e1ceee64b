//! `POST /api/v1/organizations/{organization}/things` `{"name": "dev-1", "project": "lotus", "key": "sht30"}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;

use super::auth::Principal;
use super::create_organization::check_new_name;
use super::list_things::AboutThing;
use super::{Api, Problem, create_project};
use crate::jobs::{MAX_THING_NAME, is_thing_name};
use crate::name;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewThing {
    name: String,
    project: String,
    /// The device type; without one, only releases for this one device are for it.
    key: Option<String>,
}

/// Creates a thing. The administrator's token also makes the project when it is missing.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    body: Result<Json<NewThing>, JsonRejection>,
) -> Result<(StatusCode, Json<AboutThing>), Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Json(thing) = body?;
    check(&thing.name, &thing.project, thing.key.as_deref())?;
    create_project::if_missing(&api, principal, &organization, &thing.project).await?;
    let created = api
        .catalog
        .database
        .insert_thing(
            organization.id,
            &thing.project,
            &thing.name,
            thing.key.as_deref(),
            api.clock.now(),
        )
        .await?;
    let created = created.ok_or_else(|| {
        let detail = format!(
            "organization {} has a thing {} already",
            organization.name, thing.name
        );
        Problem::conflict("thing-exists", detail)
    })?;
    Ok((StatusCode::CREATED, Json(AboutThing::new(&api, created))))
}

/// Checks the names of a thing, of its project and of its key.
pub(super) fn check(name: &str, project: &str, key: Option<&str>) -> Result<(), Problem> {
    if !is_thing_name(name) {
        let detail = format!(
            "name: a thing's name has 1 to {MAX_THING_NAME} of the characters A-Z a-z 0-9 : _ -"
        );
        return Err(Problem::bad_request("bad-name", detail));
    }
    check_new_name(project)?;
    if let Some(key) = key {
        name::check(key.as_bytes())
            .map_err(|why| Problem::bad_request("bad-name", format!("key: {why}")))?;
    }
    Ok(())
}
