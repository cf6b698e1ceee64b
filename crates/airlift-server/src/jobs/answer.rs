//! What the service writes: the JSON of answers and notices, with keys in the order in which AWS was seen to write them.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::execution::{Details, Execution, Status};
use super::refusal::Refusal;
use crate::clock::Timestamp;

/// `JobExecutionSummary`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary<'a> {
    job_id: &'a str,
    queued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    last_updated_at: i64,
    version_number: i64,
    execution_number: i64,
}

/// `JobExecution`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description<'a, D> {
    job_id: &'a str,
    /// Over HTTP only.
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_name: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_details: Option<&'a RawValue>,
    queued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
    last_updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    approximate_seconds_before_timed_out: Option<i64>,
    version_number: i64,
    execution_number: i64,
    /// An object over MQTT, a text over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_document: Option<D>,
}

/// `JobExecutionState`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionState {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    status_details: Option<Details>,
    version_number: i64,
}

fn raw<S: serde::Serializer>(details: &Option<Details>, serializer: S) -> Result<S::Ok, S::Error> {
    details.as_ref().map(Details::json).serialize(serializer)
}

/// What every answer over MQTT begins with.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_token: Option<String>,
    /// Seconds since 1970, as in all that AWS was seen to send.
    pub(super) timestamp: i64,
    #[serde(flatten)]
    pub(super) content: T,
}

/// Answer to `get`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending<'a> {
    pub(crate) in_progress_jobs: Vec<Summary<'a>>,
    pub(crate) queued_jobs: Vec<Summary<'a>>,
}

/// Answer to `start-next` and `{jobId}/get`, and what `notify-next` says: no execution, no key.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct One<'a, D> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution: Option<Description<'a, D>>,
}

/// Answer to `{jobId}/update`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Updated<D> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_state: Option<ExecutionState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_document: Option<D>,
}

/// What `notify` says.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ListNotice<'a> {
    timestamp: i64,
    jobs: Jobs<'a>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Jobs<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_progress: Vec<Summary<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queued: Vec<Summary<'a>>,
}

/// `ErrorResponse`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Error<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<&'a str>,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_state: Option<&'a ExecutionState>,
}

/// Most executions that a `notify` names.
const MAX_LISTED: usize = 10;

impl<'a> Summary<'a> {
    pub(crate) fn of(execution: &'a Execution) -> Self {
        Self {
            job_id: &execution.job.name,
            queued_at: seconds(execution.queued_at),
            started_at: execution.started_at.map(seconds),
            last_updated_at: seconds(execution.updated_at),
            version_number: execution.version,
            execution_number: execution.number,
        }
    }
}

impl<'a> Pending<'a> {
    pub(crate) fn of(executions: &'a [Execution]) -> Self {
        let (in_progress_jobs, queued_jobs) = by_status(executions);
        Self {
            in_progress_jobs,
            queued_jobs,
        }
    }
}

impl<'a> ListNotice<'a> {
    pub(super) fn of(executions: &'a [Execution], now: Timestamp) -> Self {
        let (in_progress, queued) = by_status(executions.get(..MAX_LISTED).unwrap_or(executions));
        Self {
            timestamp: seconds(now),
            jobs: Jobs {
                in_progress,
                queued,
            },
        }
    }
}

/// Those in progress, and those that wait.
fn by_status(executions: &[Execution]) -> (Vec<Summary<'_>>, Vec<Summary<'_>>) {
    let of = |status| {
        let such = executions.iter().filter(move |one| one.status == status);
        such.map(Summary::of).collect()
    };
    (of(Status::InProgress), of(Status::Queued))
}

impl<'a, D> Description<'a, D> {
    /// `document`: how the document is written, if it is to be.
    pub(crate) fn of(execution: &'a Execution, document: Option<D>, now: Timestamp) -> Self {
        let left = |deadline: Timestamp| deadline.0.saturating_sub(now.0).max(0) / 1000;
        Self {
            job_id: &execution.job.name,
            thing_name: None,
            status: execution.status.as_str(),
            status_details: execution.details.as_ref().map(Details::json),
            queued_at: seconds(execution.queued_at),
            started_at: execution.started_at.map(seconds),
            last_updated_at: seconds(execution.updated_at),
            approximate_seconds_before_timed_out: execution.deadline.map(left),
            version_number: execution.version,
            execution_number: execution.number,
            job_document: document,
        }
    }

    /// The same, with the name of the thing in it.
    pub(crate) fn named(self, thing: &'a str) -> Self {
        Self {
            thing_name: Some(thing),
            ..self
        }
    }
}

impl From<&Execution> for ExecutionState {
    fn from(execution: &Execution) -> Self {
        Self {
            status: execution.status.as_str(),
            status_details: execution.details.clone(),
            version_number: execution.version,
        }
    }
}

impl Refusal {
    /// As the payload of `.../rejected`.
    pub(super) fn json(&self, client_token: Option<&str>, now: Timestamp) -> Bytes {
        json(&Error {
            code: self.code.as_str(),
            message: &self.message,
            client_token,
            timestamp: seconds(now),
            execution_state: self.state.as_deref(),
        })
    }
}

/// Seconds since 1970.
pub(super) fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1000)
}

pub(super) fn json(value: &impl Serialize) -> Bytes {
    // Writing to memory cannot fail, and nothing here has keys that are no texts.
    serde_json::to_vec(value).unwrap_or_default().into()
}
