//! A disk that is really full: a file system of 3 MiB, in a mount namespace of its own.

use std::process::Command;

use crate::harness::{PLACE, Run as _, Serve, airlift, image};

/// A command whose `$1` is on a small file system; `None` where this user may not mount one.
fn on_a_small_disk(script: &str, folder: &std::path::Path) -> Option<Command> {
    let mount = r#"mount -t tmpfs -o size=3m tmpfs "$1""#;
    let namespace = ["--map-root-user", "--mount", "sh", "-c"];
    let allowed = Command::new("unshare")
        .args(namespace)
        .args([mount, "sh"])
        .arg(folder)
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        return None;
    }
    let mut command = Command::new("unshare");
    command
        .args(namespace)
        .args([&format!("{mount} && {script}"), "sh"])
        .arg(folder);
    Some(command)
}

#[test]
fn a_server_on_a_full_disk_says_so_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = r#"exec "$2" serve --http 127.0.0.1:0 --data "$1"/data"#;
    let Some(mut command) = on_a_small_disk(script, &disk) else {
        eprintln!(
            "skipped: this user may not mount a file system (unshare --map-root-user --mount)"
        );
        return;
    };
    command.arg(env!("CARGO_BIN_EXE_airlift"));
    let server = Serve::of(command);
    let publish = |version: &str, size: usize| {
        let file = folder.path().join(format!("{version}.bin"));
        std::fs::write(&file, image(version, size)).unwrap();
        airlift([
            "publish",
            "--server",
            &server.url,
            "--token",
            server.token(),
            "--version",
            version,
        ])
        .args(PLACE)
        .arg(&file)
        .run()
    };
    let check = || {
        airlift([
            "device",
            "run",
            "--once",
            "--json",
            "--server",
            &server.url,
            "--node",
            "esp32-000001",
        ])
        .args(PLACE)
        .arg("--flash")
        .arg(folder.path().join("flash"))
        .run()
        .good()
    };
    publish("1.1.0", 500_000).good();
    check();
    publish("2.0.0", 3_500_000).refused(&["storage is full", "nothing was published"]);
    assert!(check().contains(r#""event":"up-to-date""#));
    // What was half there is gone: something small still fits.
    publish("1.2.0", 400_000).good();
    assert!(check().contains(r#""event":"confirmed","version":"1.2.0""#));
}

#[test]
fn a_device_is_not_made_half() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#""$2" device new --flash "$1"/device.flash; code=$?; ls "$1"; exit $code"#;
    let Some(mut command) = on_a_small_disk(script, folder.path()) else {
        eprintln!(
            "skipped: this user may not mount a file system (unshare --map-root-user --mount)"
        );
        return;
    };
    let run = command.arg(env!("CARGO_BIN_EXE_airlift")).run();
    assert_eq!(run.stdout, "", "nothing is left on the disk");
    run.refused(&["device.flash", "No space left on device"]);
}
