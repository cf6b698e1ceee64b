//! `POST` or `PUT /api/v1/organizations/{organization}/files`
//!
//! The body is a file for a job: any bytes. A job names it by its digest.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use http_body::Body as _;
use serde::Serialize;

use super::auth::Principal;
use super::{Api, Problem};
use crate::catalog::publish::PublishError;
use crate::digest::Sha256;

#[derive(Serialize)]
pub(super) struct UploadedFile {
    sha256: Sha256,
    size: u64,
}

/// Stores a file. It is there as a whole, or not at all; the same again changes nothing.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<UploadedFile>), Problem> {
    let organization = principal.organization(&api, &organization)?;
    // What is announced to be too large is not received first.
    if body.size_hint().lower() > api.max_image_size {
        return Err(PublishError::TooLarge(api.max_image_size).into());
    }
    // In a task of its own: a client that hangs up does not keep what it left from being cleaned up.
    let task = tokio::spawn(async move {
        let (catalog, now) = (api.catalog, api.clock.now());
        let body = body.into_data_stream();
        catalog
            .store_file(organization.id, body, api.max_image_size, now)
            .await
    });
    let file = task.await.map_err(|error| Problem::internal(&error))??;
    let (sha256, size) = (file.sha256, file.size);
    Ok((StatusCode::CREATED, Json(UploadedFile { sha256, size })))
}
