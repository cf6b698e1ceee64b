//! A server that is killed in the middle of something. It runs in a process of its own: this same test binary.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use airlift_server::Server;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{client, config, send};
use crate::images::{esp8266, md5_hex, sha256_hex};
use crate::publishing::files_below;

const DATA: &str = "AIRLIFT_TEST_SERVER_DATA";

/// Not a test: what the child process runs.
#[test]
#[ignore = "the child process of the tests beside it"]
fn serve() {
    let Some(data) = std::env::var_os(DATA) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::start(config(Path::new(&data))).await.unwrap();
        println!("\naddress {}", server.local_addr());
        println!("token {}", server.admin_token().unwrap_or_default());
        std::future::pending::<()>().await;
    });
}

struct ServerProcess {
    child: Child,
    address: SocketAddr,
    token: String,
    http: Client,
}

impl ServerProcess {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "killed::serve", "--nocapture"])
            .env(DATA, data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut value = |name: &str| {
            lines
                .find_map(|line| line.strip_prefix(name).map(str::to_owned))
                .unwrap()
        };
        let (address, token) = (value("address ").parse().unwrap(), value("token "));
        Self {
            child,
            address,
            token,
            http: client(),
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn publish(&self, image: &[u8]) -> u16 {
        let url = format!(
            "http://{}/api/v1/organizations/dev/releases?project=lotus&key=k&version=1",
            self.address
        );
        send(
            self.http
                .put(url)
                .bearer_auth(&self.token)
                .body(image.to_vec()),
        )
        .await
        .status
    }

    async fn releases(&self) -> Value {
        let url = format!("http://{}/api/v1/organizations/dev/releases", self.address);
        send(self.http.get(url).bearer_auth(&self.token)).await.body["releases"].clone()
    }

    fn update_url(&self) -> String {
        format!("http://{}/ota_update/dev/lotus/n1/k", self.address)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn killed_during_an_upload() {
    let data = tempfile::tempdir().unwrap();
    let (first, second) = (esp8266(1, 4000), esp8266(2, 1_000_000));
    let mut server = ServerProcess::start(data.path());
    assert_eq!(server.publish(&first).await, 201);
    let token = server.token.clone();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "PUT /api/v1/organizations/dev/releases?project=lotus&key=k&version=2 HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        second.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&second[..second.len() / 2]).await.unwrap();
    // Under way: the temporary file is there.
    while files_below(&data.path().join("incoming")).is_empty() {
        tokio::task::yield_now().await;
    }
    server.kill();
    assert!(
        !files_below(&data.path().join("incoming")).is_empty(),
        "it was killed, so nobody cleaned up"
    );

    let mut server = ServerProcess::start(data.path());
    assert_eq!(server.token, "", "the token is shown once");
    server.token = token;
    assert!(files_below(&data.path().join("incoming")).is_empty());
    assert_eq!(server.releases().await.as_array().unwrap().len(), 1);
    assert_eq!(
        server
            .http
            .get(server.update_url())
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        first
    );
    assert_eq!(server.publish(&second).await, 201);
    assert_eq!(
        server
            .http
            .get(server.update_url())
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        second
    );
}

#[tokio::test]
async fn killed_during_a_download() {
    let data = tempfile::tempdir().unwrap();
    let image = esp8266(3, 14_000_000);
    let mut server = ServerProcess::start(data.path());
    assert_eq!(server.publish(&image).await, 201);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /ota_update/dev/lotus/n1/k HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut received = vec![0; 100_000];
    stream.read_exact(&mut received).await.unwrap();
    server.kill();
    // What the kernel still had; then the end, early.
    let _ = stream.read_to_end(&mut received).await;
    let body = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    let have = &received[body..];
    assert!(
        have.len() < image.len(),
        "the whole image was in the kernel's buffers: this proves nothing"
    );
    assert_eq!(have, &image[..have.len()]);

    let server = ServerProcess::start(data.path());
    let rest = server
        .http
        .get(server.update_url())
        .header("Range", format!("bytes={}-", have.len()))
        .header("If-Range", format!("\"{}\"", sha256_hex(&image)))
        .send()
        .await
        .unwrap();
    assert_eq!(rest.status(), 206);
    assert_eq!(rest.headers()["x-md5"], md5_hex(&image).as_str());
    assert_eq!([have, &rest.bytes().await.unwrap()].concat(), image);
}

#[tokio::test]
async fn killed_after_check_ins_it_forgets_at_most_those_of_the_last_moment() {
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path());
    assert_eq!(server.publish(&esp8266(1, 400)).await, 201);
    let token = server.token.clone();
    server
        .http
        .get(server.update_url())
        .header("x-ESP8266-version", "1.2.3")
        .send()
        .await
        .unwrap();
    // Showing a device writes first what is still to be written.
    let url = |server: &ServerProcess| {
        format!(
            "http://{}/api/v1/organizations/dev/devices/n1",
            server.address
        )
    };
    let before = send(server.http.get(url(&server)).bearer_auth(&token))
        .await
        .body;
    assert_eq!(before["version"], json!("1.2.3"));
    server.kill();
    let server = ServerProcess::start(data.path());
    assert_eq!(
        send(server.http.get(url(&server)).bearer_auth(&token))
            .await
            .body,
        before
    );
}

impl ServerProcess {
    /// A request of the API, or of a thing.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.request(method.parse().unwrap(), url);
        let answer = send(request.bearer_auth(&self.token).json(body)).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.body
    }

    /// Killed, and started again on the same data.
    fn again(mut self, data: &Path) -> Self {
        self.kill();
        let token = self.token.clone();
        let mut server = Self::start(data);
        server.token = token;
        server
    }
}

#[tokio::test]
async fn killed_between_the_steps_of_a_job_it_goes_on_with_the_next() {
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path());
    assert_eq!(server.publish(&esp8266(1, 4000)).await, 201);
    let organization = "/api/v1/organizations/dev";
    let thing = json!({ "name": "dev-1", "project": "lotus" });
    server
        .ask("POST", &format!("{organization}/things"), &thing)
        .await;
    server = server.again(data.path());
    let job = json!({ "job_id": "up", "things": ["dev-1"], "release": 1 });
    let made = server
        .ask("POST", &format!("{organization}/jobs"), &job)
        .await;
    server = server.again(data.path());
    assert_eq!(
        server
            .ask("GET", &format!("{organization}/jobs/up"), &json!({}))
            .await,
        made
    );

    let started = server
        .ask("PUT", "/things/dev-1/jobs/$next", &json!({}))
        .await;
    assert_eq!(started["execution"]["versionNumber"], 2);
    server = server.again(data.path());
    assert_eq!(
        server
            .ask("PUT", "/things/dev-1/jobs/$next", &json!({}))
            .await,
        started
    );
    let progress = json!({ "status": "IN_PROGRESS", "statusDetails": { "receive": "64/128" }, "stepTimeoutInMinutes": 5 });
    server.ask("POST", "/things/dev-1/jobs/up", &progress).await;
    server = server.again(data.path());
    let next = server
        .ask("GET", "/things/dev-1/jobs/$next", &json!({}))
        .await;
    assert_eq!(
        next["execution"]["statusDetails"],
        json!({ "receive": "64/128" })
    );
    assert_eq!(next["execution"]["versionNumber"], 3);
    assert!(
        next["execution"]["approximateSecondsBeforeTimedOut"]
            .as_i64()
            .unwrap()
            > 200
    );
    let done = json!({ "status": "SUCCEEDED", "expectedVersion": "3" });
    server.ask("POST", "/things/dev-1/jobs/up", &done).await;
    server = server.again(data.path());
    assert_eq!(
        server
            .ask("PUT", "/things/dev-1/jobs/$next", &json!({}))
            .await,
        json!({})
    );
    let shown = server
        .ask("GET", &format!("{organization}/jobs/up"), &json!({}))
        .await;
    assert_eq!(
        (&shown["status"], &shown["things"]),
        (&json!("COMPLETED"), &json!({ "SUCCEEDED": 1 }))
    );
}

