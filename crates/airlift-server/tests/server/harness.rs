//! A running server with an organization, and the clients that speak to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use airlift_server::{Clock, Config, Parts, RunningServer, Server, Timestamp};
use serde_json::{Value, json};

/// A server on a free port, with its data in a temporary folder.
pub(crate) struct TestServer {
    pub(crate) server: RunningServer,
    pub(crate) admin: String,
    pub(crate) data: tempfile::TempDir,
    pub(crate) http: reqwest::Client,
}

/// A clock that stands still until it is told to go on.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn at(ms: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(ms)))
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The stable code of a problem.
    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        self.body["code"].as_str().unwrap_or_default()
    }
}

pub(crate) fn config(data: &Path) -> Config {
    Config::new(data, SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A client. Without TLS use, but the library wants a provider chosen all the same.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

impl TestServer {
    /// A server with organization `dev` and its projects `lotus` and `other`.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, Parts::default()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config), parts: Parts) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(data.path());
        change(&mut config);
        let server = Server::start_with(config, parts)
            .await
            .expect("the server starts");
        let admin = server
            .admin_token()
            .expect("the first start shows the token");
        let server = Self {
            server,
            admin,
            data,
            http: client(),
        };
        for (path, name) in [
            ("", "dev"),
            ("/dev/projects", "lotus"),
            ("/dev/projects", "other"),
            ("", "foreign"),
        ] {
            let made = server.post(path, json!({ "name": name })).await;
            assert_eq!(made.status, 201, "{made:?}");
        }
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.local_addr())
    }

    /// A request to the API, below `/api/v1/organizations`.
    pub(crate) fn api(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http
            .request(method, self.url(&format!("/api/v1/organizations{path}")))
            .bearer_auth(&self.admin)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.api("POST", path).json(&body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.api("GET", path)).await
    }

    /// Publishes with the administrator's token in `dev`.
    pub(crate) async fn publish(&self, parameters: &str, image: &[u8]) -> Answer {
        send(
            self.api("POST", &format!("/dev/releases?{parameters}"))
                .body(image.to_vec()),
        )
        .await
    }

    /// What the registry says of a device of `dev`.
    pub(crate) async fn device(&self, node: &str) -> Value {
        let shown = self.get(&format!("/dev/devices/{node}")).await;
        assert_eq!(shown.status, 200, "{shown:?}");
        shown.body
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get("content-type")
        .map(|value| value.to_str().expect("text").to_owned());
    let bytes = response.bytes().await.expect("a body");
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).expect("JSON")
    };
    Answer {
        status,
        content_type: content_type.unwrap_or_default(),
        body,
    }
}

/// A file of the golden vectors.
pub(crate) fn golden(path: &str) -> Vec<u8> {
    let file = format!(
        "{}/../../../shared/golden/{path}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&file)
        .unwrap_or_else(|error| panic!("golden vector {file} is needed for this test: {error}"))
}
