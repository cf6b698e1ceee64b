//! Stages: who is in which one, and when one is over.

use serde::Serialize;

use super::member::Bucket;
use crate::{Millis, Plan, Share};

/// A stage of a rollout that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// It is that of the named devices.
    pub is_canary: bool,
    /// How many devices there were up to its end when the rollout started.
    pub up_to: usize,
    /// When it opened.
    pub opened_at: Option<Millis>,
    /// How far its devices are.
    pub counts: Counts,
}

/// How many devices are how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Not offered the release yet.
    pub waiting: usize,
    /// In an unfinished update.
    pub offered: usize,
    /// Run, or hold, the release.
    pub confirmed: usize,
    /// Refused it, rolled it back, or failed.
    pub failed: usize,
    /// Have not answered for too long.
    pub timed_out: usize,
    /// Failed, timed out or were skipped before somebody let the rollout go on.
    pub forgiven: usize,
    /// Had no use for it when they asked.
    pub skipped: usize,
    /// Are not chosen by the filter any more.
    pub left: usize,
}

impl Counts {
    fn of(&mut self, bucket: Bucket) -> &mut usize {
        match bucket {
            Bucket::Waiting => &mut self.waiting,
            Bucket::Offered => &mut self.offered,
            Bucket::Confirmed => &mut self.confirmed,
            Bucket::Failed => &mut self.failed,
            Bucket::TimedOut => &mut self.timed_out,
            Bucket::Forgiven => &mut self.forgiven,
            Bucket::Skipped => &mut self.skipped,
            Bucket::Left => &mut self.left,
        }
    }

    pub(super) fn add(&mut self, bucket: Bucket) {
        *self.of(bucket) += 1;
    }

    pub(super) fn remove(&mut self, bucket: Bucket) {
        let count = self.of(bucket);
        debug_assert!(*count > 0, "{bucket:?} is counted");
        *count = count.saturating_sub(1);
    }

    /// Devices that thresholds are about.
    #[must_use]
    pub fn counting(&self) -> usize {
        self.under_way() + self.confirmed + self.went_wrong()
    }

    /// Devices of which something is still to come.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.waiting + self.offered
    }

    /// Devices that count against the rollout.
    #[must_use]
    pub fn went_wrong(&self) -> usize {
        self.failed + self.timed_out
    }

    /// Whether that many percent have confirmed. Where nobody counts there is nothing to wait for, unless that is because the
    /// devices had no use for the release: then nothing was learnt from them.
    pub(super) fn reach(&self, percent: u8) -> bool {
        match self.counting() {
            0 => self.skipped == 0,
            all => self.confirmed * 100 >= all * usize::from(percent),
        }
    }

    /// Whether that many percent, and one at least, have failed.
    pub(super) fn fail(&self, percent: u8) -> bool {
        let failed = self.went_wrong();
        failed > 0 && failed * 100 >= self.counting() * usize::from(percent)
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.offered += other.offered;
        self.confirmed += other.confirmed;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.forgiven += other.forgiven;
        self.skipped += other.skipped;
        self.left += other.left;
    }
}

/// The stages of a plan, for so many devices of which the first `canaries` are named.
pub(super) fn cut(plan: &Plan, canaries: usize, all: usize) -> Vec<Stage> {
    let stage = |is_canary, up_to| Stage {
        is_canary,
        up_to,
        opened_at: None,
        counts: Counts::default(),
    };
    let mut stages = Vec::new();
    if canaries > 0 {
        stages.push(stage(true, canaries));
    }
    let mut reached = canaries;
    let shares = plan
        .stages
        .iter()
        .filter(|share| **share != Share::Percent(100));
    for share in shares {
        reached = reached.max(share.of(all));
        stages.push(stage(false, reached));
    }
    stages.push(stage(false, all));
    stages
}

/// Where a device stands among the others of a rollout: as good as random, and always the same.
///
/// FNV-1a over the number of the rollout (8 bytes, little-endian) and the name, then the finalizer of `MurmurHash3`: alone, the
/// former leaves names that differ in the last character side by side.
pub(super) fn place(rollout: i64, device: &str) -> u64 {
    let bytes = rollout.to_le_bytes().into_iter().chain(device.bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
