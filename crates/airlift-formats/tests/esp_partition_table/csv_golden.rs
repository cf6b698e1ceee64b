//! CSV against the files that the official tool made of it.

use airlift_formats::esp::partition_table::{
    Options, PartitionTable, SecureBoot,
    csv::{self, Compiled},
};

use super::golden;

/// The options that the arguments of the official tool stand for.
fn options<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Options {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .unwrap_or_else(|| panic!("{argument}: no value"))
        };
        match argument {
            "--disable-md5sum" => options.md5 = false,
            "--offset" => options.table_offset = number(value()),
            "--primary-bootloader-offset" => {
                options.primary_bootloader_offset = Some(number(value()));
            }
            "--recovery-bootloader-offset" => {
                options.recovery_bootloader_offset = Some(number(value()));
            }
            "--flash-size" => {
                let size = value().strip_suffix("MB").expect("a size in MB");
                options.flash_size = Some(number(size) << 20);
            }
            "--secure" => {
                options.secure_boot = Some(match value() {
                    "v1" => SecureBoot::V1,
                    "v2" => SecureBoot::V2,
                    other => panic!("--secure {other}"),
                });
            }
            _ => match argument.strip_prefix("offset=") {
                Some(offset) => options.table_offset = number(offset),
                None => panic!("argument {argument}"),
            },
        }
    }
    options
}

fn number(text: &str) -> u32 {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    }
    .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn compile(name: &str, options: &Options) -> Result<Compiled, csv::Error> {
    csv::compile(&golden::read(name), options, &|_| None)
}

/// The CSV form of a binary table.
fn csv_of(binary: &[u8], options: &Options) -> String {
    let table = PartitionTable::inspect(binary).unwrap();
    csv::print(table.partitions(), &options.subtypes).unwrap()
}

/// `INDEX.tsv`: name and arguments of each table of ESP-IDF.
fn index() -> Vec<(String, Options)> {
    let index = String::from_utf8(golden::read("ptable/INDEX.tsv")).unwrap();
    let tables: Vec<_> = index
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|columns| columns[0] == "OK")
        .map(|columns| {
            (
                columns[1].to_owned(),
                options(columns[3].split_whitespace()),
            )
        })
        .collect();
    assert!(!tables.is_empty(), "INDEX.tsv has no tables");
    tables
}

#[test]
fn every_good_csv_gives_the_bytes_of_the_official_tool() {
    for (name, options) in index() {
        for (suffix, md5) in [("md5.bin", true), ("nomd5.bin", false)] {
            let options = Options {
                md5,
                ..options.clone()
            };
            let compiled = compile(&format!("ptable/{name}.csv"), &options)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let expected = golden::read(&format!("ptable/{name}.{suffix}"));
            assert!(*compiled.binary() == expected[..], "{name}.{suffix}");
            assert_eq!(compiled.lines.len(), compiled.partitions.len());
        }
    }
}

#[test]
fn every_binary_gives_the_text_of_the_official_tool() {
    for (name, options) in index() {
        let expected = golden::read(&format!("ptable/{name}.roundtrip.csv"));
        let expected = String::from_utf8(expected).unwrap();
        for suffix in ["md5.bin", "nomd5.bin"] {
            let binary = golden::read(&format!("ptable/{name}.{suffix}"));
            assert_eq!(csv_of(&binary, &options), expected, "{name}.{suffix}");
        }
        // And the text gives the same bytes again.
        let again = csv::compile(expected.as_bytes(), &options, &|_| None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let binary = golden::read(&format!("ptable/{name}.md5.bin"));
        assert!(*again.binary() == binary[..], "{name}");
    }
}

#[test]
fn tables_that_others_made_are_reproduced() {
    let mut options = Options::default();
    for definition in ["app, my_app1, 0x40", "app, my_app2, 0x41"] {
        options.subtypes.add(definition).unwrap();
    }
    let compiled = compile("ptable/custom_subtypes.csv", &options).unwrap();
    let expected = golden::read("ptable/custom_subtypes.md5.bin");
    assert!(*compiled.binary() == expected[..]);
    assert!(csv_of(&expected, &options).contains("my_app2,app,my_app2,"));

    for name in [
        "esphal__factory_app_two_ota",
        "esphal__single_factory_no_ota",
    ] {
        let compiled = compile(&format!("ptable/{name}.csv"), &Options::default()).unwrap();
        let expected = golden::read(&format!("ptable/{name}.bin"));
        assert!(*compiled.binary() == expected[..], "{name}");
    }
}

/// The cases of `ptable_errors.json`: id, arguments, exit code, message.
fn error_cases() -> Vec<(String, Vec<String>, i64, String)> {
    let cases: serde_json::Value =
        serde_json::from_slice(&golden::read("ptable_errors.json")).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    cases
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let arguments = case["args"].as_array().unwrap();
            (
                text(&case["id"]),
                arguments.iter().map(text).collect(),
                case["rc"].as_i64().unwrap(),
                text(&case["stderr"]),
            )
        })
        .collect()
}

