//! Clients that are not ours: `mosquitto_pub`, `mosquitto_sub`, `mosquitto_rr`.

use std::path::Path;
use std::process::Stdio;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::{SOON, document, server, topic};
use crate::harness::TestServer;

/// How to reach the server, and as whom.
#[derive(Clone)]
struct Access(Vec<String>);

impl Access {
    fn anonymous(server: &TestServer, thing: &str) -> Self {
        Self::of(server.mqtt().port(), &["-i", thing])
    }

    fn of(port: u16, more: &[&str]) -> Self {
        let mut arguments = vec![
            "-h".into(),
            "localhost".into(),
            "-p".into(),
            port.to_string(),
        ];
        arguments.extend(more.iter().map(|text| (*text).to_owned()));
        Self(arguments)
    }

    async fn certificate(server: &TestServer, thing: &str, folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let enrolled = server.enroll(thing, Some(&csr.pem().unwrap())).await;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (cert, ca) = (&enrolled["certificate"], &enrolled["ca"]);
        let (cert, ca) = (
            write("cert.pem", cert.as_str().unwrap()),
            write("ca.pem", ca.as_str().unwrap()),
        );
        let key = write("key.pem", &key.serialize_pem());
        let port = server.mqtts().port();
        Self::of(
            port,
            &["--cafile", &ca, "--cert", &cert, "--key", &key, "-i", thing],
        )
    }

    fn command(&self, program: &str, version: &str, more: &[&str]) -> Command {
        // Line by line, though it is not a terminal that is written to.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", program])
            .args(&self.0)
            .args(["-V", version])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, program: &str, version: &str, more: &[&str]) -> std::process::Output {
        let output = self.command(program, version, more).output();
        let output = tokio::time::timeout(SOON, output).await.expect("it ends");
        output.unwrap_or_else(|error| {
            panic!("{program} (Debian: mosquitto-clients) is needed for this test: {error}")
        })
    }

    /// Publishes a request and takes the answer, on one connection.
    async fn ask(&self, version: &str, request: &str, answer: &str, payload: &str) -> Value {
        let more = ["-t", request, "-e", answer, "-m", payload, "-W", "15"];
        let output = self.run("mosquitto_rr", version, &more).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// The whole conversation of an update, by script.
async fn conversation(server: &TestServer, access: &Access, version: &str) {
    let at = |rest: &str| topic("dev-1", rest);
    let job = format!("job-{version}");
    let file: Vec<u8> = (0..10_000_u32)
        .map(|at| u8::try_from(at % 253).unwrap())
        .collect();

    // Told that there is one, while listening.
    let mut listening = access
        .command(
            "mosquitto_sub",
            version,
            &["-t", &at("jobs/notify-next"), "-C", "1", "-d"],
        )
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    let subscribed = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("Subscribed") {
                return;
            }
        }
        panic!("mosquitto_sub ended");
    };
    tokio::time::timeout(SOON, subscribed)
        .await
        .expect("subscribed");
    server.job_with_file(&job, &["dev-1"], &file).await;
    let told = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with('{') {
                return line;
            }
        }
        panic!("mosquitto_sub ended");
    };
    let notice: Value =
        serde_json::from_str(&tokio::time::timeout(SOON, told).await.unwrap()).unwrap();
    assert_eq!(notice["execution"]["jobId"], Value::from(job.clone()));

    // get, start-next, describe
    let pending = access
        .ask(version, &at("jobs/get"), &at("jobs/get/accepted"), "{}")
        .await;
    assert_eq!(pending["queuedJobs"][0]["jobId"], Value::from(job.clone()));
    let started = access
        .ask(
            version,
            &at("jobs/start-next"),
            &at("jobs/start-next/accepted"),
            r#"{"clientToken":"s"}"#,
        )
        .await;
    assert_eq!(started["clientToken"], "s");
    assert_eq!(started["execution"]["status"], "IN_PROGRESS");
    let ota = &started["execution"]["jobDocument"]["afr_ota"];
    assert_eq!(ota["files"][0]["filesize"], 10_000);
    let stream = ota["streamname"].as_str().unwrap();
    let described = access
        .ask(
            version,
            &at("jobs/$next/get"),
            &at("jobs/$next/get/accepted"),
            "{}",
        )
        .await;
    assert_eq!(described["execution"]["versionNumber"], 2);

    // The file, block by block.
    let mut received = Vec::new();
    for block in 0..10 {
        let data = access
            .ask(
                version,
                &at(&format!("streams/{stream}/get/json")),
                &at(&format!("streams/{stream}/data/json")),
                &format!(r#"{{"s": 1,"f": 0,"l": 1024,"o": {block},"n": 1}}"#),
            )
            .await;
        assert_eq!(data["i"], block);
        received.extend(base64(data["p"].as_str().unwrap()));
    }
    assert_eq!(received, file);
    let rejected = access
        .ask(
            version,
            &at(&format!("streams/{stream}/get/json")),
            &at(&format!("streams/{stream}/rejected/json")),
            r#"{"f": 9,"l": 1024,"o": 0,"n": 1}"#,
        )
        .await;
    assert_eq!(rejected["code"], "ResourceNotFound");

    // A report that does not fit, one that does, and the last one by a client that publishes and goes.
    let update = at(&format!("jobs/{job}/update"));
    let refused = access
        .ask(
            version,
            &update,
            &format!("{update}/rejected"),
            r#"{"status":"SUCCEEDED","expectedVersion":"9"}"#,
        )
        .await;
    assert_eq!(refused["code"], "VersionMismatch");
    let progress =
        r#"{"status":"IN_PROGRESS","expectedVersion":"2","statusDetails":{"receive":"10/10"}}"#;
    access
        .ask(version, &update, &format!("{update}/accepted"), progress)
        .await;
    let last = [
        "-t",
        &update,
        "-q",
        "1",
        "-m",
        r#"{"status":"SUCCEEDED","expectedVersion":"3"}"#,
    ];
    let output = access.run("mosquitto_pub", version, &last).await;
    assert!(output.status.success(), "{output:?}");
    // Acknowledged is done.
    let shown = server
        .get(&format!("/dev/jobs/{job}/executions"))
        .await
        .body;
    assert_eq!(shown["executions"][0]["status"], "SUCCEEDED", "{shown}");
    let left = access
        .ask(version, &at("jobs/get"), &at("jobs/get/accepted"), "{}")
        .await;
    assert_eq!(left["queuedJobs"], Value::Array(vec![]));
}

