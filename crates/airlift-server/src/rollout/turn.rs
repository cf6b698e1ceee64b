//! One device asks.
//!
//! ```text
//! begin    it joins or leaves rollouts, what it reports is taken down; then each rollout says what it has for it
//!          resolve, decide: elsewhere, and pure
//! settle   it is given the release, or not: that is taken down as well
//! ```
//!
//! From the beginning to the end nobody else is at the table: no two devices are given the same last place.

use std::sync::Arc;

use airlift_rollout::filter::Facts;
use airlift_rollout::{
    Ask, Event, Member, MemberState, Millis, Outcome, Plan, Rollout, Status, Verdict,
};

use super::log::Ticket;
use super::table::{AtTable, Live, Table, is_for};
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::clock::Timestamp;
use crate::decide::{Decision, History, NoUpdate, Wanted};
use crate::digest::{Md5, Sha256};
use crate::fleet::report::{Report, ResultState};

/// Who asks, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// What filters look at; also its name, project and key.
    pub(crate) facts: Facts<'a>,
    pub(crate) wanted: Wanted<'a>,
    /// What it runs, or holds, of what it wants.
    pub(crate) md5: Option<Md5>,
    pub(crate) sha256: Option<Sha256>,
    /// It wants the rest of something.
    pub(crate) continues: bool,
}

/// What a device reports.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) report: Report<'a>,
    /// Of which partition; `None`: of its app.
    pub(crate) partition: Option<&'a str>,
    /// It does not say again what it said before.
    pub(crate) is_news: bool,
}

/// What a rollout has for the device.
pub(crate) struct Granted<'o> {
    pub(crate) release: &'o Arc<Release>,
    rollout: i64,
    verdict: Verdict,
    /// The device is in an unfinished update to this release.
    is_in_update: bool,
    pub(super) terms: Terms,
}

/// How a rollout gives its release.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// Somebody wants it tried again: what the device made of it before does not count.
    is_tried_again: bool,
    pub(crate) allow_downgrade: bool,
}

impl Terms {
    /// What the decision needs of the past.
    pub(crate) fn of(self, history: History) -> History {
        let result = history.result.filter(|_| !self.is_tried_again);
        History { result, ..history }
    }
}

impl Granted<'_> {
    /// Whether the release counts at its place for this device.
    pub(crate) fn counts(&self) -> bool {
        self.is_in_update || matches!(self.verdict, Verdict::Offer(_))
    }
}

/// A device at the table.
pub(crate) struct Turn<'t, 'o, 'd> {
    /// `None`: the organization has no rollouts.
    at: Option<AtTable<'t>>,
    device: &'d str,
    granted: Vec<Granted<'o>>,
}

impl<'t, 'o, 'd> Turn<'t, 'o, 'd> {
    pub(crate) fn begin(
        table: Option<&'t Table>,
        organization: &'o Organization,
        device: &'d str,
        asker: &Asker<'_>,
        heard: Option<Heard<'_>>,
        now: Timestamp,
    ) -> Self {
        let mut granted = Vec::new();
        let Some(table) = table else {
            return Self {
                at: None,
                device,
                granted,
            };
        };
        let mut at = table.lock(now);
        if let Some(heard) = heard.filter(|heard| heard.is_news) {
            hear_of_the_past(&mut at, organization, device, &heard);
        }
        // Clients say their last report with every request: one for the rest of an image does not end the update again.
        let heard = heard.filter(|heard| heard.is_news || !asker.continues);
        for index in 0..at.laid.live.len() {
            let Some(&Live { rollout, release }) = at.laid.live.get(index) else {
                break;
            };
            // Withdrawn, or offered to everybody by now.
            let Some(release) = organization.held.get(&release) else {
                continue;
            };
            let is_for = is_for(release, asker.facts.project, device, asker.facts.key);
            let is_wanted = is_for && asker.wanted.accepts(release);
            join_or_leave(&mut at, rollout, is_for, asker);
            if let Some(outcome) = heard.and_then(|heard| outcome(release, &heard)) {
                report(&mut at, rollout, device, outcome);
            }
            if is_wanted {
                look_what_runs(&mut at, organization, rollout, release, asker);
                granted.extend(grant(&at, rollout, release, device, asker.continues));
            }
        }
        Self {
            at: Some(at),
            device,
            granted,
        }
    }

    /// What the rollouts have for the device.
    pub(crate) fn granted(&self) -> &[Granted<'o>] {
        &self.granted
    }

    /// How this release is given.
    pub(crate) fn terms(&self, release: Option<&Arc<Release>>) -> Terms {
        let granted = release.and_then(|release| grant_of(&self.granted, release.id));
        granted.map_or_else(Terms::default, |granted| granted.terms)
    }

