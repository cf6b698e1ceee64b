//! Jobs that are made because a release is on offer, and what the registry hears of them.

use super::*;
use crate::jobs::automatic;

/// A connected thing of `dev` with the key `k`, and what it is told.
async fn connected(bench: &Bench) -> (Arc<Thing>, NoticeReceiver) {
    let thing = bench.thing(bench.dev, "dev-1", Some("k")).await;
    bench.service.connected(&thing, [192, 0, 2, 1].into());
    let notices = bench.service.notices(&thing);
    (thing, notices)
}

async fn started(bench: &Bench, thing: &Arc<Thing>) -> Option<String> {
    let answer = bench.accepted(thing, "jobs/start-next", "").await;
    let id = answer.get("execution")?["jobId"].as_str()?;
    Some(id.to_owned())
}

async fn says(bench: &Bench, thing: &Arc<Thing>, job: &str, payload: &str) {
    let topic = format!("jobs/{job}/update");
    bench.accepted(thing, &topic, payload).await;
}

/// What the service does when the catalog has changed.
async fn published(bench: &Bench) {
    let empty = crate::catalog::snapshot::Snapshot::default();
    let now = Arc::clone(&bench.catalog.snapshot());
    bench.service.offer_anew(&empty, &now).await;
}

#[tokio::test]
async fn a_thing_gets_by_a_job_what_it_would_be_offered_over_http() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    assert_eq!(started(&bench, &thing).await, None);
    assert_eq!(bench.device(&thing)["decision"], "no-release");
    bench.publish("other", "9").await;
    assert_eq!(started(&bench, &thing).await, None);
    let release = bench.publish("k", "1.2.0").await;
    let job = format!("{}{}", automatic::PREFIX, release.id);
    let pending = bench.accepted(&thing, "jobs/get", "").await;
    assert_eq!(pending["queuedJobs"][0]["jobId"], job);
    assert_eq!(started(&bench, &thing).await, Some(job.clone()));
    let document = bench.accepted(&thing, "jobs/$next/get", "").await;
    let document = &document["execution"]["jobDocument"]["afr_ota"];
    assert_eq!(
        document["files"],
        json!([{ "filepath": "firmware.bin", "filesize": 5000, "fileid": 0, "certfile": "code-sign.pem",
            "update_data_url": null, "auth_scheme": null, "sig-sha256-ecdsa": "" }])
    );
    let device = bench.device(&thing);
    assert_eq!(
        (
            &device["decision"],
            &device["offered"]["count"],
            &device["address"]
        ),
        (&json!("offered"), &json!(1), &json!("192.0.2.1"))
    );
    assert_eq!(
        (&device["project"], &device["key"]),
        (&json!("lotus"), &json!("k"))
    );

    bench.wait(60);
    says(
        &bench,
        &thing,
        &job,
        r#"{"status":"SUCCEEDED","expectedVersion":"2"}"#,
    )
    .await;
    let device = bench.device(&thing);
    assert_eq!(device["version"], "1.2.0");
    assert_eq!(device["sketch_sha256"], release.sha256.to_string());
    assert_eq!(device["result"]["state"], "confirmed");
    assert_eq!(started(&bench, &thing).await, None);
    assert_eq!(bench.device(&thing)["decision"], "up-to-date");

    // One release, one job: another thing has its own execution of it.
    let second = bench.thing(bench.dev, "dev-2", Some("k")).await;
    assert_eq!(started(&bench, &second).await, Some(job));
    // No key, no release for a key.
    let without = bench.thing(bench.dev, "dev-3", None).await;
    assert_eq!(started(&bench, &without).await, None);
    let foreign = bench.thing(bench.foreign, "dev-1", Some("k")).await;
    assert_eq!(started(&bench, &foreign).await, None);
}

#[tokio::test]
async fn connected_things_are_told_of_releases_that_come_and_go() {
    let bench = Bench::new().await;
    let (thing, mut notices) = connected(&bench).await;
    let first = bench.publish("k", "1").await;
    published(&bench).await;
    let name = |release: &Release| format!("{}{}", automatic::PREFIX, release.id);
    let told_ = told(&mut notices).await;
    assert_eq!(told_.len(), 2);
    assert_eq!(told_[1].1["execution"]["jobId"], name(&first));
    // Once more: nothing new.
    published(&bench).await;
    assert_eq!(told(&mut notices).await, []);

    // Replaced while it downloads: the other one takes its place.
    assert_eq!(started(&bench, &thing).await, Some(name(&first)));
    let second = bench.publish("k", "2").await;
    published(&bench).await;
    let told_ = told(&mut notices).await;
    assert_eq!(told_[1].1["execution"]["jobId"], name(&second));
    let stale = bench
        .rejected(
            &thing,
            &format!("jobs/{}/update", name(&first)),
            r#"{"status":"SUCCEEDED"}"#,
        )
        .await;
    assert_eq!(stale["executionState"]["status"], "REMOVED");

    // Withdrawn: the one before it is on offer again, at once.
    bench.withdraw(&second).await;
    published(&bench).await;
    let told_ = told(&mut notices).await;
    assert_eq!(told_[1].1["execution"]["jobId"], name(&first));
    assert_eq!(told_[1].1["execution"]["executionNumber"], 2);
    bench.withdraw(&first).await;
    published(&bench).await;
    let told_ = told(&mut notices).await;
    assert_eq!(told_[0].1["jobs"], json!({}));
    assert_eq!(told_[1].1.get("execution"), None);
    assert_eq!(started(&bench, &thing).await, None);
}

