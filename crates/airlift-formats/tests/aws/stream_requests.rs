//! Requests for blocks: byte for byte as the C library, and what a service says to them.

use airlift_formats::aws::{
    Format, Text,
    streams::{Bitmap, DescribeStream, EndOfFile, ErrorCode, GetStream, OutOfData},
};

use crate::golden;

/// A file's name, its format, and what the name says: file, block size, offset, count. And what a service answers.
type Line = (&'static str, Format, [u32; 4], Result<(), ErrorCode>);

#[rustfmt::skip]
const AS_C_LIBRARY: &[Line] = &[
    ("get_f0_l256_o0_n1.json",      Format::Json, [0, 256, 0, 1],         Ok(())),
    ("get_f1_l1024_o7_n1.cbor",     Format::Cbor, [1, 1024, 7, 1],        Ok(())),
    ("get_f255_l4096_o255_n1.json", Format::Json, [255, 4096, 255, 1],    Ok(())),
    ("get_f0_l131072_o0_n1.cbor",   Format::Cbor, [0, 131_072, 0, 1],     Ok(())),
    ("get_f0_l4096_o65535_n1.cbor", Format::Cbor, [0, 4096, 65_535, 1],   Ok(())),
    ("get_f0_l4096_o0_n4.cbor",     Format::Cbor, [0, 4096, 0, 4],        Ok(())),
    ("get_f0_l4096_o0_n31.cbor",    Format::Cbor, [0, 4096, 0, 31],       Ok(())),
    ("get_f0_l4096_o0_n98304.cbor", Format::Cbor, [0, 4096, 0, 98_304],   Ok(())),
    ("get_f0_l4096_o0_n98304.json", Format::Json, [0, 4096, 0, 98_304],   Ok(())),
    ("get_f65535_l4294967295_o65535_n4294967295.cbor", Format::Cbor, [65_535, u32::MAX, 65_535, u32::MAX],
        Err(ErrorCode::BlockSizeOutOfBounds)),
    ("get_f65535_l4294967295_o65535_n4294967295.json", Format::Json, [65_535, u32::MAX, 65_535, u32::MAX],
        Err(ErrorCode::BlockSizeOutOfBounds)),
    ("get_f0_l0_o0_n0.json",        Format::Json, [0, 0, 0, 0],           Err(ErrorCode::BlockSizeOutOfBounds)),
];

#[test]
fn the_c_library_s_requests_are_written_byte_for_byte_and_read() {
    for (name, format, [file, block_size, offset, count], answer) in AS_C_LIBRARY {
        let message = golden::read(&format!("requests/{name}"));
        let mut ours = Vec::new();
        GetStream::emit_as_c_library(*format, *file, *block_size, *offset, *count, &mut ours);
        assert_eq!(ours, message, "{name}");

        let parsed = GetStream::parse(*format, &message);
        let code = parsed
            .map(|_| ())
            .map_err(|refused| refused.answer.known_code().unwrap());
        assert_eq!(code, *answer, "{name}");
        if let Ok(request) = parsed {
            assert_eq!(
                (
                    request.file,
                    request.block_size,
                    request.offset,
                    request.count
                ),
                (*file, *block_size, *offset, Some(*count))
            );
            assert_eq!(
                request.bitmap,
                (*format == Format::Cbor).then(|| Bitmap::new(b"MQ=="))
            );
            assert_eq!(request.version, (*format == Format::Json).then_some(1));
        }
    }
}

#[test]
fn other_bitmaps_and_tokens_are_written_byte_for_byte() {
    let request = |token, bitmap: &'static [u8], count| GetStream {
        token: Some(Text::from(token)),
        version: None,
        file: 0,
        block_size: 4096,
        offset: 0,
        bitmap: Some(bitmap),
        count: Some(count),
    };
    let long = "c".repeat(65);
    for (name, request, answer) in [
        (
            "enc_agent_bitmap_holes.cbor",
            request("rdy", &[0x13, 0x00, 0x80], 32),
            Ok(()),
        ),
        // The library does not know the limit of 64 bytes.
        (
            "enc_token65.cbor",
            request(&long, &[1], 1),
            Err(ErrorCode::InvalidRequest),
        ),
    ] {
        let message = golden::read(&format!("requests/{name}"));
        let mut ours = Vec::new();
        request.emit(Format::Cbor, &mut ours);
        assert_eq!(ours, message, "{name}");
        match GetStream::parse(Format::Cbor, &message) {
            Ok(parsed) => {
                assert_eq!(answer, Ok(()));
                assert_eq!(parsed.bitmap, request.bitmap.map(Bitmap::new));
                assert_eq!((parsed.token, parsed.count), (request.token, request.count));
            }
            Err(refused) => {
                assert_eq!(refused.answer.known_code().map(Err), Some(answer));
                assert_eq!(refused.answer.token, None, "a bad token is not echoed");
            }
        }
    }
}

