//! What the CSV grammar means.

use airlift_formats::esp::partition_table::{
    ExtraSubtypeReason, Flags, Options, Partition, PartitionTable, SubtypeNames, TABLE_LEN,
    csv::{self, Compiled},
};
use proptest::prelude::*;

/// Compiles with an empty environment.
fn compile(text: &str, options: &Options) -> Compiled {
    csv::compile(text.as_bytes(), options, &|_| None)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Compiles with the usual options.
fn partitions(text: &str) -> Vec<Partition> {
    compile(text, &Options::default()).partitions
}

/// Type, subtype, offset and size of the only partition of a table.
fn values(text: &str) -> (u8, u8, u32, u32) {
    match partitions(text).as_slice() {
        [p] => (p.kind.0, p.subtype, p.offset, p.size),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cells_are_trimmed_and_missing_ones_are_empty() {
    let expected = (1, 2, 0x9000, 0x4000);
    for text in [
        "nvs,data,nvs,0x9000,0x4000",
        "nvs,data,nvs,0x9000,0x4000,",
        "  nvs ,\tdata , nvs,\u{A0}0x9000\u{3000}, 0x4000 , ",
        "nvs,data,nvs,,0x4000,",
        "nvs,data,nvs,,16K",
        "nvs,1,2,36864,16k",
        "nvs,0x1,0X2,0x_9000,0b100_0000_0000_0000",
        "nvs,data,nvs,,-0xD000",
        "nvs,data,nvs,0x9000,-52K",
        "nvs,DATA,Nvs,0x9000,4KK,".replace("4KK", "0x4000").as_str(),
    ] {
        assert_eq!(values(text), expected, "{text}");
    }
    assert_eq!(values("x,data,0x40,,4KK").3, 4 << 20);
    assert_eq!(values("x,data,,,4K").1, 0x06);
    assert_eq!(values("x,0x40,,,4K").1, 0x06);
}

#[test]
fn comments_and_empty_lines_are_skipped_but_counted() {
    let compiled = compile(
        "# head\n\n   \n  # indented\nx,data,0x40,,4K\n#y\nz,data,0x40,,4K",
        &Options::default(),
    );
    assert_eq!(compiled.lines, [5, 7]);
}

#[test]
fn flags_are_joined_by_colons() {
    for (cell, expected) in [
        ("", Flags(0)),
        ("encrypted", Flags::ENCRYPTED),
        ("readonly", Flags::READONLY),
        ("encrypted:readonly", Flags(3)),
        ("readonly:encrypted", Flags(3)),
        ("encrypted:", Flags::ENCRYPTED),
        ("::", Flags(0)),
    ] {
        let partitions = partitions(&format!("x,data,0x40,,4K,{cell}"));
        assert_eq!(partitions[0].flags, expected, "{cell}");
    }
}

#[test]
fn empty_offsets_follow_the_previous_partition_as_the_type_wants_it() {
    let offsets = |text: &str, options: &Options| -> Vec<u32> {
        let partitions = compile(text, options).partitions;
        partitions.iter().map(|p| p.offset).collect()
    };
    let default = Options::default();
    assert_eq!(
        offsets(
            "a,data,0x40,,0x1001\nb,data,0x40,,1\nc,app,factory,,4K\nd,0x40,0,,4K",
            &default
        ),
        [0x9000, 0xB000, 0x1_0000, 0x1_1000]
    );
    // An explicit offset may leave a gap, and the next one follows it.
    assert_eq!(
        offsets("a,data,0x40,0x20000,4K\nb,data,0x40,,4K", &default),
        [0x2_0000, 0x2_1000]
    );
    let elsewhere = Options {
        table_offset: 0xF000,
        ..Options::default()
    };
    assert_eq!(offsets("a,data,0x40,,4K", &elsewhere), [0x1_0000]);
}

#[test]
fn boot_loaders_and_tables_lie_where_the_options_say() {
    let options = Options {
        table_offset: 0xA000,
        primary_bootloader_offset: Some(0x2000),
        recovery_bootloader_offset: Some(0x3F_0000),
        ..Options::default()
    };
    let text = "\
        boot,bootloader,primary,N/A,N/A\n\
        table,partition_table,primary,,\n\
        nvs,data,nvs,,16K\n\
        boot2,bootloader,ota,,N/A\n\
        table2,partition_table,ota,0x20000,N/A\n\
        boot3,bootloader,recovery,N/A,\n";
    let places: Vec<_> = compile(text, &options)
        .partitions
        .iter()
        .map(|p| (p.offset, p.size))
        .collect();
    assert_eq!(
        places,
        [
            (0x2000, 0x8000),
            (0xA000, 0x1000),
            (0xB000, 0x4000),
            (0xF000, 0x8000),
            (0x2_0000, 0x1000),
            (0x3F_0000, 0x8000),
        ]
    );
}

#[test]
fn variables_of_the_environment_are_replaced_in_every_line() {
    let environment = |name: &str| match name {
        "SIZE" => Some("8K".to_owned()),
        "ROW" => Some("x,data,0x40,,4K".to_owned()),
        "HASH" => Some("# nothing".to_owned()),
        _ => None,
    };
    let text = "$ROW\ny,data,0x41,,${SIZE}\n$HASH\n# $NO_SUCH\n";
    let compiled = csv::compile(text.as_bytes(), &Options::default(), &environment).unwrap();
    assert_eq!(compiled.lines, [1, 2]);
    assert_eq!(compiled.partitions[1].size, 0x2000);
}

#[test]
fn text_has_the_encoding_of_its_mark() {
    let text = "# comment\r\nphy_\u{438},data,phy,,4K\r\nfs_\u{1F4BE},data,fat,,4K\r\n";
    let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{FEFF}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(unit)
            .collect()
    };
    let utf32 = |unit: fn(u32) -> [u8; 4]| -> Vec<u8> {
        let characters = "\u{FEFF}".chars().chain(text.chars());
        characters
            .flat_map(|character| unit(character.into()))
            .collect()
    };
    let expected = compile(text, &Options::default());
    assert_eq!(expected.partitions[1].name.as_str(), Some("fs_\u{1F4BE}"));
    for (encoding, bytes) in [
        ("UTF-8 with a mark", format!("\u{FEFF}{text}").into_bytes()),
        ("UTF-16 LE", utf16(u16::to_le_bytes)),
        ("UTF-16 BE", utf16(u16::to_be_bytes)),
        ("UTF-32 LE", utf32(u32::to_le_bytes)),
        ("UTF-32 BE", utf32(u32::to_be_bytes)),
    ] {
        let compiled = csv::compile(&bytes, &Options::default(), &|_| None);
        assert_eq!(compiled.as_ref(), Ok(&expected), "{encoding}");
    }
}

#[test]
fn lines_end_where_python_ends_them() {
    let separators = [
        "\n", "\r\n", "\r", "\x0B", "\x0C", "\x1C", "\x1D", "\x1E", "\u{85}", "\u{2028}",
        "\u{2029}",
    ];
    for separator in separators {
        let text = format!("a,data,0x40,,4K{separator}b,data,0x41,,4K{separator}");
        let compiled = compile(&text, &Options::default());
        assert_eq!(compiled.lines, [1, 2], "{separator:?}");
        let noticed = compiled
            .lints
            .iter()
            .filter(|lint| lint.rule.id() == "line-separator")
            .count();
        let usual = matches!(separator, "\n" | "\r\n");
        assert_eq!(noticed, if usual { 0 } else { 2 }, "{separator:?}");
    }
}

#[test]
fn a_table_holds_94_partitions_with_md5_and_95_without() {
    let text = |count: usize| {
        (0..count)
            .map(|index| format!("p{index},data,0x40,,0x1000\n"))
            .collect::<String>()
    };
    for (count, md5, len) in [
        (94, true, None),
        (95, true, Some(3072)),
        (95, false, None),
        (96, false, Some(3072)),
        (5000, true, Some(160_032)),
    ] {
        let options = Options {
            md5,
            ..Options::default()
        };
        let compiled = csv::compile(text(count).as_bytes(), &options, &|_| None);
        match len {
            None => assert_eq!(compiled.unwrap().partitions.len(), count),
            Some(len) => {
                let error = compiled.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("Binary partition table length ({len}) longer than max")
                );
                assert_eq!(error.lines, [if md5 { 95 } else { 96 }]);
            }
        }
    }
}

#[test]
fn extra_subtypes_are_read_and_printed() {
    let mut options = Options::default();
    for definition in [
        "app, my_app, 0x40",
        "data,my_data,7F",
        " bootloader , spare , 0X3 , ignored",
    ] {
        options.subtypes.add(definition).unwrap();
    }
    options.primary_bootloader_offset = Some(0x1000);
    let text = "a,app,MY_APP,0x10000,4K\nb,data,my_data,,4K\nc,bootloader,spare,,";
    let compiled = compile(text, &options);
    let subtypes: Vec<u8> = compiled.partitions.iter().map(|p| p.subtype).collect();
    assert_eq!(subtypes, [0x40, 0x7F, 0x03]);
    let printed = csv::print(compiled.partitions, &options.subtypes).unwrap();
    assert!(printed.ends_with(
        "a,app,my_app,0x10000,4K,\nb,data,my_data,0x11000,4K,\nc,bootloader,spare,0x12000,28K,\n"
    ));
}

#[test]
fn extra_subtypes_must_not_have_two_meanings() {
    use ExtraSubtypeReason as Reason;
    for (definition, reason) in [
        ("", Reason::Form),
        ("app, x", Reason::Form),
        ("app, , 0x40", Reason::Form),
        ("App, x, 0x40", Reason::Type),
        ("0x40, x, 0x40", Reason::Type),
        ("app, x, ", Reason::Value),
        ("app, x, 0x", Reason::Value),
        ("app, x, 0x100", Reason::Value),
        ("app, x, -1", Reason::Value),
        ("app, x, +1", Reason::Value),
        ("app, x, ota", Reason::Value),
        ("app, x, 0x20", Reason::ValueTaken),
        ("app, x, 41", Reason::ValueTaken),
        ("data, nvs, 0x40", Reason::NameTaken),
        ("app, mine, 0x50", Reason::NameTaken),
    ] {
        let mut names = SubtypeNames::default();
        names.add("app, mine, 0x41").unwrap();
        let error = names.add(definition).unwrap_err();
        assert_eq!(error.reason, reason, "{definition}");
        let text = error.to_string();
        assert!(
            text.starts_with("Error parsing custom subtypes: "),
            "{text}"
        );
    }
}

#[test]
fn printing_is_that_of_the_official_tool() {
    let text = "\
        a,data,0x40,0x9000,0\n\
        b,data,,0x9000,1\n\
        c,app,ota_15,0x10000,1M,encrypted:readonly\n\
        d,app,0x3F,0x110000,0x1000,readonly\n\
        e,0x40,0x41,0x111000,1536K,encrypted\n\
        ,0xFE,0xFF,0x300000,0x401\n";
    let compiled = compile(text, &Options::default());
    assert_eq!(
        csv::print(compiled.partitions, &SubtypeNames::default()).unwrap(),
        "# ESP-IDF Partition Table\n\
         # Name, Type, SubType, Offset, Size, Flags\n\
         a,data,64,0x9000,0M,\n\
         b,data,undefined,0x9000,0x1,\n\
         c,app,ota_15,0x10000,1M,encrypted:readonly\n\
         d,app,63,0x110000,4K,readonly\n\
         e,64,65,0x111000,1536K,encrypted\n\
         ,254,255,0x300000,0x401,\n"
    );
}

#[test]
fn the_md5_entry_can_be_left_out() {
    let options = Options {
        md5: false,
        ..Options::default()
    };
    let with = compile("a,data,0x40,,4K", &Options::default());
    let without = compile("a,data,0x40,,4K", &options);
    assert_eq!(with.binary()[..32], without.binary()[..32]);
    assert_eq!(without.binary()[32..], [0xFF; TABLE_LEN - 32]);
    assert_eq!(with.binary()[32..34], [0xEB, 0xEB]);
}

/// A row of a table that is in order: name, type, subtype, whether it says where it starts, sectors, flags.
fn good_rows() -> impl Strategy<Value = Vec<(u8, u8, bool, u32, u32)>> {
    let row = (
        prop::sample::select(vec![0, 1, 0x40, 0xFE]),
        0x91..=0xFFu8,
        any::<bool>(),
        1..64u32,
        0..4u32,
    );
    prop::collection::vec(row, 1..94)
}

proptest! {
    #[test]
    fn what_is_compiled_is_printed_and_compiled_to_the_same(rows in good_rows(), md5 in any::<bool>()) {
        let mut text = String::new();
        let mut cursor = 0x9000u32;
        for (index, (kind, subtype, explicit, sectors, flags)) in rows.iter().enumerate() {
            cursor = cursor.next_multiple_of(if *kind == 0 { 0x1_0000 } else { 0x1000 });
            let offset = if *explicit { format!("{cursor:#x}") } else { String::new() };
            let flags = ["", "encrypted", "readonly", "encrypted:readonly"][*flags as usize];
            text += &format!("p{index},{kind},{subtype:#x},{offset},{},{flags}\n", sectors * 4096);
            cursor += sectors * 4096;
        }
        let options = Options { md5, ..Options::default() };
        let first = compile(&text, &options);
        let table = PartitionTable::inspect(first.binary()).unwrap();
        prop_assert_eq!(table.partitions().collect::<Vec<_>>(), first.partitions.clone());
        prop_assert_eq!(first.lines.len(), rows.len());

        let printed = csv::print(table.partitions(), &options.subtypes).unwrap();
        let second = compile(&printed, &options);
        prop_assert!(first.binary() == second.binary());
        prop_assert_eq!(csv::print(second.partitions, &options.subtypes).unwrap(), printed);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = csv::compile(&bytes, &Options::default(), &|_| None).map_err(|error| error.to_string());
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let environment = |name: &str| Some(format!("{name}$X,"));
        let _ = csv::compile(text.as_bytes(), &Options::default(), &environment)
            .map_err(|error| error.to_string());
    }

    /// Cells of which each means something, in any combination.
    #[test]
    fn arbitrary_rows_never_panic_and_what_is_accepted_can_be_read_by_a_device(
        rows in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
            "", "app", "data", "bootloader", "partition_table", "ota", "ota_0", "nvs", "primary", "recovery", "factory",
            "0", "1", "0x40", "255", "256", "-1", "0x9000", "0x10000", "-0x9000", "-0x20000", "4K", "1M", "4KM",
            "0xFFFFF000", "0xFFFFFFFFFFFFFFFF", "-0xFFFFFFFFFFFFFFFF", "99999999999999999999999999999999999999999",
            "N/A", "otaK", "$X", "encrypted", "readonly:", "abcdefghijklmnopq", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
            "a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", "\0", "x", "y", "z",
        ]), 0..8), 0..6),
        md5 in any::<bool>(),
        flash_size in prop::option::of(prop::sample::select(vec![1 << 20, 128 << 20])),
    ) {
        let text: String = rows.iter().map(|row| row.join(",") + "\n").collect();
        let options = Options {
            md5,
            flash_size,
            primary_bootloader_offset: Some(0x1000),
            recovery_bootloader_offset: Some(0x3F_0000),
            ..Options::default()
        };
        match csv::compile(text.as_bytes(), &options, &|_| None) {
            Ok(compiled) => {
                let rules = airlift_formats::esp::partition_table::Rules {
                    flash_size: flash_size.unwrap_or(u32::MAX),
                    require_md5: md5,
                };
                let table = PartitionTable::parse(compiled.binary(), &rules);
                let exactly_4_gib = compiled.partitions.iter().any(|p| p.end() == 1 << 32);
                prop_assert!(table.is_ok() || exactly_4_gib, "{:?}\n{}", table, text);
                for lint in compiled.lints {
                    prop_assert!(!lint.to_string().is_empty());
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
