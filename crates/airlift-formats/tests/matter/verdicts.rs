//! A line for each malformed file: what Airlift says to it, and whether the reference agrees.

use airlift_formats::{
    matter::{
        ChipError,
        image::{Header, OtaImageError, Remark, Rules},
    },
    nxp::{self, FactoryData, FactoryDataError, PayloadError, tag},
};
use serde_json::Value;

use crate::{golden, judge};

/// What is said to a file.
enum Verdict {
    /// Everything is right.
    Good,
    /// Accepted: what is odd about it is no reason to refuse it.
    Odd(Remark),
    /// The image is refused, with this word.
    Image(&'static str),
    /// The image is right, its payload is refused.
    Payload(&'static str),
    /// The parts are right, the factory data are refused.
    FactoryData(&'static str),
}

use Verdict::{FactoryData as Factory, Good, Image, Odd, Payload};

/// Every file of the folder `bad`: what the strict rules say, and whether the lenient ones accept the image around the payload.
#[rustfmt::skip]
const BAD: &[(&str, Verdict, bool)] = &[
    ("m01_bad_magic",                Image("matter-file-identifier"),           false),
    ("m04_truncated_header_tlv",     Image("matter-truncated"),                 false),
    ("m05_header_size_1025",         Image("matter-header-too-long"),           false),
    ("m06_header_size_0",            Image("matter-header-empty"),              false),
    ("m07_header_size_minus1",       Image("matter-tlv-unterminated"),          false),
    ("m08_header_size_plus4",        Image("matter-total-size"),                false),
    ("m10_total_size_0",             Image("matter-total-size"),                true),
    ("m11_payload_truncated",        Image("matter-truncated"),                 false),
    ("m12_payload_trailing",         Image("matter-trailing-bytes"),            true),
    ("m13_payload_bitflip",          Image("matter-digest"),                    false),
    ("m14_digest_31_bytes",          Image("matter-digest-length"),             true),
    ("m15_digest_empty",             Image("matter-digest-length"),             true),
    ("m18_digest_type_256",          Image("matter-header-integer-too-large"),  false),
    ("m19_version_string_65",        Image("matter-header-text-length"),        false),
    ("m21_url_257",                  Image("matter-header-text-length"),        false),
    ("m22_no_vendor",                Image("matter-header-missing-field"),      false),
    ("m25_no_digest_type",           Image("matter-header-missing-field"),      false),
    ("m26_order_swapped",            Image("matter-header-field-order"),        false),
    // R2: later versions of the format may add fields behind the digest.
    ("m28_unknown_tag_after_digest", Good,                                      true),
    ("m29_unknown_tag_in_middle",    Image("matter-header-unknown-field"),      false),
    ("m30_max_before_min",           Image("matter-header-field-order"),        false),
    ("m31_vendor_signed",            Image("matter-header-field-type"),         false),
    ("m34_version_33_bits",          Image("matter-header-integer-too-large"),  false),
    ("m37_array_instead_of_structure", Image("matter-header-not-a-structure"),  false),
    ("m40_anonymous_member",         Image("matter-tlv-anonymous-member"),      false),
    ("m41_profile_tag_member",       Image("matter-header-unexpected-tag"),     false),
    ("m42_reserved_element_type",    Image("matter-tlv-reserved-type"),         false),
    // Legal and wasteful: readers accept forms that are longer than they need be.
    ("m43_string_8byte_length",      Good,                                      true),
    // No device can be updated with it, and none is harmed.
    ("m45_min_greater_max",          Odd(Remark::NoVersionApplicable),          true),
    ("m46_min_ge_version",           Odd(Remark::BoundsNotBelowVersion),        true),
    ("m50_version_string_bad_utf8",  Image("matter-header-text-encoding"),      true),
    ("m52_digest_as_utf8",           Image("matter-header-digest-is-text"),     true),
    ("m54_bytes_after_container",    Odd(Remark::BytesBehindStructure { count: 2 }), true),
    ("x01_unknown_tag",              Payload("nxp-unknown-tag"),                true),
    ("x02_tag_0",                    Payload("nxp-unknown-tag"),                true),
    ("x05_app_length_0",             Payload("nxp-no-descriptor"),              true),
    ("x06_factory_length_0",         Payload("nxp-no-factory-data"),            true),
    ("x08_descriptor_only",          Payload("nxp-no-image"),                   true),
    ("x09_tlv_header_truncated",     Payload("nxp-header-truncated"),           true),
    ("x10_trailing_3_bytes",         Payload("nxp-header-truncated"),           true),
    ("x14_factory_unknown_field",    Factory("factory-data-unknown-field"),     true),
    ("x16_factory_wrong_type",       Factory("factory-data-field-type"),        true),
    ("x17_factory_length_beyond",    Factory("factory-data-tlv-underrun"),      true),
    // Legal: every field is optional.
    ("x19_factory_only_cd",          Good,                                      true),
    ("x20_factory_only_key",         Good,                                      true),
    ("x21_big_endian_length",        Payload("nxp-beyond-payload"),             true),
];

#[test]
fn every_malformed_file_gets_the_verdict_of_the_table() {
    let named: Vec<String> = BAD
        .iter()
        .map(|(name, ..)| format!("bad/{name}.ota"))
        .collect();
    assert_eq!(
        named,
        golden::names("bad"),
        "the table has a line for each file"
    );
    for (name, verdict, lenient) in BAD {
        let file = golden::read(&format!("bad/{name}.ota"));
        let image = judge::strict(&file);
        let refused = image
            .verdict
            .err()
            .map(|error| OtaImageError::token(error.code()));
        let expected = match verdict {
            Image(token) => Some(*token),
            _ => None,
        };
        assert_eq!(refused, expected, "{name}: {:?}", image.verdict);
        let tolerated = judge::image([&file[..]], Rules::lenient());
        assert_eq!(
            tolerated.verdict.is_ok(),
            *lenient,
            "{name}: {:?}",
            tolerated.verdict
        );
        if let Odd(remark) = verdict {
            let header_size = u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize;
            let header = Header::parse(&file[16..16 + header_size], &Rules::strict()).unwrap();
            assert!(
                header.remarks().any(|found| found == *remark),
                "{name}: {header:?}"
            );
        }
        if name.starts_with('x') {
            payload(name, &image.payload, verdict);
        }
    }
}

/// Parts, and what is in the factory data.
fn payload(name: &str, bytes: &[u8], verdict: &Verdict) {
    let found = judge::payload(bytes.len(), [bytes], nxp::Rules::strict());
    let refused = found
        .verdict
        .err()
        .map(|error| PayloadError::token(error.code()));
    let expected = match verdict {
        Payload(token) => Some(*token),
        _ => None,
    };
    assert_eq!(refused, expected, "{name}: {:?}", found.verdict);
    let factory_data = found
        .parts
        .iter()
        .find(|(tag, ..)| *tag == tag::FACTORY_DATA);
    if let (None, Some((_, value, _))) = (expected, factory_data) {
        let refused = FactoryData::parse(value)
            .err()
            .map(|error| FactoryDataError::token(error.code()));
        let expected = match verdict {
            Factory(token) => Some(*token),
            _ => None,
        };
        assert_eq!(refused, expected, "{name}");
    }
}

/// For each file, good and bad: where the reference's header parser refuses, so does Airlift, under the reference's name;
/// what it accepts Airlift's lenient profile takes for a header as well.
#[test]
fn the_reference_s_header_parser_says_the_same() {
    let mut compared = 0;
    for verdict in golden::verdicts() {
        let text = |field: &str| match &verdict[field] {
            Value::String(text) => text.clone(),
            other => panic!("{field} is {other}"),
        };
        let (name, reference) = (text("file"), text("reference_header_parser"));
        let file = golden::read(&name);
        for rules in [Rules::strict(), Rules::lenient()] {
            let found = judge::image([&file[..]], rules);
            match (&reference[..], found.verdict) {
                ("OK", verdict) => {
                    let chip = verdict.err().and_then(|error| error.chip_error());
                    assert_eq!(chip, None, "{name}: {verdict:?}");
                    if rules == Rules::lenient() {
                        assert!(found.header.is_some(), "{name}: {verdict:?}");
                    }
                }
                (_, Err(error)) => {
                    let chip: ChipError = error
                        .chip_error()
                        .unwrap_or_else(|| panic!("{name}: {error}"));
                    let says = format!("0x{:02X} {}", chip.code, chip.name);
                    assert!(
                        reference.starts_with(&says),
                        "{name}: {says}, not {reference}"
                    );
                }
                (_, Ok(_)) => panic!("{name}: the reference refuses it: {reference}"),
            }
        }
        compared += 1;
    }
    assert!(compared > 60, "only {compared} files compared");
}

/// Strict checks of sizes, digest type, digest length and digest, made by another program.
#[test]
fn where_other_strict_checks_find_something_so_does_airlift() {
    for verdict in golden::verdicts() {
        let name = verdict["file"].as_str().unwrap();
        if matches!(verdict["strict_checks"].as_str(), Some("clean" | "-")) {
            continue;
        }
        let found = judge::strict(&golden::read(name));
        assert!(found.verdict.is_err(), "{name}: {verdict}");
    }
}

#[test]
fn every_error_says_what_and_where() {
    for (name, ..) in BAD {
        let file = golden::read(&format!("bad/{name}.ota"));
        if let Err(error) = judge::strict(&file).verdict {
            let text = error.to_string();
            assert!(text.len() > 20 && !text.contains('\n'), "{name}: {text}");
        }
    }
    let error = judge::strict(&golden::file("m19")).verdict.unwrap_err();
    assert_eq!(
        error.to_string(),
        "offset 28: SoftwareVersionString (tag 3) has 65 bytes, more than the 64 that are allowed"
    );
    let error = judge::strict(&golden::file("m22")).verdict.unwrap_err();
    assert_eq!(error.to_string(), "the header has no VendorID (tag 0)");
    let image = judge::strict(&golden::file("x01"));
    let payload = judge::payload(
        image.payload.len(),
        [&image.payload[..]],
        nxp::Rules::strict(),
    );
    assert_eq!(
        payload.verdict.unwrap_err().to_string(),
        "payload offset 1640, tag 99: the tag has no meaning"
    );
}
