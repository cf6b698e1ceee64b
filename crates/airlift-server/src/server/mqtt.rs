//! The MQTT door's part of starting: what may be asked for, sockets, TLS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::lifetime::Phase;
use super::start::StartError;
use crate::clock::Clock;
use crate::config::Mqtt;
use crate::doors::aws_mqtt::{self, AwsMqtt};
use crate::identity::authority::LazyAuthority;
use crate::identity::server_certificate::ServerCertificate;
use crate::name;

/// Sockets that are listened on already.
pub(super) struct Sockets {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, TlsAcceptor)>,
    pub(super) plain_addr: Option<SocketAddr>,
    pub(super) tls_addr: Option<SocketAddr>,
}

/// Refuses what must not be, before anything is touched.
pub(super) fn check(mqtt: &Mqtt) -> Result<(), StartError> {
    let Some((organization, project)) = &mqtt.anonymous else {
        return Ok(());
    };
    for name in [organization, project] {
        // `+` is how "all projects" is written.
        let is_name = name::check(name.as_bytes()).is_ok() && name != name::ALL_PROJECTS;
        if !is_name {
            return Err(StartError::Anonymous {
                message: format!("{name:?} is not a name: {}", name::NotAName),
            });
        }
    }
    match mqtt.plain {
        None => Err(StartError::Anonymous {
            message: "nothing listens without TLS, and over TLS clients prove who they are".into(),
        }),
        Some(address) if !address.ip().to_canonical().is_loopback() => Err(StartError::Anonymous {
            message: format!(
                "{address} can be reached from other machines; listen on 127.0.0.1, or enroll the devices"
            ),
        }),
        Some(_) => Ok(()),
    }
}

impl Sockets {
    pub(super) async fn open(
        mqtt: &Mqtt,
        authority: &LazyAuthority,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let mut sockets = Self {
            plain: None,
            tls: None,
            plain_addr: None,
            tls_addr: None,
        };
        if let Some(address) = mqtt.plain {
            let (listener, local) = listen(address).await?;
            sockets.plain = Some(listener);
            sockets.plain_addr = Some(local);
        }
        if let Some(address) = mqtt.tls {
            let (listener, local) = listen(address).await?;
            let failed = |error: &dyn std::fmt::Display| StartError::Authority {
                message: error.to_string(),
            };
            let authority = authority.get(clock.now()).await.map_err(|e| failed(&e))?;
            let names = names(mqtt, local.ip());
            let certificate =
                ServerCertificate::new(Arc::clone(&authority), names, Arc::clone(clock))
                    .map_err(|e| failed(&e))?;
            let acceptor = aws_mqtt::acceptor(&authority, Arc::new(certificate));
            sockets.tls = Some((listener, acceptor.map_err(|e| failed(&e))?));
            sockets.tls_addr = Some(local);
        }
        Ok(sockets)
    }

    /// Lets devices in, until told to stop.
    pub(super) fn serve(
        self,
        door: &Arc<AwsMqtt>,
        phase: &watch::Receiver<Phase>,
    ) -> Vec<JoinHandle<()>> {
        let plain = self.plain.map(|listener| (listener, None));
        let tls = self.tls.map(|(listener, tls)| (listener, Some(tls)));
        let sockets = plain.into_iter().chain(tls);
        sockets
            .map(|(listener, tls)| {
                let run = aws_mqtt::run(listener, Arc::clone(door), tls, phase.clone());
                tokio::spawn(run)
            })
            .collect()
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// How devices may know the server.
fn names(mqtt: &Mqtt, address: IpAddr) -> Vec<String> {
    let mut names = mqtt.tls_names.clone();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    names.extend(host_name());
    names.sort_unstable();
    names.dedup();
    names
}

/// The name of this machine, where the system says it in a file.
fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_owned())
}
