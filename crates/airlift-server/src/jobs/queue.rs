//! The pending executions of one thing, and what each request makes of them. Pure: no clock, no database, no network.
//!
//! A request works on a copy of the queue. What it [changes](Outcome) is stored first; then the copy takes the queue's place.
//!
//! ```text
//!            start-next, update            update
//!  QUEUED ----------------------> IN_PROGRESS -> SUCCEEDED | FAILED | REJECTED
//!     |  '--------------------------------------------^       (a thing may report an end without a start)
//!     |                               |
//!     '-> CANCELED | REMOVED          '-> TIMED_OUT | CANCELED (forced) | REMOVED
//! ```
//!
//! Of two that are pending, the one in progress comes first, then the one that was queued first.

use super::execution::{Details, Execution, Status, StepTimer};
use crate::clock::Timestamp;

/// The pending executions of one thing, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    pending: Vec<Execution>,
}

/// What a thing says of an execution.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) status: Status,
    /// Takes the place of what it said before; `None` leaves that.
    pub(crate) details: Option<Details>,
    /// The version that it believes the execution to have.
    pub(crate) expected_version: Option<i64>,
    /// The execution that it means; `None`: the one that is pending.
    pub(crate) number: Option<i64>,
    pub(crate) step_timer: Option<StepTimer>,
}

/// Why an execution is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotChanged {
    /// No such execution is pending.
    NotPending,
    /// It is pending, and cannot be brought into that status by this.
    NoSuchTransition,
    /// It has another version.
    VersionMismatch,
}

/// What is to be stored, and told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Executions as they are now.
    pub(crate) changed: Vec<Execution>,
    /// Something came to the list of pending executions or went from it: `notify`.
    pub(crate) list_changed: bool,
    /// Another one comes first: `notify-next`.
    pub(crate) next_changed: bool,
}

impl Queue {
    pub(crate) fn new(pending: Vec<Execution>) -> Self {
        let mut queue = Self { pending };
        queue.sort();
        queue
    }

    /// In their order.
    pub(crate) fn pending(&self) -> &[Execution] {
        &self.pending
    }

    /// What the thing is to do now.
    pub(crate) fn next(&self) -> Option<&Execution> {
        self.pending.first()
    }

    /// The pending execution of that job.
    pub(crate) fn of_job(&self, name: &str) -> Option<&Execution> {
        self.pending
            .iter()
            .find(|execution| &*execution.job.name == name)
    }

    /// The pending execution whose job has that stream.
    pub(crate) fn of_stream(&self, name: &str) -> Option<&Execution> {
        self.pending
            .iter()
            .find(|execution| execution.job.stream.as_deref() == Some(name))
    }

    /// Adds an execution.
    pub(crate) fn add(&mut self, execution: Execution) -> Outcome {
        let now = execution.queued_at;
        self.act(now, |pending, changed| {
            changed.push(execution.clone());
            pending.push(execution);
        })
    }

    /// Brings the next execution into progress. One that is in progress already stays as it is, but for the timer of its step.
    pub(crate) fn start_next(
        &mut self,
        details: Option<Details>,
        step_timer: Option<StepTimer>,
        now: Timestamp,
    ) -> Outcome {
        self.act(now, |pending, changed| {
            let Some(next) = pending.first_mut() else {
                return;
            };
            let starts = next.status == Status::Queued;
            if starts {
                next.change(Status::InProgress, details, now);
            }
            if let Some(timer) = step_timer {
                next.set_step_timer(timer, now);
            }
            if starts || step_timer.is_some() {
                changed.push(next.clone());
            }
        })
    }

    /// Takes what a thing says of an execution. The first of the changed ones is that execution.
    pub(crate) fn update(
        &mut self,
        job: &str,
        update: &Update,
        now: Timestamp,
    ) -> Result<Outcome, NotChanged> {
        let meant = self.find(job, update.number, update.expected_version, |_| {
            update.status.is_for_things_to_say()
        })?;
        Ok(self.act(now, |pending, changed| {
            for execution in pending.iter_mut().filter(|one| one.is(meant)) {
                execution.change(update.status, update.details.clone(), now);
                if let Some(timer) = update.step_timer.filter(|_| !update.status.is_terminal()) {
                    execution.set_step_timer(timer, now);
                }
                changed.push(execution.clone());
            }
        }))
    }

