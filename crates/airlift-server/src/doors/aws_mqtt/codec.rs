//! MQTT 3.1.1 and 5: packets out of bytes, and bytes out of packets. The only module that knows the library behind it.
//!
//! `mqtt-protocol-core` is used for what is hard to get right, the encoding. Its connection state machine is not used: it
//! panics when a CONNECT says `Topic Alias Maximum = 0`, which every client may say (`ValueAllocator::new(1, 0)`, 0.7.9), and it
//! answers before it can be asked whether it should. What is left of it for a server without QoS 2 is a counter of packet
//! identifiers and a count of what is in flight, in [`connection`](super::connection).
//!
//! The library takes some packets that the standard calls malformed: reserved bits, packet identifier 0. They are refused
//! here, so that nobody behind this module has to think of them.

mod emit;

use bytes::{Buf as _, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Property, Qos as LibraryQos, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

pub(super) use emit::{Delivery, Greeting};

/// Longest CONNECT. A stranger's bytes are kept up to this; it has room for names, a password and a small will.
const MAX_CONNECT: u32 = 16 << 10;

/// CONNECT, and its flags.
const FIRST_BYTE: u8 = 0x10;
const NOT_CONNECT: Fault = fault(Reason::ProtocolError, "the first packet is not CONNECT");

/// The two versions that devices speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V3,
    /// MQTT 5.
    V5,
}

/// Quality of service; 2 is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Qos {
    AtMostOnce = 0,
    AtLeastOnce = 1,
}

/// Reason codes of MQTT 5 that this server gives. MQTT 3.1.1 has five of them for CONNACK and otherwise only a closed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerShuttingDown = 0x8b,
    BadAuthenticationMethod = 0x8c,
    KeepAliveTimeout = 0x8d,
    SessionTakenOver = 0x8e,
    TopicFilterInvalid = 0x8f,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    RetainNotSupported = 0x9a,
    QosNotSupported = 0x9b,
    SharedSubscriptionsNotSupported = 0x9e,
    SubscriptionIdentifiersNotSupported = 0xa1,
}

/// Why a connection cannot go on, in the client's terms and in words for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) what: &'static str,
}

const fn fault(reason: Reason, what: &'static str) -> Fault {
    Fault { reason, what }
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Only ever the first.
    Connect(Box<Connect>),
    Publish(Publish),
    Puback(u16),
    Subscribe(Subscribe),
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Pingreq,
    /// The client ends the connection. MQTT 5 clients may say anew how long their session is to be kept, in seconds.
    Disconnect {
        session_expiry: Option<u32>,
    },
}

/// The introduction of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) version: Version,
    pub(super) client_id: String,
    pub(super) clean_start: bool,
    /// Seconds for which the session is to be kept after the connection; `u32::MAX`: for ever, which is also what a 3.1.1 client
    /// asks for that does not want a clean session.
    pub(super) session_expiry: u32,
    /// Longest silence of the client in seconds; 0: it promises nothing.
    pub(super) keep_alive: u16,
    /// Most unacknowledged QoS 1 messages that the client takes.
    pub(super) receive_maximum: u16,
    /// Largest packet that the client takes.
    pub(super) maximum_packet: u32,
    pub(super) has_will: bool,
    pub(super) user_name: Option<String>,
    pub(super) password: Option<Vec<u8>>,
}

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    /// With QoS 1, what its acknowledgement refers to.
    pub(super) id: Option<u16>,
    pub(super) payload: Bytes,
}

/// A request for subscriptions: filters, and the highest QoS that the client wants for each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subscribe {
    pub(super) id: u16,
    pub(super) filters: Vec<(String, Qos)>,
}

/// Takes the bytes of one connection apart.
pub(super) struct Codec {
    builder: PacketBuilder,
    /// The first byte was seen.
    has_begun: bool,
    version: Option<Version>,
    max_packet: u32,
}

impl Codec {
    /// `max_packet`: largest packet that is taken once the client has introduced itself.
    pub(super) fn new(max_packet: u32) -> Self {
        Self {
            builder: PacketBuilder::with_maximum_packet_size(MAX_CONNECT),
            has_begun: false,
            version: None,
            max_packet,
        }
    }

