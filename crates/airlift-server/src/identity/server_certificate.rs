//! The certificate that the server shows to devices.
//!
//! It is made in memory, with a key that is never written: devices trust the authority, not this key. So it always has the names of
//! this start, and a new one is made in time by the handshake that finds it old.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::{Authority, AuthorityError};
use crate::clock::{Clock, Timestamp};

const DAY: i64 = 86_400_000;
/// How long a certificate is valid.
const VALIDITY: i64 = 397 * DAY;
/// When it is replaced: long before, for devices whose clock is ahead.
const AGE: i64 = 90 * DAY;

/// Makes certificates for the server, and hands them to handshakes.
pub(crate) struct ServerCertificate {
    authority: Arc<Authority>,
    names: Vec<String>,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Current>,
    renewing: Mutex<()>,
}

struct Current {
    key: Arc<CertifiedKey>,
    made: Timestamp,
}

impl ServerCertificate {
    /// `names`: host names and addresses that devices may know the server by.
    pub(crate) fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        let current = ArcSwap::from_pointee(make(&authority, &names, clock.now())?);
        Ok(Self {
            authority,
            names,
            clock,
            current,
            renewing: Mutex::new(()),
        })
    }

    fn get(&self) -> Arc<CertifiedKey> {
        let now = self.clock.now();
        // A clock that was set back makes one as much as time that went by.
        let is_fine = |current: &Current| (0..AGE).contains(&(now.0 - current.made.0));
        let current = self.current.load();
        if is_fine(&current) {
            return Arc::clone(&current.key);
        }
        let _one_at_a_time = self.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load();
        if is_fine(&current) {
            return Arc::clone(&current.key);
        }
        match make(&self.authority, &self.names, now) {
            Ok(new) => {
                tracing::info!("the certificate for devices is renewed");
                let key = Arc::clone(&new.key);
                self.current.store(Arc::new(new));
                key
            }
            Err(error) => {
                tracing::error!(%error, "the certificate for devices cannot be renewed");
                Arc::clone(&current.key)
            }
        }
    }
}

fn make(
    authority: &Authority,
    names: &[String],
    now: Timestamp,
) -> Result<Current, AuthorityError> {
    let (certificate, key) = authority.server(names, now, Timestamp(now.0 + VALIDITY))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_ecdsa_type(&key).map_err(|_| AuthorityError::Key)?;
    let chain = vec![certificate.der().clone()];
    Ok(Current {
        key: Arc::new(CertifiedKey::new(chain, key)),
        made: now,
    })
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    struct At(AtomicI64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn it_is_made_anew_in_time() {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(At(AtomicI64::new(1_795_205_309_042)));
        let authority = Arc::new(Authority::open(data.path(), clock.now()).unwrap());
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            ServerCertificate::new(authority, names, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let first = certificate.get();
        for (ahead, is_new) in [(0, false), (89 * DAY, false), (2 * DAY, true), (-DAY, true)] {
            let before = certificate.get();
            clock.0.fetch_add(ahead, Ordering::Relaxed);
            assert_eq!(!Arc::ptr_eq(&before, &certificate.get()), is_new, "{ahead}");
        }
        assert_ne!(first.cert[0], certificate.get().cert[0]);
    }
}