    /// Takes down what was decided about the release that counts for the device. What it is told may be another thing: that it must
    /// wait. With a ticket it is given the release when that place of the log is stored, and not before.
    pub(crate) fn settle(
        mut self,
        candidate: Option<&Arc<Release>>,
        decision: Decision<'o>,
    ) -> (Decision<'o>, Option<Ticket>) {
        let granted = candidate.and_then(|release| grant_of(&self.granted, release.id));
        let Some((rollout, verdict)) = granted.map(|one| (one.rollout, one.verdict.clone())) else {
            return (told(&self.granted, None, decision), None);
        };
        let Some(at) = &mut self.at else {
            return (decision, None);
        };
        let device = self.device;
        match (&decision, verdict) {
            (Decision::Offer(_), Verdict::Offer(offer)) => {
                let ticket = if offer.is_first {
                    let device = device.into();
                    at.happens(rollout, None, Event::Offered { device })
                } else {
                    at.last()
                };
                (decision, Some(ticket))
            }
            (Decision::Offer(_), verdict) => (told(&[], Some(&verdict), decision), None),
            (Decision::Tell(_), _) => (decision, None),
            (Decision::NoUpdate(NoUpdate::UpToDate | NoUpdate::SameVersion), _) => {
                report(at, rollout, device, Outcome::Confirmed);
                (decision, None)
            }
            (Decision::NoUpdate(why), _) => {
                skip(at, rollout, device, why.as_str());
                (decision, None)
            }
        }
    }
}

/// The rollout that gives this release.
pub(super) fn grant_of<'g, 'o>(
    granted: &'g [Granted<'o>],
    release: i64,
) -> Option<&'g Granted<'o>> {
    let of_release = |granted: &&Granted<'_>| granted.release.id == release && granted.counts();
    let here = || granted.iter().filter(of_release);
    here()
        .find(|granted| matches!(granted.verdict, Verdict::Offer(_)))
        .or_else(|| here().next())
}

/// What a device is told: to wait, if it is offered nothing else and a rollout has something for it, or if the rollout that gives
/// what was decided (`by` its verdict) must not give it now.
pub(super) fn told<'o>(
    granted: &[Granted<'_>],
    by: Option<&Verdict>,
    decision: Decision<'o>,
) -> Decision<'o> {
    let waits = |verdict: &Verdict| matches!(verdict, Verdict::Wait(_));
    let must_wait = match (&decision, by) {
        (Decision::Offer(_), Some(verdict)) => waits(verdict),
        (Decision::NoUpdate(_), None) => granted.iter().any(|granted| waits(&granted.verdict)),
        _ => false,
    };
    if must_wait {
        Decision::NoUpdate(NoUpdate::RolloutWaits)
    } else {
        decision
    }
}

/// What a device is told of a look at its rollouts.
pub(super) fn told_of<'r>(
    granted: &[Granted<'_>],
    release: Option<&Release>,
    decision: Decision<'r>,
) -> Decision<'r> {
    let by = release.and_then(|release| grant_of(granted, release.id));
    told(granted, by.map(|granted| &granted.verdict), decision)
}

/// The outcome for this release, if that is what the report is about.
fn outcome(release: &Release, heard: &Heard<'_>) -> Option<Outcome> {
    if release.partition.as_deref() != heard.partition {
        return None;
    }
    match heard.report.sha256 {
        Some(sha256) if release.is_running(None, Some(sha256)) => {}
        // Without a digest it is about the update that it is in, if it was not said before that began.
        None if heard.is_news => {}
        _ => return None,
    }
    match heard.report.state {
        ResultState::Confirmed => Some(Outcome::Confirmed),
        ResultState::RolledBack => Some(Outcome::RolledBack),
        ResultState::Refused => Some(Outcome::Refused),
        ResultState::Failed => Some(Outcome::Failed),
        ResultState::Interrupted => heard.is_news.then_some(Outcome::Interrupted),
    }
}

/// Takes a report down that came by itself: with no question behind it.
pub(super) fn hear(
    table: &Table,
    organization: &Organization,
    node: &str,
    heard: &Heard<'_>,
    now: Timestamp,
) {
    let mut at = table.lock(now);
    hear_of_the_past(&mut at, organization, node, heard);
    for index in 0..at.laid.live.len() {
        let Some(&Live { rollout, release }) = at.laid.live.get(index) else {
            break;
        };
        let release = organization.held.get(&release);
        if let Some(outcome) = release.and_then(|release| outcome(release, heard)) {
            report(&mut at, rollout, node, outcome);
        }
    }
}