    /// The version that the client speaks, once it has said so.
    pub(super) fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes bytes from the front of `input`; `None`: all are taken, and the packet is not complete.
    ///
    /// # Errors
    /// When the client breaks the protocol or uses what was not offered. Nothing may be fed after that.
    pub(super) fn feed(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, Fault> {
        let Some(first) = input.first() else {
            return Ok(None);
        };
        if !self.has_begun && *first != FIRST_BYTE {
            // Not worth waiting for as many bytes as it seems to announce.
            return Err(NOT_CONNECT);
        }
        self.has_begun = true;
        let mut cursor = Cursor::new(&input[..]);
        let built = self.builder.feed(&mut cursor);
        let taken = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        input.advance(taken.min(input.len()));
        match built {
            PacketBuildResult::Incomplete => Ok(None),
            PacketBuildResult::Error(MqttError::PacketTooLarge) => Err(fault(
                Reason::PacketTooLarge,
                "a packet is larger than allowed",
            )),
            PacketBuildResult::Error(_) => Err(fault(
                Reason::MalformedPacket,
                "the length of a packet is not a number",
            )),
            PacketBuildResult::Complete(raw) => {
                let packet = match self.version {
                    None => self.introduce(&raw)?,
                    Some(Version::V3) => parse_v3(&raw)?,
                    Some(Version::V5) => parse_v5(&raw)?,
                };
                Ok(Some(packet))
            }
        }
    }

    /// The first packet.
    fn introduce(&mut self, raw: &RawPacket) -> Result<Packet, Fault> {
        let unsupported = fault(
            Reason::UnsupportedProtocolVersion,
            "neither MQTT 3.1.1 nor MQTT 5",
        );
        let data = raw.data_as_slice();
        // Protocol name, level, connect flags: the same in every version.
        let &[0, 4, b'M', b'Q', b'T', b'T', level, flags, ..] = data else {
            return Err(unsupported);
        };
        let has_will = flags & 0b0000_0100 != 0;
        let will_qos = flags >> 3 & 0b11;
        let says_more_of_a_will = flags & 0b0011_1000 != 0;
        if flags & 1 != 0 || will_qos == 3 || (says_more_of_a_will && !has_will) {
            return Err(fault(
                Reason::MalformedPacket,
                "reserved bits are set in CONNECT",
            ));
        }
        let connect = match level {
            4 => {
                self.version = Some(Version::V3);
                let parsed = raw.parse_exact(v3_1_1::Connect::parse).map_err(from)?;
                Connect {
                    version: Version::V3,
                    client_id: parsed.client_id().to_owned(),
                    clean_start: parsed.clean_session(),
                    session_expiry: if parsed.clean_session() { 0 } else { u32::MAX },
                    keep_alive: parsed.keep_alive(),
                    receive_maximum: u16::MAX,
                    maximum_packet: u32::MAX,
                    has_will,
                    user_name: parsed.user_name().map(str::to_owned),
                    password: parsed.password().map(<[u8]>::to_vec),
                }
            }
            5 => {
                self.version = Some(Version::V5);
                let parsed = raw.parse_exact(v5_0::Connect::parse).map_err(from)?;
                if will_qos > 1 {
                    return Err(fault(
                        Reason::QosNotSupported,
                        "a will with QoS 2; the highest is 1",
                    ));
                }
                let mut connect = Connect {
                    version: Version::V5,
                    client_id: parsed.client_id().to_owned(),
                    clean_start: parsed.clean_start(),
                    session_expiry: 0,
                    keep_alive: parsed.keep_alive(),
                    receive_maximum: u16::MAX,
                    maximum_packet: u32::MAX,
                    has_will,
                    user_name: parsed.user_name().map(str::to_owned),
                    password: parsed.password().map(<[u8]>::to_vec),
                };
                for property in parsed.props() {
                    match property {
                        Property::SessionExpiryInterval(value) => {
                            connect.session_expiry = value.val();
                        }
                        Property::ReceiveMaximum(value) => connect.receive_maximum = value.val(),
                        Property::MaximumPacketSize(value) => connect.maximum_packet = value.val(),
                        Property::AuthenticationMethod(_) => {
                            return Err(fault(
                                Reason::BadAuthenticationMethod,
                                "enhanced authentication is not offered",
                            ));
                        }
                        _ => {}
                    }
                }
                connect
            }
            _ => return Err(unsupported),
        };
        self.builder.set_maximum_packet_size(self.max_packet);
        Ok(Packet::Connect(Box::new(connect)))
    }
}

/// What the library says is wrong.
fn from(error: MqttError) -> Fault {
    match error {
        MqttError::ClientIdentifierNotValid => fault(
            Reason::ClientIdentifierNotValid,
            "the client identifier is not a text",
        ),
        MqttError::BadUserNameOrPassword => fault(
            Reason::BadUserNameOrPassword,
            "user name or password is malformed",
        ),
        MqttError::ProtocolError => {
            fault(Reason::ProtocolError, "a packet is against the protocol")
        }
        MqttError::TopicFilterInvalid => fault(
            Reason::TopicFilterInvalid,
            "a topic filter is not well-formed",
        ),
        _ => fault(Reason::MalformedPacket, "a packet is malformed"),
    }
}

/// Fixed header flags that are the same for every packet of a type (3.1.1 and 5, table 2.2).
fn check_flags(raw: &RawPacket) -> Result<(), Fault> {
    let expected = match raw.packet_type() {
        3 => return Ok(()),
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    if raw.flags() == expected {
        Ok(())
    } else {
        Err(fault(
            Reason::MalformedPacket,
            "reserved flags of a packet are set",
        ))
    }
}

fn checked_id(id: u16) -> Result<u16, Fault> {
    if id == 0 {
        return Err(fault(Reason::ProtocolError, "packet identifier 0"));
    }
    Ok(id)
}

fn parse_v3(raw: &RawPacket) -> Result<Packet, Fault> {
    check_flags(raw)?;
    match raw.packet_type() {
        3 => {
            let p = publish(raw, v3_1_1::Publish::parse)?;
            let id = publish_id(p.qos(), p.packet_id())?;
            Ok(Packet::Publish(Publish {
                topic: p.topic_name().to_owned(),
                id,
                payload: Bytes::copy_from_slice(p.payload().as_slice()),
            }))
        }
        4 => {
            let p = raw.parse_exact(v3_1_1::Puback::parse).map_err(from)?;
            Ok(Packet::Puback(checked_id(p.packet_id())?))
        }
        8 => {
            let p = raw.parse_exact(v3_1_1::Subscribe::parse).map_err(from)?;
            subscribe(p.packet_id(), p.entries())
        }
        10 => {
            let p = raw.parse_exact(v3_1_1::Unsubscribe::parse).map_err(from)?;
            Ok(Packet::Unsubscribe {
                id: checked_id(p.packet_id())?,
                filters: p.entries().iter().map(|f| f.as_str().to_owned()).collect(),
            })
        }
        12 => {
            raw.parse_exact(v3_1_1::Pingreq::parse).map_err(from)?;
            Ok(Packet::Pingreq)
        }
        14 => {
            raw.parse_exact(v3_1_1::Disconnect::parse).map_err(from)?;
            Ok(Packet::Disconnect {
                session_expiry: None,
            })
        }
        other => Err(unexpected(other)),
    }
}

fn parse_v5(raw: &RawPacket) -> Result<Packet, Fault> {
    check_flags(raw)?;
    match raw.packet_type() {
        3 => {
            let p = publish(raw, v5_0::Publish::parse)?;
            if p.retain() {
                return Err(fault(
                    Reason::RetainNotSupported,
                    "a message to be retained",
                ));
            }
            for property in p.props() {
                match property {
                    Property::TopicAlias(_) => {
                        return Err(fault(
                            Reason::TopicAliasInvalid,
                            "a topic alias, and none is offered",
                        ));
                    }
                    Property::SubscriptionIdentifier(_) => {
                        return Err(fault(
                            Reason::ProtocolError,
                            "a subscription identifier in a client's message",
                        ));
                    }
                    _ => {}
                }
            }
            let id = publish_id(p.qos(), p.packet_id())?;
            Ok(Packet::Publish(Publish {
                topic: p.topic_name().to_owned(),
                id,
                payload: Bytes::copy_from_slice(p.payload().as_slice()),
            }))
        }
        4 => {
            let p = raw.parse_exact(v5_0::Puback::parse).map_err(from)?;
            Ok(Packet::Puback(checked_id(p.packet_id())?))
        }
        8 => {
            let p = raw.parse_exact(v5_0::Subscribe::parse).map_err(from)?;
            let numbered = |p: &Property| matches!(p, Property::SubscriptionIdentifier(_));
            if p.props().iter().any(numbered) {
                return Err(fault(
                    Reason::SubscriptionIdentifiersNotSupported,
                    "a subscription identifier",
                ));
            }
            subscribe(p.packet_id(), p.entries())
        }
        10 => {
            let p = raw.parse_exact(v5_0::Unsubscribe::parse).map_err(from)?;
            Ok(Packet::Unsubscribe {
                id: checked_id(p.packet_id())?,
                filters: p.entries().iter().map(|f| f.as_str().to_owned()).collect(),
            })
        }
        12 => {
            raw.parse_exact(v5_0::Pingreq::parse).map_err(from)?;
            Ok(Packet::Pingreq)
        }
        14 => {
            let p = raw.parse_exact(v5_0::Disconnect::parse).map_err(from)?;
            let mut session_expiry = None;
            for property in p.props().iter().flatten() {
                if let Property::SessionExpiryInterval(value) = property {
                    session_expiry = Some(value.val());
                }
            }
            Ok(Packet::Disconnect { session_expiry })
        }
        other => Err(unexpected(other)),
    }
}

/// Packets that only a server sends, a second CONNECT, those of QoS 2, and AUTH without a method agreed on.
fn unexpected(packet_type: u8) -> Fault {
    match packet_type {
        1 => fault(Reason::ProtocolError, "a second CONNECT"),
        5..=7 => fault(Reason::ProtocolError, "a packet of QoS 2"),
        _ => fault(Reason::ProtocolError, "a packet that no client may send"),
    }
}

type Shared = mqtt_protocol_core::mqtt::Arc<[u8]>;

fn publish<T>(
    raw: &RawPacket,
    parse: impl FnOnce(u8, Shared) -> Result<(T, usize), MqttError>,
) -> Result<T, Fault> {
    let mqtt_protocol_core::mqtt::connection::PacketData::Publish(data) = &raw.data else {
        return Err(fault(
            Reason::MalformedPacket,
            "a message that is not built as one",
        ));
    };
    let (packet, _) = parse(raw.flags(), data.clone()).map_err(from)?;
    Ok(packet)
}

fn publish_id(qos: LibraryQos, id: Option<u16>) -> Result<Option<u16>, Fault> {
    match qos {
        LibraryQos::AtMostOnce => Ok(None),
        LibraryQos::AtLeastOnce => checked_id(id.unwrap_or(0)).map(Some),
        LibraryQos::ExactlyOnce => Err(fault(
            Reason::QosNotSupported,
            "a message with QoS 2; the highest is 1",
        )),
    }
}

fn subscribe(id: u16, entries: &[SubEntry]) -> Result<Packet, Fault> {
    let filters = entries.iter().map(|entry| {
        let qos = match entry.sub_opts().qos() {
            LibraryQos::AtMostOnce => Qos::AtMostOnce,
            LibraryQos::AtLeastOnce | LibraryQos::ExactlyOnce => Qos::AtLeastOnce,
        };
        (entry.topic_filter().to_owned(), qos)
    });
    Ok(Packet::Subscribe(Subscribe {
        id: checked_id(id)?,
        filters: filters.collect(),
    }))
}

#[cfg(test)]
mod tests;
