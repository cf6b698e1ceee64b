//! The queue of one thing in memory: one desk a thing, and one request at a time at it.
//!
//! What a request changes is on the disk before it is answered. Whatever goes wrong on the way, the desk is left empty and the
//! next request reads the queue anew.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedMutexGuard, watch};

use super::execution::Execution;
use super::job::Job;
use super::notice::Signals;
use super::queue::{Outcome, Queue};
use super::refusal::{Code, Refusal};
use super::service::AwsService;
use super::thing::Thing;
use crate::clock::Timestamp;

/// Requests of one thing that may wait for each other.
const WAITING: usize = 64;
/// Desks of things that are not here are kept up to so many, or as many as there are others.
const SPARE_DESKS: usize = 1024;

/// The desks by the things' ids.
#[derive(Default)]
pub(super) struct Desks {
    by_thing: Mutex<Kept<Arc<Desk>>>,
    /// Jobs that some desk has. Held while one is read, so that what was read before a change never comes in behind it.
    jobs: tokio::sync::Mutex<Kept<Weak<Job>>>,
}

/// Things by id, looked through for what nobody needs whenever their number has doubled.
struct Kept<T> {
    by_id: HashMap<i64, T>,
    next_look: usize,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            next_look: SPARE_DESKS,
        }
    }
}

impl<T> Kept<T> {
    fn tidy(&mut self, is_needed: impl Fn(&T) -> bool) {
        if self.by_id.len() >= self.next_look {
            self.by_id.retain(|_, one| is_needed(one));
            self.next_look = (2 * self.by_id.len()).max(SPARE_DESKS);
        }
    }
}

/// What is known of one thing at the moment.
#[derive(Default)]
pub(super) struct Desk {
    /// `None`: it is to be read first.
    queue: Arc<tokio::sync::Mutex<Option<Queue>>>,
    waiting: AtomicUsize,
    signals: watch::Sender<Signals>,
    presence: Mutex<Presence>,
}

/// Whether the thing is connected.
#[derive(Default)]
pub(super) struct Presence {
    sessions: usize,
    who: Option<(Arc<Thing>, IpAddr)>,
}

impl Desk {
    pub(super) fn signals(&self) -> watch::Receiver<Signals> {
        self.signals.subscribe()
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(&self, thing: &Arc<Thing>, address: IpAddr) {
        let mut presence = self.presence();
        presence.sessions += 1;
        presence.who = Some((Arc::clone(thing), address));
    }

    pub(super) fn disconnected(&self) {
        let mut presence = self.presence();
        presence.sessions = presence.sessions.saturating_sub(1);
        if presence.sessions == 0 {
            presence.who = None;
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        Some(self.presence().who.as_ref()?.1)
    }

    /// Says whether the thing may be here. Its connections are told when it may not.
    pub(super) fn set_over(&self, is_over: bool) {
        self.signals
            .send_modify(|signals| signals.is_over = is_over);
    }

    fn signal(&self, list: bool, next: bool) {
        self.signals.send_if_modified(|signals| {
            signals.list += u64::from(list);
            signals.next += u64::from(next);
            list || next
        });
    }
}

impl Desks {
    fn lock(&self) -> MutexGuard<'_, Kept<Arc<Desk>>> {
        self.by_thing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, thing: i64) -> Arc<Desk> {
        let mut desks = self.lock();
        // Who uses one holds a count of it: a connection by its notices, a request for as long as it lasts.
        desks.tidy(|desk| Arc::strong_count(desk) > 1 || desk.presence().sessions > 0);
        Arc::clone(desks.by_id.entry(thing).or_default())
    }

    /// The desk of that thing, if it has one.
    pub(super) fn find(&self, thing: i64) -> Option<Arc<Desk>> {
        self.lock().by_id.get(&thing).cloned()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// The connected things of which that is true.
    pub(super) fn connected(&self, is_wanted: impl Fn(&Thing) -> bool) -> Vec<Arc<Thing>> {
        let desks = self.lock();
        let who = desks.by_id.values().filter_map(|desk| {
            let presence = desk.presence();
            let (thing, _) = presence.who.as_ref()?;
            is_wanted(thing).then(|| Arc::clone(thing))
        });
        who.collect()
    }
}

/// A request at a desk.
pub(super) struct Seat<'a> {
    service: &'a AwsService,
    pub(super) thing: &'a Arc<Thing>,
    desk: Arc<Desk>,
    /// Empty for as long as the request lasts.
    kept: OwnedMutexGuard<Option<Queue>>,
    queue: Queue,
    outcome: Outcome,
    pub(super) now: Timestamp,
}

/// Counts a request that waits.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AwsService {
    /// Waits for a seat at the desk of that thing, for a request of it. What has timed out meanwhile has then ended.
    pub(super) async fn sit<'a>(&'a self, thing: &'a Arc<Thing>) -> Result<Seat<'a>, Refusal> {
        let desk = self.desks.of(thing.id);
        let ahead = desk.waiting.fetch_add(1, Ordering::Relaxed);
        let _turn = Turn(&desk.waiting);
        if ahead >= WAITING {
            return Err(Refusal::new(
                Code::RequestThrottled,
                "too many requests of this thing are waiting: send the next one when one is answered",
            ));
        }
        self.sit_down(thing, false).await
    }

