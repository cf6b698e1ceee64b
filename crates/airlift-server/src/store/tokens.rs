//! Rows of access tokens.

use sqlx::FromRow;

use super::database::Database;
use crate::clock::Timestamp;

/// A token as it is stored: its secret is not in here.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TokenRow {
    pub(crate) id: i64,
    pub(crate) organization_id: Option<i64>,
    pub(crate) label: String,
    pub(crate) selector: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) revoked_at: Option<i64>,
}

pub(super) const INSERT: &str = "INSERT INTO tokens (organization_id, label, selector, hash, created_at) \
     VALUES ($1, $2, $3, $4, $5) RETURNING id, organization_id, label, selector, hash, created_at, revoked_at";
pub(super) const ALL: &str = "SELECT id, organization_id, label, selector, hash, created_at, revoked_at FROM tokens ORDER BY id";
pub(super) const REVOKE: &str =
    "UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";

impl Database {
    pub(crate) async fn insert_token(
        &self,
        organization: Option<i64>,
        label: &str,
        selector: &str,
        hash: &[u8],
        now: Timestamp,
    ) -> Result<TokenRow, sqlx::Error> {
        sqlx::query_as(INSERT)
            .bind(organization)
            .bind(label)
            .bind(selector)
            .bind(hash)
            .bind(now.0)
            .fetch_one(&self.write)
            .await
    }

    /// Every token ever made, revoked ones too, oldest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRow>, sqlx::Error> {
        sqlx::query_as(ALL).fetch_all(&self.read).await
    }

    pub(crate) async fn revoke_token(&self, id: i64, now: Timestamp) -> Result<(), sqlx::Error> {
        sqlx::query(REVOKE)
            .bind(now.0)
            .bind(id)
            .execute(&self.write)
            .await
            .map(drop)
    }
}
