//! `airlift esp image` over images of the official tools.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/esp");
    let path = Path::new(folder).join(name);
    assert!(
        path.exists(),
        "golden vectors are missing: {}",
        path.display()
    );
    path
}

fn airlift(command: &str, file: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_airlift"))
        .args(["esp", "image", command])
        .arg(file)
        .args(options)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
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

#[test]
fn good_images_are_good() {
    for name in [
        "app/app_esp32_v1.bin",
        "app/app_esp32p4_v1.bin",
        "app/bootloader_esp32c3.bin",
        "signed/app_esp32s3_signed_v2_rsa.bin",
    ] {
        let file = golden(name);
        let verify = airlift("verify", &file, &["--partition-size", "1MB"]);
        assert_eq!(verify.status.code(), Some(0), "{}", stderr(&verify));
        assert!(stdout(&verify).contains("good"), "{}", stdout(&verify));
        let show = airlift("show", &file, &["--json"]);
        assert_eq!(show.status.code(), Some(0), "{}", stderr(&show));
        let json: Value = serde_json::from_str(&stdout(&show)).unwrap();
        assert_eq!(json["valid"], true);
        assert_eq!(json["checksum"]["valid"], true);
        assert_eq!(json["hash"]["valid"], true);
    }
}

#[test]
fn broken_images_are_refused_and_still_shown() {
    for (name, word, text) in [
        ("bad_magic", "image-magic", "first byte"),
        ("bad_segcount0", "image-segment-count", "0 segments"),
        ("bad_segcount17", "image-segment-count", "17 segments"),
        ("bad_seglen_odd", "image-segment-length", "0x501"),
        (
            "bad_appdesc_magic",
            "image-descriptor-magic",
            "no app descriptor",
        ),
        ("bad_checksum", "image-checksum", "wrong checksum"),
        ("bad_data_hash_fixed", "image-checksum", "wrong checksum"),
        (
            "bad_trailing_garbage",
            "image-trailing-data",
            "behind the image",
        ),
        (
            "fake_header32_checksum_collides",
            "image-hash-missing",
            "no SHA-256",
        ),
        ("merged_esp32_4MB_head", "image-magic", "erased flash"),
    ] {
        let file = golden(&format!("app/{name}.bin"));
        let message = refusal(&airlift("verify", &file, &[]), &file);
        assert!(message.contains(text), "{message}");
        let show = airlift("show", &file, &["--json"]);
        refusal(&show, &file);
        let json: Value = serde_json::from_str(&stdout(&show)).unwrap();
        assert_eq!(json["valid"], false);
        assert_eq!(json["error"], word, "{name}");
        let show = airlift("show", &file, &[]);
        refusal(&show, &file);
        assert!(stdout(&show).contains("NOT GOOD"), "{}", stdout(&show));
    }
}

#[test]
fn the_chip_and_the_partition_are_conditions() {
    let file = golden("app/app_esp32_v1.bin");
    let verify = |options: &[&str]| airlift("verify", &file, options);
    assert_eq!(verify(&["--chip", "esp32"]).status.code(), Some(0));
    let message = refusal(&verify(&["--chip", "ESP32-S3"]), &file);
    assert!(message.contains("for ESP32, not for ESP32-S3"), "{message}");
    let message = refusal(&verify(&["--partition-size", "64K"]), &file);
    assert!(message.contains("65536"), "{message}");
    let message = refusal(&verify(&["--partition-offset", "0x4000"]), &file);
    assert!(message.contains("cannot be mapped"), "{message}");
    let message = refusal(&verify(&["--chip-revision", "4.0"]), &file);
    assert!(message.contains("v3.99"), "{message}");
    let message = refusal(&verify(&["--project", "other"]), &file);
    assert!(
        message.contains("golden") && message.contains("other"),
        "{message}"
    );
    assert_eq!(verify(&["--project", "golden"]).status.code(), Some(0));
    let message = refusal(&verify(&["--min-secure-version", "1"]), &file);
    assert!(message.contains("below 1"), "{message}");
    for wrong in [["--chip", "esp33"], ["--partition-size", "4GB"]] {
        assert_eq!(verify(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn idf_accepts_more() {
    let file = golden("app/bad_trailing_garbage.bin");
    let verify = airlift("verify", &file, &["--idf", "--chip", "esp32"]);
    assert_eq!(verify.status.code(), Some(0), "{}", stderr(&verify));
    let file = golden("app/bad_checksum.bin");
    let message = refusal(&airlift("verify", &file, &["--idf"]), &file);
    let line = "0x2002: Checksum failed. Calculated 0x4b read 0x4a";
    assert!(message.contains(line), "{message}");
}

#[test]
fn a_signature_is_shown_as_not_verified() {
    let file = golden("signed/app_esp32s3_signed_v2_ec.bin");
    let text = stdout(&airlift("show", &file, &[]));
    let line = "ECDSA P-256, undamaged, not verified";
    assert!(text.contains(line), "{text}");
}

#[test]
fn files_that_are_no_images_get_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.bin");
    std::fs::write(&empty, b"").unwrap();
    let large = folder.path().join("large.bin");
    std::fs::File::create(&large)
        .unwrap()
        .set_len((16 << 20) + 4097)
        .unwrap();
    let missing = folder.path().join("missing.bin");
    for (file, text) in [(&empty, "ends early"), (&large, "larger than")] {
        for command in ["show", "verify"] {
            let message = refusal(&airlift(command, file, &[]), file);
            assert!(message.contains(text), "{message}");
        }
    }
    let output = airlift("show", &missing, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot open"),
        "{}",
        stderr(&output)
    );
}

/// Every prefix of a small image, and bytes of all kinds in its place: a verdict, never a panic.
#[test]
fn damaged_files_never_crash_the_tool() {
    let image = std::fs::read(golden("app/bootloader_esp32c3.bin")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image.bin");
    for len in [0, 1, 23, 24, 31, 32, 40, 600, 700, image.len() - 1] {
        std::fs::write(&file, &image[..len]).unwrap();
        let output = airlift("show", &file, &[]);
        refusal(&output, &file);
        assert!(stdout(&output).contains("NOT GOOD"));
    }
    for at in [0, 1, 12, 23, 28, 29, 31] {
        let mut damaged = image.clone();
        damaged[at] ^= 0xFF;
        std::fs::write(&file, &damaged).unwrap();
        refusal(&airlift("show", &file, &["--json"]), &file);
    }
}

#[test]
fn an_app_is_no_boot_loader() {
    let file = golden("app/app_esp32_v1.bin");
    let message = refusal(&airlift("verify", &file, &["--bootloader"]), &file);
    assert!(message.contains("not a boot loader"), "{message}");
    let loader = golden("app/bootloader_esp32c3.bin");
    assert!(
        airlift("verify", &loader, &["--bootloader"])
            .status
            .success()
    );
}
