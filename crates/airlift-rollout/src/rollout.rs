//! One rollout: what has happened to it, folded, and what may happen next.
//!
//! ```text
//!                approved        started                      all devices have ended
//!  waiting ----> scheduled ----> running <----------------------> finished
//!  for approval                  |     ^      a device joins, or failed ones are tried again
//!                        paused, |     | resumed
//!                        by a person,  |
//!                        or stopped by itself
//!                                                            aborted: from everywhere, for ever
//! ```
//!
//! The fold is total: an event that makes no sense as things are changes nothing. So whatever stands in a log, no device outside
//! is offered anything, no aborted rollout offers, and no stage is entered before its time. The rate and the window are not the
//! fold's: they decide about the moment, and are looked at when a device [asks](crate::Board::ask).

mod ask;
mod member;
mod stage;

use std::collections::{HashMap, VecDeque};
use std::fmt;

pub use ask::{Ask, No, Offer, Verdict, Wait};
pub use member::{Member, MemberState};
pub use stage::{Counts, Stage};

use crate::event::{Event, Outcome, Record};
use crate::{Millis, Plan};
use member::Bucket;

/// One rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    id: i64,
    plan: Plan,
    created_at: Millis,
    created_by: Option<i64>,
    approved_by: Option<i64>,
    started_at: Option<Millis>,
    hold: Option<Hold>,
    aborted_at: Option<Millis>,
    members: HashMap<Box<str>, Member>,
    /// None before the start; then one at least.
    stages: Vec<Stage>,
    /// Index of the last one that is open.
    open: usize,
    /// When devices were offered the release: as many as the rate needs.
    recent: VecDeque<Millis>,
}

/// Why nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Paused,
    Stopped(StopReason),
}

/// Why a rollout has stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Too many percent of this stage's devices have failed.
    FailurePercent {
        /// Index of the stage.
        stage: usize,
    },
    /// Too many devices have failed in all.
    FailureCount,
    /// All devices of this stage have ended, and not enough of them have confirmed.
    SuccessMissed {
        /// Index of the stage.
        stage: usize,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailurePercent { stage } => {
                write!(f, "too many devices of stage {} have failed", stage + 1)
            }
            Self::FailureCount => f.write_str("too many devices have failed in all"),
            Self::SuccessMissed { stage } => {
                write!(f, "too few devices of stage {} have confirmed", stage + 1)
            }
        }
    }
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Somebody else must approve first.
    WaitingForApproval,
    /// It starts by itself.
    Scheduled,
    /// Devices are offered the release as they come.
    Running,
    /// By a person.
    Paused,
    /// By itself.
    Stopped(StopReason),
    /// Every device has ended. One that joins makes it run again.
    Finished,
    /// For ever.
    Aborted,
}

impl Status {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForApproval => "waiting-for-approval",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped(_) => "stopped",
            Self::Finished => "finished",
            Self::Aborted => "aborted",
        }
    }
}

