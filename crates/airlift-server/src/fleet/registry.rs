//! All devices, in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};

use super::device::Device;
use crate::clock::Timestamp;
use crate::store::fleet::{DeviceRow, PartitionRow};

/// Locks over which the devices are spread, so that check-ins of different devices rarely meet.
const SHARDS: usize = 64;

type Shard = HashMap<i64, HashMap<Box<str>, Arc<Device>>>;

/// The devices of all organizations.
pub(crate) struct Registry {
    shards: [RwLock<Shard>; SHARDS],
    per_organization: Mutex<HashMap<i64, usize>>,
    total: AtomicUsize,
    max_per_organization: usize,
    max_total: usize,
    /// Devices that changed since the last write.
    changed: Mutex<Vec<Arc<Device>>>,
}

impl Registry {
    /// Fills the registry with what was stored. Stored devices count, but are never dropped for a limit.
    pub(crate) fn restore(
        rows: &[DeviceRow],
        partitions: &[PartitionRow],
        max_per_organization: usize,
        max_total: usize,
    ) -> Self {
        let registry = Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            per_organization: Mutex::default(),
            total: AtomicUsize::new(0),
            max_per_organization,
            max_total,
            changed: Mutex::default(),
        };
        for row in rows {
            registry.insert(Device::restore(row));
        }
        for row in partitions {
            if let Some(device) = registry.find(row.organization_id, &row.node) {
                device.restore_partition(row);
            }
        }
        registry
    }

    /// The device of that name.
    pub(crate) fn find(&self, organization: i64, node: &str) -> Option<Arc<Device>> {
        let shard = self
            .shard(node)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(&organization)?.get(node).cloned()
    }

    /// The device of that name, new if need be. `None`: there are as many devices as may be.
    pub(crate) fn find_or_add(
        &self,
        organization: i64,
        node: &str,
        now: Timestamp,
    ) -> Option<Arc<Device>> {
        if let Some(device) = self.find(organization, node) {
            return Some(device);
        }
        {
            let counts = self
                .per_organization
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = counts.get(&organization).copied().unwrap_or(0);
            // Several threads may pass here at once: the limits hold up to a handful, which is what they are for.
            if count >= self.max_per_organization
                || self.total.load(Ordering::Relaxed) >= self.max_total
            {
                // Once: whoever fills the registry would fill the log as well.
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(
                        organization,
                        "the registry is full: new devices are served, but not recorded"
                    );
                });
                tracing::debug!(
                    organization,
                    node,
                    "the registry is full, device not recorded"
                );
                return None;
            }
        }
        Some(self.insert(Device::new(organization, node, now)))
    }

    fn insert(&self, device: Device) -> Arc<Device> {
        let (organization, node) = (device.organization, device.node.clone());
        let mut shard = self
            .shard(&node)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let devices = shard.entry(organization).or_default();
        if let Some(device) = devices.get(&node) {
            return Arc::clone(device);
        }
        let device = Arc::new(device);
        devices.insert(node, Arc::clone(&device));
        drop(shard);
        let mut counts = self
            .per_organization
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *counts.entry(organization).or_default() += 1;
        self.total.fetch_add(1, Ordering::Relaxed);
        device
    }

    /// Devices of an organization in the order of their names, from behind `after` on.
    pub(crate) fn list(
        &self,
        organization: i64,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Device>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let devices = shard
                .get(&organization)
                .into_iter()
                .flat_map(HashMap::values);
            found.extend(
                devices
                    .filter(|device| after.is_none_or(|after| *device.node > *after))
                    .cloned(),
            );
        }
        found.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        found.truncate(limit);
        found
    }

    /// Hands the device to the writer. Call with `queue()` of its state being true.
    pub(crate) fn changed(&self, device: Arc<Device>) {
        self.changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(device);
    }

    /// The devices that changed since the last call.
    pub(super) fn take_changed(&self) -> Vec<Arc<Device>> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shard(&self, node: &str) -> &RwLock<Shard> {
        // FNV-1a. Names chosen to fall into one shard cost only waiting; the maps inside hash with a random key.
        let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}
