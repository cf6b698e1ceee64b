//! Data for partitions: published, and offered to clients that have only a mode.

use airlift_formats::esp::app_image::ChipId;
use serde_json::{Value, json};

use crate::harness::{TestServer, send};
use crate::images::{data, esp32, esp8266, fat, littlefs, md5_hex, sha256_hex};
use crate::publishing::files_below;

const SKETCH_MD5: &str = "55ceae8bfcc2c19e48a2c1005afc57af";

/// The parameters of most publications here.
fn storage(version: &str) -> String {
    format!("project=lotus&key=k&partition=storage&version={version}")
}

#[tokio::test]
async fn a_release_of_data_says_what_it_is_for() {
    let server = TestServer::start().await;
    let image = littlefs(1);
    let mut body = server.publish(&storage("1.2.0"), &image).await.body;
    assert!(body["published_at"].take().is_string() && body["id"].take().is_i64());
    assert_eq!(
        body,
        json!({
            "id": null, "project": "lotus", "target_kind": "key", "target": "k", "kind": "data",
            "partition": "storage", "file_system": "littlefs",
            "version": "1.2.0", "size": image.len(), "md5": md5_hex(&image), "sha256": sha256_hex(&image),
            "running_md5": [], "running_sha256": null, "family": null, "chip_id": null,
            "encoding": "plain", "image_version": null, "image_project": null, "published_at": null,
            "published_by": 1, "withdrawn_at": null, "signature": null, "held": false, "allow_downgrade": false, "notes": null, "offered": true, "created": true, "replaces": null,
            "warnings": [],
        })
    );
    let listed = &server.get("/dev/releases").await.body["releases"][0];
    for (field, value) in [
        ("kind", json!("data")),
        ("partition", json!("storage")),
        ("file_system", json!("littlefs")),
        ("offered", json!(true)),
    ] {
        assert_eq!(listed[field], value, "{listed}");
    }
}

#[tokio::test]
async fn any_bytes_are_data_and_what_they_hold_is_told_or_seen() {
    let server = TestServer::start().await;
    let certificate = b"-----BEGIN CERTIFICATE-----\n";
    for (partition, more, image, holds) in [
        ("one", "", &b"x"[..], Value::Null),
        ("certs", "&file_system=none", certificate, json!("none")),
        (
            "spiffs",
            "&file_system=spiffs",
            &data(1, 9000),
            json!("spiffs"),
        ),
        ("lfs", "", &littlefs(1), json!("littlefs")),
        (
            "lfs2",
            "&file_system=littlefs",
            &littlefs(1),
            json!("littlefs"),
        ),
        ("ffat", "", &fat(1), json!("fat")),
        ("0123456789abcdef", "", &data(2, 70_000), Value::Null),
    ] {
        let parameters = format!("project=lotus&key=k&version=1&partition={partition}{more}");
        let published = server.publish(&parameters, image).await;
        assert_eq!(published.status, 201, "{published:?}");
        assert_eq!(published.body["file_system"], holds, "{partition}");
    }
}

