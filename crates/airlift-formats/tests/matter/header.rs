//! Headers that no tool makes: what the rules say to them.

use airlift_formats::matter::{
    image::{
        Event, Field, FixedHeader, Header, HeaderParser, ImageBuilder, ImageReader, MAX_HEADER_LEN,
        OtaImageError, PayloadVerifier, Remark, Rules,
    },
    tlv::{Tag, TlvFault, Value, Writer},
};

use crate::{golden, judge};

/// The fields of a header that is right.
fn fields() -> Vec<(Tag, Value<'static>)> {
    [
        Value::Unsigned(0xFFF1),
        Value::Unsigned(0x8001),
        Value::Unsigned(2),
        Value::Utf8(b"2.0"),
        Value::Unsigned(0),
        Value::Unsigned(0),
        Value::Unsigned(1),
        Value::Utf8(b"https://rn"),
        Value::Unsigned(1),
        Value::Octets(&[7; 32]),
    ]
    .into_iter()
    .enumerate()
    .map(|(tag, value)| (Tag::Context(tag as u8), value))
    .collect()
}

fn header_of(fields: &[(Tag, Value<'_>)]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.put(Tag::Anonymous, Value::Structure);
    for (tag, value) in fields {
        writer.put(*tag, *value);
    }
    writer.put(Tag::Anonymous, Value::End);
    writer.into_bytes()
}

fn parse(fields: &[(Tag, Value<'_>)], rules: Rules) -> Result<(), OtaImageError> {
    Header::parse(&header_of(fields), &rules).map(|_| ())
}

#[test]
fn each_mandatory_field_has_to_be_there_and_the_others_need_not() {
    assert_eq!(parse(&fields(), Rules::strict()), Ok(()));
    for field in Field::ALL {
        let mut fields = fields();
        fields.remove(usize::from(field.tag()));
        let expected = match field.is_mandatory() {
            true => Err(OtaImageError::MissingField {
                field,
                ends: field == Field::ImageDigest,
            }),
            false => Ok(()),
        };
        for rules in [Rules::strict(), Rules::lenient()] {
            assert_eq!(parse(&fields, rules), expected, "{field}");
        }
    }
}

#[test]
fn two_fields_in_the_wrong_order_and_one_that_comes_twice_are_told_apart() {
    for first in 0..9 {
        let mut swapped = fields();
        swapped.swap(first, first + 1);
        let error = parse(&swapped, Rules::strict()).unwrap_err();
        let field = Field::ALL[first];
        assert!(
            matches!(error, OtaImageError::FieldOrder { field: found, .. } if found == field),
            "{error}"
        );
        let mut twice = fields();
        twice.insert(first, twice[first]);
        let error = parse(&twice, Rules::strict()).unwrap_err();
        assert!(
            matches!(error, OtaImageError::DuplicateField { field: found, .. } if found == field),
            "{error}"
        );
    }
}

#[test]
fn every_field_has_its_type_and_its_size() {
    for field in Field::ALL {
        for value in [
            Value::Signed(1),
            Value::Null,
            Value::Boolean(true),
            Value::Structure,
        ] {
            let mut fields = fields();
            fields[usize::from(field.tag())].1 = value;
            let error = parse(&fields, Rules::lenient()).unwrap_err();
            assert!(
                matches!(error, OtaImageError::FieldType { field: found, .. } if found == field),
                "{error}"
            );
        }
    }
    for (field, most) in [
        (Field::VendorId, 0xFFFF),
        (Field::ProductId, 0xFFFF),
        (Field::SoftwareVersion, 0xFFFF_FFFF),
        (Field::PayloadSize, u64::MAX),
        (Field::MinApplicableSoftwareVersion, 0xFFFF_FFFF),
        (Field::MaxApplicableSoftwareVersion, 0xFFFF_FFFF),
        (Field::ImageDigestType, 0xFF),
    ] {
        let mut fields = fields();
        fields[usize::from(field.tag())].1 = Value::Unsigned(most);
        assert_eq!(parse(&fields, Rules::lenient()), Ok(()), "{field}");
        if let Some(more) = most.checked_add(1) {
            fields[usize::from(field.tag())].1 = Value::Unsigned(more);
            let error = parse(&fields, Rules::lenient()).unwrap_err();
            assert!(
                matches!(error, OtaImageError::IntegerTooLarge { field: found, .. } if found == field)
            );
        }
    }
}

#[test]
fn texts_are_bounded_in_bytes() {
    let text = |field: Field, text: &'static [u8], rules| {
        let mut fields = fields();
        fields[usize::from(field.tag())].1 = Value::Utf8(text);
        parse(&fields, rules).is_ok()
    };
    let (strict, lenient) = (Rules::strict(), Rules::lenient());
    for (field, content, is_strict, is_lenient) in [
        (Field::SoftwareVersionString, &[b'v'; 64][..], true, true),
        (Field::SoftwareVersionString, &[b'v'; 65], false, false),
        (Field::SoftwareVersionString, b"", false, true),
        (Field::SoftwareVersionString, b"\xff", false, true),
        (Field::ReleaseNotesUrl, &[b'u'; 256], true, true),
        (Field::ReleaseNotesUrl, &[b'u'; 257], false, false),
        (Field::ReleaseNotesUrl, b"", true, true),
        (Field::ReleaseNotesUrl, b"\xff", false, true),
    ] {
        assert_eq!(text(field, content, strict), is_strict, "{field}");
        assert_eq!(text(field, content, lenient), is_lenient, "{field}");
    }
}

#[test]
fn fields_of_later_versions_are_skipped_behind_the_digest_only() {
    let with =
        |behind: &[(Tag, Value<'static>)], rules| parse(&[&fields()[..], behind].concat(), rules);
    let nested = [
        (Tag::Context(10), Value::Structure),
        (Tag::Context(0), Value::Array),
        (Tag::Anonymous, Value::Unsigned(1)),
        (Tag::Anonymous, Value::End),
        (Tag::Anonymous, Value::End),
        (Tag::Context(200), Value::Null),
    ];
    assert_eq!(with(&nested, Rules::strict()), Ok(()));
    let descending = [
        (Tag::Context(11), Value::Null),
        (Tag::Context(10), Value::Null),
    ];
    assert!(with(&descending, Rules::strict()).is_err());
    assert!(with(&descending, Rules::lenient()).is_ok());
    // The last tag of all: nothing overflows.
    assert!(with(&[(Tag::Context(255), Value::Null)], Rules::strict()).is_ok());
    let profile = [(Tag::Common(1), Value::Null)];
    assert!(matches!(
        with(&profile, Rules::strict()),
        Err(OtaImageError::UnexpectedTag { .. })
    ));
    assert!(with(&profile, Rules::lenient()).is_ok());
    let again = [(Tag::Context(0), Value::Unsigned(0))];
    assert!(matches!(
        with(&again, Rules::strict()),
        Err(OtaImageError::DuplicateField { .. })
    ));
    assert!(with(&again, Rules::lenient()).is_ok());
    // An end is missing within what is skipped.
    let open = [(Tag::Context(10), Value::List)];
    assert!(matches!(
        with(&open, Rules::lenient()),
        Err(OtaImageError::Tlv(error)) if error.fault == TlvFault::Unterminated
    ));
}

#[test]
fn digests_are_known_long_enough_and_of_their_length() {
    let with = |id: u64, digest: &'static [u8], rules| {
        let mut fields = fields();
        fields[8].1 = Value::Unsigned(id);
        fields[9].1 = Value::Octets(digest);
        parse(&fields, rules)
    };
    let short = Rules {
        short_digests: true,
        ..Rules::strict()
    };
    let bytes: &[u8; 64] = &[7; 64];
    let lengths = [32, 16, 15, 12, 8, 4, 48, 64, 28, 32, 48, 64];
    for (id, len) in (1..).zip(lengths) {
        let verdict = with(id, &bytes[..len], Rules::strict());
        if (2..=6).contains(&id) {
            assert!(matches!(verdict, Err(OtaImageError::ShortDigest { .. })));
        } else {
            assert_eq!(verdict, Ok(()), "{id}");
        }
        assert_eq!(with(id, &bytes[..len], short), Ok(()));
        assert!(matches!(
            with(id, &bytes[..len - 1], short),
            Err(OtaImageError::DigestLength { .. })
        ));
    }
    for id in [0, 13, 255] {
        assert!(matches!(
            with(id, bytes, Rules::strict()),
            Err(OtaImageError::UnknownDigest { .. })
        ));
        assert_eq!(with(id, bytes, Rules::lenient()), Ok(()));
    }
}

/// A short digest protects from accidents only, but those it finds.
#[test]
fn a_cut_digest_is_compared_where_it_is_allowed() {
    let file = ImageBuilder::new(1, 1, 1, "1").build(b"payload").unwrap();
    let header = Header::parse(&file[16..file.len() - 7], &Rules::strict()).unwrap();
    let mut fields = vec![
        (Tag::Context(0), Value::Unsigned(1)),
        (Tag::Context(1), Value::Unsigned(1)),
        (Tag::Context(2), Value::Unsigned(1)),
        (Tag::Context(3), Value::Utf8(b"1")),
        (Tag::Context(4), Value::Unsigned(7)),
        (Tag::Context(8), Value::Unsigned(6)),
    ];
    fields.push((Tag::Context(9), Value::Octets(&header.digest[..4])));
    let header = header_of(&fields);
    let fixed = FixedHeader {
        identifier: 0x1BEE_F11E,
        total_size: (16 + header.len() + 7) as u64,
        header_size: header.len() as u32,
    };
    let file = [&fixed.emit()[..], &header, b"payload"].concat();
    let short = Rules {
        short_digests: true,
        ..Rules::strict()
    };
    assert!(judge::image([&file[..]], short).verdict.is_ok());
    assert!(judge::image([&file[..]], Rules::lenient()).verdict.is_ok());
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for rules in [short, Rules::lenient()] {
        let verdict = judge::image([&damaged[..]], rules).verdict;
        assert_eq!(verdict, Err(OtaImageError::Digest));
    }
}

#[test]
fn a_known_length_of_the_file_is_compared_at_once() {
    let file = golden::file("g09");
    let rules = |file_len| Rules {
        file_len: Some(file_len),
        ..Rules::strict()
    };
    let exact = file.len() as u64;
    assert!(judge::image([&file[..]], rules(exact)).verdict.is_ok());
    let verdict = judge::image([&file[..16]], rules(exact - 1)).verdict;
    let expected = OtaImageError::FileLength {
        announced: exact,
        found: exact - 1,
    };
    assert_eq!(verdict, Err(expected));
}

/// A device needs the header's buffer no longer than for the header.
#[test]
fn the_buffer_is_free_before_the_payload_comes() {
    let file = golden::file("g01");
    let rules = Rules::strict();
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut input = &file[..];
    let mut parser = HeaderParser::new(&mut buffer, rules);
    assert_eq!(parser.push(&mut &input[..5]), Ok(false));
    input = &input[5..];
    assert_eq!(parser.push(&mut input), Ok(true));
    let offset = parser.position();
    let header = parser.into_header().unwrap();
    let mut payload = PayloadVerifier::new(&header, offset, &rules);
    buffer.fill(0);
    assert_eq!(payload.update(&mut input), Ok(&b"test payload"[..]));
    assert_eq!(
        payload.finish().map(|summary| summary.digest_checked),
        Ok(true)
    );
    let unfinished = HeaderParser::new(&mut buffer, rules);
    assert!(matches!(
        unfinished.into_header(),
        Err(OtaImageError::Truncated {
            needed: 16,
            found: 0,
            in_header: true
        })
    ));
}

#[test]
fn what_follows_the_payload_is_refused_when_it_comes() {
    let file = [&golden::file("g01")[..], b"x"].concat();
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut reader = ImageReader::new(&mut buffer, Rules::strict());
    let mut input = &file[..];
    assert!(matches!(
        reader.read(&mut input),
        Ok(Some(Event::Header(_)))
    ));
    // The payload comes out, though more has come together with it.
    let payload = reader.read(&mut input);
    assert_eq!(payload, Ok(Some(Event::Payload(b"test payload"))));
    let refused = OtaImageError::TrailingBytes { offset: 110 };
    assert_eq!(reader.read(&mut input), Err(refused));
}

#[test]
fn the_state_of_a_reader_is_small() {
    // With all digests built in; a device with SHA-256 alone has less.
    let size = size_of::<ImageReader<'_>>();
    assert!(size <= 640, "{size} bytes");
    let size = size_of::<Event<'_>>();
    assert!(size <= 112, "{size} bytes");
}

#[test]
fn remarks_are_made_on_what_is_odd() {
    let remarks = |fields: &[(Tag, Value<'_>)]| {
        let bytes = header_of(fields);
        let header = Header::parse(&bytes, &Rules::strict()).unwrap();
        header.remarks().collect::<Vec<_>>()
    };
    assert_eq!(remarks(&fields()), []);
    let mut odd = fields();
    odd[0].1 = Value::Unsigned(0);
    odd[1].1 = Value::Unsigned(0);
    odd[3].1 = Value::Utf8(b"2.0\x1fde");
    odd[5].1 = Value::Unsigned(2);
    odd[7].1 = Value::Utf8(b"http://rn");
    odd[8].1 = Value::Unsigned(9);
    odd[9].1 = Value::Octets(&[7; 28]);
    assert_eq!(
        remarks(&odd),
        [
            Remark::AnyVendor,
            Remark::AnyProduct,
            Remark::NoVersionApplicable,
            Remark::BoundsNotBelowVersion,
            Remark::ReleaseNotesNotHttps,
            Remark::VersionStringIsCut,
            Remark::DigestBelow256Bits,
        ]
    );
}
