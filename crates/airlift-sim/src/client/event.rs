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
    /// The device is connected to an MQTT server.
    Connected {
        /// Its address.
        server: String,
        /// Who the device is there.
        thing: String,
        /// Version that runs.
        version: String,
    },
    /// The connection to the server is tried again, because something depends on it.
    TryingAgain {
        /// After so many seconds.
        seconds: u64,
        /// Why.
        message: String,
    },
    /// There is no job.
    NoJob,
    /// There is a job.
    Job {
        /// Its identifier.
        job: String,
        /// Bytes of its files.
        size: u32,
    },
    /// The server is told how a job goes.
    JobTold {
        /// Its identifier.
        job: String,
        /// `IN_PROGRESS`, `SUCCEEDED`, `FAILED`, `REJECTED`.
        status: String,
        /// The details.
        details: String,
    },
    /// A job is over, and not by what the device did: it was canceled, it has timed out, or it was deleted.
    JobOver {
        /// Its identifier.
        job: String,
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
    /// Somebody ordered an update from an address.
    Ordered {
        /// The address.
        url: String,
        /// The partition that it is for; `None`: an app.
        partition: Option<String>,
    },
    /// The device asks the server for the data of a partition.
    PartitionNotify {
        /// The partition.
        partition: String,
        /// It has this many bytes already and asks for the rest.
        resume_at: Option<u32>,
        /// What it tells of the partition's last update.
        report: Option<&'static str>,
    },
    /// The server has nothing new for a partition.
    PartitionUpToDate {
        /// The partition.
        partition: String,
    },
    /// There is new content for a partition, and the update begins.
    PartitionOffered {
        /// The partition.
        partition: String,
        /// Its version, if it is known.
        version: Option<String>,
        /// Its length in bytes.
        size: u32,
        /// The first byte that is wanted: 0, or where the update stopped before.
        offset: u32,
    },
    /// The old content of a partition was copied away, and the copy was verified.
    PartitionSaved {
        /// The partition.
        partition: String,
        /// Bytes that were copied.
        bytes: u32,
    },
    /// More of a partition's new content has arrived.
    PartitionProgress {
        /// The partition.
        partition: String,
        /// Bytes that are there.
        at: u32,
        /// Bytes that it has.
        size: u32,
    },
    /// A partition holds its new content.
    PartitionUpdated {
        /// The partition.
        partition: String,
        /// The version, if it is known.
        version: Option<String>,
        /// SHA-256 of the content.
        sha256: String,
    },
    /// The new content of a partition was no good, or was given up, and the old one was put back.
    PartitionRestored {
        /// The partition.
        partition: String,
        /// The cause as one word, as it is told to the server.
        reason: String,
        /// The cause for people.
        message: String,
    },
    /// New content for a partition was refused.
    PartitionRefused {
        /// The partition.
        partition: String,
        /// The cause as one word, as it is told to the server.
        reason: String,
        /// The cause for people.
        message: String,
        /// The partition holds its old content.
        whole: bool,
    },
    /// At boot, an interrupted update of a partition was undone, or finished.
    PartitionRecovered {
        /// The partition.
        partition: String,
        /// What it holds: `old` content or `new`.
        content: &'static str,
    },
    /// At boot, a partition is not whole: its update was interrupted.
    PartitionDamaged {
        /// The partition.
        partition: String,
        /// Bytes of the new content that are durable.
        durable: u32,
        /// Bytes that the new content has.
        size: u32,
        /// There is a copy of the old content.
        copy: bool,
    },
    /// The server knows how the last update of a partition ended.
    PartitionReported {
        /// The partition.
        partition: String,
        /// What it was told.
        state: &'static str,
    },
    /// Step one of two: the app to come works with these data.
    DataPlanned {
        /// Name of the data's release.
        name: String,
        /// Their version.
        version: String,
        /// Their length in bytes.
        size: u32,
    },
    /// At boot, the app knows that its data are not there.
    DataMissing {
        /// Their version.
        version: String,
        /// Their length in bytes.
        size: u32,
        /// Where to get them.
        source: String,
        /// Bytes that are durable.
        durable: u32,
    },
    /// Step two of two: the data are in the other slot.
    DataPresent {
        /// Name of the data's release.
        name: String,
        /// Their version.
        version: String,
        /// Their SHA-256.
        sha256: String,
    },
    /// A part of a set is whole where it waits; nothing in use has changed.
    SetPartStaged {
        /// Its tag in the image.
        tag: u32,
        /// What the tag stands for: `application`, `custom`, ...
        content: &'static str,
        /// Its length in bytes, with what describes it.
        size: u32,
        /// The device had it in use before, so that it was not fetched, and is not applied.
        was_there: bool,
    },
    /// All of an image is there, and some of it was before the download: it was not fetched.
    SetPassedOver {
        /// So many bytes.
        bytes: u32,
    },
    /// All parts of a set are in place, but the app, which waits to be tried.
    SetApplied {
        /// Its version, as it was offered.
        version: String,
    },
    /// At boot, a set was found that was being applied, or undone.
    SetRecovered {
        /// Where it is taken: to `old` content or `new`.
        content: &'static str,
    },
    /// All parts of a set are in place, and stay.
    SetDone {
        /// Its version, as it was offered.
        version: String,
        /// The software version that the device has now.
        software_version: u32,
    },
    /// A set did not stay: all of its parts are what they were before.
    SetUndone {
        /// The cause as one word, as it is told to the server.
        reason: String,
    },
    /// Some parts of an image were applied, in sequence, and some were not.
    SetFailed {
        /// The cause as one word, as it is told to the server.
        reason: String,
    },
    /// An image was refused; nothing that is in use was touched.
    SetRefused {
        /// The part that it is about, if it is about one.
        tag: Option<u32>,
        /// Bytes of the payload that had been taken.
        offset: Option<u64>,
        /// The cause as one word.
        reason: String,
        /// The cause for people.
        message: String,
    },
}

