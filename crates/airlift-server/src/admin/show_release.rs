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
    let nothing = || Problem::not_found("this organization has no such release");
    let id = id.parse().map_err(|_| nothing())?;
    let row = api.catalog.database.release(organization.id, id).await?;
    Ok(Release::try_from(row.ok_or_else(nothing)?).map_err(CatalogError::from)?)
}