impl Rollout {
    pub(crate) fn new(id: i64, plan: Plan, at: Millis, by: Option<i64>) -> Self {
        Self {
            id,
            plan,
            created_at: at,
            created_by: by,
            approved_by: None,
            started_at: None,
            hold: None,
            aborted_at: None,
            members: HashMap::new(),
            stages: Vec::new(),
            open: 0,
            recent: VecDeque::new(),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// What was ordered.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When it was ordered.
    #[must_use]
    pub fn created_at(&self) -> Millis {
        self.created_at
    }

    /// Who ordered it.
    #[must_use]
    pub fn created_by(&self) -> Option<i64> {
        self.created_by
    }

    /// Who approved.
    #[must_use]
    pub fn approved_by(&self) -> Option<i64> {
        self.approved_by
    }

    /// When it started.
    #[must_use]
    pub fn started_at(&self) -> Option<Millis> {
        self.started_at
    }

    /// The stages, in their order. None before the start.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Index of the last stage that is open.
    #[must_use]
    pub fn open_stage(&self) -> usize {
        self.open
    }

    /// Its devices, in no order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(name, member)| (&**name, member))
    }

    /// One of its devices.
    #[must_use]
    pub fn member(&self, device: &str) -> Option<&Member> {
        self.members.get(device)
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.aborted_at.is_some() {
            return Status::Aborted;
        }
        match self.hold {
            Some(Hold::Paused) => return Status::Paused,
            Some(Hold::Stopped(why)) => return Status::Stopped(why),
            None => {}
        }
        if self.started_at.is_some() {
            let ended = self
                .stages
                .iter()
                .all(|stage| stage.counts.under_way() == 0);
            if ended && self.open + 1 >= self.stages.len() {
                Status::Finished
            } else {
                Status::Running
            }
        } else if self.needs_approval() {
            Status::WaitingForApproval
        } else {
            Status::Scheduled
        }
    }

    /// Whether it is to [start](Event::Started), by its plan.
    #[must_use]
    pub fn is_due(&self, now: Millis) -> bool {
        self.may_start() && self.plan.start_at.is_none_or(|start| start <= now)
    }

    fn needs_approval(&self) -> bool {
        self.plan.approval && self.approved_by.is_none()
    }

    fn may_start(&self) -> bool {
        self.status() == Status::Scheduled
    }

    /// Whether it offers anything to anybody: started, and not held.
    fn is_running(&self) -> bool {
        self.started_at.is_some() && self.hold.is_none() && self.aborted_at.is_none()
    }

    /// Whether a device may be offered the release, by what is certain: everything but the rate and the window.
    fn may_be_offered(&self, device: &str) -> bool {
        let member = self.members.get(device);
        self.is_running()
            && member.is_some_and(|member| member.may_be_offered() && member.stage <= self.open)
    }

    pub(crate) fn apply(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::Created { .. } => {}
            Event::Approved => {
                let by = record.by.filter(|by| Some(*by) != self.created_by);
                if self.needs_approval() {
                    self.approved_by = by;
                }
            }
            Event::Joined { devices } => {
                for device in devices {
                    self.join(device, at);
                }
            }
            Event::Started if self.may_start() => self.start(at),
            Event::Started => {}
            Event::Left { device } => self.leave(device, at),
            Event::Offered { device } if self.may_be_offered(device) => self.offer(device, at),
            Event::Offered { .. } => {}
            Event::Reported { device, outcome } => self.report(device, *outcome, at),
            Event::Skipped { device, why } => self.skip(device, why, at),
            Event::TimedOut { device } => {
                self.change(device, |member| {
                    if member.state == MemberState::Offered {
                        member.enter(MemberState::TimedOut, at);
                    }
                });
            }
            Event::Paused => {
                self.hold.get_or_insert(Hold::Paused);
            }
            Event::Resumed => {
                if let Some(Hold::Stopped(_)) = self.hold.take() {
                    self.forgive();
                }
            }
            Event::Aborted => {
                self.aborted_at.get_or_insert(at);
            }
            Event::Retried => self.retry(at),
        }
        self.settle(at);
    }

    fn join(&mut self, device: &str, at: Millis) {
        if self.aborted_at.is_some() {
            return;
        }
        if self.members.contains_key(device) {
            self.change(device, |member| {
                if member.state == MemberState::Left {
                    member.enter(MemberState::Waiting, at);
                }
            });
            return;
        }
        // Before the start nobody has a stage; after it the last one is for those who come late.
        let stage = self.stages.len().saturating_sub(1);
        let member = Member::new(stage, at);
        if let Some(stage) = self.stages.last_mut() {
            stage.counts.add(member.bucket());
        }
        self.members.insert(device.into(), member);
    }

    fn leave(&mut self, device: &str, at: Millis) {
        if self.started_at.is_none() {
            self.members.remove(device);
            return;
        }
        // Who was offered the release stays: an update takes a device out of `version<2`.
        self.change(device, |member| {
            if matches!(member.state, MemberState::Waiting | MemberState::Skipped(_)) {
                member.enter(MemberState::Left, at);
            }
        });
    }

    /// Cuts the devices that there are into stages: named ones first, then in an order that only the names and the number of the
    /// rollout make.
    fn start(&mut self, at: Millis) {
        let mut order: Vec<_> = self
            .members
            .keys()
            .map(|name| {
                let is_canary = self.plan.canaries.contains(name);
                (!is_canary, stage::place(self.id, name), name.clone())
            })
            .collect();
        order.sort_unstable();
        let canaries = order.iter().take_while(|(is_other, ..)| !is_other).count();
        self.stages = stage::cut(&self.plan, canaries, order.len());
        let mut stage = 0;
        for (index, (_, _, name)) in order.iter().enumerate() {
            while self
                .stages
                .get(stage)
                .is_some_and(|stage| stage.up_to <= index)
            {
                stage += 1;
            }
            if let (Some(member), Some(into)) =
                (self.members.get_mut(name), self.stages.get_mut(stage))
            {
                member.stage = stage;
                into.counts.add(member.bucket());
            }
        }
        if let Some(first) = self.stages.first_mut() {
            first.opened_at = Some(at);
        }
        self.started_at = Some(at);
    }

