//! `airlift demo`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Run as _, airlift, steps};

const MIB: u64 = 1 << 20;

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let text = airlift(["demo"]).env("TMPDIR", folder.path()).run().good();
    for words in [
        "7 of 7 devices are where they should be",
        "the interrupted update was undone: the old content is back",
        "storage holds the new content",
        "step 2 of 2: model 7.1 is where the old app was",
        "the set was being applied: it is rolled forward",
        "all parts of 2.0.0 (software version 2) are in place, and stay",
        "keep      tag 100, custom, 39.1 KiB: has not changed",
        "every part is what it was before (self-test)",
        "4 parts",
        "SUCCEEDED reason accepted  v2.0.0",
        "POWER CUT",
        "going on at byte",
        "SHA-256 (digest)\n            what runs is untouched",
        "confirm   version 2.0.0 works and stays",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?} columns:\n{text}");
    assert!(!text.contains('\x1b'), "no terminal, no colours");
    assert!(
        !text.contains('\r'),
        "no terminal, no bar that is drawn over"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_leaves_early_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = airlift(["demo"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("Airlift demo"));
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_json_document_has_what_the_help_promises() {
    let text = airlift(["demo", "--json", "--devices", "4"]).run().good();
    let demo: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(demo["good"], true);
    assert!(demo["seconds"].as_f64().unwrap() < 60.0);
    assert!(
        demo["server"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(demo["release"]["version"], "2.0.0");
    assert_eq!(demo["release"]["sha256"].as_str().unwrap().len(), 64);
    let size = demo["release"]["size"].as_u64().unwrap();
    assert!(size.abs_diff(MIB) < 4096);

    let devices = demo["devices"].as_array().unwrap();
    let stories: Vec<_> = devices
        .iter()
        .map(|device| device["story"].as_str().unwrap())
        .collect();
    assert_eq!(
        stories,
        [
            "ordinary",
            "power-cut",
            "corrupted-image",
            "ordinary",
            "backup-cut",
            "two-step",
            "set",
            "jobs"
        ]
    );
    for device in devices {
        assert_eq!(device["good"], true, "{device}");
        assert_eq!(device["problem"], Value::Null);
        if device["story"] != "backup-cut" {
            assert_eq!(device["version_before"], "1.0.0");
        }
        assert_eq!(device["version_after"], "2.0.0");
        assert!(device["sectors_erased"].as_u64().unwrap() >= 200);
    }
    let number = |device: usize, name: &str| devices[device][name].as_u64().unwrap();
    assert_eq!(number(0, "bytes_fetched"), size);
    assert_eq!((number(1, "power_cuts"), number(1, "refusals")), (1, 0));
    let again = number(1, "bytes_fetched") - size;
    assert!(
        again > 0 && again < 16 * 1024,
        "{again} bytes fetched twice"
    );
    assert_eq!((number(2, "power_cuts"), number(2, "refusals")), (0, 1));
    assert_eq!(number(2, "bytes_fetched"), 2 * size);
    let events = devices[2]["events"].as_array().unwrap();
    assert!(steps(events).contains(&"refused"));
    let (backup, two_step) = (&devices[4]["data"], &devices[5]["data"]);
    assert_eq!(
        (&backup["name"], &backup["put_back"]),
        (&"storage".into(), &true.into())
    );
    assert_eq!(
        (&two_step["name"], &two_step["put_back"]),
        (&"model".into(), &Value::Null)
    );
    assert_eq!(
        (&backup["whole"], &two_step["whole"]),
        (&true.into(), &true.into())
    );
    assert_eq!((number(4, "power_cuts"), number(5, "power_cuts")), (1, 1));
    assert_eq!(devices[0]["data"], Value::Null);
    assert_eq!(devices[0]["parts"], Value::Null);
    let parts = devices[6]["parts"].as_array().unwrap();
    let tags: Vec<_> = parts.iter().map(|part| part["tag"].clone()).collect();
    assert_eq!(tags, [1, 2, 3, 100]);
    assert!(parts.iter().all(|part| part["whole"] == true), "{parts:?}");
    assert_eq!(number(6, "power_cuts"), 1);
    let happened = devices[6]["events"].as_array().unwrap();
    let happened = steps(happened);
    assert!(happened.contains(&"set-recovered") && happened.contains(&"set-undone"));
    let events = devices[5]["events"].as_array().unwrap();
    assert!(steps(events).contains(&"data-missing"), "{events:?}");
}

#[test]
fn the_same_seed_gives_the_same_demo() {
    let run = |seed: &str| -> Vec<(Value, Value, Value)> {
        let text = airlift(["demo", "--json", "--seed", seed]).run().good();
        let demo: Value = serde_json::from_str(&text).unwrap();
        let devices = demo["devices"].as_array().unwrap().iter();
        devices
            .map(|d| {
                (
                    d["name"].clone(),
                    d["sectors_erased"].clone(),
                    demo["release"]["sha256"].clone(),
                )
            })
            .collect()
    };
    let seven = run("7");
    assert_eq!(seven, run("7"));
    assert_ne!(seven, run("8"));
}

#[test]
fn one_device_is_enough_for_the_power_cut() {
    let text = airlift(["demo", "--devices", "1"]).run().good();
    assert!(
        text.contains("POWER CUT") && text.contains("5 of 5 devices"),
        "{text}"
    );
    assert_eq!(
        airlift(["demo", "--devices", "0"]).run().status.code(),
        Some(2)
    );
}

#[test]
fn a_demo_without_a_place_to_write_says_so() {
    airlift(["demo"])
        .env("TMPDIR", "/nowhere/at/all")
        .run()
        .refused(&["the demo cannot start", "temporary folder"]);
}

#[test]
fn a_kept_server_runs_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = airlift(["demo", "--keep", "--devices", "1"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let address = lines
        .find_map(|line| {
            line.strip_prefix("The server keeps running at http://")
                .map(str::to_owned)
        })
        .unwrap();
    lines.find(|line| line.starts_with("Press Ctrl-C")).unwrap();
    assert!(TcpStream::connect(address.trim()).is_ok());
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
