//! What the official tools made, made again from the same inputs, byte for byte.

use airlift_formats::{
    matter::image::{BuildError, DigestAlgorithm, Field, ImageBuilder},
    nxp::{self, Descriptor, FactoryData, FactoryField, PayloadBuilder, legacy},
};
use serde_json::Value;

use crate::{golden, judge};

#[track_caller]
fn same(number: &str, made: &[u8]) {
    let file = golden::file(number);
    let first = made.iter().zip(&file).position(|(made, file)| made != file);
    assert_eq!(
        (made.len(), first),
        (file.len(), None),
        "{number}: the first byte that differs"
    );
}

#[test]
fn images_of_the_official_tool() {
    let build = |builder: ImageBuilder, input: &str| builder.build(&golden::input(input)).unwrap();
    let of = |version, text| ImageBuilder::new(0xDEAD, 0xBEEF, version, text);

    let full = of(0xFFFF_FFFF, "1.0")
        .min_version(1)
        .max_version(2)
        .release_notes_url("https://rn");
    same("g01", &build(full, "test_payload.bin"));
    let least = ImageBuilder::new(1, 1, 1, "1").digest(DigestAlgorithm::Sha3_224);
    same("g02", &build(least, "empty.bin"));
    let sha384 = of(3, "3.0").digest(DigestAlgorithm::Sha384);
    same("g04", &build(sha384, "p4k.bin"));
    let sha512 = of(4, "4.0").digest(DigestAlgorithm::Sha512);
    same("g05", &build(sha512, "p4k.bin"));
    same("g09", &build(of(7, "7.0"), "p1mib.bin"));
    same(
        "g11",
        &build(of(100, "100").min_version(99), "test_payload.bin"),
    );
    same("g12", &build(of(9, "9.0-beta-\u{e9}"), "test_payload.bin"));
}

/// Adds the parts of a custom-TLV file of NXP's tool.
fn add_customs(builder: &mut PayloadBuilder, json: &str) {
    let json: Value = serde_json::from_slice(&golden::input(json)).unwrap();
    for input in json["inputs"].as_array().unwrap() {
        let mut descriptor = Vec::new();
        for field in input["descriptor"].as_array().into_iter().flatten() {
            let length = field["length"].as_u64().unwrap() as usize;
            let mut bytes = match &field["value"] {
                Value::String(text) => text.clone().into_bytes(),
                number => number.as_u64().unwrap().to_le_bytes().to_vec(),
            };
            bytes.resize(length, 0);
            descriptor.extend(bytes);
        }
        let content = golden::input(input["path"].as_str().unwrap());
        let tag = input["tag"].as_u64().unwrap() as u32;
        builder.custom(tag, &descriptor, &content).unwrap();
    }
}

struct Inputs {
    dac_key: Vec<u8>,
    dac_cert: Vec<u8>,
    pai_cert: Vec<u8>,
    declaration: Vec<u8>,
}

impl Inputs {
    fn read() -> Self {
        Self {
            // The private key within its DER encoding.
            dac_key: golden::input("dac_key.der")[7..39].to_vec(),
            dac_cert: golden::input("dac_cert.der"),
            pai_cert: golden::input("pai_cert.der"),
            declaration: golden::input("cd.der"),
        }
    }

    fn factory_data(&self) -> FactoryData<'_> {
        FactoryData {
            dac_private_key: Some(&self.dac_key),
            dac_certificate: Some(&self.dac_cert),
            pai_certificate: Some(&self.pai_cert),
            certification_declaration: Some(&self.declaration),
        }
    }
}

/// The image of NXP's examples around a payload.
fn around(version: u32, payload: PayloadBuilder) -> Vec<u8> {
    ImageBuilder::new(0xDEAD, 0xBEEF, version, "1.0")
        .build(&payload.build())
        .unwrap()
}

#[test]
fn payloads_of_nxp_s_tool() {
    let inputs = Inputs::read();
    let (app, ssbl) = (golden::input("app.bin"), golden::input("ssbl.bin"));
    let default = Descriptor::new(50000, "50000-default", "2023-01-01").unwrap();
    let app_descriptor = Descriptor::new(50000, "50000-version", "2023-01-01").unwrap();
    let ssbl_descriptor = Descriptor::new(1, "SSBL-version-1", "2023-01-01").unwrap();

    let mut payload = PayloadBuilder::default();
    payload.application(&default, &app).unwrap();
    same("n01", &around(50000, payload));

    let mut payload = PayloadBuilder::default();
    payload.factory_data(&inputs.factory_data()).unwrap();
    same("n03", &around(50000, payload));

    let mut payload = PayloadBuilder::default();
    payload.bootloader(&ssbl_descriptor, &ssbl).unwrap();
    same("n04", &around(1, payload));

    let mut payload = PayloadBuilder::default();
    // The order of the calls does not matter.
    payload
        .application(&app_descriptor, &app)
        .and_then(|payload| payload.factory_data(&inputs.factory_data()))
        .and_then(|payload| payload.bootloader(&ssbl_descriptor, &ssbl))
        .unwrap();
    same("n05", &around(50000, payload.clone()));

    add_customs(&mut payload, "max_entries.json");
    same("n07", &around(50000, payload));

    let mut payload = PayloadBuilder::default();
    add_customs(&mut payload, "max_entries.json");
    same("n06", &around(50000, payload));

    let mut payload = PayloadBuilder::default();
    payload
        .application(&app_descriptor, &app)
        .and_then(|payload| payload.factory_data(&inputs.factory_data()))
        .unwrap()
        .encrypt("1234567890ABCDEFA1B2C3D4E5F6F1B4".parse().unwrap());
    same("n08", &around(50000, payload));

    let mut payload = PayloadBuilder::default();
    payload
        .application(&default, &ssbl)
        .unwrap()
        .encrypt("000102030405060708090A0B0C0D0E0F".parse().unwrap());
    same("n10", &around(50000, payload));
}

