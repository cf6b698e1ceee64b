//! What goes wrong.

use airlift_device::Refusal;
use airlift_device::agent::{AgentError, Ended};
use airlift_device::download::aws_stream::StreamError;
use airlift_device::notify::aws_jobs::{JobsError, Version};
use serde_json::{Value, json};

use super::cloud::Cut;
use super::device::{Device, SLOTS, app, document, file};

fn device_with(image: &[u8]) -> Device {
    let device = Device::new();
    device.cloud.state().files.insert(0, image.to_vec());
    device.cloud.job("job-1", document(&[file(0, image)]));
    device
}

fn rejected(refusal: Refusal) -> (&'static str, Value) {
    let code = refusal.code();
    let cause = Refusal::token(code);
    (
        "FAILED",
        json!({"reason": format!("rejected: {code:#010x}"), "cause": cause}),
    )
}

#[test]
fn lost_messages_delay_an_update_and_no_more() {
    for loses in [4, 7, 15] {
        let image = app("2", 20_000);
        let mut device = device_with(&image);
        device.cloud.state().loses = loses;
        assert_eq!(device.boot(), Ok(Ended::Restart), "one of {loses}");
        device.restart();
        assert_eq!(device.boot(), Ok(Ended::NoJob), "one of {loses}");
        assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
        assert_eq!(device.content(SLOTS[1], image.len()), image);
    }
}

#[test]
fn a_download_goes_on_after_a_power_cut_and_the_service_hears_of_it() {
    let image = app("2", 30_000);
    let mut device = device_with(&image);
    device.cloud.state().breaks_after = Some(40);
    assert_eq!(device.boot(), Err(AgentError::Link(Cut)));
    let before = device.cloud.state().blocks.len();
    device.cloud.state().breaks_after = None;

    assert_eq!(device.boot(), Ok(Ended::Restart));
    assert_eq!(device.content(SLOTS[1], image.len()), image);
    {
        let state = device.cloud.state();
        let resumed = state
            .updates
            .iter()
            .find_map(|(_, _, details)| details["resumed"].as_str());
        let resumed: u32 = resumed.expect("it is told").parse().unwrap();
        assert!(resumed >= 3 * 4096, "{resumed}");
        let refetched = state.blocks[before..].iter().map(|(_, block)| *block).min();
        assert_eq!(
            refetched,
            Some(resumed / 512),
            "nothing durable is fetched again"
        );
    }
    device.restart();
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
}

#[test]
fn a_cut_after_any_block_ends_well() {
    let image = app("2", 9000);
    let blocks = image.len().div_ceil(512) as u32;
    for cut in 0..=blocks {
        let mut device = device_with(&image);
        device.cloud.state().breaks_after = Some(cut);
        let first = device.boot();
        device.cloud.state().breaks_after = None;
        assert_eq!(first, Err(AgentError::Link(Cut)), "{cut}");
        // Perhaps it came as far as to be tried at once.
        device.restart();
        while device.boot() == Ok(Ended::Restart) {
            device.restart();
        }
        assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED", "{cut}");
        assert_eq!(device.running, 1, "{cut}");
    }
}

#[test]
fn a_wrong_signature_never_boots() {
    let image = app("2", 9000);
    let device_with = |signature: &str| {
        let device = Device::new();
        device.cloud.state().files.insert(0, image.clone());
        let mut file = file(0, &image);
        file["sig-sha256-ecdsa"] = json!(signature);
        device.cloud.job("job-1", document(&[file]));
        device
    };
    // A good signature, but of other bytes: found out when all are there.
    let mut device = device_with(&super::device::signature(b"other"));
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1"), rejected(Refusal::Signature));
    assert!(!device.cloud.state().blocks.is_empty());
    device.restart();
    assert_eq!(device.running, 0);
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    // No signature at all: found out before anything is fetched.
    let device = device_with("bm90IG9uZQ==");
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1"), rejected(Refusal::Signature));
    assert!(device.cloud.state().blocks.is_empty());
}

#[test]
fn what_does_not_fit_or_is_no_image_is_refused_with_its_cause() {
    // The slot has 64 KiB.
    let device = Device::new();
    let mut large = file(0, b"x");
    large["filesize"] = json!(65_537);
    device.cloud.job("job-1", document(&[large]));
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let refusal = Refusal::TooBig {
        length: 65_537,
        slot: 65_536,
    };
    assert_eq!(device.cloud.fate("job-1"), rejected(refusal));
    assert_eq!(device.cloud.state().requests, 0);

    let device = device_with(&[0x55; 2000]);
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(
        (status, details["cause"].as_str()),
        ("FAILED", Some("image-magic"))
    );
}

#[test]
fn a_document_that_is_wrong_is_rejected_with_the_field() {
    let mut wrong = file(0, b"x");
    wrong["fileid"] = json!(256);
    let long = json!({"afr_ota": {}, "x": "y".repeat(3000)});
    let two = [file(0, b"x"), file(1, b"x")];
    for (document, details) in [
        (
            document(&[wrong]),
            json!({"reason": "out-of-range", "field": "fileid"}),
        ),
        (
            document(&[]),
            json!({"reason": "wrong-length", "field": "files"}),
        ),
        (json!("text"), json!(null)),
        (
            long,
            json!({"reason": "document-too-long", "field": "jobDocument"}),
        ),
        // Nobody said where the second file goes.
        (
            document(&two),
            json!({"reason": "no-destination", "field": "fileid"}),
        ),
    ] {
        let device = Device::new();
        device.cloud.job("job-1", document.clone());
        if details.is_null() {
            // Not even an answer that can be read: it is asked again, and given up.
            assert_eq!(device.boot(), Err(AgentError::Jobs(JobsError::Unanswered)));
            continue;
        }
        assert_eq!(device.boot(), Ok(Ended::NoJob), "{document}");
        assert_eq!(device.cloud.fate("job-1"), ("REJECTED", details));
    }
}

