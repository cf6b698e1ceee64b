//! Rows of rollouts and of what happened to them.

use airlift_rollout::{Event, Millis, Record};
use futures_util::StreamExt as _;
use sqlx::FromRow;

use super::database::Database;
use crate::clock::Timestamp;

/// Something that happened to a rollout, as it is stored.
#[derive(Debug, FromRow)]
struct RecordRow {
    id: i64,
    organization_id: i64,
    rollout: i64,
    at: i64,
    actor: Option<i64>,
    event: String,
}

/// Why the log of rollouts could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("rollout event {id}: {source}, which this version of the server cannot read")]
    Unreadable { id: i64, source: serde_json::Error },
}

pub(super) const INSERT: &str =
    "INSERT INTO rollouts (organization_id, created_at) VALUES ($1, $2) RETURNING id";
pub(super) const INSERT_EVENT: &str =
    "INSERT INTO rollout_events (rollout, at, actor, event) VALUES ($1, $2, $3, $4)";
pub(super) const EVENTS: &str = "SELECT e.id AS id, r.organization_id AS organization_id, e.rollout AS rollout, e.at AS at, e.actor AS actor, \
     e.event AS event FROM rollout_events e JOIN rollouts r ON r.id = e.rollout ORDER BY e.id";

impl Database {
    /// Makes the number of a new rollout.
    pub(crate) async fn insert_rollout(
        &self,
        organization: i64,
        now: Timestamp,
    ) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(INSERT)
            .bind(organization)
            .bind(now.0)
            .fetch_one(&self.write)
            .await
    }

    /// Stores what happened, all or nothing.
    pub(crate) async fn save_rollout_events(&self, records: &[Record]) -> Result<(), sqlx::Error> {
        let mut transaction = self.write.begin().await?;
        for record in records {
            let event = serde_json::to_string(&record.event)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            sqlx::query(INSERT_EVENT)
                .bind(record.rollout)
                .bind(record.at.0)
                .bind(record.by)
                .bind(event)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Tells everything that ever happened to rollouts, in its order, with the organization whose they are.
    pub(crate) async fn rollout_events(
        &self,
        mut tell: impl FnMut(i64, Record),
    ) -> Result<(), LogError> {
        let mut rows = sqlx::query_as::<_, RecordRow>(EVENTS).fetch(&self.read);
        while let Some(row) = rows.next().await {
            let row = row?;
            let event: Event = serde_json::from_str(&row.event).map_err(|source| {
                let id = row.id;
                LogError::Unreadable { id, source }
            })?;
            let record = Record {
                rollout: row.rollout,
                at: Millis(row.at),
                by: row.actor,
                event,
            };
            tell(row.organization_id, record);
        }
        Ok(())
    }
}
