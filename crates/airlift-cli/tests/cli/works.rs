//! A server that things come to over MQTT, and a folder for all that they have.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ended, Run as _, Serve, airlift, events, steps};
use crate::lossy::{Lossy, Weather};

pub(crate) const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256.pkcs8.pem");
pub(crate) const OPEN: [&str; 3] = ["--mqtt", "127.0.0.1:0", "--mqtt-anonymous"];

/// A server that knows some things, and a folder for all that they have.
pub(crate) struct Works {
    pub(crate) folder: TempDir,
    pub(crate) server: Serve,
    pub(crate) token: String,
}

impl Works {
    pub(crate) fn new(things: &[&str]) -> Self {
        Self::with(things, &OPEN)
    }

    pub(crate) fn with(things: &[&str], ways: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Serve::start_with(&folder.path().join("data"), ways);
        let token = server.token().to_owned();
        let works = Self {
            folder,
            server,
            token,
        };
        let openssl = Command::new("openssl")
            .args(["ec", "-in", KEY, "-pubout", "-out"])
            .arg(works.path("trusted.pem"))
            .output()
            .expect("openssl");
        assert!(openssl.status.success(), "{openssl:?}");
        // A thing is known once it has been there.
        for thing in things {
            let said = works.device(thing, &[]).run().good();
            assert_eq!(
                steps(&events(&said)[1..]),
                ["booted", "connected", "no-job"],
                "{said}"
            );
        }
        works
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn mqtt(&self) -> &str {
        self.server.greets_with("mqtt ").expect("MQTT")
    }

    /// A way to the server on which this happens.
    pub(crate) fn network(&self, weather: Weather) -> Lossy {
        let server = self.mqtt().strip_prefix("mqtt://").expect("mqtt");
        Lossy::to(server, weather)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    /// A device that does its jobs, once.
    pub(crate) fn device(&self, thing: &str, more: &[&str]) -> Command {
        self.device_at(self.mqtt(), thing, more)
    }

    pub(crate) fn device_at(&self, server: &str, thing: &str, more: &[&str]) -> Command {
        let mut command = airlift(["device", "run", "--protocol", "mqtt", "--once", "--json"]);
        command
            .args(["--server", server, "--thing", thing, "--patience", "150ms"])
            .args([
                "--trust",
                "trusted.pem",
                "--flash",
                &format!("{thing}.flash"),
            ])
            .args(more)
            .current_dir(self.folder.path());
        command
    }

    pub(crate) fn job(&self, args: &[&str]) -> Command {
        let mut command = airlift(["job"]);
        command
            .args(args)
            .args(["--server", &self.server.url])
            .env("AIRLIFT_TOKEN", &self.token)
            .current_dir(self.folder.path());
        command
    }

    pub(crate) fn make(&self, id: &str, things: &[&str], files: &[&str]) {
        let things = things.iter().flat_map(|thing| ["--thing", thing]);
        let files = files.iter().flat_map(|file| ["--file", file]);
        let args = ["create", "--job-id", id, "--sign-key", KEY];
        let args: Vec<&str> = args.into_iter().chain(things).chain(files).collect();
        self.job(&args).run().good();
    }

    pub(crate) fn shown(&self, id: &str) -> Value {
        let text = self.job(&["show", id, "--json"]).run().good();
        serde_json::from_str(&text).expect("JSON")
    }

    /// Status and details of what a thing did with a job.
    pub(crate) fn execution(&self, id: &str, thing: &str) -> (String, Value) {
        let shown = self.shown(id);
        let executions = shown["executions"].as_array().expect("executions");
        let found = executions.iter().find(|e| e["thing"] == thing);
        let found = found.unwrap_or_else(|| panic!("{thing} is not in {shown}"));
        let status = found["status"].as_str().expect("a status");
        (status.to_owned(), found["status_details"].clone())
    }

    /// The device runs this version, confirmed.
    pub(crate) fn runs(&self, thing: &str, version: &str) {
        self.runs_with(thing, version, &[]);
    }

    pub(crate) fn runs_with(&self, thing: &str, version: &str, more: &[&str]) {
        let ended = self.device(thing, more).run();
        let all = events(&ended.good());
        assert_eq!(all[0]["event"], "booted");
        assert_eq!(all[0]["version"], version, "{all:?}");
        assert_eq!(all[0]["trial"], false, "{all:?}");
    }
}

pub(crate) fn find<'e>(all: &'e [Value], name: &str) -> Option<&'e Value> {
    all.iter().find(|event| event["event"] == name)
}

pub(crate) fn succeeded(ended: Ended) -> Vec<Value> {
    let all = events(&ended.good());
    let last = all.iter().rfind(|event| event["event"] == "job-told");
    assert_eq!(last.expect("a report")["status"], "SUCCEEDED", "{all:?}");
    all
}
