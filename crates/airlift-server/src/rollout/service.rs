//! All rollouts: what people do to them, and what time does.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use airlift_rollout::{Ask, BadPlan, Event, Millis, Plan, Rollout, Status, Verdict};
use tokio::sync::watch;

use super::log::{Log, Ticket};
use super::table::{Live, Table, is_for};
use super::turn::{Heard, belongs, hear};
use crate::catalog::Catalog;
use crate::catalog::release::Release;
use crate::catalog::snapshot::Organization;
use crate::clock::{Clock, Timestamp};
use crate::fleet::device::Device;
use crate::fleet::registry::Registry;
use crate::server::{Phase, ending};
use crate::store::database::Database;
use crate::store::rollouts::LogError;

/// How often it is looked for what time brings: starts, and devices that have not answered.
const LOOK: Duration = Duration::from_secs(1);
/// Devices in one event: an event is a row.
const JOINED_AT_ONCE: usize = 1000;

/// All rollouts of all organizations.
pub(crate) struct Rollouts {
    database: Database,
    catalog: Arc<Catalog>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    tables: RwLock<HashMap<i64, Arc<Table>>>,
    log: Arc<Log>,
    changes: Arc<Changes>,
}

/// Organizations where a rollout has come to stand otherwise, and things that wait for a word may be told one.
pub(super) struct Changes {
    organizations: Mutex<BTreeSet<i64>>,
    told: watch::Sender<()>,
}

impl Changes {
    pub(super) fn tell(&self, organization: i64) {
        let mut all = self
            .organizations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(organization);
        self.told.send_replace(());
    }
}

/// What people do to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Approve,
    Pause,
    Resume,
    Abort,
    Retry,
}