impl Event {
    /// Of [`SetRefused`](Self::SetRefused): tag, place and cause in one line, for people.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let Self::SetRefused {
            tag,
            offset,
            reason,
            message,
        } = self
        else {
            return None;
        };
        let tag = tag.map(|tag| format!("tag {tag}, ")).unwrap_or_default();
        let offset = offset.map(|offset| format!("payload offset {offset}: "));
        let offset = offset.unwrap_or_default();
        Some(format!("{tag}{offset}{message} ({reason})"))
    }
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
            Self::Connected {
                server,
                thing,
                version,
            } => write!(
                f,
                "notify    connected to {server} as {thing}, running version {version}"
            ),
            Self::TryingAgain { seconds, message } => {
                write!(f, "notify    {message}; again in {seconds} s")
            }
            Self::NoJob => f.write_str("notify    no job"),
            Self::Job { job, size } => write!(f, "notify    job {job}, {size} bytes"),
            Self::JobTold {
                job,
                status,
                details,
            } => write!(f, "report    job {job}: {status} {details}"),
            Self::JobOver { job } => {
                write!(
                    f,
                    "notify    job {job} is over: canceled, timed out or deleted"
                )
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
            Self::Ordered { url, partition } => match partition {
                Some(partition) => write!(f, "order     {partition} from {url}"),
                None => write!(f, "order     an app from {url}"),
            },
            Self::PartitionNotify {
                partition,
                resume_at,
                report,
            } => {
                write!(f, "notify    asks for the partition {partition}")?;
                if let Some(report) = report {
                    write!(f, ", reporting \"{report}\"")?;
                }
                match resume_at {
                    Some(at) => write!(f, ", wanting the rest from byte {at}"),
                    None => Ok(()),
                }
            }
            Self::PartitionUpToDate { partition } => {
                write!(f, "notify    nothing new for {partition}")
            }
            Self::PartitionOffered {
                partition,
                version,
                size,
                offset,
            } => {
                let version = version.as_deref().unwrap_or("of unknown version");
                write!(f, "download  {partition}: {version}, {size} bytes")?;
                match offset {
                    0 => Ok(()),
                    offset => write!(f, ", resumed at byte {offset}"),
                }
            }
            Self::PartitionSaved { partition, bytes } => write!(
                f,
                "save      {partition}: {bytes} bytes of old content copied away and verified"
            ),
            Self::PartitionProgress {
                partition,
                at,
                size,
            } => write!(f, "download  {partition}: {at} of {size} bytes"),
            Self::PartitionUpdated {
                partition, sha256, ..
            } => {
                let digest = sha256.get(..16).unwrap_or(sha256);
                write!(
                    f,
                    "update    {partition} holds the new content, SHA-256 {digest}..."
                )
            }
            Self::PartitionRestored {
                partition,
                reason,
                message,
            } => write!(
                f,
                "restore   {partition} holds its old content again: {message} ({reason})"
            ),
            Self::PartitionRefused {
                partition,
                reason,
                message,
                whole,
            } => {
                write!(f, "refused   {partition}: {message} ({reason})")?;
                if *whole {
                    f.write_str("; its content is untouched")
                } else {
                    f.write_str("; it is not whole")
                }
            }
            Self::PartitionRecovered { partition, content } => {
                write!(
                    f,
                    "recover   {partition} is whole again, with its {content} content"
                )
            }
            Self::PartitionDamaged {
                partition,
                durable,
                size,
                ..
            } => write!(
                f,
                "damage    {partition} is not whole: {durable} of {size} bytes of its update are there"
            ),
            Self::PartitionReported { partition, state } => {
                write!(f, "report    the server knows of {partition}: {state}")
            }
            Self::DataPlanned {
                name,
                version,
                size,
            } => write!(
                f,
                "plan      the app works with {name} {version}, {size} bytes"
            ),
            Self::DataMissing {
                version,
                size,
                source,
                durable,
            } => write!(
                f,
                "data      missing: version {version}, {durable} of {size} bytes, from {source}"
            ),
            Self::DataPresent { name, version, .. } => {
                write!(f, "data      {name} {version} are in the other slot")
            }
            Self::SetPartStaged {
                tag,
                content,
                size,
                was_there,
            } => {
                let what = if *was_there { "keep  " } else { "stage " };
                write!(f, "{what}    tag {tag}, {content}, {size} bytes")
            }
            Self::SetPassedOver { bytes } => {
                write!(f, "download  {bytes} bytes were here, and were not fetched")
            }
            Self::SetApplied { version } => {
                write!(
                    f,
                    "apply     all parts of {version} are in place, its app is to be tried"
                )
            }
            Self::SetRecovered { content } => match *content {
                "new" => f.write_str("recover   the set that was interrupted is rolled forward"),
                _ => f.write_str("recover   the set that was interrupted is undone"),
            },
            Self::SetDone {
                version,
                software_version,
            } => write!(
                f,
                "set       all parts of {version} (software version {software_version}) are in place, and stay"
            ),
            Self::SetUndone { reason } => write!(
                f,
                "set       all parts are what they were before ({reason})"
            ),
            Self::SetFailed { reason } => {
                write!(f, "set       some parts are new, some are not ({reason})")
            }
            Self::SetRefused { .. } => {
                let refusal = self.refusal().unwrap_or_default();
                write!(f, "refused   {refusal}; nothing in use was touched")
            }
        }
    }
}
