//! One partition of a device: what lies in it by the device's word, and how its updates go.

use serde::Serialize;

use super::device::set_option;
use super::report::PartitionFacts;
use super::update_state::UpdateState;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::store::fleet::PartitionRow;

/// Partitions of one device that are recorded. Further ones are served all the same: names cost a client nothing.
pub(super) const MAX_PARTITIONS: usize = 16;

/// What a check-in says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionCheckIn<'a> {
    pub(crate) facts: PartitionFacts<'a>,
    /// The device named it. A client that only has a mode means the partition of the release that it is offered; it cannot
    /// say a digest, and what it reports is not about this.
    pub(crate) named: bool,
}

/// What is known of a partition.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Partition {
    pub(crate) name: Box<str>,
    /// What was last installed there.
    pub(super) sha256: Option<Sha256>,
    pub(super) version: Option<Box<str>>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    #[serde(flatten)]
    pub(super) update: UpdateState,
    /// Since the last write to the database.
    #[serde(skip)]
    pub(super) changed: bool,
}

impl Partition {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            sha256: None,
            version: None,
            first_seen: now,
            last_seen: now,
            update: UpdateState::new(),
            changed: true,
        }
    }

    /// Takes in what the device says of it; `true` when something else lies in it than before.
    pub(super) fn hear(&mut self, check_in: &PartitionCheckIn<'_>, now: Timestamp) -> bool {
        let facts = &check_in.facts;
        self.last_seen = now;
        self.changed = true;
        if !check_in.named {
            let is_news = facts.version.is_some() && self.version.as_deref() != facts.version;
            if is_news {
                set_option(&mut self.version, facts.version);
            }
            return is_news;
        }
        let is_news = self.sha256 != facts.sha256 || self.version.as_deref() != facts.version;
        self.sha256 = facts.sha256;
        set_option(&mut self.version, facts.version);
        is_news && (facts.sha256.is_some() || facts.version.is_some())
    }

    pub(super) fn restore(row: &PartitionRow) -> Self {
        let sha256 = row.sha256.as_ref();
        Self {
            name: row.name.as_str().into(),
            sha256: sha256.and_then(|hex| Sha256::parse(hex.as_bytes())),
            version: row.version.as_deref().map(Box::from),
            first_seen: Timestamp(row.first_seen),
            last_seen: Timestamp(row.last_seen),
            update: UpdateState::restore(&row.update),
            changed: false,
        }
    }

    pub(super) fn row(&self, organization_id: i64, node: &str) -> PartitionRow {
        PartitionRow {
            organization_id,
            node: node.to_owned(),
            name: self.name.to_string(),
            sha256: self.sha256.map(|digest| digest.to_string()),
            version: self.version.as_deref().map(str::to_owned),
            first_seen: self.first_seen.0,
            last_seen: self.last_seen.0,
            update: self.update.row(),
        }
    }
}
