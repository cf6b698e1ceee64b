//! The commands of the README, in their order.

use serde_json::Value;

use crate::harness::{Field, PLACE, Run as _, Serve, airlift, events, golden, image, show, steps};

#[test]
fn the_first_start_prints_a_token_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Serve::start(&data);
    assert!(first.token.is_some());
    let (status, _) = first.terminate();
    assert_eq!(status.code(), Some(0));
    let second = Serve::start(&data);
    assert_eq!(second.token, None);
}

#[test]
fn a_device_is_updated_from_one_real_image_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let server = Serve::start(&folder.path().join("data"));
    let flash = folder.path().join("device.flash");
    let (v1, v2) = (golden("app_esp32_v1.bin"), golden("app_esp32_v2.bin"));
    airlift(["device", "new", "--flash"])
        .arg(&flash)
        .arg("--firmware")
        .arg(&v1)
        .run()
        .good();
    let before = show(&flash);
    assert_eq!(before["boot"]["next"], "ota_0");
    assert_eq!(before["journal"], Value::Null);

    let published = airlift([
        "publish",
        "--server",
        &server.url,
        "--token",
        server.token(),
    ])
    .args(PLACE)
    .args(["--version", "2.0.0"])
    .arg(&v2)
    .run()
    .good();
    assert!(published.contains("organization dev did not exist and was created"));
    assert!(published.contains("project lotus did not exist and was created"));

    let text = airlift([
        "device",
        "run",
        "--once",
        "--server",
        &server.url,
        "--node",
        "esp32-85ea2b",
    ])
    .args(PLACE)
    .arg("--flash")
    .arg(&flash)
    .run()
    .good();
    for step in [
        "boot", "notify", "download", "verify", "install", "restart", "confirm", "report",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(step)),
            "{step} is not in:\n{text}"
        );
    }

    let after = show(&flash);
    assert_eq!(after["boot"]["next"], "ota_1");
    assert_eq!(after["boot"]["trial"], false);
    assert_eq!(after["journal"]["phase"], "confirmed");
    assert_eq!(after["journal"]["reported"], true);
    // What is in the slot is the file, byte for byte; and the old app is still whole.
    let content = std::fs::read(&flash).unwrap();
    for (slot, file) in [(0, v1), (1, v2)] {
        let image = std::fs::read(file).unwrap();
        let offset = after["slots"][slot]["offset"].as_u64().unwrap() as usize;
        assert!(
            content[offset..offset + image.len()] == image,
            "slot {slot}"
        );
    }

    // And the server knows, also after a restart.
    let (_, device) = server.http(
        "GET",
        "/api/v1/organizations/dev/devices/esp32-85ea2b",
        server.token(),
        "",
    );
    assert_eq!(device["result"]["state"], "confirmed");
    let token = server.token().to_owned();
    assert_eq!(server.terminate().0.code(), Some(0));
    let server = Serve::start(&folder.path().join("data"));
    let (_, device) = server.http(
        "GET",
        "/api/v1/organizations/dev/devices/esp32-85ea2b",
        &token,
        "",
    );
    assert_eq!(device["result"]["state"], "confirmed");
    let again = airlift([
        "device",
        "run",
        "--once",
        "--json",
        "--server",
        &server.url,
        "--node",
        "esp32-85ea2b",
    ])
    .args(PLACE)
    .arg("--flash")
    .arg(&flash)
    .run()
    .good();
    assert_eq!(steps(&events(&again)), ["booted", "notify", "up-to-date"]);
}

#[test]
fn a_device_that_does_not_exist_is_made_and_said_to_be() {
    let field = Field::new();
    let flash = field.path("new.flash");
    let run = airlift([
        "device",
        "run",
        "--once",
        "--server",
        &field.server.url,
        "--node",
        "n-1",
    ])
    .args(PLACE)
    .arg("--flash")
    .arg(&flash)
    .run();
    assert!(run.good().contains("did not exist: made a virtual device"));
    assert_eq!(show(&flash)["slots"][1]["image"]["version"], "1.1.0");
}

