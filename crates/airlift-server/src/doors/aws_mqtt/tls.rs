//! TLS for devices: this server's certificate, and theirs if they have one.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::identity::authority::Authority;
use crate::identity::server_certificate::ServerCertificate;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the authority's certificate: {0}")]
    Root(#[from] rustls::pki_types::pem::Error),
    #[error("the authority's certificate: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

/// A client with a certificate of another authority is refused in the handshake. One without goes on, and needs a password.
pub(crate) fn acceptor(
    authority: &Authority,
    certificate: Arc<ServerCertificate>,
) -> Result<TlsAcceptor, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(
        authority.certificate().as_bytes(),
    )?)?;
    // Named, not taken from the process: a library must not depend on what its user has installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    Ok(TlsAcceptor::from(Arc::new(config)))
}
