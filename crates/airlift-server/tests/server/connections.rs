//! Connections: kept, closed, and not held open by those who only want to hold them.

use std::time::{Duration, Instant};

use airlift_formats::esp::app_image::ChipId;
use airlift_server::Parts;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::TestServer;
use crate::images::{esp32, esp8266};
use crate::raw::{exchange, read_answer};

const CHECK: &str = "GET /ota_update/dev/lotus/n1/k";

#[tokio::test]
async fn a_connection_is_kept_as_its_client_wants() {
    let server = TestServer::start().await;
    for (request, closed) in [
        (format!("{CHECK} HTTP/1.1\r\nHost: x\r\n\r\n"), false),
        (
            format!("{CHECK} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            true,
        ),
        (format!("{CHECK} HTTP/1.0\r\n\r\n"), true),
        (
            format!("{CHECK} HTTP/1.0\r\nConnection: close\r\n\r\n"),
            true,
        ),
        (
            format!("{CHECK} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            false,
        ),
        (
            format!("{CHECK} HTTP/1.0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            true,
        ),
    ] {
        let answer = exchange(server.server.local_addr(), request.as_bytes()).await;
        assert_eq!((answer.status, answer.closed), (304, closed), "{request:?}");
    }
}

#[tokio::test]
async fn several_requests_on_one_connection() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1", 1);
    server.publish("project=lotus&key=k", &image).await;
    let mut stream = TcpStream::connect(server.server.local_addr())
        .await
        .unwrap();
    for _ in 0..3 {
        stream
            .write_all(format!("{CHECK} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        assert_eq!(read_answer(&mut stream, false).await.body, image);
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read_answer(&mut stream, false).await.body, b"ok\n");
    }
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_is_cut_off() {
    let change =
        |config: &mut airlift_server::Config| config.header_timeout = Duration::from_millis(300);
    let server = TestServer::start_with(change, Parts::default()).await;
    for beginning in [
        "",
        "GET /ota",
        "GET /ota_update/dev/lotus/n1/k HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    ] {
        let started = Instant::now();
        let mut stream = TcpStream::connect(server.server.local_addr())
            .await
            .unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end =
            tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(
            end.is_ok(),
            "{beginning:?} is still open after {:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn a_client_that_stops_sending_or_taking_is_given_up() {
    let change =
        |config: &mut airlift_server::Config| config.stall_timeout = Duration::from_millis(300);
    let server = TestServer::start_with(change, Parts::default()).await;
    let image = esp8266(1, 8_000_000);
    assert_eq!(
        server
            .publish("project=lotus&key=k&version=1", &image)
            .await
            .status,
        201
    );

    let mut taking = TcpStream::connect(server.server.local_addr())
        .await
        .unwrap();
    taking
        .write_all(format!("{CHECK} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();

    let mut sending = TcpStream::connect(server.server.local_addr())
        .await
        .unwrap();
    let head = format!(
        "PUT /api/v1/organizations/dev/releases?project=lotus&key=k HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n\u{1}",
        server.admin
    );
    sending
        .write_all(head.replace('\u{1}', "").as_bytes())
        .await
        .unwrap();
    let answer = read_answer(&mut sending, false).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains("upload-broken-off"));

    // By now the other one has been given up, too: what it finally takes ends early.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut received = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), taking.read_to_end(&mut received))
        .await
        .unwrap();
    assert!(received.len() < image.len(), "{} bytes", received.len());
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let server = TestServer::start().await;
    let address = server.server.local_addr();
    let many = format!("{CHECK} HTTP/1.1\r\n{}\r\n", "X-Header: 1\r\n".repeat(200));
    let answer = exchange(address, many.as_bytes()).await;
    assert_eq!((answer.status, answer.closed), (431, true));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{CHECK} HTTP/1.1\r\nX-Header: ").as_bytes())
        .await
        .unwrap();
    // More than the socket's buffers take: it must be the server that ends this.
    let flood = tokio::time::timeout(
        Duration::from_secs(5),
        stream.write_all(&vec![b'1'; 100 << 20]),
    )
    .await;
    assert!(flood.unwrap().is_err());
    let nonsense = exchange(
        server.server.local_addr(),
        b"\x16\x03\x01 what is this\r\n\r\n",
    )
    .await;
    assert_eq!((nonsense.status, nonsense.closed), (400, true));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let server =
        TestServer::start_with(|config| config.max_connections = 4, Parts::default()).await;
    let address = server.server.local_addr();
    drop(server.http.clone());
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting
        .write_all(format!("{CHECK} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.read(&mut byte)).await;
    assert!(early.is_err(), "it was served beside four others");
    open.clear();
    assert_eq!(read_answer(&mut waiting, false).await.status, 304);
}

#[tokio::test]
async fn stopping_lets_an_answer_come_to_its_end() {
    let server = TestServer::start().await;
    let image = esp8266(1, 8_000_000);
    server
        .publish("project=lotus&key=k&version=1", &image)
        .await;
    let mut stream = TcpStream::connect(server.server.local_addr())
        .await
        .unwrap();
    stream
        .write_all(format!("{CHECK} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).await.unwrap();
    let address = server.server.local_addr();
    let stopping = tokio::spawn(server.server.shutdown());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(first.len() + rest.len() > image.len(), "{}", rest.len());
    stopping.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
