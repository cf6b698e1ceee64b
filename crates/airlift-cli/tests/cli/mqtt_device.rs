//! Jobs from end to end: a server, `airlift job`, and virtual devices over real MQTT.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Run as _, Serve, airlift, events, image};
use crate::lossy::Weather;
use crate::works::{OPEN, Works, find, succeeded};

#[test]
fn jobs_are_done_in_either_encoding_with_any_window_and_block_size() {
    let things = ["a", "b", "c", "d", "e"];
    let works = Works::new(&things);
    // A multiple of every block size below 64 KiB, appended digest and all.
    let app = image("2.0.0", 131_072 - 24 - 8 - 256 - 16 - 32);
    works.write("app.bin", &app);
    works.make("all", &things, &["app.bin"]);
    let ways: [&[&str]; 5] = [
        &[],
        &["--json-blocks", "--window", "1"],
        &["--window", "16", "--block-size", "1024"],
        &["--like-c-library", "--block-size", "256"],
        &["--json-blocks", "--block-size", "131072"],
    ];
    for (thing, way) in things.into_iter().zip(ways) {
        succeeded(works.device(thing, way).run());
        let (status, details) = works.execution("all", thing);
        assert_eq!(status, "SUCCEEDED", "{thing}");
        assert_eq!(details["reason"], "accepted  v2.0.0", "{thing}");
        works.runs(thing, "2.0.0");
    }
    assert_eq!(works.shown("all")["status"], "COMPLETED");
}

#[test]
fn a_bad_network_costs_time_and_nothing_else() {
    let works = Works::new(&["a", "b"]);
    works.write("app.bin", &image("2.0.0", 150_000));
    works.make("job", &["a", "b"], &["app.bin"]);
    let weather = Weather {
        seed: 7,
        lost: 12,
        doubled: 10,
        late: 15,
        ..Weather::FINE
    };
    let network = works.network(weather);
    for (thing, way) in [("a", "--window=8"), ("b", "--json-blocks")] {
        succeeded(
            works
                .device_at(&network.url(), thing, &[way, "--block-size", "1024"])
                .run(),
        );
        works.runs(thing, "2.0.0");
    }
    let counts = network.counts();
    assert!(counts.lost() > 0 && counts.doubled() > 0 && counts.late() > 0);
}

#[test]
fn a_power_cut_is_made_good_without_fetching_blocks_again() {
    let works = Works::new(&["a"]);
    let app = image("2.0.0", 200_000);
    works.write("app.bin", &app);
    works.make("job", &["a"], &["app.bin"]);
    let network = works.network(Weather::FINE);
    let cut = works
        .device_at(&network.url(), "a", &["--power-cut-at", "150000"])
        .run();
    cut.refused(&["power"]);
    let before = network.counts().down();
    assert_eq!(works.execution("job", "a").0, "IN_PROGRESS");
    let all = succeeded(works.device_at(&network.url(), "a", &[]).run());
    let offset = find(&all, "offered").expect("a download")["offset"]
        .as_u64()
        .expect("an offset");
    assert!((140_000..=150_000).contains(&offset), "{offset}");
    let after = network.counts().down() - before;
    let rest = app.len() as u64 - offset;
    assert!(after < rest + 12_000, "{after} bytes for the last {rest}");
    works.runs("a", "2.0.0");
}

#[test]
fn a_server_that_is_killed_in_mid_download_goes_on_where_it_was() {
    let mut works = Works::new(&["a"]);
    works.write("app.bin", &image("2.0.0", 200_000));
    works.make("job", &["a"], &["app.bin"]);
    let weather = Weather {
        breaks_at: Some(120_000),
        ..Weather::FINE
    };
    let network = works.network(weather);
    let broken = works.device_at(&network.url(), "a", &[]).run();
    broken.refused(&["connection"]);
    works.server.kill();
    works.server = Serve::start_with(&works.path("data"), &OPEN);
    assert_eq!(works.execution("job", "a").0, "IN_PROGRESS");
    let all = succeeded(works.device("a", &[]).run());
    let offset = &find(&all, "offered").expect("a download")["offset"];
    assert!(offset.as_u64().expect("a number") > 60_000, "{offset}");
    works.runs("a", "2.0.0");
}

