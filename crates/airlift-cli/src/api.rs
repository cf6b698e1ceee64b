//! The server's HTTP API, as the commands use it.

pub(crate) mod jobs;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(8);
/// How long an answer may take, beyond the time for what is sent.
const PATIENCE: Duration = Duration::from_secs(60);
/// The slowest upload that is waited for, in bytes a second.
const SLOWEST: u64 = 2048;
/// Longest text of an answer that is not the API's own which is shown.
const MAX_FOREIGN_TEXT: usize = 200;

/// A server, and who asks.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    server: Url,
    token: String,
}

/// Which devices a release is for.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) organization: String,
    /// `None`: all projects.
    pub(crate) project: Option<String>,
    pub(crate) key: String,
    /// Only this device.
    pub(crate) node: Option<String>,
}

/// What to publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload<'a> {
    pub(crate) file: &'a Path,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// `None`: what the image says.
    pub(crate) version: Option<&'a str>,
    /// The file is data for this partition, not an app.
    pub(crate) partition: Option<&'a str>,
    /// What the data holds; `None`: what the server sees in it.
    pub(crate) file_system: Option<&'a str>,
    /// Base64, of a key that is not here.
    pub(crate) signature: Option<&'a str>,
    pub(crate) force: bool,
    /// Offered by rollouts only.
    pub(crate) hold: bool,
    /// Offered also to devices that run a newer version.
    pub(crate) allow_downgrade: bool,
}

/// A release that was published.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Published {
    pub(crate) id: i64,
    /// The partition that it is for; `None`: it is an app.
    #[serde(default)]
    pub(crate) partition: Option<String>,
    /// What the data holds, when that is known.
    #[serde(default)]
    pub(crate) file_system: Option<String>,
    pub(crate) version: String,
    pub(crate) size: u64,
    pub(crate) md5: String,
    pub(crate) sha256: String,
    /// `false`: the server offered exactly this already.
    pub(crate) created: bool,
    /// Offered by rollouts only.
    #[serde(default)]
    pub(crate) held: bool,
    /// The release that was offered before.
    pub(crate) replaces: Option<i64>,
    /// Base64.
    #[serde(default)]
    pub(crate) signature: Option<String>,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    /// What a Matter OTA image says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) matter: Option<PublishedMatter>,
}

/// What a Matter OTA image says of itself.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PublishedMatter {
    pub(crate) vendor_id: u16,
    pub(crate) product_id: u16,
    pub(crate) software_version: u32,
    pub(crate) software_version_string: String,
    /// `None`: the payload is one image.
    pub(crate) parts: Option<u32>,
}

/// What the server knows of a device.
#[derive(Debug, Deserialize)]
pub(crate) struct KnownDevice {
    /// What it last said that it runs.
    pub(crate) version: Option<String>,
    /// How its last update ended, by its own word.
    pub(crate) result: Option<KnownResult>,
    /// Newest first.
    #[serde(default)]
    pub(crate) events: Vec<KnownEvent>,
    #[serde(default)]
    pub(crate) partitions: Vec<KnownPartition>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KnownPartition {
    pub(crate) name: String,
    /// What was last installed there, by the device's word.
    pub(crate) sha256: Option<String>,
    pub(crate) result: Option<KnownResult>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KnownResult {
    pub(crate) state: String,
    pub(crate) version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KnownEvent {
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    pub(crate) reason: Option<String>,
}

/// A thing that is to be given a credential.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enrollment<'a> {
    pub(crate) organization: &'a str,
    pub(crate) thing: &'a str,
    pub(crate) project: &'a str,
    pub(crate) key: Option<&'a str>,
    /// `None`: a password.
    pub(crate) csr: Option<&'a str>,
}

/// How the API says no.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Api {
    /// `server`: `http://HOST[:PORT]` or `https://...`, with or without a path in front of the API.
    pub(crate) fn new(server: &str, token: &str) -> anyhow::Result<Self> {
        let wrong = || {
            format!(
                "{server}: not the address of a server; write for example http://127.0.0.1:8080"
            )
        };
        let url = Url::parse(server).ok();
        let url = url
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(wrong)?;
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!(
                "the token is empty or has characters that no token has: give the one that `airlift serve` printed, with --token or AIRLIFT_TOKEN"
            );
        }
        // Fails if somebody was faster: then there is one, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot prepare connections")?;
        Ok(Self {
            client,
            server: url,
            token: token.to_owned(),
        })
    }

