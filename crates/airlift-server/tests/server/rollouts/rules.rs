//! What people do to rollouts, what is refused, and what is told of it.

use serde_json::{Value, json};

use super::fleet::Fleet;
use crate::harness::{TestServer, send};
use crate::images::{esp32, md5_hex};
use airlift_formats::esp::app_image::ChipId;

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_to_do() {
    let mut fleet = Fleet::of(1).await;
    let release = fleet.publish_held("2.0.0").await;
    for (plan, status, code, words) in [
        (json!({}), 422, "bad-json", "release"),
        (
            json!({ "release": release, "stage": "10%" }),
            422,
            "bad-json",
            "stage",
        ),
        (
            json!({ "release": release, "filter": "key=" }),
            422,
            "bad-json",
            "at character 5: expected a value",
        ),
        (
            json!({ "release": release, "window": "22:00-05:00 Berlin" }),
            422,
            "bad-json",
            "Europe/Berlin",
        ),
        (
            json!({ "release": release, "stages": ["10%", "0"] }),
            422,
            "bad-json",
            "1% to 100%",
        ),
        (
            json!({ "release": release, "stages": ["10%", "5%"] }),
            400,
            "bad-plan",
            "does not go beyond",
        ),
        (
            json!({ "release": release, "per_minute": 0 }),
            400,
            "bad-plan",
            "per_minute",
        ),
        (json!({ "release": 99 }), 404, "not-found", "99"),
        (
            json!({ "release": 1 }),
            409,
            "release-not-held",
            "hold=true",
        ),
    ] {
        let refused = fleet.server.post("/dev/rollouts", plan.clone()).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{plan}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{plan}: {detail}");
    }
    assert_eq!(
        fleet.server.get("/dev/rollouts").await.body,
        json!({ "rollouts": [] })
    );
    for path in [
        "/dev/rollouts/1",
        "/dev/rollouts/x",
        "/dev/rollouts/1/devices",
    ] {
        assert_eq!(fleet.server.get(path).await.code(), "not-found", "{path}");
    }
    fleet.roll_out(json!({ "release": release })).await;
    for (action, status, code) in [
        ("explode", 404, "not-found"),
        ("approve", 409, "rollout-status"),
        ("resume", 409, "rollout-status"),
    ] {
        let refused = fleet.act(1, action).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{action}");
    }
    assert_eq!(fleet.act(1, "abort").await.body["status"], "aborted");
    for action in ["pause", "resume", "retry"] {
        assert_eq!(
            fleet.act(1, action).await.code(),
            "rollout-status",
            "{action}"
        );
    }
}

#[tokio::test]
async fn another_organization_s_rollouts_do_not_exist() {
    let mut fleet = Fleet::of(1).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet.roll_out(json!({ "release": release })).await;
    assert_eq!(
        fleet.server.get("/foreign/rollouts/1").await.code(),
        "not-found"
    );
    let listed = fleet.server.get("/foreign/rollouts").await;
    assert_eq!(listed.body, json!({ "rollouts": [] }));
    let acted = fleet
        .server
        .post("/foreign/rollouts/1/abort", Value::Null)
        .await;
    assert_eq!(acted.code(), "not-found");
    let made = fleet
        .server
        .post("/foreign/rollouts", json!({ "release": release }))
        .await;
    assert_eq!(made.code(), "not-found");
    assert_eq!(fleet.show(1).await["status"], "running");
}

#[tokio::test]
async fn failed_devices_are_tried_again() {
    let mut fleet = Fleet::of(2).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "failure_percent": 100 }))
        .await;
    assert_eq!(fleet.poll_all().await.len(), 2);
    // By its own verdict, which is final as long as nobody says otherwise.
    assert_eq!(fleet.report("n0", "rolled-back", "self-test").await, 304);
    assert_eq!(fleet.offered_version("n0").await, None);
    let retried = fleet.act(1, "retry").await;
    assert_eq!(retried.body["counts"]["waiting"], 1, "{retried:?}");
    // It says its last report with every request.
    assert_eq!(fleet.report("n0", "rolled-back", "self-test").await, 200);
    assert_eq!(fleet.show(1).await["counts"]["offered"], 2);
    fleet.confirm(&["n0".to_owned(), "n1".to_owned()]).await;
    assert_eq!(fleet.show(1).await["status"], "finished");
}

#[tokio::test]
async fn a_device_without_a_use_for_it_is_skipped_with_the_reason() {
    let mut fleet = Fleet::of(2).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet.roll_out(json!({ "release": release })).await;
    let full = fleet.ask("n0").header("x-ESP32-free-space", "100");
    assert_eq!(full.send().await.unwrap().status(), 304);
    let devices = fleet.server.get("/dev/rollouts/1/devices").await.body["devices"].clone();
    assert_eq!(
        (&devices[0]["state"], &devices[0]["reason"]),
        (&json!("skipped"), &json!("no-space"))
    );
    assert_eq!(devices[1]["state"], "waiting");
    // With room it gets it.
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("2.0.0"));
}

