//! Boot selection against the vectors that the reference C code made.

use std::{fs, path::PathBuf};

use airlift_formats::esp::otadata::{
    Boot, BootLoader, Build, Efuse, Images, PARTITION_SIZE, RECORD_LEN, Record, Rewrite,
    SECTOR_SIZE, Slot, State, active, predict,
};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp/otadata"
    );
    PathBuf::from(folder).join(name)
}

fn read_text(name: &str) -> String {
    let path = golden(name);
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("golden vectors are missing: {}: {error}", path.display()))
}

/// Rows of a tab-separated file below its header line.
fn rows(name: &str, columns: usize) -> Vec<Vec<String>> {
    let text = read_text(name);
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip(1)
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect();
    assert!(!rows.is_empty(), "{name} has no rows");
    for row in &rows {
        assert_eq!(row.len(), columns, "{name}: {row:?}");
    }
    rows
}

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn record_from_hex(hex: &str) -> Record {
    let mut bytes = [0; RECORD_LEN];
    assert_eq!(hex.len(), 2 * RECORD_LEN);
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    }
    Record::parse(&bytes)
}

fn record(seq: &str, state: &str, crc_ok: &str) -> Record {
    let mut record = Record::new(number(seq), State::from_u32(number(state)));
    if crc_ok == "0" {
        record.crc ^= 1;
    }
    record
}

fn apply_all(records: &[Record; 2], rewrites: impl Iterator<Item = Rewrite>) -> [Record; 2] {
    let mut records = *records;
    for rewrite in rewrites {
        rewrite.apply(&mut records);
    }
    records
}

#[test]
fn every_boot_vector_is_predicted() {
    let builds = [
        ("boot_vectors_none.tsv", Build::Plain),
        ("boot_vectors_rollback.tsv", Build::Rollback),
        ("boot_vectors_antirollback.tsv", Build::AntiRollback),
    ];
    for (file, build) in builds {
        for row in rows(file, 12) {
            let loader = BootLoader {
                factory: row[1] == "1",
                ..BootLoader::new(build, number(&row[0]))
            };
            let before = [
                record(&row[2], &row[3], &row[4]),
                record(&row[5], &row[6], &row[7]),
            ];
            let boot: Boot = loader.boot(&before, &mut |_: Slot| true);
            let after = [record_from_hex(&row[10]), record_from_hex(&row[11])];
            let selected: i32 = number(&row[8]);
            assert_eq!(boot.selected.index(), selected, "{file} {row:?}");
            let loaded = boot.loaded.map(Slot::index);
            assert_eq!(loaded, Some(number(&row[9])), "{file} {row:?}");
            assert_eq!(boot.records, after, "{file} {row:?}");
            assert_eq!(apply_all(&before, boot.rewrites()), after, "{file} {row:?}");
        }
    }
}

#[test]
fn every_set_boot_vector_is_predicted() {
    let builds = [
        ("set_boot_vectors_none.tsv", Build::Plain),
        ("set_boot_vectors_rollback.tsv", Build::Rollback),
    ];
    for (file, build) in builds {
        for row in rows(file, 7) {
            let mut records = [
                Record::new(number(&row[1]), State::Valid),
                Record::new(number(&row[2]), State::Valid),
            ];
            let rc = match predict::set_boot(build, &records, number(&row[0]), number(&row[3])) {
                Ok(rewrite) => {
                    rewrite.apply(&mut records);
                    0
                }
                Err(error) => error.code().expect("the reference did return"),
            };
            let after = [record_from_hex(&row[5]), record_from_hex(&row[6])];
            assert_eq!(rc, number::<i32>(&row[4]), "{file} {row:?}");
            assert_eq!(records, after, "{file} {row:?}");
        }
    }
}

/// What `otatool.py` writes: its own rule, without a state. Every record must read as what it is.
#[test]
fn records_of_the_official_tool_select_what_was_switched_to() {
    for row in rows("otatool.tsv", 5) {
        let records = [record_from_hex(&row[3]), record_from_hex(&row[4])];
        let newest = active(&records).map(|sector| records[sector]);
        let slot = newest.and_then(|record| record.slot(number(&row[0])));
        assert_eq!(slot, Some(number(&row[2])), "{row:?}");
        let name = format!(
            "otatool_{}slots.step{}_switch{}.bin",
            row[0], row[1], row[2]
        );
        assert_eq!(dump(&name), records, "{name}");
    }
}

