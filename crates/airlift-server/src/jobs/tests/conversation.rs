//! Requests and answers of jobs.

use super::*;

#[tokio::test]
async fn a_device_of_core_ota_goes_through_a_job_and_gets_the_bytes_that_aws_sends() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let nothing = bench
        .ask(&thing, "jobs/start-next", r#"{"clientToken":"test"}"#)
        .await;
    assert_eq!(nothing.0, "jobs/start-next/accepted");
    assert_eq!(
        nothing.1,
        r#"{"clientToken":"test","timestamp":1517016947}"#
    );

    let content = bench.files(&[b"firmware"]).await;
    bench.create("AFR_OTA-1", content, &[&thing]).await;
    bench.wait(7);
    let stream = bench.catalog.database.job_by_name(bench.dev, "AFR_OTA-1");
    let stream = stream.await.unwrap().unwrap().stream.unwrap();
    assert_eq!(stream.len(), 44, "{stream}");
    let document = format!(
        r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"{stream}","files":[{{"filepath":"file0","filesize":8,"fileid":0,"certfile":"cert","update_data_url":null,"auth_scheme":null,"sig-sha256-ecdsa":"MEQ="}}]}}}}"#
    );
    // As the old agent asks: nothing begins.
    let described = bench
        .ask(
            &thing,
            "jobs/$next/get",
            r#"{"clientToken":":840d8ee419b8"}"#,
        )
        .await;
    assert_eq!(described.0, "jobs/$next/get/accepted");
    assert_eq!(
        described.1,
        format!(
            r#"{{"clientToken":":840d8ee419b8","timestamp":1517016954,"execution":{{"jobId":"AFR_OTA-1","status":"QUEUED","queuedAt":1517016947,"lastUpdatedAt":1517016947,"versionNumber":1,"executionNumber":1,"jobDocument":{document}}}}}"#
        )
    );
    for _ in 0..2 {
        // Again after a reboot: nothing changes.
        let started = bench.ask(&thing, "jobs/start-next", "").await;
        assert_eq!(
            started.1,
            format!(
                r#"{{"timestamp":1517016954,"execution":{{"jobId":"AFR_OTA-1","status":"IN_PROGRESS","queuedAt":1517016947,"startedAt":1517016954,"lastUpdatedAt":1517016954,"versionNumber":2,"executionNumber":1,"jobDocument":{document}}}}}"#
            )
        );
    }
    let done = bench
        .ask(
            &thing,
            "jobs/AFR_OTA-1/update",
            r#"{"status":"SUCCEEDED","expectedVersion":"2"}"#,
        )
        .await;
    let accepted = "jobs/AFR_OTA-1/update/accepted".to_owned();
    assert_eq!(done, (accepted, r#"{"timestamp":1517016954}"#.to_owned()));
    let pending = bench
        .ask(&thing, "jobs/get", r#"{"clientToken":"c"}"#)
        .await;
    assert_eq!(
        pending.1,
        r#"{"clientToken":"c","timestamp":1517016954,"inProgressJobs":[],"queuedJobs":[]}"#
    );
}

#[tokio::test]
async fn the_worked_example_of_the_developer_guide_as_it_is_told() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.service.connected(&thing, [192, 0, 2, 1].into());
    let mut notices = bench.service.notices(&thing);
    assert_eq!(told(&mut notices).await, []);
    let summary = |job: &str, queued: i64| json!({ "jobId": job, "queuedAt": queued, "lastUpdatedAt": queued, "executionNumber": 1, "versionNumber": 1 });
    let started = |job: &str, queued: i64, started: i64| {
        json!({ "jobId": job, "queuedAt": queued, "lastUpdatedAt": started, "startedAt": started,
            "executionNumber": 1, "versionNumber": 2 })
    };
    let document = json!({ "operation": "test" });

    bench.create("job1", test_document(), &[&thing]).await;
    bench.wait_until(1_517_016_948);
    let queued = json!({ "jobId": "job1", "status": "QUEUED", "queuedAt": START, "lastUpdatedAt": START,
        "versionNumber": 1, "executionNumber": 1, "jobDocument": document });
    assert_eq!(
        told(&mut notices).await,
        [
            list(
                1_517_016_948,
                &json!({ "QUEUED": [summary("job1", START)] })
            ),
            next(json!({ "timestamp": 1_517_016_948, "execution": queued })),
        ]
    );

    bench.wait_until(1_517_017_191);
    bench.create("job2", test_document(), &[&thing]).await;
    bench.wait_until(1_517_017_192);
    let both = [summary("job1", START), summary("job2", 1_517_017_191)];
    assert_eq!(
        told(&mut notices).await,
        [list(1_517_017_192, &json!({ "QUEUED": both }))]
    );

    bench.wait_until(1_517_017_472);
    bench.accepted(&thing, "jobs/start-next", "{}").await;
    assert_eq!(told(&mut notices).await, []);

    bench.wait_until(1_517_017_905);
    bench.create("job3", test_document(), &[&thing]).await;
    bench.wait_until(1_517_017_906);
    let (job2, job3) = (
        summary("job2", 1_517_017_191),
        summary("job3", 1_517_017_905),
    );
    let first = started("job1", START, 1_517_017_472);
    assert_eq!(
        told(&mut notices).await,
        [list(
            1_517_017_906,
            &json!({ "IN_PROGRESS": [first], "QUEUED": [job2, job3] })
        )]
    );

    bench.wait_until(1_517_186_269);
    let succeeded = r#"{"status":"SUCCEEDED"}"#;
    bench.accepted(&thing, "jobs/job1/update", succeeded).await;
    let second = json!({ "jobId": "job2", "status": "QUEUED", "queuedAt": 1_517_017_191, "lastUpdatedAt": 1_517_017_191,
        "versionNumber": 1, "executionNumber": 1, "jobDocument": document });
    assert_eq!(
        told(&mut notices).await,
        [
            list(1_517_186_269, &json!({ "QUEUED": [job2, job3] })),
            next(json!({ "timestamp": 1_517_186_269, "execution": second })),
        ]
    );

    bench.wait_until(1_517_186_779);
    let begins = r#"{"status":"IN_PROGRESS"}"#;
    bench.accepted(&thing, "jobs/job3/update", begins).await;
    let overtaken = json!({ "jobId": "job3", "status": "IN_PROGRESS", "queuedAt": 1_517_017_905, "startedAt": 1_517_186_779,
        "lastUpdatedAt": 1_517_186_779, "versionNumber": 2, "executionNumber": 1, "jobDocument": document });
    assert_eq!(
        told(&mut notices).await,
        [next(
            json!({ "timestamp": 1_517_186_779, "execution": overtaken })
        )]
    );

    bench.wait_until(1_517_189_392);
    let rejected = r#"{"status":"REJECTED"}"#;
    bench.accepted(&thing, "jobs/job2/update", rejected).await;
    let third = started("job3", 1_517_017_905, 1_517_186_779);
    assert_eq!(
        told(&mut notices).await,
        [list(1_517_189_392, &json!({ "IN_PROGRESS": [third] }))]
    );

    bench.wait_until(1_517_189_551);
    let id = bench.job_id("job3").await;
    bench.service.delete_job(id).await.unwrap();
    assert_eq!(
        told(&mut notices).await,
        [
            list(1_517_189_551, &json!({})),
            next(json!({ "timestamp": 1_517_189_551 })),
        ]
    );
    let gone = bench.rejected(&thing, "jobs/job3/update", succeeded).await;
    assert_eq!(gone["code"], "ResourceNotFound");
}

#[tokio::test]
async fn every_refusal_has_its_code_and_says_how_things_are() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.create("job1", test_document(), &[&thing]).await;
    let long = "j".repeat(65);
    for (topic, payload, code) in [
        ("jobs/job1/update", "{", "InvalidJson"),
        ("jobs/start-next", r#"{"clientToken":"a"b"}"#, "InvalidJson"),
        ("jobs/get", "[1]", "InvalidRequest"),
        ("jobs/job1/update", r#"{"status":"DONE"}"#, "InvalidRequest"),
        (
            "jobs/job1/update",
            r#"{"status":"IN_PROGRESS","statusDetails":[1,2]}"#,
            "InvalidRequest",
        ),
        (
            "jobs/$next/update",
            r#"{"status":"FAILED"}"#,
            "InvalidRequest",
        ),
        (&format!("jobs/{long}/get"), "", "InvalidRequest"),
        ("jobs/a:b/get", "", "InvalidRequest"),
        ("jobs/job9/get", "", "ResourceNotFound"),
        (
            "jobs/job1/get",
            r#"{"executionNumber":2}"#,
            "ResourceNotFound",
        ),
        (
            "jobs/job9/update",
            r#"{"status":"FAILED"}"#,
            "ResourceNotFound",
        ),
        (
            "jobs/job1/update",
            r#"{"status":"QUEUED"}"#,
            "InvalidStateTransition",
        ),
        (
            "jobs/job1/update",
            r#"{"status":"FAILED","expectedVersion":"9"}"#,
            "VersionMismatch",
        ),
        ("jobs/", "", "InvalidTopic"),
        ("jobs/job1", "", "InvalidTopic"),
        ("jobs/job1/delete", "", "InvalidTopic"),
        ("jobs/job1/get/more", "", "InvalidTopic"),
        ("jobs/start-next/get/", "", "InvalidTopic"),
    ] {
        let rejected = bench.rejected(&thing, topic, payload).await;
        assert_eq!(rejected["code"], code, "{topic} {payload}");
        assert_eq!(rejected["timestamp"], START);
        assert!(!rejected["message"].as_str().unwrap().is_empty());
        let with_state = ["InvalidStateTransition", "VersionMismatch"].contains(&code);
        assert_eq!(
            rejected.get("executionState"),
            with_state
                .then(|| json!({ "status": "QUEUED", "versionNumber": 1 }))
                .as_ref(),
            "{topic} {payload}"
        );
    }
    // The keys in their order, and the token escaped.
    let payload =
        r#"{"status":"FAILED","expectedVersion":7,"clientToken":"a\"b","statusDetails":{"x":"y"}}"#;
    let (_, rejected) = bench.ask(&thing, "jobs/job1/update", payload).await;
    assert_eq!(
        rejected,
        r#"{"code":"VersionMismatch","message":"the execution has version 1","clientToken":"a\"b","timestamp":1517016947,"executionState":{"status":"QUEUED","versionNumber":1}}"#
    );
    // A token that is none is not sent back.
    let payload = format!(r#"{{"clientToken":"{long}"}}"#);
    let rejected = bench.rejected(&thing, "jobs/get", &payload).await;
    assert_eq!(rejected["code"], "InvalidRequest");
    assert_eq!(rejected.get("clientToken"), None);

    let details = r#"{"status":"FAILED","statusDetails":{"reason":"0x0e3: 0x00000001"}}"#;
    bench.accepted(&thing, "jobs/job1/update", details).await;
    let ended = bench.rejected(&thing, "jobs/job1/get", "").await;
    assert_eq!(ended["code"], "TerminalStateReached");
    for payload in [details, r#"{"status":"IN_PROGRESS","executionNumber":1}"#] {
        let ended = bench.rejected(&thing, "jobs/job1/update", payload).await;
        assert_eq!(ended["code"], "InvalidStateTransition");
        assert_eq!(
            ended["executionState"],
            json!({ "status": "FAILED", "statusDetails": { "reason": "0x0e3: 0x00000001" }, "versionNumber": 2 })
        );
    }
}

#[tokio::test]
async fn where_answers_go_nothing_is_answered() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let long = format!("jobs/{}/get", "j".repeat(300));
    for topic in [
        "",
        "jobs",
        "jobs/notify",
        "jobs/notify-next",
        "jobs/get/accepted",
        "jobs/job1/update/rejected",
        "shadow/update",
        "streams",
        "streams/s",
        "streams/s/data/cbor",
        "streams/s/rejected/json",
        "streams/s/get",
        "streams/s/get/xml",
        "streams/s/get/json/more",
        &long,
    ] {
        let reply = bench.service.request(&thing, topic, b"{}").await;
        assert!(matches!(reply, Reply::None), "{topic}: {reply:?}");
    }
}

#[tokio::test]
async fn an_update_answers_what_it_is_asked_for() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    let timed = |order: &mut Order| order.timeout_minutes = Some(10);
    bench
        .create_with("job1", test_document(), &[&thing], timed)
        .await;
    let payload = r#"{"status":"IN_PROGRESS","statusDetails":{"receive":"1/64"},"includeJobExecutionState":true,"includeJobDocument":true,"clientToken":"c"}"#;
    let (_, answer) = bench.ask(&thing, "jobs/job1/update", payload).await;
    assert_eq!(
        answer,
        r#"{"clientToken":"c","timestamp":1517016947,"executionState":{"status":"IN_PROGRESS","statusDetails":{"receive":"1/64"},"versionNumber":2},"jobDocument":{"operation":"test"}}"#
    );
    bench.wait(61);
    let without = r#"{"includeJobDocument":false}"#;
    let (_, answer) = bench.ask(&thing, "jobs/job1/get", without).await;
    assert_eq!(
        answer,
        r#"{"timestamp":1517017008,"execution":{"jobId":"job1","status":"IN_PROGRESS","statusDetails":{"receive":"1/64"},"queuedAt":1517016947,"startedAt":1517016947,"lastUpdatedAt":1517016947,"approximateSecondsBeforeTimedOut":539,"versionNumber":2,"executionNumber":1}}"#
    );
    let step = r#"{"status":"IN_PROGRESS","stepTimeoutInMinutes":2}"#;
    bench.accepted(&thing, "jobs/job1/update", step).await;
    bench.wait(120);
    let late = bench.rejected(&thing, "jobs/job1/update", step).await;
    assert_eq!(late["code"], "InvalidStateTransition");
    assert_eq!(late["executionState"]["status"], "TIMED_OUT");
}

#[tokio::test]
async fn what_times_out_is_told_though_nobody_asks() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.create("job1", test_document(), &[&thing]).await;
    let start = r#"{"stepTimeoutInMinutes":1}"#;
    bench.accepted(&thing, "jobs/start-next", start).await;
    bench.service.connected(&thing, [192, 0, 2, 1].into());
    let mut notices = bench.service.notices(&thing);
    bench.service.end_what_is_due().await;
    assert_eq!(told(&mut notices).await, []);
    bench.wait(60);
    bench.service.end_what_is_due().await;
    assert_eq!(told(&mut notices).await.len(), 2);
    let row = bench
        .catalog
        .database
        .execution(thing.id, "job1", None)
        .await;
    assert_eq!(row.unwrap().unwrap().status, "TIMED_OUT");
}

