//! What can happen to a rollout.

use serde::{Deserialize, Serialize};

use crate::{Millis, Plan};

/// Something that happened, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// To which rollout.
    pub rollout: i64,
    /// When.
    pub at: Millis,
    /// Who did it: the id of a token. `None`: a device, or the server by the rules.
    pub by: Option<i64>,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Somebody ordered it.
    Created {
        /// What was ordered.
        plan: Plan,
    },
    /// Somebody else approved.
    Approved,
    /// Devices belong to it from now on.
    Joined {
        /// Their names.
        devices: Vec<Box<str>>,
    },
    /// The stages are made of the devices that have joined, and the first one opens.
    Started,
    /// The filter does not choose a device any more.
    Left {
        /// Its name.
        device: Box<str>,
    },
    /// A device was offered the release: from now on it is in an unfinished update.
    Offered {
        /// Its name.
        device: Box<str>,
    },
    /// A device said, or showed by what it runs, what became of the release.
    Reported {
        /// Its name.
        device: Box<str>,
        /// How it ended, if it did.
        outcome: Outcome,
    },
    /// A device asked and has no use for the release as things are.
    Skipped {
        /// Its name.
        device: Box<str>,
        /// The name of the rule, like `no-space`.
        why: Box<str>,
    },
    /// A device did not answer in time.
    TimedOut {
        /// Its name.
        device: Box<str>,
    },
    /// Somebody paused it.
    Paused,
    /// Somebody let it go on, after a pause or after it had stopped by itself: then the failures up to now do not count any more.
    Resumed,
    /// Somebody ended it for ever, or its release was withdrawn.
    Aborted,
    /// Somebody wants the devices that failed, or had no use for the release, to be offered it again.
    Retried,
}

/// How an update goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The device runs or holds the release.
    Confirmed,
    /// The device did not accept it.
    Refused,
    /// The device had installed it and went back.
    RolledBack,
    /// It did not work out for another reason.
    Failed,
    /// It broke off and will go on: not the end.
    Interrupted,
}

impl Outcome {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}
