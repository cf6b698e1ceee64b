//! Rows of devices, of their partitions, and of what happened to them.

use sqlx::sqlite::SqliteArguments;
use sqlx::{FromRow, Sqlite};

use super::database::Database;

/// Events kept of each device.
const KEPT_EVENTS: i64 = 200;

/// A device as it is stored.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DeviceRow {
    pub(crate) organization_id: i64,
    pub(crate) node: String,
    pub(crate) project: String,
    pub(crate) key: String,
    pub(crate) family: Option<String>,
    pub(crate) chip_id: Option<String>,
    pub(crate) base_mac: Option<String>,
    pub(crate) sta_mac: Option<String>,
    pub(crate) ap_mac: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) sketch_md5: Option<String>,
    pub(crate) sketch_sha256: Option<String>,
    pub(crate) sketch_size: Option<i64>,
    pub(crate) free_space: Option<i64>,
    pub(crate) chip_size: Option<i64>,
    pub(crate) sdk_version: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) address: String,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) check_ins: i64,
    pub(crate) device_group: Option<String>,
    pub(crate) tags: String,
    #[sqlx(flatten)]
    pub(crate) update: UpdateRow,
}

/// How updates of one thing go; the same columns in `devices` and `device_partitions`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct UpdateRow {
    pub(crate) decision: String,
    pub(crate) decision_release: Option<i64>,
    pub(crate) offered_sha256: Option<String>,
    pub(crate) offered_count: i64,
    pub(crate) offered_blindly: i64,
    pub(crate) offered_at: Option<i64>,
    pub(crate) result_state: Option<String>,
    pub(crate) result_sha256: Option<String>,
    pub(crate) result_version: Option<String>,
    pub(crate) result_reason: Option<String>,
    pub(crate) result_at: Option<i64>,
}

/// A partition of a device as it is stored.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct PartitionRow {
    pub(crate) organization_id: i64,
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) sha256: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    #[sqlx(flatten)]
    pub(crate) update: UpdateRow,
}

/// What is to be written of a device.
#[derive(Debug)]
pub(crate) struct DeviceChange {
    pub(crate) device: DeviceRow,
    /// Those that changed.
    pub(crate) partitions: Vec<PartitionRow>,
    /// Since the last time.
    pub(crate) events: Vec<EventRow>,
}

/// Something that happened to a device.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EventRow {
    pub(crate) organization_id: i64,
    pub(crate) node: String,
    pub(crate) at: i64,
    pub(crate) event: String,
    /// `None`: it happened to the app.
    pub(crate) partition: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) reason: Option<String>,
}

pub(super) const DEVICES: &str = "SELECT organization_id, node, project, key, family, chip_id, base_mac, sta_mac, \
     ap_mac, version, sketch_md5, sketch_sha256, sketch_size, free_space, chip_size, sdk_version, user_agent, address, \
     first_seen, last_seen, check_ins, device_group, tags, decision, decision_release, offered_sha256, offered_count, \
     offered_blindly, offered_at, result_state, result_sha256, result_version, result_reason, result_at FROM devices";
pub(super) const SAVE_DEVICE: &str = "INSERT INTO devices (organization_id, node, project, key, family, chip_id, \
     base_mac, sta_mac, ap_mac, version, sketch_md5, sketch_sha256, sketch_size, free_space, chip_size, sdk_version, \
     user_agent, address, first_seen, last_seen, check_ins, device_group, tags, decision, decision_release, offered_sha256, \
     offered_count, offered_blindly, offered_at, result_state, result_sha256, result_version, result_reason, result_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
     $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34) \
     ON CONFLICT (organization_id, node) DO UPDATE SET project = excluded.project, key = excluded.key, \
     family = excluded.family, chip_id = excluded.chip_id, base_mac = excluded.base_mac, sta_mac = excluded.sta_mac, \
     ap_mac = excluded.ap_mac, version = excluded.version, sketch_md5 = excluded.sketch_md5, \
     sketch_sha256 = excluded.sketch_sha256, sketch_size = excluded.sketch_size, free_space = excluded.free_space, \
     chip_size = excluded.chip_size, sdk_version = excluded.sdk_version, user_agent = excluded.user_agent, \
     address = excluded.address, last_seen = excluded.last_seen, check_ins = excluded.check_ins, \
     device_group = excluded.device_group, tags = excluded.tags, decision = excluded.decision, decision_release = excluded.decision_release, \
     offered_sha256 = excluded.offered_sha256, offered_count = excluded.offered_count, \
     offered_blindly = excluded.offered_blindly, \
     offered_at = excluded.offered_at, result_state = excluded.result_state, result_sha256 = excluded.result_sha256, \
     result_version = excluded.result_version, result_reason = excluded.result_reason, result_at = excluded.result_at";
pub(super) const PARTITIONS: &str = "SELECT organization_id, node, name, sha256, version, first_seen, last_seen, decision, \
     decision_release, offered_sha256, offered_count, offered_blindly, offered_at, result_state, result_sha256, \
     result_version, result_reason, result_at FROM device_partitions ORDER BY name";
