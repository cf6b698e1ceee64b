//! What a device tells about its job.

use airlift_formats::aws::jobs::{Detail, Piece, Status, StepTimeout, Update};
use airlift_formats::aws::{Buffer, MessageError, Text};

/// How the present job goes. The details are those of the older FreeRTOS OTA agent, so that what was made for it understands them; those that
/// it does not have are further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// So many blocks are there: `"receive":"got/total"`. `resumed`: of these, so many bytes from before a restart, as `"resumed"`.
    Receiving {
        /// Blocks that are there.
        got: u32,
        /// Blocks in all.
        total: u32,
        /// Bytes that had come before a restart.
        resumed: u32,
    },
    /// The image is there, whole and verified, and will be tried: `"self_test":"ready"`, with the version that runs now.
    Ready {
        /// The version that runs now.
        version: Version,
    },
    /// The new app runs, on trial: `"self_test":"active"`, with its version.
    Active {
        /// The version that runs now.
        version: Version,
    },
    /// The new app runs, and stays: SUCCEEDED, `"reason":"accepted  v1.2.3"`.
    Accepted {
        /// The version that runs now.
        version: Version,
        /// The version before.
        before: Version,
    },
    /// What was not an app is in place: SUCCEEDED.
    Done,
    /// The image was refused, or did not stay: FAILED, `"reason":"rejected: 0x00000006"`, and the cause as a word.
    Rejected {
        /// The cause as a number: that of [`Refusal::code`](crate::Refusal::code), or one of the application's.
        code: u32,
        /// The cause as a word.
        cause: &'static str,
    },
    /// It could not be fetched: FAILED, `"reason":"aborted: 0x00000006"`, and the cause as a word.
    Aborted {
        /// The cause as a number: that of [`StreamError::code`](crate::download::aws_stream::StreamError::code), or one of the application's.
        code: u32,
        /// The cause as a word.
        cause: &'static str,
    },
    /// The device does not do this job: REJECTED, with the field of the document that is the reason, if there is one.
    Declined {
        /// The cause as a word.
        cause: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// The version of an app, as FreeRTOS has it: major, minor and build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First.
    pub major: u8,
    /// Second.
    pub minor: u8,
    /// Third.
    pub build: u16,
}

impl Version {
    /// As one number: major in the highest byte.
    #[must_use]
    pub const fn to_number(self) -> u32 {
        (self.major as u32) << 24 | (self.minor as u32) << 16 | self.build as u32
    }

    /// From [`to_number`](Self::to_number).
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self {
            major: (number >> 24) as u8,
            minor: (number >> 16) as u8,
            build: number as u16,
        }
    }

    /// From the detail `updatedBy`: `0x` and up to 8 hexadecimal digits.
    #[must_use]
    pub fn from_detail(text: Text<'_>) -> Option<Self> {
        let digits = text.as_str()?.strip_prefix("0x")?;
        if !(1..=8).contains(&digits.len()) {
            return None;
        }
        let mut number = 0;
        for digit in digits.chars() {
            number = number << 4 | digit.to_digit(16)?;
        }
        Some(Self::from_number(number))
    }
}

impl Report {
    /// How the job stands with it.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Receiving { .. } | Self::Ready { .. } | Self::Active { .. } => Status::InProgress,
            Self::Accepted { .. } | Self::Done => Status::Succeeded,
            Self::Rejected { .. } | Self::Aborted { .. } => Status::Failed,
            Self::Declined { .. } => Status::Rejected,
        }
    }

    /// Whether the job ends with it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.status().is_terminal()
    }

    /// Whether no harm is done if it is lost.
    #[must_use]
    pub const fn is_progress(&self) -> bool {
        matches!(self, Self::Receiving { .. } | Self::Active { .. })
    }

    pub(super) fn emit(
        &self,
        version: u32,
        step_timeout: Option<StepTimeout>,
        token: Text<'_>,
        sink: &mut Buffer<'_>,
    ) -> Result<(), MessageError> {
        let details = self.details();
        let details = details
            .each_ref()
            .map(|(name, value)| Detail { name, value });
        // Those without a name are behind the others.
        let used = details.iter().take_while(|detail| !detail.name.is_empty());
        let update = Update {
            expected_version: Some(version),
            details: details.get(..used.count()).unwrap_or_default(),
            step_timeout: step_timeout.filter(|_| !self.is_last()),
            token: Some(token),
            ..Update::new(self.status())
        };
        update.emit(sink)
    }

    /// Names and values of the details; those that there are not have no name.
    fn details(&self) -> [(&'static str, [Piece<'static>; 6]); 2] {
        use Piece::{Decimal, Hex};
        const NO: Piece<'static> = Piece::Text("");
        const NONE: (&str, [Piece<'static>; 6]) = ("", [NO; 6]);
        let text = |name, text| (name, [Piece::Text(text), NO, NO, NO, NO, NO]);
        let failure = |kind, code, cause| {
            let reason = [Piece::Text(kind), Hex(code), NO, NO, NO, NO];
            [("reason", reason), text("cause", cause)]
        };
        let self_test = |state, version: Version| {
            let number = [Hex(version.to_number()), NO, NO, NO, NO, NO];
            [text("self_test", state), ("updatedBy", number)]
        };
        let is = |name, before, version: Version| {
            let dot = Piece::Text(".");
            let (major, minor) = (Decimal(version.major.into()), Decimal(version.minor.into()));
            let build = Decimal(version.build.into());
            (name, [Piece::Text(before), major, dot, minor, dot, build])
        };
        match *self {
            Self::Receiving {
                got,
                total,
                resumed,
            } => {
                let receive = [Decimal(got), Piece::Text("/"), Decimal(total), NO, NO, NO];
                let resumed = match resumed {
                    0 => NONE,
                    _ => ("resumed", [Decimal(resumed), NO, NO, NO, NO, NO]),
                };
                [("receive", receive), resumed]
            }
            Self::Ready { version } => self_test("ready", version),
            Self::Active { version } => self_test("active", version),
            Self::Accepted { version, before } => [
                is("reason", "accepted  v", version),
                is("updatedBy", "  v", before),
            ],
            Self::Done => [NONE; 2],
            Self::Rejected { code, cause } => failure("rejected: ", code, cause),
            Self::Aborted { code, cause } => failure("aborted: ", code, cause),
            Self::Declined { cause, field: "" } => [text("reason", cause), NONE],
            Self::Declined { cause, field } => [text("reason", cause), text("field", field)],
        }
    }
}
