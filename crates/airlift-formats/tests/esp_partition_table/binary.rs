//! Reading and writing the binary table.

use airlift_formats::esp::partition_table::{
    DEFAULT_OFFSET, EmitError, Error, Flags, MAX_ENTRIES, Name, Partition, PartitionTable,
    PartitionType, Rules, SECTOR_LEN, SlotError, TABLE_LEN, emit, subtype,
};
use proptest::prelude::*;

use super::golden;

const RULES: Rules = Rules::new(128 << 20);

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a label of at most 16 bytes")
}

fn partition(label: &str, kind: PartitionType, subtype: u8, offset: u32, size: u32) -> Partition {
    Partition {
        kind,
        subtype,
        offset,
        size,
        name: name(label),
        flags: Flags::default(),
    }
}

fn data(label: &str, offset: u32, size: u32) -> Partition {
    partition(label, PartitionType::DATA, 0x40, offset, size)
}

fn app(label: &str, subtype: u8, index: u32) -> Partition {
    partition(
        label,
        PartitionType::APP,
        subtype,
        (index + 1) << 20,
        1 << 20,
    )
}

fn binary(partitions: &[Partition], md5: bool) -> Vec<u8> {
    let mut out = [0; TABLE_LEN];
    emit(partitions.iter().copied(), md5, &mut out).expect("a table that can be written");
    out.to_vec()
}

/// Replaces entry `index` of a table.
fn with_entry(mut table: Vec<u8>, index: usize, entry: &[u8; 32]) -> Vec<u8> {
    table[index * 32..][..32].copy_from_slice(entry);
    table
}

fn two_ota() -> Vec<u8> {
    golden::read("ptable/partition_table__partitions_two_ota.md5.bin")
}

#[test]
fn every_golden_table_is_read_and_written_back_byte_for_byte() {
    for (suffix, md5) in [(".md5.bin", true), (".nomd5.bin", false)] {
        for stem in golden::stems("ptable", suffix) {
            let bytes = golden::read(&format!("ptable/{stem}{suffix}"));
            let rules = Rules {
                require_md5: md5,
                ..RULES
            };
            for table in [
                PartitionTable::parse(&bytes, &rules),
                PartitionTable::inspect(&bytes),
            ] {
                let table = table.unwrap_or_else(|error| panic!("{stem}{suffix}: {error}"));
                assert_eq!(table.md5().is_some(), md5, "{stem}{suffix}");
                let mut out = [0x5A; TABLE_LEN];
                let written = emit(table.partitions(), md5, &mut out);
                assert_eq!(
                    written.map(|table| table.to_vec()),
                    Ok(bytes.clone()),
                    "{stem}{suffix}"
                );
            }
        }
    }
}

#[test]
fn the_two_slot_table_is_understood() {
    let bytes = two_ota();
    let table = PartitionTable::parse(&bytes, &Rules::new(4 << 20)).unwrap();
    assert_eq!(table.partitions().count(), 6);
    assert_eq!(
        table.find_by_name("otadata"),
        Some(partition(
            "otadata",
            PartitionType::DATA,
            subtype::DATA_OTA,
            0xD000,
            0x2000
        ))
    );
    assert_eq!(table.find_by_name(b"ota_1").unwrap().ota_slot(), Some(1));
    assert_eq!(table.find_by_name("ota_2"), None);
    assert_eq!(table.find_by_name("a name that no entry could hold"), None);
    assert_eq!(
        table
            .find(PartitionType::APP, subtype::APP_FACTORY)
            .unwrap()
            .offset,
        0x1_0000
    );
    let slots = table.app_slots().unwrap();
    assert_eq!(slots.count(), 2);
    assert_eq!(
        slots
            .iter()
            .map(|slot| slot.name.to_string())
            .collect::<Vec<_>>(),
        ["ota_0", "ota_1"]
    );
    assert_eq!(slots.get(2), None);
    assert_eq!(table.otadata().unwrap().offset, 0xD000);
}

