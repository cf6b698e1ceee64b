//! `airlift esp table`, as a user runs it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/esp");
const BOOT_LOADERS: [&str; 4] = [
    "--primary-bootloader-offset",
    "0x1000",
    "--recovery-bootloader-offset",
    "0x3F0000",
];

fn golden(name: &str) -> PathBuf {
    let path = Path::new(GOLDEN).join(name);
    assert!(path.exists(), "golden vector {path:?} is missing");
    path
}

/// Names in a golden folder that end with `suffix`, without it.
fn golden_stems(folder: &str, suffix: &str) -> Vec<String> {
    let names = fs::read_dir(golden(folder)).unwrap();
    let mut stems: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".roundtrip.csv"))
        .filter_map(|name| Some(name.strip_suffix(suffix)?.to_owned()))
        .collect();
    stems.sort();
    assert!(!stems.is_empty(), "no golden vectors {folder}/*{suffix}");
    stems
}

fn airlift() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_airlift"));
    command.args(["esp", "table"]);
    command
}

fn run(arguments: &[&str]) -> Output {
    airlift().args(arguments).output().unwrap()
}

/// The same with something on standard input.
fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = airlift()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn assert_good(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

/// Refused with a message of our own making and nothing that looks like a crash.
#[track_caller]
fn assert_refused(output: &Output) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    let last = stderr(output).split("airlift: ").last().unwrap_or_default();
    assert!(!last.trim().is_empty(), "no message");
    assert!(!stderr(output).contains("panicked"), "{}", stderr(output));
}

/// A folder of its own, and a CSV file in it.
struct Fixture {
    folder: tempfile::TempDir,
    csv: String,
    bin: String,
}

impl Fixture {
    fn new(csv: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (file, bin) = (path("in.csv"), path("out.bin"));
        fs::write(&file, csv).unwrap();
        Self {
            csv: file,
            bin,
            folder,
        }
    }

    fn build(&self, arguments: &[&str]) -> Output {
        run(&[&["build", &self.csv, "-o", &self.bin], arguments].concat())
    }

