//! Rows of things.

use sqlx::FromRow;

use super::database::Database;
use crate::clock::Timestamp;

/// A thing as it is stored; see the migration for what the columns mean.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ThingRow {
    pub(crate) id: i64,
    pub(crate) organization_id: i64,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) certificate_fingerprint: Option<String>,
    pub(crate) password_hash: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) blocked_at: Option<i64>,
}

pub(super) const INSERT: &str = "INSERT INTO things (organization_id, project, name, key, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (organization_id, name) DO NOTHING \
     RETURNING id, organization_id, project, name, key, certificate_fingerprint, password_hash, created_at, blocked_at";
pub(super) const ONE: &str = "SELECT id, organization_id, project, name, key, certificate_fingerprint, password_hash, created_at, \
     blocked_at FROM things WHERE organization_id = $1 AND name = $2";
pub(super) const BY_ID: &str = "SELECT id, organization_id, project, name, key, certificate_fingerprint, password_hash, created_at, \
     blocked_at FROM things WHERE id = $1";
pub(super) const NAMED: &str = "SELECT id, organization_id, project, name, key, certificate_fingerprint, password_hash, created_at, \
     blocked_at FROM things WHERE name = $1 ORDER BY organization_id LIMIT 2";
pub(super) const PAGE: &str = "SELECT id, organization_id, project, name, key, certificate_fingerprint, password_hash, created_at, \
     blocked_at FROM things WHERE organization_id = $1 AND name > $2 ORDER BY name LIMIT $3";
pub(super) const BLOCK: &str = "UPDATE things SET blocked_at = $1 WHERE id = $2";

impl Database {
    /// `None`: the organization has a thing of that name.
    pub(crate) async fn insert_thing(
        &self,
        organization: i64,
        project: &str,
        name: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<ThingRow>, sqlx::Error> {
        sqlx::query_as(INSERT)
            .bind(organization)
            .bind(project)
            .bind(name)
            .bind(key)
            .bind(now.0)
            .fetch_optional(&self.write)
            .await
    }

    pub(crate) async fn thing(
        &self,
        organization: i64,
        name: &str,
    ) -> Result<Option<ThingRow>, sqlx::Error> {
        sqlx::query_as(ONE)
            .bind(organization)
            .bind(name)
            .fetch_optional(&self.read)
            .await
    }

    pub(crate) async fn thing_by_id(&self, id: i64) -> Result<Option<ThingRow>, sqlx::Error> {
        sqlx::query_as(BY_ID)
            .bind(id)
            .fetch_optional(&self.read)
            .await
    }

    /// Things of that name in any organization, two at most: whether there is exactly one.
    pub(crate) async fn things_named(&self, name: &str) -> Result<Vec<ThingRow>, sqlx::Error> {
        sqlx::query_as(NAMED).bind(name).fetch_all(&self.read).await
    }

    /// Things of an organization in the order of their names, from behind `after` on.
    pub(crate) async fn things(
        &self,
        organization: i64,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ThingRow>, sqlx::Error> {
        sqlx::query_as(PAGE)
            .bind(organization)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await
    }

    /// Keeps a thing from signing in, from that time on; `None`: lets it again.
    pub(crate) async fn block_thing(
        &self,
        id: i64,
        since: Option<Timestamp>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(BLOCK)
            .bind(since.map(|since| since.0))
            .bind(id)
            .execute(&self.write)
            .await
            .map(drop)
    }
}
