//! `airlift job`, and signatures made on the way.

use std::process::Command;

use airlift_formats::aws::base64;
use p256::SecretKey;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

use crate::harness::{Ended, Field, Run as _, airlift, image};

const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256.pkcs8.pem");

impl Field {
    fn thing(&self, name: &str) {
        let thing = json!({ "name": name, "project": "lotus" }).to_string();
        let path = "/api/v1/organizations/dev/things";
        let (status, answer) = self.server.http("POST", path, &self.token, &thing);
        assert_eq!(status, 201, "{answer}");
    }

    /// `airlift job ...`
    fn job(&self, args: &[&str]) -> Command {
        let mut command = airlift(["job"]);
        command
            .args(args)
            .args(["--server", &self.server.url])
            .current_dir(self.folder.path())
            .env("AIRLIFT_TOKEN", &self.token);
        command
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.job(args).arg("--json").run().good();
        serde_json::from_str(&text).expect("JSON")
    }

    /// What a thing says.
    fn says(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/things/{path}");
        let (status, answer) = self
            .server
            .http(method, &path, &self.token, &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn document(&self, id: &str) -> Value {
        let path = format!("/api/v1/organizations/dev/jobs/{id}/document");
        let (status, answer) = self.server.http("GET", &path, &self.token, "");
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

/// Whether the signature in a job document is that of the key over these bytes.
fn is_signed(entry: &Value, bytes: &[u8]) -> bool {
    let pem = std::fs::read_to_string(KEY).expect("the key");
    let key = SecretKey::from_pkcs8_pem(&pem).expect("a key");
    let text = entry["sig-sha256-ecdsa"].as_str().expect("a signature");
    let mut der = [0; 80];
    let length = base64::decode_into(text.into(), &mut der).expect("base64");
    let signature = Signature::from_der(&der[..length]).expect("DER");
    VerifyingKey::from(key.public_key())
        .verify(bytes, &signature)
        .is_ok()
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for words in words {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

#[test]
fn a_job_by_hand_from_its_making_to_its_end() {
    let field = Field::new();
    field.thing("dev-1");
    field.thing("dev-2");
    field.write("reboot.json", b" {\"operation\" : \"reboot\"}\n");
    let create = [
        "create",
        "--thing",
        "dev-1",
        "--thing",
        "dev-2",
        "--document",
        "reboot.json",
        "--job-id",
        "reboot-1",
    ];
    let made = field.job(&create).run().good();
    assert_eq!(
        made,
        "Made job reboot-1 for 2 things\n  see      airlift job show reboot-1\n"
    );
    // Byte for byte, but for what is around it.
    let started = field.says(
        "PUT",
        "dev-1/jobs/$next",
        &json!({ "statusDetails": { "step": "1/2" } }),
    );
    assert_eq!(
        started["execution"]["jobDocument"],
        "{\"operation\" : \"reboot\"}"
    );

    let shown = field.job(&["show", "reboot-1"]).run().good();
    has(
        &shown,
        &[
            "Job reboot-1: IN_PROGRESS",
            "what     has a document of its own",
            "thing  status       version  attempt",
        ],
    );
    let row = |shown: &str, thing: &str| {
        let line = shown
            .lines()
            .find(|line| line.starts_with(thing))
            .expect("a row");
        line.split_ascii_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let first = row(&shown, "dev-1");
    assert_eq!(first[1..4], ["IN_PROGRESS", "2", "1"]);
    assert_eq!(first.last().unwrap(), "step=1/2");
    let second = row(&shown, "dev-2");
    assert_eq!((&*second[1], &*second[5]), ("QUEUED", "-"));
    let shown = field.json(&["show", "reboot-1"]);
    assert_eq!(
        shown["executions"][0]["status_details"],
        json!({ "step": "1/2" })
    );

    let listed = field.job(&["list"]).run().good();
    has(
        &listed,
        &["reboot-1  IN_PROGRESS  document", "1 IN_PROGRESS, 1 QUEUED"],
    );
    assert_eq!(field.json(&["list"])["jobs"][0]["job_id"], "reboot-1");

    field
        .job(&["delete", "reboot-1"])
        .run()
        .refused(&["still to do", "cancel it first"]);
    let canceled = field
        .job(&[
            "cancel",
            "reboot-1",
            "--reason",
            "TOO_LATE",
            "--comment",
            "no\x1b[2Jw",
        ])
        .run()
        .good();
    has(
        &canceled,
        &["Canceled job reboot-1", "1 in progress go on", "--force"],
    );
    let shown = field.job(&["show", "reboot-1"]).run().good();
    has(&shown, &["reason   TOO_LATE", "comment  no\\u{1b}[2Jw"]);
    let forced = field.json(&["cancel", "reboot-1", "--force"]);
    assert_eq!(forced["things"], json!({ "CANCELED": 2 }));
    assert_eq!(
        field.job(&["delete", "reboot-1"]).run().good(),
        "Deleted job reboot-1\n"
    );
    field
        .job(&["show", "reboot-1"])
        .run()
        .refused(&["no such job"]);
    assert_eq!(field.job(&["list"]).run().good(), "dev has no jobs.\n");
}

#[test]
fn files_are_sent_signed_and_named() {
    let field = Field::new();
    field.thing("dev-1");
    let (app, model) = (vec![1; 200_000], b"model".to_vec());
    field.write("app.bin", &app);
    field.write("model.bin", &model);
    let create = [
        "create",
        "--thing",
        "dev-1",
        "--file",
        "app.bin",
        "--file",
        "model.bin",
        "--sign-key",
        KEY,
        "--certificate",
        "sss:01",
        "--timeout",
        "30",
        "--description",
        "spring",
        "--project",
        "lotus",
        "--org",
        "dev",
    ];
    let made = field.json(&create);
    assert_eq!(
        (&made["kind"], &made["timeout_minutes"]),
        (&json!("files"), &json!(30))
    );
    let id = made["job_id"].as_str().unwrap();
    let document = field.document(id);
    let files = &document["afr_ota"]["files"];
    for (at, (path, bytes)) in [("app.bin", &app), ("model.bin", &model)]
        .into_iter()
        .enumerate()
    {
        let entry = &files[at];
        assert_eq!(
            (&entry["filepath"], &entry["fileid"]),
            (&json!(path), &json!(at))
        );
        assert_eq!(
            (&entry["filesize"], &entry["certfile"]),
            (&json!(bytes.len()), &json!("sss:01"))
        );
        assert!(is_signed(entry, bytes), "{path}");
    }
    assert!(!is_signed(&files[0], &model));
    let shown = field.job(&["show", id]).run().good();
    has(
        &shown,
        &[
            "what     fetches files",
            "for      spring",
            "file 0   app.bin, 195.3 KiB, sha256 ",
            "stream   AFR_OTA-",
        ],
    );
}

#[test]
fn a_release_is_signed_when_it_is_published_and_installed_by_a_job() {
    let field = Field::new();
    field.thing("dev-1");
    let new = image("1.2.0", 60_000);
    field.write("new.bin", &new);
    let publish = |more: &[&str]| field.publish("new.bin", "1.2.0").args(more).run().good();
    let text = publish(&["--sign-key", KEY]);
    has(&text, &["Published", "signed   ECDSA P-256"]);
    // The same key signs the same bytes the same: nothing new.
    has(
        &publish(&["--sign-key", KEY]),
        &["Already published", "signed"],
    );
    let release: Value = serde_json::from_str(&publish(&["--json"])).unwrap();
    let release = release["id"].to_string();
    field.json(&[
        "create",
        "--thing",
        "dev-1",
        "--release",
        &release,
        "--job-id",
        "up",
    ]);
    assert!(is_signed(
        &field.document("up")["afr_ota"]["files"][0],
        &new
    ));
    let shown = field.job(&["show", "up"]).run().good();
    has(&shown, &[&format!("what     installs release {release}")]);
    // Devices that ask over HTTP are offered it as ever.
    field.device().run().good();
    field.is_at("1.2.0");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let field = Field::new();
    field.thing("dev-1");
    field.write("document.json", b"{\"a\":");
    field.write("list.json", b"[1]");
    field.write("large.json", &[b' '; 200_000]);
    field.write("app.bin", b"app");
    field.write("empty.bin", b"");
    let create = |args: &[&str]| -> Ended {
        let args = [&["create", "--thing", "dev-1"], args].concat();
        field.job(&args).run()
    };
    create(&["--document", "document.json"]).refused(&["document.json", "not JSON"]);
    create(&["--document", "list.json"]).refused(&["JSON object"]);
    create(&["--document", "large.json"]).refused(&["large.json", "32 KiB"]);
    create(&["--document", "nosuch.json"]).refused(&["nosuch.json", "cannot read"]);
    create(&["--file", "empty.bin"]).refused(&["empty.bin", "empty"]);
    create(&["--file", "app.bin", "--sign-key", "app.bin"])
        .refused(&["not a private key", "openssl genpkey"]);
    create(&["--release", "99"]).refused(&["no such release"]);
    create(&["--release", "1", "--project", "other"]).refused(&["project other", "no thing dev-1"]);
    create(&["--release", "1", "--job-id", "a/b"]).refused(&["\"a/b\" is not a job id"]);
    create(&["--release", "1", "--timeout", "0"]).refused(&["timeout_minutes"]);
    create(&["--release", "1", "--org", "../x"]).refused(&["--org"]);
    field
        .job(&["create", "--thing", "dev-9", "--release", "1"])
        .run()
        .refused(&["no thing dev-9"]);
    field
        .job(&["show", "../../x"])
        .run()
        .refused(&["not a job id"]);
    for args in [
        &["create", "--release", "1"][..],
        &["create", "--thing", "dev-1"],
        &[
            "create",
            "--thing",
            "dev-1",
            "--release",
            "1",
            "--file",
            "app.bin",
        ],
        &[
            "create",
            "--thing",
            "dev-1",
            "--release",
            "1",
            "--sign-key",
            KEY,
        ],
        &["list", "--limit", "0"],
        &["cancel"],
    ] {
        let ended = field.job(args).run();
        assert_eq!(ended.status.code(), Some(2), "{args:?} {ended:?}");
    }
    assert_eq!(field.json(&["list"])["jobs"], json!([]));
    // With a second organization it must be said which one is meant.
    let (status, _) = field.server.http(
        "POST",
        "/api/v1/organizations",
        &field.token,
        "{\"name\":\"two\"}",
    );
    assert_eq!(status, 201);
    field
        .job(&["list"])
        .run()
        .refused(&["--org dev or --org two"]);
    field.job(&["list", "--org", "dev"]).run().good();
    let mut wrong = field.job(&["list", "--org", "dev"]);
    wrong
        .env("AIRLIFT_TOKEN", "airlift_0_0")
        .run()
        .refused(&["does not know this token"]);
}
