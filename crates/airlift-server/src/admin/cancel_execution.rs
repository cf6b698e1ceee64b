//! `POST /api/v1/organizations/{organization}/jobs/{job}/executions/{thing}/cancel`

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::auth::Principal;
use super::list_executions::ListedExecution;
use super::{Api, Problem, show_job, show_thing};
use crate::jobs::{Details, Thing};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cancellation {
    /// Also if it is in progress.
    force: bool,
    /// Only if it has this version.
    expected_version: Option<i64>,
    status_details: Option<Box<RawValue>>,
}

/// Cancels what one thing has to do of a job.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, job, thing)): Path<(String, String, String)>,
    body: Result<Option<Json<Cancellation>>, JsonRejection>,
) -> Result<Json<ListedExecution>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let cancellation = body?.map(|Json(body)| body).unwrap_or_default();
    let details = cancellation.status_details.as_ref();
    let details = details
        .map(|details| Details::read(details.get()))
        .transpose()?;
    show_job::find(&api, organization.id, &job).await?;
    let row = show_thing::find(&api, organization.id, &thing).await?;
    let (id, owner) = (row.id, Arc::new(Thing::from(row)));
    let canceled = api
        .jobs
        .cancel_execution(
            &owner,
            &job,
            cancellation.force,
            cancellation.expected_version,
            details,
        )
        .await?;
    Ok(Json(ListedExecution::new(job, thing, canceled.row(id))))
}
