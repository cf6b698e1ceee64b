//! What happens to a device, step by step.

use std::fmt;

use serde::Serialize;

/// A step of an update, or what came in between. As JSON: an object whose `event` is the name of the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case"
)]
#[non_exhaustive]
pub enum Event {
    /// The boot loader started an app.
    Booted {
        /// Its slot: `ota_0`, `factory`.
        slot: String,
        /// Its version.
        version: String,
        /// It has one boot to prove itself.
        trial: bool,
    },
    /// The device asks the server.
    Notify {
        /// Version that runs.
        version: String,
        /// It has this many bytes of an image already and asks for the rest.
        resume_at: Option<u32>,
        /// What it tells of the last update: `confirmed`, `refused`, ...
        report: Option<&'static str>,
    },
    /// The server has nothing new.
    UpToDate,
    /// The server asks to come back later.
    Later {
        /// Its status code.
        status: u16,
        /// Seconds to wait, if it says so.
        retry_after: Option<u32>,
    },
    /// The server offers an image, and the device begins to download.
    Offered {
        /// Version of the image, if the server says so.
        version: Option<String>,
        /// Its length in bytes.
        size: u32,
        /// The first byte that is wanted: 0, or where the download stopped before.
        offset: u32,
    },
    /// More of the image has arrived.
    Progress {
        /// Bytes that are there.
        at: u32,
        /// Bytes that the image has.
        size: u32,
    },
    /// All bytes are there; the image is read back and checked.
    Verifying,
    /// The image is whole and for this device; nothing has been changed so far but the passive slot.
    Verified {
        /// Its SHA-256.
        sha256: String,
    },
    /// The boot selection names the new image, for one trial.
    Installed {
        /// The slot that it is in.
        slot: String,
    },
    /// The device restarts.
    Restarting,
    /// The new image runs, found itself good, and stays.
    Confirmed {
        /// Its version.
        version: String,
    },
    /// The new image runs and found itself bad: the next boot goes back.
    Rejected {
        /// Its version.
        version: String,
    },
    /// The update was given up; the image before it runs.
    RolledBack {
        /// Version that runs.
        version: String,
        /// The new image had run.
        started: bool,
    },
    /// The image was refused; what runs is untouched.
    Refused {
        /// The cause as one word, as it is told to the server.
        reason: String,
        /// The cause for people.
        message: String,
    },
    /// The connection ended in mid-download; what is durable is not fetched again.
    Interrupted {
        /// Bytes that are durable.
        durable: u32,
        /// What happened.
        message: String,
    },
    /// The power failed.
    PowerCut {
        /// What the flash was doing.
        message: String,
    },
    /// The server knows how the last update ended.
    Reported {
        /// What it was told.
        state: &'static str,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted {
                slot,
                version,
                trial,
            } => {
                let trial = if *trial { ", on trial" } else { "" };
                write!(f, "boot      {slot} starts version {version}{trial}")
            }
            Self::Notify {
                version,
                resume_at,
                report,
            } => {
                write!(f, "notify    asks the server, running version {version}")?;
                if let Some(report) = report {
                    write!(f, ", reporting \"{report}\"")?;
                }
                match resume_at {
                    Some(at) => write!(f, ", wanting the rest from byte {at}"),
                    None => Ok(()),
                }
            }
            Self::UpToDate => f.write_str("notify    nothing new"),
            Self::Later {
                status,
                retry_after,
            } => {
                write!(f, "notify    the server is busy (status {status})")?;
                match retry_after {
                    Some(seconds) => write!(f, ", come back in {seconds} s"),
                    None => Ok(()),
                }
            }
            Self::Offered {
                version,
                size,
                offset,
            } => {
                let version = version.as_deref().unwrap_or("of unknown version");
                write!(f, "download  {version}, {size} bytes")?;
                match offset {
                    0 => Ok(()),
                    offset => write!(f, ", resumed at byte {offset}"),
                }
            }
            Self::Progress { at, size } => write!(f, "download  {at} of {size} bytes"),
            Self::Verifying => f.write_str("verify    reading the image back from flash"),
            Self::Verified { sha256 } => {
                let digest = sha256.get(..16).unwrap_or(sha256);
                write!(f, "verify    good, SHA-256 {digest}...")
            }
            Self::Installed { slot } => {
                write!(f, "install   {slot} is selected for one trial boot")
            }
            Self::Restarting => f.write_str("restart"),
            Self::Confirmed { version } => {
                write!(f, "confirm   version {version} works and stays")
            }
            Self::Rejected { version } => {
                write!(f, "reject    version {version} does not work, going back")
            }
            Self::RolledBack { version, started } => {
                let why = if *started {
                    "did not confirm itself"
                } else {
                    "never started"
                };
                write!(
                    f,
                    "roll back the new image {why}; version {version} runs again"
                )
            }
            Self::Refused { reason, message } => write!(f, "refused   {message} ({reason})"),
            Self::Interrupted { durable, message } => {
                write!(f, "broken    {message}; {durable} bytes are safe in flash")
            }
            Self::PowerCut { message } => write!(f, "power cut {message}"),
            Self::Reported { state } => write!(f, "report    the server knows: {state}"),
        }
    }
}
