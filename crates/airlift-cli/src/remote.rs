//! Commands that ask a server: which one, in whose name, and how its answers are shown.

use anyhow::Context;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::Api;
use crate::output;
use crate::publish::{MAX_NAME, check_name};

/// Which server, and who asks.
#[derive(clap::Args)]
pub(crate) struct Remote {
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "AIRLIFT_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
    /// Token that the server gave out
    #[arg(
        long,
        value_name = "TOKEN",
        env = "AIRLIFT_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// Organization that the devices belong to
    #[arg(long, value_name = "NAME")]
    org: String,
    /// Print the answer of the server as JSON
    #[arg(long)]
    json: bool,
}

/// A connection for one command.
pub(crate) struct Session<'a> {
    remote: &'a Remote,
    api: Api,
    runtime: tokio::runtime::Runtime,
}

impl Remote {
    pub(crate) fn session(&self) -> anyhow::Result<Session<'_>> {
        crate::log_to_stderr("warn");
        check_name("--org", Some(&self.org), MAX_NAME)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start")?;
        Ok(Session {
            remote: self,
            api: Api::new(&self.server, &self.token)?,
            runtime,
        })
    }
}

impl Session<'_> {
    pub(crate) fn get(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.call(Method::GET, path, query, None)
    }

    pub(crate) fn post(&self, path: &[&str], body: Option<&Value>) -> anyhow::Result<Value> {
        self.call(Method::POST, path, &[], body)
    }

    pub(crate) fn patch(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.call(Method::PATCH, path, &[], Some(body))
    }

    fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let call = self.api.call(method, &self.remote.org, path, query, body);
        self.runtime.block_on(call)
    }

    /// Prints an answer: for people, or with `--json` as it came.
    pub(crate) fn print<T: DeserializeOwned>(
        &self,
        answer: Value,
        for_people: impl FnOnce(T) -> String,
    ) -> anyhow::Result<()> {
        if self.remote.json {
            let text = serde_json::to_string_pretty(&answer)?;
            output::print(&format!("{text}\n"));
            return Ok(());
        }
        let answer = serde_json::from_value(answer)
            .context("the answer is not that of this version of an Airlift server")?;
        output::print(&for_people(answer));
        Ok(())
    }
}

/// A time without its fractions of a second, as it is read at a glance.
pub(crate) fn short_time(time: &str) -> String {
    let seconds = time.split_once('.').map_or(time, |(seconds, _)| seconds);
    seconds.replacen('T', " ", 1).replace('Z', "")
}
