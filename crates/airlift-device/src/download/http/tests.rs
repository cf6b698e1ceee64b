use std::string::String;
use std::vec::Vec;
use std::{format, fs, vec};

use proptest::prelude::*;

use super::*;

const MD5: &str = "8d5197091f2414a028367fe6f4594518";

/// A whole response, `step` bytes at a time: its head and the bytes behind it.
fn parse_in_steps(response: &[u8], step: usize) -> Result<Option<(Head, Vec<u8>)>, HttpError> {
    let mut line = [0; 256];
    let mut parser = HeadParser::new(&mut line);
    let mut pieces = response.chunks(step);
    while let Some(piece) = pieces.next() {
        if let Some((head, used)) = parser.push(piece)? {
            let mut rest = piece[used..].to_vec();
            pieces.for_each(|p| rest.extend_from_slice(p));
            return Ok(Some((head, rest)));
        }
    }
    Ok(None)
}

fn parse(response: &str) -> Result<Head, HttpError> {
    parse_in_steps(response.as_bytes(), response.len())
        .map(|parsed| parsed.expect("a complete head").0)
}

fn with_fields(status: &str, fields: &str) -> Result<Head, HttpError> {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for field in fields.lines() {
        text += field.trim_start();
        text += "\r\n";
    }
    parse(&(text + "\r\n"))
}

fn answer(status: &str, fields: &str) -> Result<Answer, Refusal> {
    with_fields(status, fields).unwrap().answer(None)
}

/// The answer to a request for bytes 100 and up of 1000.
fn resumed(status: &str, fields: &str) -> Result<Answer, Refusal> {
    with_fields(status, fields).unwrap().answer(Some(&Expected {
        offset: 100,
        total: 1000,
        etag: "\"v2\"",
        sha256: Some([0x22; 32]),
    }))
}

#[test]
fn the_head_of_an_offer_is_understood() {
    let head = with_fields(
        "200 OK",
        &format!(
            "Server: x\nCONTENT-LENGTH:1048576\nx-md5:  {}\t\nX-SHA256: {}\nx-version: 2.0.0\n\
             ETag: \"abc\"\nAccept-Ranges: bytes\nEmpty:",
            MD5.to_uppercase(),
            "0f".repeat(32),
        ),
    )
    .unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.content_length, Some(1_048_576));
    assert_eq!(head.md5.map(|d| (d[0], d[15])), Some((0x8d, 0x18)));
    assert_eq!(head.sha256, Some([0x0f; 32]));
    assert_eq!(head.version(), Some("2.0.0"));
    assert_eq!(head.etag(), Some("\"abc\""));
    assert!(matches!(
        head.answer(None),
        Ok(Answer::Image {
            offset: 0,
            total: 1_048_576,
            ..
        })
    ));
}

#[test]
fn answers_recorded_from_the_reference_server_are_understood() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp-http"
    );
    let mut read = 0;
    for entry in
        fs::read_dir(folder).unwrap_or_else(|e| panic!("golden vectors needed in {folder}: {e}"))
    {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let Some((_, rest)) = text.split_once("### response (raw head)\n") else {
            continue;
        };
        let lines: Vec<_> = rest
            .split("###")
            .next()
            .unwrap()
            .trim()
            .lines()
            .map(str::trim_end)
            .collect();
        let head = parse(&format!("{}\r\n\r\n", lines.join("\r\n")))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(
            format!("{}", head.status),
            lines[0].split(' ').nth(1).unwrap()
        );
        let length = lines
            .iter()
            .find_map(|l| l.strip_prefix("Content-Length: "))
            .map(|l| l.parse().unwrap());
        assert_eq!(head.content_length, length, "{}", path.display());
        read += 1;
    }
    assert!(read >= 10, "only {read} recorded answers");
}

