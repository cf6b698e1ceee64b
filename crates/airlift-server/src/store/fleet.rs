//! Rows of devices and of what happened to them.

use sqlx::FromRow;

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

/// Something that happened to a device.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EventRow {
    pub(crate) organization_id: i64,
    pub(crate) node: String,
    pub(crate) at: i64,
    pub(crate) event: String,
    pub(crate) version: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) reason: Option<String>,
}

pub(super) const DEVICES: &str = "SELECT organization_id, node, project, key, family, chip_id, base_mac, sta_mac, \
     ap_mac, version, sketch_md5, sketch_sha256, sketch_size, free_space, chip_size, sdk_version, user_agent, address, \
     first_seen, last_seen, check_ins, decision, decision_release, offered_sha256, offered_count, \
     offered_blindly, offered_at, result_state, result_sha256, result_version, result_reason, result_at FROM devices";
pub(super) const SAVE_DEVICE: &str = "INSERT INTO devices (organization_id, node, project, key, family, chip_id, \
     base_mac, sta_mac, ap_mac, version, sketch_md5, sketch_sha256, sketch_size, free_space, chip_size, sdk_version, \
     user_agent, address, first_seen, last_seen, check_ins, decision, decision_release, offered_sha256, offered_count, \
     offered_blindly, offered_at, result_state, result_sha256, result_version, result_reason, result_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
     $24, $25, $26, $27, $28, $29, $30, $31, $32) \
     ON CONFLICT (organization_id, node) DO UPDATE SET project = excluded.project, key = excluded.key, \
     family = excluded.family, chip_id = excluded.chip_id, base_mac = excluded.base_mac, sta_mac = excluded.sta_mac, \
     ap_mac = excluded.ap_mac, version = excluded.version, sketch_md5 = excluded.sketch_md5, \
     sketch_sha256 = excluded.sketch_sha256, sketch_size = excluded.sketch_size, free_space = excluded.free_space, \
     chip_size = excluded.chip_size, sdk_version = excluded.sdk_version, user_agent = excluded.user_agent, \
     address = excluded.address, last_seen = excluded.last_seen, check_ins = excluded.check_ins, \
     decision = excluded.decision, decision_release = excluded.decision_release, \
     offered_sha256 = excluded.offered_sha256, offered_count = excluded.offered_count, \
     offered_blindly = excluded.offered_blindly, \
     offered_at = excluded.offered_at, result_state = excluded.result_state, result_sha256 = excluded.result_sha256, \
     result_version = excluded.result_version, result_reason = excluded.result_reason, result_at = excluded.result_at";
pub(super) const INSERT_EVENT: &str = "INSERT INTO device_events (organization_id, node, at, event, version, sha256, reason) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(super) const PRUNE_EVENTS: &str = "DELETE FROM device_events WHERE organization_id = $1 AND node = $2 AND id <= \
     (SELECT id FROM device_events WHERE organization_id = $1 AND node = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";
pub(super) const EVENTS: &str = "SELECT organization_id, node, at, event, version, sha256, reason FROM device_events \
     WHERE organization_id = $1 AND node = $2 ORDER BY id DESC LIMIT $3";

impl Database {
    /// Every device of every organization.
    pub(crate) async fn devices(&self) -> Result<Vec<DeviceRow>, sqlx::Error> {
        sqlx::query_as(DEVICES).fetch_all(&self.read).await
    }

    /// Writes devices and new events, all or nothing.
    pub(crate) async fn save_devices<'a>(
        &self,
        devices: &[DeviceRow],
        events: impl Iterator<Item = &'a EventRow>,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin().await?;
        for d in devices {
            sqlx::query(SAVE_DEVICE)
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
                .bind(&d.decision)
                .bind(d.decision_release)
                .bind(&d.offered_sha256)
                .bind(d.offered_count)
                .bind(d.offered_blindly)
                .bind(d.offered_at)
                .bind(&d.result_state)
                .bind(&d.result_sha256)
                .bind(&d.result_version)
                .bind(&d.result_reason)
                .bind(d.result_at)
                .execute(&mut *transaction)
                .await?;
        }
        let mut last = None;
        for e in events {
            sqlx::query(INSERT_EVENT)
                .bind(e.organization_id)
                .bind(&e.node)
                .bind(e.at)
                .bind(&e.event)
                .bind(&e.version)
                .bind(&e.sha256)
                .bind(&e.reason)
                .execute(&mut *transaction)
                .await?;
            let device = (e.organization_id, e.node.as_str());
            if last != Some(device) {
                sqlx::query(PRUNE_EVENTS)
                    .bind(e.organization_id)
                    .bind(&e.node)
                    .bind(KEPT_EVENTS)
                    .execute(&mut *transaction)
                    .await?;
                last = Some(device);
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
