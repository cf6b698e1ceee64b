//! A job: a document for some things, with its files and its rules.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::digest::Sha256;
use crate::store::jobs::{JobFileRow, JobRow};

/// Longest job id, in bytes.
pub(crate) const MAX_JOB_ID: usize = 64;
/// Longest job document, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 32 << 10;
/// Longest time that an execution may be in progress, or take for one step.
pub(crate) const MAX_MINUTES: u32 = 10_080;
/// Most executions that follow a failed one, and a timed-out one.
pub(crate) const MAX_RETRIES: u32 = 10;

/// A job, as its executions need it. It never changes: one that is canceled is another one.
#[derive(Debug)]
pub(crate) struct Job {
    /// In the database.
    pub(crate) id: i64,
    /// The job id of the protocol.
    pub(crate) name: Box<str>,
    /// A JSON object, in the words of who made the job.
    pub(crate) document: Box<RawValue>,
    /// The release that it installs.
    pub(crate) release: Option<i64>,
    /// It was made because a release is on offer, and is for the things that are offered it.
    pub(crate) automatic: bool,
    pub(crate) stream: Option<Box<str>>,
    /// In the order of their ids.
    pub(crate) files: Arc<[File]>,
    /// How long an execution may be in progress, in minutes.
    pub(crate) timeout: Option<u32>,
    pub(crate) retries: Retries,
    /// `None`: it is not canceled.
    pub(crate) canceled: Option<Canceled>,
}

/// A file that a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) id: u8,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
}

/// How many executions follow one that ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Retries {
    pub(crate) failed: u32,
    pub(crate) timed_out: u32,
}

/// How a job is canceled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canceled {
    /// Also executions that are in progress end.
    pub(crate) forced: bool,
}

/// A row that this program did not write, or not this version of it.
#[derive(Debug, thiserror::Error)]
#[error("job {job}: column {column} cannot be read by this version of the server")]
pub(crate) struct UnreadableJob {
    pub(super) job: i64,
    pub(super) column: &'static str,
}

impl Job {
    pub(crate) fn read(row: JobRow, files: &[JobFileRow]) -> Result<Self, UnreadableJob> {
        let unreadable = |column| UnreadableJob {
            job: row.id,
            column,
        };
        let number = |column, number: i64| u32::try_from(number).map_err(|_| unreadable(column));
        let file = |row: &JobFileRow| {
            Ok(File {
                id: u8::try_from(row.id).map_err(|_| unreadable("file id"))?,
                size: u64::try_from(row.size).map_err(|_| unreadable("file size"))?,
                sha256: Sha256::parse(row.sha256.as_bytes())
                    .ok_or_else(|| unreadable("file sha256"))?,
            })
        };
        Ok(Self {
            files: files.iter().map(file).collect::<Result<_, _>>()?,
            timeout: row
                .timeout_minutes
                .map(|minutes| number("timeout_minutes", minutes))
                .transpose()?,
            retries: Retries {
                failed: number("retries_failed", row.retries_failed)?,
                timed_out: number("retries_timed_out", row.retries_timed_out)?,
            },
            canceled: row.canceled_at.map(|_| Canceled {
                forced: row.cancel_forced != 0,
            }),
            document: RawValue::from_string(row.document).map_err(|_| UnreadableJob {
                job: row.id,
                column: "document",
            })?,
            id: row.id,
            name: row.name.into(),
            release: row.release_id,
            automatic: row.automatic != 0,
            stream: row.stream.map(Into::into),
        })
    }
}

/// Whether a job may be called that: AWS' rule, `[a-zA-Z0-9_-]{1,64}`.
pub(crate) fn is_job_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_JOB_ID).contains(&text.len()) && text.bytes().all(allowed)
}