#[test]
fn each_malformed_head_has_its_own_error() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (text, error) in [
        ("SSH-2.0-OpenSSH\r\n\r\n", HttpError::NotHttp),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", HttpError::NotHttp),
        ("HTTP/2 200\r\n\r\n", HttpError::NotHttp),
        ("HTTP/1.1\r\n\r\n", HttpError::NotHttp),
        ("HTTP/1.x 200 OK\r\n\r\n", HttpError::NotHttp),
        ("HTTP/1.1 20\r\n\r\n", HttpError::BadStatus),
        ("HTTP/1.1 2000 OK\r\n\r\n", HttpError::BadStatus),
        ("HTTP/1.1 099 OK\r\n\r\n", HttpError::BadStatus),
        ("HTTP/1.1 600 OK\r\n\r\n", HttpError::BadStatus),
        ("HTTP/1.1 +20 OK\r\n\r\n", HttpError::BadStatus),
        ("HTTP/1.1 101 Switching\r\n\r\n", HttpError::BadStatus),
    ] {
        assert_eq!(parse(text), Err(error), "{text:?}");
    }
    for line in [
        "no colon",
        ": v",
        "Content-Length : 5",
        "a: b\r\n folded",
        "a: b\rc",
        "a: b\0",
    ] {
        let text = format!("{ok}{line}\r\n\r\n");
        assert_eq!(parse(&text), Err(HttpError::BadField), "{line:?}");
    }
    let md5_twice = format!("x-MD5: {MD5}\nx-md5: {MD5}");
    let long_etag = format!("ETag: \"{}\"", "e".repeat(300));
    for (fields, error) in [
        (
            "Content-Length: 5\ncontent-length: 5",
            HttpError::Duplicate(Field::ContentLength),
        ),
        (md5_twice.as_str(), HttpError::Duplicate(Field::Md5)),
        (
            "ETag: \"a\"\nETag: \"a\"",
            HttpError::Duplicate(Field::ETag),
        ),
        (long_etag.as_str(), HttpError::LineTooLong),
    ] {
        assert_eq!(with_fields("200 OK", fields), Err(error), "{fields}");
    }
    for (field, values) in [
        (
            Field::ContentLength,
            ["", "-5", "+5", "0x5", "5, 5", "4294967296"],
        ),
        (
            Field::ContentRange,
            [
                "bytes 5-4/10",
                "bytes 5-10/10",
                "bytes 5-9/*",
                "lines 5-9/10",
                "bytes 5/10",
                "5-9/10",
            ],
        ),
        (
            Field::Md5,
            [
                "",
                "8d51",
                "8d5197091f2414a028367fe6f459451g",
                "8d5197091f2414a028367fe6f45945188",
                "8d5197091f2414a028367fe6f4594518, 8d5197091f2414a028367fe6f4594518",
                "\"8d5197091f2414a028367fe6f4594518\"",
            ],
        ),
    ] {
        for value in values {
            let line = format!("{}: {value}", field.name());
            assert_eq!(
                with_fields("200 OK", &line),
                Err(HttpError::BadValue(field)),
                "{line}"
            );
        }
    }
}

#[test]
fn an_endless_head_is_given_up() {
    let mut line = [0; 64];
    let mut parser = HeadParser::new(&mut line);
    parser.push(b"HTTP/1.1 200 OK\r\n").unwrap();
    let mut sent = 0;
    let error = loop {
        match parser.push(b"a: b\r\n") {
            Ok(None) => sent += 6,
            Ok(Some(_)) => panic!("the head never ended"),
            Err(error) => break error,
        }
        assert!(sent < 2 * MAX_HEAD_LEN);
    };
    assert_eq!(error, HttpError::HeadTooLong);
    assert_eq!(parser.push(b"\r\n"), Err(HttpError::HeadTooLong));
}

#[test]
fn what_is_too_long_and_does_not_matter_is_passed_over() {
    let fields = format!(
        "Content-Security-Policy: {}\nx-version: {}\nETag: W/\"weak\"\nContent-Length: 7",
        "x".repeat(2000),
        "9".repeat(65)
    );
    let head = with_fields("200 OK", &fields).unwrap();
    assert_eq!(head.version(), None);
    assert_eq!(head.etag(), None);
    assert_eq!(head.content_length, Some(7));
}

#[test]
fn an_interim_response_does_not_count() {
    let head = parse(
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.status, head.content_length), (200, Some(7)));
}

#[test]
fn every_status_has_its_meaning() {
    let later = |status, retry_after| {
        Ok(Answer::Later {
            status,
            retry_after,
        })
    };
    for (status, meaning) in [
        ("304 Not Modified", Ok(Answer::UpToDate)),
        ("204 No Content", Ok(Answer::UpToDate)),
        ("401 Unauthorized", Err(Refusal::Unauthorized)),
        ("403 Forbidden", Err(Refusal::Forbidden)),
        ("404 Not Found", Err(Refusal::NotFound)),
        ("302 Found", Err(Refusal::Redirect(302))),
        ("308 Permanent Redirect", Err(Refusal::Redirect(308))),
        ("416 Range Not Satisfiable", Err(Refusal::Unexpected(416))),
        ("400 Bad Request", Err(Refusal::Unexpected(400))),
        ("205 Reset Content", Err(Refusal::Unexpected(205))),
        ("500 Oops", later(500, None)),
    ] {
        // How the body of an error page is framed is of no interest.
        assert_eq!(
            answer(status, "Transfer-Encoding: chunked"),
            meaning,
            "{status}"
        );
    }
    assert_eq!(
        answer("503 Busy", "Retry-After: 120"),
        later(503, Some(120))
    );
    let date = "Retry-After: Fri, 20 Nov 2026 20:08:30 GMT";
    assert_eq!(answer("429 Slow down", date), later(429, None));
    assert_eq!(
        resumed("416 No", "Content-Range: bytes */7"),
        Ok(Answer::StartAgain)
    );
}

