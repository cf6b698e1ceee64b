//! Topics of jobs and streams, both directions.
//!
//! ```text
//! $aws/things/THING/jobs/get                                      [/accepted | /rejected]
//! $aws/things/THING/jobs/start-next                               [/accepted | /rejected]
//! $aws/things/THING/jobs/JOB/get, .../jobs/$next/get              [/accepted | /rejected]
//! $aws/things/THING/jobs/JOB/update                               [/accepted | /rejected]
//! $aws/things/THING/jobs/notify, .../jobs/notify-next
//! $aws/things/THING/streams/STREAM/{get,describe,data,description,rejected}/{json,cbor}
//! ```
//!
//! ```
//! use airlift_formats::aws::topic::{Job, Leg, Topic};
//!
//! let topic = Topic::Describe(Job::Next, Leg::Accepted);
//! let mut text = Vec::new();
//! topic.emit("dev-1", &mut text)?;
//! assert_eq!(text, b"$aws/things/dev-1/jobs/$next/get/accepted");
//! assert_eq!(Topic::parse("$aws/things/dev-1/jobs/$next/get/accepted"), Ok(("dev-1", topic)));
//! # Ok::<(), airlift_formats::aws::topic::TopicError>(())
//! ```

use core::fmt;

use super::{Format, Sink};

/// The longest name of a thing.
pub const MAX_THING_NAME_LEN: usize = 128;

/// The longest identifier of a job.
pub const MAX_JOB_ID_LEN: usize = 64;

/// The longest name of a stream.
pub const MAX_STREAM_NAME_LEN: usize = 128;

/// The longest name of a stream that the C library has room for. A longer one overwrites its stack.
pub const MAX_STREAM_NAME_LEN_OF_C_LIBRARY: usize = 44;

/// The longest topic that there is: a refused request for a description of a stream, `.../description/json`.
pub const MAX_TOPIC_LEN: usize = PREFIX.len()
    + MAX_THING_NAME_LEN
    + "/streams/".len()
    + MAX_STREAM_NAME_LEN
    + "/description/json".len();

const PREFIX: &str = "$aws/things/";

/// What a topic is for. All but the name of the thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic<'a> {
    /// Which jobs are there?
    GetPending(Leg),
    /// Starts the next job.
    StartNext(Leg),
    /// What is this job?
    Describe(Job<'a>, Leg),
    /// How a job goes on. [`Job::Next`] is not possible.
    Update(Job<'a>, Leg),
    /// Service to device: the list of jobs has changed.
    Notify,
    /// Service to device: the next job has changed.
    NotifyNext,
    /// A stream.
    Stream {
        /// Its name.
        name: &'a str,
        /// What the message is.
        message: StreamMessage,
        /// How it is encoded.
        format: Format,
    },
}

/// Which way a message of the jobs goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    /// Device to service.
    Request,
    /// Service to device: it was done.
    Accepted,
    /// Service to device: it was not done.
    Rejected,
}

/// Which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job<'a> {
    /// The one that is to be done next: `$next`.
    Next,
    /// Any: `+`, for a filter to subscribe to. No topic that is parsed has it.
    Any,
    /// This one.
    Id(&'a str),
}

/// What a message of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamMessage {
    /// Device to service: a request for blocks.
    Get,
    /// Device to service: a request for a description.
    Describe,
    /// Service to device: a block.
    Data,
    /// Service to device: a description.
    Description,
    /// Service to device: a request is refused.
    Rejected,
}

/// Why a topic cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// It does not begin with `$aws/things/`.
    Prefix,
    /// The name of the thing is not 1 to 128 of `A-Z a-z 0-9 : _ -`.
    ThingName,
    /// The identifier of the job is not 1 to 64 of `A-Z a-z 0-9 _ -`, nor `$next` where that is possible.
    JobId,
    /// The name of the stream is not 1 to 128 of `A-Z a-z 0-9 _ -`.
    StreamName,
    /// No message has this topic.
    Unknown,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "the topic does not begin with $aws/things/",
            Self::ThingName => {
                "the name of the thing is not 1 to 128 of the characters A-Z a-z 0-9 : _ -"
            }
            Self::JobId => {
                "the identifier of the job is not 1 to 64 of the characters A-Z a-z 0-9 _ -"
            }
            Self::StreamName => {
                "the name of the stream is not 1 to 128 of the characters A-Z a-z 0-9 _ -"
            }
            Self::Unknown => "no message has this topic",
        })
    }
}

impl core::error::Error for TopicError {}

/// Whether this can be the name of a thing: 1 to 128 of `A-Z a-z 0-9 : _ -`.
#[must_use]
pub fn is_thing_name(name: &str) -> bool {
    is_name(name, MAX_THING_NAME_LEN, true)
}

/// Whether this can identify a job: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[must_use]
pub fn is_job_id(id: &str) -> bool {
    is_name(id, MAX_JOB_ID_LEN, false)
}

/// Whether this can be the name of a stream: 1 to 128 of `A-Z a-z 0-9 _ -`.
#[must_use]
pub fn is_stream_name(name: &str) -> bool {
    is_name(name, MAX_STREAM_NAME_LEN, false)
}

