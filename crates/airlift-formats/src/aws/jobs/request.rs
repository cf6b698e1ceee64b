//! What a device asks and tells.

use super::super::topic::is_name;
use super::super::{Fault, Format, MessageError, Sink, Text, emit::Emitter};
use super::{
    MAX_DETAIL_LEN, MAX_DETAIL_NAME_LEN, MAX_TIMEOUT_MINUTES, MAX_TOKEN_LEN, Piece, Status,
};

/// Asks for all jobs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetPending<'a> {
    /// Comes back with the answer: at most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<Text<'a>>,
}

/// Starts the next job; one that was started before is given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartNext<'a> {
    /// Details of the status.
    pub details: &'a [Detail<'a>],
    /// How long the job may stay as it is.
    pub step_timeout: Option<StepTimeout>,
    /// Comes back with the answer: at most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<Text<'a>>,
}

/// Asks what a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Describe<'a> {
    /// Which execution of the job; without it, the last one.
    pub execution_number: Option<u32>,
    /// Asks not to send the document.
    pub without_document: bool,
    /// Comes back with the answer: at most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<Text<'a>>,
}

/// Tells how a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// How it stands now. A service takes [`Status::InProgress`], [`Status::Succeeded`], [`Status::Failed`] and [`Status::Rejected`].
    pub status: Status,
    /// The version that the job must have, which is written as text, as the C library does.
    pub expected_version: Option<u32>,
    /// Details of the status. Those before are kept if there are none, and replaced otherwise.
    pub details: &'a [Detail<'a>],
    /// How long the job may stay as it is.
    pub step_timeout: Option<StepTimeout>,
    /// Asks for status and version in the answer.
    pub include_state: bool,
    /// Asks for the document in the answer.
    pub include_document: bool,
    /// Which execution of the job; without it, the last one.
    pub execution_number: Option<u32>,
    /// Comes back with the answer: at most [`MAX_TOKEN_LEN`] bytes.
    pub token: Option<Text<'a>>,
}

/// A detail of a status: a name and a text that is put together of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail<'a> {
    /// 1 to [`MAX_DETAIL_NAME_LEN`] of `A-Z a-z 0-9 : _ -`.
    pub name: &'a str,
    /// 1 to [`MAX_DETAIL_LEN`] bytes, without control characters.
    pub value: &'a [Piece<'a>],
}

/// How long a job may stay as it is, before the service gives it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepTimeout {
    /// So many minutes from now, 1 to [`MAX_TIMEOUT_MINUTES`].
    Minutes(u16),
    /// As long as it likes.
    Cancel,
}

impl<'a> Update<'a> {
    /// This status, and nothing else.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            expected_version: None,
            details: &[],
            step_timeout: None,
            include_state: false,
            include_document: false,
            execution_number: None,
            token: None,
        }
    }

    /// Writes the request. The order of the members is that of the C library.
    ///
    /// # Errors
    /// A detail, the time or the token may not be like that. Something may have been written already.
    pub fn emit<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), MessageError> {
        let mut emitter = Emitter::new(Format::Json, sink);
        emitter.open(None);
        emitter.text("status", self.status.name().into());
        if let Some(version) = self.expected_version {
            emitter.pieces("expectedVersion", &[Piece::Decimal(version)]);
        }
        emit_details(&mut emitter, self.details)?;
        emit_step_timeout(&mut emitter, self.step_timeout)?;
        if self.include_state {
            emitter.boolean("includeJobExecutionState", true);
        }
        if self.include_document {
            emitter.boolean("includeJobDocument", true);
        }
        if let Some(number) = self.execution_number {
            emitter.unsigned("executionNumber", number);
        }
        emit_end(&mut emitter, self.token)
    }
}

impl StartNext<'_> {
    /// Writes the request.
    ///
    /// # Errors
    /// A detail, the time or the token may not be like that. Something may have been written already.
    pub fn emit<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), MessageError> {
        let mut emitter = Emitter::new(Format::Json, sink);
        emitter.open(None);
        emit_details(&mut emitter, self.details)?;
        emit_step_timeout(&mut emitter, self.step_timeout)?;
        emit_end(&mut emitter, self.token)
    }
}

impl Describe<'_> {
    /// Writes the request.
    ///
    /// # Errors
    /// The token may not be like that. Something may have been written already.
    pub fn emit<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), MessageError> {
        let mut emitter = Emitter::new(Format::Json, sink);
        emitter.open(None);
        if let Some(number) = self.execution_number {
            emitter.unsigned("executionNumber", number);
        }
        if self.without_document {
            emitter.boolean("includeJobDocument", false);
        }
        emit_end(&mut emitter, self.token)
    }
}

impl GetPending<'_> {
    /// Writes the request.
    ///
    /// # Errors
    /// The token may not be like that. Something may have been written already.
    pub fn emit<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), MessageError> {
        let mut emitter = Emitter::new(Format::Json, sink);
        emitter.open(None);
        emit_end(&mut emitter, self.token)
    }
}

fn emit_details<S: Sink + ?Sized>(
    emitter: &mut Emitter<'_, S>,
    details: &[Detail<'_>],
) -> Result<(), MessageError> {
    if details.is_empty() {
        return Ok(());
    }
    emitter.name("statusDetails");
    emitter.open(None);
    for Detail { name, value } in details {
        if !is_name(name, MAX_DETAIL_NAME_LEN, true) {
            return Err(Fault::Content.of("statusDetails", 0));
        }
        let len: usize = value.iter().map(Piece::len).sum();
        if !(1..=MAX_DETAIL_LEN).contains(&len) {
            return Err(Fault::Length.of("statusDetails", 0));
        }
        let control = |piece: &Piece<'_>| matches!(piece, Piece::Text(text) if text.chars().any(char::is_control));
        if value.iter().any(control) {
            return Err(Fault::Content.of("statusDetails", 0));
        }
        emitter.pieces(name, value);
    }
    emitter.close(None);
    Ok(())
}

fn emit_step_timeout<S: Sink + ?Sized>(
    emitter: &mut Emitter<'_, S>,
    timeout: Option<StepTimeout>,
) -> Result<(), MessageError> {
    const NAME: &str = "stepTimeoutInMinutes";
    match timeout {
        None => {}
        Some(StepTimeout::Cancel) => emitter.literal(NAME, "-1"),
        Some(StepTimeout::Minutes(minutes @ 1..=MAX_TIMEOUT_MINUTES)) => {
            emitter.unsigned(NAME, minutes.into());
        }
        Some(StepTimeout::Minutes(_)) => return Err(Fault::Range.of(NAME, 0)),
    }
    Ok(())
}

/// The token, and the end of the message.
fn emit_end<S: Sink + ?Sized>(
    emitter: &mut Emitter<'_, S>,
    token: Option<Text<'_>>,
) -> Result<(), MessageError> {
    if let Some(token) = token {
        if token.len() > MAX_TOKEN_LEN {
            return Err(Fault::Length.of("clientToken", 0));
        }
        emitter.text("clientToken", token);
    }
    emitter.close(None);
    Ok(())
}