    /// Names of all files in the folder.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

const GOOD: &str = "\
    nvs, data, nvs, 0x9000, 16K\n\
    otadata, data, ota, , 8K\n\
    ota_0, app, ota_0, 0x10000, 1M, encrypted\n\
    ota_1, app, ota_1, , 1536K\n\
    mine, 0x40, 0x41, , 0x1000, readonly\n";

#[test]
fn golden_tables_are_built_shown_and_checked() {
    for stem in golden_stems("ptable", ".md5.bin") {
        let fixture = Fixture::new("");
        let csv = golden(&format!("ptable/{stem}.csv"));
        let csv = csv.to_str().unwrap();
        let mut project = BOOT_LOADERS.to_vec();
        if stem == "custom_subtypes" {
            project.extend([
                "--extra-partition-subtypes",
                "app, my_app1, 0x40",
                "app, my_app2, 0x41",
            ]);
        }
        for (suffix, md5) in [("md5.bin", &[][..]), ("nomd5.bin", &["--no-md5"])] {
            let expected = Path::new(GOLDEN).join(format!("ptable/{stem}.{suffix}"));
            if !expected.exists() {
                continue;
            }
            let built = [&["build", csv, "-o", &fixture.bin], md5, &project].concat();
            assert_good(&run(&built));
            assert!(
                fs::read(&fixture.bin).unwrap() == fs::read(&expected).unwrap(),
                "{stem}.{suffix}"
            );

            let shown = run(&[&["show", &fixture.bin, "--format", "csv"], &project[..]].concat());
            assert_good(&shown);
            let text = Path::new(GOLDEN).join(format!("ptable/{stem}.roundtrip.csv"));
            if text.exists() {
                assert_eq!(stdout(&shown), fs::read_to_string(&text).unwrap(), "{stem}");
            }
            assert_good(&run(&[&["check", &fixture.bin], md5, &project].concat()));
        }
        assert_good(&run(&[&["check", csv], &project[..]].concat()));
    }
}

#[test]
fn golden_errors_are_refused_with_the_official_message_and_write_nothing() {
    for stem in golden_stems("ptable_err", ".csv") {
        let told = fs::read_to_string(golden(&format!("ptable_err/{stem}.stderr.txt"))).unwrap();
        let mut parts = told.splitn(3, '\n');
        let rc = parts.next().unwrap();
        let arguments = parts.next().unwrap().strip_prefix("args=").unwrap();
        let message = parts.next().unwrap().trim_end();
        // Called --no-md5 here; the official name works, too.
        let arguments: Vec<&str> = arguments.split_whitespace().collect();

        let fixture = Fixture::new("");
        let csv = golden(&format!("ptable_err/{stem}.csv"));
        let csv = csv.to_str().unwrap();
        let output = run(&[&["build", csv, "-o", &fixture.bin], &arguments[..]].concat());
        assert_eq!(fixture.files(), ["in.csv"], "{stem}");
        if stem.starts_with("e34") {
            // A size that no option names is wrong usage.
            assert_eq!(output.status.code(), Some(2), "{stem}");
            continue;
        }
        assert_refused(&output);
        let text = stderr(&output);
        assert!(text.starts_with(&format!("airlift: {csv}: ")), "{text}");
        if rc == "rc=2" {
            assert!(text.trim_end().ends_with(message), "{stem}: {text}");
        } else {
            // A Python exception there, a message of our own here.
            assert!(text.contains("Error at line "), "{stem}: {text}");
        }
        // Every message names the line, unless it is about the options.
        assert!(
            stem.starts_with("e32") || text.contains("line"),
            "{stem}: {text}"
        );
        assert_refused(&run(&[&["check", csv], &arguments[..]].concat()));
    }
}

#[test]
fn golden_oddities_are_built_with_a_warning_and_refused_by_strict() {
    for stem in golden_stems("ptable_odd", ".csv") {
        let fixture = Fixture::new("");
        let told = fs::read_to_string(golden(&format!("ptable_odd/{stem}.stderr.txt"))).unwrap();
        let arguments = told.lines().nth(1).unwrap().strip_prefix("args=").unwrap();
        let csv = golden(&format!("ptable_odd/{stem}.csv"));
        let csv = csv.to_str().unwrap();
        let build = ["build", csv, "-o", &fixture.bin];
        let arguments = [
            &build[..],
            &arguments.split_whitespace().collect::<Vec<_>>(),
        ]
        .concat();

        // Written by the official tool, but not readable, or rejected by devices.
        let always_refused = ["a09", "a20", "a24", "a32"];
        if always_refused.iter().any(|id| stem.starts_with(id)) {
            assert_refused(&run(&arguments));
            assert_eq!(fixture.files(), ["in.csv"], "{stem}");
            continue;
        }
        let strict = run(&[&arguments[..], &["--strict"]].concat());
        assert_refused(&strict);
        assert!(stderr(&strict).contains("--strict"), "{stem}");
        assert_eq!(fixture.files(), ["in.csv"], "{stem}");

        let built = run(&arguments);
        assert_good(&built);
        assert!(stderr(&built).contains("WARNING: "), "{stem}");
        let expected = fs::read(golden(&format!("ptable_odd/{stem}.bin"))).unwrap();
        assert!(fs::read(&fixture.bin).unwrap() == expected, "{stem}");
    }
}

#[test]
fn damaged_golden_binaries_are_judged() {
    for stem in golden_stems("ptable_binerr", ".bin") {
        let file = golden(&format!("ptable_binerr/{stem}.bin"));
        let file = file.to_str().unwrap();
        let good = ["b09", "b13", "b15"].iter().any(|id| stem.starts_with(id));
        let check = run(&["check", file]);
        let shown = run(&["show", file, "--format", "csv"]);
        if good {
            assert_good(&check);
            assert_good(&shown);
        } else if stem.starts_with("b10") {
            // No MD5 entry: shown, but devices refuse it unless the project opted out.
            assert_refused(&check);
            assert_good(&run(&["check", file, "--no-md5"]));
            assert_good(&shown);
        } else {
            assert_refused(&check);
            assert_refused(&shown);
            assert_eq!(stdout(&shown), "", "{stem}");
        }
    }
}

#[test]
fn the_table_is_shown_in_aligned_columns() {
    let fixture = Fixture::new(GOOD);
    let expected = "\
Name     Type  SubType    Offset       End      Size  Flags
nvs      data  nvs        0x9000    0xd000    16 KiB
otadata  data  ota        0xd000    0xf000     8 KiB
ota_0    app   ota_0     0x10000  0x110000     1 MiB  encrypted
ota_1    app   ota_1    0x110000  0x290000  1536 KiB
mine     0x40  0x41     0x290000  0x291000     4 KiB  readonly
";
    assert_good(&fixture.build(&[]));
    for file in [&fixture.csv, &fixture.bin] {
        let shown = run(&["show", file]);
        assert_good(&shown);
        let (table, md5) = stdout(&shown).split_once("MD5 ").unwrap();
        assert_eq!(table, expected);
        assert_eq!(md5.trim_end().len(), 32);
        assert_eq!(stderr(&shown), "");
    }
}

#[test]
fn json_has_stable_keys() {
    let fixture = Fixture::new(&GOOD.replace("readonly", "encrypted:readonly,oh"));
    let shown = run(&["show", "--json", &fixture.csv]);
    assert_good(&shown);
    let value: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(value["source"], "csv");
    assert_eq!(value["md5"].as_str().unwrap().len(), 32);
    assert_eq!(value["partitions"].as_array().unwrap().len(), 5);
    assert_eq!(
        value["partitions"][2],
        json!({
            "name": "ota_0", "name_hex": "6f74615f30", "type": 0, "type_name": "app", "subtype": 16,
            "subtype_name": "ota_0", "offset": 0x1_0000, "size": 0x10_0000, "flags": 1, "encrypted": true,
            "readonly": false, "unknown_flags": 0, "line": 3,
        })
    );
    assert_eq!(
        value["partitions"][4],
        json!({
            "name": "mine", "name_hex": "6d696e65", "type": 64, "type_name": null, "subtype": 65, "subtype_name": null,
            "offset": 0x29_0000, "size": 4096, "flags": 3, "encrypted": true, "readonly": true, "unknown_flags": 0,
            "line": 5,
        })
    );
    assert_eq!(
        value["warnings"],
        json!([{
            "line": 5, "partition": 4, "rule": "extra-columns", "message": "'oh' behind the flags is ignored",
        }])
    );

    assert_good(&fixture.build(&["--no-md5"]));
    let shown = run(&["show", "--format", "json", &fixture.bin]);
    let value: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(value["source"], "binary");
    assert_eq!(value["md5"], Value::Null);
    assert_eq!(value["partitions"][2]["line"], Value::Null);
}

#[test]
fn warnings_name_file_line_and_rule() {
    let fixture = Fixture::new(&GOOD.replace("1536K", "1_572_864"));
    let checked = run(&["check", &fixture.csv]);
    assert_good(&checked);
    assert_eq!(
        stderr(&checked),
        format!(
            "airlift: {}: line 4: WARNING: '1_572_864': write the number in decimal or hexadecimal with at most one \
             suffix, as other tools expect [number-notation]\n",
            fixture.csv
        )
    );
    assert_eq!(
        stdout(&checked),
        format!("{}: good, 5 partitions, 1 warning\n", fixture.csv)
    );
    assert_refused(&run(&["check", &fixture.csv, "--strict"]));
}

#[test]
fn errors_name_file_and_line() {
    for (row, expected) in [
        (
            "x,data,0x40,0x291800,4K",
            "line 6: Partition x invalid: Offset 0x291800 is not aligned to 0x1000\n",
        ),
        (
            "nvs,data,0x40,,4K",
            "lines 1 and 6: A list of partitions that have the same name:\n\
             nvs,data,nvs,0x9000,16K,\n\
             nvs,data,64,0x291000,4K,\n\
             Partition names must be unique\n",
        ),
        (
            "x,data,0x40,,-1",
            "Error at line 6: the negative size means that the partition ends at 0x1, but it starts at 0x291000\n",
        ),
    ] {
        let fixture = Fixture::new(&format!("{GOOD}{row}\n"));
        let output = fixture.build(&[]);
        assert_refused(&output);
        assert_eq!(
            stderr(&output),
            format!("airlift: {}: {expected}", fixture.csv)
        );
    }
}

#[test]
fn options_change_what_is_accepted() {
    let fixture = Fixture::new(GOOD);
    assert_good(&fixture.build(&["--flash-size", "4MB"]));
    assert_refused(&fixture.build(&["--flash-size", "2MB"]));
    assert_good(&fixture.build(&["--secure", "v2"]));
    assert_good(&fixture.build(&["--secure"]));
    assert_refused(&fixture.build(&["--offset", "0xa000"]));
    assert_good(&fixture.build(&["--offset", "28672"]));

    let odd = Fixture::new("f,app,factory,0x10000,0x101000\n");
    assert_refused(&odd.build(&["--secure", "v1"]));
    assert_refused(&odd.build(&["--secure"]));
    assert_good(&odd.build(&["--secure=v2"]));

    let boot = Fixture::new("b,bootloader,primary,N/A,N/A\nf,app,factory,0x10000,1M\n");
    assert_refused(&boot.build(&[]));
    assert_good(&boot.build(&["--primary-bootloader-offset", "0"]));
    let shown = run(&["show", &boot.bin, "--format", "csv"]);
    assert!(stdout(&shown).contains("b,bootloader,primary,0x0,32K,\n"));

    let own = Fixture::new("f,app,mine,0x10000,1M\n");
    assert_refused(&own.build(&[]));
    assert_good(&own.build(&["--extra-partition-subtypes", "app, mine, 0x40"]));
    let twice = own.build(&["--extra-partition-subtypes", "app, mine, 0x10"]);
    assert_refused(&twice);
    assert!(stderr(&twice).contains("Found duplicate value in partition subtype"));
}

#[test]
fn a_binary_is_checked_against_the_flash_size() {
    let fixture = Fixture::new(GOOD);
    assert_good(&fixture.build(&[]));
    assert_good(&run(&["check", &fixture.bin, "--flash-size", "4MB"]));
    assert_refused(&run(&["check", &fixture.bin, "--flash-size", "2MB"]));
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    for arguments in [
        &["build"][..],
        &["build", "in.csv"],
        &["show"],
        &["show", "x", "--format", "xml"],
        &["show", "x", "--json", "--format", "csv"],
        &["check", "x", "--offset", "-1"],
        &["check", "x", "--offset", "0x"],
        &["check", "x", "--offset", "+5"],
        &["check", "x", "--offset", "0x100000000"],
        &["check", "x", "--flash-size", "3MB"],
        &["check", "x", "--secure", "v3"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!stderr(&output).is_empty());
    }
}

#[test]
fn an_error_leaves_the_old_output_alone() {
    let fixture = Fixture::new("nonsense\n");
    fs::write(&fixture.bin, "precious").unwrap();
    assert_refused(&fixture.build(&[]));
    assert_eq!(fs::read(&fixture.bin).unwrap(), b"precious");
    assert_eq!(fixture.files(), ["in.csv", "out.bin"]);

    fs::write(&fixture.csv, GOOD).unwrap();
    assert_good(&fixture.build(&[]));
    assert_eq!(fs::read(&fixture.bin).unwrap().len(), 0xC00);
    assert_eq!(fixture.files(), ["in.csv", "out.bin"]);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let fixture = Fixture::new(GOOD);
    let missing = fixture.folder.path().join("no/such/folder/out.bin");
    let output = run(&["build", &fixture.csv, "-o", missing.to_str().unwrap()]);
    assert_refused(&output);
    assert!(stderr(&output).contains("no/such/folder"));
    // A folder in its place.
    let output = run(&[
        "build",
        &fixture.csv,
        "-o",
        fixture.folder.path().to_str().unwrap(),
    ]);
    assert_refused(&output);
}

#[test]
fn the_input_is_not_overwritten() {
    let fixture = Fixture::new(GOOD);
    let again = fixture.folder.path().join(".").join("in.csv");
    let output = run(&["build", &fixture.csv, "-o", again.to_str().unwrap()]);
    assert_refused(&output);
    assert_eq!(fs::read_to_string(&fixture.csv).unwrap(), GOOD);
}

#[cfg(unix)]
#[test]
fn devices_and_links_keep_what_they_are() {
    let fixture = Fixture::new(GOOD);
    assert_good(&run(&["build", &fixture.csv, "-o", "/dev/null"]));
    assert!(!fs::metadata("/dev/null").unwrap().is_file());

    fs::write(&fixture.bin, "old").unwrap();
    let link = fixture.folder.path().join("link.bin");
    std::os::unix::fs::symlink("out.bin", &link).unwrap();
    assert_good(&run(&["build", &fixture.csv, "-o", link.to_str().unwrap()]));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&fixture.bin).unwrap().len(), 0xC00);
}

