//! What a device asks and tells.

use super::super::topic::is_name;
use super::super::{Fault, Format, MessageError, Sink, emit::Emitter};
use super::{MAX_DETAIL_LEN, MAX_DETAIL_NAME_LEN, MAX_TIMEOUT_MINUTES, MAX_TOKEN_LEN, Status};

/// What a device asks and tells. The topic says which request it is, and which of the members have a meaning:
///
/// | request | members |
/// |---|---|
/// | which jobs are there? | token |
/// | start the next one | details, `step_timeout`, token |
/// | what is this job? | `execution_number`, `include_document` (without it, it is included), token |
/// | how a job goes | all; `status` must be there |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request<'a> {
    /// How the job stands. A service takes [`Status::InProgress`], [`Status::Succeeded`], [`Status::Failed`] and [`Status::Rejected`].
    pub status: Option<Status>,
    /// The version that the job must have, which is written as text, as the C library does.
    pub expected_version: Option<u32>,
    /// How long the job may stay as it is.
    pub step_timeout: Option<StepTimeout>,
    /// Asks for status and version in the answer.
    pub include_state: Option<bool>,
    /// Asks for the document in the answer.
    pub include_document: Option<bool>,
    /// Which execution of the job; without it, the last one.
    pub execution_number: Option<u32>,
    /// Comes back with the answer: at most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<&'a str>,
}

/// How long a job may stay as it is, before the service gives it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepTimeout {
    /// So many minutes from now, 1 to [`MAX_TIMEOUT_MINUTES`].
    Minutes(u16),
    /// As long as it likes.
    Cancel,
}

impl Request<'_> {
    /// Tells that the job stands like this, and nothing else.
    #[must_use]
    pub fn update(status: Status) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// Writes the request, with the details that `describe` puts in: names and texts, which replace those of before. If it puts
    /// none, these are kept. The order of the members is that of the C library.
    ///
    /// # Errors
    /// A detail, the time or the token may not be like that. Something may have been written already.
    pub fn emit<S: Sink + ?Sized>(
        &self,
        sink: &mut S,
        describe: impl FnOnce(&mut Details<'_, '_, S>),
    ) -> Result<(), MessageError> {
        let mut emitter = Emitter::new(Format::Json, sink);
        emitter.open(None);
        if let Some(status) = self.status {
            emitter.plain_text("status", status.name());
        }
        if let Some(version) = self.expected_version {
            emitter.name("expectedVersion");
            emitter.quote();
            emitter.decimal(version);
            emitter.quote();
        }
        let mut details = Details {
            emitter: &mut emitter,
            begun: false,
            len: 0,
            fault: None,
        };
        describe(&mut details);
        details.finish()?;
        match self.step_timeout {
            None => {}
            Some(StepTimeout::Cancel) => emitter.literal("stepTimeoutInMinutes", "-1"),
            Some(StepTimeout::Minutes(minutes)) => {
                if !(1..=MAX_TIMEOUT_MINUTES).contains(&minutes) {
                    return Err(Fault::Range.of("stepTimeoutInMinutes", 0));
                }
                emitter.unsigned("stepTimeoutInMinutes", minutes.into());
            }
        }
        for (name, value) in [
            ("includeJobExecutionState", self.include_state),
            ("includeJobDocument", self.include_document),
        ] {
            if let Some(value) = value {
                emitter.literal(name, if value { "true" } else { "false" });
            }
        }
        if let Some(number) = self.execution_number {
            emitter.unsigned("executionNumber", number);
        }
        if let Some(token) = self.token {
            if token.len() > MAX_TOKEN_LEN {
                return Err(Fault::Length.of("clientToken", 0));
            }
            emitter.plain_text("clientToken", token);
        }
        emitter.close(None);
        Ok(())
    }
}

/// The details of a status while they are written: each has a name, and a text that is put together of pieces.
///
/// ```
/// use airlift_formats::aws::jobs::{Request, Status};
///
/// let mut message = Vec::new();
/// Request::update(Status::InProgress).emit(&mut message, |details| {
///     details.detail("receive").number(3).text("/").number(40);
/// })?;
/// assert_eq!(message, br#"{"status":"IN_PROGRESS","statusDetails":{"receive":"3/40"}}"#);
/// # Ok::<(), airlift_formats::aws::MessageError>(())
/// ```
pub struct Details<'e, 's, S: ?Sized> {
    emitter: &'e mut Emitter<'s, S>,
    begun: bool,
    /// Bytes of the present text.
    len: usize,
    fault: Option<Fault>,
}

impl<S: Sink + ?Sized> Details<'_, '_, S> {
    /// Starts a detail: 1 to [`MAX_DETAIL_NAME_LEN`] of `A-Z a-z 0-9 : _ -`. Its text follows: 1 to [`MAX_DETAIL_LEN`] bytes, without
    /// control characters.
    pub fn detail(&mut self, name: &str) -> &mut Self {
        if !is_name(name, MAX_DETAIL_NAME_LEN, true) {
            self.fault = Some(Fault::Content);
        }
        if self.begun {
            self.end();
        } else {
            self.emitter.name("statusDetails");
            self.emitter.open(None);
        }
        self.begun = true;
        self.len = 0;
        self.emitter.name(name);
        self.emitter.quote();
        self
    }

    /// A piece of the text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        if text.chars().any(char::is_control) {
            self.fault = Some(Fault::Content);
        }
        self.len += text.len();
        self.emitter.escaped(text);
        self
    }

    /// A number in decimal.
    pub fn number(&mut self, number: u32) -> &mut Self {
        self.len += 1;
        self.emitter.decimal(number);
        self
    }

    /// A number as `0x` and 8 hexadecimal digits.
    pub fn hex(&mut self, number: u32) -> &mut Self {
        self.len += 1;
        self.emitter.hex(number);
        self
    }

    /// The present text ends.
    fn end(&mut self) {
        if !(1..=MAX_DETAIL_LEN).contains(&self.len) {
            self.fault = Some(Fault::Length);
        }
        self.emitter.quote();
    }

    fn finish(mut self) -> Result<(), MessageError> {
        if self.begun {
            self.end();
            self.emitter.close(None);
        }
        match self.fault {
            Some(fault) => Err(fault.of("statusDetails", 0)),
            None => Ok(()),
        }
    }
}
