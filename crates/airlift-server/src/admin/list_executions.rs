//! `GET /api/v1/organizations/{organization}/jobs/{job}/executions?after=&limit=`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Serialize;
use serde_json::value::RawValue;

use super::auth::Principal;
use super::list_things::Page;
use super::{Api, Problem, show_job};
use crate::clock::Timestamp;
use crate::store::jobs::{ExecutionRow, NamedExecutionRow};

#[derive(Serialize)]
pub(super) struct Executions {
    executions: Vec<ListedExecution>,
}

/// An execution of a job by a thing.
#[derive(Serialize)]
pub(super) struct ListedExecution {
    job_id: String,
    thing: String,
    execution_number: i64,
    status: String,
    version_number: i64,
    /// What the thing said last.
    status_details: Option<Box<RawValue>>,
    queued_at: Timestamp,
    started_at: Option<Timestamp>,
    last_updated_at: Timestamp,
    /// When it ends if the thing says nothing.
    times_out_at: Option<Timestamp>,
}

impl ListedExecution {
    pub(super) fn new(job: String, thing: String, row: ExecutionRow) -> Self {
        let details = row.details.map(RawValue::from_string);
        Self {
            job_id: job,
            thing,
            execution_number: row.number,
            status: row.status,
            version_number: row.version,
            status_details: details.and_then(Result::ok),
            queued_at: Timestamp(row.queued_at),
            started_at: row.started_at.map(Timestamp),
            last_updated_at: Timestamp(row.updated_at),
            times_out_at: row.deadline.map(Timestamp),
        }
    }
}

impl From<NamedExecutionRow> for ListedExecution {
    fn from(row: NamedExecutionRow) -> Self {
        Self::new(row.job_name, row.thing_name, row.execution)
    }
}

/// Lists the last execution of a job by each thing, by the things' names, from behind `after` on.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, job)): Path<(String, String)>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Executions>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Query(page) = page?;
    let job = show_job::find(&api, organization.id, &job).await?;
    let executions = api
        .catalog
        .database
        .executions_of_job(job.id, &page.after, page.limit())
        .await?;
    Ok(Json(Executions {
        executions: executions.into_iter().map(Into::into).collect(),
    }))
}