#[tokio::test]
async fn withdrawing_a_release_ends_its_rollouts() {
    let mut fleet = Fleet::of(2).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet.roll_out(json!({ "release": release })).await;
    assert_eq!(fleet.poll_all().await.len(), 2);
    fleet.confirm(&["n0".to_owned()]).await;
    let withdrawn = send(
        fleet
            .server
            .api("DELETE", &format!("/dev/releases/{release}")),
    )
    .await;
    assert_eq!(withdrawn.status, 200);
    assert_eq!(fleet.show(1).await["status"], "aborted");
    // Who runs it may go back to what its place offers; the others stay where they are.
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("1.0.0"));
    assert_eq!(fleet.offered_version("n1").await, None);
}

#[tokio::test]
async fn it_starts_when_somebody_else_has_approved_and_its_time_has_come() {
    let mut fleet = Fleet::of(1).await;
    let release = fleet.publish_held("2.0.0").await;
    let plan =
        json!({ "release": release, "approval": true, "start_at": "1970-01-02T01:00:00+00:00" });
    assert_eq!(fleet.roll_out(plan).await["status"], "waiting-for-approval");
    let same = fleet.act(1, "approve").await;
    assert_eq!((same.status, same.code()), (409, "same-person"));
    let other = fleet
        .server
        .post("/dev/tokens", json!({ "label": "colleague" }))
        .await;
    let url = fleet
        .server
        .url("/api/v1/organizations/dev/rollouts/1/approve");
    let approve = fleet
        .server
        .http
        .post(url)
        .bearer_auth(other.body["token"].as_str().unwrap());
    assert_eq!(send(approve).await.body["status"], "scheduled");
    assert_eq!(fleet.offered_version("n0").await, None);
    fleet.clock.advance(3_599_999);
    assert_eq!(fleet.show(1).await["status"], "scheduled");
    fleet.clock.advance(1);
    assert_eq!(fleet.show(1).await["status"], "running");
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("2.0.0"));
}

#[tokio::test]
async fn a_silent_device_counts_as_failed() {
    let mut fleet = Fleet::of(2).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "answer_minutes": 30, "failure_count": 1 }))
        .await;
    assert_eq!(fleet.poll_all().await.len(), 2);
    fleet.clock.advance(30 * 60_000 - 1);
    assert_eq!(fleet.show(1).await["status"], "running");
    fleet.clock.advance(1);
    let stopped = fleet.show(1).await;
    assert_eq!(
        (&stopped["status"], &stopped["counts"]["timed_out"]),
        (&json!("stopped"), &json!(2))
    );
    // What it runs speaks for it, however late.
    fleet.act(1, "resume").await;
    fleet.confirm(&["n0".to_owned()]).await;
    assert_eq!(fleet.show(1).await["counts"]["confirmed"], 1);
}

#[tokio::test]
async fn an_older_version_is_rolled_out_only_if_that_is_wanted() {
    let mut fleet = Fleet::of(1).await;
    let older = fleet.publish_held("0.9.0").await;
    fleet.roll_out(json!({ "release": older })).await;
    assert_eq!(fleet.offered_version("n0").await, None);
    let devices = fleet.server.get("/dev/rollouts/1/devices").await.body["devices"].clone();
    assert_eq!(devices[0]["reason"], "runs-newer");
    let explained = fleet.explain("n0").await;
    assert_eq!(explained["decision"], "runs-newer");
    let last = explained["steps"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        last,
        json!({ "rule": "no downgrade", "verdict": "no", "says": "runs-newer: the device runs 1.0.0, the release is 0.9.0" })
    );
    fleet.act(1, "abort").await;
    fleet
        .roll_out(json!({ "release": older, "allow_downgrade": true }))
        .await;
    assert_eq!(fleet.explain("n0").await["decision"], "offered");
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("0.9.0"));
}

#[tokio::test]
async fn an_explanation_names_each_rule_and_changes_nothing() {
    let mut fleet = Fleet::of(1).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "filter": "tag=lab" }))
        .await;
    let explained = fleet.explain("n0").await;
    assert_eq!(
        (&explained["decision"], &explained["runs"]),
        (&json!("up-to-date"), &json!("1.0.0"))
    );
    let steps: Vec<_> = explained["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            (
                step["rule"].as_str().unwrap(),
                step["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("rollout 1 of release 2", "no"),
            ("place: lotus, node n0", "-"),
            ("place: all projects, node n0", "-"),
            ("place: lotus, key k", "yes"),
            ("place: all projects, key k", "-"),
            ("hardware", "yes"),
            ("digest", "no"),
        ]
    );
    assert_eq!(
        explained["steps"][0]["says"],
        "the filter does not choose the device"
    );
    send(
        fleet
            .server
            .api("PATCH", "/dev/devices/n0")
            .json(&json!({ "add_tags": ["lab"] })),
    )
    .await;
    let before = fleet.show(1).await;
    let explained = fleet.explain("n0").await;
    assert_eq!(
        explained["steps"][0]["says"],
        "the device is taken in when it asks next"
    );
    assert_eq!(fleet.show(1).await, before);
    assert_eq!(
        fleet.server.get("/dev/devices/nobody/explain").await.code(),
        "not-found"
    );
    let data = fleet
        .server
        .get("/dev/devices/n0/explain?partition=storage")
        .await
        .body;
    assert_eq!(
        (&data["wanted"], &data["decision"]),
        (&json!("storage"), &json!("no-file-system-release"))
    );
}

