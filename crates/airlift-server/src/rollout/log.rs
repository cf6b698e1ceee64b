//! What happens to rollouts, on its way into the database.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use airlift_rollout::Record;
use tokio::sync::{Notify, watch};

use crate::store::database::Database;

/// How long to wait before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The log. Records are stored in the order in which they were pushed, or not at all.
pub(super) struct Log {
    database: Database,
    queue: Mutex<Queue>,
    wake: Notify,
    progress: watch::Sender<Progress>,
    /// One flush at a time.
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Record>,
    last: u64,
}

/// Numbers of records.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// All up to this one are on the disk.
    stored: u64,
    /// It was tried in vain to store all up to this one.
    failed: u64,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Log {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            queue: Mutex::default(),
            wake: Notify::new(),
            progress: watch::Sender::default(),
            flushing: tokio::sync::Mutex::new(()),
        }
    }

    /// Puts a record in line. Call with the table locked, so that it stands where it happened.
    pub(super) fn push(&self, record: Record) -> Ticket {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push(record);
        queue.last += 1;
        self.wake.notify_one();
        Ticket(queue.last)
    }

    /// The last place up to now.
    pub(super) fn last(&self) -> Ticket {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        Ticket(queue.last)
    }

    /// Waits until everything up to there is on the disk. `false`: it could not be written just now.
    pub(super) async fn stored(&self, Ticket(place): Ticket) -> bool {
        let mut progress = self.progress.subscribe();
        let decided = progress
            .wait_for(|progress| progress.stored.max(progress.failed) >= place)
            .await;
        decided.is_ok_and(|progress| progress.stored >= place)
    }

    /// Writes for as long as there may be answers that wait for it. The caller flushes one last time, and then ends this.
    pub(super) async fn run(&self) {
        let mut failing = false;
        loop {
            self.wake.notified().await;
            match self.flush().await {
                Ok(()) if failing => {
                    tracing::warn!("rollouts are written to the database again");
                    failing = false;
                }
                Ok(()) => {}
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "rollouts cannot be written to the database: they offer nothing until they can be");
                        failing = true;
                    }
                    tokio::time::sleep(PAUSE).await;
                    self.wake.notify_one();
                }
            }
        }
    }

    /// Writes what waits. What cannot be written stays in line.
    pub(super) async fn flush(&self) -> Result<(), sqlx::Error> {
        let _flushing = self.flushing.lock().await;
        let (mut batch, last) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut queue.waiting), queue.last)
        };
        if batch.is_empty() {
            return Ok(());
        }
        let outcome = self.database.save_rollout_events(&batch).await;
        if outcome.is_err() {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            batch.append(&mut queue.waiting);
            queue.waiting = batch;
        }
        self.progress.send_modify(|progress| match outcome {
            Ok(()) => progress.stored = last,
            Err(_) => progress.failed = last,
        });
        outcome
    }
}
