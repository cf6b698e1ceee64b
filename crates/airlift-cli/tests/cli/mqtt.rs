//! Devices that sign in over MQTT, from the command line: `serve`, `device enroll`, `device revoke`.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Run as _, Serve, airlift};

const EVERY_WAY: [&str; 5] = [
    "--mqtt",
    "127.0.0.1:0",
    "--mqtts",
    "127.0.0.1:0",
    "--mqtt-anonymous",
];

fn enroll(serve: &Serve, thing: &str, more: &[&str]) -> Command {
    let mut command = airlift([
        "device",
        "enroll",
        thing,
        "--org",
        "dev",
        "--project",
        "lotus",
    ]);
    command.args(["--server", &serve.url, "--token", serve.token()]);
    command.args(more);
    command
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().expect("a port")
}

/// Asks for pending jobs; what the client says.
fn ask(port: &str, thing: &str, more: &[&str]) -> std::process::Output {
    let topic = format!("$aws/things/{thing}/jobs/get");
    Command::new("mosquitto_rr")
        .args(["-h", "localhost", "-p", port, "-i", thing, "-W", "15"])
        .args(["-t", &topic, "-e", &format!("{topic}/accepted"), "-m", "{}"])
        .args(more)
        .output()
        .expect("mosquitto_rr (Debian: mosquitto-clients)")
}

#[test]
fn a_device_is_enrolled_and_what_is_printed_works() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start_with(&folder.path().join("data"), &EVERY_WAY);
    let out = folder.path().join("devices");
    let out = out.to_str().unwrap();
    let said = enroll(&serve, "dev-1", &["--key", "sht30", "--out", out])
        .run()
        .good();
    assert!(said.starts_with("Enrolled dev-1 of dev/lotus\n"), "{said}");
    for end in ["dev-1.cert.pem", "dev-1.key.pem", "ca.pem"] {
        assert!(said.contains(end), "{said}");
        assert!(Path::new(out).join(end).exists(), "{end}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let key = Path::new(out).join("dev-1.key.pem");
        let mode = std::fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // The last line is a command that shows that it works.
    let command = said.lines().last().unwrap().trim();
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let pending: Value = serde_json::from_slice(&output.stdout).expect("an answer");
    assert_eq!(pending["queuedJobs"], Value::Array(vec![]));

    // A second device shares the authority's file; the first is not given anything anew by mistake.
    enroll(&serve, "dev-2", &["--out", out]).run().good();
    enroll(&serve, "dev-1", &["--out", out])
        .run()
        .refused(&["dev-1.cert.pem", "exists"]);

    let revoke = |thing| {
        let mut command = airlift(["device", "revoke", thing, "--org", "dev"]);
        command.args(["--server", &serve.url, "--token", serve.token()]);
        command.run()
    };
    assert_eq!(revoke("dev-1").good(), "Revoked dev-1\n");
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    revoke("dev-7").refused(&["no such thing"]);
}

#[test]
fn a_password_is_shown_once_and_works() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start_with(
        &folder.path().join("data"),
        &["--mqtt", "127.0.0.1:0", "--mqtt-anonymous=dev/lotus"],
    );
    let said = enroll(&serve, "dev-1", &["--password"]).run().good();
    let password = said.lines().last().unwrap().trim().to_owned();
    assert_eq!(password.len(), 64, "{said}");
    let mqtt = port(serve.greets_with("mqtt ").expect("an address")).to_owned();
    let proof = ["-u", "dev/dev-1", "-P", &password];
    let output = ask(&mqtt, "dev-1", &proof);
    assert!(output.status.success(), "{output:?}");
    assert!(
        !ask(&mqtt, "dev-1", &["-u", "dev/dev-1", "-P", "wrong"])
            .status
            .success()
    );
    // It is its own, and so not anybody's who calls himself that.
    assert!(!ask(&mqtt, "dev-1", &[]).status.success());
    assert!(ask(&mqtt, "dev-9", &[]).status.success());

    let said = enroll(&serve, "dev-1", &["--password", "--json"])
        .run()
        .good();
    let json: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(json["user_name"], "dev/dev-1");
    assert!(!ask(&mqtt, "dev-1", &proof).status.success(), "void");
}