    /// Cancels one execution; one that is in progress only with force.
    pub(crate) fn cancel(
        &mut self,
        job: &str,
        force: bool,
        expected_version: Option<i64>,
        details: Option<&Details>,
        now: Timestamp,
    ) -> Result<Outcome, NotChanged> {
        let meant = self.find(job, None, expected_version, |status| {
            force || status == Status::Queued
        })?;
        Ok(self.act(now, |pending, changed| {
            for execution in pending.iter_mut().filter(|one| one.is(meant)) {
                execution.change(Status::Canceled, details.cloned(), now);
                changed.push(execution.clone());
            }
        }))
    }

    /// Ends what has timed out, and what belongs to a canceled job.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Outcome {
        self.end(now, |execution| {
            let canceled = execution.job.canceled;
            if execution.is_due(now) {
                Some(Status::TimedOut)
            } else if canceled.is_some_and(|how| how.forced || execution.status == Status::Queued) {
                Some(Status::Canceled)
            } else {
                None
            }
        })
    }

    /// Ends the executions that were made because another release than this was on offer. Those that are on trial go on: the
    /// image is in place, and what comes of it is worth knowing. With `is_useless` the thing has no use for the release that is
    /// on offer; then those of it that have not begun end, too.
    pub(crate) fn keep_offered(
        &mut self,
        release: Option<i64>,
        is_useless: bool,
        now: Timestamp,
    ) -> Outcome {
        self.end(now, |execution| {
            let is_other = execution.job.release != release && !execution.is_on_trial();
            let goes = is_other || (is_useless && execution.status == Status::Queued);
            (execution.job.automatic && goes).then_some(Status::Removed)
        })
    }

    /// Takes over a queue that was read anew; nothing of it is to be stored.
    pub(crate) fn replace(&mut self, other: Self) -> Outcome {
        // The time matters only to what ends here, and nothing does.
        self.act(Timestamp::default(), |pending, _| *pending = other.pending)
    }

    /// The pending execution that is meant, if it may be changed.
    fn find(
        &self,
        job: &str,
        number: Option<i64>,
        expected_version: Option<i64>,
        may_change: impl FnOnce(Status) -> bool,
    ) -> Result<Identity, NotChanged> {
        let found = self
            .of_job(job)
            .filter(|found| number.is_none_or(|number| number == found.number))
            .ok_or(NotChanged::NotPending)?;
        if !may_change(found.status) {
            return Err(NotChanged::NoSuchTransition);
        }
        if expected_version.is_some_and(|expected| expected != found.version) {
            return Err(NotChanged::VersionMismatch);
        }
        Ok(found.identity())
    }

    fn end(&mut self, now: Timestamp, how: impl Fn(&Execution) -> Option<Status>) -> Outcome {
        self.act(now, |pending, changed| {
            for execution in pending {
                if let Some(status) = how(execution) {
                    execution.change(status, None, now);
                    changed.push(execution.clone());
                }
            }
        })
    }

    /// Lets something be done to the executions, takes away those that ended, puts those in that follow them, and compares.
    fn act(
        &mut self,
        now: Timestamp,
        change: impl FnOnce(&mut Vec<Execution>, &mut Vec<Execution>),
    ) -> Outcome {
        let before = self.identities();
        let mut changed = Vec::new();
        change(&mut self.pending, &mut changed);
        let ended = self
            .pending
            .extract_if(.., |execution| execution.status.is_terminal());
        let again: Vec<_> = ended.filter_map(|execution| execution.retry(now)).collect();
        changed.extend_from_slice(&again);
        self.pending.extend(again);
        self.sort();

        let after = self.identities();
        Outcome {
            changed,
            next_changed: before.first() != after.first(),
            list_changed: before.len() != after.len()
                || before.iter().any(|one| !after.contains(one)),
        }
    }

    fn identities(&self) -> Vec<Identity> {
        self.pending.iter().map(Execution::identity).collect()
    }

    fn sort(&mut self) {
        self.pending.sort_by_key(|execution| {
            let waits = execution.status == Status::Queued;
            (waits, execution.queued_at, execution.job.id)
        });
    }
}

impl Outcome {
    /// Both, one after the other.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.changed.extend(later.changed);
        self.list_changed |= later.list_changed;
        self.next_changed |= later.next_changed;
        self
    }
}

impl Execution {
    fn identity(&self) -> Identity {
        Identity {
            job: self.job.id,
            number: self.number,
        }
    }

    fn is(&self, identity: Identity) -> bool {
        self.identity() == identity
    }
}

/// Which execution of which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    job: i64,
    number: i64,
}

#[cfg(test)]
mod tests;
