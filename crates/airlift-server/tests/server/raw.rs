//! HTTP by hand, to see exactly what is on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer of a test takes this long; a server that leaves a socket open that it should close is found by it.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The server closed the connection behind the answer.
    pub(crate) closed: bool,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")
            .map(|length| length.parse().expect("a number"))
    }
}

/// Sends these bytes on a connection of their own and reads one answer; then looks whether the server closes.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(request)
        .await
        .expect("the request is taken");
    let mut answer = read_answer(&mut stream, request.starts_with(b"HEAD ")).await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "bytes behind the answer: {rest:?}");
    answer.closed = end.is_ok();
    answer
}

/// Reads one answer with the length that it says it has.
pub(crate) async fn read_answer(stream: &mut TcpStream, to_head: bool) -> RawAnswer {
    let mut bytes = Vec::new();
    let end_of_head = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut bytes))
            .await
            .expect("an answer in time");
        assert_ne!(
            read.expect("an answer"),
            0,
            "closed before the answer was complete: {bytes:?}"
        );
    };
    let head = String::from_utf8(bytes[..end_of_head].to_vec()).expect("text");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a status line");
    let mut words = status_line.splitn(3, ' ');
    let version = words.next().expect("a version").to_owned();
    let status = words
        .next()
        .and_then(|code| code.parse().ok())
        .expect("a status");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_owned(), value.to_owned())
    });
    let mut answer = RawAnswer {
        version,
        status,
        headers: headers.collect(),
        body: bytes.split_off(end_of_head + 4),
        closed: false,
    };
    let length = if to_head || status == 304 {
        0
    } else {
        answer.length().unwrap_or(0)
    };
    while answer.body.len() < length {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer.body))
            .await
            .expect("a body in time");
        assert_ne!(
            read.expect("a body"),
            0,
            "closed after {} of {length} bytes",
            answer.body.len()
        );
    }
    assert_eq!(answer.body.len(), length, "more than the length says");
    answer
}
