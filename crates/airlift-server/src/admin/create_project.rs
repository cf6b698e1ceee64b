//! `POST /api/v1/organizations/{organization}/projects` `{"name": "lotus"}`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;

use super::auth::Principal;
use super::create_organization::{Named, NewName, check_new_name};
use super::{Api, Problem};

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