#[test]
fn standard_streams_stand_in_for_files() {
    let built = run_with_input(&["build", "-", "-o", "-"], GOOD.as_bytes());
    assert_good(&built);
    assert_eq!(built.stdout.len(), 0xC00);
    let shown = run_with_input(&["show", "-", "--format", "csv"], &built.stdout);
    assert_good(&shown);
    assert!(stdout(&shown).contains("ota_1,app,ota_1,0x110000,1536K,\n"));
    let checked = run_with_input(&["check", "-"], b"x,data,nope,,4K");
    assert_refused(&checked);
    assert!(stderr(&checked).starts_with("airlift: standard input: Error at line 1: "));
}

#[test]
fn variables_come_from_the_environment() {
    let fixture = Fixture::new("f,app,factory,0x10000,$AIRLIFT_TEST_SIZE\n");
    let output = airlift()
        .args(["show", &fixture.csv, "--format", "csv"])
        .env("AIRLIFT_TEST_SIZE", "2M")
        .output()
        .unwrap();
    assert_good(&output);
    assert!(stdout(&output).ends_with("f,app,factory,0x10000,2M,\n"));
    assert_refused(&run(&["show", &fixture.csv]));
}

#[test]
fn what_is_no_table_is_refused() {
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("erased flash", &[0xFF; 0x1000]),
        ("zeros", &[0; 0x1000]),
        ("an app image", &[0xE9, 6, 2, 0x20, 0xFF, 0xFE]),
        ("a table without partitions", b"\xEB\xEB\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xD4\x1D\x8C\xD9\x8F\0\xB2\x04\xE9\x80\x09\x98\xEC\xF8\x42\x7E"),
        ("half an entry", b"\xAA\x50"),
        ("too large", &[b'\n'; (1 << 20) + 1]),
    ] {
        for command in ["show", "check"] {
            let output = run_with_input(&[command, "-"], bytes);
            assert_eq!(output.status.code(), Some(1), "{what}");
            assert_refused(&output);
            assert_eq!(stdout(&output), "", "{what}");
        }
    }
    assert_refused(&run(&["show", "/no/such/file"]));
    assert_refused(&run(&["check", "/"]));
}

