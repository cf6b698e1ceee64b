//! `airlift image` over images of the official tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/matter");
    let path = Path::new(folder).join(name);
    assert!(
        path.exists(),
        "golden vectors are missing: {}",
        path.display()
    );
    path
}

fn input(name: &str) -> String {
    golden(&format!("inputs/{name}")).display().to_string()
}

/// Files of a golden folder whose names start like this.
fn files(folder: &str, start: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(golden(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(start)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}/{start}*");
    files
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airlift"))
        .arg("image")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn airlift(command: &str, file: &Path, options: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    run(Path::new("."), &[&[command, file], options].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Exit code 1, and one message that names the file.
fn refusal(output: &Output, file: &Path) -> String {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    let start = format!("airlift: {}", file.display());
    assert!(message.starts_with(&start), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[track_caller]
fn success(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

const KEY: &str = "1234567890ABCDEFA1B2C3D4E5F6F1B4";
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

#[test]
fn what_is_extracted_makes_the_same_image_again() {
    let folder = tempfile::tempdir().unwrap();
    for file in [files("good", "g"), files("good", "n"), files("good", "s")].concat() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        // Encrypted; or the parts are in another order than that of NXP's tool.
        if ["n08", "n10", "n12", "n13", "n14", "n15"].contains(&&name[..3]) {
            continue;
        }
        let parts = folder.path().join(name);
        let to = parts.to_str().unwrap();
        success(&airlift("extract", &file, &["-o", to]));
        let bundle = parts.join("bundle.toml");
        let out = folder.path().join("again.ota");
        let arguments = [
            "create",
            "-o",
            out.to_str().unwrap(),
            "--from",
            bundle.to_str().unwrap(),
        ];
        success(&run(Path::new("."), &arguments));
        assert!(
            fs::read(&out).unwrap() == fs::read(&file).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn parts_are_extracted_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let file = golden("good/n07_everything.ota");
    let one = airlift("extract", &file, &["-o", to, "--tag", "103"]);
    success(&one);
    let names = |folder: &Path| {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["tag-103.bin", "tag-103.toml"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("tag-103.bin") == fs::read(input("custom3.bin")).unwrap());
    let factory = airlift("extract", &file, &["-o", to, "--tag", "3"]);
    success(&factory);
    assert!(read("cd.der") == fs::read(input("cd.der")).unwrap());
    assert_eq!(read("dac-key.bin").len(), 32);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join("dac-key.bin"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "a private key is for its owner");
    }
    let missing = airlift("extract", &file, &["-o", to, "--tag", "5"]);
    assert!(refusal(&missing, &file).contains("no part with tag 5"));
    let raw = golden("good/g01_sdk_unit_vector.ota");
    let missing = airlift("extract", &raw, &["-o", to, "--tag", "5"]);
    assert!(refusal(&missing, &raw).contains("raw"));

    // Decrypted, with the padding that nobody can tell from the image.
    let encrypted = golden("good/n10_encrypted_key2.ota");
    let key = [
        "-o",
        to,
        "--nxp-legacy-key",
        "000102030405060708090A0B0C0D0E0F",
    ];
    success(&airlift("extract", &encrypted, &key));
    let image = read("application.bin");
    let original = fs::read(input("ssbl.bin")).unwrap();
    assert!(
        image.starts_with(&original) && image[original.len()..].iter().all(|byte| *byte == 0xFF)
    );

    // Nothing comes out of what is not good.
    let bad = golden("bad/x01_unknown_tag.ota");
    let nowhere = folder.path().join("nowhere");
    refusal(
        &airlift("extract", &bad, &["-o", nowhere.to_str().unwrap()]),
        &bad,
    );
    assert!(!nowhere.exists());
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
