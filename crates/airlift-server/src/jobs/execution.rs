//! One execution of a job by a thing.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::job::{Job, UnreadableJob};
use crate::clock::Timestamp;
use crate::store::jobs::ExecutionRow;

/// How far an execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    /// The thing has not begun.
    Queued,
    InProgress,
    /// By the thing's word.
    Succeeded,
    /// By the thing's word.
    Failed,
    /// By the thing's word: it will not do it.
    Rejected,
    /// The thing said nothing for too long.
    TimedOut,
    /// The job is not for this thing any more.
    Removed,
    /// Somebody canceled it.
    Canceled,
}

impl Status {
    pub(crate) const ALL: [Self; 8] = [
        Self::Queued,
        Self::InProgress,
        Self::Succeeded,
        Self::Failed,
        Self::Rejected,
        Self::TimedOut,
        Self::Removed,
        Self::Canceled,
    ];

    /// As the protocol writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
            Self::TimedOut => "TIMED_OUT",
            Self::Removed => "REMOVED",
            Self::Canceled => "CANCELED",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing can follow.
    pub(crate) fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }

    /// Whether a thing may say that of itself.
    pub(crate) fn is_for_things_to_say(self) -> bool {
        matches!(
            self,
            Self::InProgress | Self::Succeeded | Self::Failed | Self::Rejected
        )
    }
}

/// What a thing says beside its status: a JSON object of texts, checked by [`request`](super::request).
#[derive(Debug, Clone)]
pub(crate) struct Details(pub(super) Arc<RawValue>);

impl Details {
    /// As a JSON object.
    pub(crate) fn json(&self) -> &RawValue {
        &self.0
    }

    /// The text under this name.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let mut all: std::collections::BTreeMap<String, String> =
            serde_json::from_str(self.0.get()).ok()?;
        all.remove(name)
    }
}

impl PartialEq for Details {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Details {}

/// One execution.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) job: Arc<Job>,
    /// 1 for the first of this job by this thing.
    pub(crate) number: i64,
    pub(crate) status: Status,
    pub(crate) details: Option<Details>,
    /// 1 at first, 1 more with each change.
    pub(crate) version: i64,
    pub(crate) queued_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) updated_at: Timestamp,
    /// When it times out: in progress for too long, or for too long at one step, whichever comes first.
    pub(crate) deadline: Option<Timestamp>,
    /// How many executions of this job by this thing have failed before.
    pub(crate) failures: u32,
    /// The same of those that timed out.
    pub(crate) timeouts: u32,
}

/// What a thing wants of the timer of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepTimer {
    /// Runs anew, for so many minutes.
    Minutes(u32),
    /// Runs no more (-1).
    Off,
}

impl Execution {
    /// The first execution of a job, or that which follows `number` others.
    pub(crate) fn new(job: Arc<Job>, number: i64, now: Timestamp) -> Self {
        Self {
            job,
            number,
            status: Status::Queued,
            details: None,
            version: 1,
            queued_at: now,
            started_at: None,
            updated_at: now,
            deadline: None,
            failures: 0,
            timeouts: 0,
        }
    }

    /// Takes a change of status down.
    pub(super) fn change(&mut self, status: Status, details: Option<Details>, now: Timestamp) {
        if self.status == Status::Queued && status == Status::InProgress {
            self.started_at = Some(now);
            self.deadline = self.in_progress_deadline();
        }
        self.status = status;
        if details.is_some() {
            self.details = details;
        }
        self.version += 1;
        self.updated_at = now;
        if status.is_terminal() {
            self.deadline = None;
        }
    }

    /// Sets the timer of the step. It never outlives that of the whole execution.
    pub(super) fn set_step_timer(&mut self, timer: StepTimer, now: Timestamp) {
        let whole = self.in_progress_deadline();
        self.deadline = match timer {
            StepTimer::Off => whole,
            StepTimer::Minutes(minutes) => {
                let step = after(now, minutes);
                Some(whole.map_or(step, |whole| whole.min(step)))
            }
        };
    }

    fn in_progress_deadline(&self) -> Option<Timestamp> {
        Some(after(self.started_at?, self.job.timeout?))
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The execution that follows this one, which has ended, if its job wants it tried again.
    pub(super) fn retry(&self, now: Timestamp) -> Option<Self> {
        let (mut failures, mut timeouts) = (self.failures, self.timeouts);
        let again = match self.status {
            Status::Failed => {
                failures += 1;
                failures <= self.job.retries.failed
            }
            Status::TimedOut => {
                timeouts += 1;
                timeouts <= self.job.retries.timed_out
            }
            _ => false,
        };
        (again && self.job.canceled.is_none()).then(|| Self {
            failures,
            timeouts,
            ..Self::new(Arc::clone(&self.job), self.number + 1, now)
        })
    }

    /// The thing says that the image is in place and on trial, or about to be: from here on only it can end this.
    pub(crate) fn is_on_trial(&self) -> bool {
        let details = self.details.as_ref();
        details.is_some_and(|details| details.get("self_test").is_some())
    }

    pub(crate) fn read(row: &ExecutionRow, job: Arc<Job>) -> Result<Self, UnreadableJob> {
        let unreadable = |column| UnreadableJob {
            job: row.job,
            column,
        };
        let count = |column, number: i64| u32::try_from(number).map_err(|_| unreadable(column));
        let details = row.details.as_ref().map(|text| {
            RawValue::from_string(text.clone())
                .map(|details| Details(details.into()))
                .map_err(|_| unreadable("details"))
        });
        Ok(Self {
            job,
            number: row.number,
            status: Status::parse(&row.status).ok_or_else(|| unreadable("status"))?,
            details: details.transpose()?,
            version: row.version,
            queued_at: Timestamp(row.queued_at),
            started_at: row.started_at.map(Timestamp),
            updated_at: Timestamp(row.updated_at),
            deadline: row.deadline.map(Timestamp),
            failures: count("failures", row.failures)?,
            timeouts: count("timeouts", row.timeouts)?,
        })
    }

    pub(crate) fn row(&self, thing: i64) -> ExecutionRow {
        ExecutionRow {
            job: self.job.id,
            thing,
            number: self.number,
            status: self.status.as_str().to_owned(),
            details: self
                .details
                .as_ref()
                .map(|details| details.0.get().to_owned()),
            version: self.version,
            queued_at: self.queued_at.0,
            started_at: self.started_at.map(|at| at.0),
            updated_at: self.updated_at.0,
            deadline: self.deadline.map(|at| at.0),
            failures: i64::from(self.failures),
            timeouts: i64::from(self.timeouts),
        }
    }
}

fn after(start: Timestamp, minutes: u32) -> Timestamp {
    Timestamp(start.0.saturating_add(i64::from(minutes) * 60_000))
}