/// What the device makes of each damaged table, and what the reader that imitates the tool makes of it.
#[test]
fn every_damaged_golden_table_has_its_own_error() {
    type Verdict = fn(&Error) -> bool;
    let cases: &[(&str, Option<Verdict>, Option<Verdict>)] = &[
        (
            "b01",
            Some(|e| matches!(e, Error::Md5Mismatch { index: 6, .. })),
            Some(|e| matches!(e, Error::Md5Mismatch { .. })),
        ),
        (
            "b02",
            Some(|e| matches!(e, Error::Md5Mismatch { index: 6, .. })),
            Some(|e| matches!(e, Error::Md5Mismatch { .. })),
        ),
        (
            "b03",
            Some(|e| {
                matches!(
                    e,
                    Error::Magic {
                        index: 1,
                        found: [0, 0x50]
                    }
                )
            }),
            Some(|e| matches!(e, Error::Magic { .. })),
        ),
        (
            "b04",
            Some(|e| matches!(e, Error::Length { len: 223 })),
            Some(|e| matches!(e, Error::Length { .. })),
        ),
        (
            "b05",
            Some(|e| matches!(e, Error::MissingEndMarker { entries: 7 })),
            Some(|e| matches!(e, Error::MissingEndMarker { .. })),
        ),
        (
            "b06",
            None,
            Some(|e| matches!(e, Error::SecondMd5 { index: 7 })),
        ),
        (
            "b07",
            Some(|e| matches!(e, Error::Md5First)),
            Some(|e| matches!(e, Error::Md5First)),
        ),
        (
            "b08",
            Some(|e| matches!(e, Error::Blank)),
            Some(|e| matches!(e, Error::Blank)),
        ),
        ("b09", None, None),
        ("b10", None, Some(|e| matches!(e, Error::MissingMd5))),
        ("b11", None, None),
        (
            "b12",
            Some(|e| matches!(e, Error::DamagedEndMarker { index: 7 })),
            Some(|e| matches!(e, Error::DamagedEndMarker { .. })),
        ),
        ("b13", None, None),
        (
            "b14",
            None,
            Some(|e| matches!(e, Error::MissingMd5 | Error::Overlap { .. })),
        ),
        ("b15", None, None),
    ];
    for stem in golden::stems("ptable_binerr", ".bin") {
        let (_, inspected, parsed) = cases
            .iter()
            .find(|(id, ..)| stem.starts_with(id))
            .unwrap_or_else(|| panic!("{stem}: not in the table of this test"));
        let bytes = golden::read(&format!("ptable_binerr/{stem}.bin"));
        for (result, expected) in [
            (PartitionTable::inspect(&bytes), inspected),
            (PartitionTable::parse(&bytes, &RULES), parsed),
        ] {
            match (&result, expected) {
                (Ok(_), None) => {}
                (Err(error), Some(verdict)) if verdict(error) => {}
                _ => panic!("{stem}: {result:?}"),
            }
        }
    }
}

#[test]
fn where_the_tool_refuses_with_a_message_it_is_the_same_message() {
    let results = golden::read("ptable_binerr/results.json");
    let results: Vec<serde_json::Value> = serde_json::from_slice(&results).unwrap();
    let mut compared = 0;
    for result in results.iter().filter(|result| result["rc"] == 2) {
        let id = result["id"].as_str().unwrap();
        let bytes = golden::read(&format!("ptable_binerr/{id}.bin"));
        // An overlap is found by the verification of the official tool, not by its reader.
        if let Err(error) = PartitionTable::inspect(&bytes) {
            assert_eq!(error.to_string(), result["stderr"], "{id}");
            compared += 1;
        }
    }
    assert!(compared > 0, "no message was compared");
}

#[test]
fn a_device_refuses_what_it_could_trip_over() {
    let good = [data("a", 0x9000, 0x1000), data("b", 0xA000, 0x1000)];
    let table = binary(&good, true);
    assert!(PartitionTable::parse(&table, &RULES).is_ok());
    let md5: [u8; 32] = table[64..96].try_into().unwrap();

    let cases: Vec<(&str, Vec<u8>, Error)> = vec![
        ("no MD5 entry", binary(&good, false), Error::MissingMd5),
        (
            "two MD5 entries",
            with_entry(table.clone(), 3, &md5),
            Error::SecondMd5 { index: 3 },
        ),
        (
            "a partition behind the MD5 entry",
            with_entry(table.clone(), 3, &data("c", 0xB000, 0x1000).to_bytes()),
            Error::PartitionAfterMd5 { index: 3 },
        ),
        (
            "a partition that wraps around",
            binary(&[data("a", 0xFFFF_F000, 0x2000)], true),
            Error::BeyondFlash {
                index: 0,
                offset: 0xFFFF_F000,
                size: 0x2000,
                flash_size: RULES.flash_size,
            },
        ),
        (
            "a partition that ends a byte too late",
            binary(&[good[0], data("b", (128 << 20) - 0x1000, 0x1001)], true),
            Error::BeyondFlash {
                index: 1,
                offset: (128 << 20) - 0x1000,
                size: 0x1001,
                flash_size: RULES.flash_size,
            },
        ),
        (
            "an overlap by a byte, in any order",
            binary(
                &[data("b", 0xA000, 0x1000), data("a", 0x9000, 0x1001)],
                true,
            ),
            Error::Overlap {
                first: 0,
                first_name: name("b"),
                second: 1,
                second_name: name("a"),
            },
        ),
        ("erased flash", vec![0xFF; TABLE_LEN], Error::Blank),
        ("nothing", vec![], Error::NotATable { found: [0, 0] }),
        (
            "an image",
            vec![0xE9; TABLE_LEN],
            Error::NotATable { found: [0xE9; 2] },
        ),
        (
            "only the end marker cut off",
            table[..96].to_vec(),
            Error::MissingEndMarker { entries: 3 },
        ),
    ];
    for (what, bytes, error) in cases {
        assert_eq!(PartitionTable::parse(&bytes, &RULES), Err(error), "{what}");
    }
}