/// The records of an 8 KiB partition image; all other bytes must be erased.
fn dump(name: &str) -> [Record; 2] {
    let path = golden(name);
    let bytes = fs::read(&path)
        .unwrap_or_else(|error| panic!("golden vectors are missing: {}: {error}", path.display()));
    assert_eq!(bytes.len(), PARTITION_SIZE as usize, "{name}");
    let sectors: Vec<_> = bytes.chunks(SECTOR_SIZE as usize).collect();
    [0, 1].map(|i: usize| {
        let (record, rest) = sectors[i].split_first_chunk().unwrap();
        assert!(rest.iter().all(|byte| *byte == 0xFF), "{name}");
        let parsed = Record::parse(record);
        assert_eq!(&parsed.emit(), record, "{name}");
        parsed
    })
}

/// The board of a scenario: which images are good, and their secure versions.
struct Board {
    good: [bool; 18],
    secure_versions: [u32; 18],
}

impl Board {
    fn place(slot: Slot) -> usize {
        usize::try_from(slot.index() + 2).unwrap()
    }
}

impl Images for Board {
    fn verifies(&mut self, slot: Slot) -> bool {
        self.good[Self::place(slot)]
    }

    fn secure_version(&mut self, slot: Slot) -> Option<u32> {
        Some(self.secure_versions[Self::place(slot)])
    }
}

fn slot_of(line: &Value) -> Slot {
    match line["slot"].as_i64().unwrap() {
        -1 => Slot::Factory,
        -2 => Slot::Test,
        slot => Slot::Ota(u8::try_from(slot).unwrap()),
    }
}

fn ota(slot: Slot) -> u8 {
    match slot {
        Slot::Ota(slot) => slot,
        other => panic!("{other} is not an OTA slot"),
    }
}

fn build_of(scenario: &str) -> Build {
    match number(&scenario[1..3]) {
        1..=5 | 16 | 19..=22 => Build::Plain,
        13 | 14 => Build::AntiRollback,
        _ => Build::Rollback,
    }
}