#[test]
fn what_is_no_good_is_refused_and_the_server_hears_why() {
    let works = Works::new(&["foreign", "broken", "large", "byte", "sick"]);
    let app = image("2.0.0", 60_000);
    works.write("app.bin", &app);
    let run = |thing: &str, more: &[&str]| -> (String, Value) {
        let ended = works.device(thing, more).run();
        ended.refused(&["the server was told"]);
        works.runs(thing, "1.0.0");
        works.execution(thing, thing)
    };

    // Signed with another key than the one that is trusted.
    let other = works.path("other.pem");
    let openssl = Command::new("openssl")
        .args([
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
        ])
        .arg(&other)
        .output()
        .expect("openssl");
    assert!(openssl.status.success(), "{openssl:?}");
    let other = other.to_str().expect("a path");
    works
        .job(&["create", "--job-id", "foreign", "--thing", "foreign"])
        .args(["--file", "app.bin", "--sign-key", other])
        .run()
        .good();
    let (status, details) = run("foreign", &[]);
    assert_eq!(
        (status.as_str(), &details["cause"]),
        ("FAILED", &"signature".into())
    );

    // A bit flips on the way.
    works.make("broken", &["broken"], &["app.bin"]);
    let (status, details) = run("broken", &["--flip-byte", "30000"]);
    assert_eq!(status, "FAILED");
    let cause = details["cause"].as_str().expect("a cause");
    assert!(
        cause.starts_with("image-") || cause == "signature",
        "{cause}"
    );

    // Larger than a slot.
    works.write("large.bin", &image("2.0.0", 3 << 20));
    works.make("large", &["large"], &["large.bin"]);
    let (status, details) = run("large", &[]);
    assert_eq!(
        (status.as_str(), &details["cause"]),
        ("FAILED", &"too-big".into())
    );

    // One byte is no app.
    works.write("byte.bin", &[0xE9]);
    works.make("byte", &["byte"], &["byte.bin"]);
    let (status, details) = run("byte", &[]);
    assert_eq!(status, "FAILED", "{details}");

    // It starts, and finds that it does not work.
    works.make("sick", &["sick"], &["app.bin"]);
    let (status, details) = run("sick", &["--fail-self-test"]);
    assert_eq!(
        (status.as_str(), &details["cause"]),
        ("FAILED", &"rolled-back".into())
    );
}

/// A device with two more partitions, and room for them.
const TABLE: &str = "\
nvs,      data, nvs,       0x9000,   0x4000
otadata,  data, ota,       0xd000,   0x2000
ota_0,    app,  ota_0,     0x10000,  0x180000
ota_1,    app,  ota_1,     0x190000, 0x180000
ssbl,     data, 0x40,      0x310000, 0x10000
keys,     data, 0x41,      0x320000, 0x1000
spare,    data, 0x42,      0x321000, 0x22000
airlift,  data, undefined, 0x3fc000, 0x4000
";

/// File 0 of a job is the app; 1 and 2 go to partitions.
const CONFIG: &str = "\
[set]
vendor  = 0xFFF1
product = 0x8001

[[set.part]]
tag       = 1
partition = \"ssbl\"

[[set.part]]
tag       = 2
partition = \"keys\"
";

