//! From a new connection to a client that is let in, or not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::AwsMqtt;
use super::codec::{Codec, Connect, Fault, Greeting, Packet, Reason, Version};
use super::connection::{Connection, MAX_WAITING, Parts, Terms};
use super::farewell::farewell;
use super::sessions::MAX_EXPIRY;
use super::sign_in::Refused;

/// Longest silence that a client may ask for, and what one gets that asks for none: as AWS has it.
const MAX_KEEP_ALIVE: u16 = 1200;
/// Longest client identifier, in bytes: as AWS has it.
const MAX_CLIENT_ID: usize = 128;

/// Waits for CONNECT and finds out who that is. `None`: the client was refused, and told so if that is possible.
pub(super) async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: S,
    peer: SocketAddr,
    fingerprint: Option<&str>,
    door: &AwsMqtt,
) -> Option<Box<Connection<S>>> {
    let mut codec = Codec::new(door.max_packet);
    let mut input = BytesMut::new();
    let mut output = BytesMut::new();
    let connect = match introduction(&mut io, &mut codec, &mut input).await {
        Ok(connect) => connect,
        Err(Stranger::Gone(error)) => {
            tracing::debug!(%peer, %error, "a connection ended before its CONNECT");
            return None;
        }
        Err(Stranger::Fault(fault)) => {
            tracing::debug!(%peer, %fault, "a connection that does not introduce itself");
            // Who speaks MQTT is told in its own terms, others in the older ones or not at all.
            let version = match (codec.version(), fault.reason) {
                (None, Reason::UnsupportedProtocolVersion) => Version::V3,
                (Some(version), _) => version,
                (None, _) => return None,
            };
            let refused = Refused {
                reason: fault.reason,
                why: fault.what,
            };
            refuse(&mut io, version, refused).await;
            return None;
        }
    };
    let version = connect.version;
    let refusal = |refused: Refused| {
        tracing::info!(
            %peer,
            client_id = %connect.client_id.escape_debug(),
            user_name = ?connect.user_name,
            fingerprint,
            why = refused.why,
            "a client may not sign in"
        );
        refused
    };
    let signed_in = match check(&connect) {
        Ok(()) => door.sign_in(&connect, fingerprint, peer).await,
        Err(refused) => Err(refused),
    };
    let thing = match signed_in {
        Ok(thing) => thing,
        Err(refused) => {
            refuse(&mut io, version, refusal(refused)).await;
            return None;
        }
    };
    if connect.has_will {
        tracing::debug!(thing = %thing.name, "a will, which nobody will be told");
    }
    let key = (thing.organization, thing.name.clone());
    let joined = door
        .sessions
        .join(&key, &connect.client_id, connect.clean_start)
        .await;
    let Some(joined) = joined else {
        let stopping = Refused {
            reason: Reason::ServerUnavailable,
            why: "the server is stopping",
        };
        refuse(&mut io, version, stopping).await;
        return None;
    };
    // Again, now that it can be told to leave: what it proved itself with may have been voided in between.
    if let Err(refused) = door.sign_in(&connect, fingerprint, peer).await {
        refuse(&mut io, version, refusal(refused)).await;
        return None;
    }

    let wanted = Duration::from_secs(connect.session_expiry.into());
    let session_expiry = wanted.min(MAX_EXPIRY);
    let keep_alive = match connect.keep_alive {
        0 => MAX_KEEP_ALIVE,
        seconds => seconds.min(MAX_KEEP_ALIVE),
    };
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let greeting = Greeting {
        session_present: joined.session.is_some(),
        session_expiry: (session_expiry < wanted).then(|| seconds(session_expiry)),
        keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
        receive_maximum: u16::try_from(MAX_WAITING).unwrap_or(u16::MAX),
        maximum_packet: door.max_packet,
        assigned_client_id: connect.client_id.is_empty().then_some(&thing.name),
    };
    if let Err(error) = version.welcome(&greeting, &mut output) {
        tracing::error!(?error, "CONNACK could not be built");
        return None;
    }
    let terms = Terms {
        session_expiry,
        keep_alive: Duration::from_secs(keep_alive.into()),
        receive_maximum: connect.receive_maximum,
        maximum_packet: connect.maximum_packet,
        stall: door.stall_timeout,
    };
    let parts = Parts {
        io,
        codec,
        version,
        input,
        joined,
        thing,
        peer,
        service: Arc::clone(&door.service),
        terms,
    };
    Some(Connection::new(parts, output))
}

/// Why there is no introduction.
enum Stranger {
    Gone(io::Error),
    Fault(Fault),
}

async fn introduction<S: AsyncRead + Unpin>(
    io: &mut S,
    codec: &mut Codec,
    input: &mut BytesMut,
) -> Result<Box<Connect>, Stranger> {
    loop {
        // Little at a time: what waits here costs memory, and needs no proof of anything.
        let mut bytes = [0; 1024];
        let read = io.read(&mut bytes).await.map_err(Stranger::Gone)?;
        if read == 0 {
            return Err(Stranger::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        input.extend_from_slice(bytes.get(..read).unwrap_or_default());
        while !input.is_empty() {
            // Whatever is behind CONNECT stays in `input`.
            if let Some(Packet::Connect(connect)) = codec.feed(input).map_err(Stranger::Fault)? {
                return Ok(connect);
            }
        }
    }
}

fn check(connect: &Connect) -> Result<(), Refused> {
    let refused = |why| {
        let reason = Reason::ClientIdentifierNotValid;
        Err(Refused { reason, why })
    };
    if connect.client_id.len() > MAX_CLIENT_ID {
        return refused("a client identifier has at most 128 bytes");
    }
    // MQTT 3.1.1, section 3.1.3.1: nobody could ask for that session again.
    if connect.client_id.is_empty() && connect.version == Version::V3 && !connect.clean_start {
        return refused("a session that is kept needs a client identifier");
    }
    Ok(())
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, version: Version, refused: Refused) {
    let mut output = BytesMut::new();
    if let Err(error) = version.refuse(refused.reason, refused.why, &mut output) {
        tracing::error!(?error, "CONNACK could not be built");
    }
    farewell(io, &output).await;
}
