//! The questions of a [turn](super::turn) without an answer to a device.

use airlift_rollout::{Ask, Member, MemberState, Verdict};

use super::table::{Table, is_for};
use super::turn::{Asker, Granted, Terms, belongs, grant, grant_of, told_of};
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::clock::Timestamp;
use crate::decide::Decision;

/// What the rollouts have for a device.
pub(crate) struct Look<'o> {
    /// What counts for its places.
    pub(crate) granted: Vec<Granted<'o>>,
    /// Each rollout, newest first: its number, the release, and what it says.
    pub(crate) says: Vec<(i64, i64, &'static str, String)>,
}

impl<'o> Look<'o> {
    pub(crate) fn at(
        table: Option<&Table>,
        organization: &'o Organization,
        node: &str,
        asker: &Asker<'_>,
        now: Timestamp,
    ) -> Self {
        let mut look = Self {
            granted: Vec::new(),
            says: Vec::new(),
        };
        let Some(table) = table else {
            return look;
        };
        let at = table.lock(now);
        for rollout in at.laid.board.rollouts().rev() {
            let id = rollout.id();
            let plan = rollout.plan();
            // Withdrawn, or offered to everybody by now.
            let Some(release) = organization.held.get(&plan.release) else {
                continue;
            };
            let is_for = is_for(release, asker.facts.project, node, asker.facts.key);
            if !is_for || !asker.wanted.accepts(release) {
                continue;
            }
            let state = rollout.member(node).map(Member::state);
            let is_out = matches!(state, None | Some(MemberState::Left));
            let verdict = at.laid.board.ask(id, node, Ask::default(), at.now());
            let (verdict, says) = match verdict {
                Verdict::No(airlift_rollout::No::Outside) if is_out => {
                    let chosen = belongs(plan, &asker.facts, at.now());
                    let says = match (chosen, plan.enrol) {
                        (false, _) => "the filter does not choose the device",
                        (true, false) => "the rollout takes in no device after its start",
                        (true, true) => "the device is taken in when it asks next",
                    };
                    let verdict = if chosen && plan.enrol { "wait" } else { "no" };
                    (verdict, says.to_owned())
                }
                _ => {
                    let mut says = verdict.to_string();
                    if let Some(MemberState::Skipped(why)) = state {
                        says.push_str("; when it asked last it had no use for it: ");
                        says.push_str(why);
                    }
                    (verdict.as_str(), says)
                }
            };
            look.says.push((id, release.id, verdict, says));
            look.granted.extend(grant(&at, id, release, node, false));
        }
        look
    }

    /// The rollout that gives this release.
    fn grant_of(&self, release: i64) -> Option<&Granted<'o>> {
        grant_of(&self.granted, release)
    }

    /// How the release is given that counts.
    pub(crate) fn terms(&self, release: i64) -> Terms {
        let granted = self.grant_of(release);
        granted.map_or_else(Terms::default, |granted| granted.terms)
    }

    /// What the device would be told. `release`: the one that counts for it.
    pub(crate) fn told<'r>(
        &self,
        release: Option<&Release>,
        decision: Decision<'r>,
    ) -> Decision<'r> {
        told_of(&self.granted, release, decision)
    }
}
