use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, fs, vec};

use proptest::prelude::*;

use super::*;

fn lotus() -> Request<'static> {
    Request {
        method: Method::Get,
        target: Target {
            prefix: "/ota_update",
            organization: "dev",
            project: "lotus",
            node: "esp32-6c5e0e",
            key: "sht30_d1_mini",
        },
        host: "127.0.0.1:18080",
        facts: Facts {
            base_mac: Some([0x24, 0x0a, 0xc4, 0x6c, 0x5e, 0x0e]),
            sta_mac: Some([0x24, 0x0a, 0xc4, 0x6c, 0x5e, 0x0e]),
            ap_mac: Some([0x24, 0x0a, 0xc4, 0x6c, 0x5e, 0x0f]),
            free_space: 1_966_080,
            sketch_size: 1_006_448,
            sketch_md5: Some([0xab; 16]),
            sketch_sha256: Some([0xcd; 32]),
            chip_size: 4_194_304,
            sdk_version: "v5.3.2",
            mode: Mode::Sketch,
            version: Some("1.0.0"),
        },
        resume: None,
        partition: None,
        report: None,
    }
}

fn encoded(request: &Request<'_>) -> Result<String, EncodeError> {
    let mut buffer = [0; USUAL_REQUEST_LEN];
    request
        .encode(&mut buffer)
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// The lines behind the facts, without the empty one at the end.
fn extra_lines(request: &Request<'_>) -> Vec<String> {
    encoded(request)
        .unwrap()
        .trim_end_matches("\r\n")
        .split("\r\n")
        .skip_while(|line| !line.starts_with("x-ESP32-version"))
        .skip(1)
        .map(ToString::to_string)
        .collect()
}

/// Reads a recorded request back into the parts that make it.
fn parts_of(recorded: &str) -> Request<'_> {
    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let hex: String = hex.chars().filter(|c| *c != ':').collect();
        let bytes: Vec<u8> = (0..N)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        bytes.try_into().unwrap()
    }
    let value = |name: &str| {
        recorded
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let path = recorded.split(' ').nth(1).unwrap();
    let [prefix, organization, project, node, key] = path[1..].split('/').collect::<Vec<_>>()[..]
        .try_into()
        .unwrap();
    Request {
        method: Method::Get,
        target: Target {
            prefix: &path[..=prefix.len()],
            organization,
            project,
            node,
            key,
        },
        host: value("Host").unwrap(),
        facts: Facts {
            base_mac: value("x-ESP32-BASE-MAC").map(bytes),
            sta_mac: value("x-ESP32-STA-MAC").map(bytes),
            ap_mac: value("x-ESP32-AP-MAC").map(bytes),
            free_space: value("x-ESP32-free-space").unwrap().parse().unwrap(),
            sketch_size: value("x-ESP32-sketch-size").unwrap().parse().unwrap(),
            sketch_md5: value("x-ESP32-sketch-md5").map(bytes),
            sketch_sha256: value("x-ESP32-sketch-sha256").map(bytes),
            chip_size: value("x-ESP32-chip-size").unwrap().parse().unwrap(),
            sdk_version: value("x-ESP32-sdk-version").unwrap(),
            mode: match value("x-ESP32-mode").unwrap() {
                "sketch" => Mode::Sketch,
                "spiffs" => Mode::Spiffs,
                other => panic!("unknown mode {other}"),
            },
            version: value("x-ESP32-version"),
        },
        resume: None,
        partition: None,
        report: None,
    }
}

#[test]
fn requests_equal_those_recorded_from_the_arduino_client() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp-http"
    );
    let mut compared = 0;
    for entry in
        fs::read_dir(folder).unwrap_or_else(|e| panic!("golden vectors needed in {folder}: {e}"))
    {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        let Some((_, rest)) = text.split_once("CRLF line ends)\n") else {
            continue;
        };
        let request = rest.split("###").next().unwrap().trim_end();
        // Only clean paths: the others are what no device sends.
        if !request.contains("User-Agent: ESP32-http-Update")
            || request.split(' ').nth(1).unwrap().matches('/').count() != 5
        {
            continue;
        }
        // The recording may hold either kind of line end.
        let wanted = format!(
            "{}\r\n\r\n",
            request.lines().collect::<Vec<_>>().join("\r\n")
        );
        assert_eq!(encoded(&parts_of(request)).unwrap(), wanted);
        compared += 1;
    }
    assert!(compared >= 2, "only {compared} recorded ESP32 requests");
}