#[tokio::test]
async fn data_that_is_a_mistake_is_refused() {
    let server =
        TestServer::start_with(|config| config.max_image_size = 1 << 20, <_>::default()).await;
    let app = esp32(ChipId::ESP32C3, "1", 1);
    let eight = esp8266(1, 4000);
    let bytes = data(1, 100);
    let place = "project=lotus&key=k";
    for (parameters, image, status, code, says) in [
        (storage("1"), &[][..], 400, "image-empty", "empty"),
        (
            storage("1"),
            &app,
            422,
            "image-is-app",
            "this is an app, published as data",
        ),
        (storage("1"), &eight, 422, "image-is-app", "force=true"),
        (
            storage("1"),
            &vec![0; (1 << 20) + 1],
            413,
            "image-too-large",
            "max_image_size",
        ),
        (
            format!("{place}&partition=storage"),
            &bytes,
            400,
            "version-missing",
            "version=",
        ),
        (
            format!("{place}&partition=&version=1"),
            &bytes,
            400,
            "bad-name",
            "partition",
        ),
        (
            format!("{place}&partition=..&version=1"),
            &bytes,
            400,
            "bad-name",
            "partition",
        ),
        (
            format!("{place}&partition=a%2Fb&version=1"),
            &bytes,
            400,
            "bad-name",
            "partition",
        ),
        (
            format!("{place}&partition=0123456789abcdefg&version=1"),
            &bytes,
            400,
            "bad-name",
            "16",
        ),
        (
            format!("{}&file_system=ext4", storage("1")),
            &bytes,
            400,
            "bad-parameter",
            "spiffs",
        ),
        (
            format!("{place}&file_system=fat&version=1"),
            &app,
            400,
            "bad-parameter",
            "partition",
        ),
        (
            format!("{}&file_system=spiffs", storage("1")),
            &littlefs(1),
            422,
            "file-system-differs",
            "littlefs",
        ),
        (
            format!("{}&file_system=none&force=true", storage("1")),
            &fat(1),
            422,
            "file-system-differs",
            "holds a fat",
        ),
    ] {
        let refused = server.publish(&parameters, image).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{parameters}: {refused:?}"
        );
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{says:?} is not in: {detail}");
    }
    // Nothing is left of any of them, and nothing is offered.
    assert_eq!(files_below(&server.data.path().join("objects")).len(), 0);
    assert_eq!(files_below(&server.data.path().join("incoming")).len(), 0);
    assert_eq!(
        server.get("/dev/releases").await.body["releases"],
        json!([])
    );

    let forced = server
        .publish(&format!("{}&force=true", storage("1")), &app)
        .await;
    assert_eq!((forced.status, &forced.body["kind"]), (201, &json!("data")));
    assert_eq!(
        server.check_in("k", &[]).await.status(),
        304,
        "still no app"
    );
}

#[tokio::test]
async fn the_same_data_again_changes_nothing_and_another_file_system_does() {
    let server = TestServer::start().await;
    let bytes = data(1, 5000);
    let first = server.publish(&storage("1"), &bytes).await;
    let again = server.publish(&storage("1"), &bytes).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(
        (&again.body["id"], &again.body["created"]),
        (&first.body["id"], &json!(false))
    );
    // What was not known is said now.
    let spiffs = format!("{}&file_system=spiffs", storage("1"));
    let said = server.publish(&spiffs, &bytes).await;
    assert_eq!(
        (said.status, &said.body["replaces"]),
        (201, &first.body["id"])
    );
    for parameters in [storage("1"), spiffs] {
        let again = server.publish(&parameters, &bytes).await;
        assert_eq!(
            (again.status, &again.body["file_system"]),
            (200, &json!("spiffs"))
        );
    }
    let other = server.publish(&storage("1"), &littlefs(1)).await;
    let warnings = other.body["warnings"].to_string();
    assert!(
        warnings.contains("spiffs") && warnings.contains("other content"),
        "{warnings}"
    );
    // Another partition, and an app, are other releases of the same place.
    let certs = "project=lotus&key=k&partition=certs&version=1";
    assert_eq!(
        server.publish(certs, &bytes).await.body["replaces"],
        Value::Null
    );
    let app = esp32(ChipId::ESP32, "1", 1);
    assert_eq!(
        server.publish("project=lotus&key=k", &app).await.body["replaces"],
        Value::Null
    );
    let releases = server.get("/dev/releases").await.body["releases"].clone();
    let offered: Vec<_> = releases
        .as_array()
        .unwrap()
        .iter()
        .filter(|release| release["offered"] == true)
        .map(|release| release["partition"].as_str().unwrap_or("(app)"))
        .collect();
    assert_eq!(offered, ["(app)", "certs", "storage"]);
    assert_eq!(files_below(&server.data.path().join("objects")).len(), 3);
}

#[tokio::test]
async fn a_withdrawn_release_of_data_makes_room_for_the_one_before_it() {
    let server = TestServer::start().await;
    let (first, second) = (littlefs(1), littlefs(2));
    let first_id = server.publish(&storage("1"), &first).await.body["id"].clone();
    let app = esp32(ChipId::ESP32, "1", 1);
    let app_id = server.publish("project=lotus&key=k", &app).await.body["id"].clone();
    let second_id = server.publish(&storage("2"), &second).await.body["id"].clone();
    let mode = [("x-ESP32-mode", "spiffs")];
    let withdraw = |id: &Value| server.api("DELETE", &format!("/dev/releases/{id}"));
    assert_eq!(
        server.check_in("k", &mode).await.bytes().await.unwrap(),
        second
    );
    assert_eq!(
        send(withdraw(&second_id)).await.body["now_offered"],
        first_id
    );
    assert_eq!(
        server.check_in("k", &mode).await.bytes().await.unwrap(),
        first
    );
    assert_eq!(
        send(withdraw(&first_id)).await.body["now_offered"],
        Value::Null
    );
    assert_eq!(server.check_in("k", &mode).await.status(), 304);
    assert_eq!(
        server.get(&format!("/dev/releases/{app_id}")).await.body["offered"],
        true
    );
}

