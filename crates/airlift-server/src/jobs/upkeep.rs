//! What nobody asks for: time that runs out, and releases that come and go while things are connected.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::refusal::Refusal;
use super::service::AwsService;
use super::thing::Thing;
use crate::catalog::snapshot::Snapshot;
use crate::server::{Phase, ending};

/// How often it is looked for executions that have timed out. AWS says up to a minute.
const LOOK: Duration = Duration::from_secs(10);
/// Things with such an execution that are looked at in one go.
const DUE: i64 = 1000;
/// Things that are looked at at the same time: their changes go to the disk together.
const AT_ONCE: usize = 64;

impl AwsService {
    /// Looks after all that until told to stop.
    pub(crate) async fn run(self: Arc<Self>, mut phase: watch::Receiver<Phase>) {
        if let Err(error) = self.remove_deleted_jobs().await {
            tracing::error!(%error, "jobs that were deleted before the start are still in the database");
        }
        let mut changes = self.catalog().changes();
        let mut rollouts = self.rollouts.changes();
        let mut seen = Arc::clone(&self.catalog().snapshot());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    self.end_what_is_due().await;
                    self.offer_by_turns().await;
                }
                changed = rollouts.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let changed = self.rollouts.take_changed();
                    let things = self
                        .desks
                        .connected(|thing| changed.contains(&thing.organization));
                    self.look_at(things, true).await;
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = Arc::clone(&self.catalog().snapshot());
                    self.offer_anew(&seen, &now).await;
                    seen = now;
                }
                () = ending(&mut phase) => return,
            }
        }
    }

    /// What a killed server has marked and not removed.
    pub(super) async fn remove_deleted_jobs(&self) -> Result<(), sqlx::Error> {
        for job in self.database().deleted_jobs().await? {
            self.database().remove_job(job).await?;
        }
        Ok(())
    }

    /// Ends executions that have timed out: sitting down does.
    pub(super) async fn end_what_is_due(self: &Arc<Self>) {
        match self.things_due().await {
            Ok(things) => self.look_at(things, false).await,
            Err(error) => {
                tracing::error!(%error, "executions that have timed out cannot be looked for");
            }
        }
    }

    async fn things_due(&self) -> Result<Vec<Arc<Thing>>, sqlx::Error> {
        let ids = self.database().things_due(self.clock.now(), DUE).await?;
        self.things(&ids).await
    }

    /// The things with these ids.
    pub(super) async fn things(&self, ids: &[i64]) -> Result<Vec<Arc<Thing>>, sqlx::Error> {
        let mut things = Vec::with_capacity(ids.len());
        for id in ids {
            let row = self.database().thing_by_id(*id).await?;
            things.extend(row.map(|row| Arc::new(Thing::from(row))));
        }
        Ok(things)
    }

    /// Looks again at what is on offer to the connected things of the organizations where something has changed.
    pub(super) async fn offer_anew(self: &Arc<Self>, before: &Snapshot, now: &Snapshot) {
        let changed: HashSet<i64> = now
            .organizations
            .values()
            .filter(|organization| {
                let before = before.by_id(organization.id);
                before.is_none_or(|before| !Arc::ptr_eq(before, organization))
            })
            .map(|organization| organization.id)
            .collect();
        let things = self
            .desks
            .connected(|thing| changed.contains(&thing.organization));
        self.look_at(things, true).await;
    }

    /// A window opens and a minute passes without a word to anybody.
    async fn offer_by_turns(self: &Arc<Self>) {
        let things = self
            .desks
            .connected(|thing| self.rollouts.has_turn(thing.organization, &thing.name));
        self.look_at(things, true).await;
    }

    async fn look_at(self: &Arc<Self>, things: Vec<Arc<Thing>>, for_releases: bool) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for thing in things {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let service = Arc::clone(self);
            tasks.spawn(async move {
                // What went wrong is in the log; the thing finds out when it asks.
                let _ = service.look_at_one(&thing, for_releases).await;
                drop(place);
            });
            while tasks.try_join_next().is_some() {}
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn look_at_one(&self, thing: &Arc<Thing>, for_releases: bool) -> Result<(), Refusal> {
        let mut seat = self.sit_unasked(thing).await?;
        if for_releases {
            self.look_for_release(&mut seat).await?;
        }
        seat.leave().await
    }
}
