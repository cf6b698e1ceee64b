//! Sets of parts: made, published, installed and shown by the real binary, with the configuration and the table of the documentation.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Ended, Field, Run as _, airlift, events, image, steps};

/// The text between two fences of `docs/virtual-device.md` that has these words.
fn documented(language: &str, words: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/virtual-device.md");
    let text = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1);
    let found = blocks.find_map(|block| {
        let (block, _) = block.split_once("```")?;
        block.contains(words).then(|| block.to_owned())
    });
    found.unwrap_or_else(|| panic!("no {language} with {words} in {path}"))
}

fn noise(seed: u8, size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| seed.wrapping_mul(37) ^ (i % 251) as u8 ^ (i / 256) as u8)
        .collect()
}

/// The parts of one version.
pub(crate) struct Parts {
    app: Vec<u8>,
    ssbl: Vec<u8>,
    certificate: Vec<u8>,
    sounds: Vec<u8>,
}

pub(crate) fn parts(number: u8) -> Parts {
    Parts {
        app: image(&format!("{number}.0.0"), 50_000),
        ssbl: noise(number, 20_000),
        certificate: noise(number + 1, 235),
        sounds: noise(number + 2, 9_000),
    }
}

/// A new device with the documented table and configuration, which runs version 1.0.0.
pub(crate) fn field() -> Field {
    let field = Field::new();
    field.write("light.csv", documented("csv", "ssbl").as_bytes());
    field.write("first.bin", &image("1.0.0", 50_000));
    let mut command = airlift(["device", "new", "--flash"]);
    command.arg(field.path("light.flash"));
    command.arg("--table").arg(field.path("light.csv"));
    command.arg("--firmware").arg(field.path("first.bin"));
    command.run().good();
    field.configure("");
    field
}

impl Field {
    /// The documented configuration, and more of `[set]`.
    fn configure(&self, more: &str) {
        let config = documented("toml", "[set]");
        let here = config.replace("http://127.0.0.1:8080", &self.server.url);
        assert_ne!(config, here, "the address of the server is in it");
        let configured = here.replace("[set]\n", &format!("[set]\n{more}\n"));
        self.write("light.toml", configured.as_bytes());
    }

    /// Makes an image of these parts.
    pub(crate) fn create(&self, number: u8, parts: &Parts, more: &[&str]) {
        for (name, bytes) in [
            ("app.bin", &parts.app),
            ("ssbl.bin", &parts.ssbl),
            ("cd.der", &parts.certificate),
            ("sounds.raw", &parts.sounds),
        ] {
            self.write(name, bytes);
        }
        let number = number.to_string();
        let mut command = airlift(["image", "create", "--vendor", "0xFFF1", "-o"]);
        command
            .arg(self.path("all.ota"))
            .current_dir(self.folder.path());
        let version_string = format!("{number}.0");
        command.args(["--version", &number, "--version-string", &version_string]);
        command.args(["--app", "app.bin", "--bootloader", "ssbl.bin"]);
        command.args(["--factory-data", ",,,cd.der", "--tlv", "100:sounds.raw"]);
        let product = ["--product", "0x8001"];
        let product = if more.contains(&"--product") {
            &[][..]
        } else {
            &product
        };
        command.args(product).args(more).run().good();
    }

    pub(crate) fn publish_set(&self) -> Command {
        let mut command = airlift(["publish", "--server", &self.server.url]);
        command.args(["--org", "dev", "--project", "lotus", "--key", "light"]);
        command.env("AIRLIFT_TOKEN", &self.token);
        command.arg(self.path("all.ota"));
        command
    }

    fn run_light(&self, more: &[&str]) -> Ended {
        let mut command = airlift(["device", "run", "--once", "--json", "--config"]);
        command.arg(self.path("light.toml")).args(more).run()
    }

    fn flash_light(&self, more: &[&str]) -> Ended {
        let mut command = airlift(["device", "flash"]);
        command.arg(self.path("all.ota")).arg("--config");
        command.arg(self.path("light.toml")).args(more).run()
    }

    fn set(&self) -> Value {
        let mut command = airlift(["device", "show", "--json", "--config"]);
        let text = command.arg(self.path("light.toml")).run().good();
        let shown: Value = serde_json::from_str(&text).unwrap();
        shown["set"].clone()
    }

    /// Tag and content of each part.
    fn holds(&self) -> Vec<(u64, String)> {
        let set = self.set();
        let parts = set["parts"].as_array().unwrap().iter();
        let holds = parts.map(|part| {
            let holds = part["holds"].as_str().unwrap().to_owned();
            (part["tag"].as_u64().unwrap(), holds)
        });
        holds.collect()
    }