/// Replays one scenario; each step has to leave the records that the reference left.
fn replay(scenario: &str) {
    let build = build_of(scenario);
    let mut loader = BootLoader::new(build, 0);
    let mut board = Board {
        good: [true; 18],
        secure_versions: [0; 18],
    };
    let mut records = [Record::ERASED; 2];
    let mut running = Slot::Factory;

    for (step, text) in read_text(&format!("{scenario}.jsonl")).lines().enumerate() {
        let line: Value = serde_json::from_str(text).unwrap();
        let at = format!("{scenario} step {step}: {text}");
        let expected = ["s0", "s1"].map(|key| record_from_hex(line[key].as_str().unwrap()));
        let rc = line["rc"].as_i64();
        let code = |error: predict::IdfError| error.code().map(i64::from);
        let slots = loader.slots;
        let op = line["op"].as_str().unwrap();
        match op {
            "init" => {
                loader.slots = u8::try_from(line["ota_slots"].as_u64().unwrap()).unwrap();
                loader.factory = line["factory"] == 1;
                loader.efuse.version = u32::try_from(line["efuse"].as_u64().unwrap()).unwrap();
            }
            "entry" => records = expected,
            "ok" => board.good[Board::place(slot_of(&line))] = line["valid_image"] == 1,
            "secver" => {
                let version = u32::try_from(line["v"].as_u64().unwrap()).unwrap();
                board.secure_versions[Board::place(slot_of(&line))] = version;
            }
            "boot" => {
                let boot = loader.boot(&records, &mut board);
                assert_eq!(i64::from(boot.selected.index()), line["selected"], "{at}");
                if let Some(loaded) = boot.loaded {
                    assert_eq!(i64::from(loaded.index()), line["loaded"], "{at}");
                    running = loaded;
                } else {
                    assert_eq!(line["loaded"], -99, "{at}");
                }
                assert_eq!(apply_all(&records, boot.rewrites()), boot.records, "{at}");
                records = boot.records;
                loader.efuse.version = boot.efuse.unwrap_or(loader.efuse.version);
            }
            "set_boot" => {
                let target = ota(slot_of(&line));
                let result = predict::set_boot(build, &records, slots, target);
                assert_eq!(result.map_or_else(code, |_| Some(0)), rc, "{at}");
                if let Ok(rewrite) = result {
                    rewrite.apply(&mut records);
                }
            }
            "mark_valid" => {
                let result = predict::mark_valid(&records, slots);
                assert_eq!(result.map_or_else(code, |_| Some(0)), rc, "{at}");
                if let Ok(Some(rewrite)) = result {
                    rewrite.apply(&mut records);
                    let version = board.secure_versions[Board::place(running)];
                    if build == Build::AntiRollback {
                        let raised = loader.efuse.raised(version);
                        loader.efuse.version = raised.unwrap_or(loader.efuse.version);
                    }
                }
            }
            "mark_invalid" => {
                let BootLoader { factory, efuse, .. } = loader;
                let result =
                    predict::mark_invalid(build, &records, slots, factory, efuse, &mut board);
                assert_eq!(result.map_or_else(code, |_| Some(0)), rc, "{at}");
                if let Ok(rewrite) = result {
                    rewrite.apply(&mut records);
                }
            }
            "can_rollback" => {
                let BootLoader { factory, efuse, .. } = loader;
                let possible = predict::rollback_is_possible(
                    build, &records, slots, factory, efuse, &mut board,
                );
                assert_eq!(i64::from(possible), line["result"], "{at}");
            }
            "inval_inactive" => match predict::inval_inactive(&records, slots, running) {
                Some(sector) => {
                    assert_eq!(rc, Some(0), "{at}");
                    records[sector] = Record::ERASED;
                }
                None => assert_eq!(rc, Some(-1), "{at}"),
            },
            "state" => match predict::state_of(&records, slots, slot_of(&line)) {
                Ok(state) => {
                    assert_eq!(rc, Some(0), "{at}");
                    let number = line["state"].as_i64().unwrap();
                    assert_eq!(state.to_u32(), number as u32, "{at}");
                }
                Err(error) => assert_eq!(code(error), rc, "{at}"),
            },
            other => panic!("{at}: unknown step {other}"),
        }
        assert_eq!(records, expected, "{at}");
        assert_eq!(
            u64::from(loader.efuse.version),
            line["efuse_secver"],
            "{at}"
        );
        let image = format!("{scenario}.step{step:02}_{op}.bin");
        if golden(&image).exists() {
            assert_eq!(dump(&image), expected, "{image}");
        }
    }
}

#[test]
fn every_scenario_goes_as_on_the_reference() {
    let folder = golden("");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("golden vectors are missing: {}: {error}", folder.display())
    });
    let mut scenarios: Vec<String> = entries
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    scenarios.sort();
    assert!(scenarios.len() > 5, "only {scenarios:?}");
    for scenario in scenarios {
        replay(&scenario);
    }
}

/// Rules of the protocol page that no file shows: rollback, its refusals, and what the other queries answer.
mod by_the_page {
    use super::*;

    const VALID: fn(u32) -> Record = |seq| Record::new(seq, State::Valid);

    fn good(_: Slot) -> bool {
        true
    }

    #[test]
    fn an_aborted_app_boots_again_if_the_other_image_is_damaged() {
        let records = [VALID(1), Record::new(2, State::Aborted)];
        let boot =
            BootLoader::new(Build::Rollback, 2).boot(&records, &mut |slot| slot == Slot::Ota(1));
        assert_eq!(
            (boot.selected, boot.loaded),
            (Slot::Ota(0), Some(Slot::Ota(1)))
        );
    }

