//! Where the device leaves word of itself, and where orders wait for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use airlift_sim::client::{
    DataReport, DeviceError, Event, Order, PartitionReport, Polled, Running, SET_PLACE, SetReport,
};
use serde::Serialize;

/// What the device last said of itself: the document of `GET /api/status`.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Status {
    pub(super) node: String,
    /// `null` until the device has started.
    pub(super) app: Option<AppStatus>,
    pub(super) partitions: Vec<PartitionReport>,
    /// The data of the app; `null`: it has none.
    pub(super) data: Option<DataReport>,
    /// The last set of parts; `null`: there was none.
    pub(super) set: Option<SetReport>,
    /// An update is going on, or about to.
    pub(super) busy: bool,
    /// How far it is.
    pub(super) progress: Option<Progress>,
    pub(super) last_update: Option<LastUpdate>,
    /// What an update can be for, besides the app.
    pub(super) targets: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct AppStatus {
    pub(super) slot: String,
    pub(super) project: String,
    pub(super) version: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Progress {
    /// `app`, or the name of a partition.
    pub(super) target: String,
    pub(super) at: u32,
    pub(super) size: u32,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct LastUpdate {
    /// `app`, or the name of a partition.
    pub(super) target: String,
    /// `updated`, `refused`, `rolled-back`, `restored`, `interrupted`, `failed`, `nothing-new`.
    pub(super) result: &'static str,
    /// For people.
    pub(super) message: String,
}

#[derive(Default)]
struct State {
    status: Status,
    order: Option<Order>,
    working: bool,
    /// What the update that goes on is for.
    target: Option<String>,
}

/// Shared by the device and its page.
#[derive(Default)]
pub(in crate::device) struct Desk {
    state: Mutex<State>,
    wake: Condvar,
}

/// Why an order is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    Busy,
    UnknownTarget,
}

impl Desk {
    pub(in crate::device) fn new(node: &str, targets: Vec<String>) -> Self {
        let desk = Self::default();
        let mut state = desk.lock();
        state.status.node = node.to_owned();
        state.status.targets = targets;
        drop(state);
        desk
    }

    /// Nothing that is done under the lock can leave half a state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        let state = self.lock();
        let mut status = state.status.clone();
        status.busy = state.working || state.order.is_some();
        status
    }

    /// Leaves an order for the device.
    pub(super) fn order(&self, order: Order) -> Result<(), NotTaken> {
        let mut state = self.lock();
        if let Some(name) = &order.partition
            && !state.status.targets.contains(name)
        {
            return Err(NotTaken::UnknownTarget);
        }
        if state.working || state.order.is_some() {
            return Err(NotTaken::Busy);
        }
        state.order = Some(order);
        drop(state);
        self.wake.notify_all();
        Ok(())
    }

    /// The device takes the order that waits.
    pub(in crate::device) fn take_order(&self) -> Option<Order> {
        let mut state = self.lock();
        let order = state.order.take()?;
        state.working = true;
        state.target = Some(target(order.partition.as_deref()));
        Some(order)
    }

    /// The device waits: for this time, or for an order.
    pub(in crate::device) fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut state = self.lock();
        while state.order.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.wake.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The device says what it runs and holds, and that no update is going on.
    pub(in crate::device) fn settle(&self, running: &mut Running<'_>) -> Result<(), DeviceError> {
        let app = AppStatus {
            slot: running.slot(),
            project: running.project().to_owned(),
            version: running.version().to_owned(),
        };
        let (partitions, data, set) = (running.partitions()?, running.data()?, running.set()?);
        let mut state = self.lock();
        state.status.app = Some(app);
        state.status.partitions = partitions;
        state.status.data = data;
        state.status.set = set;
        state.status.progress = None;
        state.working = false;
        state.target = None;
        Ok(())
    }

    /// What a check or an order came to, where no event says it.
    pub(in crate::device) fn note_end(&self, polled: &Result<Polled, DeviceError>) {
        let mut state = self.lock();
        let Some(target) = state.target.clone() else {
            return;
        };
        let (result, message) = match polled {
            Err(error) => ("failed", error.to_string()),
            Ok(Polled::UpToDate) => ("nothing-new", "the server has nothing to send".to_owned()),
            Ok(Polled::Later { .. }) => ("failed", "the server is busy".to_owned()),
            Ok(_) => return,
        };
        state.status.last_update = Some(LastUpdate {
            target,
            result,
            message,
        });
    }

    /// Something happened.
    pub(in crate::device) fn note(&self, event: &Event) {
        let mut state = self.lock();
        let started = |state: &mut State, target: String, at: u32, size: u32| {
            state.working = true;
            state.target = Some(target.clone());
            state.status.progress = Some(Progress { target, at, size });
        };
        let (target, result, message) = match event {
            Event::Offered { size, offset, .. } => {
                return started(&mut state, target(None), *offset, *size);
            }
            Event::PartitionOffered {
                partition,
                size,
                offset,
                ..
            } => return started(&mut state, partition.clone(), *offset, *size),
            Event::Progress { at, .. } | Event::PartitionProgress { at, .. } => {
                if let Some(progress) = &mut state.status.progress {
                    progress.at = *at;
                }
                return;
            }
            Event::Confirmed { version } => (
                target(None),
                "updated",
                format!("version {version} works and stays"),
            ),
            Event::RolledBack { version, .. } => (
                target(None),
                "rolled-back",
                format!("the new image did not stay; version {version} runs again"),
            ),
            Event::Refused { message, reason } => {
                (target(None), "refused", format!("{message} ({reason})"))
            }
            Event::PartitionUpdated { partition, .. } => (
                partition.clone(),
                "updated",
                "it holds the new content".to_owned(),
            ),
            Event::DataPresent { name, version, .. } => (
                name.clone(),
                "updated",
                format!("version {version} is there"),
            ),
            Event::PartitionRefused {
                partition,
                message,
                reason,
                ..
            } => (
                partition.clone(),
                "refused",
                format!("{message} ({reason})"),
            ),
            Event::PartitionRestored {
                partition,
                message,
                reason,
            } => (
                partition.clone(),
                "restored",
                format!("{message} ({reason}); it holds its old content again"),
            ),
            Event::SetDone { version, .. } => (
                SET_PLACE.to_owned(),
                "updated",
                format!("all parts of {version} are in place"),
            ),
            Event::SetUndone { reason } => (
                SET_PLACE.to_owned(),
                "rolled-back",
                format!("all parts are what they were before ({reason})"),
            ),
            Event::SetFailed { reason } => (
                SET_PLACE.to_owned(),
                "failed",
                format!("some parts are new, and some are not ({reason})"),
            ),
            Event::SetRefused {
                reason, message, ..
            } => (
                SET_PLACE.to_owned(),
                "refused",
                format!("{message} ({reason})"),
            ),
            Event::Interrupted { message, .. } => {
                let target = state.target.clone().unwrap_or_else(|| target(None));
                (target, "interrupted", message.clone())
            }
            Event::PowerCut { message } => {
                let target = state.target.clone().unwrap_or_else(|| target(None));
                (
                    target,
                    "interrupted",
                    format!("the power failed: {message}"),
                )
            }
            _ => return,
        };
        state.status.last_update = Some(LastUpdate {
            target,
            result,
            message,
        });
    }
}

fn target(partition: Option<&str>) -> String {
    partition.unwrap_or("app").to_owned()
}