#[tokio::test]
async fn things_of_one_name_in_two_organizations_have_nothing_in_common() {
    let bench = Bench::new().await;
    let ours = bench.thing(bench.dev, "dev-1", None).await;
    let theirs = bench.thing(bench.foreign, "dev-1", None).await;
    bench.create("job1", test_document(), &[&ours]).await;
    let pending = bench.accepted(&theirs, "jobs/get", "").await;
    assert_eq!(pending["queuedJobs"], json!([]));
    for topic in ["jobs/job1/get", "jobs/job1/update"] {
        let payload = r#"{"status":"SUCCEEDED"}"#;
        let rejected = bench.rejected(&theirs, topic, payload).await;
        assert_eq!(rejected["code"], "ResourceNotFound");
    }
    // The same job id there is another job.
    let content = Content::Document(r#"{"operation":"theirs"}"#.to_owned());
    bench.create("job1", content, &[&theirs]).await;
    let (ours, theirs) = (
        bench.accepted(&ours, "jobs/start-next", "").await,
        bench.accepted(&theirs, "jobs/start-next", "").await,
    );
    assert_eq!(ours["execution"]["jobDocument"]["operation"], "test");
    assert_eq!(theirs["execution"]["jobDocument"]["operation"], "theirs");
}

#[tokio::test]
async fn a_killed_server_goes_on_where_it_was() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.create("job1", test_document(), &[&thing]).await;
    bench.create("job2", test_document(), &[&thing]).await;
    bench.create("job3", test_document(), &[&thing]).await;
    bench.accepted(&thing, "jobs/start-next", "").await;
    let progress = r#"{"status":"IN_PROGRESS","statusDetails":{"receive":"64/128"}}"#;
    bench.accepted(&thing, "jobs/job1/update", progress).await;
    let before = bench.accepted(&thing, "jobs/$next/get", "").await;
    // It is killed between the mark that a job is deleted and its removal.
    let id = bench.job_id("job3").await;
    let database = &bench.catalog.database;
    database
        .mark_job_deleted(id, bench.clock.now())
        .await
        .unwrap();

    let bench = bench.killed().await;
    assert_eq!(bench.accepted(&thing, "jobs/$next/get", "").await, before);
    let pending = bench.accepted(&thing, "jobs/get", "").await;
    assert_eq!(pending["queuedJobs"].as_array().unwrap().len(), 1);
    bench.service.remove_deleted_jobs().await.unwrap();
    assert!(
        bench
            .catalog
            .database
            .deleted_jobs()
            .await
            .unwrap()
            .is_empty()
    );
    // A version that was confirmed before counts now.
    let done = r#"{"status":"SUCCEEDED","expectedVersion":"3"}"#;
    bench.accepted(&thing, "jobs/job1/update", done).await;
    let bench = bench.killed().await;
    let next = bench.accepted(&thing, "jobs/start-next", "").await;
    assert_eq!(next["execution"]["jobId"], "job2");
}

