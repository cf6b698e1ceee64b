//! `GET /api/v1/organizations/{organization}/releases/{id}`

use axum::Json;
use axum::extract::{Path, State};

use super::auth::Principal;
use super::list_releases::ListedRelease;
use super::{Api, Problem};
use crate::catalog::CatalogError;
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;

/// Shows one release.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, id)): Path<(String, String)>,
) -> Result<Json<ListedRelease>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let release = find(&api, &organization, &id).await?;
    Ok(Json(ListedRelease::new(release, &organization)))
}

/// The release with this id, if it is the organization's.
pub(super) async fn find(
    api: &Api,
    organization: &Organization,
    id: &str,
) -> Result<Release, Problem> {
    let rows = api.catalog.database.releases(organization.id).await?;
    let row = rows.into_iter().find(|row| row.id.to_string() == id);
    let row = row.ok_or_else(|| Problem::not_found("this organization has no such release"))?;
    Ok(Release::try_from(row).map_err(CatalogError::from)?)
}
