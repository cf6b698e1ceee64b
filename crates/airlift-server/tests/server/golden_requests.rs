//! Every recorded request of real clients, replayed byte for byte.
//!
//! The folder tree behind the recordings is rebuilt with releases. Their bytes are not known, only their MD5, so the MD5s
//! that requests name are exchanged for those of the release in the same place. The answer is then compared with the
//! reference server's, or with what we answer on purpose instead (section 14.1 of the protocol page): the table says which.

use std::collections::HashMap;

use airlift_formats::esp::app_image::ChipId;

use crate::harness::TestServer;
use crate::images::{esp32, esp8266, littlefs, md5_hex};
use crate::raw::{RawAnswer, exchange};

/// What must come.
enum Expected {
    /// The reference's status and, where it sends a file, our release of the same place.
    AsReference,
    /// Something else, and why.
    Instead(u16, &'static str),
}
use Expected::{AsReference, Instead};

/// File; the place whose release is sent if the answer has a body; what is expected.
const TABLE: &[(&str, Option<&str>, Expected)] = &[
    (
        "01-node-in-project",
        Some("lotus/esp8266-85ea2b"),
        AsReference,
    ),
    (
        "04-key-at-org-other-project",
        Some("+/sht30_d1_mini"),
        AsReference,
    ),
    ("05-key-at-org-only", Some("+/soil_c3_pico"), AsReference),
    ("06-same-md5-esp8266", None, AsReference),
    ("07-same-md5-esp32", None, AsReference),
    (
        "08-same-md5-uppercase",
        None,
        Instead(304, "an MD5 is a number; its letters' case means nothing"),
    ),
    (
        "09-same-md5-as-less-specific",
        Some("lotus/esp8266-85ea2b"),
        AsReference,
    ),
    (
        "10-no-md5-header",
        Some("lotus/esp8266-85ea2b"),
        AsReference,
    ),
    ("12-unknown-key", None, AsReference),
    ("13-unknown-org", None, AsReference),
    ("14-traversal-dotdot-plain", None, AsReference),
    (
        "15-traversal-encoded-existing",
        None,
        Instead(400, "a slash in a name is a bad request, whatever exists"),
    ),
    (
        "16-traversal-encoded-missing",
        None,
        Instead(400, "the same answer as 15: no oracle"),
    ),
    (
        "17-project-plus-literal",
        Some("+/esp32-6c5e0e"),
        AsReference,
    ),
    (
        "18-legacy-org-key-dir",
        Some("+/legacy_key"),
        Instead(
            200,
            "the documented ORG/KEY is our place for all projects, and is served",
        ),
    ),
    ("19-legacy-file-name", None, AsReference),
    ("20-head", Some("lotus/esp8266-85ea2b"), AsReference),
    (
        "21-range-first-16",
        Some("lotus/esp8266-85ea2b"),
        AsReference,
    ),
    (
        "22-range-unsatisfiable",
        None,
        Instead(416, "the status made for it, instead of 500"),
    ),
    (
        "24-mode-version",
        None,
        Instead(200, "x-version and no image: what the client asked for"),
    ),
    ("25-if-none-match-etag", None, AsReference),
    ("26-both-esp8266-and-esp32-md5", None, AsReference),
    (
        "27-empty-firmware",
        None,
        Instead(304, "an empty image cannot be published, so there is none"),
    ),
    (
        "29-nul-byte",
        None,
        Instead(400, "the client's fault, instead of 500"),
    ),
    (
        "30-bad-percent",
        None,
        Instead(400, "the client's fault, instead of 500"),
    ),
    (
        "33-trailing-slash",
        Some("lotus/esp8266-85ea2b"),
        AsReference,
    ),
    (
        "34-query-string-ignored",
        Some("lotus/esp8266-85ea2b"),
        AsReference,
    ),
    (
        "35-post-ota-update-unauth",
        None,
        Instead(404, "there is no upload form here; uploads go to the API"),
    ),
    (
        "36-ota-list-unauth",
        None,
        Instead(404, "lists are in the API"),
    ),
    ("37-options", None, AsReference),
];

struct Recording {
    request: Vec<u8>,
    status: u16,
    /// Length of the body; `None` for a file.
    headers: Vec<(String, String)>,
}

/// Reads a recording; `None` for those that hold only a response.
fn recording(name: &str) -> Option<Recording> {
    let text =
        String::from_utf8(crate::harness::golden(&format!("esp-http/{name}"))).expect("text");
    let (_, rest) = text.split_once("### request (raw; CRLF line ends)\n")?;
    let (request, response) = rest
        .split_once("### response (raw head)\n")
        .expect("a response");
    let request = request.replace("<3 body bytes, multipart or form>\n", "a=b");
    let mut lines = response.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "));
    Some(Recording {
        request: request.replace('\n', "\r\n").into_bytes(),
        status: status.expect("a status"),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    })
}

#[tokio::test]
async fn recorded_requests_are_answered_as_by_the_reference_or_better() {
    let server = TestServer::start().await;
    let images = publish_the_tree(&server).await;
    // The MD5s of the files in the recorded tree that requests name.
    let known = [
        ("b5241c93be020df7f66b6416703f04c9", "lotus/esp8266-85ea2b"),
        ("8d5197091f2414a028367fe6f4594518", "+/esp32-6c5e0e"),
        ("83a2efeff95ec6dd511a8ddba08884ae", "lotus/sht30_d1_mini"),
    ];
    let etag = format!(
        "\"{}\"",
        crate::images::sha256_hex(&images["lotus/esp8266-85ea2b"])
    );

    let folder = format!(
        "{}/../../../shared/golden/esp-http",
        env!("CARGO_MANIFEST_DIR")
    );
    let files = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("golden vectors {folder}: {error}"));
    let mut replayed = 0;
    for file in files {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(recording) = recording(&name) else {
            continue;
        };
        let name = name.trim_end_matches(".http");
        let (_, place, expected) = TABLE
            .iter()
            .find(|(file, ..)| *file == name)
            .unwrap_or_else(|| panic!("{name} is not in the table"));

        let mut request = String::from_utf8(recording.request.clone()).unwrap();
        for (md5, place) in known {
            let ours = md5_hex(&images[place]);
            request = request
                .replace(md5, &ours)
                .replace(&md5.to_uppercase(), &ours.to_uppercase());
        }
        request = request.replace("W/\"1000-1a1fa9324c0\"", &etag);
        let status = match expected {
            AsReference => recording.status,
            Instead(status, why) => {
                assert_ne!(*why, "");
                *status
            }
        };
        let image = place.map(|place| images[place].as_slice());
        // Once as it was, once with the whole URL in it: that takes the other way through the server.
        let whole_url = request.replacen(" /ota_", &format!(" {}", server.url("/ota_")), 1);
        for request in [&request, &whole_url] {
            let answer = exchange(server.server.local_addr(), request.as_bytes()).await;
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            check_body(name, &recording, &answer, image);
            check_connection(name, request, &answer);
        }
        replayed += 1;
    }
    assert_eq!(
        replayed,
        TABLE.len(),
        "a recording of the table is missing in {folder}"
    );
}

