//! Devices that name the partition that they ask for, and what is kept of it.

use airlift_formats::esp::app_image::ChipId;
use airlift_server::{Parts, Server};
use serde_json::{Value, json};

use crate::harness::{TestClock, TestServer, config};
use crate::images::{data, esp32, littlefs, md5_hex, sha256_hex};

const HEADER: &str = "x-Airlift-Partition";
const REPORT: &str = "x-Airlift-Update";

/// What an Airlift device sends beside the header.
const DEVICE: [(&str, &str); 3] = [
    ("User-Agent", "ESP32-http-Update"),
    ("x-ESP32-mode", "flashfs"),
    ("x-ESP32-version", "3.0.0"),
];

impl TestServer {
    async fn publish_data(&self, partition: &str, version: &str, image: &[u8]) {
        let parameters = format!("project=lotus&key=k&partition={partition}&version={version}");
        let published = self.publish(&parameters, image).await;
        assert_eq!(published.status, 201, "{published:?}");
    }

    /// A check-in of node `n1` for a partition: the status.
    async fn ask(&self, facts: &str, report: Option<&str>) -> u16 {
        let mut headers = DEVICE.to_vec();
        headers.push((HEADER, facts));
        headers.extend(report.map(|report| (REPORT, report)));
        self.check_in("k", &headers).await.status().as_u16()
    }

    /// What is kept of a partition of `n1`.
    async fn partition(&self, name: &str) -> Value {
        let device = self.device("n1").await;
        let partitions = device["partitions"].as_array().unwrap();
        let found = partitions
            .iter()
            .find(|partition| partition["name"] == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {device}"))
            .clone()
    }
}

#[tokio::test]
async fn a_device_gets_the_data_of_the_partition_that_it_names() {
    let server = TestServer::start().await;
    let (storage, certs) = (littlefs(1), data(1, 300));
    server.publish_data("certs", "7", &certs).await;
    server.publish_data("storage", "1.0", &storage).await;
    server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    let other = "0".repeat(64);
    for mode in ["flashfs", "spiffs", "sketch"] {
        for (facts, expected) in [
            ("name=storage".to_owned(), &storage),
            ("name=certs".to_owned(), &certs),
            (
                format!("version=0.9;name=storage; sha256={other}"),
                &storage,
            ),
        ] {
            let headers = [("x-ESP32-mode", mode), (HEADER, &facts)];
            let answer = server.check_in("k", &headers).await;
            assert_eq!(answer.status(), 200, "{mode} {facts}");
            assert!(answer.headers().contains_key("x-airlift-partition"));
            assert_eq!(
                answer.bytes().await.unwrap(),
                expected.as_slice(),
                "{mode} {facts}"
            );
        }
    }
    for (partition, image, decision) in [
        ("storage", &storage, "up-to-date"),
        ("certs", &certs, "up-to-date"),
        // Another partition with the same content is another partition.
        ("model", &storage, "no-file-system-release"),
    ] {
        let facts = format!(
            "name={partition}; sha256={}; version=x",
            sha256_hex(image).to_uppercase()
        );
        assert_eq!(server.ask(&facts, None).await, 304, "{facts}");
        assert_eq!(server.partition(partition).await["decision"], decision);
    }
    // Without a digest the version is all that there is.
    assert_eq!(server.ask("name=storage; version=1.0", None).await, 304);
    assert_eq!(
        server.partition("storage").await["decision"],
        "same-version"
    );
    let version = [("x-ESP32-mode", "version"), (HEADER, "name=certs")];
    let told = server.check_in("k", &version).await;
    assert_eq!(
        (told.status().as_u16(), &told.headers()["x-version"]),
        (200, &"7".parse().unwrap())
    );
}

#[tokio::test]
async fn the_rest_of_data_is_sent_as_that_of_an_image() {
    let server = TestServer::start().await;
    let image = data(3, 10_000);
    server.publish_data("storage", "1", &image).await;
    let etag = format!("\"{}\"", sha256_hex(&image));
    let rest = [
        (HEADER, "name=storage"),
        ("Range", "bytes=4096-"),
        ("If-Range", &etag),
    ];
    let answer = server.check_in("k", &rest).await;
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.bytes().await.unwrap(), image[4096..]);
}

