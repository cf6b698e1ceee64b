//! What is accepted but hardly meant, and the lint that says so: a table that a reader extends by a line.

use airlift_formats::esp::partition_table::{Lint, Options, csv};

/// Rows behind an app partition that keeps the table as a whole in order; line and rule of each lint.
type Case = (&'static str, &'static str, &'static [(usize, &'static str)]);

const CASES: &[Case] = &[
    (
        "nothing odd",
        "nvs,data,nvs,,16K,encrypted\nx,0x40,0x41,0x200000,64K",
        &[],
    ),
    ("a02", "x,data,0x40,,4KK", &[(2, "number-notation")]),
    (
        "a03: underscores",
        "x,data,0x4_0,,4K",
        &[(2, "number-notation")],
    ),
    (
        "a04",
        "x,data,0b1000000,,0o10000",
        &[(2, "number-notation"), (2, "number-notation")],
    ),
    ("a05", "x,data,0x40,,0", &[(2, "size-zero")]),
    ("a06", ",data,0x40,,4K", &[(2, "name-empty")]),
    ("a07", "abcdefghijklmnop,data,0x40,,4K", &[(2, "name-full")]),
    (
        "a08",
        "abcdefghijklmnopq,data,0x40,,4K",
        &[(2, "name-truncated")],
    ),
    ("a10", "x,data,0x40,,4K,,hello,# c", &[(2, "extra-columns")]),
    ("a10 without content", "x,data,0x40,,4K,,,", &[]),
    (
        "a11",
        "x,DATA,Fat,,4K",
        &[(2, "keyword-case"), (2, "keyword-case")],
    ),
    ("a12", "x,data,,,4K", &[(2, "subtype-empty")]),
    ("a13", "x,data,0x40,,-0x200000", &[(2, "size-from-end")]),
    ("a14: CR LF is fine", "x,data,0x40,,4K\r\n", &[]),
    ("a17", "app,data,0x40,,4K", &[(2, "name-is-type")]),
    ("a18", "nvs,data,fat,,4K", &[(2, "name-is-subtype")]),
    (
        "a25",
        "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9},data,0x40,,4K",
        &[(2, "name-truncated")],
    ),
    (
        "a27, a28",
        "x,data,0x40,,0x1001\ny,data,0x41,,0x1000",
        &[(2, "size-unaligned")],
    ),
    ("a29", "x,app,test,,4K,readonly", &[(2, "readonly-app")]),
    ("reserved type", "x,0x3F,0,,4K", &[(2, "type-reserved")]),
    (
        "keyword with a suffix",
        "x,data,otak,,8K",
        &[(2, "keyword-suffix")],
    ),
    (
        "empty flag",
        "x,data,0x40,,4K,encrypted:",
        &[(2, "flags-notation")],
    ),
    (
        "repeated flag",
        "x,data,0x40,,4K,readonly:readonly",
        &[(2, "flags-notation")],
    ),
    (
        "control character",
        "x\x1by,data,0x40,,4K",
        &[(2, "name-characters")],
    ),
    (
        "variable in the name",
        "x$NO,data,0x40,,4K",
        &[(2, "name-variable")],
    ),
    ("a dollar sign alone", "x$,data,0x40,,4K", &[]),
    (
        "line separator",
        "x,data,0x40,,4K\x0Cy,data,0x41,,4K",
        &[(2, "line-separator")],
    ),
    (
        "twice a factory app",
        "x,app,factory,,4K",
        &[(2, "subtype-twice")],
    ),
];

fn lints(rows: &str, options: &Options) -> Vec<Lint> {
    csv::compile(rows.as_bytes(), options, &|_| None)
        .unwrap_or_else(|error| panic!("{error}\n{rows}"))
        .lints
}

fn lines_and_rules(lints: &[Lint]) -> Vec<(Option<usize>, &'static str)> {
    lints
        .iter()
        .map(|lint| (lint.line, lint.rule.id()))
        .collect()
}

