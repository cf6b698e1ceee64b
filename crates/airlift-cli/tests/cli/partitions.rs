//! Partitions and the data of an app: by a configuration file from a server, and by hand.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Ended, Field, Run as _, airlift, events, image, steps};

fn content(seed: u8, size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| seed ^ (i % 251) as u8 ^ (i / 4096) as u8)
        .collect()
}

impl Field {
    fn configured(&self, more: &str) -> Command {
        let url = &self.server.url;
        let config = format!(
            "flash = \"flash\"\nserver = \"{url}\"\norg = \"dev\"\nproject = \"lotus\"\nnode = \"esp32-85ea2b\"\nkey = \"sht30_d1_mini\"\n{more}"
        );
        self.write("device.toml", config.as_bytes());
        let mut command = airlift(["device", "run", "--once", "--json", "--config"]);
        command.arg(self.path("device.toml"));
        command
    }

    fn publish_data(&self, file: &str, partition: &str, version: &str) {
        let mut command = self.publish(file, version);
        command.args(["--partition", partition]).run().good();
    }

    fn flash_file(&self, file: &str, more: &[&str]) -> Ended {
        let mut command = airlift(["device", "flash", "--partition", "storage", "--flash"]);
        command.arg(self.path("flash")).arg(self.path(file));
        command.args(more).run()
    }

    fn state_of(&self, partition: &str) -> Value {
        let shown = self.show();
        let mut partitions = shown["partitions"].as_array().unwrap().iter();
        let found = partitions.find(|p| p["name"] == partition);
        found.expect("the partition")["state"].clone()
    }

    fn storage(&self, len: usize) -> Vec<u8> {
        let flash = std::fs::read(self.path("flash")).unwrap();
        flash[0x37_0000..][..len].to_vec()
    }
}

const STORAGE: &str = "[[partition]]\nname = \"storage\"\nscheme = \"backup\"\nused = \"64K\"\n";