#[test]
fn devices_of_two_servers_may_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let one = Serve::start_with(&folder.path().join("one"), &EVERY_WAY);
    let other = Serve::start_with(&folder.path().join("other"), &EVERY_WAY);
    let out = folder.path().join("devices");
    let out = out.to_str().unwrap();
    enroll(&one, "dev-1", &["--out", out]).run().good();
    let said = enroll(&other, "dev-2", &["--out", out, "--json"])
        .run()
        .good();
    let json: Value = serde_json::from_str(&said).expect("JSON");
    let ca = json["ca"].as_str().unwrap();
    assert!(ca.ends_with("dev-2.ca.pem"), "{ca}");
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_ne!(text(Path::new(ca)), text(&Path::new(out).join("ca.pem")));
}

#[test]
fn what_cannot_be_enrolled_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start_with(&folder.path().join("data"), &["--no-mqtt"]);
    let out = folder.path().join("devices");
    let text = out.to_str().unwrap();
    for thing in ["../dev-1", "a b", "a+b", "", "a/b"] {
        enroll(&serve, thing, &["--out", text])
            .run()
            .refused(&["name of a thing"]);
    }
    enroll(&serve, "dev-1", &["--key", "a b", "--out", text])
        .run()
        .refused(&["key"]);
    let mut nobody = airlift([
        "device",
        "enroll",
        "dev-1",
        "--org",
        "dev",
        "--project",
        "lotus",
    ]);
    nobody.args([
        "--server",
        &serve.url,
        "--token",
        "airlift_0_0",
        "--out",
        text,
    ]);
    nobody.run().refused(&["does not know this token"]);
    let left = std::fs::read_dir(&out).map_or(0, Iterator::count);
    assert_eq!(left, 0);
    // Without MQTT over TLS there is nothing to try yet.
    let said = enroll(&serve, "dev-1", &["--out", text]).run().good();
    assert!(said.contains("--mqtts 0.0.0.0:8883"), "{said}");
}

#[test]
fn the_server_says_where_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start_with(&folder.path().join("data"), &EVERY_WAY);
    let starts = |word, with| {
        serve
            .greets_with(word)
            .is_some_and(|text| text.starts_with(with))
    };
    assert!(starts("mqtt ", "mqtt://127.0.0.1:"), "{:?}", serve.greeting);
    assert!(
        starts("mqtts ", "mqtts://127.0.0.1:"),
        "{:?}",
        serve.greeting
    );
    let warned = serve
        .greeting
        .iter()
        .any(|line| line.contains("things of default/default"));
    assert!(warned, "{:?}", serve.greeting);

    // By default, on loopback, or with a word about why not.
    let plain = Serve::start(&folder.path().join("plain"));
    let mqtt = plain.greets_with("mqtt ").expect("a line about MQTT");
    let is_said = mqtt == "mqtt://127.0.0.1:1883" || mqtt.contains("127.0.0.1:1883 is in use");
    assert!(is_said, "{mqtt}");
    assert_eq!(plain.greets_with("mqtts "), None);
    // Now it is taken for certain, and the rest is served all the same.
    let second = Serve::start(&folder.path().join("second"));
    let mqtt = second.greets_with("mqtt ").expect("a line about MQTT");
    assert!(mqtt.starts_with("off: 127.0.0.1:1883 is in use"), "{mqtt}");
    let none = Serve::start_with(&folder.path().join("none"), &["--no-mqtt"]);
    assert_eq!(none.greets_with("mqtt "), None);
}

#[test]
fn what_must_not_be_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = |more: &[&str]| {
        let mut command = airlift(["serve", "--http", "127.0.0.1:0", "--data"]);
        command.arg(&data).args(more);
        command.run()
    };
    serve(&["--mqtt", "0.0.0.0:0", "--mqtt-anonymous"]).refused(&[
        "anonymous",
        "0.0.0.0:0",
        "127.0.0.1",
    ]);
    serve(&["--mqtt", "127.0.0.1:0", "--mqtt-anonymous=a/+"]).refused(&["anonymous", "\"+\""]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    serve(&["--mqtt", &address]).refused(&["cannot listen", &address]);
    serve(&["--no-mqtt", "--mqtts", &address]).refused(&["cannot listen", &address]);
    for wrong in [
        &["--mqtt-anonymous=a"][..],
        &["--mqtt-anonymous=a/b/c"],
        &["--no-mqtt", "--mqtt-anonymous"],
        &["--mqtts-name", "x"],
    ] {
        assert_eq!(serve(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
