//! `POST /api/v1/organizations/{organization}/jobs/{job}/cancel`

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::auth::Principal;
use super::show_job::ShownJob;
use super::{Api, Problem, show_job};

/// Longest reason and comment, in characters (AWS).
const MAX_REASON: usize = 128;
const MAX_COMMENT: usize = 2028;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cancellation {
    /// Also executions that are in progress end.
    force: bool,
    /// Capitals, digits and `_`.
    reason_code: Option<String>,
    comment: Option<String>,
}

/// Cancels a job. Doing so again, with force this time, ends also what is in progress.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, job)): Path<(String, String)>,
    body: Result<Option<Json<Cancellation>>, JsonRejection>,
) -> Result<Json<ShownJob>, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let cancellation = body?.map(|Json(body)| body).unwrap_or_default();
    check(&cancellation)?;
    let row = show_job::find(&api, organization.id, &job).await?;
    if show_job::listed(&api, &row).await?.status() == "COMPLETED" {
        let detail = format!("job {job} is completed: there is nothing left to cancel");
        return Err(Problem::conflict("job-completed", detail));
    }
    // In a task of its own: a client that hangs up does not keep the things from hearing of it.
    let jobs = api.jobs.clone();
    let canceled = tokio::spawn(async move {
        let Cancellation {
            force,
            reason_code,
            comment,
        } = cancellation;
        jobs.cancel_job(row.id, force, reason_code.as_deref(), comment.as_deref())
            .await
    });
    canceled
        .await
        .map_err(|error| Problem::internal(&error))??;
    Ok(Json(show_job::show(&api, organization.id, &job).await?))
}

fn check(cancellation: &Cancellation) -> Result<(), Problem> {
    let is_code = |code: &String| {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=MAX_REASON).contains(&code.len()) && code.bytes().all(allowed)
    };
    if !cancellation.reason_code.as_ref().is_none_or(is_code) {
        let detail = format!("reason_code has 1 to {MAX_REASON} of the characters A-Z 0-9 _");
        return Err(Problem::bad_request("bad-parameter", detail));
    }
    let comment = cancellation.comment.as_ref();
    if comment.is_some_and(|comment| comment.chars().count() > MAX_COMMENT) {
        let detail = format!("comment has at most {MAX_COMMENT} characters");
        return Err(Problem::bad_request("bad-parameter", detail));
    }
    Ok(())
}
