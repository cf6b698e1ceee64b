//! Which server a command speaks to, and as whom.

use crate::api::Api;

/// The server, and who asks.
#[derive(clap::Args)]
pub(crate) struct Access {
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "AIRLIFT_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) server: String,
    /// Token that the server gave out
    #[arg(
        long,
        value_name = "TOKEN",
        env = "AIRLIFT_TOKEN",
        hide_env_values = true
    )]
    token: String,
}

impl Access {
    pub(crate) fn api(&self) -> anyhow::Result<Api> {
        Api::new(&self.server, &self.token)
    }
}