#[tokio::test]
async fn devices_are_found_by_filter_group_and_tag() {
    let fleet = Fleet::of(3).await;
    let patch = async |node: &str, body: Value| {
        send(
            fleet
                .server
                .api("PATCH", &format!("/dev/devices/{node}"))
                .json(&body),
        )
        .await
    };
    patch(
        "n0",
        json!({ "group": "beta", "add_tags": ["roof", "lab"] }),
    )
    .await;
    let changed = patch(
        "n1",
        json!({ "add_tags": ["lab", "lab"], "remove_tags": ["none"] }),
    )
    .await;
    assert_eq!(
        (&changed.body["tags"], &changed.body["group"]),
        (&json!(["lab"]), &Value::Null)
    );
    let list = async |filter: &str| {
        let url = fleet.server.url("/api/v1/organizations/dev/devices");
        let url = reqwest::Url::parse_with_params(&url, [("filter", filter)]).unwrap();
        send(fleet.server.http.get(url).bearer_auth(&fleet.server.admin)).await
    };
    let find = async |filter: &str| {
        let devices = list(filter).await.body["devices"].clone();
        let devices = devices.as_array().unwrap().iter();
        devices
            .map(|device| device["node"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(find("tag=lab and not group=beta").await, ["n1"]);
    assert_eq!(find("version>=1.0 and version<2").await, ["n0", "n1", "n2"]);
    assert_eq!(list("tag").await.code(), "bad-filter");
    assert_eq!(
        patch("n1", json!({ "add_tags": ["a b"] })).await.code(),
        "bad-name"
    );
    assert_eq!(
        patch("nobody", json!({ "add_tags": ["a"] })).await.code(),
        "not-found"
    );
    let many: Vec<_> = (0..17).map(|tag| format!("t{tag}")).collect();
    assert_eq!(
        patch("n2", json!({ "add_tags": many })).await.code(),
        "too-many-tags"
    );
    patch("n0", json!({ "group": "", "remove_tags": ["roof"] })).await;
    // What people say of devices is kept.
    let fleet = fleet.restart().await;
    let device = fleet.server.device("n0").await;
    assert_eq!(
        (&device["group"], &device["tags"]),
        (&Value::Null, &json!(["lab"]))
    );
}

#[tokio::test]
async fn notes_and_permission_to_go_back_can_be_changed_and_nothing_else() {
    let server = TestServer::start().await;
    let (old, new) = (
        esp32(ChipId::ESP32, "1.0.0", 1),
        esp32(ChipId::ESP32, "2.0.0", 2),
    );
    server.publish("project=lotus&key=k", &new).await;
    let published = server.publish("project=lotus&key=k", &old).await;
    let warning = published.body["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("version \"1.0.0\" is lower than \"2.0.0\""),
        "{warning}"
    );
    let md5 = md5_hex(&new);
    let runs = [("x-ESP32-sketch-md5", md5.as_str())];
    assert_eq!(server.check_in("k", &runs).await.status(), 304);
    assert_eq!(server.device("n1").await["decision"], "runs-newer");
    let patch = async |body: Value| send(server.api("PATCH", "/dev/releases/2").json(&body)).await;
    assert_eq!(patch(json!({ "version": "3" })).await.code(), "bad-json");
    assert_eq!(
        patch(json!({ "held": true })).await.code(),
        "release-not-held"
    );
    let long = "x".repeat(16 * 1024 + 1);
    assert_eq!(
        patch(json!({ "notes": long })).await.code(),
        "notes-too-long"
    );
    let changed = patch(json!({ "notes": "back to the old one", "allow_downgrade": true })).await;
    assert_eq!(changed.body["notes"], "back to the old one");
    assert_eq!(server.check_in("k", &runs).await.status(), 200);
    assert_eq!(
        patch(json!({ "notes": "" })).await.body["notes"],
        Value::Null
    );
    assert_eq!(
        server.get("/dev/releases/2").await.body["allow_downgrade"],
        true
    );
}

#[tokio::test]
async fn without_a_database_nothing_is_offered_and_the_rest_goes_on() {
    let mut fleet = Fleet::of(4).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "stages": ["1"] }))
        .await;
    crate::no_io::destroy_database(&fleet.server);
    for _ in 0..3 {
        for node in ["n0", "n1", "n2", "n3"] {
            assert_eq!(
                fleet.ask(node).send().await.unwrap().status(),
                304,
                "{node}"
            );
        }
    }
}
