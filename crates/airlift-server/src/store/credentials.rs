//! How things may sign in.

use super::database::Database;
use super::things::ThingRow;

pub(super) const BY_FINGERPRINT: &str = "SELECT id, organization_id, project, name, key, certificate_fingerprint, password_hash, \
     created_at, blocked_at FROM things WHERE certificate_fingerprint = $1";
pub(super) const SET: &str = "UPDATE things SET certificate_fingerprint = $1, password_hash = $2, key = COALESCE($3, key) \
     WHERE id = $4";

/// What a thing proves itself with. There is one at a time: a new one voids the one before, of whichever kind.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// SHA-256 of its certificate, lower-case hexadecimal.
    Certificate(String),
    /// SHA-256 of its password, lower-case hexadecimal.
    Password(String),
}

impl Database {
    /// The thing that has this certificate.
    pub(crate) async fn thing_of_certificate(
        &self,
        fingerprint: &str,
    ) -> Result<Option<ThingRow>, sqlx::Error> {
        sqlx::query_as(BY_FINGERPRINT)
            .bind(fingerprint)
            .fetch_optional(&self.read)
            .await
    }

    /// Gives a thing a credential, and a key if there is one given.
    pub(crate) async fn set_credential(
        &self,
        thing: i64,
        credential: &Credential,
        key: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let (fingerprint, password) = match credential {
            Credential::Certificate(fingerprint) => (Some(fingerprint), None),
            Credential::Password(hash) => (None, Some(hash)),
        };
        sqlx::query(SET)
            .bind(fingerprint)
            .bind(password)
            .bind(key)
            .bind(thing)
            .execute(&self.write)
            .await
            .map(drop)
    }
}