/// A device may still tell how it went with a rollout that was aborted meanwhile.
fn hear_of_the_past(
    at: &mut AtTable<'_>,
    organization: &Organization,
    node: &str,
    heard: &Heard<'_>,
) {
    let offered = |rollout: &Rollout| {
        let member = rollout.member(node)?;
        let release = organization.held.get(&rollout.plan().release)?;
        let is_open = *member.state() == MemberState::Offered;
        let outcome = outcome(release, heard).filter(|_| is_open)?;
        Some((rollout.id(), outcome))
    };
    let rollouts = at.laid.board.rollouts();
    let aborted = rollouts.filter(|rollout| rollout.status() == Status::Aborted);
    let reported: Vec<_> = aborted.filter_map(offered).collect();
    for (rollout, outcome) in reported {
        report(at, rollout, node, outcome);
    }
}

fn join_or_leave(at: &mut AtTable<'_>, id: i64, is_for: bool, asker: &Asker<'_>) {
    // Before the start its devices are not looked for.
    let started = |rollout: &&Rollout| rollout.started_at().is_some();
    let Some(rollout) = at.laid.board.get(id).filter(started) else {
        return;
    };
    let node = asker.facts.node;
    let belongs = is_for && belongs(rollout.plan(), &asker.facts, at.now());
    let event = match rollout.member(node).map(Member::state) {
        None | Some(MemberState::Left) if belongs && rollout.plan().enrol => Event::Joined {
            devices: vec![node.into()],
        },
        Some(MemberState::Waiting | MemberState::Skipped(_)) if !belongs => Event::Left {
            device: node.into(),
        },
        _ => return,
    };
    at.happens(id, None, event);
}

/// Whether a rollout is for this device, of those that its release is for.
pub(super) fn belongs(plan: &Plan, facts: &Facts<'_>, now: Millis) -> bool {
    let is_canary = || plan.canaries.iter().any(|name| **name == *facts.node);
    let filter = plan.filter.as_ref();
    filter.is_none_or(|filter| filter.matches(facts, now)) || is_canary()
}

/// What the device runs says more than any report. And what its place offers to everybody may have overtaken the rollout.
fn look_what_runs(
    at: &mut AtTable<'_>,
    organization: &Organization,
    id: i64,
    release: &Release,
    asker: &Asker<'_>,
) {
    if release.is_running(asker.md5, asker.sha256) {
        report(at, id, asker.facts.node, Outcome::Confirmed);
        return;
    }
    let there = organization.offered(
        &release.project,
        release.target_kind,
        &release.target,
        release.partition.as_deref(),
    );
    if there.is_some_and(|there| there.id > release.id) {
        skip(at, id, asker.facts.node, "superseded");
    }
}

pub(super) fn grant<'o>(
    at: &AtTable<'_>,
    id: i64,
    release: &'o Arc<Release>,
    node: &str,
    continues: bool,
) -> Option<Granted<'o>> {
    let verdict = at.laid.board.ask(id, node, Ask { continues }, at.now());
    if matches!(verdict, Verdict::No(_)) {
        return None;
    }
    let rollout = at.laid.board.get(id)?;
    let member = rollout.member(node);
    let terms = Terms {
        is_tried_again: member.is_some_and(|member| member.attempt() > 1),
        allow_downgrade: rollout.plan().allow_downgrade,
    };
    let is_in_update = member.is_some_and(|member| *member.state() == MemberState::Offered);
    Some(Granted {
        release,
        rollout: id,
        verdict,
        is_in_update,
        terms,
    })
}

/// Takes a report down, if it changes something: devices repeat themselves.
fn report(at: &mut AtTable<'_>, id: i64, node: &str, outcome: Outcome) {
    let started = |rollout: &&Rollout| rollout.started_at().is_some();
    let rollout = at.laid.board.get(id).filter(started);
    let state = rollout.and_then(|rollout| rollout.member(node));
    let is_news = match state.map(Member::state) {
        None | Some(MemberState::Left) => false,
        Some(MemberState::Confirmed) => {
            !matches!(outcome, Outcome::Confirmed | Outcome::Interrupted)
        }
        Some(MemberState::Offered) => true,
        Some(MemberState::TimedOut) => outcome != Outcome::Interrupted,
        Some(MemberState::Waiting | MemberState::Skipped(_) | MemberState::Failed(_)) => {
            outcome == Outcome::Confirmed
        }
    };
    if is_news {
        let device = node.into();
        at.happens(id, None, Event::Reported { device, outcome });
    }
}

/// Takes down that the device has no use for the release, unless that is known.
fn skip(at: &mut AtTable<'_>, id: i64, node: &str, why: &str) {
    let state = at
        .laid
        .board
        .get(id)
        .and_then(|rollout| rollout.member(node));
    let is_news = match state.map(Member::state) {
        Some(MemberState::Waiting | MemberState::Offered | MemberState::TimedOut) => true,
        Some(MemberState::Skipped(before)) => **before != *why,
        _ => false,
    };
    if is_news {
        let (device, why) = (node.into(), why.into());
        at.happens(id, None, Event::Skipped { device, why });
    }
}
