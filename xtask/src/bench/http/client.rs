//! One request, one answer: to see that a server does what is about to be measured.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// An answer, read to the end of the connection.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    head: String,
    body_len: usize,
}

impl Answer {
    /// The value of a header field; the name in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    }

    /// # Errors
    /// Fails if the answer has another status, or a body of another length.
    pub(super) fn expect(&self, status: u16, body_len: Option<usize>) -> Result<()> {
        if self.status != status || body_len.is_some_and(|len| len != self.body_len) {
            let Self {
                status: found,
                body_len: len,
                head,
            } = self;
            bail!(
                "status {status} was expected; the server answers {found} with a body of {len} bytes:\n{head}"
            );
        }
        Ok(())
    }
}

/// `GET path` with these fields, over a connection of its own.
///
/// # Errors
/// Fails if there is no answer within ten seconds, or if it is not HTTP.
pub(super) fn get(port: u16, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "Connection") {
        request += &format!("{name}: {value}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    let answer =
        exchange(port, &request).with_context(|| format!("GET {path} from port {port}"))?;

    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .context("an answer without an end of its head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("an answer without a status: {head}"))?;
    Ok(Answer {
        status,
        head,
        body_len: answer.len() - end - 4,
    })
}

fn exchange(port: u16, request: &str) -> Result<Vec<u8>> {
    let limit = Some(Duration::from_secs(10));
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(limit)?;
    connection.set_write_timeout(limit)?;
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}
