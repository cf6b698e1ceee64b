//! MQTT by hand: packets are built and read byte by byte, so that a client can be as wrong as a test wants it.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::SOON;

/// How a client introduces itself.
#[derive(Debug, Clone)]
pub(super) struct Hello<'a> {
    /// 4: MQTT 3.1.1.
    pub(super) level: u8,
    pub(super) client_id: &'a str,
    pub(super) clean: bool,
    pub(super) keep_alive: u16,
    /// MQTT 5, as bytes.
    pub(super) properties: &'a [u8],
    pub(super) user_name: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    /// Topic.
    pub(super) will: Option<&'a str>,
}

pub(super) const V3: Hello<'_> = Hello {
    level: 4,
    client_id: "dev-1",
    clean: true,
    keep_alive: 60,
    properties: &[],
    user_name: None,
    password: None,
    will: None,
};

pub(super) const V5: Hello<'_> = Hello { level: 5, ..V3 };

impl Hello<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut body = text("MQTT");
        body.push(self.level);
        body.push(
            u8::from(self.clean) << 1
                | u8::from(self.will.is_some()) << 2
                | u8::from(self.password.is_some()) << 6
                | u8::from(self.user_name.is_some()) << 7,
        );
        body.extend_from_slice(&self.keep_alive.to_be_bytes());
        if self.level == 5 {
            body.push(u8::try_from(self.properties.len()).unwrap());
            body.extend_from_slice(self.properties);
        }
        body.extend(text(self.client_id));
        if let Some(will) = self.will {
            if self.level == 5 {
                body.push(0);
            }
            body.extend(text(will));
            body.extend(text("gone"));
        }
        for part in [self.user_name, self.password].into_iter().flatten() {
            body.extend(text(part));
        }
        packet(0x10, &body)
    }
}

/// How a client was received.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Welcome {
    pub(super) session_present: bool,
    pub(super) code: u8,
    /// MQTT 5, as bytes.
    pub(super) properties: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) id: Option<u16>,
    pub(super) dup: bool,
}

impl Message {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).expect("JSON")
    }
}

/// A client, over TCP or TLS.
pub(super) struct Client<S = TcpStream> {
    pub(super) io: S,
    level: u8,
}

impl Client {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a connection"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn over(io: S) -> Self {
        Self { io, level: 4 }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.expect("the server takes it");
    }

    pub(super) async fn hello(&mut self, hello: &Hello<'_>) -> Welcome {
        self.level = hello.level;
        self.send(&hello.bytes()).await;
        let (first, body) = self.receive().await.expect("a CONNACK");
        assert_eq!(first, 0x20, "CONNACK");
        let properties = match hello.level {
            5 => body[3..].to_vec(),
            _ => Vec::new(),
        };
        Welcome {
            session_present: body[0] == 1,
            code: body[1],
            properties,
        }
    }

    /// The next packet: its first byte, and what follows the length. `None`: the connection is closed.
    pub(super) async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let receive = async {
            let first = self.io.read_u8().await.ok()?;
            let (mut length, mut shift) = (0_usize, 0);
            loop {
                let byte = self.io.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.io.read_exact(&mut body).await.ok()?;
            Some((first, body))
        };
        let received = tokio::time::timeout(SOON, receive).await;
        received.expect("a packet, or the end of the connection")
    }

    /// The next packet is a message.
    pub(super) async fn message(&mut self) -> Message {
        let (first, body) = self.receive().await.expect("a message");
        assert_eq!(first >> 4, 3, "a message, and not {first:02x} {body:02x?}");
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        let mut rest = &body[2 + length..];
        let mut id = None;
        if first & 0b110 != 0 {
            id = Some(u16::from_be_bytes([rest[0], rest[1]]));
            rest = &rest[2..];
        }
        if self.level == 5 {
            assert_eq!(rest[0], 0, "no properties");
            rest = &rest[1..];
        }
        Message {
            topic,
            payload: rest.to_vec(),
            id,
            dup: first & 0b1000 != 0,
        }
    }

    pub(super) fn publish_bytes(&self, topic: &str, payload: &[u8], id: Option<u16>) -> Vec<u8> {
        let mut body = text(topic);
        if let Some(id) = id {
            body.extend_from_slice(&id.to_be_bytes());
        }
        if self.level == 5 {
            body.push(0);
        }
        body.extend_from_slice(payload);
        packet(if id.is_some() { 0x32 } else { 0x30 }, &body)
    }

    /// QoS 1 with an identifier, 0 without.
    pub(super) async fn publish(
        &mut self,
        topic: &str,
        payload: impl AsRef<[u8]>,
        id: Option<u16>,
    ) {
        let bytes = self.publish_bytes(topic, payload.as_ref(), id);
        self.send(&bytes).await;
    }

    /// Publishes, and takes the answer.
    pub(super) async fn ask(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Message {
        self.publish(topic, payload, None).await;
        self.message().await
    }

    /// The codes of the SUBACK.
    pub(super) async fn subscribe(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        let mut body = vec![0, 9];
        if self.level == 5 {
            body.push(0);
        }
        for (filter, qos) in filters {
            body.extend(text(filter));
            body.push(*qos);
        }
        self.send(&packet(0x82, &body)).await;
        let (first, body) = self.receive().await.expect("a SUBACK");
        assert_eq!((first, &body[..2]), (0x90, &[0, 9][..]));
        body[if self.level == 5 { 3 } else { 2 }..].to_vec()
    }

    pub(super) async fn acknowledge(&mut self, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low]).await;
    }

    /// The server answers: nothing that was sent before has ended the connection.
    pub(super) async fn ping(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.receive().await, Some((0xd0, vec![])), "PINGRESP");
    }

    /// The connection ends next: the reason, if there is one given.
    pub(super) async fn end(&mut self) -> Option<u8> {
        let reason = match self.receive().await {
            None => return None,
            Some((0xe0, body)) => body.first().copied().unwrap_or(0),
            Some(other) => panic!("{other:02x?} instead of the end"),
        };
        assert_eq!(self.receive().await, None, "closed behind DISCONNECT");
        Some(reason)
    }
}

/// A text with its length.
pub(super) fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes()].concat()
}

/// A packet around a body.
pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}
