//! TLS around a connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::super::DeviceError;
use super::{Credentials, MqttAddress};

/// What AWS IoT wants to hear at the port of HTTPS, where other protocols live as well.
const ALPN_AT_443: &[u8] = b"x-amzn-mqtt-ca";

/// A connection, encrypted or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// How long a read waits for bytes from now on.
    pub(super) fn wait_at_most(&self, wait: Duration) -> io::Result<()> {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => stream.get_ref(),
        };
        tcp.set_read_timeout(Some(wait))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Makes the connection a TLS one: the server must show a certificate for its name, signed by one of those in the file.
pub(super) fn wrap(
    tcp: TcpStream,
    server: &MqttAddress,
    credentials: &Credentials,
) -> Result<Stream, DeviceError> {
    let Some(ca) = &credentials.ca else {
        return Err(DeviceError::NoCa {
            server: server.to_string(),
        });
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(ca, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(ca, &error))?
        .with_root_certificates(roots);
    let mut config = match &credentials.certificate {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(certificate, &error))?
        }
        None => config.with_no_client_auth(),
    };
    if server.port == 443 {
        config.alpn_protocols.push(ALPN_AT_443.to_vec());
    }
    let broken = |source| DeviceError::Connection {
        server: server.to_string(),
        source,
    };
    let name = ServerName::try_from(server.host.clone())
        .map_err(|error| broken(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let mut connection = ClientConnection::new(Arc::new(config), name)
        .map_err(|error| broken(io::Error::other(error)))?;
    let mut tcp = tcp;
    // Here, so that a server whose certificate is not the right one is told from one that hangs up.
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).map_err(broken)?;
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, tcp))))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DeviceError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))?;
    match found.is_empty() {
        false => Ok(found),
        true => Err(unusable(path, &"it holds no certificate in PEM")),
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> DeviceError {
    DeviceError::Credentials {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
