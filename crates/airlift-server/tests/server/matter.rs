//! Matter OTA images, published.

use airlift_formats::matter::image::ImageBuilder;
use airlift_server::Server;
use serde_json::{Value, json};

use crate::harness::{TestServer, config, golden};
use crate::images::data;
use crate::publishing::files_below;

const PLACE: &str = "project=lotus&key=k";

/// Names and bytes of the golden files, good or bad.
fn images(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!(
        "{}/../../../shared/golden/matter/{folder}",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut files = files_below(path.as_ref());
    files.sort();
    assert!(files.len() > 10, "golden vectors are needed in {path}");
    let named = |file: std::path::PathBuf| {
        let name = file.file_name()?.to_str()?.to_owned();
        let bytes = golden(&format!("matter/{folder}/{name}"));
        Some((name, bytes))
    };
    files.into_iter().filter_map(named).collect()
}

#[tokio::test]
async fn good_images_become_data_for_the_reserved_partition() {
    let server = TestServer::start().await;
    for (name, image) in images("good") {
        // They are of many vendors.
        let published = server.publish(&format!("{PLACE}&force=true"), &image).await;
        if name.starts_with("n08") {
            // Its factory data are encrypted, and there is no key here: `airlift image verify` says the same.
            assert_eq!(published.status, 422, "{name}: {published:?}");
            continue;
        }
        assert_eq!(published.status, 201, "{name}: {published:?}");
        let body = published.body;
        assert_eq!(body["partition"], "matter-ota", "{name}");
        assert_eq!(body["kind"], "data", "{name}");
        assert_eq!(body["file_system"], "none", "{name}");
        let parts = match &name[..3] {
            "n07" => json!(11),
            "n06" | "n11" => json!(8),
            "n05" => json!(3),
            "s01" => json!(4),
            "n12" | "n13" | "n14" | "n15" => json!(2),
            "n01" | "n03" | "n04" | "n10" => json!(1),
            _ => Value::Null,
        };
        assert_eq!(body["matter"]["parts"], parts, "{name}");
        let version = match &name[..3] {
            // "9.0-beta-é" cannot be sent in a header.
            "g12" => "9",
            _ => body["matter"]["software_version_string"].as_str().unwrap(),
        };
        assert_eq!(body["version"], version, "{name}");
        let facts = [("x-Airlift-Partition", "name=matter-ota")];
        let answer = server.check_in("k", &facts).await;
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(answer.bytes().await.unwrap(), image, "{name}");
    }
    // It is nothing for who asks for an app or for a file system.
    for headers in [&[][..], &[("x-ESP32-mode", "spiffs")]] {
        assert_eq!(server.check_in("k", headers).await.status(), 304);
    }
}

#[tokio::test]
async fn the_answer_says_what_the_image_is() {
    let server = TestServer::start().await;
    let image = golden("matter/good/g12_utf8_version.ota");
    let parameters = format!("{PLACE}&version=9.0");
    let first = server.publish(&parameters, &image).await;
    let again = server.publish(&parameters, &image).await;
    assert_eq!((first.status, again.status), (201, 200));
    let matter = json!({
        "vendor_id": 0xDEAD, "product_id": 0xBEEF, "software_version": 9,
        "software_version_string": "9.0-beta-é", "parts": null,
        "min_applicable_software_version": null, "max_applicable_software_version": null,
    });
    assert_eq!(
        (&first.body["matter"], &again.body["matter"]),
        (&matter, &matter)
    );
    assert_eq!(
        first.body["warnings"],
        json!(["the image says that it is version \"9.0-beta-é\" (9), published as \"9.0\""])
    );
}

/// Those that are bad by other rules than Airlift's (docs/matter-images.md), or whose payload does not look like parts.
const ACCEPTED: [&str; 9] = [
    "m28", "m43", "m45", "m46", "m54", "x02", "x19", "x20", "x21",
];

#[tokio::test]
async fn bad_images_are_refused_and_leave_nothing() {
    let server = TestServer::start().await;
    for (name, image) in images("bad") {
        let published = server.publish(&format!("{PLACE}&force=true"), &image).await;
        if ACCEPTED.contains(&&name[..3]) {
            assert_eq!(published.status, 201, "{name}: {published:?}");
            continue;
        }
        assert_eq!(published.status, 422, "{name}: {published:?}");
        assert_eq!(published.code(), "image-invalid", "{name}");
        let detail = published.body["detail"].as_str().unwrap();
        let says = match &name[..3] {
            "m01" => "an app image starts with 0xe9",
            "m04" => "in the Matter OTA image: the file ends within the header",
            "m12" => "something follows the payload, at offset 377",
            "m13" => "the digest in the header is not that of the payload",
            "m42" => "offset 17",
            "x01" => "payload offset 1640, tag 99: the tag has no meaning",
            "x14" => "payload offset 0, tag 3: ",
            _ => "in the Matter OTA image: ",
        };
        assert!(detail.contains(says), "{name}: {detail}");
    }
    let objects = files_below(&server.data.path().join("objects"));
    assert_eq!(objects.len(), ACCEPTED.len());
    assert!(files_below(&server.data.path().join("incoming")).is_empty());
}

#[tokio::test]
async fn the_partition_decides_what_a_file_is() {
    let server = TestServer::start().await;
    let image = golden("matter/good/n03_factory.ota");
    let reserved = format!("{PLACE}&partition=matter-ota");
    let published = server.publish(&reserved, &image).await;
    assert_eq!(published.status, 201, "{published:?}");
    assert_eq!(published.body["matter"]["parts"], 1);
    for (more, bytes, status) in [
        ("&version=1", data(1, 5000), 422),
        ("&version=1&force=true", data(1, 5), 422),
        ("", image[..20].to_vec(), 422),
        ("&file_system=fat", image.clone(), 400),
    ] {
        let refused = server.publish(&format!("{reserved}{more}"), &bytes).await;
        assert_eq!(refused.status, status, "{more}: {refused:?}");
    }
    // Elsewhere it is any bytes, damaged or not.
    let elsewhere = format!("{PLACE}&partition=coprocessor&version=1");
    let published = server.publish(&elsewhere, &image[..900]).await;
    assert_eq!(published.status, 201, "{published:?}");
    assert_eq!(published.body["partition"], "coprocessor");
    assert!(published.body.get("matter").is_none());
}

/// An image of one raw payload.
fn image(vendor: u16, product: u16, version: u32) -> Vec<u8> {
    ImageBuilder::new(vendor, product, version, &format!("{version}.0"))
        .min_version(1)
        .build(b"firmware")
        .unwrap()
}

#[tokio::test]
async fn an_image_for_another_vendor_or_product_is_refused_unless_that_is_meant() {
    let server = TestServer::start().await;
    let first = server.publish(PLACE, &image(0xFFF1, 0x8001, 2)).await;
    assert_eq!(first.status, 201);
    for (vendor, product) in [(0xFFF2, 0x8001), (0xFFF1, 0x8002)] {
        let other = image(vendor, product, 3);
        let refused = server.publish(PLACE, &other).await;
        assert_eq!((refused.status, refused.code()), (409, "product-differs"));
        let detail = refused.body["detail"].as_str().unwrap();
        for word in ["vendor 0xfff1, product 0x8001", "force=true"] {
            assert!(detail.contains(word), "{detail}");
        }
        // Elsewhere it is welcome.
        let elsewhere = server
            .publish(&format!("project=lotus&key=k{product}{vendor}"), &other)
            .await;
        assert_eq!(elsewhere.status, 201);
    }
    let facts = [("x-Airlift-Partition", "name=matter-ota")];
    let offered = server.check_in("k", &facts).await.bytes().await.unwrap();
    assert_eq!(
        offered,
        image(0xFFF1, 0x8001, 2),
        "what was offered still is"
    );
    // 0 is any, and takes nothing from anybody.
    assert_eq!(server.publish(PLACE, &image(0, 0, 3)).await.status, 201);
    assert_eq!(
        server
            .publish(PLACE, &image(0xFFF1, 0x8001, 4))
            .await
            .status,
        201
    );
    let forced = server
        .publish(&format!("{PLACE}&force=true"), &image(0xFFF2, 1, 5))
        .await;
    assert_eq!(forced.status, 201);
}

#[tokio::test]
async fn a_version_that_devices_would_refuse_is_remarked_on() {
    let server = TestServer::start().await;
    let publish = async |version| {
        let published = server.publish(PLACE, &image(0xFFF1, 0x8001, version)).await;
        assert_eq!(published.status, 201);
        published.body["warnings"].clone()
    };
    assert_eq!(publish(5).await, json!([]));
    let warnings = publish(4).await;
    assert!(
        warnings[0]
            .as_str()
            .unwrap()
            .starts_with("software version 4 is not higher than 5")
    );
    assert_eq!(publish(6).await, json!([]));
}

#[tokio::test]
async fn what_an_image_says_is_listed_also_after_a_restart() {
    let server = TestServer::start().await;
    let published = server.publish(PLACE, &image(0xFFF1, 0x8001, 7)).await.body;
    let matter = json!({
        "vendor_id": 0xFFF1, "product_id": 0x8001, "software_version": 7, "software_version_string": "7.0",
        "min_applicable_software_version": 1, "max_applicable_software_version": null, "parts": null,
    });
    assert_eq!(published["matter"], matter);
    let app = crate::images::esp32(airlift_formats::esp::app_image::ChipId::ESP32, "1.0.0", 1);
    server.publish(PLACE, &app).await;
    let check = async |server: &TestServer| {
        let releases = server.get("/dev/releases").await.body["releases"].clone();
        assert_eq!(releases[1]["matter"], matter);
        assert!(
            releases[0].get("matter").is_none(),
            "an app says nothing of the kind"
        );
        let one = format!("/dev/releases/{}", published["id"]);
        assert_eq!(server.get(&one).await.body["matter"], matter);
    };
    check(&server).await;
    let TestServer {
        server,
        admin,
        data,
        http,
    } = server;
    server.shutdown().await;
    let server = Server::start(config(data.path())).await.unwrap();
    let server = TestServer {
        server,
        admin,
        data,
        http,
    };
    check(&server).await;
    // And it is compared with.
    assert_eq!(
        server
            .publish(PLACE, &image(0xFFF2, 0x8001, 8))
            .await
            .status,
        409
    );
}
