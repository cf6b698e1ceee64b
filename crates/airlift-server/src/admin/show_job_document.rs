//! `GET /api/v1/organizations/{organization}/jobs/{job}/document`

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use super::auth::Principal;
use super::{Api, Problem, show_job};

/// Shows the document of a job, byte for byte as things get it.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path((organization, job)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let organization = principal.organization(&api, &organization)?;
    let job = show_job::find(&api, organization.id, &job).await?;
    Ok(([(CONTENT_TYPE, "application/json")], job.document))
}
