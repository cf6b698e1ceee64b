//! `POST /api/v1/organizations/{organization}/jobs`

use std::collections::HashSet;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::auth::Principal;
use super::show_job::ShownJob;
use super::{Api, Problem, show_job, show_release, show_thing};
use crate::catalog::signature;
use crate::catalog::snapshot::Organization;
use crate::digest::Sha256;
use crate::jobs::{
    Content, CreateError, DEFAULT_CERTIFICATE, DocumentFile, File, MAX_FILES, MAX_JOB_ID,
    MAX_MINUTES, MAX_RETRIES, MAX_THINGS, Order, Retries, is_job_id, is_reserved,
};
use crate::store::things::ThingRow;

/// Largest body: a document and the names of as many things as may be.
pub(super) const MAX_BODY: usize = 256 << 10;
/// Longest description, in characters (AWS).
const MAX_DESCRIPTION: usize = 2028;
/// Longest path and certificate of a file in a job document, in characters.
const MAX_PATH: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewJob {
    /// Default: one is made up.
    job_id: Option<String>,
    things: Vec<String>,
    /// All things must be of this project.
    project: Option<String>,
    /// One of these three: the id of a release to install ...
    release: Option<i64>,
    /// ... files to fetch, in the order of their file ids, uploaded before ...
    files: Option<Vec<NewFile>>,
    /// ... or a document, taken as it is.
    document: Option<Box<RawValue>>,
    #[serde(default)]
    description: String,
    /// How long an execution may be in progress. Default: as long as it takes.
    timeout_minutes: Option<u32>,
    #[serde(default)]
    retries: NewRetries,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFile {
    sha256: String,
    /// `filepath` of the document.
    path: String,
    /// `certfile` of the document.
    certificate: Option<String>,
    /// `fileType` of the document.
    file_type: Option<u8>,
    /// Base64.
    signature: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct NewRetries {
    failed: u32,
    timed_out: u32,
}

/// Makes a job and queues it for its things: for all of them, or nothing is made.
pub(super) async fn handle(
    State(api): State<Api>,
    principal: Principal,
    Path(organization): Path<String>,
    body: Result<Json<NewJob>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownJob>), Problem> {
    let organization = principal.organization(&api, &organization)?;
    let Json(job) = body?;
    check(&job)?;
    let things = things(&api, &organization, &job).await?;
    let order = Order {
        organization: organization.id,
        content: content(&api, &organization, &job).await?,
        name: job.job_id,
        description: job.description,
        things,
        timeout_minutes: job.timeout_minutes,
        retries: Retries {
            failed: job.retries.failed,
            timed_out: job.retries.timed_out,
        },
        created_by: principal.token,
    };
    // In a task of its own: a client that hangs up does not keep the things from hearing of it.
    let jobs = api.jobs.clone();
    let created = tokio::spawn(async move { jobs.create_job(order).await });
    let name = created.await.map_err(|error| Problem::internal(&error))??;
    let shown = show_job::show(&api, organization.id, &name).await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

fn check(job: &NewJob) -> Result<(), Problem> {
    if let Some(name) = &job.job_id {
        if !is_job_id(name) {
            let detail =
                format!("job_id: a job id has 1 to {MAX_JOB_ID} of the characters A-Z a-z 0-9 _ -");
            return Err(Problem::bad_request("bad-name", detail));
        }
        if is_reserved(name) {
            let detail = "job_id: ids that begin like this are for the jobs of releases on offer";
            return Err(Problem::bad_request("bad-name", detail));
        }
    }
    if job.description.chars().count() > MAX_DESCRIPTION {
        let detail = format!("description: at most {MAX_DESCRIPTION} characters");
        return Err(Problem::bad_request("bad-parameter", detail));
    }
    if job
        .timeout_minutes
        .is_some_and(|minutes| !(1..=MAX_MINUTES).contains(&minutes))
    {
        let detail = format!("timeout_minutes is 1 to {MAX_MINUTES}");
        return Err(Problem::bad_request("bad-parameter", detail));
    }
    if job.retries.failed > MAX_RETRIES || job.retries.timed_out > MAX_RETRIES {
        let detail = format!("retries: at most {MAX_RETRIES} of each kind");
        return Err(Problem::bad_request("bad-parameter", detail));
    }
    Ok(())
}

/// The things that the job is for, each once.
async fn things(
    api: &Api,
    organization: &Organization,
    job: &NewJob,
) -> Result<Vec<ThingRow>, Problem> {
    if !(1..=MAX_THINGS).contains(&job.things.len()) {
        let detail = format!("things: name 1 to {MAX_THINGS} things that are to do the job");
        return Err(Problem::bad_request("bad-parameter", detail));
    }
    let mut seen = HashSet::new();
    let mut things = Vec::with_capacity(job.things.len());
    for name in &job.things {
        if !seen.insert(name) {
            continue;
        }
        let thing = show_thing::find(api, organization.id, name).await;
        let of_project = |thing: &ThingRow| {
            let project = job.project.as_ref();
            project.is_none_or(|project| thing.project == *project)
        };
        let Some(thing) = thing.ok().filter(of_project) else {
            let place = match &job.project {
                Some(project) => format!("project {project} of organization {}", organization.name),
                None => format!("organization {}", organization.name),
            };
            // Shown as it was sent, but for what would break a line.
            let name = name.escape_debug();
            return Err(Problem::not_found(format!(
                "{place} has no thing {name}: enroll it, or let it connect once where things need no proof"
            )));
        };
        things.push(thing);
    }
    Ok(things)
}

async fn content(api: &Api, organization: &Organization, job: &NewJob) -> Result<Content, Problem> {
    match (job.release, &job.files, &job.document) {
        (Some(release), None, None) => {
            let release = show_release::find(api, organization, &release.to_string()).await?;
            if release.withdrawn_at.is_some() {
                let detail = format!("release {} was withdrawn", release.id);
                return Err(Problem::conflict("release-withdrawn", detail));
            }
            Ok(Content::Release(Box::new(release)))
        }
        (None, Some(files), None) => {
            Ok(Content::Files(files_of(api, organization.id, files).await?))
        }
        (None, None, Some(document)) => Ok(Content::Document(document.get().to_owned())),
        _ => {
            let detail = "say what the job is about with one of release, files and document";
            Err(Problem::bad_request("bad-parameter", detail))
        }
    }
}

async fn files_of(
    api: &Api,
    organization: i64,
    files: &[NewFile],
) -> Result<Vec<DocumentFile>, Problem> {
    let bad = |detail: String| Problem::bad_request("bad-parameter", detail);
    if !(1..=MAX_FILES).contains(&files.len()) {
        return Err(bad(format!(
            "files: a job has 1 to {MAX_FILES} files, as many as devices look at"
        )));
    }
    let mut documented = Vec::with_capacity(files.len());
    for (id, file) in (0_u8..).zip(files) {
        for (what, text) in [
            ("path", Some(&file.path)),
            ("certificate", file.certificate.as_ref()),
        ] {
            if text.is_some_and(|text| {
                !(1..=MAX_PATH).contains(&text.chars().count())
                    || text
                        .chars()
                        .any(|c| c.is_control() || matches!(c, '"' | '\\'))
            }) {
                return Err(bad(format!(
                    "files: {what} has 1 to {MAX_PATH} characters, and no quotation mark, backslash or control character: devices do not undo what these would need"
                )));
            }
        }
        if let Some(signature) = &file.signature {
            signature::check(signature)
                .map_err(|why| Problem::bad_request("bad-signature", why.to_string()))?;
        }
        let sha256 = Sha256::parse(file.sha256.as_bytes());
        let sha256 = sha256.ok_or_else(|| bad("files: sha256 has 64 hexadecimal digits".into()))?;
        let hex = sha256.to_string();
        let size = api.catalog.database.upload_size(organization, &hex).await?;
        let size = size.and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| {
            Problem::not_found(format!(
                "this organization has no file {hex}: upload it first, to .../files"
            ))
        })?;
        documented.push(DocumentFile {
            file: File { id, size, sha256 },
            path: file.path.clone(),
            certificate: file
                .certificate
                .clone()
                .unwrap_or_else(|| DEFAULT_CERTIFICATE.to_owned()),
            file_type: file.file_type,
            signature: file.signature.clone(),
        });
    }
    Ok(documented)
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        let detail = error.to_string();
        let invalid =
            |detail| Self::new(StatusCode::UNPROCESSABLE_ENTITY, "document-invalid", detail);
        match error {
            CreateError::NameTaken(_) => Self::conflict("job-exists", detail),
            CreateError::ThingIsFull(_) => Self::conflict("too-many-jobs", detail),
            CreateError::DocumentTooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "document-too-large", detail)
            }
            CreateError::NotAnObject | CreateError::TooDeep => invalid(detail),
            CreateError::Database(error) => error.into(),
        }
    }
}
