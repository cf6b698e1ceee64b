//! Devices that come over MQTT: raw bytes where a test needs to be exact, `mosquitto_pub`, `mosquitto_sub` and `mosquitto_rr` as clients
//! that are not ours.

mod client;
mod delivery;
mod hostile;
mod identity;
mod mosquitto;
mod rules;
mod sessions;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use airlift_server::{Config, Parts};
use serde_json::{Value, json};

use crate::harness::{TestServer, send};
use client::{Client, Hello};

/// How long anything may take that happens at once on an idle machine.
const SOON: Duration = Duration::from_secs(20);

/// A loopback address with a port that the system picks.
fn any_port() -> Option<SocketAddr> {
    Some(([127, 0, 0, 1], 0).into())
}

/// A server with an MQTT door, with and without TLS, that lets anonymous things into `dev/lotus`.
async fn server() -> TestServer {
    server_with(|_| {}).await
}

async fn server_with(change: impl FnOnce(&mut Config)) -> TestServer {
    let open = |config: &mut Config| {
        config.mqtt.plain = any_port();
        config.mqtt.tls = any_port();
        config.mqtt.anonymous = Some(("dev".into(), "lotus".into()));
        change(config);
    };
    TestServer::start_with(open, Parts::default()).await
}

impl TestServer {
    fn mqtt(&self) -> SocketAddr {
        self.server.mqtt_addr().expect("it listens for MQTT")
    }

    fn mqtts(&self) -> SocketAddr {
        self.server
            .mqtts_addr()
            .expect("it listens for MQTT over TLS")
    }

    /// A client that is let in as an anonymous thing.
    async fn client(&self, hello: Hello<'_>) -> Client {
        let mut client = Client::open(self.mqtt()).await;
        let welcome = client.hello(&hello).await;
        assert_eq!(welcome.code, 0, "{hello:?}");
        client
    }

    /// What a thing is given to prove itself with.
    async fn enroll(&self, thing: &str, csr: Option<&str>) -> Value {
        let body = match csr {
            Some(csr) => json!({"project": "lotus", "csr": csr}),
            None => json!({"project": "lotus"}),
        };
        let path = format!("/dev/things/{thing}/credential");
        let enrolled = self.post(&path, body).await;
        assert_eq!(enrolled.status, 201, "{enrolled:?}");
        enrolled.body
    }

    /// A job for things that exist.
    async fn job_for(&self, id: &str, things: &[&str], content: Value) -> Value {
        let mut body = json!({"job_id": id, "things": things});
        for (key, value) in content.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let made = self.post("/dev/jobs", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body
    }

    /// A job that has a file fetched.
    async fn job_with_file(&self, id: &str, things: &[&str], file: &[u8]) {
        let uploaded = send(self.api("POST", "/dev/files").body(file.to_vec())).await;
        assert_eq!(uploaded.status, 201, "{uploaded:?}");
        let files = json!({"files": [{"sha256": uploaded.body["sha256"], "path": "firmware.bin"}]});
        self.job_for(id, things, files).await;
    }
}

/// A document for a job.
fn document() -> Value {
    json!({"document": {"operation": "blink"}})
}

fn topic(thing: &str, rest: &str) -> String {
    format!("$aws/things/{thing}/{rest}")
}

/// Resident memory of this process, which the server is a part of.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() << 10
}
