//! One connection: MQTT 3.1.1 over TCP or TLS. The only module that knows the library behind it.
//!
//! `mqtt-protocol-core` encodes and decodes the packets. What a client has to do besides is little: introduce itself, acknowledge,
//! and say something before its keep-alive is over.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{
    PacketBuildResult, PacketBuilder, PacketData, RawPacket,
};
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, SubOpts, v3_1_1};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};

use super::super::DeviceError;
use super::tls::{self, Stream};
use super::{Credentials, MqttAddress};

/// How long a connection waits.
#[derive(Clone, Copy)]
struct Times {
    /// For coming about, and for an answer of the server to the connection itself.
    patience: Duration,
    /// The longest silence that is promised to the server, in seconds.
    keep_alive: u16,
}

const TIMES: Times = Times {
    patience: Duration::from_secs(8),
    keep_alive: 60,
};

/// Largest packet that is taken: the largest block in base64, and what is around it.
const MAX_PACKET: u32 = 256 << 10;

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

/// A connection that the server has accepted.
pub(super) struct Link {
    stream: Stream,
    server: String,
    times: Times,
    builder: PacketBuilder,
    /// Bytes that came and are not looked at yet.
    input: Vec<u8>,
    taken: usize,
    /// Messages that came while something else was waited for.
    waiting: std::collections::VecDeque<Message>,
    last_sent: Instant,
    /// When the server was asked whether it is still there, if nothing has come since.
    asked: Option<Instant>,
    next_id: u16,
}

/// What the connection can get from the server, besides messages.
enum Incoming {
    Message(Message),
    SubscriptionAnswer(u16, Vec<SubackReturnCode>),
    Other,
}

impl Link {
    /// Connects as this thing, with nothing left over from before.
    pub(super) fn connect(
        server: &MqttAddress,
        thing: &str,
        credentials: &Credentials,
    ) -> Result<Self, DeviceError> {
        Self::connect_in(TIMES, server, thing, credentials)
    }

    fn connect_in(
        times: Times,
        server: &MqttAddress,
        thing: &str,
        credentials: &Credentials,
    ) -> Result<Self, DeviceError> {
        let tcp = open(server, times.patience)?;
        let stream = match server.tls {
            true => tls::wrap(tcp, server, credentials)?,
            false => Stream::Plain(tcp),
        };
        let mut link = Self {
            stream,
            server: server.to_string(),
            times,
            builder: PacketBuilder::with_maximum_packet_size(MAX_PACKET),
            input: Vec::new(),
            taken: 0,
            waiting: std::collections::VecDeque::new(),
            last_sent: Instant::now(),
            asked: None,
            next_id: 1,
        };
        link.introduce(thing, credentials)?;
        Ok(link)
    }

    fn introduce(&mut self, thing: &str, credentials: &Credentials) -> Result<(), DeviceError> {
        let connect = || -> Result<Vec<u8>, MqttError> {
            let mut packet = v3_1_1::Connect::builder()
                .client_id(thing)?
                .clean_session(true)
                .keep_alive(self.times.keep_alive);
            if let Some((user, password)) = &credentials.login {
                packet = packet.user_name(user)?.password(password.as_str())?;
            }
            Ok(packet.build()?.to_continuous_buffer())
        };
        let connect = connect().map_err(|error| self.odd(&error))?;
        self.send(&connect)?;
        let deadline = Instant::now() + self.times.patience;
        let raw = loop {
            if let Some(raw) = self.packet()? {
                break raw;
            }
            if !self.receive(deadline)? {
                return Err(self.broken(io::ErrorKind::TimedOut.into()));
            }
        };
        let answer = match raw.packet_type() {
            2 => raw.parse_exact(v3_1_1::Connack::parse),
            _ => Err(MqttError::ProtocolError),
        };
        match answer.map_err(|error| self.odd(&error))?.return_code() {
            ConnectReturnCode::Accepted => Ok(()),
            code => Err(DeviceError::NotWelcome {
                server: self.server.clone(),
                thing: thing.to_owned(),
                why: match code {
                    ConnectReturnCode::BadUserNameOrPassword => "user name or password is wrong",
                    ConnectReturnCode::IdentifierRejected => "that name cannot be a thing's",
                    ConnectReturnCode::ServerUnavailable => "it takes no more connections now",
                    ConnectReturnCode::NotAuthorized => "it may not connect like that",
                    _ => "it does not speak MQTT 3.1.1",
                },
            }),
        }
    }

