//! Payloads that no tool makes: what the rules say to them.

use airlift_formats::nxp::{
    self, FactoryData, FactoryDataError, FactoryField, PayloadError, Tags, Tlv,
};

use crate::judge;

/// A payload of these parts.
fn payload(parts: &[(u32, usize)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for &(tag, length) in parts {
        let tlv = Tlv {
            tag,
            length: length as u32,
            offset: 0,
        };
        payload.extend(tlv.emit());
        payload.extend(vec![tag as u8; length]);
    }
    payload
}

fn verdict(bytes: &[u8], rules: nxp::Rules) -> Result<u32, PayloadError> {
    judge::payload(bytes.len(), [bytes], rules)
        .verdict
        .map(|summary| summary.parts)
}

#[test]
fn a_tag_comes_once() {
    let twice = payload(&[(100, 5), (101, 0), (100, 7)]);
    let tlv = Tlv {
        tag: 100,
        length: 7,
        offset: 21,
    };
    let refused = verdict(&twice, nxp::Rules::strict());
    assert_eq!(refused, Err(PayloadError::DuplicateTag { tlv }));
    let lenient = judge::payload(twice.len(), [&twice[..]], nxp::Rules::lenient());
    assert_eq!(lenient.parts.len(), 3);
    assert_eq!(lenient.parts[2], (100, vec![100; 7], true));
}

#[test]
fn empty_values_are_fine_where_nothing_is_expected_in_them() {
    let empty = payload(&[(4, 0), (100, 0), (101, 0)]);
    assert_eq!(verdict(&empty, nxp::Rules::strict()), Ok(3));
    assert_eq!(verdict(&[], nxp::Rules::strict()), Ok(0));
    for (tag, length, expected) in [
        (1, 0, "nxp-no-descriptor"),
        (2, 131, "nxp-no-descriptor"),
        (2, 132, "nxp-no-image"),
        (3, 0, "nxp-no-factory-data"),
        (3, 2049, "nxp-factory-data-too-long"),
    ] {
        let bytes = payload(&[(tag, length)]);
        let error = verdict(&bytes, nxp::Rules::strict()).unwrap_err();
        assert_eq!(PayloadError::token(error.code()), expected);
        assert_eq!(verdict(&bytes, nxp::Rules::lenient()), Ok(1));
    }
    let least = payload(&[(1, 133), (2, 133), (3, 2048)]);
    assert_eq!(verdict(&least, nxp::Rules::strict()), Ok(3));
}

#[test]
fn tags_without_a_meaning_are_refused_unless_the_caller_looks_them_up() {
    let any = nxp::Rules {
        tags: Tags::Any,
        ..nxp::Rules::strict()
    };
    for tag in [0, 12, 99] {
        let bytes = payload(&[(tag, 3)]);
        let error = verdict(&bytes, nxp::Rules::strict()).unwrap_err();
        assert!(matches!(error, PayloadError::UnknownTag { tlv } if tlv.tag == tag));
        assert_eq!(verdict(&bytes, any), Ok(1));
    }
    for tag in [4, 11, 100, u32::MAX] {
        assert_eq!(verdict(&payload(&[(tag, 3)]), nxp::Rules::strict()), Ok(1));
    }
}

#[test]
fn a_length_beyond_the_payload_is_known_from_its_header() {
    for length in [4_u32, 100, u32::MAX] {
        let mut bytes = payload(&[(100, 2), (101, 3)]);
        bytes[14..18].copy_from_slice(&length.to_le_bytes());
        let tlv = Tlv {
            tag: 101,
            length,
            offset: 10,
        };
        // Not a byte of the value has come.
        let found = judge::payload(bytes.len(), [&bytes[..18]], nxp::Rules::lenient());
        let expected = PayloadError::BeyondPayload { tlv, left: 3 };
        assert_eq!(found.verdict, Err(expected));
    }
}

#[test]
fn how_a_transfer_ends_early_is_told_apart() {
    let bytes = payload(&[(100, 4), (101, 2)]);
    let cut = |len: usize| judge::payload(bytes.len(), [&bytes[..len]], nxp::Rules::strict());
    let tlv = Tlv {
        tag: 100,
        length: 4,
        offset: 0,
    };
    for (len, expected) in [
        (
            0,
            PayloadError::PayloadTruncated {
                needed: 22,
                found: 0,
            },
        ),
        (
            5,
            PayloadError::HeaderTruncated {
                offset: 0,
                found: 5,
            },
        ),
        (8, PayloadError::ValueTruncated { tlv, found: 0 }),
        (11, PayloadError::ValueTruncated { tlv, found: 3 }),
        (
            12,
            PayloadError::PayloadTruncated {
                needed: 22,
                found: 12,
            },
        ),
        (
            19,
            PayloadError::HeaderTruncated {
                offset: 12,
                found: 7,
            },
        ),
    ] {
        assert_eq!(cut(len).verdict, Err(expected), "cut at {len}");
    }
    // And late: all parts have come out before.
    let longer = [&bytes[..], &[0]].concat();
    let found = judge::payload(bytes.len(), [&longer[..]], nxp::Rules::strict());
    assert_eq!(
        found.verdict,
        Err(PayloadError::PayloadTooLong { size: 22 })
    );
    assert_eq!(found.parts.len(), 2);
}

#[test]
fn factory_data_have_known_fields_in_their_order() {
    const KEY: [u8; 32] = [9; 32];
    let full = FactoryData {
        dac_private_key: Some(&KEY),
        dac_certificate: Some(b"dac"),
        pai_certificate: Some(b"pai"),
        certification_declaration: Some(b"cd"),
    };
    let bytes = full.emit();
    assert_eq!(FactoryData::parse(&bytes), Ok(full));
    assert_eq!(full.fields().count(), 4);
    assert!(!format!("{full:?}").contains('9'), "the key is a secret");
    // Nothing at all is a structure as well.
    assert_eq!(
        FactoryData::parse(&[0x15, 0x18]),
        Ok(FactoryData::default())
    );

    let key = [&[0x30, 4, 32][..], &KEY].concat();
    let structure = |fields: &[&[u8]]| [&[0x15][..], &fields.concat(), &[0x18]].concat();
    for (bytes, expected) in [
        (vec![], "factory-data-not-a-structure"),
        (vec![0x16, 0x18], "factory-data-not-a-structure"),
        (vec![0x15], "factory-data-tlv-unterminated"),
        (
            structure(&[&[0x30, 5, 1, 7], &key]),
            "factory-data-field-order",
        ),
        (structure(&[&key, &key]), "factory-data-field-order"),
        (structure(&[&[0x30, 7, 1, 7]]), "factory-data-unknown-field"),
        (
            structure(&[&[0x50, 5, 0, 1, 7]]),
            "factory-data-unknown-field",
        ),
        (
            structure(&[&[0x30, 4, 31], &KEY[1..]]),
            "factory-data-field-length",
        ),
        (structure(&[&[0x30, 5, 0]]), "factory-data-field-length"),
        (structure(&[&[0x2C, 5, 1, b'x']]), "factory-data-field-type"),
        (structure(&[&[0x35, 5, 0x18]]), "factory-data-field-type"),
        (
            [structure(&[&key]), vec![0]].concat(),
            "factory-data-trailing-bytes",
        ),
        (vec![0x15; 2049], "factory-data-too-long"),
    ] {
        let error = FactoryData::parse(&bytes).unwrap_err();
        assert_eq!(FactoryDataError::token(error.code()), expected, "{error}");
    }
    for field in FactoryField::ALL {
        assert_eq!(FactoryField::from_tag(field.tag()), Some(field));
    }
}

#[test]
fn padding_is_that_of_the_legacy_cipher_and_no_other() {
    let data = FactoryData {
        certification_declaration: Some(b"cd"),
        ..FactoryData::default()
    };
    let bytes = data.emit();
    let padded = |len: usize, byte: u8| {
        let mut padded = bytes.clone();
        padded.resize(len, byte);
        padded
    };
    assert_eq!(FactoryData::parse_padded(&padded(16, 0xFF)), Ok(data));
    for wrong in [padded(15, 0xFF), padded(16, 0xFE), padded(32, 0xFF)] {
        assert!(FactoryData::parse_padded(&wrong).is_err());
    }
}
