//! Requests of the ESP HTTP door, read and answered without a general HTTP library in between.
//!
//! Nearly all requests of a server are update checks that end in 304, and reading one into owned header maps costs more
//! than all the rest of its answer. So a connection starts here: a `GET` or `HEAD` of the door without a body is parsed in
//! place (by `httparse`, the parser that hyper uses, too) and answered. At the first request that is anything else, also one
//! that is not understood, the connection goes to hyper, with all that was read of it, and stays there. Both ways lead to
//! the same door.
//!
//! It also puts header names on the wire as the clients' own documents write them: `x-MD5`.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
};
use http::{HeaderName, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use httparse::Status;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Body;
use super::lifetime::Activity;
use super::socket::Socket;
use crate::doors::esp_http::{ClientHeaders, DoorRequest, EspHttp, PREFIX};

/// Most headers of a request, here and at hyper.
pub(super) const MAX_HEADERS: usize = 64;
/// First size of the buffer for requests; those of known clients have 400 to 700 bytes.
const BUFFER: usize = 2048;
/// A head that is longer goes to hyper, which has a limit of its own.
const MAX_HEAD: usize = 16 << 10;

/// How a connection ended here.
pub(super) enum End<'a> {
    /// It is closed, or is to be.
    Closed,
    /// The next request on it is not for us. What was read of it is in the socket again.
    Other(Socket<'a>),
}

/// What the head in the buffer is.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box would cost what this module saves"
)]
enum Head<'a> {
    Partial,
    Other,
    Ours {
        request: DoorRequest<'a>,
        length: usize,
        keep: Keep,
    },
}

/// What becomes of the connection behind the answer, and how that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// HTTP/1.1 without a word about it.
    Open,
    /// HTTP/1.0 that asked for it.
    OpenAndSaySo,
    Close,
}

/// Serves a connection for as long as its requests are for the door.
pub(super) async fn serve<'a>(
    mut socket: Socket<'a>,
    door: &EspHttp,
    peer: IpAddr,
    activity: &Activity,
) -> io::Result<End<'a>> {
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut head = Vec::new();
    loop {
        if buffer.is_empty() && socket.read_buf(&mut buffer).await? == 0 {
            return Ok(End::Closed);
        }
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        match parse(&buffer, &mut headers) {
            Head::Partial if buffer.len() < MAX_HEAD => {
                if socket.read_buf(&mut buffer).await? == 0 {
                    return Ok(End::Closed);
                }
            }
            Head::Partial | Head::Other => {
                socket.unread(buffer.freeze());
                return Ok(End::Other(socket));
            }
            Head::Ours {
                request,
                length,
                mut keep,
            } => {
                let _answering = activity.answering();
                let answer = door.answer(&request, peer).await;
                if activity.is_to_end() {
                    keep = Keep::Close;
                }
                head.clear();
                write_head(&mut head, &answer, keep)?;
                let with_body = request.method != Method::HEAD;
                buffer.advance(length);
                send(&mut socket, &head, answer.into_body(), with_body).await?;
                if keep == Keep::Close {
                    socket.shutdown().await?;
                    return Ok(End::Closed);
                }
            }
        }
    }
}

fn parse<'a>(bytes: &'a [u8], headers: &'a mut [MaybeUninit<httparse::Header<'a>>]) -> Head<'a> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Head::Partial,
        Err(_) => return Head::Other,
    };
    let method = match request.method {
        Some("GET") => &Method::GET,
        Some("HEAD") => &Method::HEAD,
        _ => return Head::Other,
    };
    let target = request.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if !path.starts_with(PREFIX) || path.contains('#') {
        return Head::Other;
    }
    let mut keep = if request.version == Some(1) {
        Keep::Open
    } else {
        Keep::Close
    };
    let mut found = ClientHeaders::default();
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("connection") {
            keep = connection(header.value, keep);
        } else if is("content-length") {
            // ESP8266 clients send 0 with GET. With anything else a body follows, or nonsense.
            if header.value != b"0" {
                return Head::Other;
            }
        } else if is("transfer-encoding") || is("expect") || is("upgrade") {
            return Head::Other;
        } else {
            found.take(header.name, header.value);
        }
    }
    Head::Ours {
        request: DoorRequest {
            method,
            path,
            headers: found,
        },
        length,
        keep,
    }
}

/// Takes a `Connection` header in. `close` is the stronger word.
fn connection(value: &[u8], before: Keep) -> Keep {
    let says = |word: &[u8]| {
        let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        options.any(|option| option.eq_ignore_ascii_case(word))
    };
    if says(b"close") {
        Keep::Close
    } else if says(b"keep-alive") && before == Keep::Close {
        Keep::OpenAndSaySo
    } else {
        before
    }
}