#[tokio::test]
async fn an_image_on_trial_is_left_to_say_what_came_of_it() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    let first = bench.publish("k", "1").await;
    let job = started(&bench, &thing).await.unwrap();
    let ready =
        r#"{"status":"IN_PROGRESS","statusDetails":{"self_test":"ready","updatedBy":"0x10000"}}"#;
    says(&bench, &thing, &job, ready).await;
    bench.publish("k", "2").await;
    published(&bench).await;
    assert_eq!(started(&bench, &thing).await.as_ref(), Some(&job));
    says(&bench, &thing, &job, r#"{"status":"SUCCEEDED"}"#).await;
    assert_eq!(
        bench.device(&thing)["sketch_sha256"],
        first.sha256.to_string()
    );
    // And now the other one.
    assert_ne!(started(&bench, &thing).await, Some(job));
}

#[tokio::test]
async fn what_is_ordered_by_hand_goes_first_and_is_heard_of_too() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    let old = bench.publish("k", "1").await;
    let new = bench.publish("k", "2").await;
    let content = Content::Release(Box::new(old.clone()));
    bench.create("by-hand", content, &[&thing]).await;
    assert_eq!(started(&bench, &thing).await.as_deref(), Some("by-hand"));
    says(&bench, &thing, "by-hand", r#"{"status":"SUCCEEDED"}"#).await;
    assert_eq!(bench.device(&thing)["version"], "1");
    let automatic = format!("{}{}", automatic::PREFIX, new.id);
    assert_eq!(started(&bench, &thing).await, Some(automatic));
}

#[tokio::test]
async fn what_fails_is_offered_again_after_a_pause_that_doubles() {
    let bench = Bench::new().await;
    let (thing, mut notices) = connected(&bench).await;
    let release = bench.publish("k", "1").await;
    let job = started(&bench, &thing).await.unwrap();
    told(&mut notices).await;
    for pause in [60, 120, 240, 480] {
        let reason = r#"{"status":"FAILED","statusDetails":{"reason":"aborted: 0x00000001"}}"#;
        says(&bench, &thing, &job, reason).await;
        // It is not told to begin at once, which it would.
        let told_ = told(&mut notices).await;
        assert_eq!(told_[1].1.get("execution"), None);
        let device = bench.device(&thing);
        assert_eq!(device["result"]["state"], "failed");
        assert_eq!(device["result"]["reason"], "aborted: 0x00000001");
        assert_eq!(device["result"]["sha256"], release.sha256.to_string());
        bench.wait(pause - 1);
        assert_eq!(started(&bench, &thing).await, None);
        bench.wait(1);
        assert_eq!(started(&bench, &thing).await.as_ref(), Some(&job));
        told(&mut notices).await;
    }
    let execution = bench.accepted(&thing, "jobs/$next/get", "").await;
    assert_eq!(execution["execution"]["executionNumber"], 5);
}

#[tokio::test]
async fn an_image_that_was_rolled_back_is_not_offered_again() {
    let active =
        r#"{"status":"IN_PROGRESS","statusDetails":{"self_test":"active","updatedBy":"0x10000"}}"#;
    let failed =
        |details: Value| json!({ "status": "FAILED", "statusDetails": details }).to_string();
    let agent = failed(json!({ "reason": "rejected: 0x00000003" }));
    let ours = |cause| failed(json!({ "reason": "rejected: 0x00000001", "cause": cause }));
    let aborted = failed(json!({ "reason": "aborted: 0x00000006", "cause": "no-answer" }));
    let long = failed(json!({ "reason": "long ".repeat(100) }));
    for (before, payload, state, reason, offered_again) in [
        (
            Some(active),
            agent.clone(),
            "rolled-back",
            Some("rejected: 0x00000003"),
            false,
        ),
        (
            Some(active),
            ours("app-rejected"),
            "rolled-back",
            Some("app-rejected"),
            false,
        ),
        // A reset ended the trial: that may have been the power.
        (
            Some(active),
            ours("not-confirmed"),
            "rolled-back",
            Some("not-confirmed"),
            true,
        ),
        (None, agent, "refused", Some("rejected: 0x00000003"), true),
        (
            None,
            ours("bad-signature"),
            "refused",
            Some("bad-signature"),
            true,
        ),
        (None, aborted, "failed", Some("no-answer"), true),
        (
            None,
            r#"{"status":"REJECTED"}"#.to_owned(),
            "refused",
            None,
            true,
        ),
        (None, long, "failed", "long ".repeat(100).get(..64), true),
    ] {
        let bench = Bench::new().await;
        let (thing, _notices) = connected(&bench).await;
        bench.publish("k", "1").await;
        let job = started(&bench, &thing).await.unwrap();
        if let Some(before) = before {
            says(&bench, &thing, &job, before).await;
        }
        says(&bench, &thing, &job, &payload).await;
        let device = bench.device(&thing);
        assert_eq!(device["result"]["state"], state, "{payload}");
        assert_eq!(device["result"]["reason"], json!(reason), "{payload}");
        assert_eq!(device["sketch_sha256"], Value::Null);
        bench.wait(3600);
        assert_eq!(
            started(&bench, &thing).await.is_some(),
            offered_again,
            "{payload}"
        );
    }
}