#[test]
fn an_encrypted_payload_is_read_with_its_key() {
    let key: legacy::Key = "1234567890ABCDEFA1B2C3D4E5F6F1B4".parse().unwrap();
    let mut parts = judge::parts(&golden::file("n08"));
    for (tag, value) in &mut parts {
        let clear = legacy::clear_len(*tag).unwrap();
        legacy::Cipher::new(&key).apply(&mut value[clear..]);
    }
    let [(3, factory), (1, app)] = &parts[..] else {
        panic!("other parts than expected");
    };
    let inputs = Inputs::read();
    assert_eq!(
        FactoryData::parse_padded(factory),
        Ok(inputs.factory_data())
    );
    assert!(FactoryData::parse(factory).is_err(), "padding follows");
    assert_eq!(app[132..], golden::input("app.bin"));
    // The wrong key shows in the factory data, and nowhere else.
    let mut wrong = judge::parts(&golden::file("n08")).swap_remove(0).1;
    legacy::Cipher::new(&legacy::Key([0; 16])).apply(&mut wrong);
    assert!(FactoryData::parse_padded(&wrong).is_err());
}

#[test]
fn what_no_parser_would_take_is_not_made() {
    let of = |version, text: &str| ImageBuilder::new(1, 1, version, text);
    let error = |builder: ImageBuilder| builder.build(b"x").unwrap_err();
    // The official tool counts characters, and makes this one; the reference's parser refuses it.
    let wide = "\u{e9}".repeat(64);
    for text in ["", &"v".repeat(65), &wide] {
        assert!(matches!(
            error(of(1, text)),
            BuildError::TextLength {
                field: Field::SoftwareVersionString,
                ..
            }
        ));
    }
    assert!(of(1, &"v".repeat(64)).build(b"").is_ok());
    for url in [String::new(), "h".repeat(257)] {
        assert!(matches!(
            error(of(1, "1").release_notes_url(&url)),
            BuildError::TextLength {
                field: Field::ReleaseNotesUrl,
                ..
            }
        ));
    }
    let url = "https://\u{e9}";
    assert_eq!(
        error(of(1, "1").release_notes_url(url)),
        BuildError::UrlNotAscii
    );
    for builder in [of(5, "5").min_version(5), of(5, "5").max_version(5)] {
        assert!(matches!(
            error(builder),
            BuildError::BoundNotBelowVersion { bound: 5, .. }
        ));
    }
    assert_eq!(
        error(of(5, "5").min_version(4).max_version(3)),
        BuildError::MinAboveMax { min: 4, max: 3 }
    );
    assert!(matches!(
        error(of(5, "5").digest(DigestAlgorithm::Sha256To32)),
        BuildError::ShortDigest { .. }
    ));

    let descriptor = Descriptor::new(1, "1", "1").unwrap();
    let mut payload = PayloadBuilder::default();
    for tag in [0, 1, 2, 3, 12, 99] {
        let refused = payload.custom(tag, b"", b"x").map(|_| ());
        assert_eq!(refused, Err(nxp::BuildError::ReservedTag { tag }));
    }
    for tag in [4, 11, 100, u32::MAX] {
        assert!(payload.custom(tag, b"", b"").is_ok(), "{tag}");
        let refused = payload.custom(tag, b"", b"").map(|_| ());
        assert_eq!(refused, Err(nxp::BuildError::DuplicateTag { tag }));
    }
    assert!(payload.application(&descriptor, b"").is_err());
    assert!(payload.application(&descriptor, b"x").is_ok());
    assert!(payload.application(&descriptor, b"x").is_err());
    for (data, error) in [
        (FactoryData::default(), nxp::BuildError::NoFactoryData),
        (
            FactoryData {
                dac_private_key: Some(&[1; 31]),
                ..FactoryData::default()
            },
            nxp::BuildError::FactoryFieldLength {
                field: FactoryField::DacPrivateKey,
                length: 31,
            },
        ),
        (
            FactoryData {
                pai_certificate: Some(&[1; 2048]),
                ..FactoryData::default()
            },
            nxp::BuildError::FactoryDataTooLong { length: 2064 },
        ),
    ] {
        assert_eq!(payload.factory_data(&data).map(|_| ()), Err(error));
    }
}
