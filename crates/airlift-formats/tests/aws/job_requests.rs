//! What a device asks and tells: byte for byte as the C library where that is right, and otherwise as it should be.

use airlift_formats::aws::{
    Buffer, BufferTooSmall, Fault,
    jobs::{Details, Request, Status, StepTimeout},
};
use proptest::{collection::vec, option, prelude::*};

use crate::golden;

/// A file of the folder, and what becomes of it here.
enum Line {
    /// Written byte for byte: status, version, details.
    Same(&'static str, Status, Option<u32>, Describing),
    /// Cannot be said, or is said otherwise: why.
    Other(&'static str, &'static str),
    /// Of the streams: see `stream_requests`.
    Stream(&'static str),
}

type Describing = fn(&mut Details<'_, '_, Vec<u8>>);

use Line::{Other, Same, Stream};

const NOTHING: Describing = |_| {};

fn self_test(details: &mut Details<'_, '_, Vec<u8>>) {
    details.detail("self_test").text("ready");
    details.detail("updatedBy").text("0x10000");
}

fn reason(details: &mut Details<'_, '_, Vec<u8>>) {
    details.detail("reason").text("0x0e3").text(": ").hex(1);
}

#[rustfmt::skip]
const TABLE: &[Line] = &[
    Other("start_next_token_quote.json", "a quote is escaped, so that it is JSON"),
    Other("start_next_small.json", "nothing is written into a buffer that is too small"),
    // A device does not put a job back; the C library can say it, and a service refuses it.
    Same("update_queued.json", Status::Queued, None, NOTHING),
    Same("update_in_progress.json", Status::InProgress, None, NOTHING),
    Same("update_failed.json", Status::Failed, None, NOTHING),
    Same("update_succeeded.json", Status::Succeeded, None, NOTHING),
    Same("update_succeeded_v2.json", Status::Succeeded, Some(2), NOTHING),
    Same("update_self_test_ready.json", Status::InProgress, Some(2), self_test),
    Same("update_failed_details.json", Status::Failed, None, reason),
    Other("update_details_array.json", "details are names and texts, nothing else can be said"),
    Other("update_details_bad.json", "details are names and texts, nothing else can be said"),
    Other("update_small.json", "nothing is written into a buffer that is too small"),
    Stream("get_f0_l256_o0_n1.json"),
    Stream("get_f1_l1024_o7_n1.cbor"),
    Stream("get_f255_l4096_o255_n1.json"),
    Stream("get_f0_l131072_o0_n1.cbor"),
    Stream("get_f0_l4096_o65535_n1.cbor"),
    Stream("get_f0_l4096_o0_n4.cbor"),
    Stream("get_f0_l4096_o0_n31.cbor"),
    Stream("get_f0_l4096_o0_n98304.cbor"),
    Stream("get_f0_l4096_o0_n98304.json"),
    Stream("get_f65535_l4294967295_o65535_n4294967295.cbor"),
    Stream("get_f65535_l4294967295_o65535_n4294967295.json"),
    Stream("get_f0_l0_o0_n0.json"),
    Stream("enc_agent_bitmap_holes.cbor"),
    Stream("enc_token65.cbor"),
];

fn update(status: Status, version: Option<u32>) -> Request<'static> {
    Request {
        expected_version: version,
        ..Request::update(status)
    }
}

fn text(emit: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut message = Vec::new();
    emit(&mut message);
    String::from_utf8(message).unwrap()
}

#[test]
fn every_request_of_the_c_library_has_its_line() {
    let names: Vec<_> = TABLE
        .iter()
        .map(|line| match line {
            Same(name, ..) | Other(name, _) | Stream(name) => *name,
        })
        .collect();
    golden::assert_complete("requests", &names);
    for line in TABLE {
        match line {
            Same(name, status, version, details) => {
                let message = golden::read(&format!("requests/{name}"));
                let update = update(*status, *version);
                let ours = text(|sink| update.emit(sink, details).unwrap());
                assert_eq!(ours.as_bytes(), message, "{name}");
            }
            Other(_, why) => assert!(!why.is_empty()),
            Stream(_) => {}
        }
    }
}

#[test]
fn what_the_c_library_gets_wrong_is_right() {
    let start = |token| {
        let request = Request {
            token: Some(token),
            ..Request::default()
        };
        text(|sink| request.emit(sink, NOTHING).unwrap())
    };
    assert_eq!(start("a\"b"), r#"{"clientToken":"a\"b"}"#);
    assert_eq!(start("test"), r#"{"clientToken":"test"}"#);

    let succeeded = update(Status::Succeeded, Some(2));
    for (len, fits) in [(44, true), (43, false)] {
        let mut place = [0; 44];
        let mut buffer = Buffer::new(&mut place[..len]);
        succeeded.emit(&mut buffer, |_| {}).unwrap();
        assert_eq!(
            buffer.finish().map(<[u8]>::len),
            if fits { Ok(44) } else { Err(BufferTooSmall) }
        );
    }
}

#[test]
fn every_field_is_written() {
    let update = Request {
        step_timeout: Some(StepTimeout::Minutes(15)),
        include_state: Some(true),
        include_document: Some(true),
        execution_number: Some(1),
        token: Some("t-1"),
        ..update(Status::Failed, Some(7))
    };
    assert_eq!(
        text(|sink| update.emit(sink, reason).unwrap()),
        r#"{"status":"FAILED","expectedVersion":"7","statusDetails":{"reason":"0x0e3: 0x00000001"},"#.to_owned()
            + r#""stepTimeoutInMinutes":15,"includeJobExecutionState":true,"includeJobDocument":true,"executionNumber":1,"clientToken":"t-1"}"#
    );
    let start = Request {
        step_timeout: Some(StepTimeout::Cancel),
        ..Request::default()
    };
    let describe = Request {
        execution_number: Some(3),
        include_document: Some(false),
        token: Some("t"),
        ..Request::default()
    };
    for (request, expected) in [
        (start, r#"{"stepTimeoutInMinutes":-1}"#),
        (
            describe,
            r#"{"includeJobDocument":false,"executionNumber":3,"clientToken":"t"}"#,
        ),
        (Request::default(), "{}"),
    ] {
        assert_eq!(text(|sink| request.emit(sink, NOTHING).unwrap()), expected);
    }
}

#[test]
fn what_a_service_would_refuse_is_not_written() {
    let long = "x".repeat(1025);
    let token = "x".repeat(65);
    let plain = Request::update(Status::InProgress);
    let refused = |update: Request<'_>, details: &[(&str, &str)]| {
        let emitted = update.emit(&mut Vec::new(), |sink| {
            for (name, text) in details {
                sink.detail(name).text(text);
            }
        });
        let error = emitted.unwrap_err();
        (error.field, error.fault)
    };
    for (name, value, fault) in [
        ("", "x", Fault::Content),
        ("a b", "x", Fault::Content),
        (&long[..129], "x", Fault::Content),
        ("n", "", Fault::Length),
        ("n", &long, Fault::Length),
        ("n", "a\n", Fault::Content),
    ] {
        for details in [&[(name, value)][..], &[(name, value), ("n", "x")]] {
            assert_eq!(refused(plain, details), ("statusDetails", fault), "{name}");
        }
    }
    assert_eq!(
        refused(
            Request {
                token: Some(&token),
                ..plain
            },
            &[]
        ),
        ("clientToken", Fault::Length)
    );
    for minutes in [0, 10_081] {
        let step_timeout = Some(StepTimeout::Minutes(minutes));
        assert_eq!(
            refused(
                Request {
                    step_timeout,
                    ..plain
                },
                &[]
            ),
            ("stepTimeoutInMinutes", Fault::Range)
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_json_with_the_same_in_it(
        version in option::of(any::<u32>()), name in "[A-Za-z0-9:_-]{1,20}", number in any::<u32>(),
        details in vec("[ -~é😀]{1,10}", 0..4), token in option::of("[a-z\"\\\\\u{7f}é]{0,20}"),
    ) {
        let update = Request {
            expected_version: version,
            token: token.as_deref(),
            ..Request::update(Status::InProgress)
        };
        let message = text(|sink| update.emit(sink, |sink| {
            let detail = sink.detail(&name);
            for text in &details {
                detail.text(text);
            }
            detail.number(number).hex(number);
        }).unwrap());
        let read: serde_json::Value = serde_json::from_str(&message).unwrap();
        prop_assert_eq!(read["status"].as_str(), Some("IN_PROGRESS"));
        prop_assert_eq!(read["expectedVersion"].as_str().map(str::to_owned), version.map(|version| version.to_string()));
        let value = format!("{}{number}{number:#010x}", details.concat());
        prop_assert_eq!(read["statusDetails"][&name].as_str(), Some(&*value));
        prop_assert_eq!(read["clientToken"].as_str(), token.as_deref());
    }
}
