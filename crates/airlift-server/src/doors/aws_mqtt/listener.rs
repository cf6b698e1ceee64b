//! From a listening socket to clients.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{AwsMqtt, welcome};
use crate::identity;
use crate::server::{Phase, ending};

/// How long a stopping server waits for clients that are being answered.
const GRACE: Duration = Duration::from_secs(10);
/// Most connections that have not signed in, in all and from one address. Those that have are counted by their things, of which
/// each has one; so many devices may well share an address: a fleet behind one that comes back after a power cut.
const MAX_STRANGERS: usize = 4096;
const MAX_STRANGERS_OF_ONE: usize = 1024;

/// Accepts connections until told to stop, then lets them come to their ends.
pub(crate) async fn run(
    listener: TcpListener,
    door: Arc<AwsMqtt>,
    tls: Option<TlsAcceptor>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &door) => accepted,
            Some(_) = clients.join_next() => continue,
            () = ending(&mut phase) => break,
        };
        let Some((stream, peer, permit)) = accepted else {
            break;
        };
        let Some(stranger) = door.strangers.let_in(peer.ip()) else {
            tracing::debug!(%peer, "too many connections that have not signed in");
            continue;
        };
        let (door, tls, phase) = (Arc::clone(&door), tls.clone(), phase.clone());
        clients.spawn(async move {
            serve(stream, peer, &door, tls, stranger, phase).await;
            drop(permit);
        });
    }
    drop(listener);
    door.sessions.close();
    let all_end = async { while clients.join_next().await.is_some() {} };
    let mut told = phase.clone();
    let cut = told.wait_for(|phase| *phase == Phase::Cut);
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(GRACE) => tracing::warn!("clients were still busy after {GRACE:?} and are cut"),
            _ = cut => {}
        }
    };
    tokio::select! {
        () = all_end => {}
        () = patience => {}
    }
    clients.shutdown().await;
}

/// The next connection, when there may be one more. `None`: never again.
async fn accept(
    listener: &TcpListener,
    door: &AwsMqtt,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(&door.connections).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, permit)),
            // Out of descriptors, or the peer was gone again: both pass, and neither may spin.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    door: &AwsMqtt,
    tls: Option<TlsAcceptor>,
    stranger: Stranger,
    phase: watch::Receiver<Phase>,
) {
    // Answers go out when they are complete; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = tls else {
        return attend(stream, peer, None, door, stranger, phase).await;
    };
    let mut ends = phase.clone();
    // Boxed, as what follows it: a client that is in does not carry the memory of how it came in.
    let shaken = Box::pin(handshake(stream, peer, acceptor, door.connect_timeout));
    let shaken = tokio::select! {
        shaken = shaken => shaken,
        () = ending(&mut ends) => return,
    };
    drop(ends);
    if let Some((stream, fingerprint)) = shaken {
        attend(stream, peer, fingerprint, door, stranger, phase).await;
    }
}

/// The TLS connection, and the fingerprint of the client's certificate if it has one.
async fn handshake(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    patience: Duration,
) -> Option<(Box<TlsStream<TcpStream>>, Option<String>)> {
    let stream = match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a TLS handshake failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "a TLS handshake took too long");
            return None;
        }
    };
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let fingerprint = certificate.map(|certificate| identity::fingerprint(certificate));
    Some((stream, fingerprint))
}

async fn attend<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    fingerprint: Option<String>,
    door: &AwsMqtt,
    stranger: Stranger,
    mut phase: watch::Receiver<Phase>,
) {
    let received = {
        let receiving = Box::pin(tokio::time::timeout(
            door.connect_timeout,
            welcome::receive(stream, peer, fingerprint.as_deref(), door),
        ));
        tokio::select! {
            received = receiving => received,
            () = ending(&mut phase) => return,
        }
    };
    drop((stranger, phase, fingerprint));
    match received {
        Ok(Some(client)) => client.run().await,
        Ok(None) => {}
        Err(_) => tracing::debug!(%peer, "a connection did not sign in in time"),
    }
}

/// Counts those who have not signed in.
#[derive(Default)]
pub(super) struct Strangers(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// One who has not signed in yet.
pub(super) struct Stranger {
    counts: Arc<Mutex<Counts>>,
    address: IpAddr,
}

impl Strangers {
    fn let_in(&self, address: IpAddr) -> Option<Stranger> {
        let address = origin(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= MAX_STRANGERS {
            return None;
        }
        let of_one = counts.of.entry(address).or_default();
        if *of_one >= MAX_STRANGERS_OF_ONE {
            return None;
        }
        *of_one += 1;
        counts.all += 1;
        let counts = Arc::clone(&self.0);
        Some(Stranger { counts, address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(of_one) = counts.of.get_mut(&self.address) {
            *of_one -= 1;
            if *of_one == 0 {
                counts.of.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv6 client has all of a /64.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_counted_by_address_and_in_all() {
        let strangers = Strangers::default();
        let one = |text: &str| strangers.let_in(text.parse().unwrap());
        let mut inside: Vec<_> = (0..MAX_STRANGERS_OF_ONE)
            .map(|_| one("192.0.2.1").expect("there is room"))
            .collect();
        assert!(one("192.0.2.1").is_none());
        assert!(one("::ffff:192.0.2.1").is_none(), "the same address");
        assert!(one("192.0.2.2").is_some());
        inside.pop();
        inside.push(one("192.0.2.1").expect("one has gone"));

        let network: Vec<_> = (0..MAX_STRANGERS_OF_ONE)
            .map(|host| one(&format!("2001:db8::{host:x}")).expect("there is room"))
            .collect();
        assert!(one("2001:db8::ffff:0:0:1").is_none(), "the same network");
        assert!(one("2001:db8:0:1::1").is_some());

        let left = MAX_STRANGERS - inside.len() - network.len();
        let others: Vec<_> = (0..left)
            .map(|n| one(&format!("10.0.{}.{}", n / 256, n % 256)).expect("there is room"))
            .collect();
        assert!(one("203.0.113.1").is_none(), "too many in all");
        drop((inside, network, others));
        let counts = strangers.0.lock().unwrap();
        assert_eq!((counts.all, counts.of.len()), (0, 0));
    }
}
