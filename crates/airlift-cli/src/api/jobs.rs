//! Jobs and what belongs to them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{Api, PATIENCE, SLOWEST};

/// Things in one answer.
const PAGE: usize = 1000;

/// A job.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    pub(crate) job_id: String,
    pub(crate) description: String,
    pub(crate) status: String,
    pub(crate) kind: String,
    pub(crate) release: Option<i64>,
    pub(crate) automatic: bool,
    pub(crate) created_at: String,
    pub(crate) cancel_reason: Option<String>,
    pub(crate) cancel_comment: Option<String>,
    /// How many things are in which status with it.
    pub(crate) things: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) stream: Option<String>,
    #[serde(default)]
    pub(crate) files: Vec<JobFile>,
}

/// A file of a job.
#[derive(Debug, Deserialize)]
pub(crate) struct JobFile {
    pub(crate) file_id: u8,
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// What a thing makes of a job.
#[derive(Debug, Deserialize)]
pub(crate) struct Execution {
    pub(crate) thing: String,
    pub(crate) execution_number: u64,
    pub(crate) status: String,
    pub(crate) version_number: u64,
    pub(crate) status_details: Option<BTreeMap<String, String>>,
    pub(crate) queued_at: String,
    pub(crate) started_at: Option<String>,
    pub(crate) last_updated_at: String,
}

/// A file that was uploaded.
#[derive(Debug, Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) sha256: String,
}

impl Api {
    /// The organization of that name; without one the only one that the token can see.
    pub(crate) async fn organization(&self, name: Option<&str>) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct All {
            organizations: Vec<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        if let Some(name) = name {
            return Ok(name.to_owned());
        }
        let all: All = self
            .send(self.request(Method::GET, &["organizations"]))
            .await?;
        let mut names: Vec<_> = all.organizations.into_iter().map(|one| one.name).collect();
        match (names.pop(), names.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => bail!("the server has no organization yet: `airlift publish` makes one"),
            (Some(last), false) => {
                names.push(last);
                bail!(
                    "say which organization is meant: --org {}",
                    names.join(" or --org ")
                )
            }
        }
    }

    fn jobs(&self, method: Method, organization: &str, rest: &[&str]) -> RequestBuilder {
        self.jobs_with(method, organization, rest, &[])
    }

    fn jobs_with(
        &self,
        method: Method,
        organization: &str,
        rest: &[&str],
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        let segments = [&["organizations", organization, "jobs"], rest].concat();
        let mut url = self.url(&segments);
        url.query_pairs_mut().extend_pairs(query);
        self.request_at(method, url)
    }

    /// Makes a job.
    pub(crate) async fn create_job(
        &self,
        organization: &str,
        job: &Value,
    ) -> anyhow::Result<Value> {
        self.send(self.jobs(Method::POST, organization, &[]).json(job))
            .await
    }

    /// Makes a job with a document, which reaches the things byte for byte.
    pub(crate) async fn create_job_with(
        &self,
        organization: &str,
        job: &Value,
        document: &RawValue,
    ) -> anyhow::Result<Value> {
        #[derive(Serialize)]
        struct WithDocument<'a> {
            #[serde(flatten)]
            job: &'a Value,
            document: &'a RawValue,
        }
        let request = self.jobs(Method::POST, organization, &[]);
        self.send(request.json(&WithDocument { job, document }))
            .await
    }

    /// Shows a job.
    pub(crate) async fn job(&self, organization: &str, id: &str) -> anyhow::Result<Value> {
        self.send(self.jobs(Method::GET, organization, &[id])).await
    }

    /// The last execution of a job by each of its things.
    pub(crate) async fn executions(
        &self,
        organization: &str,
        id: &str,
    ) -> anyhow::Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct Page {
            executions: Vec<Value>,
        }
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all
                .last()
                .and_then(|last| last["thing"].as_str())
                .unwrap_or_default();
            let limit = PAGE.to_string();
            let request = self.jobs_with(
                Method::GET,
                organization,
                &[id, "executions"],
                &[("after", after), ("limit", &limit)],
            );
            let page: Page = self.send(request).await?;
            let is_last = page.executions.len() < PAGE;
            all.extend(page.executions);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The newest jobs.
    pub(crate) async fn list_jobs(
        &self,
        organization: &str,
        limit: u16,
    ) -> anyhow::Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct Page {
            jobs: Vec<Value>,
        }
        let limit = limit.to_string();
        let request = self.jobs_with(Method::GET, organization, &[], &[("limit", &limit)]);
        let page: Page = self.send(request).await?;
        Ok(page.jobs)
    }

    /// Cancels a job.
    pub(crate) async fn cancel_job(
        &self,
        organization: &str,
        id: &str,
        cancellation: &Value,
    ) -> anyhow::Result<Value> {
        let request = self.jobs(Method::POST, organization, &[id, "cancel"]);
        self.send(request.json(cancellation)).await
    }

    /// Deletes a job.
    pub(crate) async fn delete_job(
        &self,
        organization: &str,
        id: &str,
        force: bool,
    ) -> anyhow::Result<()> {
        let force = if force { "true" } else { "false" };
        let request = self.jobs_with(Method::DELETE, organization, &[id], &[("force", force)]);
        let response = request.send().await.map_err(|e| self.no_answer(&e))?;
        self.checked(response).await.map(drop)
    }

    /// Uploads a file for a job. `progress` hears how many bytes more were sent.
    pub(crate) async fn upload(
        &self,
        organization: &str,
        file: &Path,
        size: u64,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> anyhow::Result<Uploaded> {
        let opened = tokio::fs::File::open(file)
            .await
            .with_context(|| format!("{}: cannot read the file", file.display()))?;
        let stream = ReaderStream::with_capacity(opened.take(size), 64 << 10);
        let counted = futures_util::StreamExt::inspect(stream, move |piece| {
            if let Ok(bytes) = piece {
                progress(bytes.len() as u64);
            }
        });
        let request = self
            .request(Method::POST, &["organizations", organization, "files"])
            .timeout(PATIENCE + std::time::Duration::from_secs(size / SLOWEST))
            .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
            .header(reqwest::header::CONTENT_LENGTH, size)
            .body(reqwest::Body::wrap_stream(counted));
        self.send(request).await
    }
}

/// Reads what the server answers, for people.
pub(crate) fn read<T: serde::de::DeserializeOwned>(answer: &Value) -> anyhow::Result<T> {
    T::deserialize(answer).context("the answer is not that of an Airlift server of this version")
}

/// A file, as a job is ordered with it.
pub(crate) fn ordered_file(
    sha256: &str,
    path: &str,
    certificate: Option<&str>,
    signature: Option<&str>,
) -> Value {
    json!({ "sha256": sha256, "path": path, "certificate": certificate, "signature": signature })
}
