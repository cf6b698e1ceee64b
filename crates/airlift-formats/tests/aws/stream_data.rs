//! A line for each data message that the C library was given: what Airlift says to it.

use airlift_formats::aws::{
    Format, Text,
    base64::{self, Base64Error},
    streams::{Data, ErrorCode, Rejected},
};

use crate::golden;

/// What is said to a message.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Understood: file, block, length as it is said, bytes of the payload.
    Is(u32, u32, u32, usize),
    /// The message is refused: the field, and the word for what is wrong with it.
    Not(&'static str, &'static str),
    /// The message is understood, its payload is refused.
    Payload(Base64Error),
}

use Verdict::{Is, Not, Payload};

/// Every file, in the order of the index. The block size of the C library that gave the verdicts is 4096.
#[rustfmt::skip]
const CBOR: &[(&str, Verdict)] = &[
    ("ok_client_token.cbor",    Is(0, 0, 4096, 4096)),
    ("ok_order_plif.cbor",      Is(0, 0, 4096, 4096)),
    // Whoever writes blocks refuses it: no file has such a one.
    ("ok_empty_payload.cbor",   Is(0, 0, 0, 0)),
    ("ok_i65535.cbor",          Is(0, 65535, 1000, 1000)),
    ("ok_indef_map.cbor",       Is(0, 0, 1000, 1000)),
    ("ok_nonminimal_ints.cbor", Is(0, 5, 1000, 1000)),
    // A member that is not known may have a name of any type.
    ("q_int_key_first.cbor",    Is(0, 0, 1000, 1000)),
    ("q_trailing.cbor",         Not("", "trailing-bytes")),
    ("q_dup_f.cbor",            Not("f", "duplicate")),
    // The C library cuts these numbers to 32 bits, and takes the block for another one.
    ("q_f_neg.cbor",            Not("f", "out-of-range")),
    ("q_i_2_32.cbor",           Not("i", "out-of-range")),
    ("q_i_neg_2_64.cbor",       Not("i", "out-of-range")),
    ("bad_payload_4097.cbor",   Payload(Base64Error::TooLong)),
    ("bad_payload_text.cbor",   Not("p", "wrong-type")),
    ("bad_missing_f.cbor",      Not("f", "missing")),
    ("bad_missing_l.cbor",      Not("l", "missing")),
    ("bad_text_i.cbor",         Not("i", "wrong-type")),
    ("bad_float_i.cbor",        Not("i", "wrong-type")),
    ("bad_tagged_i.cbor",       Not("i", "wrong-type")),
    // Null is as good as nothing.
    ("bad_null_p.cbor",         Not("p", "missing")),
    ("bad_uppercase.cbor",      Not("p", "missing")),
    ("bad_empty.cbor",          Not("", "truncated")),
    ("bad_empty_map.cbor",      Not("p", "missing")),
    ("bad_reserved.cbor",       Not("", "syntax")),
    ("bad_rejected_shape.cbor", Not("p", "missing")),
    ("bad_map_len_long.cbor",   Not("", "truncated")),
    ("bad_map_len_short.cbor",  Not("", "trailing-bytes")),
    ("bad_map_huge.cbor",       Not("", "truncated")),
    ("bad_bytes_huge.cbor",     Not("", "truncated")),
    ("bad_nested_2000.cbor",    Not("", "too-deep")),
    ("bad_trunc_01.cbor",       Not("", "truncated")),
    ("bad_trunc_02.cbor",       Not("", "truncated")),
    ("bad_trunc_03.cbor",       Not("", "truncated")),
    ("bad_trunc_04.cbor",       Not("", "truncated")),
    ("bad_trunc_05.cbor",       Not("", "truncated")),
    ("bad_trunc_06.cbor",       Not("", "truncated")),
    ("bad_trunc_07.cbor",       Not("", "truncated")),
    ("bad_trunc_08.cbor",       Not("", "truncated")),
    ("bad_trunc_09.cbor",       Not("", "truncated")),
    ("bad_trunc_10.cbor",       Not("", "truncated")),
    ("bad_trunc_11.cbor",       Not("", "truncated")),
    ("bad_trunc_12.cbor",       Not("", "truncated")),
    ("bad_trunc_15.cbor",       Not("", "truncated")),
    ("bad_trunc_16.cbor",       Not("", "truncated")),
    ("bad_trunc_19.cbor",       Not("", "truncated")),
    ("bad_trunc_20.cbor",       Not("", "truncated")),
    ("bad_trunc_21.cbor",       Not("", "truncated")),
];