#[test]
fn a_canceled_job_stops_the_device_and_the_next_one_is_done() {
    let image = app("2", 20_000);
    let mut device = device_with(&image);
    device.cloud.job("job-2", document(&[file(0, &image)]));
    device.cloud.state().cancels_after = Some(8);
    assert_eq!(device.boot(), Ok(Ended::Restart));
    assert_eq!(device.cloud.fate("job-1").0, "CANCELED");
    // Nothing more was told of the first, and not all of it was fetched before the second.
    assert!(
        device
            .cloud
            .state()
            .updates
            .iter()
            .all(|(id, status, _)| id == "job-2" || *status == "IN_PROGRESS")
    );
    device.restart();
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-2").0, "SUCCEEDED");
}

#[test]
fn a_job_that_is_canceled_when_all_is_there_is_not_activated() {
    let mut device = device_with(&app("2", 3000));
    device.cloud.state().cancels_at = Some("ready");
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").0, "CANCELED");
    device.restart();
    assert_eq!(device.running, 0);
}

#[test]
fn a_stream_that_is_not_there_aborts_the_job() {
    let device = device_with(&app("2", 3000));
    device.cloud.state().files.clear();
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(status, "FAILED");
    assert_eq!(details["cause"], "ResourceNotFound");
    assert!(
        details["reason"]
            .as_str()
            .unwrap()
            .starts_with("aborted: 0x")
    );
}

#[test]
fn a_service_that_sends_nothing_is_left_and_found_again() {
    let image = app("2", 9000);
    let device = device_with(&image);
    device.cloud.state().mute = true;
    assert_eq!(
        device.boot(),
        Err(AgentError::Source(StreamError::Unanswered))
    );
    assert_eq!(device.cloud.state().requests, 12);
    assert_eq!(device.cloud.fate("job-1").0, "IN_PROGRESS");
    device.cloud.state().mute = false;
    assert_eq!(device.boot(), Ok(Ended::Restart));
}

#[test]
fn an_app_that_fails_its_self_test_goes_back_and_the_service_hears_why() {
    let mut device = device_with(&app("2", 3000));
    assert_eq!(device.boot(), Ok(Ended::Restart));
    device.restart();
    assert_eq!(device.running, 1);
    device.healthy = Err(0x2A);
    assert_eq!(device.boot(), Ok(Ended::Restart));
    assert_eq!(device.cloud.fate("job-1").0, "IN_PROGRESS");
    device.restart();
    assert_eq!(device.running, 0);
    device.healthy = Ok(());
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let expected = json!({"reason": "rejected: 0x0000002a", "cause": "rolled-back"});
    assert_eq!(device.cloud.fate("job-1"), ("FAILED", expected));
}

#[test]
fn an_app_that_never_comes_up_goes_back_and_the_service_hears_of_it() {
    let mut device = device_with(&app("2", 3000));
    assert_eq!(device.boot(), Ok(Ended::Restart));
    // Three attempts, each of which ends before the engine starts.
    for _ in 0..3 {
        device.restart();
        assert_eq!(device.running, 1);
        device.restart();
        assert_eq!(device.running, 0);
        if device.boot() == Ok(Ended::NoJob) {
            break;
        }
    }
    let (status, details) = device.cloud.fate("job-1");
    assert_eq!(
        (status, &details["cause"]),
        ("FAILED", &json!("never-started"))
    );
}

#[test]
fn a_last_report_whose_answer_is_lost_is_told_once() {
    let mut device = device_with(&app("2", 3000));
    assert_eq!(device.boot(), Ok(Ended::Restart));
    device.restart();
    device.cloud.state().swallows = 2;
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    let state = device.cloud.state();
    let last = state
        .updates
        .iter()
        .filter(|(_, status, _)| *status == "SUCCEEDED");
    assert_eq!(last.count(), 1);
}

#[test]
fn an_outcome_that_could_not_be_told_is_told_later() {
    let mut device = device_with(&app("2", 3000));
    assert_eq!(device.boot(), Ok(Ended::Restart));
    device.restart();
    // The answers to "active" and all that follow are lost; the app is confirmed all the same.
    device.version = Version {
        major: 2,
        minor: 0,
        build: 0,
    };
    device.cloud.state().swallows = 1;
    device.cloud.state().cancels_at = None;
    device.cloud.state().loses = 1;
    assert_eq!(device.boot(), Err(AgentError::Jobs(JobsError::Unanswered)));
    device.cloud.state().loses = 0;
    device.cloud.state().swallows = 0;
    // Not reached, not confirmed: and so it is still on trial, until it is reached.
    assert_eq!(device.boot(), Ok(Ended::NoJob));
    assert_eq!(device.cloud.fate("job-1").0, "SUCCEEDED");
    device.restart();
    assert_eq!(device.running, 1);
}