#[test]
fn the_request_that_aws_refused_is_refused_for_the_same_reason() {
    // The bitmap was meant as hexadecimal. As base64 it has bits behind the last block.
    let message = golden::read("aws_observed/request_bitmap_hex.json");
    let request = GetStream::parse(Format::Json, &message).unwrap();
    assert_eq!(request.token, Some(Text::from("rdy")));
    assert_eq!(request.bitmap.unwrap().len(), 12);
    let refused = request.selected(127_762, EndOfFile::Refuse).err();
    assert_eq!(refused, Some(OutOfData));
    let left = request.selected(127_762, EndOfFile::LeaveOut).unwrap();
    assert!(left.last().unwrap().id <= 62);
}

#[test]
fn a_bitmap_is_read_in_each_of_its_forms() {
    let documented = [0x13, 0x00, 0x80];
    for (format, message) in [
        (
            Format::Json,
            &br#"{"f":0,"l":256,"o":20,"b":"0x130080"}"#[..],
        ),
        (Format::Json, br#"{"f":0,"l":256,"o":20,"b":"EwCA"}"#),
        (
            Format::Cbor,
            b"\xA4\x61f\x00\x61l\x19\x01\x00\x61o\x14\x61b\x43\x13\x00\x80",
        ),
    ] {
        let request = GetStream::parse(format, message).unwrap();
        let bitmap = request.bitmap.unwrap();
        assert_eq!(bitmap, Bitmap::new(&documented));
        assert_eq!(bitmap.ones().collect::<Vec<_>>(), [0, 1, 4, 23]);
    }
    let quirk = br#"{"f":0,"l":256,"b":"MQ==","n":1}"#;
    let quirk = GetStream::parse(Format::Json, quirk).unwrap();
    assert_eq!(quirk.bitmap, Some(Bitmap::new(b"1")));
}

#[test]
fn each_limit_has_its_own_code() {
    let bitmap = |len| format!(r#"{{"f":0,"l":256,"b":"0x{}"}}"#, "00".repeat(len));
    for (message, code, field) in [
        ("", ErrorCode::InvalidJson, ""),
        ("[]", ErrorCode::InvalidJson, ""),
        ("{", ErrorCode::InvalidJson, ""),
        (r#"{"f":0}"#, ErrorCode::InvalidRequest, "l"),
        (r#"{"l":256}"#, ErrorCode::InvalidRequest, "f"),
        (r#"{"f":"0","l":256}"#, ErrorCode::InvalidJson, "f"),
        (r#"{"f":256,"l":256}"#, ErrorCode::InvalidRequest, "f"),
        (r#"{"f":-1,"l":256}"#, ErrorCode::InvalidRequest, "f"),
        (r#"{"f":0,"l":255}"#, ErrorCode::BlockSizeOutOfBounds, "l"),
        (
            r#"{"f":0,"l":131073}"#,
            ErrorCode::BlockSizeOutOfBounds,
            "l",
        ),
        (
            r#"{"f":0,"l":99999999999}"#,
            ErrorCode::BlockSizeOutOfBounds,
            "l",
        ),
        (
            r#"{"f":0,"l":256,"o":98305}"#,
            ErrorCode::OffsetOutOfBounds,
            "o",
        ),
        (
            r#"{"f":0,"l":256,"o":-1}"#,
            ErrorCode::OffsetOutOfBounds,
            "o",
        ),
        (
            r#"{"f":0,"l":256,"n":98305}"#,
            ErrorCode::BlockCountLimitExceeded,
            "n",
        ),
        (r#"{"f":0,"l":256,"n":1.5}"#, ErrorCode::InvalidJson, "n"),
        (
            r#"{"f":0,"l":256,"s":65536}"#,
            ErrorCode::InvalidRequest,
            "s",
        ),
        (
            r#"{"f":0,"l":256,"b":"0x1"}"#,
            ErrorCode::InvalidRequest,
            "b",
        ),
        (
            r#"{"f":0,"l":256,"b":"0xgg"}"#,
            ErrorCode::InvalidRequest,
            "b",
        ),
        (r#"{"f":0,"l":256,"b":"A"}"#, ErrorCode::InvalidRequest, "b"),
        (
            r#"{"f":0,"l":256,"b":"AQ==AQ=="}"#,
            ErrorCode::InvalidRequest,
            "b",
        ),
        (r#"{"f":0,"l":256,"b":1}"#, ErrorCode::InvalidJson, "b"),
        (&bitmap(12_288), ErrorCode::BlockBitmapLimitExceeded, "b"),
    ] {
        let refused = GetStream::parse(Format::Json, message.as_bytes()).unwrap_err();
        assert_eq!(refused.answer.known_code(), Some(code), "{message}");
        assert_eq!(refused.cause.field, field, "{message}");
    }
    for message in [
        r#"{"f":0,"l":256}"#,
        r#"{"f":255,"l":131072,"o":98304,"n":98304,"s":65535,"b":""}"#,
        r#"{"f":0,"l":256,"o":null,"n":0,"x":[{"f":9}]}"#,
        &bitmap(12_287),
    ] {
        GetStream::parse(Format::Json, message.as_bytes()).expect(message);
    }
    // Seen at the service: a bitmap that is a text.
    let text = b"\xA3\x61f\x00\x61l\x19\x01\x00\x61b\x64MQ==";
    let refused = GetStream::parse(Format::Cbor, text).unwrap_err();
    assert_eq!(refused.answer.known_code(), Some(ErrorCode::InvalidCbor));
}

#[test]
fn a_token_comes_back_with_a_refusal_if_it_is_one() {
    let token = |message: &[u8]| {
        let refused = GetStream::parse(Format::Json, message).unwrap_err();
        refused.answer.token.map(|token| token.to_string())
    };
    assert_eq!(token(br#"{"c":"a-1","f":0,"l":1}"#), Some("a-1".into()));
    assert_eq!(token(br#"{"c":7,"f":0,"l":256}"#), None);
    // 64 bytes, counted without escapes.
    let long = format!(r#"{{"c":"{}","f":0,"l":1}}"#, "\\u0041".repeat(64));
    assert_eq!(token(long.as_bytes()), Some("A".repeat(64)));

    let described = DescribeStream::parse(Format::Json, br#"{"c":"x"}"#).unwrap();
    assert_eq!(described.token, Some(Text::from("x")));
    assert_eq!(
        DescribeStream::parse(Format::Cbor, b"\xA0"),
        Ok(DescribeStream::default())
    );
    let refused = DescribeStream::parse(Format::Cbor, b"{}").unwrap_err();
    assert_eq!(refused.answer.known_code(), Some(ErrorCode::InvalidCbor));
}
