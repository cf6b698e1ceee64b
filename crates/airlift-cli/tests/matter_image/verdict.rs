//! What is shown and said.

use std::{fs, path::Path};

use crate::{KEY, airlift, files, golden, input, json, refusal, stderr, stdout, success};

#[test]
fn good_images_are_good() {
    for file in files("good", "") {
        let name = file.file_name().unwrap().to_str().unwrap();
        let options: &[&str] = match &name[..3] {
            "n08" => &["--nxp-legacy-key", KEY],
            "n10" => &["--nxp-legacy-key", "000102030405060708090a0b0c0d0e0f"],
            name if name.starts_with(['n', 's']) => &["--payload", "nxp"],
            _ => &["--payload", "raw"],
        };
        let output = airlift("verify", &file, options);
        success(&output);
        assert!(stdout(&output).contains("good"), "{}", stdout(&output));
        let show = airlift("show", &file, &["--json"]);
        let json = json(&show);
        // Without its key the factory data of this one cannot be read.
        assert_eq!(json["valid"] == true, !name.starts_with("n08"), "{name}");
        assert_eq!(json["digest"]["valid"], true, "{name}");
    }
}

/// What is wrong, and with which part, in words and for programs.
#[test]
fn broken_images_are_refused_and_still_shown() {
    for (name, payload, word, text) in [
        (
            "m01_bad_magic",
            "raw",
            "matter-file-identifier",
            "not a Matter OTA image",
        ),
        (
            "m04_truncated_header_tlv",
            "raw",
            "matter-truncated",
            "within the header",
        ),
        (
            "m05_header_size_1025",
            "raw",
            "matter-header-too-long",
            "1025",
        ),
        (
            "m10_total_size_0",
            "raw",
            "matter-total-size",
            "offset 4 is 0",
        ),
        (
            "m11_payload_truncated",
            "raw",
            "matter-truncated",
            "there are 327",
        ),
        (
            "m12_payload_trailing",
            "raw",
            "matter-trailing-bytes",
            "offset 377",
        ),
        ("m13_payload_bitflip", "raw", "matter-digest", "digest"),
        (
            "m26_order_swapped",
            "auto",
            "matter-header-field-order",
            "VendorID (tag 0)",
        ),
        (
            "m42_reserved_element_type",
            "auto",
            "matter-tlv-reserved-type",
            "offset 17",
        ),
        (
            "x01_unknown_tag",
            "auto",
            "nxp-unknown-tag",
            "offset 1640, tag 99",
        ),
        ("x02_tag_0", "nxp", "nxp-unknown-tag", "offset 0, tag 0"),
        ("x05_app_length_0", "auto", "nxp-no-descriptor", "tag 1"),
        (
            "x06_factory_length_0",
            "auto",
            "nxp-no-factory-data",
            "tag 3",
        ),
        ("x08_descriptor_only", "auto", "nxp-no-image", "tag 1"),
        (
            "x09_tlv_header_truncated",
            "auto",
            "nxp-header-truncated",
            "5 bytes at the end",
        ),
        (
            "x10_trailing_3_bytes",
            "auto",
            "nxp-header-truncated",
            "3 bytes at the end",
        ),
        (
            "x14_factory_unknown_field",
            "auto",
            "factory-data-unknown-field",
            "tag 3",
        ),
        (
            "x17_factory_length_beyond",
            "auto",
            "factory-data-tlv-underrun",
            "tag 3",
        ),
        (
            "x21_big_endian_length",
            "nxp",
            "nxp-beyond-payload",
            "tag 16777216",
        ),
    ] {
        let file = golden(&format!("bad/{name}.ota"));
        let verify = airlift("verify", &file, &["--payload", payload, "--json"]);
        let message = refusal(&verify, &file);
        assert!(message.contains(text), "{message}");
        let json = json(&verify);
        assert_eq!(json["valid"], false);
        assert_eq!(json["error"], word, "{name}");
        if payload == "auto" {
            let show = airlift("show", &file, &[]);
            refusal(&show, &file);
            assert!(stdout(&show).contains("NOT GOOD"), "{}", stdout(&show));
        }
    }
}

