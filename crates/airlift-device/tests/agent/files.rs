//! Jobs with several files, and with files that are no app.

use airlift_device::Refusal;
use airlift_device::agent::{AgentError, Ended};
use serde_json::json;

use super::cloud::Cut;
use super::device::{DATA, Device, MODEL, SLOTS, app, document, file, signature};

/// File 0 is the app, file 7 goes to one partition by its number, the one of type 9 to the other. It has the number 7, too,
/// in no job.
fn three_files() -> [(u8, Vec<u8>); 3] {
    [
        (0, app("2", 6000)),
        (7, vec![0xD7; 1024]),
        (5, (0..9000).map(|index| (index % 251) as u8).collect()),
    ]
}

fn job(device: &Device, files: &[(u8, Vec<u8>)]) {
    let mut list = Vec::new();
    for (id, bytes) in files {
        device.cloud.state().files.insert(*id, bytes.clone());
        let mut file = file(*id, bytes);
        file["fileType"] = json!(if *id == 5 { 9 } else { 0 });
        list.push(file);
    }
    device.cloud.job("job-1", document(&list));
}

fn holds(device: &Device, new: bool) -> bool {
    let files = three_files();
    let data = device.content(DATA, 1024) == files[1].1;
    let model = device.content(MODEL, 9000) == files[2].1;
    let old = device.content(DATA, 0x2000) == [0x11; 0x2000]
        && device.content(MODEL, 0x3000) == [0x22; 0x3000];
    if new { data && model } else { old }
}

#[test]
fn an_app_and_two_partitions_are_installed_together() {
    let mut device = Device::new();
    job(&device, &three_files());
    assert_eq!(device.boot(), Ok(Ended::Restart));
    device.restart();
    assert_eq!(device.running, 1);
    assert!(holds(&device, true), "the new app finds the new data");
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
    assert_eq!(device.content(SLOTS[1], 6000), three_files()[0].1[..6000]);
    device.restart();
    assert_eq!(device.running, 1);
}

#[test]
fn an_app_that_does_not_stay_takes_the_data_back_with_it() {
    let mut device = Device::new();
    job(&device, &three_files());
    assert_eq!(device.boot(), Ok(Ended::Restart));
    device.restart();
    device.healthy = Err(3);
    assert_eq!(device.boot(), Ok(Ended::Restart));
    device.restart();
    assert_eq!(device.running, 0);
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert!(holds(&device, false));
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(
        (status, &details["cause"]),
        ("FAILED", &json!("rolled-back"))
    );
}

#[test]
fn one_wrong_signature_and_nothing_is_installed() {
    for wrong in 0..3 {
        let mut device = Device::new();
        let files = three_files();
        job(&device, &files);
        let other = signature(b"other");
        device.cloud.state().jobs[0].document["afr_ota"]["files"][wrong]["sig-sha256-ecdsa"] =
            json!(other);
        assert_eq!(device.boot(), Ok(Ended::NoJob));
        let (status, details) = device.cloud.fate("job-1");
        let code = Refusal::Signature.code();
        assert_eq!(
            (status, details["reason"].as_str().unwrap()),
            ("FAILED", &*format!("rejected: {code:#010x}"))
        );
        assert!(holds(&device, false), "file {wrong}");
        device.restart();
        assert_eq!(device.running, 0);
    }
}

#[test]
fn parts_that_are_there_are_not_fetched_again_after_a_power_cut() {
    let mut device = Device::new();
    let files = three_files();
    job(&device, &files);
    let app_blocks = files[0].1.len().div_ceil(512) as u32;
    // In the third file.
    device.cloud.state().breaks_after = Some(app_blocks + 2 + 6);
    assert_eq!(device.boot(), Err(AgentError::Link(Cut)));
    device.cloud.state().breaks_after = None;
    let before = device.cloud.state().blocks.len();
    assert_eq!(device.boot(), Ok(Ended::Restart));
    assert!(
        device.cloud.state().blocks[before..]
            .iter()
            .all(|(file, _)| *file == 5)
    );
    device.restart();
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
    assert!(holds(&device, true));
}

#[test]
fn data_alone_need_no_restart() {
    for len in [1, 512, 8192] {
        let device = Device::new();
        let bytes = vec![0xC3; len];
        job(&device, &[(7, bytes.clone())]);
        assert_eq!(device.boot(), Ok(Ended::NoJob));
        assert_eq!(device.content(DATA, len), bytes);
        assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
        let story = device.cloud.story();
        assert_eq!(
            story[story.len() - 2..],
            ["IN_PROGRESS state=verified", "SUCCEEDED"]
        );
        assert_eq!(device.running, 0);
    }
    // One byte more than the partition has.
    let device = Device::new();
    job(&device, &[(7, vec![0xC3; 8193])]);
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").1["cause"], "too-big");
}

#[test]
fn two_files_for_one_place_are_refused() {
    let device = Device::new();
    job(
        &device,
        &[
            (0, app("2", 3000)),
            (5, vec![1; 100]),
            (5 + 16, vec![2; 100]),
        ],
    );
    device.cloud.state().jobs[0].document["afr_ota"]["files"][2]["fileType"] = json!(9);
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").1["cause"], "duplicate");
    assert!(device.cloud.state().blocks.is_empty());
}