impl Action {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Approve, "approve"),
        (Self::Pause, "pause"),
        (Self::Resume, "resume"),
        (Self::Abort, "abort"),
        (Self::Retry, "retry"),
    ];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(action, _)| action)
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolloutError {
    #[error("this organization has no such rollout")]
    NoSuchRollout,
    #[error("this organization has no release {0}")]
    NoSuchRelease(i64),
    #[error("release {0} was withdrawn")]
    Withdrawn(i64),
    #[error(
        "release {0} is offered to everybody already: publish one with hold=true to offer it by rollouts"
    )]
    NotHeld(i64),
    #[error(
        "canary {0}: this organization knows no such device, or the release is not for its project and key"
    )]
    NoSuchCanary(String),
    #[error(transparent)]
    BadPlan(#[from] BadPlan),
    #[error("the rollout is {status}, and cannot be {done} now", status = .0.as_str(), done = .1)]
    NotNow(Status, &'static str),
    #[error("who made a rollout cannot approve it: another token has to")]
    SamePerson,
    #[error("the database cannot be written just now: it is done here, but a crash would undo it")]
    NotStored,
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Rollouts {
    /// Folds everything that the log tells.
    pub(crate) async fn open(
        database: Database,
        catalog: Arc<Catalog>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LogError> {
        let rollouts = Self {
            log: Arc::new(Log::new(database.clone())),
            changes: Arc::new(Changes {
                organizations: Mutex::default(),
                told: watch::Sender::new(()),
            }),
            tables: RwLock::default(),
            database,
            catalog,
            registry,
            clock,
        };
        let tell = |organization, record| rollouts.make_table(organization).restore(&record);
        rollouts.database.rollout_events(tell).await?;
        rollouts.abort_what_was_withdrawn();
        Ok(rollouts)
    }

    /// The rollouts of an organization. `None`: it never had one.
    pub(crate) fn of(&self, organization: i64) -> Option<Arc<Table>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&organization).cloned()
    }

    fn make_table(&self, organization: i64) -> Arc<Table> {
        if let Some(table) = self.of(organization) {
            return table;
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables.entry(organization).or_insert_with(|| {
            let (log, changes) = (Arc::clone(&self.log), Arc::clone(&self.changes));
            Arc::new(Table::new(organization, log, changes))
        });
        Arc::clone(table)
    }

    fn all_tables(&self) -> Vec<(i64, Arc<Table>)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let tables = tables.iter();
        tables.map(|(id, table)| (*id, Arc::clone(table))).collect()
    }

    /// Waits until everything up to there is on the disk. `false`: it could not be written just now.
    pub(crate) async fn stored(&self, ticket: Ticket) -> bool {
        self.log.stored(ticket).await
    }

    /// Told whenever rollouts somewhere have come to stand otherwise.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.told.subscribe()
    }

    /// Where they have, since the last call.
    pub(crate) fn take_changed(&self) -> BTreeSet<i64> {
        let changed = self.changes.organizations.lock();
        std::mem::take(&mut *changed.unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is a rollout in which it is the device's turn.
    pub(crate) fn has_turn(&self, organization: i64, node: &str) -> bool {
        let Some(table) = self.of(organization) else {
            return false;
        };
        let at = table.lock(self.clock.now());
        at.laid.live.iter().any(|live| {
            let board = &at.laid.board;
            let verdict = board.ask(live.rollout, node, Ask::default(), at.now());
            matches!(verdict, Verdict::Offer(offer) if offer.is_first)
        })
    }

    /// Takes down what became of a release that a device was given by other means than by an answer to a question.
    pub(crate) fn hear(&self, organization: &Organization, node: &str, heard: &Heard<'_>) {
        if let Some(table) = self.of(organization.id) {
            hear(&table, organization, node, heard, self.clock.now());
        }
    }

    /// Orders a rollout. What is answered is on the disk.
    pub(crate) async fn create(
        &self,
        organization: &Organization,
        plan: Plan,
        by: i64,
    ) -> Result<i64, RolloutError> {
        plan.check()?;
        let release = self.release(organization, plan.release).await?;
        for canary in &plan.canaries {
            let device = self.registry.find(organization.id, canary);
            let known = device.is_some_and(|device| {
                let state = device.lock();
                is_for(&release, &state.project, canary, &state.key)
            });
            if !known {
                return Err(RolloutError::NoSuchCanary(canary.to_string()));
            }
        }
        let now = self.clock.now();
        let id = self.database.insert_rollout(organization.id, now).await?;
        let table = self.make_table(organization.id);
        let created = Event::Created { plan };
        let ticket = table.lock(now).happens(id, Some(by), created);
        let started = self.start_if_due(organization, &table, id, now);
        self.on_the_disk(started.unwrap_or(ticket)).await?;
        tracing::info!(
            organization = organization.name,
            rollout = id,
            "rollout created"
        );
        Ok(id)
    }

    /// A release that only rollouts offer.
    async fn release(
        &self,
        organization: &Organization,
        id: i64,
    ) -> Result<Arc<Release>, RolloutError> {
        if let Some(release) = organization.held.get(&id) {
            return Ok(Arc::clone(release));
        }
        let row = self.database.release(organization.id, id).await?;
        Err(match row {
            None => RolloutError::NoSuchRelease(id),
            Some(row) if row.withdrawn_at.is_some() => RolloutError::Withdrawn(id),
            Some(_) => RolloutError::NotHeld(id),
        })
    }

    /// Does something to a rollout. What is answered is on the disk.
    pub(crate) async fn act(
        &self,
        organization: &Organization,
        id: i64,
        action: Action,
        by: i64,
    ) -> Result<(), RolloutError> {
        let table = self
            .of(organization.id)
            .ok_or(RolloutError::NoSuchRollout)?;
        let now = self.clock.now();
        let (ticket, release, tried_again) = {
            let mut at = table.lock(now);
            let rollout = at.laid.board.get(id).ok_or(RolloutError::NoSuchRollout)?;
            let event = event(action, rollout, by)?;
            let tried_again = match event {
                Event::Retried => what_went_wrong(rollout),
                _ => Vec::new(),
            };
            let release = rollout.plan().release;
            (at.happens(id, Some(by), event), release, tried_again)
        };
        self.forget_offers(organization, release, &tried_again);
        let started = self.start_if_due(organization, &table, id, now);
        self.on_the_disk(started.unwrap_or(ticket)).await?;
        tracing::info!(organization = organization.name, rollout = id, action = ?action, "rollout changed");
        Ok(())
    }

    /// How often they were sent it before does not count any more.
    fn forget_offers(&self, organization: &Organization, release: i64, devices: &[Box<str>]) {
        let Some(release) = organization.held.get(&release) else {
            return;
        };
        for node in devices {
            if let Some(device) = self.registry.find(organization.id, node) {
                let mut state = device.lock();
                state.forget_offers(release.partition.as_deref());
                let newly_changed = state.queue();
                drop(state);
                if newly_changed {
                    self.registry.changed(device);
                }
            }
        }
    }

    async fn on_the_disk(&self, ticket: Ticket) -> Result<(), RolloutError> {
        if self.log.stored(ticket).await {
            Ok(())
        } else {
            Err(RolloutError::NotStored)
        }
    }

    /// Aborts the rollouts of a release that was withdrawn.
    pub(crate) async fn withdrawn(
        &self,
        organization: i64,
        release: i64,
        by: i64,
    ) -> Result<(), RolloutError> {
        let Some(table) = self.of(organization) else {
            return Ok(());
        };
        let ticket = {
            let mut at = table.lock(self.clock.now());
            let of_release = |live: &&Live| live.release == release;
            let live: Vec<_> = at.laid.live.iter().filter(of_release).copied().collect();
            for live in live {
                at.happens(live.rollout, Some(by), Event::Aborted);
            }
            at.last()
        };
        self.on_the_disk(ticket).await
    }

    /// What a crash left between a withdrawal and the end of its rollouts.
    fn abort_what_was_withdrawn(&self) {
        let snapshot = self.catalog.snapshot();
        for (organization, table) in self.all_tables() {
            let organization = snapshot.by_id(organization);
            let mut at = table.lock(self.clock.now());
            for live in at.laid.live.clone() {
                let is_gone =
                    |organization: &Arc<Organization>| organization.has_withdrawn(live.release);
                if organization.is_some_and(is_gone) {
                    at.happens(live.rollout, None, Event::Aborted);
                }
            }
        }
    }

    /// Starts a rollout if its time has come: takes in the devices that it is for, and cuts them into stages.
    fn start_if_due(
        &self,
        organization: &Organization,
        table: &Table,
        id: i64,
        now: Timestamp,
    ) -> Option<Ticket> {
        let plan = {
            let at = table.lock(now);
            let rollout = at.laid.board.get(id)?;
            rollout.is_due(at.now()).then(|| rollout.plan().clone())?
        };
        let release = organization.held.get(&plan.release)?;
        let devices = self.devices_for(organization, release, &plan, now);
        let mut at = table.lock(now);
        // Somebody else may have been faster meanwhile, or have paused it.
        at.laid
            .board
            .get(id)
            .filter(|rollout| rollout.is_due(at.now()))?;
        for devices in devices.chunks(JOINED_AT_ONCE) {
            let devices = devices.to_vec();
            at.happens(id, None, Event::Joined { devices });
        }
        Some(at.happens(id, None, Event::Started))
    }

    /// The devices that a rollout is for, as they are now.
    fn devices_for(
        &self,
        organization: &Organization,
        release: &Release,
        plan: &Plan,
        now: Timestamp,
    ) -> Vec<Box<str>> {
        let now = Millis(now.0);
        let all = self.registry.list(organization.id, None, usize::MAX);
        let is_chosen = |device: &&Arc<Device>| {
            let state = device.lock();
            is_for(release, &state.project, &device.node, &state.key)
                && belongs(plan, &state.facts(&device.node, organization), now)
        };
        let chosen = all.iter().filter(is_chosen);
        chosen.map(|device| device.node.clone()).collect()
    }

    /// What time brings: rollouts that start now, devices that have not answered.
    pub(crate) fn look_after_time(&self) {
        let snapshot = self.catalog.snapshot();
        let now = self.clock.now();
        for (id, table) in self.all_tables() {
            let Some(organization) = snapshot.by_id(id) else {
                continue;
            };
            let due: Vec<i64> = {
                let mut at = table.lock(now);
                let overdue = at.laid.board.overdue(at.now());
                let overdue: Vec<_> = overdue
                    .map(|(rollout, device)| (rollout, Box::from(device)))
                    .collect();
                for (rollout, device) in overdue {
                    at.happens(rollout, None, Event::TimedOut { device });
                }
                let rollouts = at.laid.live.iter().map(|live| live.rollout);
                let is_due = |id: &i64| {
                    let rollout = at.laid.board.get(*id);
                    rollout.is_some_and(|rollout| rollout.is_due(at.now()))
                };
                rollouts.filter(is_due).collect()
            };
            for rollout in due {
                self.start_if_due(organization, &table, rollout, now);
            }
        }
    }

    /// Looks after all that, and follows it into the database. It goes on doing so when the server is told to stop, for answers that
    /// are under way: the caller flushes one last time, and then ends this.
    pub(crate) async fn run(&self, mut phase: watch::Receiver<Phase>) {
        let writing = self.log.run();
        let looking = async {
            let mut look = tokio::time::interval(LOOK);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = look.tick() => self.look_after_time(),
                    () = ending(&mut phase) => return,
                }
            }
        };
        tokio::join!(writing, looking);
    }

    /// Writes what happened up to now.
    pub(crate) async fn flush(&self) -> Result<(), sqlx::Error> {
        self.log.flush().await
    }
}

