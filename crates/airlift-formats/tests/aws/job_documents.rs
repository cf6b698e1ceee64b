//! A line for each job document that the C library was given: what Airlift says to it.

use airlift_formats::aws::{
    Format, Value,
    job_document::{AfrOta, File, Files, Protocol, Protocols, SignatureKind},
};
use proptest::{collection::vec, option, prelude::*, sample::Index};

use crate::golden;

#[derive(Debug, PartialEq)]
enum Verdict {
    /// All files are understood: so many.
    Is(usize),
    /// A document of another kind, or none at all: the next parser may look at it.
    Foreign,
    /// Refused: the field, and the word for what is wrong with it.
    Not(&'static str, &'static str),
}

use Verdict::{Foreign, Is, Not};

#[rustfmt::skip]
const TABLE: &[(&str, Verdict)] = &[
    ("ok_mqtt.json",             Is(1)),
    ("ok_mqtt_filetype.json",    Is(1)),
    ("ok_both_http.json",        Is(1)),
    ("ok_10files.json",          Is(10)),
    // The C library hands out file 0 first.
    ("bad_second_file.json",     Not("filesize", "missing")),
    // AWS sends numbers; a writer that sends text gets something else wrong, too.
    ("q_filesize_string.json",   Not("filesize", "wrong-type")),
    // The C library takes these for 4294967290 and 4294967295.
    ("q_filesize_2_32.json",     Not("filesize", "out-of-range")),
    ("q_filesize_mult.json",     Not("filesize", "out-of-range")),
    ("bad_filesize_huge.json",   Not("filesize", "out-of-range")),
    ("bad_filesize_neg.json",    Not("filesize", "out-of-range")),
    ("bad_filesize_null.json",   Not("filesize", "missing")),
    ("bad_filesize_empty.json",  Not("filesize", "wrong-type")),
    // The topics of streams have 0 to 255; the C library cuts these to 0.
    ("q_fileid_256.json",        Not("fileid", "out-of-range")),
    ("q_fileid_65536.json",      Not("fileid", "out-of-range")),
    ("bad_fileid_missing.json",  Not("fileid", "missing")),
    ("bad_certfile_missing.json", Not("certfile", "missing")),
    ("bad_filesize_missing.json", Not("filesize", "missing")),
    ("bad_sig_missing.json",     Not("sig-sha256-ecdsa", "missing")),
    ("bad_filetype_neg.json",    Not("fileType", "out-of-range")),
    ("q_filetype_string.json",   Not("fileType", "wrong-type")),
    // The escapes are taken away.
    ("q_escape.json",            Is(1)),
    ("bad_protocols_missing.json", Not("protocols", "missing")),
    ("q_protocols_string.json",  Not("protocols", "wrong-type")),
    ("bad_protocols_lower.json", Not("protocols", "not-allowed")),
    // Asked for as HTTP, which is not what is listed.
    ("q_proto_https.json",       Not("protocols", "not-allowed")),
    // Nobody can ask for no protocol. Asked for as HTTP.
    ("bad_proto_empty.json",     Not("protocols", "not-allowed")),
    ("bad_stream_missing.json",  Not("streamname", "missing")),
    ("bad_stream_empty.json",    Not("streamname", "wrong-length")),
    ("bad_http_url_missing.json", Not("update_data_url", "missing")),
    ("bad_http_url_empty.json",  Not("update_data_url", "wrong-length")),
    ("bad_files_empty.json",     Not("files", "wrong-length")),
    ("bad_files_missing.json",   Not("files", "missing")),
    ("bad_files_object.json",    Not("files", "wrong-type")),
    ("bad_custom.json",          Foreign),
    ("bad_case.json",            Foreign),
    ("bad_null.json",            Foreign),
    ("bad_empty_obj.json",       Foreign),
    ("bad_empty.json",           Not("", "truncated")),
    ("bad_array.json",           Not("", "wrong-type")),
    ("bad_trunc.json",           Not("", "truncated")),
    ("q_trailing_comma.json",    Not("", "syntax")),
    ("bad_bom.json",             Not("", "syntax")),
];

fn parse(document: &[u8], protocol: Protocol) -> Result<Option<AfrOta<'_, Files<'_>>>, Verdict> {
    Value::parse(Format::Json, document)
        .and_then(|document| AfrOta::parse(&document, protocol))
        .map_err(|error| Not(error.field, error.fault.token()))
}

