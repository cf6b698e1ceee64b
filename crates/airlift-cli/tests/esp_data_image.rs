//! `airlift esp data-image`, as a user runs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp/app"
    );
    let path = Path::new(folder).join(name);
    assert!(
        path.exists(),
        "golden vectors are missing: {}",
        path.display()
    );
    path
}

/// A folder of files to work in.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs it in the folder.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_airlift"))
            .args(["esp", "data-image"])
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn create(&self, data: &[u8], options: &[&str]) -> Output {
        self.file("data", data);
        let arguments = ["create", "data", "-o", "made.bin", "--chip", "esp32c3"];
        self.run(&[&arguments, options].concat())
    }

    fn made(&self) -> Vec<u8> {
        fs::read(self.path("made.bin")).unwrap()
    }
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Exit code 1, and one message that names the file.
fn refusal(output: &Output, file: &str) -> String {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.starts_with(&format!("airlift: {file}: ")),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// A file of the demo's form, made by its rule.
fn by_the_rule(data: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 32];
    (file[0], file[12]) = (0xE9, 5);
    file.extend_from_slice(data);
    file.resize(file.len().max(1024), 0);
    file
}

#[test]
fn what_is_created_can_be_shown_and_extracted() {
    for data in [
        &b"a table of tones"[..],
        &[b'x'; 992],
        &[b'x'; 993],
        &[0; 5000],
    ] {
        let bench = Bench::new();
        let text = stdout(&bench.create(data, &[]));
        assert!(text.contains("Calculated 0xef read 0x0"), "{text}");
        assert_eq!(text.contains("does not record"), data.len() < 992, "{text}");
        assert_eq!(bench.made(), by_the_rule(data));
        stdout(&bench.run(&["show", "made.bin"]));
        stdout(&bench.run(&["extract", "made.bin", "-o", "again"]));
        assert_eq!(fs::read(bench.path("again")).unwrap(), data);
    }
}

#[test]
fn standard_output_takes_the_bytes_and_nothing_else() {
    let bench = Bench::new();
    bench.file("data", b"text");
    let output = bench.run(&["create", "data", "-o", "-", "--chip", "5"]);
    assert_eq!(output.stdout, by_the_rule(b"text"));
    bench.file("made.bin", &output.stdout);
    let output = bench.run(&["extract", "made.bin", "-o", "-", "--length", "6"]);
    assert_eq!(output.stdout, b"text\0\0");
}

#[test]
fn data_have_to_fit_the_slot() {
    let bench = Bench::new();
    let data = vec![1; (64 << 10) - 32];
    stdout(&bench.create(&data, &["--slot-size", "64K"]));
    assert_eq!(bench.made().len(), 64 << 10);
    fs::remove_file(bench.path("made.bin")).unwrap();

    let output = bench.create(&[&data[..], b"1"].concat(), &["--slot-size", "64K"]);
    let message = refusal(&output, "data");
    assert!(
        message.contains("room for 65504 bytes") && message.contains("--slot-size"),
        "{message}"
    );
    let message = refusal(&bench.create(&vec![1; 1 << 20], &[]), "data");
    assert!(message.contains("1048576"), "{message}");
    assert!(!bench.path("made.bin").exists());
    for size in ["1023", "17M", "x"] {
        let output = bench.create(b"text", &["--slot-size", size]);
        assert_eq!(output.status.code(), Some(2), "{size}");
    }
}