/// What an action comes to, if it may be done now.
fn event(action: Action, rollout: &Rollout, by: i64) -> Result<Event, RolloutError> {
    let status = rollout.status();
    let not_now = |done| Err(RolloutError::NotNow(status, done));
    match (action, status) {
        (Action::Abort, _) => Ok(Event::Aborted),
        (Action::Approve, Status::WaitingForApproval) if rollout.created_by() == Some(by) => {
            Err(RolloutError::SamePerson)
        }
        (Action::Approve, Status::WaitingForApproval) => Ok(Event::Approved),
        (Action::Approve, _) => not_now("approved"),
        (Action::Pause, Status::Aborted | Status::Stopped(_)) => not_now("paused"),
        (Action::Pause, _) => Ok(Event::Paused),
        (Action::Resume, Status::Paused | Status::Stopped(_)) => Ok(Event::Resumed),
        (Action::Resume, _) => not_now("resumed"),
        (Action::Retry, Status::Aborted | Status::WaitingForApproval | Status::Scheduled) => {
            not_now("retried")
        }
        (Action::Retry, _) => Ok(Event::Retried),
    }
}

/// Devices that a retry is about.
fn what_went_wrong(rollout: &Rollout) -> Vec<Box<str>> {
    let members = rollout
        .members()
        .filter(|(_, member)| member.state().went_wrong());
    members.map(|(name, _)| name.into()).collect()
}