#[test]
fn a_table_without_md5_is_read_by_devices_that_opted_out() {
    let table = binary(&[data("a", 0x9000, 0x1000)], false);
    let table = PartitionTable::parse(&table, &RULES.without_md5()).unwrap();
    assert_eq!(table.md5(), None);
    assert_eq!(table.partitions().count(), 1);
}

#[test]
fn a_partition_may_fill_the_flash_to_its_last_byte() {
    let table = binary(&[data("a", 0x9000, (4 << 20) - 0x9000)], true);
    assert!(PartitionTable::parse(&table, &Rules::new(4 << 20)).is_ok());
    assert!(PartitionTable::parse(&table, &Rules::new((4 << 20) - 1)).is_err());
}

#[test]
fn bytes_behind_the_end_marker_are_ignored_and_a_sector_dump_is_fine() {
    let mut sector = two_ota();
    sector[0x100..].fill(0x55);
    sector.resize(SECTOR_LEN as usize + 7, 0x55);
    assert!(PartitionTable::parse(&sector, &RULES).is_ok());
    assert!(PartitionTable::inspect(&sector).is_ok());
}

#[test]
fn a_device_needs_the_end_marker_within_96_entries() {
    let mut bytes = Vec::new();
    for index in 0..96 {
        bytes.extend(data("a", 0x9000 + index * 0x1000, 0x1000).to_bytes());
    }
    bytes.extend([0xFF; 32]);
    assert_eq!(
        PartitionTable::parse(&bytes, &RULES.without_md5()),
        Err(Error::MissingEndMarker { entries: 96 })
    );
    // The tool knows no such limit.
    assert_eq!(
        PartitionTable::inspect(&bytes)
            .unwrap()
            .partitions()
            .count(),
        96
    );
}

#[test]
fn a_flag_bit_nobody_knows_and_a_name_of_any_bytes_are_kept() {
    let odd = Partition {
        kind: PartitionType(0xFE),
        subtype: 0xAB,
        name: Name(*b"\xFF\xC3name\x1b012345678"),
        flags: Flags(0x8000_0003),
        ..data("", 0x9000, 0x1000)
    };
    let table = binary(&[odd], true);
    let read = PartitionTable::parse(&table, &RULES)
        .unwrap()
        .partitions()
        .next()
        .unwrap();
    assert_eq!(read, odd);
    assert_eq!(read.name.as_str(), None);
    assert_eq!(read.name.as_bytes().len(), 16);
    assert_eq!(read.name.to_string(), r"\xff\xc3name\u{1b}012345678");
    assert!(read.flags.is_encrypted() && read.flags.is_readonly());
    assert_eq!(read.flags.unknown(), 0x8000_0000);
    assert_eq!(read.subtype_name(), None);
}

#[test]
fn flag_bit_0_is_encrypted_and_bit_1_is_readonly() {
    assert!(Flags(1).is_encrypted() && !Flags(1).is_readonly());
    assert!(Flags(2).is_readonly() && !Flags(2).is_encrypted());
    assert_eq!(Flags::ENCRYPTED | Flags::READONLY, Flags(3));
}