#[test]
fn a_binary_is_not_compiled() {
    let fixture = Fixture::new(GOOD);
    assert_good(&fixture.build(&[]));
    let other = fixture.folder.path().join("other.bin");
    let output = run(&["build", &fixture.bin, "-o", other.to_str().unwrap()]);
    assert_refused(&output);
    assert!(stderr(&output).contains("--format csv"));
}

/// Entries and, behind them, an end marker.
fn raw_table(entries: &[[u8; 32]]) -> Vec<u8> {
    let mut table = entries.concat();
    table.resize(0xC00, 0xFF);
    table
}

fn raw_entry(kind: u8, offset: u32, size: u32, name: &[u8]) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..4].copy_from_slice(&[0xAA, 0x50, kind, 0x40]);
    entry[4..8].copy_from_slice(&offset.to_le_bytes());
    entry[8..12].copy_from_slice(&size.to_le_bytes());
    entry[12..12 + name.len()].copy_from_slice(name);
    entry
}

#[test]
fn a_damaged_table_is_shown_with_the_reason_why_it_is_refused() {
    for (what, entry, reason) in [
        (
            "end beyond 4 GiB",
            raw_entry(1, 0xFFFF_F000, 0x2000, b"x"),
            "exceeds flash chip size",
        ),
        (
            "type of the end marker",
            raw_entry(0xFF, 0x9000, 0x1000, b"x"),
            "type 0xff",
        ),
        (
            "below the table",
            raw_entry(1, 0x1000, 0x1000, b"x"),
            "Partition offset 0x1000 is below 0x9000",
        ),
    ] {
        let shown = run_with_input(&["show", "-"], &raw_table(&[entry]));
        assert_refused(&shown);
        assert!(
            stderr(&shown).contains(reason),
            "{what}: {}",
            stderr(&shown)
        );
        assert!(stdout(&shown).starts_with("Name  Type"), "{what}");
    }
}

#[test]
fn a_name_of_any_bytes_is_shown_but_not_as_csv() {
    let table = raw_table(&[raw_entry(1, 0x9000, 0x1000, b"\xFF\x1B[31m")]);
    let shown = run_with_input(&["show", "-"], &table);
    assert_good(&shown);
    assert!(
        stdout(&shown).contains(r"\xff\u{1b}[31m"),
        "{}",
        stdout(&shown)
    );
    let shown = run_with_input(&["show", "-", "--json"], &table);
    let value: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(value["partitions"][0]["name_hex"], "ff1b5b33316d");
    assert_refused(&run_with_input(&["show", "-", "--format", "csv"], &table));
    assert_refused(&run_with_input(&["check", "-", "--no-md5"], &table));
}

#[test]
fn messages_cannot_steer_the_terminal() {
    let checked = run_with_input(&["check", "-"], b"x,data,\x1b[31mred,,4K");
    assert_refused(&checked);
    assert!(!stderr(&checked).contains('\x1b'));
    assert!(stderr(&checked).contains(r"\u{1b}[31mred"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let fixture = Fixture::new(GOOD);
    let mut child = airlift()
        .args(["show", &fixture.csv])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_good(&output);
    assert_eq!(stderr(&output), "");
}