#[test]
fn lenient_is_lenient_about_the_form_only() {
    for (name, accepted) in [
        ("m10_total_size_0", true),
        ("m12_payload_trailing", true),
        ("m50_version_string_bad_utf8", true),
        ("m52_digest_as_utf8", true),
        // Whether the payload is right cannot be known.
        ("m14_digest_31_bytes", false),
        ("m13_payload_bitflip", false),
        ("m11_payload_truncated", false),
        ("m26_order_swapped", false),
    ] {
        let file = golden(&format!("bad/{name}.ota"));
        refusal(&airlift("verify", &file, &[]), &file);
        let lenient = airlift("verify", &file, &["--lenient"]);
        assert_eq!(
            lenient.status.success(),
            accepted,
            "{name}: {}",
            stderr(&lenient)
        );
    }
}

#[test]
fn what_is_odd_gets_a_note_and_exit_code_0() {
    let file = golden("bad/m45_min_greater_max.ota");
    let output = airlift("verify", &file, &[]);
    success(&output);
    assert!(stdout(&output).contains("no device can be updated"));
    let json = json(&airlift("show", &file, &["--json"]));
    assert_eq!(json["remarks"][0]["remark"], "no-version-applicable");
}

#[test]
fn parts_are_shown_with_their_descriptors() {
    let file = golden("good/n07_everything.ota");
    let text = stdout(&airlift("show", &file, &[]));
    for line in [
        "107  custom          8757   1 391   1 259     1010  SsblTestVersion  2023-02-13",
        "  1  application    19079  20 132  20 000    50000  50000-version    2023-01-01",
        "factory data     DAC private key               32 bytes",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let json = json(&airlift("show", &file, &["--json"]));
    assert_eq!(json["payload"], "nxp");
    assert_eq!(json["parts"].as_array().unwrap().len(), 11);
    assert_eq!(json["parts"][8]["fields"][0]["name"], "DAC private key");
    assert_eq!(json["parts"][10]["descriptor"]["version"], 50000);
    // The key itself is a secret.
    let key = fs::read(input("dac_key.der")).unwrap();
    let hex: String = key[7..39]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(!json.to_string().contains(&hex) && !text.contains(&hex));
}

#[test]
fn the_legacy_key_comes_with_a_warning() {
    let file = golden("good/n08_encrypted.ota");
    let without = refusal(&airlift("verify", &file, &[]), &file);
    assert!(without.contains("--nxp-legacy-key"), "{without}");
    let with = airlift("verify", &file, &["--nxp-legacy-key", KEY]);
    success(&with);
    assert!(
        stderr(&with).contains("protects little"),
        "{}",
        stderr(&with)
    );
    let wrong = airlift(
        "verify",
        &file,
        &["--nxp-legacy-key", &KEY.replace('1', "2")],
    );
    assert_eq!(wrong.status.code(), Some(1));
}

/// Every prefix of a small image, and bytes of all kinds in its place: a verdict, never a panic.
#[test]
fn damaged_files_never_crash_the_tool() {
    let image = fs::read(golden("bad/x19_factory_only_cd.ota")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.ota");
    for len in [0, 1, 4, 15, 16, 17, 40, 76, 77, 85, 100, image.len() - 1] {
        fs::write(&file, &image[..len]).unwrap();
        let output = airlift("show", &file, &[]);
        refusal(&output, &file);
        assert!(stdout(&output).contains("NOT GOOD"));
    }
    for at in [0, 5, 12, 15, 16, 17, 22, 77, 81, 84, 85, 90] {
        let mut damaged = image.clone();
        damaged[at] ^= 0xFF;
        fs::write(&file, &damaged).unwrap();
        refusal(&airlift("show", &file, &["--json"]), &file);
    }
    let missing = airlift("show", Path::new("missing.ota"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("cannot open missing.ota"));
}