#[test]
fn three_files_are_installed_as_one_whatever_happens() {
    let works = Works::new(&["a"]);
    works.write("table.csv", TABLE.as_bytes());
    works.write("a.toml", CONFIG.as_bytes());
    works.write("app.bin", &image("2.0.0", 60_000));
    works.write("old.bin", &image("1.0.0", 60_000));
    let (ssbl, keys) = (vec![0x5B; 20_000], b"keys of the second version".to_vec());
    works.write("ssbl.bin", &ssbl);
    works.write("keys.bin", &keys);
    let flash = works.path("a.flash");
    let holds = || -> (Vec<u8>, Vec<u8>) {
        let all = std::fs::read(&flash).expect("the flash");
        let part = |at: usize, size: usize| all[at..at + size].to_vec();
        (part(0x31_0000, ssbl.len()), part(0x32_0000, keys.len()))
    };
    let again = || {
        std::fs::remove_file(&flash).expect("a flash");
        airlift([
            "device",
            "new",
            "--flash",
            "a.flash",
            "--table",
            "table.csv",
        ])
        .args(["--firmware", "old.bin"])
        .current_dir(works.folder.path())
        .run()
        .good();
    };
    let files = ["app.bin", "ssbl.bin", "keys.bin"];

    again();
    let old = holds();
    works.make("good", &["a"], &files);
    succeeded(works.device("a", &["--config", "a.toml"]).run());
    assert_eq!(holds(), (ssbl.clone(), keys.clone()));
    works.runs_with("a", "2.0.0", &["--config", "a.toml"]);

    // The app does not stay: everything goes back.
    again();
    works.make("sick", &["a"], &files);
    let sick = works.device("a", &["--config", "a.toml", "--fail-self-test"]);
    { sick }.run().refused(&["rolled-back"]);
    assert_eq!(holds(), old);
    assert_eq!(works.execution("sick", "a").0, "FAILED");
    works.runs_with("a", "1.0.0", &["--config", "a.toml"]);

    // The power fails, now here, now there.
    for at in [40, 90, 140] {
        again();
        let id = format!("cut-{at}");
        works.make(&id, &["a"], &files);
        let cut = at.to_string();
        let cut = ["--config", "a.toml", "--power-cut-at-operation", &cut];
        works.device("a", &cut).run().refused(&["power"]);
        succeeded(works.device("a", &["--config", "a.toml"]).run());
        assert_eq!(holds(), (ssbl.clone(), keys.clone()), "cut at {at}");
        works.runs_with("a", "2.0.0", &["--config", "a.toml"]);
    }
}

#[test]
fn a_cancelled_job_stops_the_device() {
    let works = Works::new(&["a"]);
    works.write("app.bin", &image("2.0.0", 200_000));
    works.make("job", &["a"], &["app.bin"]);
    let cut = works.device("a", &["--power-cut-at", "100000"]).run();
    cut.refused(&["power"]);
    // What is in progress goes on, unless it is forced to stop.
    works.job(&["cancel", "job"]).run().good();
    assert_eq!(works.execution("job", "a").0, "IN_PROGRESS");
    works.job(&["cancel", "job", "--force"]).run().good();
    let all = events(&works.device("a", &[]).run().good());
    assert!(find(&all, "offered").is_none(), "{all:?}");
    assert_eq!(works.execution("job", "a").0, "CANCELED");
    works.runs("a", "1.0.0");
    // The next one is done.
    works.make("next", &["a"], &["app.bin"]);
    succeeded(works.device("a", &[]).run());
    works.runs("a", "2.0.0");
}

#[test]
fn over_tls_a_device_is_who_its_certificate_says() {
    let works = Works::with(&[], &["--mqtts", "127.0.0.1:0", "--no-mqtt"]);
    for thing in ["dev-1", "dev-2"] {
        airlift([
            "device",
            "enroll",
            thing,
            "--org",
            "dev",
            "--project",
            "lotus",
        ])
        .args(["--out", ".", "--server", &works.server.url])
        .env("AIRLIFT_TOKEN", &works.token)
        .current_dir(works.folder.path())
        .run()
        .good();
    }
    works.write("app.bin", &image("2.0.0", 60_000));
    works.make("job", &["dev-1"], &["app.bin"]);
    let server = works.server.greets_with("mqtts ").expect("MQTT over TLS");
    let of = |thing: &str| {
        [
            "--cert".to_owned(),
            format!("{thing}.cert.pem"),
            "--key-file".to_owned(),
            format!("{thing}.key.pem"),
            "--ca".to_owned(),
            "ca.pem".to_owned(),
        ]
    };
    let run = |thing: &str, certificate: &[String]| {
        let certificate: Vec<&str> = certificate.iter().map(String::as_str).collect();
        works.device_at(server, thing, &certificate).run()
    };
    // Somebody else's name, and no proof at all.
    run("dev-1", &of("dev-2")).refused(&["dev-1"]);
    run("dev-1", &of("dev-2")[4..]).refused(&[]);
    run("dev-1", &[]).refused(&["--ca"]);
    assert_eq!(works.execution("job", "dev-1").0, "QUEUED");
    succeeded(run("dev-1", &of("dev-1")));
    assert_eq!(works.execution("job", "dev-1").0, "SUCCEEDED");
}