#[tokio::test]
async fn an_image_that_is_refused_is_offered_three_times() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    bench.publish("k", "1").await;
    for _ in 0..3 {
        let job = started(&bench, &thing).await.unwrap();
        says(&bench, &thing, &job, r#"{"status":"REJECTED"}"#).await;
        bench.wait(3600);
    }
    assert_eq!(started(&bench, &thing).await, None);
    assert_eq!(bench.device(&thing)["decision"], "refused");
    bench.publish("k", "2").await;
    assert!(started(&bench, &thing).await.is_some(), "another one");
}

#[tokio::test]
async fn a_person_can_keep_a_release_from_things() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    bench.publish("k", "1").await;
    let job = started(&bench, &thing).await.unwrap();
    // From one thing.
    let canceled = bench
        .service
        .cancel_execution(&thing, &job, true, None, None);
    assert_eq!(canceled.await.unwrap().status.as_str(), "CANCELED");
    bench.wait(100_000);
    assert_eq!(started(&bench, &thing).await, None);
    // From all.
    let second = bench.thing(bench.dev, "dev-2", Some("k")).await;
    assert_eq!(started(&bench, &second).await.as_ref(), Some(&job));
    bench.cancel(&job, true).await;
    assert_eq!(started(&bench, &second).await, None);
    let third = bench.thing(bench.dev, "dev-3", Some("k")).await;
    assert_eq!(started(&bench, &third).await, None);
}

#[tokio::test]
async fn what_a_crash_kept_from_the_registry_is_found_in_the_job() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    let release = bench.publish("k", "1").await;
    let job = started(&bench, &thing).await.unwrap();
    says(&bench, &thing, &job, r#"{"status":"SUCCEEDED"}"#).await;
    // The registry of the test is never written.
    let bench = bench.killed().await;
    bench.wait(100_000);
    assert_eq!(started(&bench, &thing).await, None);
    assert_eq!(
        bench.device(&thing)["sketch_sha256"],
        release.sha256.to_string()
    );
    assert_eq!(started(&bench, &thing).await, None);
    assert_eq!(bench.device(&thing)["decision"], "up-to-date");
}

#[tokio::test]
async fn data_for_a_partition_is_heard_of_as_that() {
    let bench = Bench::new().await;
    let (thing, _notices) = connected(&bench).await;
    let file = bench.file(&[7; 4096]).await;
    let organization = bench.catalog.organization("dev").unwrap();
    let row = ReleaseRow {
        kind: "data".to_owned(),
        partition: Some("storage".to_owned()),
        family: None,
        chip_id: None,
        ..release_row(bench.dev, "k", "3", &file.sha256, file.size)
    };
    let release = bench.catalog.add_release(&organization, row).await.unwrap();
    assert_eq!(started(&bench, &thing).await, None, "only by hand");
    for (name, payload, state) in [
        ("first", r#"{"status":"REJECTED"}"#, "refused"),
        ("second", r#"{"status":"SUCCEEDED"}"#, "confirmed"),
    ] {
        let content = Content::Release(Box::new(release.clone()));
        bench.create(name, content, &[&thing]).await;
        let answer = bench.accepted(&thing, "jobs/start-next", "").await;
        let entry = &answer["execution"]["jobDocument"]["afr_ota"]["files"][0];
        assert_eq!(
            (&entry["filepath"], &entry["fileType"]),
            (&json!("storage"), &json!(1))
        );
        says(&bench, &thing, name, payload).await;
        let device = bench.device(&thing);
        let partition = &device["partitions"][0];
        assert_eq!(
            (&partition["name"], &partition["result"]["state"]),
            (&json!("storage"), &json!(state))
        );
        let installed = if state == "confirmed" {
            json!(release.sha256.to_string())
        } else {
            Value::Null
        };
        assert_eq!(partition["sha256"], installed);
        assert_eq!(
            (&device["sketch_sha256"], device.get("result")),
            (&Value::Null, None)
        );
    }
}