#[test]
fn an_image_without_a_usable_size_is_refused() {
    for (fields, refusal) in [
        ("", Refusal::NoLength),
        ("Content-Length: 0", Refusal::Empty),
        (
            "Transfer-Encoding: chunked",
            Refusal::Encoded(Field::TransferEncoding),
        ),
        (
            "Content-Length: 5\nContent-Encoding: gzip",
            Refusal::Encoded(Field::ContentEncoding),
        ),
    ] {
        assert_eq!(answer("200 OK", fields), Err(refusal), "{fields}");
    }
    assert!(answer("200 OK", "Content-Length: 5\nContent-Encoding: identity").is_ok());
}

#[test]
fn only_the_rest_of_the_same_image_is_joined() {
    /// `Content-Length`, `Content-Range`, `ETag`
    fn part(length: u32, range: &str, etag: &str) -> String {
        format!("Content-Length: {length}\nContent-Range: bytes {range}\nETag: \"{etag}\"")
    }
    let good = part(900, "100-999/1000", "v2");
    let Ok(Answer::Image {
        offset: 100,
        total: 1000,
        body,
    }) = resumed("206 Partial", &good)
    else {
        panic!("the rest of the same image is refused")
    };
    assert_eq!(body.missing(), 900);
    assert_eq!(answer("206 Partial", &good), Err(Refusal::UnaskedPart));

    for (fields, refusal) in [
        (
            "Content-Length: 900\nETag: \"v2\"".into(),
            Refusal::WrongRange,
        ),
        (part(901, "99-999/1000", "v2"), Refusal::WrongRange),
        (part(900, "0-899/1000", "v2"), Refusal::WrongRange),
        (part(899, "100-998/1000", "v2"), Refusal::WrongRange),
        (part(899, "100-999/1000", "v2"), Refusal::WrongRange),
        (part(901, "100-1000/1001", "v2"), Refusal::OtherTotal),
        (part(900, "100-999/1000", "v3"), Refusal::OtherImage),
        (good.replace("ETag", "Other"), Refusal::OtherImage),
        (
            format!("{good}\nx-SHA256: {}", "33".repeat(32)),
            Refusal::OtherImage,
        ),
        (good.replace("Content-Length", "Other"), Refusal::NoLength),
    ] {
        assert_eq!(resumed("206 Partial", &fields), Err(refusal), "{fields}");
    }
    // The server may answer with all of another image instead.
    assert!(matches!(
        resumed("200 OK", "Content-Length: 77\nETag: \"v3\""),
        Ok(Answer::Image {
            offset: 0,
            total: 77,
            ..
        })
    ));
}

#[test]
fn a_body_takes_what_was_promised_and_knows_what_is_missing() {
    let Ok(Answer::Image { mut body, .. }) = answer("200 OK", "Content-Length: 5") else {
        panic!("an image")
    };
    assert_eq!(body.push(b"abc"), b"abc");
    assert_eq!(body.finish(), Err(Truncated { missing: 2 }));
    assert_eq!(body.push(b""), b"");
    assert_eq!(body.push(b"defg"), b"de");
    assert_eq!(body.push(b"h"), b"");
    assert_eq!(body.finish(), Ok(()));
}

proptest! {
    /// The pieces in which a response arrives make no difference.
    #[test]
    fn pieces_make_no_difference(
        status in 200u16..600,
        fields in prop::collection::vec(
            ("Content-Length|x-MD5|ETag|X-Other|x-version", "[ -~]{0,40}|[0-9]{1,6}"),
            0..6,
        ),
        bare_lf: bool,
        body in prop::collection::vec(any::<u8>(), 0..40),
        step in 1usize..64,
    ) {
        let end = if bare_lf { "\n" } else { "\r\n" };
        let mut text = format!("HTTP/1.0 {status}{end}");
        for (name, value) in &fields {
            text += &format!("{name}: {value}{end}");
        }
        text += end;
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&body);
        let whole = parse_in_steps(&bytes, bytes.len());
        if let Ok(Some((_, rest))) = &whole {
            prop_assert_eq!(rest, &body);
        }
        prop_assert_eq!(parse_in_steps(&bytes, step), whole);
    }

    /// No input makes the parser panic or read past what it was given, whatever the line buffer.
    #[test]
    fn no_input_is_too_strange(
        input in prop::collection::vec(
            prop_oneof![3 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b':')],
            0..400,
        ),
        proper_start: bool,
        line_len in 0usize..80,
        step in 1usize..50,
    ) {
        let mut line = vec![0; line_len];
        let mut parser = HeadParser::new(&mut line);
        let start: &[u8] = if proper_start { b"HTTP/1.1 200 OK\r\n" } else { b"" };
        let bytes = [start, &input].concat();
        for piece in bytes.chunks(step) {
            match parser.push(piece) {
                Ok(None) => {}
                Ok(Some((head, used))) => {
                    prop_assert!(used <= piece.len());
                    if let Ok(Answer::Image { mut body, .. }) = head.answer(None) {
                        prop_assert!(body.push(&piece[used..]).len() <= piece.len());
                    }
                    break;
                }
                Err(error) => {
                    prop_assert_eq!(parser.push(b"x"), Err(error));
                    break;
                }
            }
        }
    }
}
