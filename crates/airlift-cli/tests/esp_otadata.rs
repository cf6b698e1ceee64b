//! `airlift esp otadata` over states and boot vectors of the reference.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use airlift_formats::esp::otadata::{Record, State};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/golden/esp/otadata"
    );
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
        .args(["esp", "otadata", command])
        .arg(file)
        .args(options)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn dump(records: [Record; 2]) -> Vec<u8> {
    let mut bytes = vec![0xFF; 0x2000];
    for (sector, record) in bytes.chunks_mut(0x1000).zip(records) {
        sector[..32].copy_from_slice(&record.emit());
    }
    bytes
}

#[test]
fn a_selection_is_that_of_the_boot_loader() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("otadata.bin");
    for (table, option) in [
        ("boot_vectors_none.tsv", None),
        ("boot_vectors_rollback.tsv", Some("--rollback")),
        ("boot_vectors_antirollback.tsv", Some("--anti-rollback")),
    ] {
        let text = std::fs::read_to_string(golden(table)).unwrap();
        for line in text.lines().skip(1).step_by(97) {
            let row: Vec<&str> = line.split('\t').collect();
            let record = |at: usize| {
                let state = State::from_u32(row[at + 1].parse().unwrap());
                let mut record = Record::new(row[at].parse().unwrap(), state);
                record.crc ^= u32::from(row[at + 2] == "0");
                record
            };
            std::fs::write(&file, dump([record(2), record(5)])).unwrap();
            let mut options = vec!["--json", "--slots", row[0]];
            options.extend(option);
            options.extend((row[1] == "1").then_some("--factory"));
            let selected = &json(&airlift("select", &file, &options))["selected"];
            assert_eq!(selected.as_i64(), row[8].parse().ok(), "{table}: {line}");
        }
    }
}

#[test]
fn a_selection_is_also_told_in_words() {
    let file = golden("s06_rollback_confirm.step03_set_boot.bin");
    let output = airlift("select", &file, &["--slots", "2", "--rollback"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "1: ota_1\nsector 1 is rewritten first: PENDING_VERIFY\n"
    );
}

#[test]
fn secure_versions_decide_with_anti_rollback() {
    let file = golden("s14_antirollback_raises_efuse.step08_set_boot.bin");
    let options = [
        "--slots",
        "2",
        "--anti-rollback",
        "--efuse",
        "3",
        "--secure-versions",
        "1,3",
        "--json",
    ];
    assert_eq!(json(&airlift("select", &file, &options))["selected"], 1);
    assert_eq!(
        json(&airlift("select", &file, &["--slots", "2", "--json"]))["selected"],
        0
    );
}

#[test]
fn records_are_shown_with_what_is_odd() {
    let file = golden("s06_rollback_confirm.step04_boot.bin");
    let shown = json(&airlift("show", &file, &["--slots", "2", "--json"]));
    assert_eq!(shown["active"], 1);
    assert_eq!(shown["records"][0]["state_name"], "VALID");
    assert_eq!(shown["records"][1]["slot"], 1);
    assert_eq!(shown["records"][1]["crc_valid"], true);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("otadata.bin");
    let zero = Record {
        seq: 0,
        ..Record::ERASED
    };
    let torn = Record {
        crc: 7,
        label: [1; 20],
        ..Record::new(3, State::Other(5))
    };
    let mut bytes = dump([zero, torn]);
    bytes[0x1FFF] = 0;
    std::fs::write(&file, bytes).unwrap();
    let shown = json(&airlift("show", &file, &["--slots", "2", "--json"]));
    let notes = |sector: usize| shown["records"][sector]["notes"].to_string();
    assert!(notes(0).contains("sequence number 0"), "{}", notes(0));
    for word in [
        "wrong CRC",
        "unknown state 0x5",
        "label bytes",
        "data behind",
    ] {
        assert!(notes(1).contains(word), "{word}: {}", notes(1));
    }
    let same = Record::new(4, State::Valid);
    std::fs::write(&file, dump([same, same])).unwrap();
    let output = airlift("show", &file, &["--slots", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("same sequence number") && text.contains("ota_0"),
        "{text}"
    );
}

#[test]
fn files_of_another_size_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("otadata.bin");
    for len in [0, 32, 0x1FFF, 0x10_0001] {
        std::fs::write(&file, vec![0xFF; len]).unwrap();
        let output = airlift("select", &file, &["--slots", "2"]);
        assert_eq!(output.status.code(), Some(1), "{len}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.starts_with("airlift: ") && message.lines().count() == 1,
            "{message}"
        );
    }
    let wrong = airlift("select", &file, &["--slots", "17"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(airlift("select", &file, &[]).status.code(), Some(2));
}
