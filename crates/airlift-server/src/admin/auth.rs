//! Who is asking.
//!
//! A token is `airlift_SELECTOR_SECRET`: 64 random bits that find its row, 256 random bits that prove it. Stored is the
//! SHA-256 of the whole. A slow hash (argon2) protects secrets that people choose and that can be guessed; nobody guesses
//! 256 random bits, so a fast hash compared in constant time is the right one here. Passwords, when they come, use argon2.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Api, Problem};
use crate::catalog::snapshot::Organization;
use crate::clock::Timestamp;
use crate::name;
use crate::store::database::Database;
use crate::store::tokens::TokenRow;

/// Tokens that are valid now, in memory.
pub(crate) struct Tokens {
    database: Database,
    by_selector: ArcSwap<HashMap<String, TokenRow>>,
}

impl Tokens {
    pub(crate) async fn open(database: Database) -> Result<Self, sqlx::Error> {
        let tokens = Self {
            database,
            by_selector: ArcSwap::default(),
        };
        tokens.reload().await?;
        Ok(tokens)
    }

    /// Makes a token and returns it with its secret, which is kept nowhere. Organization `None`: the administrator's.
    pub(crate) async fn create(
        &self,
        organization: Option<i64>,
        label: &str,
        now: Timestamp,
    ) -> Result<(TokenRow, String), sqlx::Error> {
        let selector = crate::random::hex::<8>();
        let token = format!("airlift_{selector}_{}", crate::random::hex::<32>());
        let hash = Sha256::digest(&token);
        let row = self
            .database
            .insert_token(organization, label, &selector, &hash, now)
            .await?;
        self.reload().await?;
        Ok((row, token))
    }

    /// Whether nobody was ever given a token.
    pub(crate) async fn is_new(&self) -> Result<bool, sqlx::Error> {
        Ok(self.database.tokens().await?.is_empty())
    }

    pub(super) async fn list(&self, organization: i64) -> Result<Vec<TokenRow>, sqlx::Error> {
        let mut tokens = self.database.tokens().await?;
        tokens.retain(|token| token.organization_id == Some(organization));
        Ok(tokens)
    }

    pub(super) async fn revoke(&self, id: i64, now: Timestamp) -> Result<(), sqlx::Error> {
        self.database.revoke_token(id, now).await?;
        self.reload().await
    }

    async fn reload(&self) -> Result<(), sqlx::Error> {
        let valid = self
            .database
            .tokens()
            .await?
            .into_iter()
            .filter(|token| token.revoked_at.is_none());
        self.by_selector.store(Arc::new(
            valid.map(|token| (token.selector.clone(), token)).collect(),
        ));
        Ok(())
    }

    /// Whose token this is. An unknown one costs the same hash and comparison as a known one.
    fn check(&self, token: &str) -> Option<Principal> {
        let presented: [u8; 32] = Sha256::digest(token).into();
        let selector = token
            .strip_prefix("airlift_")
            .and_then(|rest| rest.split('_').next());
        let tokens = self.by_selector.load();
        let row = selector.and_then(|selector| tokens.get(selector));
        let stored = row.map_or(&[0; 32][..], |row| &row.hash);
        let matches: bool = stored.ct_eq(&presented).into();
        row.filter(|_| matches).map(|row| Principal {
            token: row.id,
            organization: row.organization_id,
        })
    }
}

/// The holder of a valid token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Principal {
    /// Id of the token.
    pub(super) token: i64,
    organization: Option<i64>,
}

impl Principal {
    pub(super) fn is_admin(self) -> bool {
        self.organization.is_none()
    }

    /// The organization that the token belongs to; `None`: it is the administrator's.
    pub(super) fn home(self) -> Option<i64> {
        self.organization
    }

    pub(super) fn may_see(self, organization: &Organization) -> bool {
        self.organization.is_none_or(|own| own == organization.id)
    }

    /// Refuses everyone but the administrator. Says so only about what the caller can see anyway.
    pub(super) fn require_admin(self) -> Result<(), Problem> {
        if self.is_admin() {
            return Ok(());
        }
        Err(Problem::forbidden("this needs the administrator's token"))
    }

    /// The organization of that name, if it exists and the caller may see it.
    pub(super) fn organization(self, api: &Api, name: &str) -> Result<Arc<Organization>, Problem> {
        let found = name::check(name.as_bytes())
            .ok()
            .and_then(|name| api.catalog.organization(name));
        found
            .filter(|found| self.may_see(found))
            .ok_or_else(Problem::no_such_organization)
    }
}

impl FromRequestParts<Api> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let value = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let (scheme, token) = value
            .and_then(|value| value.split_once(' '))
            .unwrap_or_default();
        let principal = api.tokens.check(token.trim());
        principal
            .filter(|_| scheme.eq_ignore_ascii_case("bearer"))
            .ok_or_else(Problem::unauthorized)
    }
}
