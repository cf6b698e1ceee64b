//! What the registry keeps of a check-in.

use airlift_formats::esp::app_image::ChipId;
use airlift_server::{Parts, Server};
use serde_json::json;

use crate::harness::{TestClock, TestServer, config};
use crate::images::{esp32, sha256_hex};

fn parts(clock: &std::sync::Arc<TestClock>) -> Parts {
    let mut parts = Parts::default();
    parts.clock = clock.clone();
    parts
}

#[tokio::test]
async fn everything_that_a_client_says_is_kept_with_the_time() {
    let clock = TestClock::at(1_795_205_309_042);
    let server = TestServer::start_with(|_| {}, parts(&clock)).await;
    let headers = [
        ("User-Agent", "ESP32-http-Update"),
        ("x-ESP32-BASE-MAC", "24:0A:C4:6C:5E:0E"),
        ("x-ESP32-STA-MAC", "24:0A:C4:6C:5E:0E"),
        ("x-ESP32-AP-MAC", "24:0A:C4:6C:5E:0F"),
        ("x-ESP32-free-space", "1966080"),
        ("x-ESP32-sketch-size", "1006448"),
        ("x-ESP32-sketch-md5", "55ceae8bfcc2c19e48a2c1005afc57af"),
        (
            "x-ESP32-sketch-sha256",
            "8DFFB149E1859BD81A0DF868C868F7127257065ED234C8D58247C347D416D758",
        ),
        ("x-ESP32-chip-size", "4194304"),
        ("x-ESP32-sdk-version", "v5.3.2"),
        ("x-ESP32-mode", "sketch"),
        ("x-ESP32-version", "0.0.0"),
    ];
    server.check_in("sht30", &headers).await;
    clock.advance(60_000);
    server.check_in("sht30", &headers).await;

    let mut device = server.device("n1").await;
    let events = device["events"].take();
    assert_eq!(
        device,
        json!({
            "node": "n1", "project": "lotus", "key": "sht30", "address": "127.0.0.1",
            "user_agent": "ESP32-http-Update", "family": "esp32", "chip_id": null,
            "base_mac": "24:0A:C4:6C:5E:0E", "sta_mac": "24:0A:C4:6C:5E:0E", "ap_mac": "24:0A:C4:6C:5E:0F",
            "version": "0.0.0", "sketch_md5": "55ceae8bfcc2c19e48a2c1005afc57af",
            "sketch_sha256": "8dffb149e1859bd81a0df868c868f7127257065ed234c8d58247c347d416d758",
            "sketch_size": 1_006_448, "free_space": 1_966_080, "chip_size": 4_194_304, "sdk_version": "v5.3.2",
            "first_seen": "2026-11-20T20:08:29.042Z", "last_seen": "2026-11-20T20:09:29.042Z", "check_ins": 2,
            "decision": "no-release", "decision_release": null, "running_release": null, "partitions": [], "events": null,
            "group": null, "tags": [],
        })
    );
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events[0]["event"], "running");
}

#[tokio::test]
async fn a_tool_that_says_nothing_of_the_device_erases_nothing() {
    let server = TestServer::start().await;
    server
        .check_in(
            "k",
            &[
                ("x-ESP8266-chip-id", "9807700"),
                ("x-ESP8266-version", "1.2"),
            ],
        )
        .await;
    server.check_in("k", &[("User-Agent", "curl/8")]).await;
    let device = server.device("n1").await;
    assert_eq!(
        (&device["chip_id"], &device["version"]),
        (&json!("9807700"), &json!("1.2"))
    );
    assert_eq!(
        (&device["user_agent"], &device["check_ins"]),
        (&json!("curl/8"), &json!(2))
    );
}

#[tokio::test]
async fn a_device_reports_how_its_update_ended() {
    let clock = TestClock::at(0);
    let server = TestServer::start_with(|_| {}, parts(&clock)).await;
    let image = esp32(ChipId::ESP32, "2.0.0", 1);
    server.publish("project=lotus&key=k", &image).await;
    let digest = sha256_hex(&image);
    let md5 = ("x-ESP32-sketch-md5", "55ceae8bfcc2c19e48a2c1005afc57af");
    server.check_in("k", &[md5]).await;
    clock.advance(1000);
    let report = format!("state=refused; sha256={digest}; version=2.0.0; reason=bad-signature");
    for _ in 0..3 {
        server
            .check_in("k", &[md5, ("x-Airlift-Update", &report)])
            .await;
        clock.advance(1000);
    }
    server
        .check_in(
            "k",
            &[md5, ("x-Airlift-Update", "state=refused; state=failed")],
        )
        .await;

    let device = server.device("n1").await;
    let expected = json!({
        "state": "refused", "sha256": digest, "version": "2.0.0", "reason": "bad-signature",
        "at": "1970-01-01T00:00:01.000Z",
    });
    assert_eq!(
        device["result"], expected,
        "the first time that it was said in these words"
    );
    let events = device["events"].as_array().unwrap();
    let names: Vec<_> = events
        .iter()
        .rev()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    // The fourth offer is not made: it refused this image three times.
    assert_eq!(
        names,
        ["running", "offered", "refused", "offered", "offered"]
    );
    assert_eq!(device["decision"], "refused");
}

#[tokio::test]
async fn events_survive_a_restart_and_old_ones_make_room() {
    let server = TestServer::start().await;
    for version in 0..250 {
        if version % 20 == 0 && version > 0 {
            // Showing a device writes first what is still to be written.
            server.device("n1").await;
        }
        server
            .check_in("k", &[("x-ESP32-version", &format!("1.{version}"))])
            .await;
    }
    let before = server.device("n1").await;
    let events = before["events"].as_array().unwrap();
    assert_eq!(events.first().unwrap()["version"], "1.249");
    assert_eq!(events.len(), 200);

    let TestServer {
        server: running,
        admin,
        data,
        http,
    } = server;
    running.shutdown().await;
    let running = Server::start(config(data.path())).await.unwrap();
    let server = TestServer {
        server: running,
        admin,
        data,
        http,
    };
    assert_eq!(server.device("n1").await, before);
}

#[tokio::test]
async fn only_devices_of_projects_that_exist_are_recorded() {
    let server = TestServer::start().await;
    server
        .publish("all_projects=true&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    for (path, served) in [
        ("dev/invented/n1/k", 200),
        ("nobody/lotus/n2/k", 304),
        ("dev/lotus/n3/k", 200),
        ("dev/+/n4/k", 200),
    ] {
        let answer = server
            .http
            .get(server.url(&format!("/ota_update/{path}")))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), served, "{path}");
    }
    let list = server.get("/dev/devices").await.body;
    let nodes: Vec<_> = list["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| device["node"].as_str().unwrap())
        .collect();
    assert_eq!(nodes, ["n3", "n4"]);
}

#[tokio::test]
async fn a_full_registry_takes_no_more_devices_and_serves_them_all_the_same() {
    let change = |config: &mut airlift_server::Config| config.max_devices_per_organization = 3;
    let server = TestServer::start_with(change, Parts::default()).await;
    server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    for node in ["a", "b", "c", "d", "e", "a"] {
        let answer = server
            .http
            .get(server.url(&format!("/ota_update/dev/lotus/{node}/k")))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    let nodes = |list: &serde_json::Value| -> Vec<String> {
        list["devices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|device| device["node"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        nodes(&server.get("/dev/devices").await.body),
        ["a", "b", "c"]
    );
    assert_eq!(
        nodes(&server.get("/dev/devices?after=a&limit=1").await.body),
        ["b"]
    );
}
