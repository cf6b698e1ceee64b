//! What is made: the bytes of the official tools, or nothing.

use std::{fs, path::Path};

use crate::{KEY, golden, input, json, run, stderr, stdout, success};

const IDS: [&str; 4] = ["--vendor", "0xDEAD", "--product", "48879"];
const OF_NXP: [&str; 4] = ["--version", "50000", "--version-string", "1.0"];

/// Makes an image in a folder and compares it with a golden one.
#[track_caller]
fn makes(folder: &Path, arguments: &[&str], expected: &str) {
    let out = folder.join("out.ota");
    let create = ["create", "-o", out.to_str().unwrap()];
    let output = run(&golden("inputs"), &[&create[..], arguments].concat());
    success(&output);
    let same = fs::read(&out).unwrap() == fs::read(golden(expected)).unwrap();
    assert!(same, "{expected} differs: {}", stdout(&output));
}

#[test]
fn images_are_those_of_the_official_tool() {
    let folder = tempfile::tempdir().unwrap();
    let with = |arguments: &[&str]| [&IDS[..], arguments].concat().join(" ");
    let makes = |arguments: String, expected: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        makes(folder.path(), &arguments, expected);
    };
    makes(
        with(&[
            "--version 0xFFFFFFFF --version-string 1.0 --min-version 1 --max-version 2",
            "--release-notes https://rn test_payload.bin",
        ]),
        "good/g01_sdk_unit_vector.ota",
    );
    makes(
        "--vendor 1 --product 1 --version 1 --version-string 1 --digest sha3_224 empty.bin"
            .to_owned(),
        "good/g02_sdk_min_vector.ota",
    );
    makes(
        with(&["--version 3 --version-string 3.0 --digest sha384 p4k.bin"]),
        "good/g04_sha384.ota",
    );
    makes(
        with(&["--version 4 --version-str 4.0 --digest-algorithm sha-512 p4k.bin"]),
        "good/g05_sha512.ota",
    );
    makes(
        with(&["--version 7 --version-string 7.0 p1mib.bin"]),
        "good/g09_1mib.ota",
    );
    makes(
        with(&["--version 100 --version-string 100 --min-version 99 test_payload.bin"]),
        "good/g11_min_only.ota",
    );
    makes(
        with(&["--version 9 --version-string 9.0-beta-\u{e9} test_payload.bin"]),
        "good/g12_utf8_version.ota",
    );
}

const APP: [&str; 8] = [
    "--app",
    "app.bin",
    "--app-version",
    "50000",
    "--app-version-string",
    "50000-version",
    "--app-build-date",
    "2023-01-01",
];
const BOOTLOADER: [&str; 8] = [
    "--bootloader",
    "ssbl.bin",
    "--bootloader-version",
    "1",
    "--bootloader-version-string",
    "SSBL-version-1",
    "--bootloader-build-date",
    "2023-01-01",
];
const FACTORY: [&str; 2] = [
    "--factory-data",
    "dac_key.der,dac_cert.der,pai_cert.der,cd.der",
];
const JSON: [&str; 2] = ["--tlv-json", "max_entries.json"];

#[test]
fn payloads_are_those_of_nxp_s_tool() {
    let folder = tempfile::tempdir().unwrap();
    let makes = |arguments: &[&[&str]], expected: &str| {
        let arguments = [&IDS[..], &OF_NXP[..], &arguments.concat()].concat();
        makes(folder.path(), &arguments, expected);
    };
    makes(&[&["--app", "app.bin"]], "good/n01_app_default_desc.ota");
    makes(&[&FACTORY], "good/n03_factory.ota");
    makes(
        &[&APP, &BOOTLOADER, &FACTORY],
        "good/n05_app_ssbl_factory.ota",
    );
    makes(&[&JSON], "good/n06_max_entries_8.ota");
    makes(
        &[&APP, &BOOTLOADER, &FACTORY, &JSON],
        "good/n07_everything.ota",
    );
    let key = ["--nxp-legacy-key", KEY];
    makes(&[&APP, &FACTORY, &key], "good/n08_encrypted.ota");
    let key = ["--nxp-legacy-key", "000102030405060708090A0B0C0D0E0F"];
    makes(
        &[&["--app", "ssbl.bin"], &key],
        "good/n10_encrypted_key2.ota",
    );
}

