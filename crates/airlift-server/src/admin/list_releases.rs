//! `GET /api/v1/organizations/{organization}/releases?project=&limit=&before=`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::{Api, Problem};
use crate::catalog::CatalogError;
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;

/// Most releases in one answer, and the number without `limit`.
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    project: Option<String>,
    limit: Option<usize>,
    before: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Releases {
    releases: Vec<ListedRelease>,
}

/// A release, and whether its place offers it.
#[derive(Serialize)]
pub(super) struct ListedRelease {
    #[serde(flatten)]
    pub(super) release: Release,
    pub(super) offered: bool,
}

impl ListedRelease {
    pub(super) fn new(release: Release, organization: &Organization) -> Self {
        let there = organization.offered(
            &release.project,
            release.target_kind,
            &release.target,
            release.partition.as_deref(),
        );
        let offered = there.is_some_and(|there| there.id == release.id);
        Self { release, offered }
    }
}

/// Lists releases, newest first, also replaced and withdrawn ones.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Releases>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let mut releases = Vec::new();
    for row in api
        .catalog
        .database
        .releases(organization.id)
        .await?
        .into_iter()
        .rev()
    {
        let wanted = page.before.is_none_or(|before| row.id < before)
            && page
                .project
                .as_ref()
                .is_none_or(|project| *project == row.project);
        if wanted && releases.len() < page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT) {
            let release = Release::try_from(row).map_err(CatalogError::from)?;
            releases.push(ListedRelease::new(release, &organization));
        }
    }
    Ok(Json(Releases { releases }))
}