pub(super) const SAVE_PARTITION: &str = "INSERT INTO device_partitions (organization_id, node, name, sha256, version, \
     first_seen, last_seen, decision, decision_release, offered_sha256, offered_count, offered_blindly, offered_at, \
     result_state, result_sha256, result_version, result_reason, result_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) \
     ON CONFLICT (organization_id, node, name) DO UPDATE SET sha256 = excluded.sha256, version = excluded.version, \
     last_seen = excluded.last_seen, decision = excluded.decision, decision_release = excluded.decision_release, \
     offered_sha256 = excluded.offered_sha256, offered_count = excluded.offered_count, \
     offered_blindly = excluded.offered_blindly, offered_at = excluded.offered_at, \
     result_state = excluded.result_state, result_sha256 = excluded.result_sha256, \
     result_version = excluded.result_version, result_reason = excluded.result_reason, result_at = excluded.result_at";
pub(super) const INSERT_EVENT: &str = "INSERT INTO device_events (organization_id, node, at, event, partition, version, \
     sha256, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
pub(super) const PRUNE_EVENTS: &str = "DELETE FROM device_events WHERE organization_id = $1 AND node = $2 AND id <= \
     (SELECT id FROM device_events WHERE organization_id = $1 AND node = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";
pub(super) const EVENTS: &str = "SELECT organization_id, node, at, event, partition, version, sha256, reason FROM \
     device_events WHERE organization_id = $1 AND node = $2 ORDER BY id DESC LIMIT $3";

impl Database {
    /// Every device of every organization.
    pub(crate) async fn devices(&self) -> Result<Vec<DeviceRow>, sqlx::Error> {
        sqlx::query_as(DEVICES).fetch_all(&self.read).await
    }

    /// Every partition of every device.
    pub(crate) async fn partitions(&self) -> Result<Vec<PartitionRow>, sqlx::Error> {
        sqlx::query_as(PARTITIONS).fetch_all(&self.read).await
    }

    /// Writes devices, their partitions and new events, all or nothing.
    pub(crate) async fn save_devices(&self, changes: &[DeviceChange]) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin().await?;
        for change in changes {
            let d = &change.device;
            let query = sqlx::query(SAVE_DEVICE)
                .bind(d.organization_id)
                .bind(&d.node)
                .bind(&d.project)
                .bind(&d.key)
                .bind(&d.family)
                .bind(&d.chip_id)
                .bind(&d.base_mac)
                .bind(&d.sta_mac)
                .bind(&d.ap_mac)
                .bind(&d.version)
                .bind(&d.sketch_md5)
                .bind(&d.sketch_sha256)
                .bind(d.sketch_size)
                .bind(d.free_space)
                .bind(d.chip_size)
                .bind(&d.sdk_version)
                .bind(&d.user_agent)
                .bind(&d.address)
                .bind(d.first_seen)
                .bind(d.last_seen)
                .bind(d.check_ins)
                .bind(&d.device_group)
                .bind(&d.tags);
            bind_update(query, &d.update)
                .execute(&mut *transaction)
                .await?;
            for p in &change.partitions {
                let query = sqlx::query(SAVE_PARTITION)
                    .bind(p.organization_id)
                    .bind(&p.node)
                    .bind(&p.name)
                    .bind(&p.sha256)
                    .bind(&p.version)
                    .bind(p.first_seen)
                    .bind(p.last_seen);
                bind_update(query, &p.update)
                    .execute(&mut *transaction)
                    .await?;
            }
            for e in &change.events {
                sqlx::query(INSERT_EVENT)
                    .bind(e.organization_id)
                    .bind(&e.node)
                    .bind(e.at)
                    .bind(&e.event)
                    .bind(&e.partition)
                    .bind(&e.version)
                    .bind(&e.sha256)
                    .bind(&e.reason)
                    .execute(&mut *transaction)
                    .await?;
            }
            if !change.events.is_empty() {
                sqlx::query(PRUNE_EVENTS)
                    .bind(d.organization_id)
                    .bind(&d.node)
                    .bind(KEPT_EVENTS)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await
    }

    /// What happened to a device, newest first.
    pub(crate) async fn events(
        &self,
        organization: i64,
        node: &str,
        limit: i64,
    ) -> Result<Vec<EventRow>, sqlx::Error> {
        sqlx::query_as(EVENTS)
            .bind(organization)
            .bind(node)
            .bind(limit)
            .fetch_all(&self.read)
            .await
    }
}

type Statement<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// The columns of an [`UpdateRow`], which are the last ones of a statement.
fn bind_update<'q>(query: Statement<'q>, u: &'q UpdateRow) -> Statement<'q> {
    query
        .bind(&u.decision)
        .bind(u.decision_release)
        .bind(&u.offered_sha256)
        .bind(u.offered_count)
        .bind(u.offered_blindly)
        .bind(u.offered_at)
        .bind(&u.result_state)
        .bind(&u.result_sha256)
        .bind(&u.result_version)
        .bind(&u.result_reason)
        .bind(u.result_at)
}
