//! Publishing, and all the ways in which it must not.

use std::time::Duration;

use airlift_formats::esp::app_image::ChipId;
use airlift_server::Parts;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{TestServer, golden, send};
use crate::images::{esp32, esp8266, md5_hex, sha256_hex};

/// What a folder holds, all levels down.
pub(crate) fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[tokio::test]
async fn a_release_says_all_that_is_known_of_it() {
    let server = TestServer::start().await;
    let image = golden("esp/app/app_esp32c3_v1.bin");
    let published = server
        .publish("project=lotus&key=sht30&version=1.2.0", &image)
        .await;
    assert_eq!(published.status, 201);
    let mut body = published.body;
    assert!(body["published_at"].take().is_string() && body["id"].take().is_i64());
    assert_eq!(body["running_sha256"].take().as_str().unwrap().len(), 64);
    assert_eq!(
        body,
        json!({
            "id": null, "project": "lotus", "target_kind": "key", "target": "sht30", "kind": "app",
            "partition": null, "file_system": null,
            "version": "1.2.0", "size": image.len(), "md5": md5_hex(&image), "sha256": sha256_hex(&image),
            "running_md5": [md5_hex(&image)], "running_sha256": null, "family": "esp32", "chip_id": 5,
            "encoding": "plain", "image_version": "1.0.0", "image_project": "golden", "published_at": null,
            "published_by": 1, "withdrawn_at": null, "signature": null, "held": false, "allow_downgrade": false, "notes": null, "offered": true, "created": true, "replaces": null,
            "warnings": ["the image says that it is version \"1.0.0\", published as \"1.2.0\""],
        })
    );
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1", 1);
    let first = server.publish("project=lotus&key=k", &image).await;
    let again = server.publish("project=lotus&key=k", &image).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(
        (&again.body["id"], &again.body["created"]),
        (&first.body["id"], &json!(false))
    );
    // Elsewhere it is another release of the same object.
    assert_eq!(
        server.publish("project=other&key=k", &image).await.status,
        201
    );
    assert_eq!(files_below(&server.data.path().join("objects")).len(), 1);
    assert_eq!(files_below(&server.data.path().join("incoming")).len(), 0);
}

#[tokio::test]
async fn an_administrator_s_publication_makes_what_is_missing_and_says_so() {
    let server = TestServer::start().await;
    let request = server
        .api("PUT", "/fresh/releases?project=green&key=k")
        .body(esp32(ChipId::ESP32, "1", 1));
    let published = send(request).await;
    assert_eq!(published.status, 201);
    let warnings = published.body["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(
        server.get("/fresh/projects").await.body["projects"][0]["name"],
        "green"
    );
}

#[tokio::test]
async fn images_that_no_device_should_get_are_refused() {
    let server = TestServer::start().await;
    let good = golden("esp/app/app_esp32_v1.bin");
    let mut flipped = good.clone();
    flipped[30_000] ^= 0x10;
    let bad_eight = {
        let mut image = esp8266(1, 4000);
        image[100] ^= 1;
        image
    };
    let mut table = vec![
        ("empty".to_owned(), Vec::new(), 400, "image-empty"),
        (
            "text".to_owned(),
            b"hello, world\n".to_vec(),
            422,
            "image-invalid",
        ),
        (
            "truncated".to_owned(),
            good[..good.len() - 1].to_vec(),
            422,
            "image-invalid",
        ),
        (
            "half".to_owned(),
            good[..good.len() / 2].to_vec(),
            422,
            "image-invalid",
        ),
        (
            "the magic number only".to_owned(),
            vec![0xE9],
            422,
            "image-invalid",
        ),
        ("bit-flipped".to_owned(), flipped, 422, "image-invalid"),
        (
            "ESP8266, bit-flipped".to_owned(),
            bad_eight,
            422,
            "image-invalid",
        ),
    ];
    for file in [
        "bad_appdesc_magic",
        "bad_checksum",
        "bad_data_hash_fixed",
        "bad_magic",
        "bad_segcount0",
        "bad_segcount17",
        "bad_seglen_huge",
        "bad_seglen_odd",
        "bad_trailing_garbage",
        "bootloader_esp32c3",
        "fake_header_only",
        "fake_header32_nothing_after",
        "fake_header32_checksum_collides",
        "merged_esp32_4MB_head",
    ] {
        table.push((
            file.to_owned(),
            golden(&format!("esp/app/{file}.bin")),
            422,
            "image-invalid",
        ));
    }
    for (name, image, status, code) in table {
        let refused = server
            .publish("project=lotus&key=k&version=1", &image)
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{name}: {refused:?}"
        );
    }
    assert_eq!(
        server.get("/dev/releases").await.body["releases"],
        json!([])
    );
    assert_eq!(files_below(&server.data.path().join("objects")).len(), 0);
    assert_eq!(files_below(&server.data.path().join("incoming")).len(), 0);
    assert_eq!(server.check_in("k", &[]).await.status(), 304);
}