    /// Asks for the messages of these topics, with QoS 1, and waits until that is granted.
    pub(super) fn subscribe(&mut self, filters: &[&str]) -> Result<(), DeviceError> {
        let id = self.id();
        let subscribe = || -> Result<Vec<u8>, MqttError> {
            let entries = filters
                .iter()
                .map(|filter| SubEntry::new(*filter, SubOpts::new().set_qos(Qos::AtLeastOnce)))
                .collect::<Result<Vec<_>, _>>()?;
            let packet = v3_1_1::Subscribe::builder().packet_id(id).entries(entries);
            Ok(packet.build()?.to_continuous_buffer())
        };
        let subscribe = subscribe().map_err(|error| self.odd(&error))?;
        self.send(&subscribe)?;
        let deadline = Instant::now() + self.times.patience;
        loop {
            match self.incoming(deadline)? {
                Some(Incoming::Message(message)) => self.waiting.push_back(message),
                Some(Incoming::SubscriptionAnswer(of, codes)) if of == id => {
                    return match codes.contains(&SubackReturnCode::Failure) {
                        false => Ok(()),
                        true => Err(DeviceError::NotSubscribed {
                            server: self.server.clone(),
                            filter: filters.join(", "),
                        }),
                    };
                }
                Some(_) => {}
                None => return Err(self.broken(io::ErrorKind::TimedOut.into())),
            }
        }
    }