#[test]
fn every_malformed_csv_is_refused_with_the_message_of_the_official_tool() {
    let mut compared = 0;
    for (id, arguments, rc, message) in error_cases() {
        // The size of the flash chip is a usage error, told in a frame drawn with box characters.
        if !id.starts_with('e') || id.starts_with("e34") {
            continue;
        }
        let name = format!("ptable_err/{id}.csv");
        let options = options(arguments.iter().map(String::as_str));
        let error = compile(&name, &options).expect_err(&id);
        if rc == 2 {
            assert_eq!(error.to_string(), message, "{id}");
        } else {
            // A Python exception there, an error of the line here.
            assert_eq!(error.lines.len(), 1, "{id}: {error}");
            let start = format!("Error at line {}: ", error.lines[0]);
            assert!(error.to_string().starts_with(&start), "{id}: {error}");
        }
        compared += 1;
    }
    assert!(compared > 0, "no case was compared");
}

/// What the official tool accepts although it cannot be meant (section 14 of the protocol page is the rule): the same bytes
/// and a lint of this rule, or an error here.
const ODD: &[(&str, Result<&[&str], &str>)] = &[
    ("a02", Ok(&["number-notation"])),
    ("a04", Ok(&["number-notation"])),
    ("a05", Ok(&["size-zero"])),
    ("a06", Ok(&["name-empty"])),
    ("a07", Ok(&["name-full"])),
    ("a08", Ok(&["name-truncated"])),
    // The tool writes these, and cannot read them back.
    ("a09", Err("the name is the same as in line 2")),
    ("a20", Err("the table has no partitions")),
    ("a10", Ok(&["extra-columns"])),
    ("a11", Ok(&["keyword-case"])),
    ("a12", Ok(&["subtype-empty"])),
    ("a13", Ok(&["size-from-end"])),
    ("a14", Ok(&[])),
    ("a17", Ok(&["name-is-type"])),
    ("a18", Ok(&["name-is-subtype"])),
    ("a19", Ok(&["no-app"])),
    ("a21", Ok(&["ota-gap"])),
    ("a23", Ok(&["no-room-for-md5"])),
    // The device rejects it.
    ("a24", Err("beyond 4 GiB")),
    ("a25", Ok(&["name-truncated"])),
    ("a26", Ok(&["subtype-twice"])),
    ("a27", Ok(&["size-unaligned"])),
    ("a28", Ok(&["size-unaligned"])),
    ("a29", Ok(&["readonly-app"])),
    // The type is that of the end marker.
    ("a32", Err("type 0xff marks the end of the table")),
];

#[test]
fn what_is_odd_gives_the_same_bytes_and_a_lint_or_is_refused() {
    for id in golden::stems("ptable_odd", ".bin") {
        let (options, _) = run_of_odd(&id);
        let compiled = compile(&format!("ptable_odd/{id}.csv"), &options);
        let expected = ODD
            .iter()
            .find_map(|(odd, expected)| id.starts_with(odd).then_some(expected));
        match (&compiled, expected) {
            (Err(error), Some(Err(message))) => {
                assert!(error.to_string().contains(message), "{id}: {error}");
                continue;
            }
            (Ok(compiled), Some(Ok(rules))) => {
                for rule in *rules {
                    let found = compiled.lints.iter().any(|lint| lint.rule.id() == *rule);
                    assert!(found, "{id}: no {rule}: {:?}", compiled.lints);
                }
            }
            // A case of which this test knows only that it is odd.
            (Ok(_), None) => {}
            _ => panic!("{id}: {compiled:?}"),
        }
        let compiled = compiled.unwrap();
        let binary = golden::read(&format!("ptable_odd/{id}.bin"));
        assert!(*compiled.binary() == binary[..], "{id}");
        let text = golden::read(&format!("ptable_odd/{id}.roundtrip.csv"));
        assert_eq!(csv_of(&binary, &options).as_bytes(), text, "{id}");
    }
}

#[test]
fn warnings_of_the_official_tool_are_lints_with_its_words() {
    let mut compared = 0;
    for id in golden::stems("ptable_odd", ".stderr.txt") {
        let (options, stderr) = run_of_odd(&id);
        for warning in stderr
            .lines()
            .filter_map(|line| line.strip_prefix("WARNING: "))
        {
            let compiled = compile(&format!("ptable_odd/{id}.csv"), &options).unwrap();
            let lints: Vec<_> = compiled.lints.iter().map(ToString::to_string).collect();
            assert!(lints.iter().any(|lint| lint == warning), "{id}: {lints:?}");
            compared += 1;
        }
    }
    assert!(compared > 0, "no warning was compared");
}

/// The run of the official tool over an odd table: its options, and what it had to say.
fn run_of_odd(id: &str) -> (Options, String) {
    let text = String::from_utf8(golden::read(&format!("ptable_odd/{id}.stderr.txt"))).unwrap();
    let (head, stderr) = text
        .split_once("\nargs=")
        .expect("a line with the arguments");
    assert_eq!(head, "rc=0", "{id}");
    let (arguments, stderr) = stderr.split_once('\n').unwrap_or((stderr, ""));
    (options(arguments.split_whitespace()), stderr.to_owned())
}
