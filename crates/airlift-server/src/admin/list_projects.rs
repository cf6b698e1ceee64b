//! `GET /api/v1/organizations/{organization}/projects`

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Principal;
use super::create_organization::Named;
use super::{Api, Problem};
use crate::clock::Timestamp;

#[derive(Serialize)]
pub(super) struct Projects {
    projects: Vec<Named>,
}

/// Lists an organization's projects by name.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
) -> Result<Json<Projects>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let rows = api.catalog.database.projects(organization.id).await?;
    let named = |row: crate::store::catalog::NamedRow| Named {
        name: row.name,
        created_at: Timestamp(row.created_at),
    };
    Ok(Json(Projects {
        projects: rows.into_iter().map(named).collect(),
    }))
}
