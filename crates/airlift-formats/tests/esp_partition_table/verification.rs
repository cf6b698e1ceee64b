//! Verifying tables that were read from a binary.

use airlift_formats::esp::partition_table::{
    Flags, Name, Options, Partition, PartitionTable, PartitionType, TABLE_LEN,
    csv::{self, PrintError},
    emit, subtype,
    verify::{Error, Violation, verify},
};

use super::golden;

fn data(label: &[u8], subtype: u8, offset: u32, size: u32) -> Partition {
    Partition {
        kind: PartitionType::DATA,
        subtype,
        offset,
        size,
        name: Name::new(label).unwrap(),
        flags: Flags::default(),
    }
}

fn verdict(partitions: &[Partition], options: &Options) -> Result<Vec<&'static str>, Error> {
    let mut out = [0; TABLE_LEN];
    let bytes = emit(partitions.iter().copied(), true, &mut out).unwrap();
    let table = PartitionTable::inspect(bytes).unwrap();
    verify(&table, options).map(|lints| lints.iter().map(|lint| lint.rule.id()).collect())
}

#[test]
fn damaged_golden_tables_are_judged_as_the_official_tool_does() {
    let results = golden::read("ptable_binerr/results.json");
    let results: Vec<serde_json::Value> = serde_json::from_slice(&results).unwrap();
    assert!(!results.is_empty());
    for result in &results {
        let id = result["id"].as_str().unwrap();
        let options = Options::default();
        let bytes = golden::read(&format!("ptable_binerr/{id}.bin"));
        let printed = PartitionTable::inspect(&bytes)
            .map_err(|error| error.to_string())
            .and_then(|table| {
                let lints = verify(&table, &options).map_err(|error| error.to_string())?;
                let text = csv::print(table.partitions(), &options.subtypes)
                    .map_err(|error| error.to_string())?;
                Ok((text, lints))
            });
        match (result["rc"].as_i64().unwrap(), printed) {
            (0, Ok((text, lints))) => {
                assert_eq!(text, result["stdout"], "{id}");
                for warning in result["stderr"].as_str().unwrap().lines() {
                    let warning = warning.strip_prefix("WARNING: ").expect("a warning");
                    let found = lints.iter().any(|lint| lint.to_string() == warning);
                    assert!(found, "{id}: {lints:?}");
                }
            }
            (2, Err(message)) => assert_eq!(message, result["stderr"], "{id}"),
            // A Python exception there; a message of our own here.
            (1, Err(message)) => assert!(!message.is_empty(), "{id}"),
            (rc, printed) => panic!("{id}: {rc} there, here {printed:?}"),
        }
    }
}

#[test]
fn an_overlap_is_found_in_any_order() {
    let partitions = [
        data(b"x", 0x40, 0xA000, 0x1000),
        data(b"nvs", subtype::DATA_NVS, 0x9000, 0x4000),
    ];
    let error = verdict(&partitions, &Options::default()).unwrap_err();
    assert_eq!(error.partitions, [1, 0]);
    assert_eq!(
        error.to_string(),
        "Partition at 0xa000 overlaps 0x9000-0xcfff"
    );
}

#[test]
fn nothing_lies_below_the_table_but_what_belongs_there() {
    let low = data(b"x", 0x40, 0x8000, 0x1000);
    let error = verdict(&[low], &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "Partition offset 0x8000 is below 0x9000");
    let table = Partition {
        kind: PartitionType::PARTITION_TABLE,
        subtype: subtype::PRIMARY,
        ..low
    };
    assert_eq!(verdict(&[table], &Options::default()), Ok(vec!["no-app"]));
    let low = Options {
        table_offset: 0x7000,
        ..Options::default()
    };
    assert!(verdict(&[data(b"x", 0x40, 0x8000, 0x1000)], &low).is_ok());
}

#[test]
fn the_end_of_the_last_partition_counts_not_the_highest_end() {
    let options = Options {
        flash_size: Some(1 << 20),
        ..Options::default()
    };
    let partitions = [
        data(b"x", 0x40, 0xF_F000, 0x1001),
        data(b"y", 0x41, 0x9000, 0x1000),
    ];
    let error = verdict(&partitions, &options).unwrap_err();
    assert_eq!(error.partitions, [0]);
    assert!(matches!(
        error.violation,
        Violation::FlashSize { end: 0x10_0001, .. }
    ));
}

#[test]
fn a_name_that_is_not_utf8_is_reported_and_cannot_be_printed() {
    let odd = data(b"\xFFx", 0x40, 0x9000, 0x1000);
    assert_eq!(
        verdict(&[odd], &Options::default()),
        Ok(vec!["name-not-utf8", "no-app"])
    );
    let error = csv::print([odd], &Options::default().subtypes).unwrap_err();
    assert_eq!(
        error,
        PrintError {
            partition: 0,
            name: odd.name
        }
    );
    assert!(error.to_string().contains(r"'\xffx'"));
}

#[test]
fn names_that_only_look_alike_are_different() {
    // Text in which the first byte is replaced by what messages print for it.
    let partitions = [
        data(b"\xFF", 0x40, 0x9000, 0x1000),
        data("\u{FFFD}".as_bytes(), 0x40, 0xA000, 0x1000),
    ];
    assert!(verdict(&partitions, &Options::default()).is_ok());
}

#[test]
fn names_that_csv_cannot_hold_are_reported() {
    for name in ["a,b", "#x", " x", "x ", "a\nb"] {
        let lints = verdict(
            &[data(name.as_bytes(), 0x40, 0x9000, 0x1000)],
            &Options::default(),
        );
        assert_eq!(lints, Ok(vec!["name-characters", "no-app"]), "{name:?}");
    }
}