/// The reference has no file systems: it sends the sketch (section 6 of the protocol page), so nobody recorded this mode. The
/// requests are the recorded ones of either family with another mode in them.
#[tokio::test]
async fn recorded_clients_that_ask_for_their_file_system_get_data_or_nothing() {
    let server = TestServer::start().await;
    publish_the_tree(&server).await;
    let spiffs = |name: &str| {
        let request = String::from_utf8(recording(name).expect("a request").request).unwrap();
        assert!(request.contains("-mode: sketch"), "{request}");
        request.replace("-mode: sketch", "-mode: spiffs")
    };
    let requests = [
        spiffs("01-node-in-project.http"),
        spiffs("07-same-md5-esp32.http"),
    ];
    let address = server.server.local_addr();
    for request in &requests {
        let whole_url = request.replacen(" /ota_", &format!(" {}", server.url("/ota_")), 1);
        for request in [request, &whole_url] {
            assert_eq!(exchange(address, request.as_bytes()).await.status, 304);
        }
    }
    let image = littlefs(1);
    let parameters = "project=lotus&key=sht30_d1_mini&partition=storage&version=1.0.0";
    assert_eq!(server.publish(parameters, &image).await.status, 201);
    for request in &requests {
        let whole_url = request.replacen(" /ota_", &format!(" {}", server.url("/ota_")), 1);
        for request in [request, &whole_url] {
            let answer = exchange(address, request.as_bytes()).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.length(), Some(image.len()));
            assert_eq!(answer.header("x-md5"), Some(md5_hex(&image).as_str()));
            assert_eq!(answer.body, image);
            assert!(answer.closed);
            // What they run now, by the version that their program hands to the update.
            let updated = request.replace("-version: 0.0.0", "-version: 1.0.0");
            assert_eq!(exchange(address, updated.as_bytes()).await.status, 304);
        }
    }
}

