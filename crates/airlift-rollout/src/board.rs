//! All rollouts of an organization.

use std::collections::{BTreeMap, HashMap};

use crate::event::{Event, Record};
use crate::rollout::{Ask, Member, MemberState, No, Rollout, Status, Verdict};
use crate::{Millis, Plan};

/// All rollouts of an organization, and the rule between them: a device is in at most one unfinished update.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Board {
    rollouts: BTreeMap<i64, Rollout>,
    /// Devices in an unfinished update, and of which rollout.
    busy: HashMap<Box<str>, i64>,
}

impl Board {
    /// Takes down what happened. What makes no sense as things are changes nothing.
    pub fn apply(&mut self, record: &Record) {
        let id = record.rollout;
        if let Event::Created { plan } = &record.event {
            let new = || Rollout::new(id, Plan::clone(plan), record.at, record.by);
            self.rollouts.entry(id).or_insert_with(new);
            return;
        }
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return;
        };
        if let Event::Offered { device } = &record.event
            && self.busy.get(device).is_some_and(|other| *other != id)
        {
            return;
        }
        rollout.apply(record);
        match &record.event {
            Event::Offered { device }
            | Event::Reported { device, .. }
            | Event::Skipped { device, .. }
            | Event::TimedOut { device } => {
                let is_busy = rollout.status() != Status::Aborted
                    && rollout.member(device).map(Member::state) == Some(&MemberState::Offered);
                if is_busy {
                    self.busy.insert(device.clone(), id);
                } else if self.busy.get(device) == Some(&id) {
                    self.busy.remove(device);
                }
            }
            Event::Aborted => self.busy.retain(|_, in_rollout| *in_rollout != id),
            _ => {}
        }
    }

    /// What a rollout has for a device. If that is an offer to begin with and the device is given it,
    /// [`Event::Offered`] is to be applied before anything else is asked.
    #[must_use]
    pub fn ask(&self, rollout: i64, device: &str, ask: Ask, now: Millis) -> Verdict {
        match self.rollouts.get(&rollout) {
            Some(rollout) => rollout.ask(device, ask, self.busy_with(device), now),
            None => Verdict::No(No::Outside),
        }
    }

    /// The rollout of that number.
    #[must_use]
    pub fn get(&self, rollout: i64) -> Option<&Rollout> {
        self.rollouts.get(&rollout)
    }

    /// All rollouts, oldest first.
    pub fn rollouts(&self) -> impl DoubleEndedIterator<Item = &Rollout> {
        self.rollouts.values()
    }

    /// The rollout in which a device has an unfinished update.
    #[must_use]
    pub fn busy_with(&self, device: &str) -> Option<i64> {
        self.busy.get(device).copied()
    }

    /// Devices that have not answered in time, with the rollout in question: to be told as [`Event::TimedOut`].
    pub fn overdue(&self, now: Millis) -> impl Iterator<Item = (i64, &str)> {
        self.busy.iter().filter_map(move |(device, id)| {
            let rollout = self.rollouts.get(id)?;
            let since = rollout.member(device)?.since();
            let until = since.after_minutes(rollout.plan().answer_minutes);
            (until <= now).then_some((*id, &**device))
        })
    }
}
