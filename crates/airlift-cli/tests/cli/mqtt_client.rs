//! A client of MQTT 3.1.1 that does what it is told and nothing besides, as firmware in the field does.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::lossy::packet;

pub(crate) struct Client {
    stream: TcpStream,
    patience: Duration,
}

/// Longer than any machine needs for what has begun.
const LONG: Duration = Duration::from_secs(30);

impl Client {
    /// A clean session under this name.
    pub(crate) fn connect(url: &str, name: &str) -> Self {
        let address = url.strip_prefix("mqtt://").expect("mqtt");
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(LONG)).expect("an option");
        let mut client = Self {
            stream,
            patience: LONG,
        };
        let mut connect = b"\0\x04MQTT\x04\x02\0\x3c".to_vec();
        put_text(&mut connect, name);
        client.send(0x10, &connect);
        let answer = packet(&mut client.stream).expect("CONNACK");
        assert_eq!(answer, [0x20, 2, 0, 0]);
        client
    }

    /// How long [`next`](Self::next) waits.
    pub(crate) fn set_patience(&mut self, time: Duration) {
        self.patience = time;
    }

    /// QoS 0.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) {
        let mut publish = Vec::new();
        put_text(&mut publish, topic);
        publish.extend_from_slice(payload);
        self.send(0x30, &publish);
    }

    /// QoS 1. The acknowledgement is passed over when it comes.
    pub(crate) fn publish_surely(&mut self, topic: &str, payload: &[u8]) {
        let mut publish = Vec::new();
        put_text(&mut publish, topic);
        publish.extend_from_slice(&[0, 1]);
        publish.extend_from_slice(payload);
        self.send(0x32, &publish);
    }

    /// With QoS 0. Whether it was granted is not looked at, as many clients do.
    pub(crate) fn subscribe(&mut self, filter: &str) {
        let mut subscribe = vec![0, 2];
        put_text(&mut subscribe, filter);
        subscribe.push(0);
        self.send(0x82, &subscribe);
    }

    /// The next message: topic and payload. `None` if none came in time.
    pub(crate) fn next(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            let wait = |time| {
                self.stream.set_read_timeout(Some(time)).expect("an option");
            };
            wait(self.patience);
            self.stream.peek(&mut [0]).ok()?;
            wait(LONG);
            let packet = packet(&mut self.stream)?;
            if packet[0] & 0xF0 != 0x30 {
                continue;
            }
            assert_eq!(packet[0] & 0x06, 0, "without a subscription to more, QoS 0");
            let mut length = packet[1..].iter();
            let length = length.position(|byte| byte & 0x80 == 0).expect("an end");
            let content = &packet[length + 2..];
            let (size, rest) = content.split_first_chunk::<2>().expect("a topic");
            let (topic, payload) = rest.split_at(u16::from_be_bytes(*size).into());
            let topic = String::from_utf8(topic.to_vec()).expect("text");
            return Some((topic, payload.to_vec()));
        }
    }

    fn send(&mut self, kind: u8, content: &[u8]) {
        let mut packet = vec![kind];
        let mut length = content.len();
        loop {
            let more = if length > 127 { 0x80 } else { 0 };
            packet.push((length & 127) as u8 | more);
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(content);
        self.stream.write_all(&packet).expect("sent");
    }
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(&u16::try_from(text.len()).expect("short").to_be_bytes());
    to.extend_from_slice(text.as_bytes());
}