#[tokio::test]
async fn a_blocked_thing_is_told_to_go() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.service.connected(&thing, [192, 0, 2, 1].into());
    let mut notices = bench.service.notices(&thing);
    bench.service.block(thing.id, true).await.unwrap();
    assert!(notices.recv().await.is_none());
    bench.service.block(thing.id, false).await.unwrap();
    let mut notices = bench.service.notices(&thing);
    assert_eq!(told(&mut notices).await, []);
    assert!(bench.service.is_connected(thing.id));
    bench.service.disconnected(&thing);
    assert!(!bench.service.is_connected(thing.id));
}

#[tokio::test]
async fn of_many_requests_at_once_some_are_throttled_and_none_is_lost() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.create("job1", test_document(), &[&thing]).await;
    let update = r#"{"status":"IN_PROGRESS"}"#;
    let requests = (0..100).map(|_| {
        let (service, thing) = (Arc::clone(&bench.service), Arc::clone(&thing));
        tokio::spawn(async move {
            let topic = "jobs/job1/update";
            match service.request(&thing, topic, update.as_bytes()).await {
                Reply::One(publication) => text(publication),
                other => panic!("{other:?}"),
            }
        })
    });
    let mut taken = 0;
    for request in requests.collect::<Vec<_>>() {
        let (topic, payload) = request.await.unwrap();
        if topic.ends_with("accepted") {
            taken += 1;
        } else {
            assert!(payload.contains("RequestThrottled"), "{payload}");
        }
    }
    assert!((1..100).contains(&taken), "{taken}");
    let state = bench.accepted(&thing, "jobs/$next/get", "").await;
    assert_eq!(state["execution"]["versionNumber"], 1 + taken);
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_answered_as_if_it_was() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    bench.create("job1", test_document(), &[&thing]).await;
    bench.accepted(&thing, "jobs/get", "").await;
    let mut notices = bench.service.notices(&thing);
    bench.catalog.database.close().await;
    let done = r#"{"status":"SUCCEEDED","clientToken":"c"}"#;
    for _ in 0..2 {
        let failed = bench.rejected(&thing, "jobs/job1/update", done).await;
        assert_eq!(
            (&failed["code"], &failed["clientToken"]),
            (&json!("InternalError"), &json!("c"))
        );
    }
    assert!(futures_util::FutureExt::now_or_never(notices.recv()).is_none());
    let bench = bench.killed().await;
    let next = bench.accepted(&thing, "jobs/$next/get", "").await;
    assert_eq!(next["execution"]["status"], "QUEUED");
}

