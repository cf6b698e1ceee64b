//! `GET /api/v1/organizations/{organization}/jobs?before=&limit=`

use std::collections::HashMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::auth::Principal;
use super::show_job::ListedJob;
use super::{Api, Problem, show_job};
use crate::store::jobs::CountRow;

const MAX_LIMIT: u16 = 1000;
const DEFAULT_LIMIT: u16 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The job id behind which the list begins.
    before: Option<String>,
    limit: Option<u16>,
}

#[derive(Serialize)]
pub(super) struct Jobs {
    jobs: Vec<ListedJob>,
}

/// Lists jobs, newest first.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Jobs>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let before = match page.before {
        Some(name) => show_job::find(&api, organization.id, &name).await?.id,
        None => i64::MAX,
    };
    let limit = page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let database = &api.catalog.database;
    let jobs = database.jobs(organization.id, before, limit.into()).await?;
    let (Some(newest), Some(oldest)) = (jobs.first(), jobs.last()) else {
        return Ok(Json(Jobs { jobs: Vec::new() }));
    };
    let mut counts: HashMap<i64, Vec<CountRow>> = HashMap::new();
    for row in database
        .execution_counts_between(organization.id, oldest.id, newest.id)
        .await?
    {
        counts.entry(row.job).or_default().push(row);
    }
    let jobs = jobs
        .iter()
        .map(|job| ListedJob::new(job, counts.remove(&job.id).unwrap_or_default()))
        .collect();
    Ok(Json(Jobs { jobs }))
}