#[test]
fn every_document_gets_the_verdict_of_the_table() {
    let names: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
    golden::assert_complete("jobdocs", &names);
    for ((name, verdict), vector) in TABLE.iter().zip(golden::index("jobdocs")) {
        let protocol = match vector["protocol"].as_str().unwrap() {
            "MQTT" => Protocol::Mqtt,
            _ => Protocol::Http,
        };
        let document = golden::read(&format!("jobdocs/{name}"));
        let parsed = parse(&document, protocol);
        let said = match &parsed {
            Ok(Some(update)) => Is(update.files.clone().count()),
            Ok(None) => Foreign,
            Err(Not(field, fault)) => Not(field, fault),
            Err(_) => unreachable!(),
        };
        assert_eq!(said, *verdict, "{name}");
        assert!(
            !name.starts_with("bad_") || !matches!(verdict, Is(_)),
            "{name}"
        );
        assert!(
            !name.starts_with("ok_") || matches!(verdict, Is(_)),
            "{name}"
        );
        // What both accept, both understand in the same way; the C library does not take escapes away.
        if let (Ok(Some(update)), true) = (parsed, vector["result"]["accepted"] == true) {
            let reference = vector["result"]["files"].as_array().unwrap();
            assert_eq!(reference.len(), update.files.clone().count(), "{name}");
            for (file, reference) in update.files.zip(reference) {
                assert_eq!(reference["fileSize"], file.size, "{name}");
                assert_eq!(reference["fileId"], file.id, "{name}");
                assert_eq!(
                    reference["fileType"].as_u64(),
                    file.file_type.map(u64::from),
                    "{name}"
                );
                assert_eq!(
                    reference["certfile"],
                    *file.certificate.to_string(),
                    "{name}"
                );
                assert_eq!(
                    reference["signature"],
                    *file.signature.to_string(),
                    "{name}"
                );
                assert_eq!(file.signature_kind, SignatureKind::Sha256Ecdsa);
                if *name == "q_escape.json" {
                    assert_eq!(file.path, "a\"b\\c/é");
                } else {
                    assert_eq!(reference["filepath"], *file.path.to_string(), "{name}");
                }
                let place = match protocol {
                    Protocol::Mqtt => update.stream.map(str::to_owned),
                    Protocol::Http => file.url.map(|url| url.to_string()),
                };
                assert_eq!(reference["imageRef"].as_str(), place.as_deref(), "{name}");
            }
        }
    }
}

#[test]
fn what_aws_makes_is_understood() {
    for name in ["jobdoc_nulls_mqtt.json", "jobdoc_nulls_http.json"] {
        let document = golden::read(&format!("aws_observed/{name}"));
        let update = parse(&document, Protocol::Mqtt).unwrap().unwrap();
        assert_eq!(update.stream, Some("AFR_OTA-some-stream-name"));
        let file = update.files.clone().next().unwrap();
        assert_eq!((file.url, file.auth_scheme), (None, None));
        assert_eq!(
            (file.size, file.path, file.certificate),
            (624_244, "NA".into(), "sss:00213243".into())
        );
        // And is written byte for byte.
        let mut again = Vec::new();
        update.emit(&mut again);
        assert_eq!(
            String::from_utf8(again).unwrap(),
            String::from_utf8(document).unwrap().trim_end(),
            "{name}"
        );
    }
    // The C library takes null for the URL "null".
    let document = golden::read("aws_observed/jobdoc_nulls_http.json");
    assert_eq!(
        parse(&document, Protocol::Http).unwrap_err(),
        Not("update_data_url", "missing")
    );
}