#[test]
fn facts_that_an_older_core_does_not_send_are_left_out() {
    let mut request = lotus();
    request.facts.base_mac = None;
    request.facts.sta_mac = None;
    request.facts.ap_mac = None;
    request.facts.sketch_md5 = None;
    request.facts.sketch_sha256 = None;
    request.facts.version = None;
    assert_eq!(
        encoded(&request).unwrap(),
        "GET /ota_update/dev/lotus/esp32-6c5e0e/sht30_d1_mini HTTP/1.0\r\n\
         Host: 127.0.0.1:18080\r\n\
         User-Agent: ESP32-http-Update\r\n\
         Connection: close\r\n\
         Cache-Control: no-cache\r\n\
         x-ESP32-free-space: 1966080\r\n\
         x-ESP32-sketch-size: 1006448\r\n\
         x-ESP32-chip-size: 4194304\r\n\
         x-ESP32-sdk-version: v5.3.2\r\n\
         x-ESP32-mode: sketch\r\n\r\n"
    );
}

#[test]
fn a_resumed_download_asks_for_the_rest_of_the_same_bytes() {
    let mut request = lotus();
    request.resume = Some(Resume {
        offset: 4_294_967_295,
        etag: "\"5f-a/b\"",
    });
    assert_eq!(
        extra_lines(&request),
        ["Range: bytes=4294967295-", "If-Range: \"5f-a/b\""]
    );
}

#[test]
fn a_check_without_the_image_differs_in_nothing_but_the_method() {
    let mut request = lotus();
    let get = encoded(&request).unwrap();
    request.method = Method::Head;
    assert_eq!(encoded(&request).unwrap(), get.replacen("GET", "HEAD", 1));
}

#[test]
fn a_report_comes_last_with_what_is_known() {
    let mut request = lotus();
    request.report = Some(Report {
        state: State::Refused,
        sha256: Some([0x0f; 32]),
        version: Some("2.0.0"),
        reason: Some("digest-mismatch"),
    });
    assert_eq!(
        extra_lines(&request),
        [format!(
            "x-Airlift-Update: state=refused; sha256={}; version=2.0.0; reason=digest-mismatch",
            "0f".repeat(32)
        )]
    );
    for (state, word) in [
        (State::Confirmed, "confirmed"),
        (State::RolledBack, "rolled-back"),
        (State::Failed, "failed"),
        (State::Interrupted, "interrupted"),
    ] {
        request.report = Some(Report {
            state,
            sha256: None,
            version: None,
            reason: None,
        });
        assert_eq!(
            extra_lines(&request),
            [format!("x-Airlift-Update: state={word}")]
        );
    }
}

#[test]
fn a_partition_is_named_in_front_of_the_report() {
    let mut request = lotus();
    request.partition = Some(PartitionFacts {
        name: "storage",
        sha256: Some([0x0f; 32]),
        version: Some("1.2.0"),
    });
    request.report = Some(Report {
        state: State::Confirmed,
        sha256: None,
        version: None,
        reason: None,
    });
    assert_eq!(
        extra_lines(&request),
        [
            format!(
                "x-Airlift-Partition: name=storage; sha256={}; version=1.2.0",
                "0f".repeat(32)
            ),
            "x-Airlift-Update: state=confirmed".to_string(),
        ]
    );
    request.report = None;
    request.partition = Some(PartitionFacts {
        name: "0123456789abcdef",
        sha256: None,
        version: None,
    });
    assert_eq!(
        extra_lines(&request),
        ["x-Airlift-Partition: name=0123456789abcdef"]
    );
}

