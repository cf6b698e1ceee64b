//! Virtual devices that ask as ESP32 clients do.

use std::collections::BTreeMap;
use std::sync::Arc;

use airlift_formats::esp::app_image::ChipId;
use airlift_server::{Parts, Server};
use serde_json::Value;

use crate::harness::{TestClock, TestServer, config, send};
use crate::images::{esp32, md5_hex, sha256_hex};

/// Devices of project `lotus` with the key `k`, and their server.
pub(super) struct Fleet {
    pub(super) server: TestServer,
    pub(super) clock: Arc<TestClock>,
    /// The image that each one runs.
    pub(super) devices: BTreeMap<String, Vec<u8>>,
    /// The last one that was published held.
    newest: Vec<u8>,
    base: Vec<u8>,
}

impl Fleet {
    /// So many devices, `n0` and so on, that run 1.0.0, which is offered to everybody; they have asked once.
    pub(super) async fn of(count: usize) -> Self {
        // A day after the epoch, so that there is a past.
        let clock = TestClock::at(86_400_000);
        let mut parts = Parts::default();
        parts.clock = clock.clone();
        let server = TestServer::start_with(|_| {}, parts).await;
        let base = esp32(ChipId::ESP32, "1.0.0", 1);
        assert_eq!(
            server.publish("project=lotus&key=k", &base).await.status,
            201
        );
        let mut fleet = Self {
            server,
            clock,
            devices: BTreeMap::new(),
            newest: base.clone(),
            base,
        };
        for index in 0..count {
            fleet.add(&format!("n{index}"));
        }
        assert!(fleet.poll_all().await.is_empty());
        fleet
    }

    /// One more device.
    pub(super) fn add(&mut self, node: &str) {
        self.devices.insert(node.to_owned(), self.base.clone());
    }

    pub(super) async fn publish_held(&mut self, version: &str) -> i64 {
        let seed = version.as_bytes()[0];
        self.newest = esp32(ChipId::ESP32, version, seed);
        let published = self
            .server
            .publish("project=lotus&key=k&hold=true", &self.newest)
            .await;
        assert_eq!(published.status, 201, "{published:?}");
        assert_eq!(
            (&published.body["offered"], &published.body["held"]),
            (&false.into(), &true.into())
        );
        published.body["id"].as_i64().unwrap()
    }

    pub(super) async fn roll_out(&self, plan: Value) -> Value {
        let made = self.server.post("/dev/rollouts", plan).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body
    }

    pub(super) async fn show(&self, rollout: i64) -> Value {
        let shown = self.server.get(&format!("/dev/rollouts/{rollout}")).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        shown.body
    }

    /// Devices of the first rollout in that state.
    pub(super) async fn devices(&self, state: &str) -> Vec<String> {
        let path = format!("/dev/rollouts/1/devices?state={state}");
        let listed = self.server.get(&path).await.body;
        let devices = listed["devices"].as_array().unwrap().iter();
        devices
            .map(|device| device["node"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(super) async fn explain(&self, node: &str) -> Value {
        let explained = self
            .server
            .get(&format!("/dev/devices/{node}/explain"))
            .await;
        assert_eq!(explained.status, 200, "{explained:?}");
        explained.body
    }

    /// A check-in.
    pub(super) fn ask(&self, node: &str) -> reqwest::RequestBuilder {
        let runs = md5_hex(&self.devices[node]);
        self.server
            .http
            .get(self.server.url(&format!("/ota_update/dev/lotus/{node}/k")))
            .header("x-ESP32-sketch-md5", runs)
            .header("x-ESP32-mode", "sketch")
    }

    /// The version that it is sent.
    pub(super) async fn offered_version(&self, node: &str) -> Option<String> {
        let answer = self.ask(node).send().await.unwrap();
        let version = answer.headers().get("x-version");
        (answer.status() == 200).then(|| version.unwrap().to_str().unwrap().to_owned())
    }

    /// Lets every device ask that is not in an update already; those that are sent the newest release.
    pub(super) async fn poll_all(&mut self) -> Vec<String> {
        let busy = self.busy().await;
        let mut offered = Vec::new();
        for node in self.devices.keys().filter(|node| !busy.contains(node)) {
            let answer = self.ask(node).send().await.unwrap();
            if answer.status() == 200 {
                assert_eq!(answer.bytes().await.unwrap(), self.newest, "{node}");
                offered.push(node.clone());
            } else {
                assert_eq!(answer.status(), 304, "{node}");
            }
        }
        offered
    }

    /// Devices that are in an update, and run what they ran before.
    async fn busy(&self) -> Vec<String> {
        let rollouts = self.server.get("/dev/rollouts").await.body;
        let mut busy = Vec::new();
        for rollout in rollouts["rollouts"].as_array().unwrap() {
            let path = format!("/dev/rollouts/{}/devices?state=offered", rollout["id"]);
            let listed = self.server.get(&path).await.body;
            for device in listed["devices"].as_array().unwrap() {
                let node = device["node"].as_str().unwrap();
                if self.devices[node] != self.newest {
                    busy.push(node.to_owned());
                }
            }
        }
        busy
    }

    /// They run the newest release from now on, and have asked once.
    pub(super) async fn confirm(&mut self, nodes: &[String]) {
        for node in nodes {
            self.devices.insert(node.clone(), self.newest.clone());
            assert_eq!(self.ask(node).send().await.unwrap().status(), 304, "{node}");
        }
    }

    /// Says how its update ended, with its next check-in.
    pub(super) async fn report(
        &self,
        node: &str,
        state: &str,
        reason: &str,
    ) -> reqwest::StatusCode {
        let sha256 = sha256_hex(&self.newest);
        let reason = if reason.is_empty() {
            String::new()
        } else {
            format!("; reason={reason}")
        };
        let report = format!("state={state}; sha256={sha256}{reason}");
        let ask = self.ask(node).header("x-Airlift-Update", report);
        ask.send().await.unwrap().status()
    }

    /// Stops the server and starts another one on the same folder.
    pub(super) async fn restart(self) -> Self {
        let TestServer {
            server,
            admin,
            data,
            http,
        } = self.server;
        server.shutdown().await;
        let mut parts = Parts::default();
        parts.clock = self.clock.clone();
        let server = Server::start_with(config(data.path()), parts)
            .await
            .unwrap();
        let server = TestServer {
            server,
            admin,
            data,
            http,
        };
        Self { server, ..self }
    }

    pub(super) async fn act(&self, rollout: i64, action: &str) -> crate::harness::Answer {
        send(
            self.server
                .api("POST", &format!("/dev/rollouts/{rollout}/{action}")),
        )
        .await
    }
}
