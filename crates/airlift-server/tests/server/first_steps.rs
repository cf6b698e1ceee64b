//! From an empty folder to a device that is served, and over a restart.

use airlift_server::{Server, StartError};

use crate::harness::{TestServer, config, golden};

#[tokio::test]
async fn a_published_image_reaches_a_device_that_does_not_run_it() {
    let server = TestServer::start().await;
    let image = golden("esp/app/app_esp32_v1.bin");
    let published = server
        .publish("project=lotus&key=sht30&version=1.0.0", &image)
        .await;
    assert_eq!(published.status, 201, "{published:?}");
    let md5 = published.body["md5"].as_str().unwrap().to_owned();

    let get = |md5: &str| {
        server
            .http
            .get(server.url("/ota_update/dev/lotus/esp32-6c5e0e/sht30"))
            .header("x-ESP32-STA-MAC", "24:0A:C4:6C:5E:0E")
            .header("x-ESP32-sketch-md5", md5.to_owned())
            .header("x-ESP32-version", "0.9.0")
            .send()
    };
    let offered = get("55ceae8bfcc2c19e48a2c1005afc57af").await.unwrap();
    assert_eq!(offered.status(), 200);
    assert_eq!(offered.headers()["x-md5"], md5.as_str());
    assert_eq!(offered.headers()["x-version"], "1.0.0");
    assert_eq!(offered.bytes().await.unwrap(), image);

    assert_eq!(get(&md5.to_uppercase()).await.unwrap().status(), 304);
    let device = server.device("esp32-6c5e0e").await;
    assert_eq!(device["sta_mac"], "24:0A:C4:6C:5E:0E");
    assert_eq!(device["decision"], "up-to-date");
    assert_eq!(device["running_release"]["version"], "1.0.0");
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let server = TestServer::start().await;
    let image = golden("esp/app/app_esp32_v1.bin");
    assert_eq!(
        server
            .publish("project=lotus&key=sht30&version=1.0.0", &image)
            .await
            .status,
        201
    );
    let url = |address| format!("http://{address}/ota_update/dev/lotus/esp32-6c5e0e/sht30");
    let first = server
        .http
        .get(url(server.server.local_addr()))
        .header("x-ESP32-version", "0.9")
        .send()
        .await;
    assert_eq!(first.unwrap().status(), 200);
    let before = server.device("esp32-6c5e0e").await;

    let TestServer {
        server: running,
        admin,
        data,
        http,
    } = server;
    running.shutdown().await;
    let running = Server::start(config(data.path())).await.unwrap();
    assert_eq!(running.admin_token(), None, "the token is shown once");
    let server = TestServer {
        server: running,
        admin,
        data,
        http,
    };
    assert_eq!(server.device("esp32-6c5e0e").await, before);
    let again = server
        .http
        .get(url(server.server.local_addr()))
        .send()
        .await
        .unwrap();
    assert_eq!(again.bytes().await.unwrap(), image);
    assert_eq!(
        server.get("/dev/releases").await.body["releases"][0]["offered"],
        true
    );
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let server = TestServer::start().await;
    let second = Server::start(config(server.data.path())).await;
    assert!(matches!(second.err(), Some(StartError::InUse { path }) if path == server.data.path()));
}

#[tokio::test]
async fn a_start_that_fails_for_the_address_keeps_the_token_for_the_next() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut settings = config(data.path());
    settings.http = taken.local_addr().unwrap();
    assert!(matches!(
        Server::start(settings).await.err(),
        Some(StartError::Listen { .. })
    ));
    let running = Server::start(config(data.path())).await.unwrap();
    assert!(
        running
            .admin_token()
            .is_some_and(|token| token.starts_with("airlift_"))
    );
}
