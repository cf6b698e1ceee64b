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

use airlift_formats::aws::jobs::{Answer, ErrorCode, Execution, Request, Status, StepTimeout};
use airlift_formats::aws::topic::{Job, Leg, MAX_JOB_ID_LEN, Topic, is_thing_name};
use airlift_formats::aws::{Buffer, BufferTooSmall, MessageError};

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
    /// The service does not take the report that ends the job, so that it will bring the job again and again.
    NotTaken,
}

impl fmt::Display for JobsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ThingName => "the name of the thing is none",
            Self::BufferTooSmall => "the buffer for messages is too small",
            Self::Text => "a text in a report has control characters, or is too long",
            Self::Unanswered => "the service does not answer",
            Self::NotTaken => "the service does not take the report that ends the job",
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
    /// What is to be told.
    report: Option<Report>,
    /// What was told, and is not answered yet, is less than that.
    outdated: bool,
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
            version: execution.state.version,
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
            outdated: false,
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

    /// How often the service must hear something of the present job, in milliseconds, so as not to give it up: three times in the time that it
    /// was given.
    #[must_use]
    pub fn heartbeat(&self) -> Option<u32> {
        let minutes = self.settings.step_timeout?;
        Some(u32::from(minutes) * 20_000)
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

    /// Tells how the present job goes. It takes the place of a report that has not been answered yet, unless that one ends the job. Progress is not
    /// told while an answer is awaited: there will be more of it.
    pub fn report(&mut self, report: Report) {
        let awaited = self.pending == Some(Pending::Report);
        if self.job.is_none()
            || self.report.is_some_and(|present| present.is_last())
            || awaited && report.is_progress()
        {
            return;
        }
        self.report = Some(report);
        self.outdated = awaited;
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
        if let Some(pending) = self.pending {
            if !self.timer.is_due(now) {
                return Ok(None);
            }
            self.outdated = false;
            if !self.timer.again(now) {
                self.pending = None;
                if pending != Pending::Report
                    || self.report.is_none_or(|report| !report.is_progress())
                {
                    return Err(JobsError::Unanswered);
                }
                self.report = None;
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
        let (pending, leg) = match *topic {
            Topic::StartNext(leg) | Topic::Describe(Job::Next, leg) => (Pending::Ask, leg),
            Topic::Describe(Job::Id(id), leg) if self.job() == Some(id) => (Pending::Check, leg),
            Topic::Update(Job::Id(id), leg) if self.job() == Some(id) => (Pending::Report, leg),
            Topic::NotifyNext => (Pending::Ask, Leg::Request),
            _ => return Event::Nothing,
        };
        let notice = matches!(topic, Topic::NotifyNext);
        if !notice && (self.pending != Some(pending) || leg == Leg::Request) {
            return Event::Nothing;
        }
        let answer = match Answer::parse(message) {
            Ok(answer) => answer,
            Err(error) => return Event::Malformed(error),
        };
        if notice {
            return self.next_changed(&answer);
        }
        let token = answer.token.unwrap_or_default();
        if !token.is_empty() && token != decimal(self.token, &mut [0; 10]) {
            return Event::Nothing;
        }
        if answer.code.is_some() || leg == Leg::Rejected {
            return self.refused(pending, &answer, now);
        }
        match (pending, answer.execution) {
            (Pending::Ask, execution) => {
                self.forget();
                match execution {
                    Some(execution) => {
                        self.job = Some(Current::new(&execution));
                        Event::Job(execution)
                    }
                    None => Event::NoJob,
                }
            }
            (Pending::Check, Some(execution)) if !execution.state.status.is_terminal() => {
                self.pending = None;
                self.check = false;
                self.adopt(execution.state.version);
                Event::Nothing
            }
            (Pending::Check, execution) => {
                self.over(execution.map(|execution| execution.state.status))
            }
            (Pending::Report, _) => self.accepted(),
        }
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
        let report = self.report.filter(|_| pending == Pending::Report);
        let ends = report.is_some_and(|report| report.is_last());
        let request = Request {
            status: report.map(|report| report.status()),
            expected_version: report.and(job.map(|job| job.version)),
            step_timeout: match topic {
                Topic::Describe(..) => None,
                _ if ends => None,
                _ => self.settings.step_timeout.map(StepTimeout::Minutes),
            },
            include_document: (pending == Pending::Check).then_some(false),
            token: Some(token),
            ..Request::default()
        };
        let mut written = Ok(());
        let publish = compose(buffer, self.thing, topic, |sink| {
            written = request.emit(sink, |details| {
                if let Some(report) = report {
                    report.describe(details);
                }
            });
        })?;
        written.map_err(|_| JobsError::Text)?;
        Ok(publish)
    }

    /// An update was taken.
    fn accepted<'m>(&mut self) -> Event<'m> {
        if let Some(job) = &mut self.job {
            job.version = job.version.wrapping_add(1);
        }
        self.pending = None;
        if self.outdated {
            // It told less than what is to be told now.
            self.outdated = false;
            return Event::Nothing;
        }
        self.told(Event::Told)
    }

    fn refused<'m>(&mut self, pending: Pending, answer: &Answer<'_>, now: u32) -> Event<'m> {
        let code = match answer.known_code() {
            // Of these it is not known that they stay: the timer asks again.
            None | Some(ErrorCode::InternalError | ErrorCode::RequestThrottled) => {
                return Event::Nothing;
            }
            Some(code) => code,
        };
        let gone = matches!(
            code,
            ErrorCode::ResourceNotFound | ErrorCode::TerminalStateReached
        );
        if pending == Pending::Ask || pending == Pending::Check && !gone {
            // What was asked is wrong, and would be wrong again.
            self.pending = None;
            self.ask = false;
            self.check = false;
            return Event::Refused(code);
        }
        let version = self.job.as_ref().map_or(0, |job| job.version);
        match (answer.state, self.report) {
            // It was told already, and the answer was lost.
            (Some(state), Some(report)) if report.is_last() && state.status == report.status() => {
                self.told(Event::Told)
            }
            (Some(state), _) if state.status.is_terminal() => self.over(Some(state.status)),
            _ if gone => self.over(None),
            (Some(state), Some(_)) if state.version != version => {
                self.adopt(state.version);
                // Again at once, as one of the attempts.
                self.timer.expire(now);
                Event::Nothing
            }
            _ => self.told(Event::NotTaken),
        }
    }

    fn next_changed<'m>(&mut self, answer: &Answer<'_>) -> Event<'m> {
        match (&self.job, answer.execution) {
            (Some(job), Some(next)) if next.job_id == job.id() => {}
            // Ours would be the next one, if it was still there. But the notice can be an old one.
            (Some(_), _) => self.check = true,
            (None, Some(_)) if !self.ask => return Event::Changed,
            (None, _) => {}
        }
        Event::Nothing
    }

    fn adopt(&mut self, version: u32) {
        if let Some(job) = &mut self.job {
            job.version = version;
        }
    }

    /// Nothing more is to be said about the report.
    fn told<'m>(&mut self, event: fn(Report) -> Event<'m>) -> Event<'m> {
        self.pending = None;
        self.outdated = false;
        let Some(report) = self.report.take() else {
            return Event::Nothing;
        };
        if report.is_last() {
            self.forget();
        }
        event(report)
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
        self.outdated = false;
        self.pending = None;
    }
}

/// A number as text.
fn decimal(number: u32, digits: &mut [u8; 10]) -> &str {
    let mut sink = Buffer::new(digits);
    sink.put_decimal(number);
    let digits = sink.finish().unwrap_or_default();
    core::str::from_utf8(digits).unwrap_or_default()
}
