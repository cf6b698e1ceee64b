//! What a device asks and tells: byte for byte as the C library where that is right, and otherwise as it should be.

use airlift_formats::aws::{
    Buffer, BufferTooSmall, Fault, Text,
    jobs::{Describe, Detail, GetPending, Piece, StartNext, Status, StepTimeout, Update},
};
use proptest::{collection::vec, option, prelude::*};

use crate::golden;

/// A file of the folder, and what becomes of it here.
enum Line {
    /// Written byte for byte.
    Same(&'static str, Update<'static>),
    /// Cannot be said, or is said otherwise: why.
    Other(&'static str, &'static str),
    /// Of the streams: see `stream_requests`.
    Stream(&'static str),
}

use Line::{Other, Same, Stream};

const fn update(
    status: Status,
    version: Option<u32>,
    details: &'static [Detail<'static>],
) -> Update<'static> {
    let mut update = Update::new(status);
    update.expected_version = version;
    update.details = details;
    update
}

const SELF_TEST: &[Detail<'_>] = &[
    Detail {
        name: "self_test",
        value: &[Piece::Text("ready")],
    },
    Detail {
        name: "updatedBy",
        value: &[Piece::Text("0x10000")],
    },
];
const REASON: &[Detail<'_>] = &[Detail {
    name: "reason",
    value: &[Piece::Text("0x0e3"), Piece::Text(": "), Piece::Hex(1)],
}];

#[rustfmt::skip]
const TABLE: &[Line] = &[
    Other("start_next_token_quote.json", "a quote is escaped, so that it is JSON"),
    Other("start_next_small.json", "nothing is written into a buffer that is too small"),
    // A device does not put a job back; the C library can say it, and a service refuses it.
    Same("update_queued.json", update(Status::Queued, None, &[])),
    Same("update_in_progress.json", update(Status::InProgress, None, &[])),
    Same("update_failed.json", update(Status::Failed, None, &[])),
    Same("update_succeeded.json", update(Status::Succeeded, None, &[])),
    Same("update_succeeded_v2.json", update(Status::Succeeded, Some(2), &[])),
    Same("update_self_test_ready.json", update(Status::InProgress, Some(2), SELF_TEST)),
    Same("update_failed_details.json", update(Status::Failed, None, REASON)),
    Other("update_details_array.json", "details are names and values, nothing else can be said"),
    Other("update_details_bad.json", "details are names and values, nothing else can be said"),
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
            Same(name, _) | Other(name, _) | Stream(name) => *name,
        })
        .collect();
    golden::assert_complete("requests", &names);
    for line in TABLE {
        match line {
            Same(name, update) => {
                let message = golden::read(&format!("requests/{name}"));
                let ours = text(|sink| update.emit(sink).unwrap());
                assert_eq!(ours.as_bytes(), message, "{name}");
            }
            Other(_, why) => assert!(!why.is_empty()),
            Stream(_) => {}
        }
    }
}