    fn offer(&mut self, device: &str, at: Millis) {
        let mut is_first = false;
        self.change(device, |member| {
            is_first = member.state != MemberState::Offered;
            if is_first {
                member.forgiven = false;
                member.enter(MemberState::Offered, at);
            }
        });
        if let Some(rate) = self.plan.per_minute.filter(|_| is_first) {
            self.recent.push_back(at);
            while self.recent.len() > usize::try_from(rate).unwrap_or(usize::MAX) {
                self.recent.pop_front();
            }
        }
    }

    fn report(&mut self, device: &str, outcome: Outcome, at: Millis) {
        if self.started_at.is_none() {
            return;
        }
        self.change(device, |member| {
            let state = &member.state;
            match outcome {
                Outcome::Confirmed => match state {
                    // Whoever is not of the rollout may run what it likes.
                    MemberState::Confirmed | MemberState::Left => {}
                    _ => {
                        member.forgiven = false;
                        member.enter(MemberState::Confirmed, at);
                    }
                },
                Outcome::Interrupted => {
                    if *state == MemberState::Offered {
                        member.since = at;
                    }
                }
                Outcome::Refused | Outcome::RolledBack | Outcome::Failed => match state {
                    MemberState::Offered | MemberState::TimedOut | MemberState::Confirmed => {
                        member.enter(MemberState::Failed(outcome), at);
                    }
                    // From before it was offered anything, or the same once more.
                    _ => {}
                },
            }
        });
    }

    fn skip(&mut self, device: &str, why: &str, at: Millis) {
        self.change(device, |member| match &member.state {
            MemberState::Skipped(before) if **before == *why => {}
            MemberState::Waiting
            | MemberState::Offered
            | MemberState::TimedOut
            | MemberState::Skipped(_) => member.enter(MemberState::Skipped(why.into()), at),
            _ => {}
        });
    }

    /// What went wrong up to now is no reason to stop any more.
    fn forgive(&mut self) {
        self.change_all(|member| member.forgiven |= member.state.went_wrong());
    }

    fn retry(&mut self, at: Millis) {
        if self.aborted_at.is_some() {
            return;
        }
        self.change_all(|member| {
            if member.state.went_wrong() {
                member.forgiven = false;
                member.attempt = member.attempt.saturating_add(1);
                member.enter(MemberState::Waiting, at);
            }
        });
    }

    /// Changes a device, and the counts of its stage with it.
    fn change(&mut self, device: &str, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(device) {
            counted(&mut self.stages, member, change);
        }
    }

    fn change_all(&mut self, change: impl Fn(&mut Member)) {
        for member in self.members.values_mut() {
            counted(&mut self.stages, member, &change);
        }
    }

    /// Opens the stages that may be opened, or stops.
    fn settle(&mut self, at: Millis) {
        while self.is_running() {
            if let Some(why) = self.reason_to_stop() {
                self.hold = Some(Hold::Stopped(why));
                return;
            }
            let Some(stage) = self.stages.get(self.open) else {
                return;
            };
            if self.open + 1 >= self.stages.len() || !stage.counts.reach(self.plan.success_percent)
            {
                return;
            }
            self.open += 1;
            if let Some(next) = self.stages.get_mut(self.open) {
                next.opened_at = Some(at);
            }
        }
    }

    fn reason_to_stop(&self) -> Option<StopReason> {
        let open = self.stages.get(..=self.open)?;
        for (index, stage) in open.iter().enumerate() {
            if stage.counts.fail(self.plan.failure_percent) {
                return Some(StopReason::FailurePercent { stage: index });
            }
        }
        let failed: usize = open.iter().map(|stage| stage.counts.went_wrong()).sum();
        let most = self.plan.failure_count;
        if most.is_some_and(|most| failed >= usize::try_from(most).unwrap_or(usize::MAX)) {
            return Some(StopReason::FailureCount);
        }
        let counts = &open.last()?.counts;
        let is_last = self.open + 1 >= self.stages.len();
        let missed = counts.under_way() == 0 && !counts.reach(self.plan.success_percent);
        (missed && !is_last).then_some(StopReason::SuccessMissed { stage: self.open })
    }
}

fn counted(stages: &mut [Stage], member: &mut Member, change: impl FnOnce(&mut Member)) {
    let before: Bucket = member.bucket();
    change(member);
    // Before the start there are no stages, and nothing is counted.
    if let Some(stage) = stages.get_mut(member.stage) {
        stage.counts.remove(before);
        stage.counts.add(member.bucket());
    }
}

#[cfg(test)]
mod tests;