#[test]
fn a_configured_partition_gets_what_is_published_for_it() {
    let field = Field::new();
    let new = content(1, 100_000);
    field.write("storage.bin", &new);
    field.publish_data("storage.bin", "storage", "3.1");
    let seen = events(&field.configured(STORAGE).run().good());
    let names = steps(&seen);
    for name in [
        "partition-notify",
        "partition-offered",
        "partition-saved",
        "partition-updated",
        "partition-reported",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let saved = seen.iter().find(|e| e["event"] == "partition-saved");
    assert_eq!(saved.unwrap()["bytes"], 65_536);
    assert_eq!(field.storage(new.len()), new);
    let state = field.state_of("storage");
    assert_eq!(
        (&state["state"], &state["last"]),
        (&"whole".into(), &"updated".into())
    );
    let device = "/api/v1/organizations/dev/devices/esp32-85ea2b";
    let (_, known) = field.server.http("GET", device, &field.token, "");
    assert!(known.to_string().contains("storage"), "{known}");
    // Nothing is sent twice.
    let seen = events(&field.configured(STORAGE).run().good());
    assert_eq!(steps(&seen).last(), Some(&"partition-up-to-date"));
    // For people.
    let mut command = airlift(["device", "run", "--once", "--config"]);
    let text = command.arg(field.path("device.toml")).run().good();
    assert!(
        text.contains("notify    storage: 304: nothing new"),
        "{text}"
    );
}

#[test]
fn flags_win_over_the_file() {
    let field = Field::new();
    let mut command = field.configured("");
    command.args(["--server", "http://127.0.0.1:1"]);
    command
        .run()
        .refused(&["cannot reach the server http://127.0.0.1:1"]);
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_before_anything_starts() {
    let field = Field::new();
    let before = std::fs::read(field.path("flash")).unwrap();
    let partition = |more: &str| format!("[[partition]]\nname = \"storage\"\n{more}");
    for (more, words) in [
        ("colour = 1", &["device.toml:7", "colour"][..]),
        ("interval = 5", &["device.toml:7", "invalid type"]),
        ("interval = \"5 eggs\"", &["interval", "30s"]),
        ("chip = \"esp99\"", &["device.toml", "chip"]),
        ("two_step = \"a/b\"", &["two_step", "1 to 16"]),
        ("x", &["device.toml:7"]),
        (
            &partition("scheme = \"direct\"\nroom_ = \"x\""),
            &["device.toml:", "room_"],
        ),
        (&partition(""), &["device.toml:", "scheme"]),
        (
            &partition("scheme = \"copy\""),
            &[
                "\"storage\"",
                "scheme",
                "\"copy\" is no scheme",
                "\"staged\"",
            ],
        ),
        (
            &partition("scheme = \"backup\"\nroom = \"ota_1\""),
            &["room", "partition:NAME"],
        ),
        (
            &partition("scheme = \"backup\"\nroom = \"partition:x\""),
            &["room", "no partition \"x\"", "storage"],
        ),
        (
            &partition("scheme = \"direct\"\nused = \"4K\""),
            &["used", "no use for it"],
        ),
        (
            &partition("scheme = \"backup\"\nused = \"4MB\""),
            &["used", "more than"],
        ),
        (
            &partition("scheme = \"backup\"\nused = \"much\""),
            &["used", "4MB"],
        ),
        (
            &partition("scheme = \"backup\"\nafter_cut = \"cry\""),
            &["after_cut", "resume"],
        ),
        (
            &partition("scheme = \"staged-boot\""),
            &["accept_brick_risk", "recovery"],
        ),
        (
            &partition("scheme = \"staged-boot\"\naccept_brick_risk = true"),
            &["scheme", "\"direct\""],
        ),
        (
            "[[partition]]\nname = \"stroage\"\nscheme = \"direct\"",
            &["no partition \"stroage\"", "it has nvs"],
        ),
        (
            "[[partition]]\nname = \"ota_1\"\nscheme = \"direct\"",
            &["ota_1", "holds an app"],
        ),
    ] {
        let message = field.configured(more).run().refused(words);
        assert!(message.contains("device.toml"), "{message}");
        assert_eq!(
            before,
            std::fs::read(field.path("flash")).unwrap(),
            "{more}"
        );
    }
    let mut missing = airlift(["device", "run", "--config"]);
    missing
        .arg(field.path("nowhere.toml"))
        .run()
        .refused(&["nowhere.toml", "cannot read"]);
    field.write("short.toml", b"flash = \"flash\"\n");
    let mut short = airlift(["device", "run", "--config"]);
    short
        .arg(field.path("short.toml"))
        .run()
        .refused(&["short.toml", "`org`", "--org"]);
    let ended = airlift(["device", "run"]).run();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

#[test]
fn a_two_step_device_fetches_app_and_data_and_goes_on_after_a_cut() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 200_000));
    field.write("model.bin", &content(9, 150_000));
    field.publish_data("model.bin", "model", "7");
    field.publish("new.bin", "2.0.0").run().good();
    let two_step = "two_step = \"model\"\n";
    field
        .configured(two_step)
        .args(["--power-cut-at", "100000"])
        .run()
        .refused(&["the power failed"]);
    let seen = events(&field.configured(two_step).run().good());
    let names = steps(&seen);
    for name in ["data-planned", "confirmed", "data-present"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let data = &field.show()["data"];
    assert_eq!(
        (&data["state"], &data["version"]),
        (&"present".into(), &"7".into())
    );
    let at = data["offset"].as_u64().unwrap() as usize;
    let flash = std::fs::read(field.path("flash")).unwrap();
    assert_eq!(flash[at..][..150_000], content(9, 150_000));

    // Other data for the same app; the power goes in the middle of them.
    field.write("model.bin", &content(10, 160_000));
    field.publish_data("model.bin", "model", "8");
    let mut cut = field.configured(two_step);
    cut.args(["--power-cut-at", "90000"])
        .run()
        .refused(&["the power failed"]);
    let data = field.show()["data"].clone();
    assert_eq!(
        (&data["state"], &data["version"]),
        (&"fetching".into(), &"8".into())
    );
    assert!(data["durable"].as_u64().unwrap() > 80_000, "{data}");
    let text = airlift(["device", "show", "--flash"])
        .arg(field.path("flash"))
        .run()
        .good();
    assert!(text.contains("Data of the app  being fetched"), "{text}");
    let seen = events(&field.configured(two_step).run().good());
    let offered = seen
        .iter()
        .find(|e| e["event"] == "partition-offered")
        .unwrap();
    assert_eq!(offered["offset"], data["durable"]);
    // A backup in the slot that holds them would cost them.
    field.write("storage.bin", &content(1, 5000));
    field
        .flash_file("storage.bin", &["--scheme", "backup"])
        .refused(&["holds the data of the app", "--room"]);
    assert_eq!(field.show()["data"]["state"], "present");
}

#[test]
fn a_partition_is_flashed_by_hand_and_survives_a_power_cut() {
    let field = Field::new();
    let (old, new) = (content(3, 500_000), content(4, 300_000));
    field.write("old.dat", &old);
    field.write("new.dat", &new);
    let text = field.flash_file("old.dat", &["--scheme", "direct"]).good();
    assert!(
        text.contains("storage holds") && text.contains("488.3 KiB"),
        "{text}"
    );
    assert_eq!(field.storage(old.len()), old);

    let backup = ["--scheme", "backup"];
    let cut = ["--scheme", "backup", "--power-cut-at-operation", "500"];
    field
        .flash_file("new.dat", &cut)
        .refused(&["the power failed", "same command again"]);
    assert_eq!(field.state_of("storage")["state"], "damaged");
    let text = airlift(["device", "show", "--flash"])
        .arg(field.path("flash"))
        .run()
        .good();
    assert!(
        text.contains("damaged: an update was interrupted"),
        "{text}"
    );
    let text = field.flash_file("new.dat", &backup).good();
    assert!(text.contains("the old content is back"), "{text}");
    assert_eq!(field.storage(new.len()), new);
    let text = field.flash_file("new.dat", &backup).good();
    assert!(text.contains("held already"), "{text}");

    let resume = ["--scheme", "backup", "--after-cut", "resume", "--json"];
    let cut = [&resume[..], &["--power-cut-at-operation", "500"]].concat();
    field
        .flash_file("old.dat", &cut)
        .refused(&["the power failed"]);
    let seen = events(&field.flash_file("old.dat", &resume).good());
    let offered = seen
        .iter()
        .find(|e| e["event"] == "partition-offered")
        .unwrap();
    assert!(offered["offset"].as_u64().unwrap() > 0, "{offered}");
    assert_eq!(field.storage(old.len()), old);
    field.is_at("1.1.0");
}

#[test]
fn what_cannot_be_flashed_is_refused_and_the_old_content_stays() {
    let field = Field::new();
    let old = content(3, 500_000);
    field.write("old.dat", &old);
    field.flash_file("old.dat", &["--scheme", "direct"]).good();
    field.write("large.dat", &content(4, 600_000));
    field.write("empty.dat", &[]);
    let refused = |file: &str, scheme: &str, words: &[&str]| {
        field.flash_file(file, &["--scheme", scheme]).refused(words);
        assert_eq!(field.storage(old.len()), old, "{file} {scheme}");
    };
    for scheme in ["direct", "backup", "staged"] {
        refused(
            "large.dat",
            scheme,
            &["storage was not updated", "too-big", "smaller", "untouched"],
        );
        refused(
            "empty.dat",
            scheme,
            &["storage was not updated", "empty", "untouched"],
        );
    }
    refused("nowhere.dat", "direct", &["nowhere.dat", "cannot read"]);
    refused(
        "old.dat",
        "staged-boot",
        &["--accept-brick-risk", "`recovery`"],
    );
    let unknown = ["--scheme", "backup", "--room", "partition:x"];
    field
        .flash_file("old.dat", &unknown)
        .refused(&["no partition \"x\""]);
    let ended = field.flash_file("old.dat", &["--scheme", "magic"]);
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn boot_loader_and_partition_table_are_checked() {
    let field = Field::new();
    let rows = "nvs, data, nvs, 0x9000, 16K\notadata, data, ota, 0xd000, 8K\n\
                ota_0, app, ota_0, 0x10000, 1M\nota_1, app, ota_1, 0x110000, 1M\n\
                storage, data, spiffs, 0x210000, 64K\nairlift, data, undefined, 0x3f0000, 16K\n";
    let table = format!(
        "boot, bootloader, primary, N/A, N/A\ntable, partition_table, primary, N/A, N/A\n{rows}"
    );
    field.write("now.csv", table.as_bytes());
    field.write(
        "new.csv",
        table.replace("0x210000, 64K", "0x210000, 128K").as_bytes(),
    );
    field.write("bad.csv", table.replace("0x3f0000", "0x3e0000").as_bytes());
    for name in ["now", "new", "bad"] {
        let mut build = airlift([
            "esp",
            "table",
            "build",
            "--primary-bootloader-offset",
            "0x1000",
        ]);
        build.arg(field.path(&format!("{name}.csv"))).arg("-o");
        build.arg(field.path(&format!("{name}.bin"))).run().good();
    }
    let mut new = airlift(["device", "new", "--table"]);
    new.arg(field.path("now.bin"))
        .arg("--flash")
        .arg(field.path("board"));
    new.run().good();
    let flash = |partition: &str, file: &str| {
        let mut command = airlift([
            "device",
            "flash",
            "--scheme",
            "staged-boot",
            "--accept-brick-risk",
        ]);
        command
            .args(["--partition", partition, "--flash"])
            .arg(field.path("board"));
        command.arg(field.path(file)).run()
    };
    flash("table", "bad.bin").refused(&[
        "table was not updated",
        "partition-table",
        "airlift",
        "untouched",
    ]);
    flash("table", "bad.csv").refused(&["partition-table", "untouched"]);
    flash("boot", "now.bin").refused(&["boot was not updated", "image-magic", "untouched"]);
    field.write("app.bin", &image("1.0.0", 9000));
    flash("boot", "app.bin").refused(&["boot was not updated", "wrong-kind", "untouched"]);
    flash("table", "new.bin").good();
    let shown = crate::harness::show(&field.path("board"));
    let mut partitions = shown["partitions"].as_array().unwrap().iter();
    let storage = partitions.find(|p| p["name"] == "storage").unwrap();
    assert_eq!(storage["size"], 128 * 1024);
}