#[test]
fn what_the_c_library_gets_wrong_is_right() {
    let start = |token| StartNext {
        token: Some(Text::from(token)),
        ..StartNext::default()
    };
    let quoted = text(|sink| start("a\"b").emit(sink).unwrap());
    assert_eq!(quoted, r#"{"clientToken":"a\"b"}"#);
    assert_eq!(
        text(|sink| start("test").emit(sink).unwrap()),
        r#"{"clientToken":"test"}"#
    );

    let succeeded = update(Status::Succeeded, Some(2), &[]);
    for (len, fits) in [(44, true), (43, false)] {
        let mut place = [0; 44];
        let mut buffer = Buffer::new(&mut place[..len]);
        succeeded.emit(&mut buffer).unwrap();
        assert_eq!(
            buffer.finish().map(<[u8]>::len),
            if fits { Ok(44) } else { Err(BufferTooSmall) }
        );
    }
}

#[test]
fn every_field_is_written() {
    let update = Update {
        step_timeout: Some(StepTimeout::Minutes(15)),
        include_state: true,
        include_document: true,
        execution_number: Some(1),
        token: Some("t-1".into()),
        ..update(Status::Failed, Some(7), REASON)
    };
    assert_eq!(
        text(|sink| update.emit(sink).unwrap()),
        r#"{"status":"FAILED","expectedVersion":"7","statusDetails":{"reason":"0x0e3: 0x00000001"},"#.to_owned()
            + r#""stepTimeoutInMinutes":15,"includeJobExecutionState":true,"includeJobDocument":true,"executionNumber":1,"clientToken":"t-1"}"#
    );
    let start = StartNext {
        details: SELF_TEST,
        step_timeout: Some(StepTimeout::Cancel),
        token: None,
    };
    assert_eq!(
        text(|sink| start.emit(sink).unwrap()),
        r#"{"statusDetails":{"self_test":"ready","updatedBy":"0x10000"},"stepTimeoutInMinutes":-1}"#
    );
    let describe = Describe {
        execution_number: Some(3),
        without_document: true,
        token: Some("t".into()),
    };
    assert_eq!(
        text(|sink| describe.emit(sink).unwrap()),
        r#"{"executionNumber":3,"includeJobDocument":false,"clientToken":"t"}"#
    );
    assert_eq!(text(|sink| Describe::default().emit(sink).unwrap()), "{}");
    assert_eq!(text(|sink| GetPending::default().emit(sink).unwrap()), "{}");
}

#[test]
fn what_a_service_would_refuse_is_not_written() {
    let long = "x".repeat(1025);
    let token = "x".repeat(65);
    let plain = Update::new(Status::InProgress);
    let refused = |update: Update<'_>| {
        let error = update.emit(&mut Vec::new()).unwrap_err();
        (error.field, error.fault)
    };
    let detail = |name, pieces: &[Piece<'_>]| {
        refused(Update {
            details: &[Detail {
                name,
                value: pieces,
            }],
            ..plain
        })
    };
    let one = [Piece::Text("x")];
    assert_eq!(detail("", &one), ("statusDetails", Fault::Content));
    assert_eq!(detail("a b", &one), ("statusDetails", Fault::Content));
    assert_eq!(
        detail(&long[..129], &one),
        ("statusDetails", Fault::Content)
    );
    assert_eq!(detail("n", &[]), ("statusDetails", Fault::Length));
    assert_eq!(
        detail("n", &[Piece::Text(&long)]),
        ("statusDetails", Fault::Length)
    );
    assert_eq!(
        detail("n", &[Piece::Text("a\n")]),
        ("statusDetails", Fault::Content)
    );
    assert_eq!(
        refused(Update {
            token: Some(Text::from(&*token)),
            ..plain
        }),
        ("clientToken", Fault::Length)
    );
    for minutes in [0, 10_081] {
        let step_timeout = Some(StepTimeout::Minutes(minutes));
        assert_eq!(
            refused(Update {
                step_timeout,
                ..plain
            }),
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
        let pieces: Vec<_> = details.iter().map(|text| Piece::Text(text)).chain([Piece::Decimal(number), Piece::Hex(number)]).collect();
        let update = Update {
            expected_version: version,
            details: &[Detail { name: &name, value: &pieces }],
            token: token.as_deref().map(Text::from),
            ..Update::new(Status::InProgress)
        };
        let message = text(|sink| update.emit(sink).unwrap());
        let read: serde_json::Value = serde_json::from_str(&message).unwrap();
        prop_assert_eq!(read["status"].as_str(), Some("IN_PROGRESS"));
        prop_assert_eq!(read["expectedVersion"].as_str().map(str::to_owned), version.map(|version| version.to_string()));
        let value = format!("{}{number}{number:#010x}", details.concat());
        prop_assert_eq!(read["statusDetails"][&name].as_str(), Some(&*value));
        prop_assert_eq!(read["clientToken"].as_str(), token.as_deref());
    }
}
