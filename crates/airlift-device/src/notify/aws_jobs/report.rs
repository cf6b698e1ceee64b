//! What a device tells about its job.

use airlift_formats::aws::jobs::{Details, Status};
use airlift_formats::aws::{Buffer, Text};

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
    /// What is no app is there, whole and verified, and will be put in its place: `"state":"verified"`.
    Verified,
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
            Self::Receiving { .. } | Self::Verified | Self::Ready { .. } | Self::Active { .. } => {
                Status::InProgress
            }
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

    pub(super) fn describe(&self, details: &mut Details<'_, '_, Buffer<'_>>) {
        match *self {
            Self::Receiving {
                got,
                total,
                resumed,
            } => {
                details
                    .detail("receive")
                    .number(got)
                    .text("/")
                    .number(total);
                if resumed > 0 {
                    details.detail("resumed").number(resumed);
                }
            }
            Self::Verified => {
                details.detail("state").text("verified");
            }
            Self::Ready { version } => self_test(details, "ready", version),
            Self::Active { version } => self_test(details, "active", version),
            Self::Accepted { version, before } => {
                put_version(details.detail("reason").text("accepted  v"), version);
                put_version(details.detail("updatedBy").text("  v"), before);
            }
            Self::Done => {}
            Self::Rejected { code, cause } => failure(details, "rejected: ", code, cause),
            Self::Aborted { code, cause } => failure(details, "aborted: ", code, cause),
            Self::Declined { cause, field } => {
                details.detail("reason").text(cause);
                if !field.is_empty() {
                    details.detail("field").text(field);
                }
            }
        }
    }
}

fn self_test(details: &mut Details<'_, '_, Buffer<'_>>, state: &str, version: Version) {
    details.detail("self_test").text(state);
    details.detail("updatedBy").hex(version.to_number());
}

fn failure(details: &mut Details<'_, '_, Buffer<'_>>, kind: &str, code: u32, cause: &str) {
    details.detail("reason").text(kind).hex(code);
    details.detail("cause").text(cause);
}

fn put_version(detail: &mut Details<'_, '_, Buffer<'_>>, version: Version) {
    detail.number(version.major.into()).text(".");
    detail.number(version.minor.into()).text(".");
    detail.number(version.build.into());
}
