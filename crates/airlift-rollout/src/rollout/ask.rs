//! Whether a device may have the release now.

use std::fmt;

use super::{Hold, MemberState, Rollout, StopReason};
use crate::Millis;
use crate::event::Outcome;

/// In which span the rate is counted, in milliseconds.
const RATE_SPAN: i64 = 60_000;

/// How a device asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask {
    /// It wants the rest of what it has begun to receive: the window is about beginnings.
    pub continues: bool,
}

/// What a rollout has for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The release, now.
    Offer(Offer),
    /// The release, later.
    Wait(Wait),
    /// Nothing.
    No(No),
}

/// The device may have the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// It begins an update: to be told as [`Event::Offered`](crate::Event::Offered). Otherwise it is in one.
    pub is_first: bool,
    /// 1, and 1 more for each time that somebody wanted it tried again.
    pub attempt: u32,
}

/// Why a device must wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Somebody must approve first.
    Approval,
    /// It starts then; `None`: in a moment.
    Start(Option<Millis>),
    /// A person has paused it.
    Paused,
    /// It has stopped by itself.
    Stopped(StopReason),
    /// Its stage is not open.
    Stage {
        /// Index of its stage.
        of: usize,
        /// Index of the last one that is open.
        open: usize,
    },
    /// It is in an unfinished update of this other rollout.
    Busy(i64),
    /// The window is closed, and opens then.
    Window(Option<Millis>),
    /// As many devices as may were offered it in the last minute. There is room then.
    Rate(Millis),
}

/// Why a device gets nothing from a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum No {
    /// It does not belong to it.
    Outside,
    /// The rollout was aborted.
    Aborted,
    /// It has confirmed.
    Confirmed,
    /// It has failed. Somebody can have it tried again.
    Failed(Outcome),
}

impl Verdict {
    /// The name in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::Wait(_) => "wait",
            Self::No(_) => "no",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offer(offer) if offer.is_first => f.write_str("it is this device's turn"),
            Self::Offer(_) => f.write_str("the device is in this update"),
            Self::Wait(why) => why.fmt(f),
            Self::No(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval => f.write_str("somebody else must approve the rollout first"),
            Self::Start(Some(at)) => write!(f, "the rollout starts at {at}"),
            Self::Start(None) => f.write_str("the rollout starts in a moment"),
            Self::Paused => f.write_str("the rollout is paused"),
            Self::Stopped(why) => write!(f, "the rollout has stopped by itself: {why}"),
            Self::Stage { of, open } => write!(
                f,
                "the device is in stage {}, and stage {} is open",
                of + 1,
                open + 1
            ),
            Self::Busy(rollout) => {
                write!(
                    f,
                    "the device is in an unfinished update of rollout {rollout}"
                )
            }
            Self::Window(Some(opens)) => write!(f, "the window is closed until {opens}"),
            Self::Window(None) => f.write_str("the window is closed"),
            Self::Rate(until) => write!(
                f,
                "as many devices as the rate allows were offered the release in the last minute; there is room at {until}"
            ),
        }
    }
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside => f.write_str("the device does not belong to the rollout"),
            Self::Aborted => f.write_str("the rollout was aborted"),
            Self::Confirmed => f.write_str("the device has confirmed the release"),
            Self::Failed(outcome) => write!(
                f,
                "the device has reported {} and is tried again only when somebody says so",
                outcome.as_str()
            ),
        }
    }
}

impl Rollout {
    /// Whether this device may have the release now. `busy`: the rollout in which it has an unfinished update.
    pub(crate) fn ask(&self, device: &str, ask: Ask, busy: Option<i64>, now: Millis) -> Verdict {
        match self.consider(device, ask, busy, now) {
            Ok(offer) => Verdict::Offer(offer),
            Err(other) => other,
        }
    }

    fn consider(
        &self,
        device: &str,
        ask: Ask,
        busy: Option<i64>,
        now: Millis,
    ) -> Result<Offer, Verdict> {
        let wait = |why| Err(Verdict::Wait(why));
        let no = |why| Err(Verdict::No(why));
        if self.aborted_at.is_some() {
            return no(No::Aborted);
        }
        if self.started_at.is_none() {
            return wait(match self.hold {
                Some(_) => Wait::Paused,
                None if self.needs_approval() => Wait::Approval,
                None => Wait::Start(self.plan.start_at),
            });
        }
        let Some(member) = self.members.get(device) else {
            return no(No::Outside);
        };
        match member.state {
            MemberState::Left => return no(No::Outside),
            MemberState::Confirmed => return no(No::Confirmed),
            MemberState::Failed(outcome) => return no(No::Failed(outcome)),
            MemberState::Waiting
            | MemberState::Offered
            | MemberState::TimedOut
            | MemberState::Skipped(_) => {}
        }
        match self.hold {
            Some(Hold::Paused) => return wait(Wait::Paused),
            Some(Hold::Stopped(why)) => return wait(Wait::Stopped(why)),
            None => {}
        }
        if member.stage > self.open {
            let (of, open) = (member.stage, self.open);
            return wait(Wait::Stage { of, open });
        }
        if let Some(other) = busy.filter(|busy| *busy != self.id) {
            return wait(Wait::Busy(other));
        }
        let is_first = member.state != MemberState::Offered;
        let begins = is_first || !ask.continues;
        if let Some(window) = self.plan.window.as_ref().filter(|_| begins)
            && !window.is_open(now)
        {
            return wait(Wait::Window(window.next_opening(now)));
        }
        if let Some(until) = self.full_until().filter(|until| is_first && *until > now) {
            return wait(Wait::Rate(until));
        }
        Ok(Offer {
            is_first,
            attempt: member.attempt,
        })
    }

    /// When the rate allows one more. `None`: now, by this.
    fn full_until(&self) -> Option<Millis> {
        let rate = usize::try_from(self.plan.per_minute?).ok()?;
        let first = self.recent.front().filter(|_| self.recent.len() >= rate)?;
        Some(Millis(first.0.saturating_add(RATE_SPAN)))
    }
}
