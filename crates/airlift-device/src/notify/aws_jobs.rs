//! AWS IoT Jobs: what there is to do, and telling how it goes.
//!
//! ```text
//!  ask ──▶ start-next ──▶ Event::Job ──▶ report(Report) ──▶ update ──▶ Event::Told
//!                │                          ▲     │
//!                ▼                          │     ├─▶ VersionMismatch: with the version of the answer again
//!           Event::NoJob                    │     └─▶ Event::Over: canceled, timed out, deleted
//!                                           │
//!  notify-next: another job is next ──▶ is mine still there? ──▶ Event::Over, or on it goes
//! ```
//!
//! [`Jobs`] does no I/O: the application publishes what [`poll`](Jobs::poll) gives it, and hands in what comes. An answer that does not come is
//! asked for again, with waits that double, up to a limit. Every update names the version that the job must have, so that one that
//! came late cannot undo another.

mod parser;
mod report;
#[cfg(test)]
mod tests;

use core::fmt;

use airlift_formats::aws::jobs::{
    Describe, ErrorCode, Execution, ExecutionState, NextJob, Piece, Rejected, StartNext, Status,
    StepTimeout, Updated,
};
use airlift_formats::aws::topic::{Job, Leg, MAX_JOB_ID_LEN, Topic, is_thing_name};
use airlift_formats::aws::{Buffer, BufferTooSmall, MessageError, Text};

pub use parser::{AfrOtaParser, JobParser, Parsed};
pub use report::{Report, Version};

use crate::mqtt::{Publish, compose};
use crate::retry::{Retry, Timer};

/// How jobs are asked for and told about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How the next job is asked for.
    pub ask: Ask,
    /// How long a job may stay as it is before the service gives it up: minutes, from each report on. None: as long as the job allows.
    pub step_timeout: Option<u16>,
    /// How long to wait for an answer.
    pub retry: Retry,
}

/// How the next job is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ask {
    /// The service marks it as begun.
    #[default]
    StartNext,
    /// It stays queued until the first report, as with the older FreeRTOS OTA agent.
    Describe,
}

/// What a message meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'m> {
    /// It is not one for jobs, or an answer that nobody waits for any more.
    Nothing,
    /// There is this job. It is the present one from now on.
    Job(Execution<'m>),
    /// There is no job.
    NoJob,
    /// This report has reached the service.
    Told(Report),
    /// The service does not take this report, for a reason that will not go away.
    NotTaken(Report),
    /// The present job is over, and not by a report: as this, or none at all any more.
    Over(Option<Status>),
    /// Another job is next, and none is present: ask.
    Changed,
    /// The service does not take the question, and will not.
    Refused(ErrorCode),
    /// The message is none that can be read.
    Malformed(MessageError),
}

/// Why nothing can be asked or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobsError {
    /// The name of the thing is none.
    ThingName,
    /// The buffer for messages is too small.
    BufferTooSmall,
    /// A text of the application cannot be sent: control characters, or too long.
    Text,
    /// The service does not answer.
    Unanswered,
}

impl fmt::Display for JobsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThingName => "the name of the thing is none",
            Self::BufferTooSmall => "the buffer for messages is too small",
            Self::Text => "a text in a report has control characters, or is too long",
            Self::Unanswered => "the service does not answer",
        })
    }
}

impl core::error::Error for JobsError {}

impl From<BufferTooSmall> for JobsError {
    fn from(_: BufferTooSmall) -> Self {
        Self::BufferTooSmall
    }
}

/// The conversation about jobs.
#[derive(Debug)]
pub struct Jobs<'t> {
    thing: &'t str,
    settings: Settings,
    job: Option<Current>,
    /// The next job is wanted.
    ask: bool,
    /// It is to be found out whether the present job is still there.
    check: bool,
    /// What is to be told, and what after that.
    report: Option<Report>,
    next_report: Option<Report>,
    /// What was asked or told and is not answered yet.
    pending: Option<Pending>,
    /// The token of the last request.
    token: u32,
    timer: Timer,
}

