//! Which jobs there are.

use super::super::{Elements, Format, MessageError, Text, Value};
use super::{job_id, number, token};

/// All jobs that have not ended: the answer to [`GetPending`](super::GetPending).
#[derive(Debug, Clone)]
pub struct Pending<'a> {
    /// Those that were started.
    pub in_progress: Summaries<'a>,
    /// Those that wait.
    pub queued: Summaries<'a>,
    /// The token of the request.
    pub token: Option<Text<'a>>,
    /// The service's time.
    pub timestamp: Option<u32>,
}

/// The notice that the list of jobs has changed.
#[derive(Debug, Clone)]
pub struct JobsChanged<'a> {
    /// Those that were started.
    pub in_progress: Summaries<'a>,
    /// Those that wait.
    pub queued: Summaries<'a>,
    /// The service's time.
    pub timestamp: Option<u32>,
}

/// A job in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary<'a> {
    /// Which one it is.
    pub job_id: &'a str,
    /// When it was given to the device.
    pub queued_at: Option<u32>,
    /// When the device started it.
    pub started_at: Option<u32>,
    /// When it last changed.
    pub last_updated_at: Option<u32>,
    /// Goes up by one with each change.
    pub version: Option<u32>,
    /// How often the job was given to the device.
    pub number: Option<u32>,
}

/// Jobs in a list that was read: nothing in it is wrong.
#[derive(Debug, Clone)]
pub struct Summaries<'a>(Option<Elements<'a>>);

impl<'a> Summaries<'a> {
    fn read(field: Option<Value<'a>>) -> Result<Self, MessageError> {
        let Some(field) = field else {
            return Ok(Self(None));
        };
        let elements = field.elements()?;
        for element in elements.clone() {
            Summary::read(&element)?;
        }
        Ok(Self(Some(elements)))
    }
}

impl<'a> Iterator for Summaries<'a> {
    type Item = Summary<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        Summary::read(&self.0.as_mut()?.next()?).ok()
    }
}

impl<'a> Summary<'a> {
    fn read(value: &Value<'a>) -> Result<Self, MessageError> {
        let [
            id,
            queued_at,
            started_at,
            last_updated_at,
            version,
            execution_number,
        ] = value.fields(&[
            "jobId",
            "queuedAt",
            "startedAt",
            "lastUpdatedAt",
            "versionNumber",
            "executionNumber",
        ])?;
        Ok(Self {
            job_id: job_id(&id.ok_or(value.missing("jobId"))?)?,
            queued_at: number(queued_at)?,
            started_at: number(started_at)?,
            last_updated_at: number(last_updated_at)?,
            version: number(version)?,
            number: number(execution_number)?,
        })
    }
}

impl<'a> Pending<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let message = Value::parse(Format::Json, message)?;
        let [in_progress, queued, client_token, timestamp] =
            message.fields(&["inProgressJobs", "queuedJobs", "clientToken", "timestamp"])?;
        Ok(Self {
            in_progress: Summaries::read(in_progress)?,
            queued: Summaries::read(queued)?,
            token: token(client_token)?,
            timestamp: number(timestamp)?,
        })
    }
}

impl<'a> JobsChanged<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let message = Value::parse(Format::Json, message)?;
        let [jobs, timestamp] = message.fields(&["jobs", "timestamp"])?;
        let jobs = jobs.ok_or(message.missing("jobs"))?;
        let [in_progress, queued] = jobs.fields(&["IN_PROGRESS", "QUEUED"])?;
        Ok(Self {
            in_progress: Summaries::read(in_progress)?,
            queued: Summaries::read(queued)?,
            timestamp: number(timestamp)?,
        })
    }
}
