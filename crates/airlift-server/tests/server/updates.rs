//! What devices are offered.

use airlift_formats::esp::app_image::ChipId;
use airlift_server::{Parts, Resolution};
use reqwest::Response;

use crate::harness::{TestServer, golden};
use crate::images::{esp32, esp8266, md5_hex, sha256_hex};

const OTHER_MD5: &str = "55ceae8bfcc2c19e48a2c1005afc57af";

impl TestServer {
    /// A check-in of node `n1` in project `lotus`.
    pub(crate) async fn check_in(&self, key: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self
            .http
            .get(self.url(&format!("/ota_update/dev/lotus/n1/{key}")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn from_one_real_image_to_the_next() {
    let server = TestServer::start().await;
    let (v1, v2) = (
        golden("esp/app/app_esp32_v1.bin"),
        golden("esp/app/app_esp32_v2.bin"),
    );
    let runs_v1 = [
        ("x-ESP32-sketch-md5", &*md5_hex(&v1)),
        ("x-ESP32-version", "1.0.0"),
    ];
    assert_eq!(
        server.publish("project=lotus&key=k", &v1).await.body["version"],
        "1.0.0",
        "as the image says"
    );
    assert_eq!(server.check_in("k", &runs_v1).await.status(), 304);

    let second = server
        .publish("project=lotus&key=k&version=2.0.0", &v2)
        .await;
    assert!(second.body["replaces"].is_i64(), "{second:?}");
    let offered = server.check_in("k", &runs_v1).await;
    assert_eq!(offered.headers()["x-sha256"], sha256_hex(&v2).as_str());
    assert_eq!(offered.bytes().await.unwrap(), v2);
    let runs_v2 = md5_hex(&v2);
    assert_eq!(
        server
            .check_in("k", &[("x-ESP32-sketch-md5", &runs_v2)])
            .await
            .status(),
        304
    );
}

#[tokio::test]
async fn a_setting_chooses_the_documented_order() {
    let server = TestServer::start_with(
        |config| config.resolution = Resolution::Documented,
        Parts::default(),
    )
    .await;
    let (node_everywhere, key_everywhere) =
        (esp32(ChipId::ESP32, "1", 1), esp32(ChipId::ESP32, "1", 2));
    server
        .publish("all_projects=true&node=n1&version=1", &node_everywhere)
        .await;
    server
        .publish("all_projects=true&key=k&version=1", &key_everywhere)
        .await;
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        key_everywhere
    );
}

#[tokio::test]
async fn any_digest_that_matches_is_enough() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1.0.0", 1);
    server.publish("project=lotus&key=k", &image).await;
    let appended: String = image[image.len() - 32..]
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    for headers in [
        &[("x-ESP32-sketch-md5", md5_hex(&image).as_str())][..],
        &[(
            "x-ESP32-sketch-md5",
            md5_hex(&image).to_uppercase().as_str(),
        )],
        &[(
            "x-ESP32-sketch-sha256",
            sha256_hex(&image).to_uppercase().as_str(),
        )],
        // What ESP32 cores really send: the digest that the image carries, which does not cover itself.
        &[("x-ESP32-sketch-sha256", appended.as_str())],
        &[
            ("x-ESP32-sketch-sha256", appended.as_str()),
            ("x-ESP32-version", "0.0.0"),
        ],
    ] {
        assert_eq!(
            server.check_in("k", headers).await.status(),
            304,
            "{headers:?}"
        );
    }
    assert_eq!(
        server
            .check_in("k", &[("x-ESP32-sketch-sha256", &"0".repeat(64))])
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn an_image_is_only_for_its_family() {
    let server = TestServer::start().await;
    server
        .publish(
            "project=lotus&key=thirty-two&version=1",
            &esp32(ChipId::ESP32, "1", 1),
        )
        .await;
    server
        .publish("project=lotus&key=eight&version=1", &esp8266(1, 4000))
        .await;
    for (key, header, value, status) in [
        ("thirty-two", "User-Agent", "ESP8266-http-Update", 304),
        ("thirty-two", "x-ESP8266-sketch-md5", OTHER_MD5, 304),
        ("thirty-two", "User-Agent", "ESP32-http-Update", 200),
        ("eight", "User-Agent", "ESP32-http-Update", 304),
        ("eight", "x-ESP32-sketch-md5", OTHER_MD5, 304),
        ("eight", "x-ESP8266-sketch-md5", OTHER_MD5, 200),
        ("eight", "User-Agent", "curl/8", 200),
    ] {
        assert_eq!(
            server.check_in(key, &[(header, value)]).await.status(),
            status,
            "{key} {header}: {value}"
        );
    }
    server
        .check_in("eight", &[("x-ESP32-sketch-md5", OTHER_MD5)])
        .await;
    assert_eq!(server.device("n1").await["decision"], "other-chip");
}

#[tokio::test]
async fn a_device_that_runs_one_of_our_images_is_not_offered_one_for_another_chip() {
    let server = TestServer::start().await;
    let (runs, other) = (esp32(ChipId::ESP32, "1", 1), esp32(ChipId::ESP32S3, "2", 2));
    server.publish("project=lotus&key=k&version=1", &runs).await;
    let refused = server
        .publish("project=lotus&key=k&version=2", &other)
        .await;
    assert_eq!((refused.status, refused.code()), (409, "chip-differs"));
    let forced = server
        .publish("project=lotus&key=k&version=2&force=true", &other)
        .await;
    assert_eq!(forced.status, 201);
    assert_eq!(
        server
            .check_in("k", &[("x-ESP32-sketch-md5", &md5_hex(&runs))])
            .await
            .status(),
        304
    );
    assert_eq!(
        server
            .check_in("k", &[("x-ESP32-sketch-md5", OTHER_MD5)])
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn a_device_without_room_is_not_offered_an_image() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1", 1);
    server.publish("project=lotus&key=k", &image).await;
    for (space, status) in [(image.len() - 1, 304), (image.len(), 200), (0, 304)] {
        let space = space.to_string();
        let headers = [
            ("x-ESP32-sketch-md5", OTHER_MD5),
            ("x-ESP32-free-space", space.as_str()),
        ];
        assert_eq!(
            server.check_in("k", &headers).await.status(),
            status,
            "{space}"
        );
    }
    assert_eq!(server.device("n1").await["decision"], "no-space");
    assert_eq!(server.device("n1").await["free_space"], 0);
}

#[tokio::test]
async fn the_mode_says_what_is_wanted() {
    let server = TestServer::start().await;
    let image = esp8266(1, 4000);
    server
        .publish("project=lotus&key=k&version=1.5.0", &image)
        .await;
    for (mode, status, length) in [
        ("sketch", 200, image.len()),
        ("version", 200, 0),
        ("spiffs", 304, 0),
        ("littlefs", 304, 0),
        ("fatfs", 304, 0),
        ("flashfs", 304, 0),
        ("everything", 400, 90),
    ] {
        let answer = server
            .check_in(
                "k",
                &[
                    ("x-ESP8266-mode", mode),
                    ("x-ESP8266-sketch-md5", OTHER_MD5),
                ],
            )
            .await;
        assert_eq!(answer.status(), status, "{mode}");
        if mode == "version" {
            assert_eq!(answer.headers()["x-version"], "1.5.0");
            assert_eq!(answer.headers()["content-length"], "0");
        }
        let body = answer.bytes().await.unwrap();
        assert!(
            if status == 400 {
                body.len() < 200
            } else {
                body.len() == length
            },
            "{mode}"
        );
    }
    let nothing = server
        .check_in("other", &[("x-ESP8266-mode", "version")])
        .await;
    assert_eq!(nothing.status(), 304);
}

#[tokio::test]
async fn a_core_that_sends_no_digest_is_not_sent_the_image_for_ever() {
    let server = TestServer::start().await;
    server
        .publish(
            "project=lotus&key=k&version=1.0.0",
            &esp32(ChipId::ESP32, "1.0.0", 1),
        )
        .await;
    let old_core = [
        ("User-Agent", "ESP32-http-Update"),
        ("x-ESP32-version", "0.9.0"),
        ("x-ESP32-mode", "sketch"),
    ];
    let mut sent = 0;
    for _ in 0..10 {
        sent += u32::from(server.check_in("k", &old_core).await.status() == 200);
    }
    assert_eq!(sent, 3);
    assert_eq!(server.device("n1").await["decision"], "already-offered");
    // It resumes what it was sent ...
    let mut resuming = old_core.to_vec();
    resuming.push(("Range", "bytes=100-"));
    assert_eq!(server.check_in("k", &resuming).await.status(), 206);
    // ... says that it has arrived ...
    let arrived = [
        ("User-Agent", "ESP32-http-Update"),
        ("x-ESP32-version", "1.0.0"),
    ];
    assert_eq!(server.check_in("k", &arrived).await.status(), 304);
    assert_eq!(server.device("n1").await["decision"], "same-version");
    // ... and the next release is offered again.
    server
        .publish(
            "project=lotus&key=k&version=1.1.0",
            &esp32(ChipId::ESP32, "1.1.0", 2),
        )
        .await;
    assert_eq!(server.check_in("k", &arrived).await.status(), 200);
}

#[tokio::test]
async fn asking_for_the_version_does_not_count_as_being_sent_the_image() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1.0.0", 1);
    server.publish("project=lotus&key=k", &image).await;
    let agent = ("User-Agent", "ESP32-http-Update");
    for _ in 0..5 {
        let told = server
            .check_in("k", &[agent, ("x-ESP32-mode", "version")])
            .await;
        assert_eq!(told.headers()["x-version"], "1.0.0");
    }
    assert_eq!(
        server.device("n1").await["offered"],
        serde_json::Value::Null
    );
    assert_eq!(server.check_in("k", &[agent]).await.status(), 200);
}

#[tokio::test]
async fn an_image_that_a_device_rolled_back_is_not_offered_to_it_again() {
    let server = TestServer::start().await;
    let (bad, good) = (esp32(ChipId::ESP32, "2", 2), esp32(ChipId::ESP32, "3", 3));
    server.publish("project=lotus&key=k", &bad).await;
    let digest = [("x-ESP32-sketch-md5", OTHER_MD5)];
    assert_eq!(server.check_in("k", &digest).await.status(), 200);
    let report = format!(
        "state=rolled-back; sha256={}; reason=self-test",
        sha256_hex(&bad)
    );
    assert_eq!(
        server
            .check_in("k", &[digest[0], ("x-Airlift-Update", &report)])
            .await
            .status(),
        304
    );
    assert_eq!(
        server.check_in("k", &digest).await.status(),
        304,
        "the report was remembered"
    );
    server.publish("project=lotus&key=k", &good).await;
    assert_eq!(server.check_in("k", &digest).await.status(), 200);
}

#[tokio::test]
async fn an_image_that_a_reset_ended_on_trial_is_offered_again_but_not_for_ever() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "2", 2);
    server.publish("project=lotus&key=k", &image).await;
    let digest = ("x-ESP32-sketch-md5", OTHER_MD5);
    let report = format!(
        "state=rolled-back; sha256={}; reason=not-confirmed",
        sha256_hex(&image)
    );
    let reporting = [digest, ("x-Airlift-Update", &report)];
    let mut answers = vec![server.check_in("k", &[digest]).await.status()];
    for _ in 0..4 {
        answers.push(server.check_in("k", &reporting).await.status());
    }
    assert_eq!(answers, [200, 200, 200, 304, 304]);
}

#[tokio::test]
async fn a_withdrawn_release_is_not_offered_and_the_one_before_it_is() {
    let server = TestServer::start().await;
    let (first, second) = (esp32(ChipId::ESP32, "1", 1), esp32(ChipId::ESP32, "2", 2));
    let first_id = server.publish("project=lotus&key=k", &first).await.body["id"].clone();
    let second_id = server.publish("project=lotus&key=k", &second).await.body["id"].clone();
    let withdraw = |id: &serde_json::Value| server.api("DELETE", &format!("/dev/releases/{id}"));
    let withdrawn = crate::harness::send(withdraw(&second_id)).await;
    assert_eq!(
        (withdrawn.status, &withdrawn.body["now_offered"]),
        (200, &first_id)
    );
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        first
    );
    let again =
        crate::harness::send(server.api("POST", &format!("/dev/releases/{first_id}/withdraw")))
            .await;
    assert_eq!(again.body["now_offered"], serde_json::Value::Null);
    assert_eq!(server.check_in("k", &[]).await.status(), 304);
    // Published once more, it is a release again.
    assert_eq!(
        server.publish("project=lotus&key=k", &first).await.status,
        201
    );
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        first
    );
    assert_eq!(
        server.get("/dev/releases").await.body["releases"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn names_in_a_path_that_are_no_names_get_one_answer() {
    let server = TestServer::start().await;
    server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    let mut bodies = std::collections::HashSet::new();
    let bad = [
        "..%2F..%2Fairlift.db",
        "%2e%2e",
        "%2e",
        "a%5Cb",
        "a%00",
        "%zz",
        "%",
        "%C3%A9",
        "a%20b",
        &"a".repeat(65),
    ];
    for name in bad {
        for position in 0..4 {
            let mut segments = ["dev", "lotus", "n1", "k"];
            segments[position] = name;
            let path = format!("/ota_update/{}", segments.join("/"));
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let answer = crate::raw::exchange(server.server.local_addr(), request.as_bytes()).await;
            assert_eq!(answer.status, 400, "{path}");
            bodies.insert(answer.body);
        }
    }
    assert_eq!(bodies.len(), 1);
}

#[tokio::test]
async fn other_methods_and_other_paths() {
    let server = TestServer::start().await;
    for (method, path, status, allow) in [
        ("POST", "/ota_update/dev/lotus/n1/k", 405, Some("GET, HEAD")),
        (
            "DELETE",
            "/ota_update/dev/lotus/n1/k",
            405,
            Some("GET, HEAD"),
        ),
        (
            "OPTIONS",
            "/ota_update/dev/lotus/n1/k",
            200,
            Some("GET, HEAD"),
        ),
        ("GET", "/ota_update/dev/lotus/n1", 404, None),
        ("GET", "/ota_update/dev/lotus/n1/k/x", 404, None),
        ("GET", "/ota_update/", 404, None),
        ("GET", "/ota_update", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/healthz", 200, None),
    ] {
        let request = server
            .http
            .request(method.parse().unwrap(), server.url(path));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(
            answer
                .headers()
                .get("allow")
                .map(|allow| allow.to_str().unwrap()),
            allow,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn an_image_larger_than_the_memory_for_images_is_streamed() {
    let server = TestServer::start_with(|config| config.image_cache = 1000, Parts::default()).await;
    let image = esp32(ChipId::ESP32, "1", 1);
    server.publish("project=lotus&key=k", &image).await;
    let request = b"GET /ota_update/dev/lotus/n1/k HTTP/1.0\r\nConnection: close\r\n\r\n";
    let whole = crate::raw::exchange(server.server.local_addr(), request).await;
    assert_eq!(
        whole.length(),
        Some(image.len()),
        "HTTP/1.0 clients need the length"
    );
    assert_eq!(whole.body, image);
    assert_eq!(
        server
            .check_in("k", &[("Range", "bytes=50-59")])
            .await
            .bytes()
            .await
            .unwrap(),
        image[50..60]
    );
}

#[tokio::test]
async fn an_image_damaged_in_the_store_is_not_sent() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1", 1);
    server.publish("project=lotus&key=k", &image).await;
    let digest = sha256_hex(&image);
    let file = server
        .data
        .path()
        .join("objects")
        .join(&digest[..2])
        .join(&digest);
    let mut damaged = image.clone();
    damaged[2000] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    assert_eq!(server.check_in("k", &[]).await.status(), 503);
    let again = server.publish("project=lotus&key=k", &image).await;
    assert_eq!(
        (again.status, &again.body["created"]),
        (200, &serde_json::json!(false))
    );
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        image,
        "mended by publishing it again"
    );
}

#[tokio::test]
async fn the_digest_header_is_spelt_as_clients_know_it() {
    let server = TestServer::start().await;
    server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await;
    let request = b"GET /ota_update/dev/lotus/n1/k HTTP/1.0\r\nConnection: close\r\n\r\n";
    let answer = crate::raw::exchange(server.server.local_addr(), request).await;
    let names: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for name in ["x-MD5", "x-SHA256", "x-version", "Content-Length", "ETag"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