    #[test]
    fn a_refused_app_is_not_replaced_by_nothing() {
        let records = [Record::new(1, State::PendingVerify), Record::ERASED];
        let efuse = Efuse::new(0);
        let reject = |factory, images: &mut dyn FnMut(Slot) -> bool| {
            predict::mark_invalid(
                Build::Rollback,
                &records,
                2,
                factory,
                efuse,
                &mut |s: Slot| images(s),
            )
        };
        let refused = Err(predict::IdfError::RollbackFailed);
        assert_eq!(reject(false, &mut good), refused);
        assert_eq!(reject(true, &mut |slot| slot != Slot::Factory), refused);
        let rewrite = reject(true, &mut good).unwrap();
        assert_eq!(rewrite.record, Record::new(1, State::Invalid));
        assert_eq!(predict::IdfError::RollbackFailed.code(), Some(5381));
    }

    #[test]
    fn an_app_below_the_efuse_is_neither_selected_nor_a_fallback() {
        struct Versions;
        impl Images for Versions {
            fn verifies(&mut self, _: Slot) -> bool {
                true
            }
            fn secure_version(&mut self, slot: Slot) -> Option<u32> {
                (slot != Slot::Factory).then(|| u32::from(ota(slot)))
            }
        }
        let loader = BootLoader {
            efuse: Efuse::new(1),
            ..BootLoader::new(Build::AntiRollback, 2)
        };
        // The newer record selects slot 0, whose app has version 0.
        let boot = loader.boot(&[VALID(2), VALID(3)], &mut Versions);
        assert_eq!(
            (boot.selected, boot.loaded),
            (Slot::Ota(1), Some(Slot::Ota(1)))
        );
        let boot = loader.boot(&[VALID(3), Record::ERASED], &mut Versions);
        assert_eq!(
            (boot.selected, boot.loaded),
            (Slot::Factory, Some(Slot::Ota(1)))
        );
        let records = [VALID(2), VALID(3)];
        let possible = |efuse| {
            let efuse = Efuse::new(efuse);
            let build = Build::AntiRollback;
            predict::rollback_is_possible(build, &records, 2, true, efuse, &mut Versions)
        };
        assert!(possible(1) && !possible(2));
        // First boot: nothing below the eFuse, and the version is burnt at once.
        let boot = loader.boot(&[Record::ERASED; 2], &mut Versions);
        assert_eq!(boot.loaded, Some(Slot::Ota(1)));
        assert_eq!(boot.records[0], VALID(2));
        assert_eq!(boot.efuse, None);
    }

    #[test]
    fn queries_look_at_what_the_reference_looks_at() {
        let records = [
            Record::new(3, State::Invalid),
            Record::new(2, State::Aborted),
        ];
        assert_eq!(predict::last_invalid(&records), Some(1));
        assert_eq!(predict::last_invalid(&[VALID(1), records[1]]), Some(1));
        let torn = Record {
            crc: 0,
            ..records[1]
        };
        assert_eq!(predict::last_invalid(&[records[0], torn]), Some(0));
        // Both select slot 0: the first record answers.
        let same = [VALID(1), Record::new(3, State::New)];
        assert_eq!(predict::state_of(&same, 2, Slot::Ota(0)), Ok(State::Valid));
        let not_found = predict::state_of(&same, 2, Slot::Ota(1)).unwrap_err();
        assert_eq!(not_found.code(), Some(0x105));
        let factory = predict::state_of(&same, 2, Slot::Factory).unwrap_err();
        assert_eq!(factory.code(), Some(0x106));
        assert_eq!(
            predict::mark_valid(&same, 2).map(|r| r.unwrap().record.seq),
            Ok(3)
        );
        assert_eq!(
            predict::mark_valid(&[VALID(1), Record::ERASED], 2),
            Ok(None)
        );
        assert_eq!(predict::mark_valid(&same, 0).unwrap_err().code(), Some(-1));
        // The running slot's record is never the one to erase.
        assert_eq!(
            predict::inval_inactive(&[VALID(1), VALID(2)], 2, Slot::Ota(0)),
            None
        );
        assert_eq!(
            predict::inval_inactive(&[VALID(1), VALID(2)], 2, Slot::Ota(1)),
            Some(0)
        );
    }
}