#[test]
fn texts_that_could_break_out_of_their_place_are_refused_by_name() {
    type Set = fn(&mut Request<'static>, &'static str);
    let segments: [(Part, Set); 4] = [
        (Part::Organization, |r, s| r.target.organization = s),
        (Part::Project, |r, s| r.target.project = s),
        (Part::Node, |r, s| r.target.node = s),
        (Part::Key, |r, s| r.target.key = s),
    ];
    let mut cases: Vec<(Part, Set, Vec<&'static str>)> = segments
        .into_iter()
        .map(|(part, set)| {
            let bad = vec![
                "", ".", "..", "a/b", "a b", "a\r\nb", "a%2fb", "a?b", "a\0b", "ü",
            ];
            (part, set, bad)
        })
        .collect();
    let lines = vec![
        "",
        "1\r\nx: y",
        "1\n",
        "1\r",
        " 1",
        "1 ",
        "1\0",
        "1\u{7f}",
        "é",
    ];
    cases.push((
        Part::Prefix,
        |r, s| r.target.prefix = s,
        vec!["ota", "/", "/a/", "/a//b", "/..", "/a b", "/a\r\n"],
    ));
    cases.push((
        Part::Host,
        |r, s| r.host = s,
        vec!["", "a\r\nb", "a b", "a/b", "u@h"],
    ));
    cases.push((
        Part::SdkVersion,
        |r, s| r.facts.sdk_version = s,
        lines.clone(),
    ));
    cases.push((
        Part::Version,
        |r, s| r.facts.version = Some(s),
        lines.clone(),
    ));
    cases.push((
        Part::Etag,
        |r, s| r.resume = Some(Resume { offset: 1, etag: s }),
        vec![
            "",
            "\"",
            "abc",
            "W/\"a\"",
            "\"a\"b\"",
            "\"a\r\nb\"",
            "\"a b\"",
        ],
    ));
    let fields = vec!["", "a;b", "a b", "a,b", "a=b", "a\"b", "a\r\nb", "é"];
    let mut names = fields.clone();
    names.extend([".", "..", "a/b", "a~b", "0123456789abcdefg"]);
    cases.push((
        Part::PartitionName,
        |r, s| {
            r.partition = Some(PartitionFacts {
                name: s,
                sha256: None,
                version: None,
            });
        },
        names,
    ));
    cases.push((
        Part::PartitionVersion,
        |r, s| {
            r.partition = Some(PartitionFacts {
                name: "storage",
                sha256: None,
                version: Some(s),
            });
        },
        fields.clone(),
    ));
    cases.push((
        Part::ReportVersion,
        |r, s| {
            r.report = Some(Report {
                state: State::Failed,
                sha256: None,
                version: Some(s),
                reason: None,
            });
        },
        fields.clone(),
    ));
    cases.push((
        Part::ReportReason,
        |r, s| {
            r.report = Some(Report {
                state: State::Failed,
                sha256: None,
                version: None,
                reason: Some(s),
            });
        },
        fields,
    ));
    for (part, set, bad) in cases {
        for text in bad {
            let mut request = lotus();
            set(&mut request, text);
            assert_eq!(
                encoded(&request),
                Err(EncodeError::Invalid(part)),
                "{part:?} {text:?}"
            );
        }
    }
}

#[test]
fn a_buffer_one_byte_too_small_is_refused_and_the_exact_size_is_enough() {
    let request = lotus();
    let len = encoded(&request).unwrap().len();
    for size in 0..len {
        let mut buffer = vec![0; size];
        assert_eq!(
            request.encode(&mut buffer),
            Err(EncodeError::BufferTooSmall)
        );
    }
    assert_eq!(request.encode(&mut vec![0; len]).unwrap().len(), len);
}

#[test]
fn the_usual_buffer_holds_a_request_with_everything_in_it() {
    let text = "v".repeat(64);
    let etag = format!("\"{}\"", "e".repeat(62));
    let mut request = lotus();
    request.target.organization = &text;
    request.target.project = &text;
    request.target.node = &text;
    request.target.key = &text;
    request.host = &text;
    request.facts.sdk_version = &text;
    request.facts.version = Some(&text);
    request.resume = Some(Resume {
        offset: u32::MAX,
        etag: &etag,
    });
    request.partition = Some(PartitionFacts {
        name: "0123456789abcdef",
        sha256: Some([1; 32]),
        version: Some(&text),
    });
    request.report = Some(Report {
        state: State::RolledBack,
        sha256: Some([1; 32]),
        version: Some(&text),
        reason: Some(&text),
    });
    assert!(encoded(&request).is_ok());
}

proptest! {
    /// Whatever the texts are, a request that is built has exactly the lines that it should have.
    #[test]
    fn no_text_adds_a_line(texts in prop::collection::vec("[a-z0-9.]{1,8}|[a-z]{1,3}[\\r\\n :;/]{0,1}[a-z]{0,3}|\\PC{1,3}", 10), offset: u32) {
        let mut request = lotus();
        request.target.node = &texts[0];
        request.target.key = &texts[1];
        request.host = &texts[2];
        request.facts.sdk_version = &texts[3];
        request.facts.version = Some(&texts[4]);
        request.resume = Some(Resume { offset, etag: &texts[5] });
        request.report = Some(Report {
            state: State::Confirmed,
            sha256: None,
            version: Some(&texts[6]),
            reason: Some(&texts[7]),
        });
        request.partition = Some(PartitionFacts { name: &texts[8], sha256: None, version: Some(&texts[9]) });
        if let Ok(text) = encoded(&request) {
            prop_assert_eq!(text.matches('\n').count(), 21);
            prop_assert_eq!(text.matches('\r').count(), 21);
            prop_assert_eq!(text.lines().next().unwrap().split(' ').count(), 3);
        }
    }
}
