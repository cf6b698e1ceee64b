//! Jobs and things over HTTP: as people make them, and as things do them (the data plane of AWS IoT Jobs).

use airlift_formats::esp::app_image::ChipId;
use airlift_server::Parts;
use serde_json::{Value, json};

use crate::harness::{Answer, TestClock, TestServer, golden, send};
use crate::images::{esp32, sha256_hex};
use crate::publishing::files_below;

/// A signature in its form, of no key in particular.
const SIGNATURE: &str = "MAYCAQECAQE=";

impl TestServer {
    async fn thing(&self, name: &str, key: Option<&str>) {
        let thing = json!({ "name": name, "project": "lotus", "key": key });
        let made = self.post("/dev/things", thing).await;
        assert_eq!(made.status, 201, "{made:?}");
    }

    /// Uploads a file and returns how a job names it.
    async fn upload(&self, path: &str, bytes: &[u8]) -> Value {
        let sent = send(self.api("POST", "/dev/files").body(bytes.to_vec())).await;
        assert_eq!(sent.status, 201, "{sent:?}");
        assert_eq!(
            sent.body,
            json!({ "sha256": sha256_hex(bytes), "size": bytes.len() })
        );
        json!({ "sha256": sha256_hex(bytes), "path": path })
    }

    /// A job with a document for `dev-1`.
    async fn job(&self, id: &str) {
        let job = json!({ "job_id": id, "things": ["dev-1"], "document": { "operation": "test" } });
        let made = self.post("/dev/jobs", job).await;
        assert_eq!(made.status, 201, "{made:?}");
    }

    /// A request of a thing.
    async fn data_plane(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let url = self.url(&format!("/things/{path}"));
        let request = self.http.request(method.parse().unwrap(), url);
        send(request.bearer_auth(&self.admin).body(body.to_vec())).await
    }
}