#[test]
fn every_oddity_is_reported_with_its_line() {
    for (id, rows, expected) in CASES {
        let found = lints(
            &format!("f,app,factory,0x10000,1M\n{rows}"),
            &Options::default(),
        );
        let expected: Vec<_> = expected
            .iter()
            .map(|&(line, rule)| (Some(line), rule))
            .collect();
        assert_eq!(lines_and_rules(&found), expected, "{id}");
        for lint in found {
            assert!(!lint.to_string().is_empty());
            let partition = lint.partition.expect("a partition");
            assert_eq!(Some(partition + 1), lint.line, "{id}");
        }
    }
}

#[test]
fn oddities_of_the_table_as_a_whole() {
    let otadata = "o,data,ota,,8K\n";
    for (id, rows, expected) in [
        ("a19: no app", "x,data,0x40,,4K", &[(None, "no-app")][..]),
        (
            "a21: gap",
            &format!("{otadata}a,app,ota_0,,1M\nb,app,ota_2,,1M"),
            &[(Some(3), "ota-gap")],
        ),
        (
            "a slot without those below",
            &format!("{otadata}a,app,ota_15,,1M"),
            &[(Some(2), "ota-gap")],
        ),
        (
            "a26: twice ota_0",
            &format!("{otadata}a,app,ota_0,,1M\nb,app,ota_0,,1M"),
            &[(Some(3), "subtype-twice")],
        ),
        (
            "slots in any order are fine",
            &format!("{otadata}b,app,ota_1,,1M\na,app,ota_0,,1M"),
            &[],
        ),
        (
            "no boot selection",
            "f,app,factory,,1M\na,app,ota_0,,1M",
            &[(Some(2), "no-otadata")],
        ),
        ("no slots, no boot selection", "f,app,factory,,1M", &[]),
    ] {
        let found = lints(rows, &Options::default());
        assert_eq!(lines_and_rules(&found), expected, "{id}");
    }
}

#[test]
fn a_full_table_has_no_room_for_the_md5_entry() {
    let rows: String = (0..95)
        .map(|index| {
            format!("p{index},app,0x40,,4K\n")
                .replace("app,0x40", if index == 0 { "app,0" } else { "data,0x40" })
        })
        .collect();
    let options = Options {
        md5: false,
        ..Options::default()
    };
    let found = lints(&rows, &options);
    assert_eq!(lines_and_rules(&found), [(Some(95), "no-room-for-md5")]);
}

#[test]
fn a_table_offset_within_a_sector_is_reported() {
    let options = Options {
        table_offset: 0x8100,
        ..Options::default()
    };
    let found = lints("f,app,factory,,1M", &options);
    assert_eq!(lines_and_rules(&found), [(None, "table-offset")]);
}

#[test]
fn ignored_cells_of_boot_loaders_are_reported_unless_they_are_true() {
    let options = Options {
        primary_bootloader_offset: Some(0x1000),
        ..Options::default()
    };
    for (cells, expected) in [
        (",", &[][..]),
        ("N/A,n/a", &[]),
        ("0x1000,28K", &[]),
        ("0x2000,28K", &["cell-ignored"]),
        ("0x2000,1M", &["cell-ignored", "cell-ignored"]),
    ] {
        let found = lints(
            &format!("b,bootloader,primary,{cells}\nf,app,factory,,1M"),
            &options,
        );
        let rules: Vec<_> = found.iter().map(|lint| lint.rule.id()).collect();
        assert_eq!(rules, expected, "{cells}");
    }
}

#[test]
fn warnings_of_the_official_tool_have_its_words() {
    for (rows, expected) in [
        (
            "app,data,0x40,,4K",
            "Partition has name 'app' which is a partition type, but does not match this partition's type (0x1). Mistake in \
             partition table?",
        ),
        (
            "ota_0,app,ota_1,,4K",
            "Partition has name 'ota_0' which is a partition subtype, but this partition has non-matching type 0x0 and \
             subtype 0x11. Mistake in partition table?",
        ),
        (
            "ota,bootloader,ota,,",
            "the table has no app partition: there is nothing to boot",
        ),
    ] {
        let options = Options {
            primary_bootloader_offset: Some(0x1000),
            ..Options::default()
        };
        assert_eq!(lints(rows, &options)[0].to_string(), expected);
    }
}
