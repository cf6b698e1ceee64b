//! Every way in which a CSV file can be wrong, with the message: a table that a reader extends by a line.
//!
//! The numbers are those of the protocol page, so that cases of which no golden file is at hand are here, too.

use airlift_formats::esp::partition_table::{
    Options, SecureBoot,
    csv::{self, Reason},
};

const HEAD: &str = "# Name, Type, SubType, Offset, Size, Flags\n";
const HINT: &str = "\nPlease check extra_partition_subtypes.inc file in build/config directory";
const DATA: &str =
    "ota, phy, nvs, coredump, nvs_keys, efuse, undefined, esphttpd, fat, spiffs, littlefs, tee_ota";
const APP: &str = "factory, test, ota_0, ota_1, ota_2, ota_3, ota_4, ota_5, ota_6, ota_7, ota_8, ota_9, ota_10, ota_11, \
                   ota_12, ota_13, ota_14, ota_15, tee_0, tee_1";

/// Rows behind the head line, lines at fault, message.
type Case = (&'static str, &'static str, &'static [usize], String);

fn refuse(id: &str, rows: &str, options: &Options) -> csv::Error {
    match csv::compile(format!("{HEAD}{rows}").as_bytes(), options, &|_| None) {
        Err(error) => error,
        Ok(compiled) => panic!("{id}: accepted: {:?}", compiled.partitions),
    }
}

fn check(cases: Vec<Case>, options: &Options) {
    for (id, rows, lines, message) in cases {
        let error = refuse(id, rows, options);
        assert_eq!(error.to_string(), message, "{id}");
        assert_eq!(error.lines, lines, "{id}");
    }
}

#[test]
fn a_cell_that_cannot_be_read() {
    let at_2 = |text: &str| format!("Error at line 2: {text}{HINT}");
    let unknown = |value: &str, known: &str| {
        at_2(&format!(
            "Value '{value}' is not valid. Known keywords: {known}"
        ))
    };
    let invalid = |value: &str| at_2(&format!("Invalid field value {value}"));
    let flag = |flag: &str| at_2(&format!("CSV flag column contains unknown flag '{flag}'"));
    let types = "bootloader, partition_table, app, data";
    let empty_type = || at_2("Field 'type' can't be left empty.");
    let cases: Vec<Case> = vec![
        ("e01", "nvs,,nvs,0x9000,0x4000", &[2], empty_type()),
        (
            "e02",
            "nvs,dta,nvs,0x9000,0x4000",
            &[2],
            unknown("dta", types),
        ),
        (
            "e02 keyword with a suffix: a type without names",
            "nvs,datak,nvs,0x9000,0x4000",
            &[2],
            invalid("nvs"),
        ),
        (
            "e03",
            "nvs,data,nvz,0x9000,0x4000",
            &[2],
            unknown("nvz", DATA),
        ),
        (
            "e03 case",
            "nvs,data,NVZ,0x9000,0x4000",
            &[2],
            unknown("NVZ", DATA),
        ),
        (
            "e03 suffix",
            "x,data,my_disk,0x9000,0x4000",
            &[2],
            unknown("my_dis", DATA),
        ),
        (
            "e04",
            "f,app,ota_16,0x10000,1M",
            &[2],
            unknown("ota_16", APP),
        ),
        (
            "e04 boot loader",
            "b,bootloader,second,,",
            &[2],
            unknown("second", "primary, ota, recovery"),
        ),
        (
            "e04 table",
            "b,partition_table,second,,",
            &[2],
            unknown("second", "primary, ota"),
        ),
        (
            "e05",
            "f,app,,0x10000,1M",
            &[2],
            at_2("App partition cannot have an empty subtype"),
        ),
        (
            "e06",
            "nvs,data,nvs,0x9000,,",
            &[2],
            at_2("Size field can't be empty"),
        ),
        (
            "e06 short",
            "nvs,data,nvs",
            &[2],
            at_2("Size field can't be empty"),
        ),
        ("e07", "f,app,factory,0x10000,1MB", &[2], invalid("1MB")),
        ("e08", "f,app,factory,0x10000,1.5M", &[2], invalid("1.5")),
        ("e09", "f,app,factory,0x10000,M", &[2], invalid("")),
        ("e10", "nvs,data,nvs,036864,0x4000", &[2], invalid("036864")),
        ("e11", "nvs,data,nvs,abc,0x4000", &[2], invalid("abc")),
        (
            "e12",
            "nvs,data,nvs,0x9000,0x4000,secret",
            &[2],
            flag("secret"),
        ),
        (
            "e13",
            "nvs,data,nvs,0x9000,0x4000,Encrypted",
            &[2],
            flag("Encrypted"),
        ),
        (
            "e13 space",
            "nvs,data,nvs,0x9000,0x4000,encrypted: readonly",
            &[2],
            flag(" readonly"),
        ),
        (
            "e14",
            "nvs,data,nvs,0x9000,0x4000, # my nvs",
            &[2],
            flag("# my nvs"),
        ),
        (
            "e36",
            "nvs,data,nvs,$NO_SUCH_VAR_XYZ,0x4000",
            &[2],
            invalid("$NO_SUCH_VAR_XYZ"),
        ),
        ("e44", "x,data,nvs,N/A,0x4000", &[2], invalid("N/A")),
        (
            "e44 boot loader that is not fixed",
            "x,bootloader,ota,N/A,",
            &[2],
            invalid("N/A"),
        ),
        ("e45", "nvs;data;nvs;0x9000;0x4000", &[2], empty_type()),
        ("e47", "x,0x40,foo,0x9000,0x1000", &[2], invalid("foo")),
        (
            "e47 type beyond a byte",
            "x,0x100,foo,0x9000,0x1000",
            &[2],
            invalid("foo"),
        ),
        (
            "the first error of a line",
            "x,,,abc,,secret",
            &[2],
            empty_type(),
        ),
        (
            "the first line",
            "x,data,nvs,abc,4K\ny,,nvs,abc,4K",
            &[2],
            invalid("abc"),
        ),
    ];
    check(cases, &Options::default());

    let later = refuse(
        "later line",
        "\n# c\n\r\n  \nx,data,nvs,abc,4K",
        &Options::default(),
    );
    assert_eq!(later.lines, [6]);
}

#[test]
fn a_variable_that_the_environment_does_not_have() {
    let cases: Vec<Case> = vec![
        (
            "at the start",
            "x,data,0x40,,4K\n$ROW\n",
            &[3],
            "unknown variable 'ROW'".into(),
        ),
        (
            "anywhere else",
            " $ROW\n",
            &[2],
            format!("Error at line 2: Field 'type' can't be left empty.{HINT}"),
        ),
    ];
    check(cases, &Options::default());
}

#[test]
fn an_offset_that_is_taken() {
    let on_table = |line: usize, offset: &str, free: &str| {
        format!(
            "CSV Error at line {line}: Partitions overlap. Partition sets offset {offset}. But partition table occupies the \
             whole sector 0x8000. Use a free offset {free} or higher."
        )
    };
    let on_previous = |line: usize, offset: &str, end: &str| {
        format!(
            "CSV Error at line {line}: Partitions overlap. Partition sets offset {offset}. Previous partition ends {end}"
        )
    };
    let cases: Vec<Case> = vec![
        (
            "e15",
            "nvs,data,nvs,0x8000,0x4000",
            &[2],
            on_table(2, "0x8000", "0x9000"),
        ),
        (
            "e15 below",
            "nvs,data,nvs,0,0x4000",
            &[2],
            on_table(2, "0x0", "0x9000"),
        ),
        (
            "e16",
            "nvs,data,nvs,0x9000,0x4000,\notadata,data,ota,0x8000,0x2000,",
            &[3],
            on_previous(3, "0x8000", "0xd000"),
        ),
        (
            "e17",
            "nvs,data,nvs,0x9000,0x5000\notadata,data,ota,0xd000,0x2000",
            &[3],
            on_previous(3, "0xd000", "0xe000"),
        ),
        (
            "e18: out of order",
            "f,app,factory,0x10000,1M\nnvs,data,nvs,0x9000,0x4000",
            &[3],
            on_previous(3, "0x9000", "0x110000"),
        ),
        (
            "e46",
            "x,data,0x40,-0x9000,0x1000",
            &[2],
            on_table(2, "0x-9000", "0x9000"),
        ),
        (
            "a copy of the first line counts as the first line",
            "x,data,0x40,0x9000,4K\nx,data,0x40,0x9000,4K",
            &[3],
            on_table(3, "0x9000", "0xa000"),
        ),
        (
            "the previous one can be the table behind a boot loader's row",
            "t,partition_table,primary,,\nx,data,0x40,0x8000,4K",
            &[3],
            on_previous(3, "0x8000", "0x9000"),
        ),
    ];
    check(cases, &Options::default());

    let options = Options {
        primary_bootloader_offset: Some(0x1000),
        recovery_bootloader_offset: Some(0xA000),
        ..Options::default()
    };
    let recovery = "nvs,data,nvs,,0x4000\nb,bootloader,recovery,N/A,N/A";
    check(
        vec![("e48", recovery, &[3], on_previous(3, "0xa000", "0xd000"))],
        &options,
    );
}

#[test]
fn a_table_that_violates_a_rule() {
    let invalid = |name: &str, text: &str| format!("Partition {name} invalid: {text}");
    let cases: Vec<Case> = vec![
        ("e19", "f,app,factory,0x11000,1M", &[2], invalid("f", "Offset 0x11000 is not aligned to 0x10000")),
        ("e20", "nvs,data,nvs,0x9100,0x4000", &[2], invalid("nvs", "Offset 0x9100 is not aligned to 0x1000")),
        ("e20 own type", "x,0x40,0,0x9800,4K", &[2], invalid("x", "Offset 0x9800 is not aligned to 0x1000")),
        ("e21", "f,app,factory,0x10000,0x100001", &[2], invalid("f", "Size 0x100001 is not aligned to 0x1000")),
        (
            "e22",
            "b,data,fat,0x9000,4K,encrypted\na,data,nvs,,0x4000\nc,data,phy,,4K\nb,0x40,0,,3\na,data,phy,,1M",
            &[3, 6, 2, 5],
            "A list of partitions that have the same name:\n\
             a,data,nvs,0xa000,16K,\n\
             a,data,phy,0x10000,1M,\n\
             b,data,fat,0x9000,4K,encrypted\n\
             b,64,0,0xf000,0x3,\n\
             Partition names must be unique"
                .into(),
        ),
        (
            "e23",
            "o,data,ota,,8K\no2,data,ota,,8K",
            &[2, 3],
            "o,data,ota,0x9000,8K,\no2,data,ota,0xb000,8K,\nFound multiple otadata partitions. Only one partition can be \
             defined with type=\"data\"(1) and subtype=\"ota\"(0)."
                .into(),
        ),
        ("e24", "o,data,ota,,4K", &[2], "o,data,ota,0x9000,4K,\notadata partition must have size = 0x2000".into()),
        (
            "e25",
            "otadata,data,ota,0x9000,0x2000,readonly",
            &[2],
            invalid(
                "otadata",
                "'otadata' partition of type 1 and subtype 0 is always read-write and cannot be read-only",
            ),
        ),
        (
            "e26",
            "cd,data,coredump,,64K,encrypted:readonly",
            &[2],
            invalid("cd", "'cd' partition of type 1 and subtype 3 is always read-write and cannot be read-only"),
        ),
        (
            "e27",
            "nvs,data,nvs,0x9000,0x2000",
            &[2],
            invalid(
                "nvs",
                "'nvs' partition of type 1 and subtype 2 of this size (0x2000) must be flagged as 'readonly' (the size of \
                 read/write NVS has to be at least 0x3000)",
            ),
        ),
        (
            "e28",
            "o,data,tee_ota,,8K\no2,data,tee_ota,,8K",
            &[2, 3],
            "o,data,tee_ota,0x9000,8K,\no2,data,tee_ota,0xb000,8K,\nFound multiple TEE otadata partitions. Only one \
             partition can be defined with type=\"data\"(1) and subtype=\"tee_ota\"(0x90)."
                .into(),
        ),
        (
            "e29",
            "o1,data,tee_ota,0x9000,0x3000",
            &[2],
            "o1,data,tee_ota,0x9000,12K,\nTEE otadata partition must have size = 0x2000".into(),
        ),
        (
            "below the table, after a size that ends before its start",
            "x,data,0x40,,-0x1000\ny,data,0x41,0x2000,4K",
            &[3],
            "Partition offset 0x2000 is below 0x9000".into(),
        ),
        (
            "an overlap that the order of the lines hides",
            "x,data,0x40,0x20000,-0x28000\nz,data,0x41,0x28000,4K\ny,data,0x41,0x29000,-0x20000\nw,data,0x42,0x20000,16K",
            &[2, 5],
            "Partition at 0x20000 overlaps 0x20000-0x27fff".into(),
        ),
        (
            "partitions come before names",
            "a,data,nvs,,4K\na,data,phy,,4K",
            &[2],
            invalid(
                "a",
                "'a' partition of type 1 and subtype 2 of this size (0x1000) must be flagged as 'readonly' (the size of \
                 read/write NVS has to be at least 0x3000)",
            ),
        ),
    ];
    check(cases, &Options::default());

    let v1 = Options {
        secure_boot: Some(SecureBoot::V1),
        ..Options::default()
    };
    let odd_size = "f,app,factory,0x10000,0x101000";
    check(
        vec![(
            "e35",
            odd_size,
            &[2],
            invalid("f", "Size 0x101000 is not aligned to 0x10000"),
        )],
        &v1,
    );
    for secure_boot in [None, Some(SecureBoot::V2)] {
        let options = Options {
            secure_boot,
            ..Options::default()
        };
        assert!(csv::compile(odd_size.as_bytes(), &options, &|_| None).is_ok());
    }
}

#[test]
fn small_key_value_stores_may_be_readonly() {
    let text = "nvs,data,nvs,,4K,readonly";
    assert!(csv::compile(text.as_bytes(), &Options::default(), &|_| None).is_ok());
}

#[test]
fn boot_loaders_need_options() {
    let at_2 = |text: &str| format!("Error at line 2: {text}{HINT}");
    let primary =
        at_2("Primary bootloader offset is not defined. Please use --primary-bootloader-offset");
    let recovery =
        at_2("Recovery bootloader offset is not defined. Please use --recovery-bootloader-offset");
    let none = Options::default();
    check(
        vec![
            ("e30", "b,bootloader,primary,N/A,N/A", &[2], primary.clone()),
            ("e30 ota", "b,bootloader,ota,,", &[2], primary.clone()),
            (
                "both missing",
                "b,bootloader,recovery,N/A,N/A",
                &[2],
                recovery.clone(),
            ),
        ],
        &none,
    );
    let only_primary = Options {
        primary_bootloader_offset: Some(0x1000),
        ..Options::default()
    };
    check(
        vec![("e31", "b,bootloader,recovery,N/A,N/A", &[2], recovery)],
        &only_primary,
    );
    let only_recovery = Options {
        recovery_bootloader_offset: Some(0x3F_0000),
        ..Options::default()
    };
    check(
        vec![("size", "b,bootloader,recovery,N/A,N/A", &[2], primary)],
        &only_recovery,
    );
}

#[test]
fn the_boot_loader_lies_below_the_table() {
    for primary in [0x8000, 0x9000] {
        let options = Options {
            primary_bootloader_offset: Some(primary),
            ..Options::default()
        };
        // Said before anything else.
        let cases: Vec<Case> = vec![(
            "e32",
            "nonsense",
            &[],
            format!(
                "Unsupported configuration. Primary bootloader must be below partition table. Check \
                 --primary-bootloader-offset={primary:#x} and --offset=0x8000"
            ),
        )];
        check(cases, &options);
    }
}

#[test]
fn the_last_partition_ends_within_the_flash() {
    let options = |megabytes: u32| Options {
        flash_size: Some(megabytes << 20),
        ..Options::default()
    };
    let message = |tenths: &str, bytes: u32, megabytes: u32| {
        format!(
            "Partitions tables occupies {tenths}MB of flash ({bytes} bytes) which does not fit in configured flash size \
             {megabytes}MB. Change the flash size in menuconfig under the 'Serial Flasher Config' menu."
        )
    };
    check(
        vec![
            (
                "e33",
                "nvs,data,nvs,,16K\nf,app,factory,0x10000,4M",
                &[3],
                message("4.1", 4_259_840, 4),
            ),
            (
                "half",
                "f,app,factory,0x10000,0x430000",
                &[2],
                message("4.2", 0x44_0000, 4),
            ),
        ],
        &options(4),
    );
    let fits = "f,app,factory,0x10000,-4M";
    assert!(csv::compile(fits.as_bytes(), &options(4), &|_| None).is_ok());
    assert!(csv::compile(fits.as_bytes(), &options(2), &|_| None).is_err());
}

#[test]
fn what_ends_the_official_tool_with_an_exception_is_an_error_of_the_line() {
    let at_2 = |text: &str| format!("Error at line 2: {text}");
    let too_large = "for a partition table";
    let cases: Vec<Case> = vec![
        (
            "e39",
            "x,0x100,0x00,0x9000,0x1000",
            &[2],
            at_2("type 0x100 does not fit in a byte; types are 0x00 to 0xfe"),
        ),
        (
            "e39 negative",
            "x,-1,0x00,0x9000,0x1000",
            &[2],
            at_2("type 0x-1 does not fit in a byte; types are 0x00 to 0xfe"),
        ),
        (
            "e40",
            "x,data,0x100,0x9000,0x1000",
            &[2],
            at_2("subtype 0x100 does not fit in a byte; subtypes are 0x00 to 0xff"),
        ),
        (
            "a keyword with a suffix is multiplied",
            "x,data,phyk,0x9000,0x1000",
            &[2],
            at_2("subtype 0x400 does not fit in a byte; subtypes are 0x00 to 0xff"),
        ),
        (
            "e41",
            "x,data,0x40,0x100000000,0x1000",
            &[2],
            at_2("offset 0x100000000 does not fit in 32 bits: no flash chip is that large"),
        ),
        (
            "e42",
            "x,data,0x40,0x9000,0x100000000",
            &[2],
            at_2("size 0x100000000 does not fit in 32 bits: no flash chip is that large"),
        ),
        (
            "e43",
            "x,data,0x40,0x9000,-0x8000",
            &[2],
            at_2(
                "the negative size means that the partition ends at 0x8000, but it starts at 0x9000",
            ),
        ),
        (
            "a number beyond all bounds",
            "x,data,0x40,0x99999999999999999999999999999999999999,4K",
            &[2],
            at_2(&format!(
                "the number '0x99999999999999999999999999999999999999' is too large {too_large}"
            )),
        ),
    ];
    check(cases, &Options::default());
}

#[test]
fn what_cannot_be_read_back_or_is_rejected_by_devices_is_always_an_error() {
    let cases: Vec<Case> = vec![
        (
            "a09: the names differ only behind the cut",
            "abcdefghijklmnopA,data,0x40,0x9000,0x1000\nx,data,0x41,,4K\nabcdefghijklmnopB,data,0x40,,0x1000",
            &[2, 4],
            "Error at line 4: the name is the same as in line 2 after the cut to 16 bytes ('abcdefghijklmnop'), and the \
             table could not be read back; use shorter names"
                .into(),
        ),
        (
            "a20: no partitions",
            "# nothing\n",
            &[],
            "the table has no partitions: neither the official tool nor a device could read it; add a partition".into(),
        ),
        (
            "a24: the end is beyond 4 GiB",
            "x,data,0x40,0xFFFFF000,0x2000",
            &[2],
            "Error at line 2: the partition ends at 0x100001000, beyond 4 GiB: devices reject it".into(),
        ),
        (
            "a name cut within a character",
            "a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9},data,0x40,,4K",
            &[2],
            "Error at line 2: the cut of the name 'a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}' to 16 bytes falls \
             into a character, and the table could not be read back; use a shorter name"
                .into(),
        ),
        (
            "a32: the type of the end marker",
            "x,data,0x40,,4K\ny,0xFF,0xFF,,0x1000",
            &[3],
            "Error at line 3: type 0xff marks the end of the table; types of your own are 0x40 to 0xfe".into(),
        ),
        (
            "names that differ only behind a NUL",
            "x\0a,data,0x40,,4K\nx\0b,data,0x40,,4K",
            &[2, 3],
            "Error at line 3: the name is the same as in line 2 after the cut to 16 bytes ('x'), and the table could not be \
             read back; use shorter names"
                .into(),
        ),
    ];
    check(cases, &Options::default());
}

#[test]
fn a_file_that_is_not_text() {
    let refused = |bytes: &[u8]| {
        let error = csv::compile(bytes, &Options::default(), &|_| None).unwrap_err();
        assert!(matches!(error.reason, Reason::Encoding { .. }), "{error:?}");
        (error.lines.clone(), error.to_string())
    };
    let line = |line: usize, text: &str| {
        (
            vec![line],
            format!("Error at line {line}: {text}; save the file as UTF-8"),
        )
    };
    for (bytes, expected) in [
        // e49
        (
            &b"n\xFF\xFEvs,data,nvs,0x9000,0x4000\n"[..],
            line(1, "byte 0xff at position 1 is not UTF-8"),
        ),
        (
            b"a\r\nb\n\xC3",
            line(3, "byte 0xc3 at position 5 is not UTF-8"),
        ),
        (
            b"\xEF\xBB\xBF\n\x80",
            line(2, "byte 0x80 at position 4 is not UTF-8"),
        ),
        (
            b"\xFF\xFEa\0\n\0\0\xD8b\0",
            line(2, "the text from position 6 on is not UTF-16"),
        ),
        (
            b"\xFE\xFF\0a\0",
            line(1, "the text from position 4 on is not UTF-16"),
        ),
        (
            b"\0\0\xFE\xFF\0\0\0\n\0\x11\0\0",
            line(2, "the text from position 8 on is not UTF-32"),
        ),
        (
            b"\xFF\xFE\0\0a\0",
            line(1, "the text from position 4 on is not UTF-32"),
        ),
    ] {
        assert_eq!(refused(bytes), expected, "{bytes:x?}");
    }
}

#[test]
fn a_binary_table_is_not_csv() {
    let error = csv::compile(b"\xAA\x50nonsense", &Options::default(), &|_| None).unwrap_err();
    assert_eq!(error.reason, Reason::Binary);
}