    /// Publishes a message; with QoS 0, as clients of AWS IoT do: who needs an answer waits for it and asks again.
    pub(super) fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), DeviceError> {
        let publish = || -> Result<Vec<u8>, MqttError> {
            let packet = v3_1_1::Publish::builder()
                .topic_name(topic)?
                .qos(Qos::AtMostOnce)
                .payload(payload);
            Ok(packet.build()?.to_continuous_buffer())
        };
        let publish = publish().map_err(|error| self.odd(&error))?;
        self.send(&publish)
    }

    /// The next message, or none until `deadline`.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Option<Message>, DeviceError> {
        if let Some(message) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        loop {
            match self.incoming(deadline)? {
                Some(Incoming::Message(message)) => return Ok(Some(message)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Says that it ends. What is not sent by now is lost.
    pub(super) fn close(mut self) {
        let goodbye = v3_1_1::Disconnect::new().to_continuous_buffer();
        let _ = self.send(&goodbye);
    }

    fn incoming(&mut self, deadline: Instant) -> Result<Option<Incoming>, DeviceError> {
        loop {
            if let Some(raw) = self.packet()? {
                return self.understand(&raw).map(Some);
            }
            // Half of what was promised: late enough to be rare, early enough not to be too late.
            let ping = self.last_sent + Duration::from_secs(self.times.keep_alive.into()) / 2;
            let gone = self.asked.map(|asked| asked + self.times.patience);
            if self.receive(deadline.min(ping).min(gone.unwrap_or(ping)))? {
                continue;
            }
            let now = Instant::now();
            if gone.is_some_and(|gone| now >= gone) {
                return Err(self.broken(io::ErrorKind::TimedOut.into()));
            }
            if now < ping {
                return Ok(None);
            }
            self.send(&v3_1_1::Pingreq::new().to_continuous_buffer())?;
            self.asked.get_or_insert(now);
        }
    }

    fn understand(&mut self, raw: &RawPacket) -> Result<Incoming, DeviceError> {
        let understood = match (raw.packet_type(), &raw.data) {
            (3, PacketData::Publish(data)) => v3_1_1::Publish::parse(raw.flags(), data.clone())
                .map(|(packet, _)| {
                    let message = Message {
                        topic: packet.topic_name().to_owned(),
                        payload: packet.payload().as_slice().to_vec(),
                    };
                    (Incoming::Message(message), packet.packet_id())
                }),
            (9, _) => raw.parse_exact(v3_1_1::Suback::parse).map(|packet| {
                let answer =
                    Incoming::SubscriptionAnswer(packet.packet_id(), packet.return_codes());
                (answer, None)
            }),
            _ => Ok((Incoming::Other, None)),
        };
        let (incoming, to_acknowledge) = understood.map_err(|error| self.odd(&error))?;
        if let Some(id) = to_acknowledge {
            let packet = v3_1_1::Puback::builder().packet_id(id).build();
            let packet = packet.map_err(|error| self.odd(&error))?;
            self.send(&packet.to_continuous_buffer())?;
        }
        Ok(incoming)
    }

    /// A packet that is there as a whole.
    fn packet(&mut self) -> Result<Option<RawPacket>, DeviceError> {
        let mut cursor = Cursor::new(self.input.get(self.taken..).unwrap_or_default());
        let built = self.builder.feed(&mut cursor);
        self.taken += usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        match built {
            PacketBuildResult::Complete(raw) => Ok(Some(raw)),
            PacketBuildResult::Incomplete => {
                self.input.clear();
                self.taken = 0;
                Ok(None)
            }
            PacketBuildResult::Error(error) => Err(self.odd(&error)),
        }
    }

    /// Waits for bytes; `false`: none came until `deadline`.
    fn receive(&mut self, deadline: Instant) -> Result<bool, DeviceError> {
        // A timeout of 0 would be none at all.
        let wait = deadline.saturating_duration_since(Instant::now());
        let wait = wait.max(Duration::from_millis(1));
        let mut buffer = [0; 16 << 10];
        let read = self.stream.wait_at_most(wait).and_then(|()| {
            loop {
                match self.stream.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        });
        match read {
            Ok(0) => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.asked = None;
                self.input.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        let sent = self.stream.write_all(bytes);
        let sent = sent.and_then(|()| self.stream.flush());
        sent.map_err(|error| self.broken(error))?;
        self.last_sent = Instant::now();
        Ok(())
    }

    fn id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(1);
        id
    }

    fn broken(&self, source: io::Error) -> DeviceError {
        DeviceError::Connection {
            server: self.server.clone(),
            source,
        }
    }

    fn odd(&self, error: &MqttError) -> DeviceError {
        self.broken(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not what MQTT 3.1.1 says: {error:?}"),
        ))
    }
}

fn open(server: &MqttAddress, patience: Duration) -> Result<TcpStream, DeviceError> {
    let unreachable = |source| DeviceError::Unreachable {
        server: server.to_string(),
        source,
    };
    let addresses = (server.host.as_str(), server.port)
        .to_socket_addrs()
        .map_err(unreachable)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream
                    .set_write_timeout(Some(patience))
                    .and_then(|()| stream.set_read_timeout(Some(patience)))
                    .and_then(|()| stream.set_nodelay(true))
                    .map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
    const PINGREQ: [u8; 2] = [0xC0, 0];
    const PINGRESP: [u8; 2] = [0xD0, 0];

    /// A connection to a server that answers so many pings and says nothing else; and how many came.
    fn link(answers: usize) -> (Link, thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("mqtt://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connect = [0; 2];
            stream.read_exact(&mut connect).unwrap();
            stream.read_exact(&mut vec![0; connect[1].into()]).unwrap();
            stream.write_all(&CONNACK).unwrap();
            let (mut pings, mut packet) = (0, [0; 2]);
            while stream.read_exact(&mut packet).is_ok() && packet == PINGREQ {
                pings += 1;
                if pings <= answers {
                    stream.write_all(&PINGRESP).unwrap();
                }
            }
            pings
        });
        let times = Times {
            patience: Duration::from_millis(700),
            keep_alive: 1,
        };
        let link = Link::connect_in(
            times,
            &address.parse().unwrap(),
            "dev-1",
            &Credentials::default(),
        );
        (link.unwrap(), server)
    }

    #[test]
    fn a_silent_connection_is_kept_alive() {
        let (mut link, server) = link(usize::MAX);
        let deadline = Instant::now() + Duration::from_millis(1300);
        assert_eq!(link.next(deadline).unwrap(), None);
        assert!(Instant::now() >= deadline);
        link.close();
        assert!(server.join().unwrap() >= 1);
    }

    #[test]
    fn a_server_that_is_not_there_any_more_is_noticed() {
        let (mut link, server) = link(1);
        let deadline = Instant::now() + Duration::from_secs(60);
        let error = link.next(deadline).unwrap_err();
        assert!(error.is_passing(), "{error}");
        assert!(Instant::now() < deadline);
        drop(link);
        assert!(server.join().unwrap() >= 2);
    }
}