#[tokio::test]
async fn a_file_system_mode_gets_data_and_never_the_sketch() {
    let server = TestServer::start().await;
    let sketch = esp8266(1, 4000);
    server
        .publish("project=lotus&key=k&version=1", &sketch)
        .await;
    let modes = ["spiffs", "littlefs", "fatfs", "flashfs"];
    for family in ["ESP8266", "ESP32"] {
        for mode in modes {
            let header = format!("x-{family}-mode");
            assert_eq!(
                server.check_in("k", &[(&header, mode)]).await.status(),
                304,
                "{mode}"
            );
        }
    }
    assert_eq!(
        server.device("n1").await["decision"],
        "no-file-system-release"
    );

    // Each is the newest of those that its mode does not contradict.
    let (unknown, lfs, ffat, certs) = (data(1, 9000), littlefs(1), fat(1), data(2, 100));
    for (parameters, image) in [
        ("partition=old&version=1", &unknown),
        ("partition=ffat&version=1", &ffat),
        ("partition=lfs&version=1", &lfs),
        ("partition=certs&version=1&file_system=none", &certs),
    ] {
        let published = server
            .publish(&format!("project=lotus&key=k&{parameters}"), image)
            .await;
        assert_eq!(published.status, 201, "{published:?}");
    }
    for (mode, expected, partition) in [
        ("spiffs", &lfs, "lfs"),
        ("littlefs", &lfs, "lfs"),
        ("fatfs", &ffat, "ffat"),
        ("FlashFS", &lfs, "lfs"),
    ] {
        let answer = server.check_in("k", &[("x-ESP32-mode", mode)]).await;
        assert_eq!(answer.status(), 200, "{mode}");
        assert_eq!(
            answer.headers()["x-airlift-partition"],
            format!("name={partition}").as_str()
        );
        assert_eq!(answer.headers()["x-md5"], md5_hex(expected).as_str());
        assert_eq!(answer.bytes().await.unwrap(), expected.as_slice(), "{mode}");
    }
    let app = server.check_in("k", &[("x-ESP8266-mode", "sketch")]).await;
    assert_eq!(app.headers().get("x-airlift-partition"), None);
    assert_eq!(app.bytes().await.unwrap(), sketch);
}

#[tokio::test]
async fn the_most_specific_place_with_suitable_data_counts() {
    let server = TestServer::start().await;
    let places = [
        "all_projects=true&key=k",
        "project=lotus&key=k",
        "all_projects=true&node=n1",
        "project=lotus&node=n1",
    ];
    // A FAT image in each place, that never stands in the way of a LittleFS.
    for (place, serial) in places.iter().zip(1..) {
        server
            .publish(&format!("{place}&partition=ffat&version=1"), &fat(serial))
            .await;
    }
    for (place, revision) in places.iter().zip(1..) {
        server
            .publish(
                &format!("{place}&partition=lfs&version=1"),
                &littlefs(revision),
            )
            .await;
        let answer = server.check_in("k", &[("x-ESP32-mode", "littlefs")]).await;
        assert_eq!(answer.bytes().await.unwrap(), littlefs(revision), "{place}");
    }
    let answer = server.check_in("k", &[("x-ESP32-mode", "fatfs")]).await;
    assert_eq!(answer.bytes().await.unwrap(), fat(4));
}

#[tokio::test]
async fn what_is_said_of_the_sketch_does_not_count_for_a_file_system() {
    let server = TestServer::start().await;
    let image = littlefs(1);
    server.publish(&storage("1.0"), &image).await;
    let (md5, sha256) = (md5_hex(&image), sha256_hex(&image));
    for headers in [
        // A digest of the sketch, even one that happens to be that of the data.
        [("x-ESP32-mode", "spiffs"), ("x-ESP32-sketch-md5", &*md5)],
        [
            ("x-ESP32-mode", "spiffs"),
            ("x-ESP32-sketch-sha256", &sha256),
        ],
        // Room for a sketch.
        [("x-ESP32-mode", "spiffs"), ("x-ESP32-free-space", "16")],
    ] {
        let node = server.url(&format!("/ota_update/dev/lotus/{}/k", headers[1].0));
        let mut request = server.http.get(node);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{headers:?}");
    }
    let version = [
        ("x-ESP32-mode", "spiffs"),
        ("x-ESP32-sketch-md5", SKETCH_MD5),
        ("x-ESP32-version", "1.0"),
    ];
    assert_eq!(server.check_in("k", &version).await.status(), 304);
    let device = server.device("n1").await;
    assert_eq!(device["partitions"][0]["decision"], "same-version");
    assert_eq!(device["version"], Value::Null, "it is not the sketch's");
}

