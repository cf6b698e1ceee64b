//! The HTTP data plane of AWS IoT Jobs: what things say over MQTT, over HTTP.
//!
//! ```text
//! GET  /things/{thing}/jobs                 GetPendingJobExecutions
//! PUT  /things/{thing}/jobs/$next           StartNextPendingJobExecution
//! GET  /things/{thing}/jobs/{job}           DescribeJobExecution, also of $next
//! POST /things/{thing}/jobs/{job}           UpdateJobExecution
//! ```
//!
//! Who may: the holder of a token of the thing's organization. A path of AWS has no place for an organization; the administrator's
//! token, which belongs to none, names it with `?organization=` where the name of the thing does not say it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::auth::Principal;
use super::{Api, Problem};
use crate::clock::Timestamp;
use crate::jobs::answer::{Description, One, Pending, Updated};
use crate::jobs::{Code, Describe, Execution, NEXT, Refusal, Request, Thing};

#[derive(Deserialize)]
pub(super) struct Parameters {
    organization: Option<String>,
    #[serde(rename = "executionNumber")]
    number: Option<i64>,
    #[serde(rename = "includeJobDocument")]
    include_document: Option<bool>,
}

type Asked = Result<Query<Parameters>, QueryRejection>;

/// `GetPendingJobExecutions`
pub(super) async fn get_pending(
    State(api): State<Api>,
    principal: Principal,
    Path(thing): Path<String>,
    parameters: Asked,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters?;
    let thing = find(&api, principal, &thing, parameters.organization).await?;
    let answer = |executions: &[Execution], _| Json(Pending::of(executions)).into_response();
    Ok(api.jobs.get_pending(&thing, answer).await?)
}

/// `StartNextPendingJobExecution`
pub(super) async fn start_next(
    State(api): State<Api>,
    principal: Principal,
    Path((thing, job)): Path<(String, String)>,
    parameters: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters?;
    let thing = find(&api, principal, &thing, parameters.organization).await?;
    if job != NEXT {
        return Err(Problem::method_not_allowed());
    }
    let request = Request::read(&body?)?.start_next()?;
    let answer = |next: Option<&Execution>, now| described(&thing, next, true, now);
    Ok(api.jobs.start_next(&thing, request, answer).await?)
}

/// `DescribeJobExecution`
pub(super) async fn describe(
    State(api): State<Api>,
    principal: Principal,
    Path((thing, job)): Path<(String, String)>,
    parameters: Asked,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters?;
    let thing = find(&api, principal, &thing, parameters.organization).await?;
    let with_document = parameters.include_document.unwrap_or(true);
    let request = Describe {
        number: parameters.number,
        include_document: with_document,
    };
    let answer = |found: Option<&Execution>, now| described(&thing, found, with_document, now);
    Ok(api.jobs.describe(&thing, &job, request, answer).await?)
}

/// `UpdateJobExecution`
pub(super) async fn update(
    State(api): State<Api>,
    principal: Principal,
    Path((thing, job)): Path<(String, String)>,
    parameters: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters?;
    let thing = find(&api, principal, &thing, parameters.organization).await?;
    let request = Request::read(&body?)?.update()?;
    let answer = api
        .jobs
        .update(&thing, &job, request, |state, document, _| {
            let updated = Updated {
                execution_state: state,
                job_document: document.map(RawValue::get),
            };
            Json(updated).into_response()
        });
    Ok(answer.await?)
}

/// Over HTTP a document is a text, by the service model of AWS.
fn described(
    thing: &Thing,
    execution: Option<&Execution>,
    with_document: bool,
    now: Timestamp,
) -> Response {
    let execution = execution.map(|execution| {
        let document = with_document.then(|| execution.job.document.get());
        Description::of(execution, document, now).named(&thing.name)
    });
    Json(One { execution }).into_response()
}

/// The thing that a request speaks for.
async fn find(
    api: &Api,
    principal: Principal,
    name: &str,
    organization: Option<String>,
) -> Result<Arc<Thing>, Problem> {
    let nothing =
        || Problem::not_found("there is no such thing, or this token has no access to it");
    let home = match organization {
        Some(organization) => Some(principal.organization(api, &organization)?.id),
        None => principal.home(),
    };
    let database = &api.catalog.database;
    let row = match home {
        Some(organization) => database.thing(organization, name).await?,
        None => {
            let mut things = database.things_named(name).await?;
            if things.len() > 1 {
                let detail = "several organizations have a thing of that name: say which one with ?organization=NAME";
                return Err(Problem::bad_request("organization-missing", detail));
            }
            things.pop()
        }
    };
    Ok(Arc::new(Thing::from(row.ok_or_else(nothing)?)))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal.code {
            Code::InvalidTopic | Code::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "invalid-request")
            }
            Code::InvalidJson => (StatusCode::BAD_REQUEST, "bad-json"),
            Code::ResourceNotFound => (StatusCode::NOT_FOUND, "not-found"),
            Code::InvalidStateTransition => (StatusCode::CONFLICT, "invalid-state-transition"),
            Code::VersionMismatch => (StatusCode::CONFLICT, "version-mismatch"),
            Code::TerminalStateReached => (StatusCode::GONE, "terminal-state-reached"),
            Code::RequestThrottled => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            Code::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, code, refusal.message).with_state(refusal.state)
    }
}