/// Status line and headers.
fn write_head(head: &mut Vec<u8>, answer: &Response<Body>, keep: Keep) -> io::Result<()> {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str())?;
    for (name, value) in answer.headers() {
        head.extend_from_slice(on_the_wire(name).as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let says_length =
        status == StatusCode::NOT_MODIFIED || answer.headers().contains_key(CONTENT_LENGTH);
    if let Some(length) = answer.body().size_hint().exact().filter(|_| !says_length) {
        write!(head, "Content-Length: {length}\r\n")?;
    }
    head.extend_from_slice(match keep {
        Keep::Open => b"",
        Keep::OpenAndSaySo => b"Connection: keep-alive\r\n",
        Keep::Close => b"Connection: close\r\n",
    });
    head.extend_from_slice(b"Date: ");
    write_date(head);
    head.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

/// As clients' documents and old clients' sources write it; case means nothing by the standard.
fn on_the_wire(name: &HeaderName) -> &str {
    match name.as_str() {
        "x-md5" => "x-MD5",
        "x-sha256" => "x-SHA256",
        "x-airlift-partition" => "x-Airlift-Partition",
        _ if *name == CONTENT_TYPE => "Content-Type",
        _ if *name == CONTENT_LENGTH => "Content-Length",
        _ if *name == CONTENT_RANGE => "Content-Range",
        _ if *name == ACCEPT_RANGES => "Accept-Ranges",
        _ if *name == CACHE_CONTROL => "Cache-Control",
        _ if *name == ETAG => "ETag",
        other => other,
    }
}

/// The date of now, made once a second and thread.
fn write_date(head: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE.with_borrow_mut(|(made, text)| {
        if *made != second {
            *made = second;
            *text = httpdate::fmt_http_date(now);
        }
        head.extend_from_slice(text.as_bytes());
    });
}

async fn send(socket: &mut Socket<'_>, head: &[u8], body: Body, with_body: bool) -> io::Result<()> {
    match body {
        Body::Full(bytes) if with_body => {
            let mut both = Buf::chain(head, bytes);
            socket.write_all_buf(&mut both).await
        }
        Body::Streamed(mut body) if with_body => {
            socket.write_all(head).await?;
            while let Some(frame) = body.frame().await {
                // The length was promised: an answer that cannot be finished ends with the connection.
                let frame = frame.map_err(io::Error::other)?;
                let mut data = frame.into_data().unwrap_or_else(|_| Bytes::new());
                socket.write_all_buf(&mut data).await?;
            }
            Ok(())
        }
        _ => socket.write_all(head).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(request: &str) -> Option<Keep> {
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        match parse(request.as_bytes(), &mut headers) {
            Head::Ours { length, keep, .. } => {
                assert_eq!(length, request.len());
                Some(keep)
            }
            Head::Other | Head::Partial => None,
        }
    }

    #[test]
    fn the_connection_header_is_a_list_of_words() {
        for (version, value, keep) in [
            ("1.1", "", Keep::Open),
            ("1.1", "Connection: keep-alive\r\n", Keep::Open),
            ("1.1", "Connection: close\r\n", Keep::Close),
            ("1.1", "connection: Keep-Alive , CLOSE\r\n", Keep::Close),
            ("1.1", "connection: close, keep-alive\r\n", Keep::Close),
            ("1.1", "Connection: x-closed\r\n", Keep::Open),
            ("1.0", "", Keep::Close),
            ("1.0", "Connection: Keep-Alive\r\n", Keep::OpenAndSaySo),
            (
                "1.0",
                "Content-Length: 0\r\nConnection: TE, keep-alive\r\n",
                Keep::OpenAndSaySo,
            ),
        ] {
            let request = format!("GET /ota_update/a/b/c/d?x HTTP/{version}\r\n{value}\r\n");
            assert_eq!(keeps(&request), Some(keep), "{request:?}");
        }
    }

    #[test]
    fn whatever_may_have_a_body_or_is_not_the_door_s_is_left_to_others() {
        for request in [
            "POST /ota_update/a/b/c/d HTTP/1.1\r\n\r\n",
            "GET /api/v1/organizations HTTP/1.1\r\n\r\n",
            "GET http://x/ota_update/a/b/c/d HTTP/1.1\r\n\r\n",
            "GET /ota_update/a/b/c/d HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            "GET /ota_update/a/b/c/d HTTP/1.1\r\nContent-Length: 0, 0\r\n\r\n",
            "GET /ota_update/a/b/c/d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /ota_update/a/b/c/d HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
            "GET /ota_update/a/b/c/d HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET /ota_update/a/b/c/d HTTP/3.0\r\n\r\n",
            "\u{16}\u{3}\u{1} is no HTTP\r\n\r\n",
        ] {
            assert_eq!(keeps(request), None, "{request:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_it_panic(line in 0_usize..3, bytes: Vec<u8>) {
            let mut request = ["", "GET /ota_update/a/b/c/d", "GET /ota_update/a/b/c/d HTTP/1.1\r\n"][line].as_bytes().to_vec();
            request.extend(bytes);
            let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
            let _ = parse(&request, &mut headers);
        }
    }
}
