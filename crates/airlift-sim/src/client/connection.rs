//! One request and its answer over TCP.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use airlift_device::download::http::{Head, HeadParser};

use super::{DeviceError, ServerAddress};

/// How long the update client of arduino-esp32 waits for a connection, and for the next byte.
const PATIENCE: Duration = Duration::from_secs(8);

/// A connection whose answer has begun: the head was read.
pub(super) struct Answered {
    stream: TcpStream,
    pub(super) head: Head,
    /// `name` of `x-Airlift-Partition`: which partition the body is for.
    pub(super) partition: Option<String>,
    /// Bytes of the body that came together with the head.
    early: Vec<u8>,
}

/// Sends `request` and reads the head of the answer.
pub(super) fn exchange(server: &ServerAddress, request: &[u8]) -> Result<Answered, DeviceError> {
    let mut stream = connect(server)?;
    let broken = |source| DeviceError::Connection {
        server: server.to_string(),
        source,
    };
    stream.write_all(request).map_err(broken)?;
    let mut line = [0; 256];
    let mut parser = HeadParser::new(&mut line);
    let mut buffer = [0; 2048];
    let mut raw = Vec::new();
    loop {
        let received = match read(&mut stream, &mut buffer).map_err(broken)? {
            0 => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            received => &buffer[..received],
        };
        if let Some((head, used)) = parser.push(received)? {
            let (last, early) = received.split_at(used.min(received.len()));
            raw.extend_from_slice(last);
            return Ok(Answered {
                stream,
                head,
                partition: named_partition(&raw),
                early: early.to_vec(),
            });
        }
        // The parser gives up on a head that is too long.
        raw.extend_from_slice(received);
    }
}

/// The partition that the head of an answer names.
fn named_partition(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-airlift-partition"))?;
    let mut parts = value.split(';').map(str::trim);
    parts.find_map(|part| part.strip_prefix("name=").map(str::to_owned))
}

fn connect(server: &ServerAddress) -> Result<TcpStream, DeviceError> {
    let unreachable = |source| DeviceError::Unreachable {
        server: server.to_string(),
        source,
    };
    let addresses = (server.host.as_str(), server.port)
        .to_socket_addrs()
        .map_err(unreachable)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                    .and_then(|()| stream.set_nodelay(true))
                    .map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Answered {
    /// The next bytes of the body; 0 at its end.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.early.is_empty() {
            return read(&mut self.stream, buffer);
        }
        let taken = self.early.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.early[..taken]);
        self.early.drain(..taken);
        Ok(taken)
    }
}