/// Standard base64, padded.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let digits: Vec<usize> = four
            .iter()
            .filter_map(|digit| DIGITS.iter().position(|known| known == digit))
            .collect();
        let bits =
            digits.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - digits.len()));
        let three = [bits >> 16, bits >> 8 & 0xff, bits & 0xff].map(|b| u8::try_from(b).unwrap());
        bytes.extend_from_slice(&three[..digits.len() - 1]);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_update_by_script_over_tcp() {
    let server = server().await;
    drop(server.client(super::client::V3).await);
    let access = Access::anonymous(&server, "dev-1");
    conversation(&server, &access, "5").await;
    // mosquitto_rr speaks 3.1.1 to servers that do.
    conversation(&server, &access, "mqttv311").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_update_by_script_over_tls() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let access = Access::certificate(&server, "dev-1", folder.path()).await;
    conversation(&server, &access, "5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_thing_s_own_is_denied() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let own = Access::certificate(&server, "dev-1", folder.path()).await;
    for access in [own.clone(), Access::anonymous(&server, "dev-7")] {
        for version in ["5", "mqttv311"] {
            let to_other = [
                "-t",
                "$aws/things/dev-2/jobs/start-next",
                "-q",
                "1",
                "-m",
                "{}",
            ];
            let output = access.run("mosquitto_pub", version, &to_other).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // MQTT 5 hears why; 3.1.1 is cut off.
            assert!(
                !output.status.success() || said.contains("Not authorized"),
                "{output:?}"
            );
            let of_other = ["-t", "$aws/things/dev-2/#", "-W", "3"];
            let output = access.run("mosquitto_sub", version, &of_other).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                said.contains("denied") || !output.status.success(),
                "{output:?}"
            );
        }
    }
    // Without a certificate, and with one of another authority.
    let port = server.mqtts().port();
    let ca = folder.path().join("ca.pem");
    let nobody = Access::of(port, &["--cafile", ca.to_str().unwrap(), "-i", "dev-1"]);
    let output = nobody
        .run(
            "mosquitto_pub",
            "5",
            &["-t", &topic("dev-1", "jobs/get"), "-m", "{}"],
        )
        .await;
    assert!(!output.status.success(), "{output:?}");
    let other = super::server().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut foreign = Access::certificate(&other, "dev-1", elsewhere.path()).await;
    foreign.0[3] = port.to_string();
    let at = foreign
        .0
        .iter()
        .position(|text| text == "--cafile")
        .unwrap();
    foreign.0[at + 1] = ca.to_str().unwrap().to_owned();
    let output = foreign
        .run(
            "mosquitto_pub",
            "5",
            &["-t", &topic("dev-1", "jobs/get"), "-m", "{}"],
        )
        .await;
    assert!(!output.status.success(), "{output:?}");
    server.enroll("dev-9", None).await;
    server.job_for("j", &["dev-9"], document()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_enough_with_or_without_tls() {
    let server = server().await;
    let enrolled = server.enroll("dev-1", None).await;
    let ca = std::fs::read_to_string(server.data.path().join("authority/ca.pem")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca).unwrap();
    let (user, password) = (
        enrolled["user_name"].as_str().unwrap(),
        enrolled["password"].as_str().unwrap(),
    );
    let with = ["-u", user, "-P", password];
    let tls = [&["--cafile", path.to_str().unwrap()][..], &with].concat();
    for access in [
        Access::of(server.mqtt().port(), &with),
        Access::of(server.mqtts().port(), &tls),
    ] {
        let pending = access
            .ask(
                "5",
                &topic("dev-1", "jobs/get"),
                &topic("dev-1", "jobs/get/accepted"),
                "{}",
            )
            .await;
        assert_eq!(pending["inProgressJobs"], Value::Array(vec![]));
    }
}
