//! `DELETE /api/v1/organizations/{organization}/jobs/{job}?force=`

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;

use super::auth::Principal;
use super::{Api, Problem, show_job};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Even if things have it still to do.
    #[serde(default)]
    force: bool,
}

/// Deletes a job and all that is known of it.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, job)): Path<(String, String)>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<StatusCode, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(Parameters { force }) = parameters?;
    let row = show_job::find(&api, organization.id, &job).await?;
    let status = show_job::listed(&api, &row).await?.status();
    let in_progress = api.catalog.database.executions_in_progress(row.id).await?;
    if !force && (status == "IN_PROGRESS" || in_progress > 0) {
        let detail = format!(
            "things have job {job} still to do: cancel it first, or repeat with force=true"
        );
        return Err(Problem::conflict("job-in-progress", detail));
    }
    // In a task of its own: a client that hangs up does not keep the things from hearing of it.
    let jobs = api.jobs.clone();
    let deleted = tokio::spawn(async move { jobs.delete_job(row.id).await });
    deleted.await.map_err(|error| Problem::internal(&error))??;
    Ok(StatusCode::NO_CONTENT)
}
