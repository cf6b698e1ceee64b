//! What goes well.

use airlift_device::agent::Ended;
use airlift_device::download::aws_stream::{Json, Requests, Settings};
use airlift_device::notify::aws_jobs::{Ask, Version};
use serde_json::json;

use super::device::{Device, SLOTS, app, document, file};

const V2: Version = Version {
    major: 2,
    minor: 1,
    build: 0,
};

/// A device with a job that brings this image.
fn device_with(image: &[u8]) -> Device {
    let device = Device::new();
    device.cloud.state().files.insert(0, image.to_vec());
    device.cloud.job("job-1", document(&[file(0, image)]));
    device
}

#[test]
fn an_update_from_the_document_to_the_confirmed_app() {
    let image = app("2", 9000);
    let mut device = device_with(&image);
    assert_eq!(device.boot(), Ok(Ended::Restart));
    assert_eq!(device.content(SLOTS[1], image.len()), image);
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(status, "IN_PROGRESS");
    assert_eq!(
        details,
        json!({"self_test": "ready", "updatedBy": "0x01000000"})
    );

    device.restart();
    assert_eq!(device.running, 1);
    device.version = V2;
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(status, "SUCCEEDED");
    assert_eq!(
        details,
        json!({"reason": "accepted  v2.1.0", "updatedBy": "  v1.0.0"})
    );
    assert_eq!(
        device.cloud.story(),
        [
            "IN_PROGRESS receive",
            "IN_PROGRESS self_test=ready",
            "IN_PROGRESS self_test=active",
            "SUCCEEDED reason=accepted  v2.1.0",
        ]
    );
    // It stays, and nothing is left to do.
    device.restart();
    assert_eq!(device.running, 1);
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.story().len(), 4);
    let blocks = image.len().div_ceil(512);
    assert_eq!(device.cloud.state().blocks.len(), blocks, "each block once");
}

#[test]
fn progress_is_told_in_blocks() {
    let image = app("2", 9000);
    let device = device_with(&image);
    device.boot().unwrap();
    let state = device.cloud.state();
    let blocks = image.len().div_ceil(512);
    let told: Vec<String> = state
        .updates
        .iter()
        .filter_map(|(_, _, details)| Some(details["receive"].as_str()?.to_owned()))
        .collect();
    assert_eq!(told[0], format!("0/{blocks}"));
    assert!(told.len() > 2, "{told:?}");
    let got = |told: &String| told.split_once('/').unwrap().0.parse::<usize>().unwrap();
    assert!(told.iter().map(got).is_sorted(), "{told:?}");
}

#[test]
fn json_and_the_requests_of_the_c_library_and_the_older_agent_s_way_to_ask_do_as_well() {
    for (ask, requests) in [
        (Ask::StartNext, Requests::Window),
        (Ask::Describe, Requests::CLibrary),
    ] {
        let image = app("2", 3000);
        let mut device = device_with(&image);
        device.jobs.ask = ask;
        device.stream = Settings {
            requests,
            ..device.stream
        };
        assert_eq!(device.boot_with::<Json>(), Ok(Ended::Restart));
        device.restart();
        device.version = V2;
        assert_eq!(device.boot_with::<Json>(), Ok(Ended::NoJob));
        assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
    }
}

#[test]
fn jobs_are_done_one_after_the_other() {
    let image = app("2", 3000);
    let mut device = device_with(&image);
    device.cloud.job("job-0", json!({"operation": "dance"}));
    device.cloud.state().jobs.swap(0, 1);
    assert_eq!(device.boot(), Ok(Ended::Restart));
    let (status, details) = device.cloud.fate("job-0");
    assert_eq!(
        (status, details),
        ("REJECTED", json!({"reason": "unknown-document"}))
    );
    device.restart();
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
}

#[test]
fn a_device_subscribes_to_answers_and_notices() {
    let device = Device::new();
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let state = device.cloud.state();
    assert_eq!(state.subscriptions.len(), 7);
    assert!(
        state
            .subscriptions
            .contains(&"$aws/things/dev-1/jobs/notify-next".to_owned())
    );
    assert!(
        state
            .subscriptions
            .contains(&"$aws/things/dev-1/jobs/+/update/rejected".to_owned())
    );
}
