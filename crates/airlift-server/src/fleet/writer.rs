//! Follows the registry into the database, in batches, off the path of any request.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::registry::Registry;
use crate::server::{Phase, ending};
use crate::store::database::Database;

/// Devices in one transaction: long enough to be cheap, short enough to let a publication in between.
const BATCH: usize = 1000;

/// Writes changed devices.
pub(crate) struct Writer {
    registry: Arc<Registry>,
    database: Database,
    /// One flush at a time, so that an older state of a device never overwrites a newer one.
    flushing: Mutex<()>,
}

impl Writer {
    pub(crate) fn new(registry: Arc<Registry>, database: Database) -> Self {
        Self {
            registry,
            database,
            flushing: Mutex::new(()),
        }
    }

    /// Writes every `pause` until told to stop. The caller flushes one last time.
    pub(crate) async fn run(&self, pause: Duration, mut phase: watch::Receiver<Phase>) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ending(&mut phase) => return,
            }
            match self.flush().await {
                Ok(()) if failing => {
                    tracing::warn!("devices are written to the database again");
                    failing = false;
                }
                Err(error) if !failing => {
                    tracing::error!(%error, "devices cannot be written to the database; they stay in memory and are tried again");
                    failing = true;
                }
                _ => {}
            }
        }
    }

    /// Writes what changed up to now. What cannot be written stays in line.
    pub(crate) async fn flush(&self) -> Result<(), sqlx::Error> {
        let _flushing = self.flushing.lock().await;
        let changed = self.registry.take_changed();
        let mut outcome = Ok(());
        for batch in changed.chunks(BATCH) {
            if outcome.is_err() {
                // Still marked as waiting.
                batch
                    .iter()
                    .for_each(|device| self.registry.changed(Arc::clone(device)));
                continue;
            }
            let changes: Vec<_> = batch.iter().map(|device| device.take_change()).collect();
            outcome = self.database.save_devices(&changes).await;
            if outcome.is_err() {
                for (device, change) in batch.iter().zip(changes) {
                    if device.put_back(change) {
                        self.registry.changed(Arc::clone(device));
                    }
                }
            }
        }
        outcome
    }
}