    /// The flash, and that of the other chip, hold these bytes.
    #[track_caller]
    pub(crate) fn has(&self, parts: &Parts) {
        let flash = std::fs::read(self.path("light.flash")).unwrap();
        let sounds = std::fs::read(self.path("sounds.bin")).unwrap();
        for (what, bytes, place) in [
            ("boot loader", &parts.ssbl, &flash[0x31_0000..0x32_0000]),
            (
                "factory data",
                &parts.certificate,
                &flash[0x32_0000..0x32_1000],
            ),
            ("app", &parts.app, &flash[0x1_0000..0x31_0000]),
            ("sounds", &parts.sounds, &sounds[..]),
        ] {
            let found = place.windows(bytes.len()).any(|window| window == bytes);
            assert!(found, "the {what}");
        }
    }

    fn known(&self) -> Value {
        let device = "/api/v1/organizations/dev/devices/esp32-1a2b3c";
        let (_, known) = self.server.http("GET", device, &self.token, "");
        let places = known["partitions"].as_array().unwrap();
        places[0].clone()
    }
}

fn everywhere(holds: &str) -> Vec<(u64, String)> {
    [100, 3, 2, 1].map(|tag| (tag, holds.to_owned())).into()
}

#[test]
fn an_image_is_made_published_installed_and_shown() {
    let field = field();
    let new = parts(2);
    field.create(2, &new, &[]);
    field.publish_set().run().good();
    let seen = events(&field.run_light(&[]).good());
    let names = steps(&seen);
    for name in [
        "set-part-staged",
        "set-applied",
        "confirmed",
        "set-done",
        "partition-reported",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    field.has(&new);
    assert_eq!(field.holds(), everywhere("new"));
    let set = field.set();
    assert_eq!(
        (&set["state"], &set["reported"]),
        (&"done".into(), &true.into())
    );
    assert_eq!(
        (&set["software_version"], &set["version"]),
        (&2.into(), &"2.0".into())
    );
    let known = field.known();
    assert_eq!(known["name"], "matter-ota");
    assert_eq!(known["result"]["state"], "confirmed");
    assert_eq!(known["sha256"], known["result"]["sha256"]);
    // Nothing is sent twice.
    let seen = events(&field.run_light(&[]).good());
    assert_eq!(steps(&seen).last(), Some(&"partition-up-to-date"));
    // For people; without the configuration, what it knows.
    let mut command = airlift(["device", "show", "--flash"]);
    let text = command.arg(field.path("light.flash")).run().good();
    for words in [
        "Set  all parts are in place",
        "100  custom        custom          new",
        "partition ssbl",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

#[test]
fn a_power_cut_while_parts_are_applied_is_rolled_forward_by_the_next_run() {
    let field = field();
    let new = parts(2);
    field.create(2, &new, &[]);
    field.publish_set().run().good();
    let mut applying = 0;
    for at in (200..300).step_by(9) {
        let fresh = std::fs::read(field.path("light.flash")).unwrap();
        let _ = std::fs::remove_file(field.path("sounds.bin"));
        let cut = at.to_string();
        let ended = field.run_light(&["--power-cut-at-operation", &cut]);
        if ended.status.success() {
            break;
        }
        ended.refused(&["the power failed; run this again"]);
        let before = field.set();
        let seen = events(&field.run_light(&[]).good());
        if before["state"] == "applying" {
            applying += 1;
            let names = steps(&seen);
            assert!(names.contains(&"set-recovered"), "cut at {at}: {names:?}");
            assert!(
                !names.contains(&"partition-offered"),
                "cut at {at}: fetched again"
            );
        }
        if before["state"] == "on-trial" {
            // Its one boot was cut short, and the server has offered it often enough; or it had found itself good by then.
            let held = field.holds();
            let whole = ["old", "new"].map(everywhere).contains(&held);
            assert!(whole, "cut at {at}: {held:?}");
            break;
        }
        field.has(&new);
        assert_eq!(field.holds(), everywhere("new"), "cut at {at}");
        // As it left the factory.
        std::fs::write(field.path("light.flash"), fresh).unwrap();
    }
    assert!(applying > 1, "{applying} cuts while parts were applied");
}

#[test]
fn an_app_that_fails_its_test_takes_all_parts_back() {
    let field = field();
    let (new, broken) = (parts(2), parts(3));
    field.create(2, &new, &[]);
    field.publish_set().run().good();
    field.run_light(&[]).good();
    field.create(3, &broken, &[]);
    field.publish_set().run().good();
    let ended = field.run_light(&["--fail-self-test"]);
    ended.refused(&["the new image did not confirm itself; version 2.0.0 runs again"]);
    field.has(&new);
    assert_eq!(field.holds(), everywhere("old"));
    let set = field.set();
    assert_eq!(
        (&set["state"], &set["failed_tag"]),
        (&"undone".into(), &0.into())
    );
    assert_eq!(set["software_version"], 2);
    let result = field.known()["result"].clone();
    assert_eq!(
        (&result["state"], &result["reason"]),
        (&"rolled-back".into(), &"self-test".into())
    );
}

#[test]
fn by_hand_it_is_all_or_nothing_as_well() {
    let field = field();
    let new = parts(2);
    field.create(2, &new, &[]);
    let ended = field.flash_light(&["--power-cut-at-operation", "100"]);
    ended.refused(&["the power failed; run the same command again"]);
    let text = field.flash_light(&[]).good();
    assert!(
        text.contains("all parts of 2.0 (software version 2) are in place"),
        "{text}"
    );
    assert!(
        text.contains("100  custom        external sounds.bin  new"),
        "{text}"
    );
    field.has(&new);
    // It is there already.
    field.flash_light(&[]).good();
    field.create(3, &parts(3), &[]);
    let ended = field.flash_light(&["--fail-self-test", "--json"]);
    ended.refused(&["all.ota did not stay: every part is what it was before"]);
    field.has(&new);
    // The server hears of what it has not seen.
    let _ = field.run_light(&[]);
    assert_eq!(field.known()["result"]["state"], "rolled-back");
}

#[test]
fn images_that_are_not_for_it_are_refused_in_one_line() {
    let field = field();
    field.create(2, &parts(2), &["--product", "0x8002"]);
    field.flash_light(&[]).refused(&[
        "all.ota was not installed",
        "for another product",
        "nothing in use was touched",
    ]);
    field.create(1, &parts(2), &[]);
    field
        .flash_light(&[])
        .refused(&["version is not higher", "(downgrade)"]);
    field.create(2, &parts(2), &["--tlv", "101:cd.der"]);
    field
        .flash_light(&[])
        .refused(&["tag 101", "payload offset", "no processor", "(unknown-tag)"]);
    let mut large = parts(2);
    large.sounds = noise(1, 40_000);
    field.create(2, &large, &[]);
    field.flash_light(&[]).refused(&["tag 100", "(vetoed)"]);
    let bytes = std::fs::read(field.path("all.ota")).unwrap();
    field.write("all.ota", &bytes[..bytes.len() / 2]);
    field
        .flash_light(&[])
        .refused(&["all.ota was not installed"]);
    field.write("all.ota", b"no image");
    field
        .flash_light(&[])
        .refused(&["all.ota was not installed"]);
    // The server is told why, and where.
    field.create(2, &large, &[]);
    field.publish_set().run().good();
    field
        .run_light(&[])
        .refused(&["an image was refused (vetoed)"]);
    let result = field.known()["result"].clone();
    assert_eq!(result["state"], "refused");
    let reason = result["reason"].as_str().unwrap();
    assert!(reason.starts_with("vetoed/tag:100/offset:"), "{reason}");
}

#[test]
fn an_image_for_another_product_is_not_published_without_force() {
    let field = field();
    field.create(2, &parts(2), &[]);
    field.publish_set().run().good();
    field.create(3, &parts(3), &["--product", "0x8002"]);
    field
        .publish_set()
        .run()
        .refused(&["vendor 0xfff1, product 0x8001", "force"]);
    field.publish_set().arg("--force").run().good();
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_before_anything_starts() {
    let field = field();
    let before = std::fs::read(field.path("light.flash")).unwrap();
    for (more, words) in [
        ("colour = 1", &["light.toml", "colour"][..]),
        ("policy = \"most\"", &["set: policy", "all-or-nothing"]),
        ("unknown_tags = \"eat\"", &["set: unknown_tags", "skip"]),
        ("notes = \"keys\"", &["set: notes", "8 KiB"]),
        ("spare = \"attic\"", &["set: ", "\"attic\"", "make one"]),
    ] {
        field.configure(more);
        field.run_light(&[]).refused(words);
    }
    let config = documented("toml", "[set]").replace("http://127.0.0.1:8080", &field.server.url);
    for (from, to, words) in [
        (
            "app = true",
            "app = true\nsize = 1",
            &["tag 1: size", "no use for it"][..],
        ),
        ("app = true", "", &["tag 1: app", "partition = \"NAME\""]),
        (
            "\"ssbl\"",
            "\"storage\"",
            &["tag 2", "no partition \"storage\""],
        ),
        (
            "\"ssbl\"",
            "\"ssbl\"\nroom = \"spare\"",
            &["tag 2: room", "partition:NAME"],
        ),
        ("tag = 1\n", "tag = 2\n", &["tag 2: tag", "twice"]),
        ("\"32K\"", "\"much\"", &["tag 100: size"]),
        (
            "\"32K\"",
            "\"32K\"\ndescriptor = 133",
            &["tag 100: descriptor"],
        ),
    ] {
        let wrong = config.replacen(from, to, 1);
        assert_ne!(wrong, config);
        field.write("light.toml", wrong.as_bytes());
        field.run_light(&[]).refused(words);
    }
    assert_eq!(std::fs::read(field.path("light.flash")).unwrap(), before);
    assert!(!field.path("sounds.bin").exists());
    // Without [set], there is no place for parts.
    field.write("light.toml", b"flash = \"light.flash\"\n");
    field.create(2, &parts(2), &[]);
    field.flash_light(&[]).refused(&["there is no [set]"]);
}
