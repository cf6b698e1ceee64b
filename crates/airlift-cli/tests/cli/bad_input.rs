//! What must be refused, each with its own words, and with everything that worked before still working.

use std::process::Command;

use airlift_formats::esp::app_image::ChipId;

use crate::harness::{Field, PLACE, Run as _, airlift, golden, image, image_for};

#[test]
fn images_that_no_device_could_run_are_not_published() {
    let field = Field::new();
    let good = image("2.0.0", 60_000);
    let mut flipped = good.clone();
    flipped[30_000] ^= 4;
    let mut magic = good.clone();
    magic[0] = 0x7f;
    for (file, bytes, words) in [
        (
            "truncated.bin",
            &good[..good.len() - 1000],
            &["truncated.bin"][..],
        ),
        ("empty.bin", &[], &["empty.bin", "is empty"]),
        ("flipped.bin", &flipped, &["flipped.bin"]),
        ("elf.bin", &magic, &["elf.bin", "0xe9"]),
        ("text.bin", b"no image at all", &["text.bin", "0xe9"]),
    ] {
        field.write(file, bytes);
        field.publish(file, "2.0.0").run().refused(words);
        field.is_at("1.1.0");
    }
    for file in [
        "bad_checksum.bin",
        "bad_seglen_huge.bin",
        "bad_segcount17.bin",
    ] {
        let path = golden(file);
        field
            .publish(path.to_str().unwrap(), "2.0.0")
            .run()
            .refused(&[file]);
        field.is_at("1.1.0");
    }
}

#[test]
fn images_for_other_hardware_or_of_another_project_need_force_and_the_device_refuses_them_still() {
    let field = Field::new();
    let device = "/api/v1/organizations/dev/devices/esp32-85ea2b";
    for (file, bytes, published, refused) in [
        (
            "c3.bin",
            image_for(ChipId::ESP32C3, "field", "2.0.0", 60_000),
            "chip",
            None,
        ),
        (
            "other.bin",
            image_for(ChipId::ESP32, "other", "2.0.0", 60_000),
            "project",
            Some("project"),
        ),
    ] {
        field.write(file, &bytes);
        field
            .publish(file, "2.0.0")
            .run()
            .refused(&[published, "--force"]);
        field.is_at("1.1.0");
        field.publish(file, "2.0.0").arg("--force").run().good();
        match refused {
            // The server knows what the device runs, and does not even offer it.
            None => {
                field.device().run().good();
            }
            Some(reason) => {
                let words = format!("refused ({reason})");
                field.device().run().refused(&[&words]);
                let (_, known) = field.server.http("GET", device, &field.token, "");
                assert_eq!(known["result"]["reason"], reason);
            }
        }
        assert_eq!(field.show()["boot"]["next"], "ota_1");
        assert_eq!(field.show()["slots"][1]["image"]["version"], "1.1.0");
        field
            .publish("old.bin", "1.1.0")
            .arg("--force")
            .run()
            .good();
        field.is_at("1.1.0");
    }
}

#[test]
fn an_image_larger_than_the_server_takes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::harness::Serve::start_with(
        &folder.path().join("data"),
        &["--max-image-size", "1MB"],
    );
    let file = folder.path().join("large.bin");
    std::fs::write(&file, image("1.0.0", 3 << 20)).unwrap();
    airlift([
        "publish",
        "--server",
        &server.url,
        "--token",
        server.token(),
        "--version",
        "1",
    ])
    .args(PLACE)
    .arg(&file)
    .run()
    .refused(&["large.bin", "larger than 1048576 bytes", "--max-image-size"]);
}

#[test]
fn a_device_with_too_little_space_is_not_offered_what_does_not_fit() {
    let field = Field::new();
    field.write("large.bin", &image("2.0.0", 700_000));
    field.publish("large.bin", "2.0.0").run().good();
    let small = field.path("small.flash");
    airlift(["device", "new", "--size", "1MB", "--flash"])
        .arg(&small)
        .run()
        .refused(&["does not fit"]);
    field.write("small.bin", &image("1.0.0", 50_000));
    airlift(["device", "new", "--size", "1MB", "--flash"])
        .arg(&small)
        .arg("--firmware")
        .arg(field.path("small.bin"))
        .run()
        .good();
    airlift([
        "device",
        "run",
        "--once",
        "--server",
        &field.server.url,
        "--node",
        "small",
    ])
    .args(PLACE)
    .arg("--flash")
    .arg(&small)
    .run()
    .good();
    let (_, known) = field.server.http(
        "GET",
        "/api/v1/organizations/dev/devices/small",
        &field.token,
        "",
    );
    assert_eq!(known["decision"], "no-space", "{known}");
    assert_eq!(known["version"], "1.0.0");
}

#[test]
fn tokens_open_what_they_are_for_and_nothing_else() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 60_000));
    let publish = |token: Option<&str>, org: &str| {
        let mut command = airlift([
            "publish",
            "--server",
            &field.server.url,
            "--version",
            "2.0.0",
        ]);
        command.args(["--org", org, "--project", "lotus", "--key", "sht30_d1_mini"]);
        if let Some(token) = token {
            command.args(["--token", token]);
        }
        command.arg(field.path("new.bin")).run()
    };
    assert_eq!(
        publish(None, "dev").status.code(),
        Some(2),
        "a missing token is wrong usage"
    );
    publish(Some("airlift_0_0"), "dev").refused(&["does not know this token", "AIRLIFT_TOKEN"]);
    publish(Some(&field.token[..40]), "dev").refused(&["does not know this token"]);
    publish(Some(" "), "dev").refused(&["the token is empty"]);
    publish(Some("a\nb"), "dev").refused(&["the token"]);

    let (status, _) = field.server.http(
        "POST",
        "/api/v1/organizations",
        &field.token,
        r#"{"name":"other"}"#,
    );
    assert_eq!(status, 201);
    let (_, theirs) = field.server.http(
        "POST",
        "/api/v1/organizations/other/tokens",
        &field.token,
        r#"{"label":"theirs"}"#,
    );
    let theirs = theirs["token"].as_str().unwrap();
    publish(Some(theirs), "dev").refused(&["no such organization"]);
    publish(Some(theirs), "nobody").refused(&["no such organization"]);
    publish(Some(theirs), "other").refused(&["has no project lotus"]);
    field.is_at("1.1.0");
}