#[tokio::test]
async fn a_job_goes_from_its_making_to_its_end() {
    let clock = TestClock::at(1_517_016_947_500);
    let mut parts = Parts::default();
    parts.clock = clock.clone();
    let server = TestServer::start_with(|_| {}, parts).await;
    server.thing("dev-1", None).await;
    server.thing("dev-2", None).await;
    let job = json!({ "job_id": "reboot-1", "things": ["dev-2", "dev-1", "dev-2"], "document": { "operation": "reboot" },
        "description": "after the fair", "timeout_minutes": 10, "retries": { "failed": 1 } });
    let made = server.post("/dev/jobs", job).await;
    let shown = json!({
        "job_id": "reboot-1", "description": "after the fair", "status": "IN_PROGRESS", "kind": "document", "release": null,
        "automatic": false, "created_at": "2018-01-27T01:35:47.500Z", "created_by": 1, "canceled_at": null,
        "cancel_reason": null, "cancel_comment": null, "things": { "QUEUED": 2 }, "stream": null, "files": [],
        "timeout_minutes": 10, "retries": { "failed": 1, "timed_out": 0 },
    });
    assert_eq!((made.status, &made.body), (201, &shown));
    assert_eq!(server.get("/dev/jobs/reboot-1").await.body, shown);
    let document = server.get("/dev/jobs/reboot-1/document").await;
    assert_eq!(document.content_type, "application/json");
    assert_eq!(document.body, json!({ "operation": "reboot" }));

    let pending = server.data_plane("GET", "dev-1/jobs", b"").await;
    let summary = json!({ "jobId": "reboot-1", "queuedAt": 1_517_016_947, "lastUpdatedAt": 1_517_016_947,
        "versionNumber": 1, "executionNumber": 1 });
    assert_eq!(
        pending.body,
        json!({ "inProgressJobs": [], "queuedJobs": [summary] })
    );
    clock.advance(60_000);
    let details = br#"{"statusDetails":{"progress":"0%"},"stepTimeoutInMinutes":5}"#;
    let started = server.data_plane("PUT", "dev-1/jobs/$next", details).await;
    let execution = json!({
        "jobId": "reboot-1", "thingName": "dev-1", "status": "IN_PROGRESS", "statusDetails": { "progress": "0%" },
        "queuedAt": 1_517_016_947, "startedAt": 1_517_017_007, "lastUpdatedAt": 1_517_017_007,
        "approximateSecondsBeforeTimedOut": 300, "versionNumber": 2, "executionNumber": 1,
        "jobDocument": "{\"operation\":\"reboot\"}",
    });
    assert_eq!(started.body, json!({ "execution": execution }));
    for path in [
        "dev-1/jobs/$next",
        "dev-1/jobs/%24next",
        "dev-1/jobs/reboot-1?executionNumber=1",
    ] {
        let described = server.data_plane("GET", path, b"").await;
        assert_eq!(described.body, json!({ "execution": execution }), "{path}");
    }
    let without = server
        .data_plane("GET", "dev-1/jobs/reboot-1?includeJobDocument=false", b"")
        .await;
    assert_eq!(without.body["execution"].get("jobDocument"), None);

    let wanted = br#"{"status":"FAILED","expectedVersion":"2","includeJobExecutionState":true,"includeJobDocument":true}"#;
    let failed = server
        .data_plane("POST", "dev-1/jobs/reboot-1", wanted)
        .await;
    assert_eq!(
        failed.body,
        json!({ "executionState": { "status": "FAILED", "statusDetails": { "progress": "0%" }, "versionNumber": 3 },
            "jobDocument": "{\"operation\":\"reboot\"}" })
    );
    // It is tried once more, and then left.
    let again = server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    assert_eq!(again.body["execution"]["executionNumber"], 2);
    server
        .data_plane("POST", "dev-1/jobs/reboot-1", br#"{"status":"FAILED"}"#)
        .await;
    let none = server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    assert_eq!((none.status, none.body), (200, json!({})));

    let executions = server.get("/dev/jobs/reboot-1/executions").await.body;
    assert_eq!(
        executions["executions"][0],
        json!({ "job_id": "reboot-1", "thing": "dev-1", "execution_number": 2, "status": "FAILED", "version_number": 3,
            "status_details": null, "queued_at": "2018-01-27T01:36:47.500Z", "started_at": "2018-01-27T01:36:47.500Z",
            "last_updated_at": "2018-01-27T01:36:47.500Z", "times_out_at": null })
    );
    assert_eq!(executions["executions"][1]["thing"], "dev-2");
    let behind = server
        .get("/dev/jobs/reboot-1/executions?after=dev-1&limit=1")
        .await
        .body;
    assert_eq!(behind["executions"][0]["thing"], "dev-2");
    let thing = server.get("/dev/things/dev-1").await.body;
    assert_eq!(thing["executions"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&thing["connected"], &thing["blocked_at"]),
        (&json!(false), &Value::Null)
    );

    server
        .data_plane("POST", "dev-2/jobs/reboot-1", br#"{"status":"SUCCEEDED"}"#)
        .await;
    let done = server.get("/dev/jobs").await.body;
    assert_eq!(done["jobs"][0]["status"], "COMPLETED");
    assert_eq!(
        done["jobs"][0]["things"],
        json!({ "FAILED": 1, "SUCCEEDED": 1 })
    );
}

#[tokio::test]
async fn requests_of_the_reference_library_are_understood() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    let request = |name: &str| golden(&format!("aws/requests/{name}"));
    for (name, version, status, code) in [
        ("update_in_progress.json", 1, 200, ""),
        ("update_self_test_ready.json", 2, 200, ""),
        // That would be a status of the service.
        ("update_queued.json", 1, 409, "invalid-state-transition"),
        // The library lets through what no service takes.
        ("update_details_array.json", 1, 400, "invalid-request"),
        ("update_succeeded_v2.json", 1, 409, "version-mismatch"),
        ("update_succeeded_v2.json", 2, 200, ""),
        ("update_succeeded.json", 1, 200, ""),
        ("update_failed.json", 1, 200, ""),
        ("update_failed_details.json", 1, 200, ""),
    ] {
        server.job("job1").await;
        if version == 2 {
            server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
        }
        let answer = server
            .data_plane("POST", "dev-1/jobs/job1", &request(name))
            .await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.code(), code, "{name}");
        }
        let deleted = send(server.api("DELETE", "/dev/jobs/job1?force=true")).await;
        assert_eq!(deleted.status, 204, "{name}");
    }
    // A token that the library does not escape is no JSON.
    let quoted = request("start_next_token_quote.json");
    let answer = server.data_plane("PUT", "dev-1/jobs/$next", &quoted).await;
    assert_eq!((answer.status, answer.code()), (400, "bad-json"));
}

