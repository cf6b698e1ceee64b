//! Data for partitions: published, and what is said of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use airlift_formats::matter::image::ImageBuilder;
use serde_json::Value;

use crate::harness::{Field, Run as _, image};

/// The beginning of a `LittleFS`: its first superblock.
fn littlefs() -> Vec<u8> {
    let mut image = vec![1, 0, 0, 0, 0xF0, 0x0F, 0xFF, 0xF7];
    image.extend(b"littlefs");
    image.resize(16 * 4096, 0xFF);
    image
}

/// What a device with these headers is answered: the status, and the body.
fn ask(field: &Field, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(field.server.host()).expect("a connection");
    let path = "/ota_update/dev/lotus/esp32-85ea2b/sht30_d1_mini";
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n{headers}\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = answer.split_off(head.expect("a head") + 4);
    let head = String::from_utf8(answer).expect("text");
    let status = head.split(' ').nth(1).expect("a status");
    (status.to_owned(), body)
}

#[test]
fn data_for_a_partition_is_published_and_reaches_whom_it_is_for() {
    let field = Field::new();
    field.write("storage.bin", &littlefs());
    field.write("certs.bin", b"-----BEGIN CERTIFICATE-----\n");
    let text = field
        .publish("storage.bin", "1.0.0")
        .args(["--partition", "storage"])
        .run()
        .good();
    for words in [
        "as version 1.0.0, 64.0 KiB",
        "for      partition storage (littlefs) of devices with the key sht30_d1_mini of dev, lotus",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    let certs = field
        .publish("certs.bin", "7")
        .args(["--partition", "certs", "--file-system", "none"])
        .args(["--node", "esp32-85ea2b", "--json"])
        .run()
        .good();
    let certs: Value = serde_json::from_str(&certs).unwrap();
    assert_eq!(certs["partition"], "certs");
    assert_eq!(certs["file_system"], "none");

    let (status, body) = ask(&field, "x-ESP32-mode: spiffs\r\n");
    assert_eq!((status.as_str(), body == littlefs()), ("200", true));
    let (_, body) = ask(&field, "x-Airlift-Partition: name=certs\r\n");
    assert_eq!(body, b"-----BEGIN CERTIFICATE-----\n");
    let again = field
        .publish("storage.bin", "1.0.0")
        .args(["--partition", "storage"])
        .run()
        .good();
    assert!(again.starts_with("Already published"), "{again}");
    field.is_at("1.1.0");
}

#[test]
fn data_that_cannot_be_meant_is_refused_with_what_to_do() {
    let field = Field::new();
    field.write("app.bin", &image("2.0.0", 60_000));
    field.write("storage.bin", &littlefs());
    field.write("empty.bin", &[]);
    let publish = |file: &str, more: &[&str]| field.publish(file, "2.0.0").args(more).run();
    publish("app.bin", &["--partition", "storage"]).refused(&[
        "app.bin",
        "this is an app, published as data",
        "without a partition",
        "--force",
    ]);
    publish(
        "storage.bin",
        &["--partition", "storage", "--file-system", "spiffs"],
    )
    .refused(&["storage.bin", "holds a littlefs file system", "spiffs"]);
    publish("storage.bin", &[]).refused(&["storage.bin", "0xe9"]);
    publish("empty.bin", &["--partition", "storage"]).refused(&["empty.bin", "is empty"]);
    for name in ["a/b", "..", "", "0123456789abcdefg"] {
        publish("storage.bin", &["--partition", name]).refused(&[
            "--partition",
            "is not a name",
            "1 to 16",
        ]);
    }
    // What the command line itself refuses.
    for (more, words) in [
        (&["--file-system", "fat"][..], "--partition"),
        (
            &["--partition", "storage", "--file-system", "ext4"],
            "spiffs, littlefs, fat, none",
        ),
    ] {
        let run = publish("storage.bin", more);
        assert_eq!(run.status.code(), Some(2), "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    let mut without_version = crate::harness::airlift(["publish", "--partition", "storage"]);
    without_version.args(crate::harness::PLACE);
    let run = without_version
        .args(["--token", "t"])
        .arg(field.path("storage.bin"))
        .run();
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert!(run.stderr.contains("--version <VERSION>"), "{run:?}");
    assert_eq!(ask(&field, "x-ESP32-mode: spiffs\r\n").0, "304");
    field.is_at("1.1.0");
}

#[test]
fn an_app_is_data_if_somebody_insists() {
    let field = Field::new();
    let app = image("2.0.0", 60_000);
    field.write("app.bin", &app);
    let text = field
        .publish("app.bin", "2.0.0")
        .args(["--partition", "coprocessor", "--force"])
        .run()
        .good();
    assert!(text.contains("partition coprocessor of devices"), "{text}");
    let (_, body) = ask(&field, "x-Airlift-Partition: name=coprocessor\r\n");
    assert_eq!(body, app);
    field.is_at("1.1.0");
}

#[test]
fn a_matter_image_is_published_without_a_word_about_it() {
    let field = Field::new();
    let image = matter_image();
    let mut damaged = image.clone();
    *damaged.last_mut().unwrap() ^= 1;
    field.write("light.ota", &image);
    field.write("damaged.ota", &damaged);
    field.write("other.bin", b"no image");
    let publish = |file: &str, more: &[&str]| {
        let mut command = crate::harness::airlift(["publish", "--server", &field.server.url]);
        command.args(crate::harness::PLACE).args(more);
        command.env("AIRLIFT_TOKEN", &field.token);
        command.arg(field.path(file)).run()
    };
    publish("damaged.ota", &[]).refused(&["damaged.ota", "digest in the header"]);
    publish("other.bin", &["--partition", "matter-ota"])
        .refused(&["other.bin", "not a Matter OTA image"]);
    let headers = "x-Airlift-Partition: name=matter-ota\r\n";
    assert_eq!(ask(&field, headers).0, "304");

    let text = publish("light.ota", &[]).good();
    for words in [
        "as version 2.0",
        "for      partition matter-ota (no file system) of devices",
        "matter   vendor 0xfff1, product 0x8001, version 2 (2.0), 1 part\n",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    assert_eq!(ask(&field, headers), ("200".to_owned(), image));
    let again = publish("light.ota", &["--json", "--partition", "matter-ota"]).good();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["created"], false);
    assert_eq!(again["matter"]["product_id"], 0x8001);
    field.is_at("1.1.0");
}

/// One custom part in it.
fn matter_image() -> Vec<u8> {
    let payload = [&[100, 0, 0, 0, 6, 0, 0, 0][..], b"sounds"].concat();
    ImageBuilder::new(0xFFF1, 0x8001, 2, "2.0")
        .build(&payload)
        .expect("an image")
}