#[test]
fn slots_are_exactly_ota_0_to_n_each_once() {
    let slots = |subtypes: &[u8]| {
        let partitions: Vec<_> = subtypes
            .iter()
            .zip(0..)
            .map(|(&subtype, index)| app("x", subtype, index))
            .collect();
        let bytes = binary(&partitions, true);
        let table = PartitionTable::parse(&bytes, &RULES).unwrap();
        table.app_slots().map(|slots| {
            let numbers: Vec<_> = slots.iter().map(|slot| slot.ota_slot().unwrap()).collect();
            assert_eq!(numbers, (0..slots.count()).collect::<Vec<_>>());
            slots.count()
        })
    };
    let all: Vec<u8> = (0x10..=0x1F).rev().collect();
    for (subtypes, expected) in [
        (&[0x00][..], Err(SlotError::NoSlots)),
        (&[0x10], Ok(1)),
        (&[0x00, 0x10, 0x11, 0x20, 0x30], Ok(2)),
        (&[0x11, 0x10], Ok(2)),
        (&all, Ok(16)),
        (&[0x11], Err(SlotError::Gap { missing: 0 })),
        (&[0x10, 0x12], Err(SlotError::Gap { missing: 1 })),
        (&[0x10, 0x11, 0x11], Err(SlotError::Double { slot: 1 })),
        (&[0x1F], Err(SlotError::Gap { missing: 0 })),
    ] {
        assert_eq!(slots(subtypes), expected, "{subtypes:x?}");
    }
}

#[test]
fn otadata_must_exist_and_have_two_sectors() {
    let table = |partitions: &[Partition]| {
        let bytes = binary(partitions, true);
        PartitionTable::parse(&bytes, &RULES)
            .unwrap()
            .otadata()
            .map(|otadata| otadata.size)
    };
    let otadata = |size| {
        partition(
            "otadata",
            PartitionType::DATA,
            subtype::DATA_OTA,
            0x9000,
            size,
        )
    };
    assert_eq!(table(&[app("x", 0, 0)]), Err(SlotError::NoOtadata));
    assert_eq!(
        table(&[otadata(0x1000)]),
        Err(SlotError::OtadataTooSmall { size: 0x1000 })
    );
    assert_eq!(table(&[otadata(0x2000)]), Ok(0x2000));
}

#[test]
fn a_partition_on_the_table_itself_is_noticed() {
    let on_table = data("a", DEFAULT_OFFSET, 0x1000);
    assert!(on_table.overlaps(DEFAULT_OFFSET, SECTOR_LEN));
    assert!(!data("a", DEFAULT_OFFSET + SECTOR_LEN, 1).overlaps(DEFAULT_OFFSET, SECTOR_LEN));
    assert!(!data("a", 0, DEFAULT_OFFSET).overlaps(DEFAULT_OFFSET, SECTOR_LEN));
    assert!(data("a", u32::MAX, u32::MAX).overlaps(u32::MAX, u32::MAX));
}

#[test]
fn what_flash_encryption_always_encrypts() {
    use PartitionType as T;
    for (kind, subtype, expected) in [
        (T::APP, subtype::APP_TEST, true),
        (T::BOOTLOADER, subtype::RECOVERY, true),
        (T::PARTITION_TABLE, subtype::PRIMARY, true),
        (T::DATA, subtype::DATA_OTA, true),
        (T::DATA, subtype::DATA_TEE_OTA, true),
        (T::DATA, subtype::DATA_NVS_KEYS, true),
        (T::DATA, subtype::DATA_NVS, false),
        (T(0x40), subtype::DATA_OTA, false),
    ] {
        let plain = partition("x", kind, subtype, 0, 0);
        assert_eq!(plain.is_encrypted_when_enabled(), expected, "{plain:?}");
        let flagged = Partition {
            flags: Flags::ENCRYPTED,
            ..plain
        };
        assert!(flagged.is_encrypted_when_enabled());
    }
}

#[test]
fn a_table_holds_94_partitions_with_md5_and_95_without() {
    let partitions =
        |count: usize| (0..count as u32).map(|index| data("p", 0x9000 + index * 0x1000, 0x1000));
    for (count, md5, fits) in [
        (MAX_ENTRIES - 1, true, true),
        (MAX_ENTRIES, true, false),
        (MAX_ENTRIES, false, true),
        (MAX_ENTRIES + 1, false, false),
        (1000, true, false),
    ] {
        let mut out = [0; TABLE_LEN];
        let result = emit(partitions(count), md5, &mut out).map(|table| table.to_vec());
        if fits {
            let rules = Rules {
                require_md5: md5,
                ..RULES
            };
            let bytes = result.unwrap();
            let table = PartitionTable::parse(&bytes, &rules).unwrap();
            assert_eq!(table.partitions().count(), count);
        } else {
            assert_eq!(result, Err(EmitError::TooManyPartitions { md5 }));
        }
    }
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let one = [data("a", 0x9000, 0x1000)];
    let mut out = [0; TABLE_LEN];
    assert_eq!(emit([], true, &mut out), Err(EmitError::Empty));
    assert_eq!(
        emit(one, true, &mut out[1..]),
        Err(EmitError::BufferTooSmall { len: TABLE_LEN - 1 })
    );
    let end = Partition {
        kind: PartitionType::END,
        ..one[0]
    };
    assert_eq!(
        emit([one[0], end], true, &mut out),
        Err(EmitError::TypeOfEndMarker { index: 1 })
    );
}

