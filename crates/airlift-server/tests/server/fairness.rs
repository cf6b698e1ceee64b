//! What one client does must not cost the others anything.

use std::time::Duration;

use airlift_formats::esp::app_image::ChipId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{TestServer, send};
use crate::images::esp32;

impl TestServer {
    /// The head of an upload to `dev`, for a body of `length` bytes that may never come.
    async fn begin_upload(&self, organization: &str, key: &str, length: u64) -> TcpStream {
        let head = format!(
            "PUT /api/v1/organizations/{organization}/releases?project=lotus&key={key} HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n",
            self.admin
        );
        let mut stream = TcpStream::connect(self.server.local_addr()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

#[tokio::test]
async fn the_same_upload_many_times_at_once_is_one_release() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1", 1);
    let publish = || server.publish("project=lotus&key=k", &image);
    let (a, b, c, d) = tokio::join!(publish(), publish(), publish(), publish());
    let mut statuses = [a.status, b.status, c.status, d.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 201]);
    let releases = server.get("/dev/releases").await.body["releases"].clone();
    assert_eq!(releases.as_array().map(Vec::len), Some(1), "{releases}");
}

#[tokio::test]
async fn two_chips_at_once_for_one_new_key_are_not_both_taken() {
    let server = TestServer::start().await;
    let images = [esp32(ChipId::ESP32, "1", 1), esp32(ChipId::ESP32C3, "1", 1)];
    for key in 0..8 {
        let place = format!("project=lotus&key=k{key}");
        let (one, other) = tokio::join!(
            server.publish(&place, &images[0]),
            server.publish(&place, &images[1])
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
}

#[tokio::test]
async fn slow_uploads_of_one_organization_do_not_keep_another_from_publishing() {
    let server = TestServer::start().await;
    let mut slow = Vec::new();
    for number in 0..40 {
        let mut stream = server
            .begin_upload("dev", &format!("slow{number}"), 100_000)
            .await;
        stream.write_all(&[0xE9]).await.unwrap();
        slow.push(stream);
    }
    let image = esp32(ChipId::ESP32, "1", 1);
    let other = server
        .api("POST", "/other/releases?project=lotus&key=k")
        .body(image);
    // Far less than an upload waits for its turn.
    let published = tokio::time::timeout(Duration::from_secs(15), send(other)).await;
    assert_eq!(published.map(|answer| answer.status).ok(), Some(201));
}

#[tokio::test]
async fn an_upload_that_announces_too_much_is_refused_before_it_comes() {
    let server = TestServer::start().await;
    let mut stream = server.begin_upload("dev", "k", 99_999_999_999).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn only_whole_images_count_against_a_device_that_sends_no_digest() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "2", 2);
    let published = server.publish("project=lotus&key=k", &image).await;
    let tag = format!("\"{}\"", published.body["sha256"].as_str().unwrap());
    let blind = ("x-ESP32-free-space", "9999999");
    for _ in 0..5 {
        let looks = server.check_in("k", &[blind, ("Range", "bytes=0-3")]).await;
        assert_eq!(looks.status(), 206);
        let has = server
            .check_in("k", &[blind, ("If-None-Match", &tag)])
            .await;
        assert_eq!(has.status(), 304);
    }
    assert_eq!(server.check_in("k", &[blind]).await.status(), 200);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_data_folder_is_nobody_else_s_business() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let server = airlift_server::Server::start(crate::harness::config(&data))
        .await
        .unwrap();
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    server.shutdown().await;
}
