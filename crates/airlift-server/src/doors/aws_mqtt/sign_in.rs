//! Who a client is.
//!
//! 1. A certificate of the server's own authority, on a TLS connection: it is the thing that has this very certificate now.
//! 2. A password: the user name is `ORGANIZATION/THING`. What follows a `?` in it is left out, as AWS does: its clients put their
//!    version there.
//! 3. Neither, on the loopback interface, where the server was told to let such clients in: a thing named as the client identifier.
//!
//! A certificate goes before a password, so that one device is never two things. A user name without a password proves nothing and
//! is passed over: clients made for AWS send one with their certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use super::AwsMqtt;
use super::codec::{Connect, Reason};
use crate::identity::password;
use crate::jobs::{Thing, is_thing_name};
use crate::store::things::ThingRow;

/// Why a client is not let in. `why` is for the client; what only the operator may know is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) why: &'static str,
}

const fn refused(reason: Reason, why: &'static str) -> Refused {
    Refused { reason, why }
}

/// The same for a thing that does not exist and for a wrong password.
const WRONG_PASSWORD: Refused = refused(
    Reason::BadUserNameOrPassword,
    "user name or password is wrong; the user name is ORGANIZATION/THING",
);
const BLOCKED: Refused = refused(Reason::NotAuthorized, "this thing is blocked");

impl AwsMqtt {
    /// Finds out who a client is. `fingerprint`: of its certificate.
    pub(super) async fn sign_in(
        &self,
        connect: &Connect,
        fingerprint: Option<&str>,
        peer: SocketAddr,
    ) -> Result<Arc<Thing>, Refused> {
        if let Some(fingerprint) = fingerprint {
            return self.by_certificate(fingerprint).await;
        }
        if let Some(password) = &connect.password {
            let user_name = connect.user_name.as_deref().unwrap_or_default();
            return self.by_password(user_name, password).await;
        }
        if let Some(place) = &self.anonymous
            && peer.ip().to_canonical().is_loopback()
        {
            return self.anonymous(place, &connect.client_id).await;
        }
        Err(refused(
            Reason::NotAuthorized,
            "sign in with a certificate of this server, or with user name ORGANIZATION/THING and password",
        ))
    }

    async fn by_certificate(&self, fingerprint: &str) -> Result<Arc<Thing>, Refused> {
        let found = self.database.thing_of_certificate(fingerprint).await;
        let row = found.map_err(|error| unavailable(&error))?.ok_or(refused(
            Reason::NotAuthorized,
            "this certificate is not valid any more; enroll the thing again",
        ))?;
        welcome(row)
    }

    async fn by_password(&self, user_name: &str, password: &[u8]) -> Result<Arc<Thing>, Refused> {
        let user_name = user_name
            .split_once('?')
            .map_or(user_name, |(name, _)| name);
        let (organization, thing) = user_name.split_once('/').unwrap_or_default();
        let organization = self.catalog.organization(organization);
        let row = match organization {
            Some(organization) if is_thing_name(thing) => {
                let found = self.database.thing(organization.id, thing).await;
                found.map_err(|error| unavailable(&error))?
            }
            _ => None,
        };
        let kept = row.as_ref().and_then(|row| row.password_hash.as_deref());
        if !password::is_right(password, kept) {
            return Err(WRONG_PASSWORD);
        }
        welcome(row.ok_or(WRONG_PASSWORD)?)
    }

    async fn anonymous(&self, place: &Place, name: &str) -> Result<Arc<Thing>, Refused> {
        if !is_thing_name(name) {
            return Err(refused(
                Reason::ClientIdentifierNotValid,
                "without a certificate or password the client identifier names the thing: 1 to 128 of A-Z a-z 0-9 : _ -",
            ));
        }
        let made = self.make_thing(place, name).await;
        let row = made.map_err(|error| unavailable(&error))?.ok_or(refused(
            Reason::ServerUnavailable,
            "the thing could not be made",
        ))?;
        // One that was given a credential of its own is not anyone's.
        if row.certificate_fingerprint.is_some() || row.password_hash.is_some() {
            return Err(refused(
                Reason::NotAuthorized,
                "this thing has a certificate or a password, and must use it",
            ));
        }
        welcome(row)
    }

    /// The thing of that name, made with all that it needs if it is missing.
    async fn make_thing(
        &self,
        place: &Place,
        name: &str,
    ) -> Result<Option<ThingRow>, crate::catalog::CatalogError> {
        let now = self.clock.now();
        if self.catalog.organization(&place.organization).is_none() {
            self.catalog
                .create_organization(&place.organization, now)
                .await?;
        }
        let Some(organization) = self.catalog.organization(&place.organization) else {
            return Ok(None);
        };
        if let Some(row) = self.database.thing(organization.id, name).await? {
            return Ok(Some(row));
        }
        if !organization.projects.contains_key(&*place.project) {
            self.catalog
                .create_project(&organization, &place.project, now)
                .await?;
        }
        let database = &self.database;
        let made = database
            .insert_thing(organization.id, &place.project, name, None, now)
            .await?;
        match made {
            Some(row) => Ok(Some(row)),
            // Another connection was faster.
            None => Ok(database.thing(organization.id, name).await?),
        }
    }
}

/// Where things belong that sign in without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) organization: String,
    pub(super) project: String,
}

fn welcome(row: ThingRow) -> Result<Arc<Thing>, Refused> {
    if row.blocked_at.is_some() {
        return Err(BLOCKED);
    }
    Ok(Arc::new(Thing::from(row)))
}

fn unavailable(error: &dyn std::fmt::Display) -> Refused {
    tracing::error!(%error, "a thing could not sign in");
    refused(Reason::ServerUnavailable, "the server cannot look now")
}
