//! Rollouts as devices and people meet them.

mod fleet;
mod rules;

use serde_json::{Value, json};

use fleet::Fleet;

use crate::harness::send;
use crate::images::esp32;
use airlift_formats::esp::app_image::ChipId;

#[tokio::test]
async fn a_release_that_fails_is_stopped_before_it_reaches_everybody() {
    let mut fleet = Fleet::of(20).await;
    let release = fleet.publish_held("2.0.0").await;
    let rollout = fleet
        .roll_out(json!({ "release": release, "stages": ["10%", "50%"], "failure_percent": 20 }))
        .await;
    assert_eq!(rollout["status"], "running");
    assert_eq!(stages(&rollout), [2, 10, 20]);

    // The first two are well.
    let first = fleet.poll_all().await;
    assert_eq!(first.len(), 2);
    assert!(
        fleet.poll_all().await.is_empty(),
        "nobody else, and nobody twice"
    );
    fleet.confirm(&first).await;

    // Of the next eight the second one that goes back stops it: 2 of 8 are 25 %.
    let next = fleet.poll_all().await;
    assert_eq!(next.len(), 8);
    fleet.report(&next[0], "rolled-back", "not-confirmed").await;
    assert_eq!(fleet.show(1).await["status"], "running");
    fleet.report(&next[1], "rolled-back", "not-confirmed").await;
    let stopped = fleet.show(1).await;
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    assert_eq!(
        stopped["stopped_because"],
        "too many devices of stage 2 have failed"
    );
    assert_eq!(stopped["counts"]["confirmed"], 2);
    assert_eq!(stopped["counts"]["failed"], 2);
    assert!(fleet.poll_all().await.is_empty());
    let waiting = fleet.server.device("n19").await;
    assert_eq!(waiting["decision"], "rollout-waits");
}

fn stages(rollout: &Value) -> Vec<u64> {
    let stages = rollout["stages"].as_array().unwrap().iter();
    stages
        .map(|stage| stage["up_to"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_good_release_goes_through_all_stages() {
    let mut fleet = Fleet::of(20).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "stages": ["1", "50%"], "success_percent": 100 }))
        .await;
    let mut rounds = 0;
    while fleet.show(1).await["status"] != "finished" {
        let offered = fleet.poll_all().await;
        fleet.confirm(&offered).await;
        rounds += 1;
        assert!(rounds < 10, "{}", fleet.show(1).await);
    }
    let rollout = fleet.show(1).await;
    assert_eq!(rollout["counts"]["confirmed"], 20);
    assert!(fleet.poll_all().await.is_empty());
    let device = fleet.server.device("n3").await;
    assert_eq!(device["running_release"]["version"], "2.0.0");
    assert_eq!(
        device["decision"], "runs-newer",
        "its place offers 1.0.0 to everybody"
    );
}

#[tokio::test]
async fn named_devices_come_first() {
    let mut fleet = Fleet::of(6).await;
    let release = fleet.publish_held("2.0.0").await;
    let unknown = json!({ "release": release, "canaries": ["n4", "n9"] });
    let refused = fleet.server.post("/dev/rollouts", unknown).await;
    assert_eq!((refused.status, refused.code()), (400, "no-such-canary"));

    fleet
        .roll_out(json!({ "release": release, "canaries": ["n4"], "filter": "not node=n4 and not node=n5" }))
        .await;
    assert_eq!(fleet.poll_all().await, ["n4"]);
    fleet.report("n4", "confirmed", "").await;
    assert_eq!(
        fleet.poll_all().await,
        ["n0", "n1", "n2", "n3"],
        "n5 is outside"
    );
}

#[tokio::test]
async fn the_rate_and_the_window_hold() {
    let mut fleet = Fleet::of(10).await;
    let release = fleet.publish_held("2.0.0").await;
    // The test's clock stands at midnight.
    let plan = json!({ "release": release, "per_minute": 3, "window": "01:00-02:00 UTC", "filter": "key=k" });
    fleet.roll_out(plan).await;
    assert!(fleet.poll_all().await.is_empty());
    let explained = fleet.explain("n0").await;
    let says = explained["steps"][0]["says"].as_str().unwrap();
    assert!(
        says.starts_with("the window is closed until 1970-01-02T01:00"),
        "{explained}"
    );

    fleet.clock.advance(3_600_000);
    assert_eq!(fleet.poll_all().await.len(), 3);
    assert!(fleet.poll_all().await.is_empty());
    fleet.clock.advance(59_999);
    assert!(fleet.poll_all().await.is_empty());
    fleet.clock.advance(1);
    assert_eq!(fleet.poll_all().await.len(), 3);
    // When it closes, nothing begins; what has begun may be finished.
    fleet.clock.advance(3_600_000);
    assert!(fleet.poll_all().await.is_empty());
    let rest = fleet.ask("n0").header("Range", "bytes=1000-");
    let in_update = fleet.show(1).await["counts"]["offered"] == 6;
    assert!(in_update);
    let status = rest.send().await.unwrap().status();
    let is_in = fleet.devices("offered").await.contains(&"n0".to_owned());
    assert_eq!(status.as_u16(), if is_in { 206 } else { 304 });
}