#[tokio::test]
async fn killed_at_any_moment_it_has_what_it_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(data.path());
    assert_eq!(server.publish(&esp8266(1, 400)).await, 201);
    let thing = json!({ "name": "dev-1", "project": "lotus" });
    server
        .ask("POST", "/api/v1/organizations/dev/things", &thing)
        .await;
    let job = json!({ "job_id": "j", "things": ["dev-1"], "document": {} });
    server
        .ask("POST", "/api/v1/organizations/dev/jobs", &job)
        .await;
    let mut acknowledged = 1;
    for round in 0..5 {
        let (http, address, token) = (server.http.clone(), server.address, server.token.clone());
        let updates = tokio::spawn(async move {
            let url = format!("http://{address}/things/dev-1/jobs/j");
            let body = json!({ "status": "IN_PROGRESS", "includeJobExecutionState": true });
            let mut last = None;
            // Until the server is gone.
            while let Ok(answer) = http.post(&url).bearer_auth(&token).json(&body).send().await {
                let Ok(body) = answer.json::<Value>().await else {
                    break;
                };
                last = body["executionState"]["versionNumber"].as_i64().or(last);
            }
            last
        });
        // After so many more, whenever that is.
        loop {
            let now = server.ask("GET", "/things/dev-1/jobs/j", &json!({})).await;
            if now["execution"]["versionNumber"].as_i64().unwrap() > acknowledged + 3 * round {
                break;
            }
        }
        server = server.again(data.path());
        acknowledged = updates.await.unwrap().unwrap();
        let now = server.ask("GET", "/things/dev-1/jobs/j", &json!({})).await;
        let version = now["execution"]["versionNumber"].as_i64().unwrap();
        // The last one may have been stored without word of it getting through.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&version),
            "{acknowledged} {version}"
        );
        acknowledged = version;
    }
}