#[test]
fn every_kind_of_signature_is_taken_and_the_best_one_first() {
    let document = |signatures: &str| {
        format!(
            r#"{{"afr_ota":{{"protocols":["COAP","MQTT"],"streamname":"s","files":[{{"filepath":"","filesize":1,"fileid":0,"certfile":"",{signatures}}}]}}}}"#
        )
    };
    for (signatures, expected) in [
        (r#""sig-sha1-rsa":"a""#, (SignatureKind::Sha1Rsa, "a")),
        (r#""sig-sha1-ecdsa":"a""#, (SignatureKind::Sha1Ecdsa, "a")),
        (r#""sig-sha256-rsa":"a""#, (SignatureKind::Sha256Rsa, "a")),
        (
            r#""sig-sha1-rsa":"a","sig-sha256-ecdsa":"b""#,
            (SignatureKind::Sha256Ecdsa, "b"),
        ),
        (
            r#""sig-sha256-ecdsa":null,"sig-sha256-rsa":"c\/""#,
            (SignatureKind::Sha256Rsa, "c/"),
        ),
    ] {
        let document = document(signatures);
        let update = parse(document.as_bytes(), Protocol::Mqtt).unwrap().unwrap();
        assert_eq!(
            update.protocols,
            Protocols {
                mqtt: true,
                http: false
            }
        );
        let file = update.files.clone().next().unwrap();
        assert_eq!(
            (file.signature_kind, &*file.signature.to_string()),
            expected
        );
    }
    for (signatures, fault) in [
        (r#""sig-sha256-ecdsa":{}"#, "wrong-type"),
        (r#""sig-sha256-ecdsa":"a","sig-sha1-rsa":1"#, "wrong-type"),
        (
            r#""sig-sha256-ecdsa":"a","sig-sha256-ecdsa":"b""#,
            "duplicate",
        ),
        (r#""sig-md5-rsa":"a""#, "missing"),
    ] {
        let document = document(signatures);
        let Err(Not(_, said)) = parse(document.as_bytes(), Protocol::Mqtt) else {
            panic!("{signatures}");
        };
        assert_eq!(said, fault, "{signatures}");
    }
}

#[test]
fn two_files_with_one_number_and_too_many_files_are_refused() {
    let document = |ids: &[u32]| {
        let files: Vec<_> = ids
            .iter()
            .map(|id| format!(r#"{{"filepath":"f","filesize":1,"fileid":{id},"certfile":"c","sig-sha256-ecdsa":"s"}}"#))
            .collect();
        format!(
            r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"s","files":[{}]}}}}"#,
            files.join(",")
        )
    };
    let all: Vec<u32> = (100..150).collect();
    for (ids, verdict) in [
        (&[0, 255, 7][..], Is(3)),
        (&[0, 255, 0], Not("fileid", "duplicate")),
        (&[9, 8, 8], Not("fileid", "duplicate")),
        (&all, Is(50)),
        (&[&all[..], &[0]].concat(), Not("files", "wrong-length")),
    ] {
        let document = document(ids);
        let said = match parse(document.as_bytes(), Protocol::Mqtt) {
            Ok(update) => Is(update.unwrap().files.count()),
            Err(verdict) => verdict,
        };
        assert_eq!(said, verdict, "{ids:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        mqtt in any::<bool>(), http in any::<bool>(), stream in option::of("[A-Za-z0-9_-]{1,128}"),
        files in vec((1..=u32::MAX, "[a-z\"/é]{0,9}", option::of(any::<u8>()), option::of("[a-z:/?]{1,20}"), 0..4_usize), 1..5),
        damages in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        const KINDS: [SignatureKind; 4] =
            [SignatureKind::Sha256Ecdsa, SignatureKind::Sha256Rsa, SignatureKind::Sha1Ecdsa, SignatureKind::Sha1Rsa];
        let files: Vec<File<'_>> = files.iter().zip(10..).map(|((size, text, file_type, url, kind), id)| File {
            id,
            size: *size,
            path: text.as_str().into(),
            certificate: text.as_str().into(),
            file_type: *file_type,
            url: url.as_deref().map(Into::into),
            auth_scheme: url.as_deref().map(Into::into),
            signature: text.as_str().into(),
            signature_kind: KINDS[*kind],
        }).collect();
        let document = AfrOta { protocols: Protocols { mqtt, http }, stream: stream.as_deref(), files: files.iter().copied() };
        let mut text = Vec::new();
        document.emit(&mut text);
        for (protocol, there) in [
            (Protocol::Mqtt, mqtt && stream.is_some()),
            (Protocol::Http, http && files.iter().all(|file| file.url.is_some())),
        ] {
            match parse(&text, protocol) {
                Ok(read) => {
                    let read = read.unwrap();
                    prop_assert!(there);
                    prop_assert_eq!((read.protocols, read.stream), (document.protocols, document.stream));
                    prop_assert_eq!(read.files.collect::<Vec<_>>(), files.clone());
                }
                Err(_) => prop_assert!(!there),
            }
        }
        let mut damaged = text.clone();
        for (place, byte) in damages {
            let place = place.index(damaged.len());
            damaged[place] = byte;
            for document in [&damaged[..], &damaged[..place]] {
                if let Ok(Some(update)) = parse(document, Protocol::Mqtt) {
                    prop_assert!(update.stream.is_some());
                    prop_assert!(update.files.clone().all(|file| file.size > 0));
                }
            }
        }
    }
}
