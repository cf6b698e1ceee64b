//! Which jobs there are.

use super::super::{
    Elements, Format, MessageError, Text,
    topic::MAX_JOB_ID_LEN,
    value::{Node, Reader, Walk},
};

/// All jobs that have not ended: the answer to the request for them.
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
    fn read(reader: &mut Reader<'a>, node: Node, name: &'static str) -> Self {
        if reader.find(node, name).is_none() {
            return Self(None);
        }
        let list = reader.list(node, name).map(|(_, walk)| walk);
        let mut summaries = list.clone();
        while let Some((_, node, _)) = summaries.as_mut().and_then(Walk::next) {
            Summary::read(reader, node);
        }
        Self(list.map(Elements))
    }
}

impl<'a> Iterator for Summaries<'a> {
    type Item = Summary<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.0.as_mut()?.next()?;
        Some(Summary::read(&mut value.reader(), value.offset()))
    }
}

impl<'a> Summary<'a> {
    fn read(reader: &mut Reader<'a>, node: Node) -> Self {
        let mut number = |name| reader.optional_number(node, name, u32::MAX);
        Self {
            queued_at: number("queuedAt"),
            started_at: number("startedAt"),
            last_updated_at: number("lastUpdatedAt"),
            version: number("versionNumber"),
            number: number("executionNumber"),
            job_id: reader.identifier(node, "jobId", MAX_JOB_ID_LEN),
        }
    }
}

impl<'a> Pending<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(Format::Json, message);
        let root = reader.root;
        let pending = Self {
            in_progress: Summaries::read(&mut reader, root, "inProgressJobs"),
            queued: Summaries::read(&mut reader, root, "queuedJobs"),
            token: reader.optional_text(root, "clientToken"),
            timestamp: reader.optional_number(root, "timestamp", u32::MAX),
        };
        reader.finish(pending)
    }
}

impl<'a> JobsChanged<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &'a [u8]) -> Result<Self, MessageError> {
        let mut reader = Reader::new(Format::Json, message);
        let root = reader.root;
        let jobs = reader.demand(root, "jobs").map_or(root, |(node, _)| node);
        let changed = Self {
            in_progress: Summaries::read(&mut reader, jobs, "IN_PROGRESS"),
            queued: Summaries::read(&mut reader, jobs, "QUEUED"),
            timestamp: reader.optional_number(root, "timestamp", u32::MAX),
        };
        reader.finish(changed)
    }
}
