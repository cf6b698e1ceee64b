//! One device of a rollout.

use crate::Millis;
use crate::event::Outcome;

/// A device that belongs to a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub(super) stage: usize,
    pub(super) state: MemberState,
    /// What went wrong with it was looked at by a person, who let the rollout go on.
    pub(super) forgiven: bool,
    /// 1, and 1 more for each time that somebody wanted it tried again.
    pub(super) attempt: u32,
    pub(super) since: Millis,
}

/// How far a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberState {
    /// It was not offered the release yet.
    Waiting,
    /// It is in an unfinished update.
    Offered,
    /// It runs, or holds, the release.
    Confirmed,
    /// It did not work out: refused, rolled back, or failed.
    Failed(Outcome),
    /// It has not answered for too long. If it comes again, it is offered the release again.
    TimedOut,
    /// It asked and had no use for the release, for the reason of this name. If it asks again, it is looked at again.
    Skipped(Box<str>),
    /// The filter does not choose it any more.
    Left,
}

impl MemberState {
    /// The name in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered => "offered",
            Self::Confirmed => "confirmed",
            Self::Failed(outcome) => outcome.as_str(),
            Self::TimedOut => "timed-out",
            Self::Skipped(_) => "skipped",
            Self::Left => "left",
        }
    }

    /// What went wrong, or did not come to anything: what a retry is about.
    #[must_use]
    pub fn went_wrong(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut | Self::Skipped(_))
    }
}

/// Where a device is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    Waiting,
    Offered,
    Confirmed,
    Failed,
    TimedOut,
    Forgiven,
    Skipped,
    Left,
}

impl Member {
    pub(super) fn new(stage: usize, since: Millis) -> Self {
        Self {
            stage,
            state: MemberState::Waiting,
            forgiven: false,
            attempt: 1,
            since,
        }
    }

    /// Index of its stage.
    #[must_use]
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> &MemberState {
        &self.state
    }

    /// Since when it is that far; of a device in an update, since it was last heard of it.
    #[must_use]
    pub fn since(&self) -> Millis {
        self.since
    }

    /// 1, and 1 more for each time that somebody wanted it tried again.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) fn may_be_offered(&self) -> bool {
        match self.state {
            MemberState::Waiting
            | MemberState::Offered
            | MemberState::TimedOut
            | MemberState::Skipped(_) => true,
            MemberState::Confirmed | MemberState::Failed(_) | MemberState::Left => false,
        }
    }

    pub(super) fn enter(&mut self, state: MemberState, at: Millis) {
        self.state = state;
        self.since = at;
    }

    pub(super) fn bucket(&self) -> Bucket {
        match self.state {
            MemberState::Failed(_) | MemberState::TimedOut | MemberState::Skipped(_)
                if self.forgiven =>
            {
                Bucket::Forgiven
            }
            MemberState::Waiting => Bucket::Waiting,
            MemberState::Offered => Bucket::Offered,
            MemberState::Confirmed => Bucket::Confirmed,
            MemberState::Failed(_) => Bucket::Failed,
            MemberState::TimedOut => Bucket::TimedOut,
            MemberState::Skipped(_) => Bucket::Skipped,
            MemberState::Left => Bucket::Left,
        }
    }
}