#[tokio::test]
async fn files_of_a_job_are_named_in_its_document() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    let mut first = server.upload("/ota/app", &[1; 5000]).await;
    first["signature"] = json!(SIGNATURE);
    first["certificate"] = json!("sss:00213243");
    let mut second = server.upload("model.bin", &[2; 100]).await;
    second["file_type"] = json!(200);
    let job = json!({ "things": ["dev-1"], "files": [first, second] });
    let made = server.post("/dev/jobs", job).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.body["job_id"].as_str().unwrap();
    assert!(id.starts_with("AFR_OTA-") && made.body["kind"] == "files");
    let stream = made.body["stream"].as_str().unwrap();
    let document = server.get(&format!("/dev/jobs/{id}/document")).await.body;
    assert_eq!(
        document,
        json!({ "afr_ota": { "protocols": ["MQTT"], "streamname": stream, "files": [
            { "filepath": "/ota/app", "filesize": 5000, "fileid": 0, "certfile": "sss:00213243", "update_data_url": null,
              "auth_scheme": null, "sig-sha256-ecdsa": SIGNATURE },
            { "filepath": "model.bin", "filesize": 100, "fileid": 1, "certfile": "code-sign.pem", "fileType": 200,
              "update_data_url": null, "auth_scheme": null, "sig-sha256-ecdsa": "" },
        ] } })
    );
    assert_eq!(
        made.body["files"][1],
        json!({ "file_id": 1, "path": "model.bin", "size": 100, "sha256": sha256_hex(&[2; 100]) })
    );
}