#[test]
fn names_that_could_lead_elsewhere_are_refused() {
    let field = Field::new();
    let publish = |args: [&str; 6]| {
        airlift([
            "publish",
            "--server",
            &field.server.url,
            "--token",
            &field.token,
            "--version",
            "2",
        ])
        .args(args)
        .arg(field.path("old.bin"))
        .run()
    };
    for bad in ["..", "../dev", "a/b", "", "a b", "x\u{e9}"] {
        publish(["--org", bad, "--project", "lotus", "--key", "k"]).refused(&[]);
        publish(["--org", "dev", "--project", bad, "--key", "k"]).refused(&["name"]);
        publish(["--org", "dev", "--project", "lotus", "--key", bad]).refused(&["name"]);
        for place in [
            [
                "--org",
                bad,
                "--project",
                "lotus",
                "--key",
                "k",
                "--node",
                "n",
            ],
            [
                "--org",
                "dev",
                "--project",
                bad,
                "--key",
                "k",
                "--node",
                "n",
            ],
            [
                "--org",
                "dev",
                "--project",
                "lotus",
                "--key",
                bad,
                "--node",
                "n",
            ],
            [
                "--org",
                "dev",
                "--project",
                "lotus",
                "--key",
                "k",
                "--node",
                bad,
            ],
        ] {
            airlift([
                "device",
                "run",
                "--once",
                "--server",
                &field.server.url,
                "--flash",
            ])
            .arg(field.path("flash"))
            .args(place)
            .run()
            .refused(&["cannot be used"]);
        }
    }
    field.is_at("1.1.0");
}

#[test]
fn servers_that_are_not_there_are_named() {
    let field = Field::new();
    let publish = |server: &str| {
        airlift([
            "publish",
            "--server",
            server,
            "--token",
            "airlift_x",
            "--version",
            "2",
        ])
        .args(PLACE)
        .arg(field.path("old.bin"))
        .run()
    };
    publish("http://127.0.0.1:1").refused(&[
        "cannot reach the server http://127.0.0.1:1",
        "is it running",
    ]);
    publish("127.0.0.1:8080").refused(&["not the address of a server"]);
    publish("ftp://127.0.0.1").refused(&["not the address of a server"]);
    field
        .device_at("http://127.0.0.1:1")
        .run()
        .refused(&["cannot reach the server", "is it running"]);
    let wrong: [(&str, &str); 2] = [
        ("https://127.0.0.1", "plain HTTP"),
        ("127.0.0.1", "not the address"),
    ];
    for (address, words) in wrong {
        let run = field.device_at(address).run();
        assert_eq!(run.status.code(), Some(2), "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    field.is_at("1.1.0");
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let field = Field::new();
    field.write("short.flash", &[0; 5000]);
    field.write("zero.flash", &[0; 1 << 20]);
    let show = |name: &str| {
        airlift(["device", "show", "--flash"])
            .arg(field.path(name))
            .run()
    };
    show("none.flash").refused(&["none.flash", "airlift device new"]);
    show("short.flash").refused(&["short.flash", "5000 bytes"]);
    show("zero.flash").refused(&["zero.flash", "no usable partition table"]);
    show(".").refused(&["cannot read"]);
    let run = |name: &str| {
        airlift([
            "device",
            "run",
            "--once",
            "--server",
            &field.server.url,
            "--node",
            "n",
        ])
        .args(PLACE)
        .arg("--flash")
        .arg(field.path(name))
        .run()
    };
    run("short.flash").refused(&["5000 bytes"]);
    run("zero.flash").refused(&["partition table"]);
    field
        .publish("none.bin", "2")
        .run()
        .refused(&["none.bin", "cannot read"]);
    field.publish(".", "2").run().refused(&["not a file"]);
}

#[test]
fn a_data_folder_or_a_port_that_is_taken_is_named() {
    let field = Field::new();
    let serve = |data: &str, address: &str| -> Command {
        let mut command = airlift(["serve", "--http", address, "--data"]);
        command.arg(field.path(data));
        command
    };
    serve("data", "127.0.0.1:0")
        .run()
        .refused(&["data", "in use by another running server"]);
    serve("data2", field.server.host())
        .run()
        .refused(&["cannot listen on", field.server.host()]);
    field.write("file", b"not a folder");
    serve("file/data", "127.0.0.1:0")
        .run()
        .refused(&["file/data"]);
    assert_eq!(serve("data3", "nowhere").run().status.code(), Some(2));
    field.is_at("1.1.0");
}

#[test]
fn a_name_that_an_address_would_change_is_refused() {
    let field = Field::new();
    field.write("app.bin", &image("2.0.0", 50_000));
    for name in ["a\nb", "", "..", "a b", "a/b", "ü"] {
        airlift(["publish", "--org", name, "--project", "lotus", "--key", "k"])
            .args([
                "--version",
                "1",
                "--token",
                "t",
                "--server",
                &field.server.url,
            ])
            .arg(field.path("app.bin"))
            .run()
            .refused(&["--org", "is not a name"]);
    }
}
