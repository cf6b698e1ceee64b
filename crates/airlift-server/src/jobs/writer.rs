//! Executions on their way into the database: what comes in while one commit waits for the disk goes into the next one, together.

use tokio::sync::{mpsc, oneshot};

use crate::store::database::Database;
use crate::store::jobs::ExecutionRow;

/// Changes that may wait. Who has one more waits for a place.
const WAITING: usize = 1024;
/// Changes in one commit, at most.
const BATCH: usize = 256;

/// Stores executions.
#[derive(Debug, Clone)]
pub(super) struct ExecutionWriter {
    queue: mpsc::Sender<Change>,
}

#[derive(Debug)]
struct Change {
    rows: Vec<ExecutionRow>,
    done: oneshot::Sender<Result<(), sqlx::Error>>,
}

impl ExecutionWriter {
    /// Starts to write. The task ends when the last writer is gone.
    pub(super) fn start(database: Database) -> Self {
        let (queue, changes) = mpsc::channel(WAITING);
        tokio::spawn(write(database, changes));
        Self { queue }
    }

    /// Stores these executions: all of them, or none. When this returns, they are on the disk.
    pub(super) async fn save(&self, rows: Vec<ExecutionRow>) -> Result<(), sqlx::Error> {
        let (done, outcome) = oneshot::channel();
        let change = Change { rows, done };
        // Either fails only when the server is being taken down.
        let closed = |()| sqlx::Error::PoolClosed;
        self.queue.send(change).await.map_err(|_| closed(()))?;
        outcome.await.map_err(|_| closed(()))?
    }
}

async fn write(database: Database, mut changes: mpsc::Receiver<Change>) {
    let mut batch = Vec::new();
    while changes.recv_many(&mut batch, BATCH).await > 0 {
        let all = batch.iter().flat_map(|change| &change.rows);
        match database.save_executions(all).await {
            Ok(()) => {
                for change in batch.drain(..) {
                    let _ = change.done.send(Ok(()));
                }
            }
            // One of them may be at fault, or the disk is full: each gets its own answer.
            Err(_) => {
                for change in batch.drain(..) {
                    let outcome = database.save_executions(change.rows.iter()).await;
                    let _ = change.done.send(outcome);
                }
            }
        }
    }
}
