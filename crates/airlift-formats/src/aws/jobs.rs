//! Jobs: what there is to do for a device, and how it goes. JSON both ways.
//!
//! A device writes a [`Request`]; it reads [`Answer`], [`Pending`] and [`JobsChanged`]. All times are in seconds since 1970.

mod answer;
mod pending;
mod request;

pub use answer::{Answer, Execution, ExecutionState};
pub use pending::{JobsChanged, Pending, Summaries, Summary};
pub use request::{Details, Request, StepTimeout};

use super::{
    Fault,
    value::{Node, Reader},
};

/// The longest token, in bytes.
pub const MAX_TOKEN_LEN: usize = 64;

/// The longest name of a detail: 1 to so many of `A-Z a-z 0-9 : _ -`.
pub const MAX_DETAIL_NAME_LEN: usize = 128;

/// The longest value of a detail, in bytes.
pub const MAX_DETAIL_LEN: usize = 1024;

/// The longest time for a step or a job, in minutes: a week.
pub const MAX_TIMEOUT_MINUTES: u16 = 10_080;

/// The longest document, in characters.
pub const MAX_DOCUMENT_LEN: usize = 32_768;

/// How the execution of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It waits.
    Queued,
    /// The device is at it.
    InProgress,
    /// The device could not do it.
    Failed,
    /// It is done.
    Succeeded,
    /// The service canceled it.
    Canceled,
    /// The device took too long.
    TimedOut,
    /// The device does not do it.
    Rejected,
    /// The service took it back.
    Removed,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::InProgress,
        Self::Failed,
        Self::Succeeded,
        Self::Canceled,
        Self::TimedOut,
        Self::Rejected,
        Self::Removed,
    ];

    /// The word in the message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Failed => "FAILED",
            Self::Succeeded => "SUCCEEDED",
            Self::Canceled => "CANCELED",
            Self::TimedOut => "TIMED_OUT",
            Self::Rejected => "REJECTED",
            Self::Removed => "REMOVED",
        }
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }

    fn read(reader: &mut Reader<'_>, node: Node) -> Self {
        let text = reader.text(node, "status");
        for status in Self::ALL {
            if text.is(status.name()) {
                return status;
            }
        }
        reader.fail(Fault::Content, "status", node);
        Self::Queued
    }
}

/// Why the service refuses a request, by the words that AWS has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The topic is none for requests.
    InvalidTopic,
    /// The request is not JSON.
    InvalidJson,
    /// A field is not what it should be.
    InvalidRequest,
    /// The job cannot go from its status to that one.
    InvalidStateTransition,
    /// There is no such job for this device.
    ResourceNotFound,
    /// The job has another version than the one that was expected.
    VersionMismatch,
    /// Something went wrong that is not the request's fault.
    InternalError,
    /// Too many requests.
    RequestThrottled,
    /// The job has ended.
    TerminalStateReached,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::InvalidTopic,
        Self::InvalidJson,
        Self::InvalidRequest,
        Self::InvalidStateTransition,
        Self::ResourceNotFound,
        Self::VersionMismatch,
        Self::InternalError,
        Self::RequestThrottled,
        Self::TerminalStateReached,
    ];

    /// The word in the message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidTopic => "InvalidTopic",
            Self::InvalidJson => "InvalidJson",
            Self::InvalidRequest => "InvalidRequest",
            Self::InvalidStateTransition => "InvalidStateTransition",
            Self::ResourceNotFound => "ResourceNotFound",
            Self::VersionMismatch => "VersionMismatch",
            Self::InternalError => "InternalError",
            Self::RequestThrottled => "RequestThrottled",
            Self::TerminalStateReached => "TerminalStateReached",
        }
    }
}