/// The present job.
#[derive(Clone, Copy, Debug)]
struct Current {
    id: [u8; MAX_JOB_ID_LEN],
    len: u8,
    version: u32,
}

impl Current {
    fn new(execution: &Execution<'_>) -> Self {
        let mut id = [0; MAX_JOB_ID_LEN];
        for (to, from) in id.iter_mut().zip(execution.job_id.bytes()) {
            *to = from;
        }
        Self {
            id,
            len: execution.job_id.len() as u8,
            version: execution.version,
        }
    }

    fn id(&self) -> &str {
        let id = self.id.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(id).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Ask,
    Check,
    Report,
}

impl<'t> Jobs<'t> {
    /// A conversation in which nothing was said.
    ///
    /// # Errors
    /// [`JobsError::ThingName`]
    pub fn new(thing: &'t str, settings: Settings) -> Result<Self, JobsError> {
        if !is_thing_name(thing) {
            return Err(JobsError::ThingName);
        }
        Ok(Self {
            thing,
            settings,
            job: None,
            ask: false,
            check: false,
            report: None,
            next_report: None,
            pending: None,
            token: 0,
            timer: Timer::start(settings.retry, 0),
        })
    }

    /// The name of the thing.
    #[must_use]
    pub const fn thing(&self) -> &'t str {
        self.thing
    }

    /// The present job.
    #[must_use]
    pub fn job(&self) -> Option<&str> {
        self.job.as_ref().map(Current::id)
    }

    /// The next job is wanted. There is no present one any more.
    pub fn ask(&mut self) {
        self.forget();
        self.ask = true;
    }

    /// Tells how the present job goes. A report that has not been sent yet is replaced by it, unless that one ends the job.
    pub fn report(&mut self, report: Report) {
        if self.job.is_none() {
            return;
        }
        let place = if self.pending == Some(Pending::Report) {
            &mut self.next_report
        } else {
            &mut self.report
        };
        if place.is_none_or(|waiting| !waiting.is_last()) {
            *place = Some(report);
        }
    }