#[tokio::test]
async fn a_list_of_many_jobs_names_ten() {
    let bench = Bench::new().await;
    let thing = bench.thing(bench.dev, "dev-1", None).await;
    for number in 0..12 {
        let name = format!("job{number}");
        bench.create(&name, test_document(), &[&thing]).await;
        bench.wait(1);
    }
    let notice = bench
        .service
        .notice(&thing, crate::jobs::notice::Kind::List)
        .await
        .unwrap();
    let notice: Value = serde_json::from_slice(&notice).unwrap();
    let listed = notice["jobs"]["QUEUED"].as_array().unwrap();
    assert_eq!(listed.len(), 10);
    assert_eq!(listed[9]["jobId"], "job9");
    let pending = bench.accepted(&thing, "jobs/get", "").await;
    assert_eq!(pending["queuedJobs"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn desks_of_things_that_are_gone_do_not_pile_up() {
    let bench = Bench::new().await;
    let here = bench.thing(bench.dev, "here", None).await;
    bench.service.connected(&here, [192, 0, 2, 1].into());
    for id in 1_000_000..1_005_000 {
        bench.service.desks.of(id);
    }
    assert!(
        bench.service.desks.len() <= 1024,
        "{}",
        bench.service.desks.len()
    );
    assert!(bench.service.is_connected(here.id));
}