#[tokio::test]
async fn a_header_that_names_no_partition_is_refused_and_nothing_is_guessed() {
    let server = TestServer::start().await;
    server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    server.publish_data("storage", "1", &littlefs(1)).await;
    let long = format!("name=storage; version={}", "1".repeat(65));
    for bad in [
        "",
        "storage",
        "name=",
        "name=..",
        "name=a/b",
        "name=0123456789abcdefg",
        "name=storage; name=storage",
        "name=storage; size=4",
        "name=storage; sha256=00",
        "version=1",
        &long,
    ] {
        let answer = server
            .check_in("k", &[("x-ESP32-mode", "sketch"), (HEADER, bad)])
            .await;
        assert_eq!(answer.status(), 400, "{bad:?}");
        assert!(answer.text().await.unwrap().contains(HEADER));
    }
    assert_eq!(
        server.get("/dev/devices/n1").await.code(),
        "not-found",
        "nothing was recorded"
    );
}

#[tokio::test]
async fn what_a_device_says_of_a_partition_is_kept_apart_from_its_app() {
    let clock = TestClock::at(1_000_000);
    let mut parts = Parts::default();
    parts.clock = clock.clone();
    let server = TestServer::start_with(|_| {}, parts).await;
    let (v1, v2) = (littlefs(1), littlefs(2));
    let app = esp32(ChipId::ESP32, "4.0.0", 1);
    server.publish_data("storage", "2.0", &v2).await;
    server.publish("project=lotus&key=k", &app).await;
    let holds_v1 = format!("name=storage; sha256={}; version=1.0", sha256_hex(&v1));
    let digest = sha256_hex(&v2);
    assert_eq!(server.ask(&holds_v1, None).await, 200);
    clock.advance(1000);
    let confirmed = format!("state=confirmed; sha256={digest}; version=2.0");
    let holds_v2 = format!("name=storage; sha256={digest}; version=2.0");
    assert_eq!(server.ask(&holds_v2, Some(&confirmed)).await, 304);

    let device = server.device("n1").await;
    assert_eq!(
        device["partitions"],
        json!([{
            "name": "storage", "sha256": digest, "version": "2.0",
            "first_seen": "1970-01-01T00:16:40.000Z", "last_seen": "1970-01-01T00:16:41.000Z",
            "decision": "up-to-date", "decision_release": null,
            "offered": {"sha256": digest, "count": 1, "blindly": 0, "at": "1970-01-01T00:16:40.000Z"},
            "result": {
                "state": "confirmed", "sha256": digest, "version": "2.0", "reason": null,
                "at": "1970-01-01T00:16:41.000Z",
            },
        }])
    );
    assert_eq!(
        (&device["result"], &device["offered"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&device["version"], &device["decision"]),
        (&json!("3.0.0"), &json!("none"))
    );
    let events: Vec<_> = device["events"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|event| {
            (
                event["event"].as_str().unwrap(),
                event["partition"].as_str(),
                event["version"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        events,
        [
            ("running", None, "3.0.0"),
            ("installed", Some("storage"), "1.0"),
            ("offered", Some("storage"), "2.0"),
            ("installed", Some("storage"), "2.0"),
            ("confirmed", Some("storage"), "2.0"),
        ]
    );
    // A report without the header is about the app.
    let report = format!(
        "state=confirmed; sha256={}; version=4.0.0",
        sha256_hex(&app)
    );
    let md5 = md5_hex(&app);
    server
        .check_in("k", &[("x-ESP32-sketch-md5", &md5), (REPORT, &report)])
        .await;
    let after = server.device("n1").await;
    assert_eq!(after["result"]["version"], "4.0.0");
    assert_eq!(after["partitions"], device["partitions"]);
}

#[tokio::test]
async fn what_a_partition_refuses_does_not_keep_the_app_from_anything_and_the_other_way() {
    let server = TestServer::start().await;
    let (image, app) = (littlefs(1), esp32(ChipId::ESP32, "1", 1));
    server.publish_data("storage", "1", &image).await;
    server.publish_data("certs", "1", &image).await;
    // The same bytes as an app would be the hardest case; the same digest in a report is as good.
    server.publish("project=lotus&key=k", &app).await;
    for state in ["refused", "rolled-back"] {
        let report = format!(
            "state={state}; sha256={}; reason=digest",
            sha256_hex(&image)
        );
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(server.ask("name=storage", Some(&report)).await);
        }
        // Three in all: the second state finds the count of the first.
        let expected = if state == "refused" {
            [200, 200, 200, 304, 304]
        } else {
            [304; 5]
        };
        assert_eq!(answers, expected, "{state}");
        assert_eq!(server.partition("storage").await["decision"], state);
    }
    assert_eq!(
        server.ask("name=certs", None).await,
        200,
        "another partition"
    );
    let sketch = ("x-ESP32-sketch-md5", "55ceae8bfcc2c19e48a2c1005afc57af");
    assert_eq!(
        server.check_in("k", &[sketch]).await.status(),
        200,
        "the app"
    );
    // And an app that was rolled back leaves the data alone.
    let report = format!(
        "state=rolled-back; sha256={}; reason=self-test",
        sha256_hex(&app)
    );
    assert_eq!(
        server
            .check_in("k", &[sketch, (REPORT, &report)])
            .await
            .status(),
        304
    );
    assert_eq!(server.ask("name=certs", None).await, 200);
    // The next release is a new chance.
    server.publish_data("storage", "2", &littlefs(2)).await;
    assert_eq!(server.ask("name=storage", None).await, 200);
}

#[tokio::test]
async fn a_device_that_holds_nothing_yet_is_not_blind() {
    let server = TestServer::start().await;
    server.publish_data("storage", "1", &littlefs(1)).await;
    for _ in 0..6 {
        assert_eq!(
            server
                .ask("name=storage", Some("state=failed; reason=flash"))
                .await,
            200
        );
    }
    assert_eq!(server.partition("storage").await["offered"]["count"], 6);
}

#[tokio::test]
async fn sixteen_partitions_are_recorded_and_further_ones_served() {
    let server = TestServer::start().await;
    for at in 0..20 {
        server
            .publish_data(&format!("p{at:02}"), "1", &data(at, 100))
            .await;
    }
    for at in (0..20).rev() {
        for _ in 0..2 {
            assert_eq!(
                server
                    .ask(&format!("name=p{at:02}"), Some("state=failed"))
                    .await,
                200
            );
        }
    }
    let names = |device: &Value| -> Vec<String> {
        let partitions = device["partitions"].as_array().unwrap().iter();
        partitions
            .map(|partition| partition["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let device = server.device("n1").await;
    let expected: Vec<_> = (4..20).map(|at| format!("p{at:02}")).collect();
    assert_eq!(
        names(&device),
        expected,
        "those that came first, in the order of their names"
    );
    assert_eq!(
        device["result"],
        Value::Null,
        "what cannot be kept is not taken for the app's"
    );
}

#[tokio::test]
async fn partitions_survive_a_restart() {
    let server = TestServer::start().await;
    let image = littlefs(1);
    server.publish_data("storage", "1", &image).await;
    server.publish_data("certs", "1", &data(1, 100)).await;
    let report = format!(
        "state=refused; sha256={}; version=1; reason=digest",
        sha256_hex(&image)
    );
    for _ in 0..3 {
        assert_eq!(server.ask("name=storage", Some(&report)).await, 200);
    }
    assert_eq!(
        server
            .ask(&format!("name=certs; sha256={}", "1".repeat(64)), None)
            .await,
        200
    );
    let before = server.device("n1").await;
    assert_eq!(before["partitions"].as_array().unwrap().len(), 2);

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
    assert_eq!(
        server.ask("name=storage", Some(&report)).await,
        304,
        "it was sent it three times"
    );
    assert_eq!(server.partition("storage").await["decision"], "refused");
}