#[tokio::test]
async fn a_device_that_comes_later_is_taken_in() {
    let mut fleet = Fleet::of(2).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "filter": "not tag=lab" }))
        .await;
    let offered = fleet.poll_all().await;
    fleet.confirm(&offered).await;
    assert_eq!(fleet.show(1).await["status"], "finished");

    fleet.add("late");
    assert_eq!(fleet.poll_all().await, ["late"]);
    fleet.confirm(&["late".to_owned()]).await;
    assert_eq!(fleet.show(1).await["status"], "finished");
    assert_eq!(fleet.show(1).await["counts"]["confirmed"], 3);

    // A tag takes a device out before it comes to it.
    let second = fleet.publish_held("3.0.0").await;
    let tagged = send(
        fleet
            .server
            .api("PATCH", "/dev/devices/late")
            .json(&json!({ "add_tags": ["lab"] })),
    )
    .await;
    assert_eq!(
        (tagged.status, &tagged.body["tags"]),
        (200, &json!(["lab"]))
    );
    fleet
        .roll_out(json!({ "release": second, "filter": "not tag=lab", "enrol": false }))
        .await;
    assert_eq!(fleet.poll_all().await, ["n0", "n1"]);
    fleet.add("later");
    assert_eq!(
        fleet.offered_version("later").await.as_deref(),
        Some("2.0.0"),
        "who comes later is in the rollout that takes them in, and not in the other one"
    );
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let mut fleet = Fleet::of(12).await;
    let release = fleet.publish_held("2.0.0").await;
    fleet
        .roll_out(json!({ "release": release, "stages": ["4", "8"], "per_minute": 100 }))
        .await;
    let first = fleet.poll_all().await;
    fleet.confirm(&first[..3]).await;
    assert_eq!(fleet.act(1, "pause").await.status, 200);
    let before = fleet.show(1).await;
    let devices = fleet.devices("waiting").await;
    let mut fleet = fleet.restart().await;
    assert_eq!(fleet.show(1).await, before);
    assert_eq!(fleet.devices("waiting").await, devices);
    assert!(fleet.poll_all().await.is_empty());
    let resumed = fleet.act(1, "resume").await;
    assert_eq!(
        (resumed.status, &resumed.body["status"]),
        (200, &json!("running"))
    );
    // Three of four are not 90 %.
    assert!(fleet.poll_all().await.is_empty());
    fleet.confirm(&first[3..]).await;
    let next = fleet.poll_all().await;
    assert_eq!(next.len(), 4);
    assert!(next.iter().all(|node| devices.contains(node)));
}

#[tokio::test]
async fn a_device_is_in_one_update_at_a_time() {
    let mut fleet = Fleet::of(1).await;
    let (first, second) = (
        fleet.publish_held("2.0.0").await,
        fleet.publish_held("3.0.0").await,
    );
    fleet.roll_out(json!({ "release": first })).await;
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("2.0.0"));
    fleet.roll_out(json!({ "release": second })).await;
    assert_eq!(
        fleet.offered_version("n0").await.as_deref(),
        Some("2.0.0"),
        "it is in this one"
    );
    assert!(fleet.show(2).await["counts"]["offered"] == 0);
    let explained = fleet.explain("n0").await;
    let says = explained["steps"][0]["says"].as_str().unwrap();
    assert_eq!(says, "the device is in an unfinished update of rollout 1");

    fleet
        .devices
        .insert("n0".to_owned(), esp32(ChipId::ESP32, "2.0.0", b'2'));
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("3.0.0"));
    assert_eq!(fleet.show(1).await["status"], "finished");
    assert_eq!(fleet.show(2).await["counts"]["offered"], 1);
}

#[tokio::test]
async fn without_a_rollout_everything_is_as_before() {
    let mut fleet = Fleet::of(3).await;
    let held = fleet.publish_held("2.0.0").await;
    assert!(
        fleet.poll_all().await.is_empty(),
        "nobody is offered what is held"
    );
    let open = esp32(ChipId::ESP32, "1.5.0", 15);
    fleet.server.publish("project=lotus&key=k", &open).await;
    assert_eq!(fleet.offered_version("n0").await.as_deref(), Some("1.5.0"));
    let refused = fleet
        .server
        .post("/dev/rollouts", json!({ "release": held + 1 }))
        .await;
    assert_eq!((refused.status, refused.code()), (409, "release-not-held"));
    // What is let go lies below what was published later.
    let opened = send(
        fleet
            .server
            .api("PATCH", &format!("/dev/releases/{held}"))
            .json(&json!({ "held": false })),
    )
    .await;
    assert_eq!(
        (opened.status, &opened.body["offered"]),
        (200, &json!(false))
    );
}
