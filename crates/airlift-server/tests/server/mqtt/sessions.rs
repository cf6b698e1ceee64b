//! Connections of one thing: one at a time, remembered if it asks for that, and not held by those who say nothing.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::client::{Client, Hello, V3, V5};
use super::{document, server, server_with, topic};

/// A client that wants to be remembered.
const KEPT_V3: Hello<'_> = Hello { clean: false, ..V3 };
/// For a minute.
const KEPT_V5: Hello<'_> = Hello {
    clean: false,
    properties: b"\x11\x00\x00\x00\x3c",
    ..V5
};

#[tokio::test]
async fn the_second_connection_of_a_thing_takes_over() {
    let server = server().await;
    for (hello, reason) in [(V3, None), (V5, Some(0x8e))] {
        let mut first = server.client(hello.clone()).await;
        let mut second = server.client(hello).await;
        assert_eq!(first.end().await, reason);
        second.ping().await;
    }
}

#[tokio::test]
async fn a_session_outlives_its_connection_if_the_client_wants_it() {
    let server = server().await;
    let next = topic("dev-1", "jobs/notify-next");
    for hello in [KEPT_V3, KEPT_V5] {
        let mut client = Client::open(server.mqtt()).await;
        assert!(!client.hello(&hello).await.session_present);
        client.subscribe(&[(&next, 1)]).await;
        client.send(&[0xe0, 0]).await;
        assert_eq!(client.end().await, None);
        // What happens meanwhile is told when the client is back.
        server.job_for("meanwhile", &["dev-1"], document()).await;

        let mut client = Client::open(server.mqtt()).await;
        assert!(client.hello(&hello).await.session_present);
        let notice = client.message().await;
        assert_eq!(notice.topic, next);
        assert_eq!(notice.json()["execution"]["jobId"], "meanwhile");
        let id = notice.id.expect("QoS 1");
        assert!(!notice.dup);
        // It is not acknowledged, and so comes again, on a connection that takes over.
        let mut again = Client::open(server.mqtt()).await;
        assert!(again.hello(&hello).await.session_present);
        let repeated = again.message().await;
        assert_eq!((repeated.id, repeated.dup), (Some(id), true));
        assert_eq!(repeated.payload, notice.payload);
        again.acknowledge(id).await;
        again.ping().await;

        // A clean start ends it.
        let clean = Hello {
            clean: true,
            properties: &[],
            ..hello.clone()
        };
        let mut client = Client::open(server.mqtt()).await;
        assert!(!client.hello(&clean).await.session_present);
        drop(client);
        let mut client = Client::open(server.mqtt()).await;
        assert!(!client.hello(&hello).await.session_present);
        client.ping().await;
        drop(client);
        let mut client = Client::open(server.mqtt()).await;
        client.hello(&clean).await;
        let forced = crate::harness::send(server.api("DELETE", "/dev/jobs/meanwhile?force=true"));
        assert!(forced.await.status < 300);
    }
}

#[tokio::test]
async fn a_disconnect_may_end_a_session_early() {
    let server = server().await;
    let mut client = Client::open(server.mqtt()).await;
    client.hello(&KEPT_V5).await;
    client.subscribe(&[("$aws/things/dev-1/#", 1)]).await;
    // Session expiry 0.
    client.send(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00").await;
    assert_eq!(client.end().await, None);
    let mut client = Client::open(server.mqtt()).await;
    assert!(!client.hello(&KEPT_V5).await.session_present);
}

#[tokio::test]
async fn a_client_that_breaks_its_promise_to_speak_is_closed() {
    let server = server().await;
    for (hello, reason) in [(V3, None), (V5, Some(0x8d))] {
        let mut client = server
            .client(Hello {
                keep_alive: 1,
                ..hello
            })
            .await;
        // It keeps it for a while, with different packets.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(900)).await;
            client.ping().await;
            tokio::time::sleep(Duration::from_millis(900)).await;
            client.ask(&topic("dev-1", "jobs/get"), "{}").await;
        }
        let quiet = Instant::now();
        assert_eq!(client.end().await, reason);
        let quiet = quiet.elapsed().as_millis();
        assert!((1400..4000).contains(&quiet), "{quiet} ms");
    }
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let server = server().await;
    let mut old = server.client(V3).await;
    let mut new = server
        .client(Hello {
            client_id: "dev-2",
            ..V5
        })
        .await;
    let half_open = Client::open(server.mqtt()).await;
    let address = server.mqtt();
    let started = Instant::now();
    let stopping = tokio::spawn(server.server.shutdown());
    assert_eq!(new.end().await, Some(0x8b));
    assert_eq!(old.end().await, None);
    stopping.await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    drop(half_open);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_restart_forgets_sessions_and_no_jobs() {
    let server = server().await;
    let mut client = Client::open(server.mqtt()).await;
    client.hello(&KEPT_V3).await;
    client.subscribe(&[("$aws/things/dev-1/#", 1)]).await;
    server.job_for("j1", &["dev-1"], document()).await;
    let (data, admin) = (server.data, server.admin);
    server.server.shutdown().await;

    let mut config = crate::harness::config(data.path());
    config.mqtt.plain = super::any_port();
    config.mqtt.anonymous = Some(("dev".into(), "lotus".into()));
    let again = airlift_server::Server::start(config)
        .await
        .expect("it starts");
    let address = again.mqtt_addr().unwrap();
    let mut client = Client::open(address).await;
    assert!(!client.hello(&KEPT_V3).await.session_present);
    let next = client.ask(&topic("dev-1", "jobs/start-next"), "{}").await;
    assert_eq!(next.json()["execution"]["jobId"], Value::from("j1"));
    drop(admin);
    again.shutdown().await;
}

#[tokio::test]
async fn who_does_not_introduce_itself_is_dropped() {
    let soon = |config: &mut airlift_server::Config| {
        config.mqtt.connect_timeout = Duration::from_millis(300);
    };
    let server = server_with(soon).await;
    for address in [server.mqtt(), server.mqtts()] {
        for beginning in [&b""[..], b"\x10", b"\x10\x20\x00\x04MQTT\x04"] {
            let mut client = Client::open(address).await;
            client.send(beginning).await;
            // TLS may say something; MQTT does not.
            let mut said = Vec::new();
            let ended = tokio::time::timeout(super::SOON, client.io.read_to_end(&mut said)).await;
            assert!(ended.is_ok(), "{beginning:?}");
        }
    }
}