/// The tree of section 16, with an image of its own in each place.
async fn publish_the_tree(server: &TestServer) -> HashMap<&'static str, Vec<u8>> {
    let tree = [
        (
            "lotus/esp8266-85ea2b",
            "project=lotus&node=esp8266-85ea2b",
            esp8266(1, 4000),
        ),
        (
            "+/esp8266-85ea2b",
            "all_projects=true&node=esp8266-85ea2b",
            esp8266(2, 4010),
        ),
        (
            "lotus/sht30_d1_mini",
            "project=lotus&key=sht30_d1_mini",
            esp8266(3, 4020),
        ),
        (
            "+/sht30_d1_mini",
            "all_projects=true&key=sht30_d1_mini",
            esp8266(4, 4030),
        ),
        (
            "+/esp32-6c5e0e",
            "all_projects=true&node=esp32-6c5e0e",
            esp32(ChipId::ESP32, "1", 5),
        ),
        (
            "+/soil_c3_pico",
            "all_projects=true&key=soil_c3_pico",
            esp32(ChipId::ESP32C3, "1", 6),
        ),
        (
            "+/legacy_key",
            "all_projects=true&key=legacy_key",
            esp8266(7, 4040),
        ),
    ];
    for (_, parameters, image) in &tree {
        let published = server
            .publish(&format!("{parameters}&version=1.0.0"), image)
            .await;
        assert_eq!(published.status, 201, "{published:?}");
    }
    tree.into_iter()
        .map(|(place, _, image)| (place, image))
        .collect()
}

fn check_body(name: &str, recording: &Recording, answer: &RawAnswer, image: Option<&[u8]>) {
    let Some(image) = image else {
        if answer.status == 200 {
            assert_eq!(answer.length(), Some(0), "{name}: {answer:?}");
        }
        return;
    };
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream"),
        "{name}"
    );
    assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{name}");
    assert_eq!(
        answer.header("x-md5"),
        Some(md5_hex(image).as_str()),
        "{name}"
    );
    assert_eq!(answer.header("x-version"), Some("1.0.0"), "{name}");
    if recording.request.starts_with(b"HEAD") {
        assert_eq!(answer.length(), Some(image.len()), "{name}");
    } else if answer.status == 206 {
        assert_eq!(answer.body, image[..16], "{name}");
        assert_eq!(
            answer.header("content-range"),
            Some(format!("bytes 0-15/{}", image.len()).as_str()),
            "{name}"
        );
    } else {
        assert_eq!(answer.body, image, "{name}");
    }
    for (header, _) in &recording.headers {
        let kept = [
            "Accept-Ranges",
            "Content-Type",
            "Content-Length",
            "Content-Range",
            "ETag",
            "Cache-Control",
            "Date",
        ];
        if kept.contains(&header.as_str()) && answer.status == recording.status {
            assert!(
                answer.header(header).is_some(),
                "{name}: {header} is missing"
            );
        }
    }
}

/// Unlike the reference, which keeps such sockets for six seconds.
fn check_connection(name: &str, request: &str, answer: &RawAnswer) {
    let asks_to_close = request.contains("HTTP/1.0\r\n") || request.contains("Connection: close");
    assert_eq!(answer.closed, asks_to_close, "{name}: {answer:?}");
    assert!(answer.version.starts_with("HTTP/1."), "{name}");
    assert_eq!(answer.header("transfer-encoding"), None, "{name}");
}
