//! The rollouts of one organization.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use airlift_rollout::{Board, Event, Millis, Record, Rollout, Status};

use super::log::{Log, Ticket};
use super::service::Changes;
use crate::catalog::release::{Release, TargetKind};
use crate::clock::Timestamp;
use crate::name::ALL_PROJECTS;

/// The rollouts of one organization.
pub(crate) struct Table {
    organization: i64,
    log: Arc<Log>,
    changes: Arc<Changes>,
    laid: Mutex<Laid>,
}

/// What lies on it.
#[derive(Default)]
pub(super) struct Laid {
    pub(super) board: Board,
    /// Rollouts that were not aborted, and their releases.
    pub(super) live: Vec<Live>,
}

#[derive(Clone, Copy)]
pub(super) struct Live {
    pub(super) rollout: i64,
    pub(super) release: i64,
}

/// A table, with nobody else at it.
pub(super) struct AtTable<'t> {
    table: &'t Table,
    pub(super) laid: MutexGuard<'t, Laid>,
    now: Millis,
}

impl Table {
    pub(super) fn new(organization: i64, log: Arc<Log>, changes: Arc<Changes>) -> Self {
        Self {
            organization,
            log,
            changes,
            laid: Mutex::default(),
        }
    }

    fn laid(&self) -> MutexGuard<'_, Laid> {
        // A panic while it was held would have left a board between two events, which are each taken down at once.
        self.laid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self, now: Timestamp) -> AtTable<'_> {
        AtTable {
            table: self,
            laid: self.laid(),
            now: Millis(now.0),
        }
    }

    /// Looks at a rollout.
    pub(crate) fn get<T>(&self, rollout: i64, look: impl FnOnce(&Rollout) -> T) -> Option<T> {
        let laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        laid.board.get(rollout).map(look)
    }

    /// Whether a rollout of this release has not ended.
    pub(crate) fn is_under_way(&self, release: i64) -> bool {
        let laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        let of_release = laid.live.iter().filter(|live| live.release == release);
        let mut rollouts = of_release.filter_map(|live| laid.board.get(live.rollout));
        rollouts.any(|rollout| rollout.status() != Status::Finished)
    }

    /// Looks at all rollouts, newest first.
    pub(crate) fn newest<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = &Rollout>) -> T,
    ) -> T {
        let laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut laid.board.rollouts().rev())
    }

    /// Takes down what the log tells.
    pub(super) fn restore(&self, record: &Record) {
        self.laid().apply(record);
    }
}

impl Laid {
    fn apply(&mut self, record: &Record) {
        self.board.apply(record);
        let rollout = record.rollout;
        match &record.event {
            Event::Created { plan } => {
                let release = plan.release;
                self.live.push(Live { rollout, release });
            }
            Event::Aborted => self.live.retain(|live| live.rollout != rollout),
            _ => {}
        }
    }
}

impl AtTable<'_> {
    pub(super) fn now(&self) -> Millis {
        self.now
    }

    /// Takes down what happens to a rollout: here, and in the log. `by`: the token of a person.
    pub(super) fn happens(&mut self, rollout: i64, by: Option<i64>, event: Event) -> Ticket {
        let stands = |laid: &Laid| {
            let rollout = laid.board.get(rollout)?;
            Some((rollout.status(), rollout.open_stage()))
        };
        let before = stands(&self.laid);
        let record = Record {
            rollout,
            at: self.now,
            by,
            event,
        };
        self.laid.apply(&record);
        if before != stands(&self.laid) {
            self.table.changes.tell(self.table.organization);
        }
        self.table.log.push(record)
    }

    /// The last place in the log up to now.
    pub(super) fn last(&self) -> Ticket {
        self.table.log.last()
    }
}

/// Whether a release is for the devices of that project, name and key.
pub(super) fn is_for(release: &Release, project: &str, node: &str, key: &str) -> bool {
    let in_project = release.project == ALL_PROJECTS || release.project == project;
    let target = match release.target_kind {
        TargetKind::Node => node,
        TargetKind::Key => key,
    };
    in_project && release.target == target
}