    /// Address below the API; segments are escaped.
    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.request_at(method, self.url(segments))
    }

    fn request_at(&self, method: Method, url: Url) -> RequestBuilder {
        self.client
            .request(method, url)
            .bearer_auth(&self.token)
            .timeout(PATIENCE)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = request.send().await.map_err(|e| self.no_answer(&e))?;
        let response = self.checked(response).await?;
        response.json().await.with_context(|| {
            format!(
                "{}: the answer is not that of an Airlift server",
                self.server
            )
        })
    }

    fn no_answer(&self, error: &reqwest::Error) -> anyhow::Error {
        let server = self.server.as_str().trim_end_matches('/');
        let cause = innermost(error);
        if error.is_connect() {
            anyhow::anyhow!(
                "cannot reach the server {server}: {cause}; is it running (`airlift serve`), and is the address right?"
            )
        } else if error.is_timeout() {
            anyhow::anyhow!("the server {server} does not answer")
        } else {
            anyhow::anyhow!("the connection to {server} broke: {cause}")
        }
    }

    /// An answer that says yes; otherwise what the server says is wrong, and what to do about it.
    async fn checked(&self, response: Response) -> anyhow::Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            let text = String::from_utf8_lossy(&body);
            let text: String = text
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_FOREIGN_TEXT)
                .collect();
            bail!(
                "{} answered {status}: {text}; is this the address of an Airlift server?",
                self.server
            );
        };
        let detail = problem.detail;
        Err(match (problem.code.as_str(), status) {
            (_, StatusCode::UNAUTHORIZED) => anyhow::anyhow!(
                "the server does not know this token: give the one that `airlift serve` printed at its first start, with --token or AIRLIFT_TOKEN"
            ),
            ("image-too-large", _) => anyhow::anyhow!(
                "{detail}; start the server with a larger --max-image-size if the devices have room for it"
            ),
            ("chip-differs" | "image-project-differs" | "image-is-app", _) => {
                anyhow::anyhow!("{detail} (--force)")
            }
            _ => anyhow::anyhow!("{detail}"),
        })
    }

    /// Makes an organization.
    pub(crate) async fn create_organization(&self, name: &str) -> anyhow::Result<()> {
        let request = self.request(Method::POST, &["organizations"]);
        let request = request.json(&serde_json::json!({ "name": name }));
        self.send::<serde_json::Value>(request).await.map(drop)
    }

    /// Makes a project.
    pub(crate) async fn create_project(
        &self,
        organization: &str,
        name: &str,
    ) -> anyhow::Result<()> {
        let segments = ["organizations", organization, "projects"];
        let request = self.request(Method::POST, &segments);
        let request = request.json(&serde_json::json!({ "name": name }));
        self.send::<serde_json::Value>(request).await.map(drop)
    }

    /// Makes a token for one organization.
    pub(crate) async fn create_token(
        &self,
        organization: &str,
        label: &str,
    ) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Created {
            token: String,
        }
        let segments = ["organizations", organization, "tokens"];
        let request = self.request(Method::POST, &segments);
        let request = request.json(&serde_json::json!({ "label": label }));
        Ok(self.send::<Created>(request).await?.token)
    }

    /// A request below an organization, with JSON in and out.
    pub(crate) async fn call(
        &self,
        method: Method,
        organization: &str,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<serde_json::Value> {
        let segments = [&["organizations", organization], path].concat();
        let mut url = self.url(&segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url).bearer_auth(&self.token);
        let mut request = request.timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    /// Whether server and token are good: to be told before an upload, not in the middle of it.
    pub(crate) async fn check_token(&self) -> anyhow::Result<()> {
        let request = self.request(Method::GET, &["organizations"]);
        self.send::<serde_json::Value>(request).await.map(drop)
    }

    /// Publishes a file. `progress` hears how many bytes more were sent.
    pub(crate) async fn publish(
        &self,
        place: &Place,
        upload: &Upload<'_>,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> anyhow::Result<Published> {
        let (file, size) = (upload.file, upload.size);
        let opened = tokio::fs::File::open(file)
            .await
            .with_context(|| format!("{}: cannot read the image", file.display()))?;
        let stream = ReaderStream::with_capacity(opened.take(size), 64 << 10);
        let counted = futures_util::StreamExt::inspect(stream, move |piece| {
            if let Ok(bytes) = piece {
                progress(bytes.len() as u64);
            }
        });

        let mut query: Vec<(&str, &str)> = vec![("key", &place.key)];
        match &place.project {
            Some(project) => query.push(("project", project)),
            None => query.push(("all_projects", "true")),
        }
        if let Some(node) = &place.node {
            query.push(("node", node));
        }
        let texts = [
            ("version", upload.version),
            ("partition", upload.partition),
            ("file_system", upload.file_system),
            ("signature", upload.signature),
        ];
        query.extend(
            texts
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?))),
        );
        let flags = [
            ("force", upload.force),
            ("hold", upload.hold),
            ("allow_downgrade", upload.allow_downgrade),
        ];
        let set = flags.into_iter().filter(|(_, is_set)| *is_set);
        query.extend(set.map(|(name, _)| (name, "true")));
        let segments = ["organizations", &place.organization, "releases"];
        let mut url = self.url(&segments);
        url.query_pairs_mut().extend_pairs(query);
        let request = self
            .client
            .post(url)
            .bearer_auth(&self.token)
            .timeout(PATIENCE + Duration::from_secs(size / SLOWEST))
            .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
            .header(reqwest::header::CONTENT_LENGTH, size)
            .body(reqwest::Body::wrap_stream(counted));
        self.send(request).await
    }

    /// Gives a thing a credential.
    pub(crate) async fn enroll<T: DeserializeOwned>(
        &self,
        enrollment: &Enrollment<'_>,
    ) -> anyhow::Result<T> {
        let Enrollment {
            organization,
            thing,
            project,
            key,
            csr,
        } = *enrollment;
        let segments = ["organizations", organization, "things", thing, "credential"];
        let request = self.request(Method::POST, &segments);
        let body = serde_json::json!({ "project": project, "key": key, "csr": csr });
        self.send(request.json(&body)).await
    }

    /// Keeps a thing from signing in.
    pub(crate) async fn block(&self, organization: &str, thing: &str) -> anyhow::Result<()> {
        let segments = ["organizations", organization, "things", thing, "block"];
        let request = self.request(Method::POST, &segments);
        let response = request.send().await.map_err(|e| self.no_answer(&e))?;
        self.checked(response).await.map(drop)
    }

    /// What the server knows of a device.
    pub(crate) async fn device(
        &self,
        organization: &str,
        node: &str,
    ) -> anyhow::Result<KnownDevice> {
        let segments = ["organizations", organization, "devices", node];
        self.send(self.request(Method::GET, &segments)).await
    }
}

/// The cause that an operating system gave, without the layers around it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
