//! An MQTT 3.1.1 client that does just enough, and as fast as a socket allows.

use std::{
    io::{BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// A connected client.
pub(super) struct Client {
    // One descriptor each: thousands are connected at once.
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    /// Connects under this name, with a buffer of so many bytes.
    ///
    /// # Errors
    /// Fails if nobody answers, or if the client is refused.
    pub(super) fn connect(port: u16, name: &str, buffer: usize) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut client = Self {
            stream: BufReader::with_capacity(buffer, stream),
            body: Vec::new(),
        };
        // Protocol, level, clean session, no keep-alive.
        let mut hello = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
        hello.extend(text(name)?);
        client.send(&packet(0x10, &hello))?;
        client.receive()?;
        ensure!(
            client.body == [0, 0],
            "{name} is refused: {:?}",
            client.body
        );
        Ok(client)
    }

    /// A second handle for another thread to write with.
    ///
    /// # Errors
    /// Fails if there is no descriptor left.
    pub(super) fn writer(&self) -> Result<TcpStream> {
        Ok(self.stream.get_ref().try_clone()?)
    }

    /// # Errors
    /// Fails if the connection is gone.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// # Errors
    /// Fails if the subscription is refused.
    pub(super) fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut body = vec![0, 1];
        body.extend(text(filter)?);
        body.push(0);
        self.send(&packet(0x82, &body))?;
        self.receive()?;
        ensure!(self.body == [0, 1, 0], "{filter} is refused");
        Ok(())
    }

    /// The body of the next packet.
    ///
    /// # Errors
    /// Fails if the connection ends, or if nothing comes for a minute.
    pub(super) fn receive(&mut self) -> Result<&[u8]> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).context("no packet")?;
        let (mut length, mut shift) = (0, 0);
        loop {
            self.stream.read_exact(&mut byte)?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(&self.body)
    }
}

/// A message with QoS 0.
///
/// # Errors
/// Fails if the topic is too long.
pub(super) fn publish(topic: &str, payload: &[u8]) -> Result<Vec<u8>> {
    Ok(packet(0x30, &[&text(topic)?, payload].concat()))
}

fn text(text: &str) -> Result<Vec<u8>> {
    let length = u16::try_from(text.len())?.to_be_bytes();
    Ok([&length, text.as_bytes()].concat())
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}