#[test]
fn a_larger_buffer_is_written_only_as_far_as_the_table_reaches() {
    let mut out = [0x5A; TABLE_LEN + 5];
    emit([data("a", 0x9000, 0x1000)], true, &mut out).unwrap();
    assert_eq!(out[TABLE_LEN..], [0x5A; 5]);
}

#[test]
fn a_label_must_fit_and_must_not_end_early() {
    assert_eq!(name("abcdefghijklmnop").as_str(), Some("abcdefghijklmnop"));
    assert_eq!(Name::new(b"abcdefghijklmnopq"), None);
    assert_eq!(Name::new(b"a\0b"), None);
    assert_eq!(name("").as_bytes(), b"");
}

prop_compose! {
    fn any_partition()(
        kind in 0..0xFFu8,
        subtype in any::<u8>(),
        offset in any::<u32>(),
        size in any::<u32>(),
        name in any::<[u8; 16]>(),
        flags in any::<u32>(),
    ) -> Partition {
        Partition { kind: PartitionType(kind), subtype, offset, size, name: Name(name), flags: Flags(flags) }
    }
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_back(
        partitions in prop::collection::vec(any_partition(), 1..MAX_ENTRIES),
        md5 in any::<bool>(),
    ) {
        let bytes = binary(&partitions, md5);
        let table = PartitionTable::inspect(&bytes).unwrap();
        prop_assert_eq!(table.partitions().collect::<Vec<_>>(), partitions);
        prop_assert_eq!(table.md5().is_some(), md5);
    }

    #[test]
    fn a_device_accepts_only_partitions_within_flash_that_do_not_overlap(
        partitions in prop::collection::vec((0..64u32, 0..4u32), 1..6),
    ) {
        let partitions: Vec<_> = partitions
            .into_iter()
            .map(|(offset, size)| data("x", offset << 12, size << 12))
            .collect();
        let free = partitions.iter().enumerate().all(|(index, one)| {
            one.end() <= 1 << 18 && partitions[..index].iter().all(|other| {
                !other.overlaps(one.offset, one.size)
            })
        });
        let bytes = binary(&partitions, true);
        prop_assert_eq!(PartitionTable::parse(&bytes, &Rules::new(1 << 18)).is_ok(), free);
    }

    #[test]
    fn any_single_bit_flip_of_a_protected_entry_is_noticed(bit in 0..7 * 32 * 8usize) {
        let mut bytes = two_ota();
        // Bytes 2 to 15 of the MD5 entry are looked at by nobody.
        prop_assume!(!(6 * 32 + 2..6 * 32 + 16).contains(&(bit / 8)));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(PartitionTable::parse(&bytes, &RULES).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4200)) {
        let _ = PartitionTable::inspect(&bytes).map_err(|error| error.to_string());
        let _ = PartitionTable::parse(&bytes, &RULES).map_err(|error| error.to_string());
    }

    #[test]
    fn arbitrary_entries_never_panic(
        entries in prop::collection::vec(
            (prop::sample::select(vec![[0xAA, 0x50], [0xEB, 0xEB], [0xFF, 0xFF]]), any::<[u8; 30]>()),
            0..100,
        ),
    ) {
        let mut bytes = Vec::new();
        for (magic, rest) in entries {
            bytes.extend(magic);
            bytes.extend(rest);
        }
        bytes.extend([0xFF; 32]);
        for table in [PartitionTable::inspect(&bytes), PartitionTable::parse(&bytes, &RULES.without_md5())] {
            match table {
                Ok(table) => {
                    let _ = (table.app_slots().is_ok(), table.otadata().is_ok());
                    for partition in table.partitions() {
                        let _ = partition.name.to_string();
                    }
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