#[tokio::test]
async fn a_release_carries_its_signature_into_the_job() {
    let server = TestServer::start().await;
    server.thing("dev-1", Some("k")).await;
    let image = esp32(ChipId::ESP32, "1", 1);
    let bad = server
        .publish("project=lotus&key=k&signature=MEQ%3D", &image)
        .await;
    assert_eq!((bad.status, bad.code()), (400, "bad-signature"));
    let unsigned = server.publish("project=lotus&key=k", &image).await.body;
    assert_eq!(unsigned["signature"], Value::Null);
    let place = format!(
        "project=lotus&key=k&signature={}",
        SIGNATURE.replace('=', "%3D")
    );
    let signed = server.publish(&place, &image).await;
    assert_eq!(
        (signed.status, &signed.body["signature"]),
        (201, &json!(SIGNATURE))
    );
    // The same again, with the signature or without a word about it: nothing new.
    for place in [&place, "project=lotus&key=k"] {
        let again = server.publish(place, &image).await;
        assert_eq!((again.status, &again.body["id"]), (200, &signed.body["id"]));
    }
    let job = json!({ "job_id": "up", "things": ["dev-1"], "release": signed.body["id"] });
    let made = server.post("/dev/jobs", job).await;
    assert_eq!(
        (made.status, &made.body["release"]),
        (201, &signed.body["id"]),
        "{made:?}"
    );
    let document = server.get("/dev/jobs/up/document").await.body;
    assert_eq!(
        document["afr_ota"]["files"][0]["sig-sha256-ecdsa"],
        SIGNATURE
    );
    assert_eq!(document["afr_ota"]["files"][0]["filesize"], image.len());

    server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    let done = br#"{"status":"SUCCEEDED","expectedVersion":2}"#;
    assert_eq!(
        server
            .data_plane("POST", "dev-1/jobs/up", done)
            .await
            .status,
        200
    );
    let device = server.device("dev-1").await;
    assert_eq!(device["running_release"]["id"], signed.body["id"]);
    assert_eq!(
        (&device["result"]["state"], &device["version"]),
        (&json!("confirmed"), &json!("1"))
    );
    assert_eq!(
        (&device["project"], &device["key"]),
        (&json!("lotus"), &json!("k"))
    );
    assert_eq!(
        (&device["check_ins"], &device["address"]),
        (&json!(2), &Value::Null)
    );
    let events: Vec<_> = device["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["event"])
        .collect();
    assert_eq!(events, ["confirmed", "running"]);
    // It runs what its place offers: over either protocol there is nothing to do.
    let next = server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    assert_eq!(next.body, json!({}));
}

#[tokio::test]
async fn a_release_is_offered_by_a_job_and_its_withdrawal_ends_that() {
    let server = TestServer::start().await;
    server.thing("dev-1", Some("k")).await;
    let release = server
        .publish("project=lotus&key=k", &esp32(ChipId::ESP32, "1", 1))
        .await
        .body;
    let started = server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    let job = started.body["execution"]["jobId"].as_str().unwrap();
    assert_eq!(job, format!("AFR_OTA-release-{}", release["id"]));
    let shown = server.get(&format!("/dev/jobs/{job}")).await.body;
    assert_eq!(
        (&shown["automatic"], &shown["status"]),
        (&json!(true), &json!("IN_PROGRESS"))
    );
    assert_eq!(shown["created_by"], Value::Null);
    send(server.api("DELETE", &format!("/dev/releases/{}", release["id"]))).await;
    let none = server.data_plane("GET", "dev-1/jobs", b"").await;
    assert_eq!(none.body, json!({ "inProgressJobs": [], "queuedJobs": [] }));
    let by_hand = json!({ "things": ["dev-1"], "release": release["id"] });
    let refused = server.post("/dev/jobs", by_hand).await;
    assert_eq!((refused.status, refused.code()), (409, "release-withdrawn"));
}

#[tokio::test]
async fn canceling_and_deleting_ask_for_force_where_things_are_at_work() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    server.thing("dev-2", None).await;
    let job = json!({ "job_id": "j", "things": ["dev-1", "dev-2"], "document": {} });
    server.post("/dev/jobs", job).await;
    server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    let refused = send(server.api("DELETE", "/dev/jobs/j")).await;
    assert_eq!((refused.status, refused.code()), (409, "job-in-progress"));

    let reason = json!({ "reason_code": "BAD_1", "comment": "wrong file" });
    let canceled = server.post("/dev/jobs/j/cancel", reason).await.body;
    assert_eq!(canceled["status"], "CANCELED");
    assert_eq!(canceled["cancel_reason"], "BAD_1");
    assert_eq!(
        canceled["things"],
        json!({ "CANCELED": 1, "IN_PROGRESS": 1 })
    );
    let refused = send(server.api("DELETE", "/dev/jobs/j")).await;
    assert_eq!((refused.status, refused.code()), (409, "job-in-progress"));
    let forced = server
        .post("/dev/jobs/j/cancel", json!({ "force": true }))
        .await
        .body;
    assert_eq!(forced["things"], json!({ "CANCELED": 2 }));
    assert_eq!(forced["cancel_reason"], "BAD_1", "the first word stands");
    let late = server
        .data_plane("POST", "dev-1/jobs/j", br#"{"status":"SUCCEEDED"}"#)
        .await;
    assert_eq!(
        (late.status, late.code()),
        (409, "invalid-state-transition")
    );
    assert_eq!(
        late.body["executionState"],
        json!({ "status": "CANCELED", "versionNumber": 3 })
    );
    let ended = server.data_plane("GET", "dev-1/jobs/j", b"").await;
    assert_eq!(
        (ended.status, ended.code()),
        (410, "terminal-state-reached")
    );
    assert_eq!(send(server.api("DELETE", "/dev/jobs/j")).await.status, 204);
    assert_eq!(server.get("/dev/jobs/j").await.status, 404);
    assert_eq!(
        server.get("/dev/things/dev-1").await.body["executions"],
        json!([])
    );

    // What is done cannot be canceled.
    server.job("done").await;
    server
        .data_plane("POST", "dev-1/jobs/done", br#"{"status":"SUCCEEDED"}"#)
        .await;
    let refused = server.post("/dev/jobs/done/cancel", json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "job-completed"));

    // One execution.
    server.job("one").await;
    server.data_plane("PUT", "dev-1/jobs/$next", b"").await;
    let path = "/dev/jobs/one/executions/dev-1/cancel";
    for (body, code) in [
        (json!({}), "invalid-state-transition"),
        (
            json!({ "force": true, "expected_version": 1 }),
            "version-mismatch",
        ),
        (
            json!({ "force": true, "status_details": { "a": 1 } }),
            "invalid-request",
        ),
    ] {
        assert_eq!(server.post(path, body).await.code(), code);
    }
    let details =
        json!({ "force": true, "expected_version": 2, "status_details": { "why": "asked" } });
    let canceled = server.post(path, details).await;
    assert_eq!(
        (canceled.status, &canceled.body["status"]),
        (200, &json!("CANCELED"))
    );
    assert_eq!(canceled.body["status_details"], json!({ "why": "asked" }));
    assert_eq!(
        server.get("/dev/jobs/one").await.body["status"],
        "COMPLETED"
    );
    assert_eq!(
        server
            .post("/dev/jobs/one/executions/dev-2/cancel", json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_and_leaves_nothing() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    server.job("taken").await;
    let file = server.upload("a", b"content").await;
    let with = |change: Value| {
        let mut job = json!({ "things": ["dev-1"], "document": {} });
        job.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        job
    };
    let deep = |levels: usize| {
        let text = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let large = |size: usize| json!({ "a": "x".repeat(size - 8) });
    let many: Vec<_> = (0..1001).map(|number| format!("thing-{number}")).collect();
    let without_document = |mut job: Value| {
        job.as_object_mut().unwrap().remove("document");
        job
    };
    let of_files = |files: Value| without_document(with(json!({ "files": files })));
    let changed = |name: &str, value: Value| {
        let mut file = file.clone();
        file[name] = value;
        of_files(json!([file]))
    };
    for (job, status, code) in [
        (with(json!({ "job_id": "taken" })), 409, "job-exists"),
        (with(json!({ "job_id": "" })), 400, "bad-name"),
        (with(json!({ "job_id": "a:b" })), 400, "bad-name"),
        (with(json!({ "job_id": "j".repeat(65) })), 400, "bad-name"),
        (with(json!({ "job_id": "$next" })), 400, "bad-name"),
        (
            with(json!({ "job_id": "AFR_OTA-release-1" })),
            400,
            "bad-name",
        ),
        (with(json!({ "things": [] })), 400, "bad-parameter"),
        (with(json!({ "things": many })), 400, "bad-parameter"),
        (
            with(json!({ "things": ["dev-1", "dev-9"] })),
            404,
            "not-found",
        ),
        (with(json!({ "things": ["../dev-1\n"] })), 404, "not-found"),
        (with(json!({ "project": "other" })), 404, "not-found"),
        (with(json!({ "release": 1 })), 400, "bad-parameter"),
        (without_document(with(json!({}))), 400, "bad-parameter"),
        (
            without_document(with(json!({ "release": 99 }))),
            404,
            "not-found",
        ),
        (with(json!({ "document": [1] })), 422, "document-invalid"),
        (with(json!({ "document": "{}" })), 422, "document-invalid"),
        (
            with(json!({ "document": deep(31) })),
            422,
            "document-invalid",
        ),
        (
            with(json!({ "document": large(32_769) })),
            413,
            "document-too-large",
        ),
        (
            with(json!({ "description": "d".repeat(2029) })),
            400,
            "bad-parameter",
        ),
        (with(json!({ "timeout_minutes": 0 })), 400, "bad-parameter"),
        (
            with(json!({ "timeout_minutes": 10_081 })),
            400,
            "bad-parameter",
        ),
        (
            with(json!({ "retries": { "failed": 11 } })),
            400,
            "bad-parameter",
        ),
        (with(json!({ "retries": { "always": 1 } })), 422, "bad-json"),
        (with(json!({ "colour": "red" })), 422, "bad-json"),
        (of_files(json!([])), 400, "bad-parameter"),
        (
            of_files(json!(vec![file.clone(); 11])),
            400,
            "bad-parameter",
        ),
        (changed("sha256", json!("8dff")), 400, "bad-parameter"),
        (changed("sha256", json!("0".repeat(64))), 404, "not-found"),
        (changed("path", json!("")), 400, "bad-parameter"),
        (changed("path", json!("a\"b")), 400, "bad-parameter"),
        (
            changed("certificate", json!("c".repeat(257))),
            400,
            "bad-parameter",
        ),
        (changed("file_type", json!(256)), 422, "bad-json"),
        (changed("signature", json!("MEQ=")), 400, "bad-signature"),
    ] {
        let refused = server.post("/dev/jobs", job.clone()).await;
        assert_eq!(
            (refused.status, refused.code()),
            (status, code),
            "{job:.200}: {refused:?}"
        );
    }
    let jobs = server.get("/dev/jobs").await.body;
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
    // Just what may be.
    for (id, document) in [("large", large(32_768)), ("deep", deep(30))] {
        let job = with(json!({ "job_id": id, "document": document }));
        assert_eq!(server.post("/dev/jobs", job).await.status, 201, "{id}");
        let next = server
            .data_plane("GET", &format!("dev-1/jobs/{id}"), b"")
            .await;
        let text = next.body["execution"]["jobDocument"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), document);
    }
    assert_eq!(
        server
            .post("/dev/jobs", of_files(json!([file])))
            .await
            .status,
        201
    );
    for (thing, code) in [
        (json!({ "name": "a/b", "project": "lotus" }), "bad-name"),
        (json!({ "name": "a.b", "project": "lotus" }), "bad-name"),
        (json!({ "name": "+", "project": "lotus" }), "bad-name"),
        (json!({ "name": "", "project": "lotus" }), "bad-name"),
        (
            json!({ "name": "t".repeat(129), "project": "lotus" }),
            "bad-name",
        ),
        (json!({ "name": "t", "project": "+" }), "bad-name"),
        (
            json!({ "name": "t", "project": "lotus", "key": "a/b" }),
            "bad-name",
        ),
        (
            json!({ "name": "dev-1", "project": "other" }),
            "thing-exists",
        ),
    ] {
        assert_eq!(
            server.post("/dev/things", thing.clone()).await.code(),
            code,
            "{thing}"
        );
    }
    let longest = json!({ "name": "t".repeat(128), "project": "lotus" });
    assert_eq!(server.post("/dev/things", longest).await.status, 201);
}

#[tokio::test]
async fn a_thing_gets_a_hundred_jobs_and_no_more() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    server.thing("dev-2", None).await;
    for number in 0..100 {
        server.job(&format!("job-{number}")).await;
    }
    let job = json!({ "job_id": "more", "things": ["dev-2", "dev-1"], "document": {} });
    let refused = server.post("/dev/jobs", job.clone()).await;
    assert_eq!((refused.status, refused.code()), (409, "too-many-jobs"));
    assert!(refused.body["detail"].as_str().unwrap().contains("dev-1"));
    let pending = server.data_plane("GET", "dev-2/jobs", b"").await;
    assert_eq!(pending.body["queuedJobs"], json!([]), "for all or for none");
    let pending = server.data_plane("GET", "dev-1/jobs", b"").await;
    assert_eq!(pending.body["queuedJobs"].as_array().unwrap().len(), 100);
    server.post("/dev/jobs/job-7/cancel", json!({})).await;
    assert_eq!(server.post("/dev/jobs", job).await.status, 201);

    let first = server.get("/dev/jobs?limit=2").await.body;
    let ids = |body: &Value| -> Vec<String> {
        let jobs = body["jobs"].as_array().unwrap();
        jobs.iter()
            .map(|job| job["job_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&first), ["more", "job-99"]);
    let second = server.get("/dev/jobs?limit=2&before=job-99").await.body;
    assert_eq!(ids(&second), ["job-98", "job-97"]);
    assert_eq!(server.get("/dev/jobs?before=nosuch").await.status, 404);
}

#[tokio::test]
async fn an_organization_has_nothing_to_do_with_things_jobs_and_files_of_another() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    server.job("job1").await;
    let file = server.upload("a", b"content").await;
    let foreign = server.post("/foreign/tokens", json!({})).await.body["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let as_foreign = async |method: &str, path: &str, body: &[u8]| {
        let request = server
            .http
            .request(method.parse().unwrap(), server.url(path));
        send(request.bearer_auth(&foreign).body(body.to_vec())).await
    };
    for (method, path) in [
        ("GET", "/things/dev-1/jobs"),
        ("PUT", "/things/dev-1/jobs/$next"),
        ("GET", "/things/dev-1/jobs/job1"),
        ("POST", "/things/dev-1/jobs/job1"),
        ("GET", "/things/dev-1/jobs?organization=dev"),
    ] {
        let theirs = as_foreign(method, path, b"{}").await;
        let nobodys = as_foreign(
            method,
            &path.replace("dev-1", "nosuch").replace("=dev", "=nosuch"),
            b"{}",
        )
        .await;
        assert_eq!(
            (theirs.status, theirs.code()),
            (404, "not-found"),
            "{method} {path}"
        );
        assert_eq!(theirs.body, nobodys.body, "{method} {path}");
    }
    // Its own thing of that name; a file that only the other one has uploaded is not there for it.
    server
        .post("/foreign/projects", json!({ "name": "lotus" }))
        .await;
    let thing = json!({ "name": "dev-1", "project": "lotus" });
    assert_eq!(server.post("/foreign/things", thing).await.status, 201);
    let job = json!({ "things": ["dev-1"], "files": [file] });
    let refused = server.post("/foreign/jobs", job.clone()).await;
    assert_eq!((refused.status, refused.code()), (404, "not-found"));
    assert_eq!(server.post("/dev/jobs", job).await.status, 201);
    let own = as_foreign("GET", "/things/dev-1/jobs", b"").await;
    assert_eq!(own.body["queuedJobs"], json!([]));
    // The administrator has to say now which one is meant.
    let which = server.data_plane("GET", "dev-1/jobs", b"").await;
    assert_eq!((which.status, which.code()), (400, "organization-missing"));
    let ours = server
        .data_plane("GET", "dev-1/jobs?organization=dev", b"")
        .await;
    assert_eq!(ours.body["queuedJobs"].as_array().unwrap().len(), 2);
    let none = server
        .http
        .get(server.url("/things/dev-1/jobs"))
        .send()
        .await
        .unwrap();
    assert_eq!(none.status(), 401);
}

#[tokio::test]
async fn things_are_listed_and_blocked() {
    let server = TestServer::start().await;
    for name in ["b", "a", "c"] {
        server.thing(name, Some("k")).await;
    }
    let names = async |path: &str| -> Vec<String> {
        let body = server.get(path).await.body;
        let things = body["things"].as_array().unwrap();
        things
            .iter()
            .map(|thing| thing["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("/dev/things").await, ["a", "b", "c"]);
    assert_eq!(names("/dev/things?after=a&limit=1").await, ["b"]);
    assert_eq!(
        send(server.api("POST", "/dev/things/a/block")).await.status,
        204
    );
    let thing = server.get("/dev/things/a").await.body;
    assert!(thing["blocked_at"].is_string());
    assert_eq!(
        (&thing["key"], &thing["has_password"]),
        (&json!("k"), &json!(false))
    );
    assert_eq!(
        send(server.api("DELETE", "/dev/things/a/block"))
            .await
            .status,
        204
    );
    assert_eq!(
        server.get("/dev/things/a").await.body["blocked_at"],
        Value::Null
    );
    assert_eq!(
        send(server.api("POST", "/dev/things/z/block")).await.status,
        404
    );
}

#[tokio::test]
async fn an_upload_is_there_as_a_whole_or_not_at_all() {
    let server =
        TestServer::start_with(|config| config.max_image_size = 1000, Parts::default()).await;
    for (size, status, code) in [(0, 400, "image-empty"), (1001, 413, "image-too-large")] {
        let refused = send(server.api("PUT", "/dev/files").body(vec![1; size])).await;
        assert_eq!((refused.status, refused.code()), (status, code));
    }
    // One that does not say its length, and goes on for longer than it may.
    let pieces = (0..20).map(|_| Ok::<_, std::io::Error>(vec![7_u8; 100]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let refused = send(server.api("PUT", "/dev/files").body(body)).await;
    assert_eq!((refused.status, refused.code()), (413, "image-too-large"));
    assert_eq!(files_below(&server.data.path().join("objects")).len(), 0);
    assert_eq!(files_below(&server.data.path().join("incoming")).len(), 0);
    for _ in 0..2 {
        server.upload("a", &[1; 1000]).await;
    }
    assert_eq!(files_below(&server.data.path().join("objects")).len(), 1);
}

#[tokio::test]
async fn odd_requests_of_things_are_refused() {
    let server = TestServer::start().await;
    server.thing("dev-1", None).await;
    server.job("job1").await;
    let long = format!("dev-1/jobs/{}", "j".repeat(65));
    let huge = format!(r#"{{"status":"FAILED","x":"{}"}}"#, "x".repeat(33_000));
    let larger_still = huge.repeat(2);
    for (method, path, body, status, code) in [
        ("PUT", "dev-1/jobs/job1", "{}", 405, "method-not-allowed"),
        ("DELETE", "dev-1/jobs/job1", "{}", 405, "method-not-allowed"),
        ("GET", long.as_str(), "", 400, "invalid-request"),
        ("GET", "dev-1/jobs/a%00b", "", 400, "invalid-request"),
        ("GET", "dev-1/jobs/job9", "", 404, "not-found"),
        ("GET", "dev%2F1/jobs", "", 404, "not-found"),
        (
            "GET",
            "dev-1/jobs/job1?executionNumber=x",
            "",
            400,
            "bad-parameter",
        ),
        (
            "GET",
            "dev-1/jobs/job1?executionNumber=-1",
            "",
            404,
            "not-found",
        ),
        ("POST", "dev-1/jobs/job1", "", 400, "invalid-request"),
        ("POST", "dev-1/jobs/job1", "{", 400, "bad-json"),
        (
            "POST",
            "dev-1/jobs/$next",
            r#"{"status":"FAILED"}"#,
            400,
            "invalid-request",
        ),
        (
            "POST",
            "dev-1/jobs/job1",
            huge.as_str(),
            400,
            "invalid-request",
        ),
        (
            "POST",
            "dev-1/jobs/job1",
            r#"{"status":"FAILED","expectedVersion":2}"#,
            409,
            "version-mismatch",
        ),
        (
            "PUT",
            "dev-1/jobs/$next",
            larger_still.as_str(),
            413,
            "bad-body",
        ),
    ] {
        let answer = server.data_plane(method, path, body.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{method} {path:.80} {body:.80}"
        );
    }
    let unchanged = server.data_plane("GET", "dev-1/jobs/job1", b"").await;
    assert_eq!(unchanged.body["execution"]["versionNumber"], 1);
}