    /// Whether something is to be asked or told, or was not answered yet.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.ask || self.check || self.report.is_some()
    }

    /// When to call [`poll`](Self::poll) even if nothing comes.
    #[must_use]
    pub fn due(&self) -> Option<u32> {
        self.pending.map(|_| self.timer.due())
    }

    /// What is to be published now, if anything: call it after anything else, and when it is [`due`](Self::due). `now` is in milliseconds
    /// and may wrap around.
    ///
    /// # Errors
    /// The service does not answer; a report of progress is given up instead. Or the buffer is too small
    /// ([`BUFFER_LEN`](crate::mqtt::BUFFER_LEN) is not).
    pub fn poll<'b>(
        &mut self,
        now: u32,
        buffer: &'b mut [u8],
    ) -> Result<Option<Publish<'b>>, JobsError> {
        if self.pending.is_some() {
            if !self.timer.is_due(now) {
                return Ok(None);
            }
            if !self.timer.again(now) {
                if self.pending != Some(Pending::Report)
                    || self.report.is_none_or(|report| !report.is_progress())
                {
                    self.pending = None;
                    return Err(JobsError::Unanswered);
                }
                self.told();
            }
        }
        let pending = match self.pending {
            Some(pending) => pending,
            None => {
                let Some(pending) = self.wanted() else {
                    return Ok(None);
                };
                self.timer = Timer::start(self.settings.retry, now);
                self.token = self.token.wrapping_add(1);
                pending
            }
        };
        self.pending = Some(pending);
        self.compose(pending, buffer).map(Some)
    }

    /// Takes a message that came. The topic is that of this thing, as [`Topic::parse`] has it.
    pub fn receive<'m>(&mut self, topic: &Topic<'_>, message: &'m [u8], now: u32) -> Event<'m> {
        let read = match *topic {
            Topic::StartNext(Leg::Accepted) | Topic::Describe(Job::Next, Leg::Accepted)
                if self.pending == Some(Pending::Ask) =>
            {
                self.asked(message)
            }
            Topic::StartNext(Leg::Rejected) | Topic::Describe(Job::Next, Leg::Rejected)
                if self.pending == Some(Pending::Ask) =>
            {
                self.refused(message, now)
            }
            Topic::Describe(Job::Id(id), leg) if self.is_waiting(Pending::Check, id) => match leg {
                Leg::Accepted => self.checked(message),
                Leg::Rejected => self.refused(message, now),
                Leg::Request => return Event::Nothing,
            },
            Topic::Update(Job::Id(id), leg) if self.is_waiting(Pending::Report, id) => match leg {
                Leg::Accepted => self.updated(message),
                Leg::Rejected => self.refused(message, now),
                Leg::Request => return Event::Nothing,
            },
            Topic::NotifyNext => self.next_changed(message),
            _ => return Event::Nothing,
        };
        read.unwrap_or_else(Event::Malformed)
    }

    fn is_waiting(&self, pending: Pending, id: &str) -> bool {
        self.pending == Some(pending) && self.job() == Some(id)
    }

    /// What is most important to be asked or told.
    const fn wanted(&self) -> Option<Pending> {
        if self.report.is_some() {
            Some(Pending::Report)
        } else if self.check {
            Some(Pending::Check)
        } else if self.ask {
            Some(Pending::Ask)
        } else {
            None
        }
    }

    fn compose<'b>(
        &self,
        pending: Pending,
        buffer: &'b mut [u8],
    ) -> Result<Publish<'b>, JobsError> {
        let mut digits = [0; 10];
        let token = decimal(self.token, &mut digits);
        let job = self.job.as_ref();
        let id = Job::Id(job.map_or("", Current::id));
        let topic = match (pending, self.settings.ask) {
            (Pending::Ask, Ask::StartNext) => Topic::StartNext(Leg::Request),
            (Pending::Ask, Ask::Describe) => Topic::Describe(Job::Next, Leg::Request),
            (Pending::Check, _) => Topic::Describe(id, Leg::Request),
            (Pending::Report, _) => Topic::Update(id, Leg::Request),
        };
        let step_timeout = self.settings.step_timeout.map(StepTimeout::Minutes);
        let mut written = Ok(());
        let publish = compose(buffer, self.thing, topic, |sink| {
            written = match (topic, self.report) {
                (Topic::StartNext(_), _) => StartNext {
                    step_timeout,
                    token: Some(token),
                    ..StartNext::default()
                }
                .emit(sink),
                (Topic::Update(..), Some(report)) => {
                    let version = job.map_or(0, |job| job.version);
                    report.emit(version, step_timeout, token, sink)
                }
                _ => Describe {
                    without_document: pending == Pending::Check,
                    token: Some(token),
                    ..Describe::default()
                }
                .emit(sink),
            };
        })?;
        written.map_err(|_| JobsError::Text)?;
        Ok(publish)
    }

    /// Whether a message answers the last request.
    fn is_answer(&self, token: Option<Text<'_>>) -> bool {
        token.is_none_or(|token| token == *decimal(self.token, &mut [0; 10]).as_str().unwrap_or(""))
    }

    fn asked<'m>(&mut self, message: &'m [u8]) -> Result<Event<'m>, MessageError> {
        let next = NextJob::parse(message)?;
        if !self.is_answer(next.token) {
            return Ok(Event::Nothing);
        }
        self.forget();
        Ok(match next.execution {
            Some(execution) => {
                self.job = Some(Current::new(&execution));
                Event::Job(execution)
            }
            None => Event::NoJob,
        })
    }

    fn checked<'m>(&mut self, message: &'m [u8]) -> Result<Event<'m>, MessageError> {
        let next = NextJob::parse(message)?;
        if !self.is_answer(next.token) {
            return Ok(Event::Nothing);
        }
        self.pending = None;
        self.check = false;
        Ok(match next.execution {
            Some(execution) if !execution.status.is_terminal() => {
                self.adopt(execution.version);
                Event::Nothing
            }
            execution => self.over(execution.map(|execution| execution.status)),
        })
    }

    fn updated<'m>(&mut self, message: &'m [u8]) -> Result<Event<'m>, MessageError> {
        let updated = Updated::parse(message)?;
        if !self.is_answer(updated.token) {
            return Ok(Event::Nothing);
        }
        if let Some(job) = &mut self.job {
            job.version = job.version.wrapping_add(1);
        }
        let told = self.told();
        if told.is_some_and(|report| report.is_last()) {
            self.forget();
        }
        Ok(told.map_or(Event::Nothing, Event::Told))
    }

    fn refused<'m>(&mut self, message: &'m [u8], now: u32) -> Result<Event<'m>, MessageError> {
        let rejected = Rejected::parse(message)?;
        if !self.is_answer(rejected.token) {
            return Ok(Event::Nothing);
        }
        let pending = self.pending;
        Ok(match rejected.known_code() {
            // Of these it is not known that they stay: the timer asks again.
            None | Some(ErrorCode::InternalError | ErrorCode::RequestThrottled) => Event::Nothing,
            Some(ErrorCode::ResourceNotFound | ErrorCode::TerminalStateReached)
                if pending != Some(Pending::Ask) =>
            {
                self.over(rejected.state.map(|state| state.status))
            }
            Some(_) if pending == Some(Pending::Report) => self.out_of_step(rejected.state, now),
            Some(code) => {
                // What was asked is wrong, and would be wrong again.
                self.pending = None;
                self.ask = false;
                self.check = false;
                Event::Refused(code)
            }
        })
    }

    /// An update does not fit to how the job stands.
    fn out_of_step<'m>(&mut self, state: Option<ExecutionState<'_>>, now: u32) -> Event<'m> {
        let Some(report) = self.report else {
            return Event::Nothing;
        };
        let version = self.job.as_ref().map_or(0, |job| job.version);
        match state {
            // It was told already, and the answer was lost.
            Some(state) if report.is_last() && state.status == report.status() => {
                self.forget();
                Event::Told(report)
            }
            Some(state) if state.status.is_terminal() => self.over(Some(state.status)),
            Some(state) if state.version != version => {
                self.adopt(state.version);
                // Again at once, as one of the attempts.
                self.timer.expire(now);
                Event::Nothing
            }
            _ => {
                self.told();
                if report.is_last() {
                    self.forget();
                }
                Event::NotTaken(report)
            }
        }
    }

    fn next_changed<'m>(&mut self, message: &'m [u8]) -> Result<Event<'m>, MessageError> {
        let next = NextJob::parse(message)?.execution;
        Ok(match (&self.job, next) {
            (Some(job), Some(next)) if next.job_id == job.id() => Event::Nothing,
            // Ours would be the next one, if it was still there. But the notice can be an old one.
            (Some(_), _) => {
                self.check = true;
                Event::Nothing
            }
            (None, Some(_)) if !self.ask => Event::Changed,
            (None, _) => Event::Nothing,
        })
    }

    fn adopt(&mut self, version: u32) {
        if let Some(job) = &mut self.job {
            job.version = version;
        }
    }

    /// The report was answered: on to the next one.
    fn told(&mut self) -> Option<Report> {
        self.pending = None;
        core::mem::replace(&mut self.report, self.next_report.take())
    }

    fn over<'m>(&mut self, status: Option<Status>) -> Event<'m> {
        self.forget();
        Event::Over(status)
    }

    /// There is no present job, and nothing to ask or tell.
    fn forget(&mut self) {
        self.job = None;
        self.ask = false;
        self.check = false;
        self.report = None;
        self.next_report = None;
        self.pending = None;
    }
}

/// A number as text.
fn decimal(number: u32, digits: &mut [u8; 10]) -> Text<'_> {
    let mut sink = Buffer::new(digits);
    Piece::Decimal(number).emit(&mut sink);
    let digits = sink.finish().unwrap_or_default();
    core::str::from_utf8(digits).unwrap_or_default().into()
}
