//! What the service answers and tells about one job.

use super::super::{Fault, Format, MessageError, Text, Value};
use super::{ErrorCode, Status, job_id, number, token};

/// Which job is next: the answer to [`StartNext`](super::StartNext) and [`Describe`](super::Describe), and the notice that it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextJob<'a> {
    /// The job; none if there is nothing to do.
    pub execution: Option<Execution<'a>>,
    /// The token of the request.
    pub token: Option<Text<'a>>,
    /// The service's time.
    pub timestamp: Option<u32>,
}

/// The execution of a job by this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution<'a> {
    /// Which job it is: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub job_id: &'a str,
    /// How it stands.
    pub status: Status,
    /// Goes up by one with each change.
    pub version: u32,
    /// How often the job was given to the device.
    pub number: Option<u32>,
    /// What the device has said of it: an object of texts.
    pub details: Option<Value<'a>>,
    value: Value<'a>,
    document: Option<Value<'a>>,
}

/// How the execution of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionState<'a> {
    /// How it stands.
    pub status: Status,
    /// Goes up by one with each change.
    pub version: u32,
    /// What the device has said of it: an object of texts.
    pub details: Option<Value<'a>>,
}

/// The answer to [`Update`](super::Update): it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Updated<'a> {
    /// How the job stands, if that was asked for.
    pub state: Option<ExecutionState<'a>>,
    /// What is to be done, if that was asked for.
    pub document: Option<Value<'a>>,
    /// The token of the request.
    pub token: Option<Text<'a>>,
    /// The service's time.
    pub timestamp: Option<u32>,
}

/// The answer to any request that the service refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// The code: one of [`ErrorCode`], or another.
    pub code: Text<'a>,
    /// What happened, for people.
    pub message: Option<Text<'a>>,
    /// How the job stands, if that is why.
    pub state: Option<ExecutionState<'a>>,
    /// The token of the request.
    pub token: Option<Text<'a>>,
    /// The service's time.
    pub timestamp: Option<u32>,
}

impl<'a> NextJob<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let message = Value::parse(Format::Json, message)?;
        let [execution, client_token, timestamp, code] =
            message.fields(&["execution", "clientToken", "timestamp", "code"])?;
        if let (None, Some(code)) = (execution, code) {
            // A refusal is not the answer that there is no job.
            return Err(code.fault(Fault::Content));
        }
        // The documentation shows an empty object where there is no job.
        let execution = match execution {
            Some(execution) if execution.members()?.next().is_some() => {
                Some(Execution::read(execution)?)
            }
            _ => None,
        };
        Ok(Self {
            execution,
            token: token(client_token)?,
            timestamp: number(timestamp)?,
        })
    }
}

impl<'a> Execution<'a> {
    fn read(value: Value<'a>) -> Result<Self, MessageError> {
        let [id, status, version, execution_number, details, document] = value.fields(&[
            "jobId",
            "status",
            "versionNumber",
            "executionNumber",
            "statusDetails",
            "jobDocument",
        ])?;
        if let Some(document) = document {
            // An object, not text that has one in it.
            document.members()?;
        }
        let state = ExecutionState::new(&value, status, version, details)?;
        Ok(Self {
            job_id: job_id(&id.ok_or(value.missing("jobId"))?)?,
            status: state.status,
            version: state.version,
            number: number(execution_number)?,
            details: state.details,
            value,
            document,
        })
    }

    /// What is to be done: an object.
    ///
    /// # Errors
    /// The message has none.
    pub fn document(&self) -> Result<Value<'a>, MessageError> {
        self.document.ok_or(self.value.missing("jobDocument"))
    }

    /// What the device said with this name when it last told how the job goes.
    #[must_use]
    pub fn detail(&self, name: &'static str) -> Option<Text<'a>> {
        let [detail] = self.details?.fields(&[name]).ok()?;
        detail?.text().ok()
    }
}

impl<'a> ExecutionState<'a> {
    fn new(
        value: &Value<'a>,
        status: Option<Value<'a>>,
        version: Option<Value<'a>>,
        details: Option<Value<'a>>,
    ) -> Result<Self, MessageError> {
        if let Some(details) = details {
            for (_, detail) in details.members()? {
                detail.text()?;
            }
        }
        Ok(Self {
            status: Status::read(&status.ok_or(value.missing("status"))?)?,
            version: version
                .ok_or(value.missing("versionNumber"))?
                .unsigned(u32::MAX)?,
            details,
        })
    }

    fn read(field: Option<Value<'a>>) -> Result<Option<Self>, MessageError> {
        let Some(value) = field else { return Ok(None) };
        let [status, version, details] =
            value.fields(&["status", "versionNumber", "statusDetails"])?;
        Self::new(&value, status, version, details).map(Some)
    }
}

impl<'a> Updated<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let message = Value::parse(Format::Json, message)?;
        let [state, document, client_token, timestamp] =
            message.fields(&["executionState", "jobDocument", "clientToken", "timestamp"])?;
        Ok(Self {
            state: ExecutionState::read(state)?,
            document,
            token: token(client_token)?,
            timestamp: number(timestamp)?,
        })
    }
}

impl<'a> Rejected<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let message = Value::parse(Format::Json, message)?;
        let [code, text, state, client_token, timestamp] = message.fields(&[
            "code",
            "message",
            "executionState",
            "clientToken",
            "timestamp",
        ])?;
        Ok(Self {
            code: code.ok_or(message.missing("code"))?.text()?,
            message: text.map(|field| field.text()).transpose()?,
            state: ExecutionState::read(state)?,
            token: token(client_token)?,
            timestamp: number(timestamp)?,
        })
    }

    /// The code, if it is a known one.
    #[must_use]
    pub fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::ALL
            .into_iter()
            .find(|code| self.code == *code.name())
    }
}