#[test]
fn releases_for_one_device_and_for_all_projects_reach_whom_they_are_for() {
    let field = Field::new();
    field.write("all.bin", &image("3.0.0", 50_000));
    field.write("one.bin", &image("4.0.0", 50_000));
    airlift([
        "publish",
        "--server",
        &field.server.url,
        "--token",
        &field.token,
        "--org",
        "dev",
    ])
    .args(["--all-projects", "--key", "other", "--version", "3.0.0"])
    .arg(field.path("all.bin"))
    .run()
    .good();
    field
        .publish("one.bin", "4.0.0")
        .args(["--node", "esp32-000001"])
        .run()
        .good();
    let run = |project: &str, node: &str, key: &str| {
        let flash = field.path(&format!("{node}-{key}"));
        airlift([
            "device",
            "run",
            "--once",
            "--server",
            &field.server.url,
            "--org",
            "dev",
        ])
        .args([
            "--project",
            project,
            "--node",
            node,
            "--key",
            key,
            "--flash",
        ])
        .arg(&flash)
        .run()
        .good();
        let slot = show(&flash)["slots"][1]["image"]["version"].clone();
        slot.as_str().map(str::to_owned)
    };
    assert_eq!(
        run("lotus", "esp32-000001", "sht30_d1_mini").as_deref(),
        Some("4.0.0")
    );
    assert_eq!(
        run("lotus", "esp32-000002", "sht30_d1_mini").as_deref(),
        Some("1.1.0")
    );
    assert_eq!(
        run("any", "esp32-000003", "other").as_deref(),
        Some("3.0.0")
    );
    assert_eq!(run("lotus", "esp32-000004", "unknown"), None);
}

#[test]
fn publishing_the_same_again_changes_nothing_and_says_so() {
    let field = Field::new();
    let text = field.publish("old.bin", "1.1.0").run().good();
    assert!(text.starts_with("Already published"), "{text}");
    let json = field.publish("old.bin", "1.1.0").arg("--json").run().good();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["created"], false);
    assert_eq!(json["version"], "1.1.0");
}

#[test]
fn an_app_that_fails_its_self_test_is_rolled_back_and_not_offered_again() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 60_000));
    field.publish("new.bin", "2.0.0").run().good();
    let run = field.device().arg("--fail-self-test").run();
    let seen = events(&run.stdout);
    run.refused(&["did not confirm itself", "1.1.0 runs again"]);
    assert!(steps(&seen).ends_with(&[
        "rejected",
        "restarting",
        "booted",
        "rolled-back",
        "reported"
    ]));
    field.is_at("1.1.0");
}

#[test]
fn a_power_cut_is_an_error_that_the_next_run_mends() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 200_000));
    field.publish("new.bin", "2.0.0").run().good();
    let run = field.device().args(["--power-cut-at", "123456"]).run();
    assert_eq!(steps(&events(&run.stdout)).last(), Some(&"power-cut"));
    run.refused(&["power failed", "goes on where it was"]);
    let shown = field.show();
    assert_eq!(shown["journal"]["phase"], "downloading");
    let durable = shown["journal"]["durable"].as_u64().unwrap();
    assert_eq!(durable, 123_456 / 4096 * 4096);

    let seen = events(&field.device().run().good());
    let notify = seen
        .iter()
        .find(|event| event["event"] == "notify")
        .unwrap();
    assert_eq!(notify["resume_at"], durable);
    field.is_at("2.0.0");
}

#[test]
fn a_flipped_bit_is_refused_and_the_next_check_is_good() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 60_000));
    field.publish("new.bin", "2.0.0").run().good();
    field
        .device()
        .args(["--flip-byte", "40000"])
        .run()
        .refused(&["refused (digest)", "the server was told"]);
    let device = "/api/v1/organizations/dev/devices/esp32-85ea2b";
    let (_, known) = field.server.http("GET", device, &field.token, "");
    assert_eq!(known["result"]["state"], "refused");
    assert_eq!(known["result"]["reason"], "digest");
    assert_eq!(known["version"], "1.1.0");
    field.device().run().good();
    field.is_at("2.0.0");
}

#[test]
fn what_a_flash_holds_is_shown_to_people_too() {
    let field = Field::new();
    let text = airlift(["device", "show", "--flash"])
        .arg(field.path("flash"))
        .run()
        .good();
    for words in [
        "otadata    data  ota",
        "airlift    data  undefined",
        "the next boot starts ota_1",
        "record 1  ota_1, VALID",
        "Journal  confirmed",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

#[test]
fn a_device_can_have_a_partition_table_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("table.csv");
    std::fs::write(
        &csv,
        "nvs, data, nvs, 0x9000, 0x4000\notadata, data, ota, , 0x2000\n\
         ota_0, app, ota_0, 0x10000, 1M\nota_1, app, ota_1, , 1M\nota_2, app, ota_2, , 1M\n\
         airlift, data, undefined, , 8K\n",
    )
    .unwrap();
    let flash = folder.path().join("flash");
    let new = || {
        let mut command = airlift(["device", "new", "--table"]);
        command.arg(&csv).arg("--flash").arg(&flash);
        command
    };
    new().run().good();
    assert_eq!(show(&flash)["slots"].as_array().unwrap().len(), 3);
    new().run().refused(&["there is a file already"]);
    std::fs::remove_file(&flash).unwrap();
    std::fs::write(&csv, "ota_0, app, ota_0, 0x10001, 1M\n").unwrap();
    new().run().refused(&["table.csv", "not aligned"]);
    assert!(!flash.exists());
}
