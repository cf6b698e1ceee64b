//! curl as the client.

use std::path::Path;
use std::process::{Command, Output};

use airlift_formats::esp::app_image::ChipId;

use crate::harness::TestServer;
use crate::images::{esp32, md5_hex};

/// Runs curl; its standard output is the body, unless the arguments say otherwise.
async fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "10"])
        .args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await
        .unwrap()
        .expect("curl is needed for this test; on Debian: apt-get install curl")
}

async fn server_with_image() -> (TestServer, String, Vec<u8>) {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1.0.0", 1);
    assert_eq!(
        server
            .publish("project=lotus&key=k&version=1.0.0", &image)
            .await
            .status,
        201
    );
    let url = server.url("/ota_update/dev/lotus/n1/k");
    (server, url, image)
}

#[tokio::test]
async fn the_whole_image_in_either_version_of_http() {
    let (_server, url, image) = server_with_image().await;
    for version in ["--http1.1", "--http1.0"] {
        let got = curl(&[version, &url]).await;
        assert!(got.status.success(), "{got:?}");
        assert_eq!(got.stdout, image);
    }
}

#[tokio::test]
async fn head_says_what_get_sends() {
    let (_server, url, image) = server_with_image().await;
    let head = String::from_utf8(curl(&["--head", &url]).await.stdout)
        .unwrap()
        .to_lowercase();
    let got = curl(&["--dump-header", "-", "--output", "/dev/null", &url]).await;
    let get = String::from_utf8(got.stdout).unwrap().to_lowercase();
    let without_date = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("date"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(without_date(&head), without_date(&get));
    assert!(head.starts_with("http/1.1 200 ok"));
    assert!(
        head.contains(&format!("\ncontent-length: {}\r", image.len())),
        "{head}"
    );
    assert!(
        head.contains(&format!("\nx-md5: {}\r", md5_hex(&image))),
        "{head}"
    );
}

#[tokio::test]
async fn ranges() {
    let (_server, url, image) = server_with_image().await;
    let length = image.len();
    let past_the_end = format!("100-{}", length * 2);
    for (range, expected) in [
        ("0-15", &image[..16]),
        ("100-", &image[100..]),
        ("-16", &image[length - 16..]),
        (past_the_end.as_str(), &image[100..]),
        // Several at once: a server may send the whole instead.
        ("0-1,5-6", &image[..]),
    ] {
        let got = curl(&["--range", range, &url]).await;
        assert_eq!(got.stdout, expected, "{range}");
    }
    let outside = curl(&[
        "--range",
        "9999999-",
        "--write-out",
        "%{http_code} %header{content-range}",
        "-o",
        "/dev/null",
        &url,
    ])
    .await;
    assert_eq!(
        String::from_utf8_lossy(&outside.stdout),
        format!("416 bytes */{length}")
    );
}

#[tokio::test]
async fn a_download_that_broke_off_is_continued() {
    let (server, url, image) = server_with_image().await;
    let file = server.data.path().join("partial.bin");
    std::fs::write(&file, &image[..1000]).unwrap();
    let output = path(&file);
    let got = curl(&[
        "--continue-at",
        "-",
        "--output",
        output,
        "--write-out",
        "%{http_code} %{size_download}",
        &url,
    ])
    .await;
    assert_eq!(
        String::from_utf8_lossy(&got.stdout),
        format!("206 {}", image.len() - 1000)
    );
    assert_eq!(std::fs::read(&file).unwrap(), image);
}

#[tokio::test]
async fn a_changed_image_is_not_glued_to_the_beginning_of_another() {
    let (server, url, image) = server_with_image().await;
    let old = format!("If-Range: \"{}\"", crate::images::sha256_hex(&image));
    let same = curl(&["--range", "10-19", "--header", &old, &url]).await;
    assert_eq!(same.stdout, &image[10..20]);

    let newer = esp32(ChipId::ESP32, "2.0.0", 2);
    assert_eq!(
        server
            .publish("project=lotus&key=k&version=2.0.0", &newer)
            .await
            .status,
        201
    );
    let changed = curl(&["--range", "10-19", "--header", &old, &url]).await;
    assert_eq!(
        changed.stdout, newer,
        "the whole new image, not a part of it"
    );
}

#[tokio::test]
async fn a_cached_copy_is_confirmed() {
    let (_server, url, image) = server_with_image().await;
    let tag = format!("\"{}\"", crate::images::sha256_hex(&image));
    for (value, expected) in [
        (tag.clone(), "304"),
        (format!("\"x\", W/{tag}"), "304"),
        ("*".to_owned(), "304"),
        ("\"x\"".to_owned(), "200"),
    ] {
        let header = format!("If-None-Match: {value}");
        let got = curl(&[
            "--header",
            &header,
            "--write-out",
            "%{http_code}",
            "--output",
            "/dev/null",
            &url,
        ])
        .await;
        assert_eq!(String::from_utf8_lossy(&got.stdout), expected, "{value}");
    }
}

#[tokio::test]
async fn publishing_with_curl() {
    let server = TestServer::start().await;
    let image = esp32(ChipId::ESP32, "1.0.0", 1);
    let file = server.data.path().join("firmware.bin");
    std::fs::write(&file, &image).unwrap();
    let url = server.url("/api/v1/organizations/dev/releases?project=lotus&key=k&version=1.0.0");
    let token = format!("Authorization: Bearer {}", server.admin);
    let put = curl(&["--upload-file", path(&file), "--header", &token, &url]).await;
    let answer: serde_json::Value = serde_json::from_slice(&put.stdout).unwrap();
    assert_eq!(answer["md5"], md5_hex(&image).as_str(), "{answer}");

    // Refused before the body is read, and large: the answer must arrive all the same.
    std::fs::write(&file, vec![0xE9; 3 << 20]).unwrap();
    let data = format!("@{}", path(&file));
    for extra in ["Expect:", "Expect: 100-continue"] {
        let refused = curl(&[
            "--data-binary",
            &data,
            "--header",
            extra,
            "--write-out",
            "%{http_code}",
            "-o",
            "/dev/null",
            &url,
        ])
        .await;
        assert_eq!(
            String::from_utf8_lossy(&refused.stdout),
            "401",
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn data_with_curl() {
    let (server, url, image) = server_with_image().await;
    let content = crate::images::littlefs(1);
    let file = server.data.path().join("storage.bin");
    std::fs::write(&file, &content).unwrap();
    let publish = server.url(
        "/api/v1/organizations/dev/releases?project=lotus&key=k&partition=storage&version=1.0.0",
    );
    let token = format!("Authorization: Bearer {}", server.admin);
    let put = curl(&["--upload-file", path(&file), "--header", &token, &publish]).await;
    let answer: serde_json::Value = serde_json::from_slice(&put.stdout).unwrap();
    assert_eq!(answer["file_system"], "littlefs", "{answer}");

    for header in ["x-Airlift-Partition: name=storage", "x-ESP32-mode: spiffs"] {
        assert_eq!(curl(&["--header", header, &url]).await.stdout, content);
    }
    let part = [
        "--header",
        "x-Airlift-Partition: name=storage",
        "--range",
        "8-15",
        &url,
    ];
    assert_eq!(curl(&part).await.stdout, b"littlefs");
    assert_eq!(curl(&[&url]).await.stdout, image, "the app is where it was");
    let bad = "x-Airlift-Partition: storage";
    let refused = curl(&[
        "--header",
        bad,
        "--write-out",
        "%{http_code}",
        "-o",
        "/dev/null",
        &url,
    ])
    .await;
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "400");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