#[tokio::test]
async fn a_client_that_cannot_say_what_its_file_system_is_gets_it_three_times() {
    let server = TestServer::start().await;
    server.publish(&storage("1.0"), &littlefs(1)).await;
    server
        .publish("project=lotus&key=k&version=1", &esp8266(1, 4000))
        .await;
    // An ESP8266 with LittleFS: it sends the digest of its sketch, and no version.
    let asks = [
        ("User-Agent", "ESP8266-http-Update"),
        ("x-ESP8266-sketch-md5", SKETCH_MD5),
        ("x-ESP8266-mode", "spiffs"),
    ];
    let mut sent = 0;
    for _ in 0..10 {
        sent += u32::from(server.check_in("k", &asks).await.status() == 200);
    }
    assert_eq!(sent, 3);
    let device = server.device("n1").await;
    assert_eq!(device["partitions"][0]["decision"], "already-offered");
    assert_eq!(device["partitions"][0]["name"], "storage");
    // Its sketch is another matter.
    let sketch = [asks[0], asks[1], ("x-ESP8266-mode", "sketch")];
    assert_eq!(server.check_in("k", &sketch).await.status(), 200);
    // So is the next release.
    server.publish(&storage("1.1"), &littlefs(2)).await;
    assert_eq!(server.check_in("k", &asks).await.status(), 200);
}

#[tokio::test]
async fn data_of_one_organization_is_not_there_for_another() {
    let server = TestServer::start().await;
    let image = littlefs(1);
    let id = server.publish(&storage("1"), &image).await.body["id"].clone();
    server
        .check_in("k", &[("x-Airlift-Partition", "name=storage")])
        .await;
    let made = server
        .post("/foreign/projects", json!({ "name": "lotus" }))
        .await;
    assert_eq!(made.status, 201);
    for headers in [
        [("x-ESP32-mode", "spiffs")],
        [("x-Airlift-Partition", "name=storage")],
    ] {
        let url = server.url("/ota_update/foreign/lotus/n1/k");
        let request = server.http.get(url).header(headers[0].0, headers[0].1);
        assert_eq!(request.send().await.unwrap().status(), 304, "{headers:?}");
    }
    let token = server.post("/foreign/tokens", json!({})).await.body["token"].clone();
    let token = token.as_str().unwrap();
    let as_foreigner = |method: &str, path: &str| {
        let url = server.url(&format!("/api/v1/organizations{path}"));
        server
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(token)
    };
    for (method, path) in [
        ("GET", format!("/dev/releases/{id}")),
        ("DELETE", format!("/dev/releases/{id}")),
        ("GET", "/dev/devices/n1".to_owned()),
        ("PUT", format!("/dev/releases?{}", storage("2"))),
    ] {
        let refused = send(as_foreigner(method, &path).body(data(1, 10))).await;
        assert_eq!(
            (refused.status, refused.code()),
            (404, "not-found"),
            "{method} {path}"
        );
        let nowhere = send(as_foreigner(method, &path.replace("/dev/", "/nosuch/"))).await;
        assert_eq!(nowhere.body, refused.body, "{method} {path}");
    }
    let own = send(as_foreigner("GET", "/foreign/releases")).await;
    assert_eq!(own.body["releases"], json!([]));
    // Their own data of the same name is theirs.
    let theirs = data(9, 500);
    let put =
        as_foreigner("PUT", &format!("/foreign/releases?{}", storage("1"))).body(theirs.clone());
    assert_eq!(send(put).await.status, 201);
    let mode = [("x-ESP32-mode", "spiffs")];
    assert_eq!(
        server.check_in("k", &mode).await.bytes().await.unwrap(),
        image
    );
    let get = server
        .http
        .get(server.url("/ota_update/foreign/lotus/n1/k"));
    let got = get.header("x-ESP32-mode", "spiffs").send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), theirs);
}