#[tokio::test]
async fn good_images_of_every_chip_are_taken() {
    let server = TestServer::start().await;
    for file in [
        "app_esp32_v1",
        "app_esp32_v2",
        "app_esp32c2_v1",
        "app_esp32c3_v1",
        "app_esp32c6_v1",
        "app_esp32p4_v1",
        "app_esp32s3_v1",
        "app_esp32_securepadv2",
    ] {
        let image = golden(&format!("esp/app/{file}.bin"));
        let published = server
            .publish(&format!("project=lotus&key={file}"), &image)
            .await;
        assert_eq!(published.status, 201, "{file}: {published:?}");
    }
}

#[tokio::test]
async fn an_image_of_another_project_does_not_replace_one() {
    let server = TestServer::start().await;
    server
        .publish("project=lotus&key=k", &golden("esp/app/app_esp32_v1.bin"))
        .await;
    let refused = server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "9", 1))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "image-project-differs"),
        "{refused:?}"
    );
    assert_eq!(
        server
            .publish(
                "project=lotus&key=k&force=true",
                &esp32(ChipId::ESP32, "9", 1)
            )
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn an_image_that_is_too_large_is_refused_while_it_comes() {
    let server =
        TestServer::start_with(|config| config.max_image_size = 4000, Parts::default()).await;
    let exact = esp8266(1, 4000 - 8 - 8 - 16);
    assert!(exact.len() <= 4000);
    assert_eq!(
        server
            .publish("project=lotus&key=k&version=1", &exact)
            .await
            .status,
        201
    );
    let larger = server
        .publish("project=lotus&key=k&version=2", &esp8266(1, 5000))
        .await;
    assert_eq!((larger.status, larger.code()), (413, "image-too-large"));
    let much_larger = server
        .publish("project=lotus&key=k&version=2", &esp8266(1, 5_000_000))
        .await;
    assert_eq!(
        (much_larger.status, much_larger.code()),
        (413, "image-too-large")
    );
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        exact
    );
}

#[tokio::test]
async fn names_that_are_no_names_are_refused_in_every_parameter() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1", 1);
    for bad in [
        "..",
        ".",
        "%2e%2e%2f",
        "a%2Fb",
        "a%5Cb",
        "",
        "%00",
        "%C3%A9",
        "a%20b",
        &"a".repeat(65),
    ] {
        for parameters in [
            format!("project={bad}&key=k"),
            format!("project=lotus&key={bad}"),
            format!("project=lotus&node={bad}"),
        ] {
            let refused = server.publish(&parameters, &image).await;
            assert_eq!(
                (refused.status, refused.code()),
                (400, "bad-name"),
                "{parameters}"
            );
        }
        for (path, key) in [("", "name"), ("/dev/projects", "name")] {
            let decoded = bad
                .replace("%2e", ".")
                .replace("%2f", "/")
                .replace("%00", "\0")
                .replace("%20", " ");
            let refused = server.post(path, json!({ key: decoded })).await;
            assert_eq!(refused.code(), "bad-name", "{path} {bad}");
        }
    }
    for bad in ["a%20b", "%C3%A9", "", &"1".repeat(65), "a%0d%0aX-Evil:%201"] {
        let refused = server
            .publish(&format!("project=lotus&key=k&version={bad}"), &image)
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "bad-version"),
            "{bad}"
        );
    }
    for organization in ["%2e%2e", "a%2Fb", "a%00b", "%2B"] {
        let path = format!("/{organization}/releases?project=lotus&key=k");
        let refused = send(server.api("PUT", &path).body(image.clone())).await;
        assert!(
            matches!(refused.status, 400 | 404),
            "{organization}: {refused:?}"
        );
    }
    let mut top: Vec<_> = std::fs::read_dir(server.data.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    top.sort();
    let known = [
        "airlift.db",
        "airlift.db-shm",
        "airlift.db-wal",
        "incoming",
        "lock",
        "objects",
    ];
    assert!(
        top.iter()
            .all(|name| known.contains(&name.to_str().unwrap())),
        "{top:?}"
    );
}