#[rustfmt::skip]
const JSON: &[(&str, Verdict)] = &[
    ("ok_full.json",             Is(0, 0, 4096, 4096)),
    ("ok_short.json",            Is(0, 0, 1000, 1000)),
    ("ok_token.json",            Is(0, 0, 1000, 1000)),
    // The length is not that of the payload: refused by whoever writes blocks.
    ("ok_string_numbers.json",   Is(12, 1, 512, 4)),
    ("ok_ws.json",               Is(0, 2, 3, 3)),
    ("q_b64_unpadded.json",      Is(0, 0, 1, 1)),
    // A line break in a string is no JSON; as an escape it would be passed over.
    ("q_b64_newline.json",       Not("", "syntax")),
    // Legal JSON, which the C library does not read.
    ("q_b64_escaped_slash.json", Is(0, 0, 3, 3)),
    ("q_b64_trailing_ws.json",   Is(0, 0, 3, 3)),
    ("ok_extra.json",            Is(0, 0, 1000, 1000)),
    ("q_nested_first.json",      Is(1, 2, 3, 3)),
    ("q_dup.json",               Not("f", "duplicate")),
    ("q_trailing.json",          Not("", "trailing-bytes")),
    ("ok_intmax.json",           Is(0, 2_147_483_647, 3, 3)),
    ("bad_intmax1.json",         Not("i", "out-of-range")),
    ("bad_array_f.json",         Not("f", "wrong-type")),
    // The C library takes it for file 0.
    ("q_empty_num.json",         Not("f", "not-allowed")),
    ("bad_missing_f.json",       Not("f", "missing")),
    ("bad_missing_i.json",       Not("i", "missing")),
    ("bad_missing_l.json",       Not("l", "missing")),
    ("bad_exp.json",             Not("i", "wrong-type")),
    ("bad_empty_p.json",         Payload(Base64Error::Length)),
    ("bad_b64_nonzero.json",     Payload(Base64Error::NonZeroPadding)),
    ("bad_b64_padmid.json",      Payload(Base64Error::Order)),
    ("bad_p_number.json",        Not("p", "wrong-type")),
    ("bad_empty_object.json",    Not("p", "missing")),
    ("bad_rejected_shape.json",  Not("p", "missing")),
    ("bad_nul.json",             Not("", "syntax")),
];

fn judge(format: Format, message: &[u8], payload: &mut [u8]) -> Verdict {
    match Data::parse(format, message) {
        Err(error) => Not(error.field, error.fault.token()),
        Ok(data) => match data.payload.copy_to(payload) {
            Ok(len) => Is(data.file, data.block, data.len, len),
            Err(error) => Payload(error),
        },
    }
}

#[test]
fn every_data_message_gets_the_verdict_of_the_table() {
    for (folder, format, table) in [
        ("data_cbor", Format::Cbor, CBOR),
        ("data_json", Format::Json, JSON),
    ] {
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        golden::assert_complete(folder, &names);
        for ((name, verdict), vector) in table.iter().zip(golden::index(folder)) {
            let mut payload = [0; 4096];
            let message = golden::read(&format!("{folder}/{name}"));
            assert_eq!(judge(format, &message, &mut payload), *verdict, "{name}");
            // What both accept, both understand in the same way.
            let reference = &vector["result"];
            if let (Is(file, block, len, bytes), "Success") =
                (verdict, reference["status"].as_str().unwrap_or_default())
            {
                assert_eq!(reference["fileId"], *file, "{name}");
                assert_eq!(reference["blockId"], *block, "{name}");
                assert_eq!(reference["blockSize"], *len, "{name}");
                assert_eq!(reference["dataLen"], *bytes, "{name}");
                let first: String = payload[..16.min(*bytes)]
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert_eq!(reference["first16"], *first, "{name}");
            }
            assert!(
                !name.starts_with("ok_") || matches!(verdict, Is(..)),
                "{name}: what is well formed is understood"
            );
            assert!(
                !(name.starts_with("bad_") && matches!(verdict, Is(..))),
                "{name}: what is malformed is refused"
            );
        }
    }
}

#[test]
fn what_the_service_was_seen_to_send_is_understood_and_written_alike() {
    for (name, token, block, len) in [
        ("data_no_token.cbor", None, 0, 1024),
        ("data_token_rdy.cbor", Some(Text::from("rdy")), 1054, 4096),
    ] {
        let message = golden::read(&format!("aws_observed/{name}"));
        let data = Data::parse(Format::Cbor, &message).unwrap();
        assert_eq!(
            (data.token, data.file, data.block, data.len),
            (token, 0, block, len)
        );
        let mut again = Vec::new();
        data.emit(Format::Cbor, &mut again);
        assert_eq!(again, message, "{name}");
    }
    for (name, format, token, code, text) in [
        (
            "rejected_invalidcbor.cbor",
            Format::Cbor,
            None,
            ErrorCode::InvalidCbor,
            "Invalid CBOR message",
        ),
        (
            "rejected_invalidrequest.json",
            Format::Json,
            Some(Text::from("rdy")),
            ErrorCode::InvalidRequest,
            "The data requested is out of the range of data available.",
        ),
    ] {
        let message = golden::read(&format!("aws_observed/{name}"));
        let rejected = Rejected::parse(format, &message).unwrap();
        assert_eq!(rejected.token, token);
        assert_eq!(rejected.known_code(), Some(code));
        assert_eq!(rejected.message, text);
        let mut again = Vec::new();
        rejected.emit(format, &mut again);
        assert_eq!(
            String::from_utf8_lossy(&again),
            String::from_utf8_lossy(&message).trim_end(),
            "{name}"
        );
    }
}

#[test]
fn base64_is_as_strict_as_that_of_the_c_library() {
    for vector in golden::index("base64") {
        let text = vector["in"].as_str().unwrap();
        let said = match base64::decode(Text::from(text)).collect::<Result<Vec<u8>, _>>() {
            Ok(bytes) => ("Base64Success", bytes),
            Err(error) => {
                let name = match error {
                    Base64Error::Symbol => "Base64InvalidSymbol",
                    Base64Error::Order => "Base64InvalidSymbolOrdering",
                    Base64Error::Length => "Base64InvalidInputSize",
                    Base64Error::NonZeroPadding => "Base64NonZeroPadding",
                    other => panic!("{text:?}: {other:?}"),
                };
                (name, Vec::new())
            }
        };
        let hex: String = said.1.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(vector["result"]["status"], said.0, "{text:?}");
        assert_eq!(vector["result"]["hex"], hex, "{text:?}");
    }
}