pub(super) fn is_name(name: &str, max: usize, colons: bool) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || colons && byte == b':'
    };
    (1..=max).contains(&name.len()) && name.bytes().all(allowed)
}

impl<'a> Topic<'a> {
    /// Reads a topic: the name of the thing, and what it is for.
    ///
    /// # Errors
    /// It is none of the topics of jobs and streams.
    pub fn parse(topic: &'a str) -> Result<(&'a str, Self), TopicError> {
        let mut rest = topic.strip_prefix(PREFIX).ok_or(TopicError::Prefix)?;
        let thing = level(&mut rest);
        if !is_thing_name(thing) {
            return Err(TopicError::ThingName);
        }
        let parsed = match level(&mut rest) {
            "jobs" => Self::parse_jobs(&mut rest)?,
            "streams" => {
                let name = level(&mut rest);
                if !is_stream_name(name) {
                    return Err(TopicError::StreamName);
                }
                Self::Stream {
                    name,
                    message: match level(&mut rest) {
                        "get" => StreamMessage::Get,
                        "describe" => StreamMessage::Describe,
                        "data" => StreamMessage::Data,
                        "description" => StreamMessage::Description,
                        "rejected" => StreamMessage::Rejected,
                        _ => return Err(TopicError::Unknown),
                    },
                    format: match level(&mut rest) {
                        "json" => Format::Json,
                        "cbor" => Format::Cbor,
                        _ => return Err(TopicError::Unknown),
                    },
                }
            }
            _ => return Err(TopicError::Unknown),
        };
        if rest.is_empty() && !topic.ends_with('/') {
            Ok((thing, parsed))
        } else {
            Err(TopicError::Unknown)
        }
    }

    fn parse_jobs(rest: &mut &'a str) -> Result<Self, TopicError> {
        let first = level(rest);
        // A job may be called `get` or `notify`: what follows tells.
        let of_a_job = matches!(peek(rest), "get" | "update");
        Ok(match first {
            "notify" if !of_a_job => Self::Notify,
            "notify-next" if !of_a_job => Self::NotifyNext,
            "get" if !of_a_job => Self::GetPending(Leg::parse(rest)?),
            "start-next" if !of_a_job => Self::StartNext(Leg::parse(rest)?),
            _ => {
                let job = match first {
                    "$next" => Job::Next,
                    id if is_job_id(id) => Job::Id(id),
                    _ => return Err(TopicError::JobId),
                };
                match (level(rest), job) {
                    ("get", _) => Self::Describe(job, Leg::parse(rest)?),
                    ("update", Job::Next) => return Err(TopicError::JobId),
                    ("update", _) => Self::Update(job, Leg::parse(rest)?),
                    _ => return Err(TopicError::Unknown),
                }
            }
        })
    }

    /// Writes the topic of a thing.
    ///
    /// # Errors
    /// A name may not be like that. Something may have been written already.
    pub fn emit<S: Sink + ?Sized>(&self, thing: &str, sink: &mut S) -> Result<(), TopicError> {
        if !is_thing_name(thing) {
            return Err(TopicError::ThingName);
        }
        let mut put = |text: &str| sink.put(text.as_bytes());
        put(PREFIX);
        put(thing);
        let (what, leg) = match *self {
            Self::Stream {
                name,
                message,
                format,
            } => {
                if !is_stream_name(name) {
                    return Err(TopicError::StreamName);
                }
                for text in ["/streams/", name, "/", message.name(), "/", format.name()] {
                    put(text);
                }
                return Ok(());
            }
            Self::GetPending(leg) => ("get", leg),
            Self::StartNext(leg) => ("start-next", leg),
            Self::Notify => ("notify", Leg::Request),
            Self::NotifyNext => ("notify-next", Leg::Request),
            Self::Describe(_, leg) => ("get", leg),
            Self::Update(_, leg) => ("update", leg),
        };
        put("/jobs/");
        if let Self::Describe(job, _) | Self::Update(job, _) = self {
            put(match job {
                Job::Next if matches!(self, Self::Describe(..)) => "$next",
                Job::Any => "+",
                Job::Id(id) if is_job_id(id) => id,
                _ => return Err(TopicError::JobId),
            });
            put("/");
        }
        put(what);
        put(match leg {
            Leg::Request => "",
            Leg::Accepted => "/accepted",
            Leg::Rejected => "/rejected",
        });
        Ok(())
    }
}

impl Leg {
    /// The rest of a topic.
    fn parse(rest: &mut &str) -> Result<Self, TopicError> {
        Ok(match core::mem::take(rest) {
            "" => Self::Request,
            "accepted" => Self::Accepted,
            "rejected" => Self::Rejected,
            _ => return Err(TopicError::Unknown),
        })
    }
}

impl StreamMessage {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Describe => "describe",
            Self::Data => "data",
            Self::Description => "description",
            Self::Rejected => "rejected",
        }
    }
}

/// Takes the next level.
fn level<'a>(rest: &mut &'a str) -> &'a str {
    let level = peek(rest);
    *rest = rest.get(level.len() + 1..).unwrap_or_default();
    level
}

fn peek<'a>(rest: &&'a str) -> &'a str {
    let end = rest.bytes().position(|byte| byte == b'/');
    end.and_then(|end| rest.get(..end)).unwrap_or(rest)
}
