//! `GET /api/v1/organizations/{organization}/jobs/{job}`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::auth::Principal;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::store::jobs::{CountRow, JobFileRow, JobRow};

/// A job, without its document.
#[derive(Serialize)]
pub(super) struct ListedJob {
    job_id: String,
    description: String,
    /// As AWS calls it.
    status: &'static str,
    /// `release`, `files` or `document`.
    kind: &'static str,
    release: Option<i64>,
    /// Made because the release is on offer.
    automatic: bool,
    created_at: Timestamp,
    created_by: Option<i64>,
    canceled_at: Option<Timestamp>,
    cancel_reason: Option<String>,
    cancel_comment: Option<String>,
    /// How many things are in which status with it.
    things: BTreeMap<String, i64>,
}

#[derive(Serialize)]
pub(super) struct ShownJob {
    #[serde(flatten)]
    job: ListedJob,
    stream: Option<String>,
    files: Vec<ShownFile>,
    timeout_minutes: Option<i64>,
    retries: ShownRetries,
}

#[derive(Serialize)]
struct ShownFile {
    file_id: i64,
    path: String,
    size: i64,
    sha256: String,
}

#[derive(Serialize)]
struct ShownRetries {
    failed: i64,
    timed_out: i64,
}

impl ListedJob {
    pub(super) fn new(job: &JobRow, counts: impl IntoIterator<Item = CountRow>) -> Self {
        let counts = counts.into_iter();
        let things: BTreeMap<_, _> = counts.map(|row| (row.status, row.executions)).collect();
        let pending = things.contains_key("QUEUED") || things.contains_key("IN_PROGRESS");
        Self {
            job_id: job.name.clone(),
            description: job.description.clone(),
            status: match job.canceled_at {
                Some(_) => "CANCELED",
                // One for a release is never done: more things may come.
                None if pending || job.automatic != 0 => "IN_PROGRESS",
                None => "COMPLETED",
            },
            kind: match (job.release_id, &job.stream) {
                (Some(_), _) => "release",
                (None, Some(_)) => "files",
                (None, None) => "document",
            },
            release: job.release_id,
            automatic: job.automatic != 0,
            created_at: Timestamp(job.created_at),
            created_by: job.created_by,
            canceled_at: job.canceled_at.map(Timestamp),
            cancel_reason: job.cancel_reason.clone(),
            cancel_comment: job.cancel_comment.clone(),
            things,
        }
    }

    pub(super) fn status(&self) -> &'static str {
        self.status
    }
}

impl From<JobFileRow> for ShownFile {
    fn from(row: JobFileRow) -> Self {
        Self {
            file_id: row.id,
            path: row.path,
            size: row.size,
            sha256: row.sha256,
        }
    }
}

/// Shows a job.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, job)): Path<(String, String)>,
) -> Result<Json<ShownJob>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    Ok(Json(show(&api, organization.id, &job).await?))
}

/// The job of that name.
pub(super) async fn find(api: &Api, organization: i64, name: &str) -> Result<JobRow, Problem> {
    let job = api.catalog.database.job_by_name(organization, name).await?;
    job.ok_or_else(|| Problem::not_found("this organization has no such job"))
}

pub(super) async fn listed(api: &Api, job: &JobRow) -> Result<ListedJob, Problem> {
    let counts = api.catalog.database.execution_counts(job.id).await?;
    Ok(ListedJob::new(job, counts))
}

pub(super) async fn show(api: &Api, organization: i64, name: &str) -> Result<ShownJob, Problem> {
    let job = find(api, organization, name).await?;
    let files = api.catalog.database.job_files(job.id).await?;
    Ok(ShownJob {
        job: listed(api, &job).await?,
        stream: job.stream,
        files: files.into_iter().map(Into::into).collect(),
        timeout_minutes: job.timeout_minutes,
        retries: ShownRetries {
            failed: job.retries_failed,
            timed_out: job.retries_timed_out,
        },
    })
}