    /// The same for something that the thing did not ask for: it waits for as long as it takes.
    pub(super) async fn sit_unasked<'a>(
        &'a self,
        thing: &'a Arc<Thing>,
    ) -> Result<Seat<'a>, Refusal> {
        self.sit_down(thing, false).await
    }

    /// The same, with the queue as it is in the database: something was changed there.
    pub(super) async fn sit_anew<'a>(&'a self, thing: &'a Arc<Thing>) -> Result<Seat<'a>, Refusal> {
        self.sit_down(thing, true).await
    }

    async fn sit_down<'a>(
        &'a self,
        thing: &'a Arc<Thing>,
        anew: bool,
    ) -> Result<Seat<'a>, Refusal> {
        let desk = self.desks.of(thing.id);
        let kept = Arc::clone(&desk.queue).lock_owned().await;
        let mut seat = Seat {
            service: self,
            thing,
            desk,
            kept,
            queue: Queue::default(),
            outcome: Outcome::default(),
            now: self.clock.now(),
        };
        match (seat.kept.take(), anew) {
            (Some(queue), false) => seat.queue = queue,
            (Some(queue), true) => {
                seat.queue = queue;
                let fresh = self.load(thing).await?;
                seat.act(|queue, _| queue.replace(fresh));
            }
            (None, _) => {
                seat.queue = self.load(thing).await?;
                // Nobody knows what the thing was told: better once more than never.
                seat.outcome.list_changed = anew;
                seat.outcome.next_changed = anew;
            }
        }
        seat.act(Queue::settle);
        Ok(seat)
    }

    async fn load(&self, thing: &Thing) -> Result<Queue, Refusal> {
        let rows = self.database().pending_executions(thing.id).await?;
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            // Deleted in this moment.
            let Some(job) = self.job(row.job).await? else {
                continue;
            };
            pending.push(Execution::read(&row, job)?);
        }
        Ok(Queue::new(pending))
    }

    /// The job of that id.
    pub(super) async fn job(&self, id: i64) -> Result<Option<Arc<Job>>, Refusal> {
        let mut jobs = self.desks.jobs.lock().await;
        if let Some(job) = jobs.by_id.get(&id).and_then(Weak::upgrade) {
            return Ok(Some(job));
        }
        let Some(row) = self.database().job(id).await? else {
            return Ok(None);
        };
        let files = self.database().job_files(id).await?;
        let job = Arc::new(Job::read(row, &files)?);
        jobs.tidy(|job| job.strong_count() > 0);
        jobs.by_id.insert(id, Arc::downgrade(&job));
        Ok(Some(job))
    }

    /// Changes a job in the database; from then on it is read anew.
    pub(super) async fn change_job(
        &self,
        id: i64,
        change: impl Future<Output = Result<(), sqlx::Error>>,
    ) -> Result<(), sqlx::Error> {
        let mut jobs = self.desks.jobs.lock().await;
        change.await?;
        jobs.by_id.remove(&id);
        Ok(())
    }
}

impl Seat<'_> {
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Lets something be done to the queue.
    pub(super) fn act(&mut self, act: impl FnOnce(&mut Queue, Timestamp) -> Outcome) {
        let outcome = act(&mut self.queue, self.now);
        self.note(outcome);
    }

    /// The same with something that may be refused, and then changes nothing.
    pub(super) fn try_act<E>(
        &mut self,
        act: impl FnOnce(&mut Queue, Timestamp) -> Result<Outcome, E>,
    ) -> Result<Outcome, E> {
        let outcome = act(&mut self.queue, self.now)?;
        self.note(outcome.clone());
        Ok(outcome)
    }

    fn note(&mut self, outcome: Outcome) {
        self.outcome = std::mem::take(&mut self.outcome).and(outcome);
    }

    /// Stores what changed and says what is to be said. When this returns, all of it is on the disk.
    pub(super) async fn leave(self) -> Result<(), Refusal> {
        let Self {
            service,
            thing,
            desk,
            mut kept,
            queue,
            outcome,
            ..
        } = self;
        let rows: Vec<_> = outcome
            .changed
            .iter()
            .map(|execution| execution.row(thing.id))
            .collect();
        let (list, next) = (outcome.list_changed, outcome.next_changed);
        if rows.is_empty() {
            *kept = Some(queue);
            desk.signal(list, next);
            return Ok(());
        }
        let writer = service.writer.clone();
        // In a task of its own: a client that hangs up does not take the seat away while the rows are on their way.
        let stored = tokio::spawn(async move {
            let stored = writer.save(rows).await;
            if stored.is_ok() {
                *kept = Some(queue);
                desk.signal(list, next);
            }
            stored
        });
        stored
            .await
            .map_err(|error| Refusal::internal(&error))?
            .map_err(Refusal::from)
    }
}