#[tokio::test]
async fn parameters_that_are_missing_or_unknown_are_named() {
    let server = TestServer::start().await;
    let eight = esp8266(1, 400);
    for (parameters, code, mentions) in [
        ("key=k&version=1", "project-missing", "project"),
        ("project=lotus&version=1", "key-missing", "key"),
        ("project=lotus&key=k", "version-missing", "version"),
        (
            "project=lotus&key=k&version=1&colour=red",
            "bad-parameter",
            "colour",
        ),
        (
            "project=lotus&key=k&version=1&force=perhaps",
            "bad-parameter",
            "force",
        ),
    ] {
        let refused = server.publish(parameters, &eight).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{refused:?}");
        assert!(
            refused.body["detail"].as_str().unwrap().contains(mentions),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn bodies_that_are_no_requests_are_refused() {
    let server = TestServer::start().await;
    for body in [
        "",
        "{",
        "[]",
        "{\"name\": 1}",
        "{\"name\": \"a\", \"x\": 1}",
    ] {
        let request = server
            .api("POST", "")
            .header("content-type", "application/json")
            .body(body);
        let refused = send(request).await;
        assert!(
            (400..=422).contains(&refused.status) && refused.code() == "bad-json",
            "{body}: {refused:?}"
        );
    }
    assert_eq!(
        server.post("", json!({ "name": "dev" })).await.code(),
        "organization-exists"
    );
    assert_eq!(
        server
            .post("/dev/projects", json!({ "name": "lotus" }))
            .await
            .code(),
        "project-exists"
    );
    assert_eq!(
        server.post("", json!({ "name": "+" })).await.code(),
        "bad-name"
    );
    assert_eq!(
        send(server.api("PATCH", "")).await.code(),
        "method-not-allowed"
    );
    assert_eq!(server.get("/dev/devices/nobody").await.code(), "not-found");
    assert_eq!(server.get("/dev/releases/99").await.code(), "not-found");
    assert_eq!(server.get("/dev/nothing").await.code(), "not-found");
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_leaves_nothing() {
    let server = TestServer::start().await;
    let (first, second) = (esp32(ChipId::ESP32, "1", 1), esp32(ChipId::ESP32, "2", 2));
    server.publish("project=lotus&key=k", &first).await;
    for sent in [0, 1, 1000, second.len() - 1] {
        let head = format!(
            "PUT /api/v1/organizations/dev/releases?project=lotus&key=k HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            server.admin,
            second.len()
        );
        let mut stream = TcpStream::connect(server.server.local_addr())
            .await
            .unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&second[..sent]).await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
    }
    // The server notices in its own time.
    let incoming = server.data.path().join("incoming");
    for _ in 0..100 {
        if files_below(&incoming).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(files_below(&incoming), Vec::<std::path::PathBuf>::new());
    let releases = server.get("/dev/releases").await.body["releases"].clone();
    assert_eq!(releases.as_array().map(Vec::len), Some(1), "{releases}");
    assert_eq!(
        server.check_in("k", &[]).await.bytes().await.unwrap(),
        first
    );
}

#[tokio::test]
async fn uploads_at_the_same_time_do_not_meet() {
    let server = TestServer::start().await;
    let images: Vec<_> = (0..20)
        .map(|seed| esp32(ChipId::ESP32, "1", seed))
        .collect();
    let uploads = images.iter().enumerate().map(|(at, image)| {
        let parameters = format!("project=lotus&key=k{}", at / 2);
        let server = &server;
        async move { server.publish(&parameters, image).await }
    });
    for answer in futures_util::future::join_all(uploads).await {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let releases = server.get("/dev/releases").await.body["releases"].clone();
    let offered = releases
        .as_array()
        .unwrap()
        .iter()
        .filter(|release| release["offered"] == Value::Bool(true))
        .count();
    assert_eq!(offered, 10, "one a key");
    for key in 0..10 {
        let got = server
            .check_in(&format!("k{key}"), &[])
            .await
            .bytes()
            .await
            .unwrap();
        assert!(images[key * 2..key * 2 + 2].contains(&got.to_vec()));
    }
}