#[test]
fn mistakes_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    let message = refusal(&bench.create(b"", &[]), "data");
    assert!(message.contains("empty"), "{message}");
    let message = refusal(&bench.create(&by_the_rule(b"text"), &[]), "data");
    assert!(message.contains("already"), "{message}");
    assert!(!bench.path("made.bin").exists());

    let output = bench.run(&["create", "data", "-o", "data", "--chip", "esp32"]);
    assert!(refusal(&output, "data").contains("this is the input"));
    let output = bench.run(&["create", "none", "-o", "made.bin", "--chip", "esp32"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot open none"));
    let output = bench.run(&["create", "data", "-o", "made.bin"]);
    assert_eq!(output.status.code(), Some(2), "a chip is never guessed");
}

#[test]
fn a_safe_file_is_shown_with_what_is_uncertain() {
    let bench = Bench::new();
    bench.file("made.bin", &by_the_rule(b"\x1b[2J\"tones\"\n"));
    let text = stdout(&bench.run(&["show", "made.bin"]));
    for line in [
        "bytes            1024",
        "chip             ESP32-C3 (number 5)",
        "data             12 to 992 bytes",
        r#"starts with      "\x1b[2J\"tones""#,
        "ESP-IDF          refuses to boot it: Checksum failed. Calculated 0xef read 0x0",
        "note: the length of the data is not recorded, and zeros fill the file up: they are 12 to 992 bytes",
        "safe",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let output = bench.run(&["show", "made.bin", "--json", "--chip", "esp32c3"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["safe"], true);
    assert_eq!(json["error"], Value::Null);
    assert_eq!(json["chip"], "esp32c3");
    assert_eq!(json["data_len"], Value::Null);
    assert_eq!(
        (&json["data_len_min"], &json["data_len_max"]),
        (&json!(12), &json!(992))
    );
    assert_eq!(json["starts_with"], r#"\x1b[2J\"tones"#);
    assert_eq!(
        json["idf_refusal"],
        "Checksum failed. Calculated 0xef read 0x0"
    );
    assert_eq!(json["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_byte_that_looks_like_a_spi_mode_is_warned_of() {
    let bench = Bench::new();
    let mut data = vec![0; 2000];
    data[181] = 3;
    let output = bench.create(&data, &[]);
    stdout(&output);
    let warning = stderr(&output);
    assert!(
        warning.starts_with("airlift: made.bin: WARNING: byte 213 (byte 181 of the data) is 0x03"),
        "{warning}"
    );
    let text = stdout(&bench.run(&["show", "made.bin"]));
    assert!(
        text.contains("note: byte 213") && text.contains("0x1508"),
        "{text}"
    );
    data[181] = 0;
    assert_eq!(stderr(&bench.create(&data, &[])), "");
    let text = stdout(&bench.run(&["show", "made.bin"]));
    assert!(!text.contains("note:"), "{text}");
}

#[test]
fn a_dump_of_a_slot_is_recognised() {
    let bench = Bench::new();
    let mut slot = by_the_rule(&[b'x'; 3000]);
    slot.resize(8192, 0xFF);
    bench.file("slot.bin", &slot);
    let text = stdout(&bench.run(&["show", "slot.bin"]));
    assert!(text.contains("the last 5160 bytes are 0xff"), "{text}");
}

#[test]
fn the_length_is_what_the_user_says_where_the_file_does_not() {
    let bench = Bench::new();
    bench.file("made.bin", &by_the_rule(b"text\0\0"));
    let output = bench.run(&["extract", "made.bin", "-o", "out"]);
    stdout(&output);
    let warning = stderr(&output);
    assert!(
        warning.contains("WARNING: the length") && warning.contains("written were 4"),
        "{warning}"
    );
    let output = bench.run(&["extract", "made.bin", "-o", "out", "--length", "6"]);
    assert_eq!(
        (stdout(&output), stderr(&output)),
        (String::new(), String::new())
    );
    assert_eq!(fs::read(bench.path("out")).unwrap(), b"text\0\0");
    for length in ["3", "993"] {
        let output = bench.run(&["extract", "made.bin", "-o", "out", "--length", length]);
        let message = refusal(&output, "made.bin");
        assert!(message.contains("at least 4 and at most 992"), "{message}");
    }
    assert_eq!(fs::read(bench.path("out")).unwrap(), b"text\0\0");
}

#[test]
fn what_may_boot_and_what_is_no_data_image_is_refused() {
    let bench = Bench::new();
    let change = |offset: usize, byte: u8| {
        let mut file = by_the_rule(&[b'x'; 2000]);
        file[offset] = byte;
        file
    };
    let read = |name| fs::read(golden(name)).unwrap();
    let cases: [(Vec<u8>, &str, &str, bool); 10] = [
        (change(31, 0xEF), "checksum-byte", "byte 31 is 0xef", true),
        (
            read("fake_header32_checksum_collides.bin"),
            "checksum-collides",
            "an app image of 2096 bytes in 1 segment(s)",
            true,
        ),
        (read("app_esp32c3_v1.bin"), "app-image", "70224 bytes", true),
        (
            read("fake_header32_nothing_after.bin"),
            "segments",
            "declares 1 segment(s)",
            false,
        ),
        (
            read("fake_header_only.bin"),
            "segments",
            "declares 5 segment(s)",
            false,
        ),
        (change(23, 1), "hash-appended", "byte 23", false),
        (change(2, 2), "header-byte", "byte 2 is 0x02", false),
        (vec![0xFF; 4096], "magic", "0xff, not 0xe9", false),
        (
            by_the_rule(b"text")[..1023].to_vec(),
            "too-short",
            "at least 1024",
            false,
        ),
        (Vec::new(), "too-short", "0 bytes", false),
    ];
    for (bytes, word, text, boots) in cases {
        bench.file("bad.bin", &bytes);
        let output = bench.run(&["show", "bad.bin", "--json"]);
        let message = refusal(&output, "bad.bin");
        assert!(message.contains(text), "{message}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["safe"], false, "{word}");
        assert_eq!(json["error"], format!("data-image-{word}"));
        assert_eq!(json["idf_refusal"].is_null(), boots, "{word}");

        let output = bench.run(&["show", "bad.bin"]);
        refusal(&output, "bad.bin");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            shown.contains("REFUSED: ") && shown.contains(text),
            "{shown}"
        );
        assert_eq!(shown.contains("would boot it\n"), boots, "{shown}");

        let output = bench.run(&["extract", "bad.bin", "-o", "out"]);
        assert!(refusal(&output, "bad.bin").contains(text));
        assert!(!bench.path("out").exists());
    }
}

#[test]
fn another_chip_is_refused() {
    let bench = Bench::new();
    bench.file("made.bin", &by_the_rule(b"text"));
    let output = bench.run(&["show", "made.bin", "--chip", "esp32"]);
    let message = refusal(&output, "made.bin");
    assert!(message.contains("for ESP32-C3, not for ESP32"), "{message}");
}
