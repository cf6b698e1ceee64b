//! `POST /api/v1/organizations/{organization}/projects` `{"name": "lotus"}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;

use super::auth::Principal;
use super::create_organization::{Named, NewName, check_new_name};
use super::{Api, Problem};
use crate::catalog::snapshot::Organization;

/// Creates a project. Administrator only: devices of a project that exists are recorded, so its name is not everyone's to choose.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    body: Result<Json<NewName>, JsonRejection>,
) -> Result<(StatusCode, Json<Named>), Problem> {
    let organization = principal.organization(&api, &organization)?;
    principal.require_admin()?;
    let Json(NewName { name }) = body?;
    check_new_name(&name)?;
    let created_at = api
        .catalog
        .create_project(&organization, &name, api.clock.now())
        .await?;
    let created_at = created_at.ok_or_else(|| {
        let detail = format!(
            "organization {} has a project {name} already",
            organization.name
        );
        Problem::conflict("project-exists", detail)
    })?;
    Ok((StatusCode::CREATED, Json(Named { name, created_at })))
}

/// Makes sure that there is this project; `true` when it was made for that. Only the administrator's token makes one.
pub(super) async fn if_missing(
    api: &Api,
    principal: Principal,
    organization: &Organization,
    name: &str,
) -> Result<bool, Problem> {
    if organization.projects.contains_key(name) {
        return Ok(false);
    }
    if !principal.is_admin() {
        return Err(Problem::not_found(format!(
            "organization {} has no project {name}; an administrator can create it",
            organization.name
        )));
    }
    let created = api
        .catalog
        .create_project(organization, name, api.clock.now())
        .await?;
    Ok(created.is_some())
}
