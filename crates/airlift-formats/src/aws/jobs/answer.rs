//! What the service answers and tells about one job.

use super::super::{
    Format, MessageError, Text, Value,
    topic::MAX_JOB_ID_LEN,
    value::{Node, Reader},
};
use super::{ErrorCode, Status};

/// What the service says: the answer to any request but the one for all jobs, or the notice that another job is next.
///
/// The topic tells which one it is. A job that is next is in [`execution`](Self::execution), a request that is refused has a [`code`](Self::code).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The job that was asked for, or is next; none if there is nothing to do.
    pub execution: Option<Execution<'a>>,
    /// How the job stands that was told about: if that was asked for, or is the reason for a refusal.
    pub state: Option<ExecutionState<'a>>,
    /// Why the request is refused: one of [`ErrorCode`], or another word.
    pub code: Option<Text<'a>>,
    /// What happened, for people.
    pub message: Option<Text<'a>>,
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
    pub state: ExecutionState<'a>,
    /// How often the job was given to the device.
    pub number: Option<u32>,
}

/// How the execution of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionState<'a> {
    /// How it stands.
    pub status: Status,
    /// Goes up by one with each change.
    pub version: u32,
    value: Value<'a>,
}

impl<'a> Answer<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(Format::Json, message);
        let root = reader.root;
        let answer = Self {
            execution: Execution::read(&mut reader),
            state: (reader.object(root, "executionState"))
                .map(|node| ExecutionState::read(&mut reader, node)),
            code: reader.optional_text(root, "code"),
            message: reader.optional_text(root, "message"),
            token: reader.optional_text(root, "clientToken"),
            timestamp: reader.optional_number(root, "timestamp", u32::MAX),
        };
        reader.finish(answer)
    }

    /// The code, if it is a known one.
    #[must_use]
    pub fn known_code(&self) -> Option<ErrorCode> {
        let code = self.code?;
        ErrorCode::ALL
            .into_iter()
            .find(|known| code.is(known.name()))
    }
}

impl<'a> Execution<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let node = reader.object(reader.root, "execution")?;
        // The documentation shows an empty object where there is no job.
        reader.walk(node, true)?.next()?;
        // An object, not text that has one in it.
        reader.object(node, "jobDocument");
        Some(Self {
            job_id: reader.identifier(node, "jobId", MAX_JOB_ID_LEN),
            number: reader.optional_number(node, "executionNumber", u32::MAX),
            state: ExecutionState::read(reader, node),
        })
    }

    /// What is to be done: an object.
    ///
    /// # Errors
    /// The message has none.
    pub fn document(&self) -> Result<Value<'a>, MessageError> {
        self.state.value.required("jobDocument")
    }
}

impl<'a> ExecutionState<'a> {
    fn read(reader: &mut Reader<'a>, node: Node) -> Self {
        reader.object(node, "statusDetails");
        Self {
            status: Status::read(reader, node),
            version: reader.number(node, "versionNumber", u32::MAX),
            value: reader.value(node),
        }
    }

    /// What the device said with this name when it last told how the job goes.
    #[must_use]
    pub fn detail(&self, name: &'static str) -> Option<Text<'a>> {
        let details = self.value.get("statusDetails").ok()??;
        details.get(name).ok()??.text().ok()
    }
}