/// Everything in one image, declared in a file; options go before what it says.
#[test]
fn a_bundle_declares_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in [
        "app.bin",
        "ssbl.bin",
        "dac_key.der",
        "dac_cert.der",
        "pai_cert.der",
        "cd.der",
    ] {
        fs::copy(input(name), path(name)).unwrap();
    }
    let mut bundle = "\
        vendor = 0xDEAD\nproduct = 0xBEEF\nversion = 1\nversion_string = \"1.0\"\ndigest = \"sha256\"\n\
        [app]\nfile = \"app.bin\"\nversion = 50000\nversion_string = \"50000-version\"\nbuild_date = \"2023-01-01\"\n\
        [bootloader]\nfile = \"ssbl.bin\"\nversion = 1\nversion_string = \"SSBL-version-1\"\nbuild_date = \"2023-01-01\"\n\
        [factory_data]\ndac_key = \"dac_key.der\"\ndac_cert = \"dac_cert.der\"\npai_cert = \"pai_cert.der\"\n\
        cert_declaration = \"cd.der\"\n"
        .to_owned();
    for index in 0..8_u32 {
        let name = format!("custom{index}.bin");
        fs::copy(input(&name), path(&name)).unwrap();
        let (tag, version) = (100 + index, 1003 + index);
        bundle += &format!("[[tlv]]\ntag = {tag}\nfile = \"{name}\"\n");
        // The three ways to give a descriptor.
        bundle += &match index % 3 {
            0 => format!(
                "descriptor = {{ version = {version}, version_string = \"SsblTestVersion\", build_date = \"2023-02-13\" }}\n"
            ),
            1 => format!(
                "descriptor.field = [{{ length = 4, value = {version} }}, {{ length = 64, value = \"SsblTestVersion\" }}, \
                 {{ name = \"date\", length = 64, value = \"2023-02-13\" }}]\n"
            ),
            _ => {
                let descriptor = format!(
                    "version = {version}\nversion_string = \"SsblTestVersion\"\nbuild_date = \"2023-02-13\"\n"
                );
                fs::write(path(&format!("{index}.toml")), descriptor).unwrap();
                format!("descriptor = \"{index}.toml\"\n")
            }
        };
    }
    fs::write(path("bundle.toml"), bundle).unwrap();
    let bundle = path("bundle.toml");
    // Its paths count from its folder, not from the working directory.
    let arguments = ["--from", bundle.to_str().unwrap(), "--version", "50000"];
    makes(folder.path(), &arguments, "good/n07_everything.ota");
    for (text, message) in [
        ("vendor = 1\n", "version_string are needed"),
        ("colour = 1\n", "unknown field"),
        (
            "vendor = 1\nproduct = 1\nversion = 1\nversion_string = \"1\"\n",
            "nothing in it",
        ),
        (
            "vendor = 1\nproduct = 1\nversion = 1\nversion_string = \"1\"\npayload = [\"gone.bin\"]\n",
            "gone.bin",
        ),
    ] {
        fs::write(&bundle, text).unwrap();
        let output = run(
            folder.path(),
            &["create", "-o", "x.ota", "--from", "bundle.toml"],
        );
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
    assert!(!path("x.ota").exists());
}

#[test]
fn custom_parts_come_with_and_without_a_descriptor() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("c.bin"), b"sounds").unwrap();
    fs::write(
        path("d.toml"),
        "[[field]]\nlength = 3\nvalue = 258\n[[field]]\nlength = 2\nvalue = \"x\"\n",
    )
    .unwrap();
    let create = |arguments: &[&str]| {
        let start = ["create", "-o", "out.ota"];
        run(
            folder.path(),
            &[&start, &IDS[..], &OF_NXP, arguments].concat(),
        )
    };
    let output = create(&["--tlv", "100:c.bin:d.toml", "--tlv", "4:c.bin", "--json"]);
    success(&output);
    let json = json(&output);
    assert_eq!(json["valid"], true);
    assert_eq!(
        (&json["parts"][0]["tag"], &json["parts"][1]["tag"]),
        (&100.into(), &4.into())
    );
    let file = fs::read(path("out.ota")).unwrap();
    assert!(file.ends_with(b"\x64\0\0\0\x0b\0\0\0\x02\x01\0x\0sounds\x04\0\0\0\x06\0\0\0sounds"));

    fs::write(
        path("long.toml"),
        "[[field]]\nname = \"n\"\nlength = 1\nvalue = 256\n",
    )
    .unwrap();
    fs::write(
        path("both.toml"),
        "version = 1\nversion_string = \"1\"\n[[field]]\nlength = 1\nvalue = 1\n",
    )
    .unwrap();
    fs::write(
        path("t99.json"),
        r#"{"inputs":[{"tag":99,"path":"c.bin"}]}"#,
    )
    .unwrap();
    fs::write(path("tn.json"), r#"{"inputs":[{"path":"c.bin"}]}"#).unwrap();
    fs::write(path("empty.bin"), b"").unwrap();
    for (arguments, message) in [
        (&["--tlv", "99:c.bin"][..], "tag 99 is reserved"),
        (&["--tlv", "1:c.bin"], "tag 1 is reserved"),
        (
            &["--tlv", "100:c.bin", "--tlv", "100:c.bin"],
            "tag 100 is given twice",
        ),
        (
            &["--tlv", "100:c.bin:long.toml"],
            "the value has 2 bytes, the field 1",
        ),
        (&["--tlv", "100:c.bin:both.toml"], "cannot stand beside"),
        (&["--tlv-json", "t99.json"], "tag 99 is reserved"),
        (&["--tlv-json", "tn.json"], "missing field `tag`"),
        (&["--app", "empty.bin"], "the application is empty"),
        (&["--app", "gone.bin"], "cannot open gone.bin"),
        (
            &["--app", "c.bin", "--app-version-string", &"v".repeat(65)],
            "room for 64",
        ),
        (&["--factory-data", "c.bin,,,"], "not a private key"),
        (
            &["--factory-data", "c.bin,c.bin,c.bin,c.bin"],
            "not a private key",
        ),
        (
            &["c.bin", "--nxp-legacy-key", KEY],
            "only parts are encrypted",
        ),
        (
            &["c.bin", "--max-version", "50000"],
            "not below the version",
        ),
        (
            &["c.bin", "--min-version", "9", "--max-version", "8"],
            "above the highest",
        ),
        (&["c.bin", "--digest", "sha256-32"], "too short"),
        (&["c.bin", "--release-notes", ""], "has 0 bytes"),
    ] {
        fs::remove_file(path("out.ota")).ok();
        let output = create(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(!path("out.ota").exists(), "{arguments:?}");
    }
    for wrong in [
        &["c.bin", "--app", "c.bin"][..],
        &[],
        &["c.bin", "--digest", "md5"],
        &["--tlv", "c.bin"],
        &["--factory-data", "c.bin"],
        &["--app", "c.bin", "--nxp-legacy-key", "00"],
        &["c.bin", "--app-version", "1"],
        &["--bootloader", "c.bin", "--app-version", "1"],
        &["--from", "b.toml", "--app-version", "1"],
        &["c.bin", "--min-version", "-1"],
    ] {
        assert_eq!(create(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
