//! `airlift job`: jobs for things, as AWS IoT Jobs has them.

mod cancel;
mod create;
mod delete;
mod list;
mod show;

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::access::Access;
use crate::api::Api;
use crate::output::Look;

/// A command.
#[derive(Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    Show(show::Args),
    List(list::Args),
    Cancel(cancel::Args),
    Delete(delete::Args),
}

/// Whose jobs.
#[derive(clap::Args)]
struct Whose {
    /// Organization that the things belong to [default: the only one that the token can see]
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// Longest job id: the limit of AWS.
const MAX_JOB_ID: usize = 64;

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    crate::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    match command {
        Command::Create(args) => runtime.block_on(create::run(&args)),
        Command::Show(args) => runtime.block_on(show::run(&args)),
        Command::List(args) => runtime.block_on(list::run(&args)),
        Command::Cancel(args) => runtime.block_on(cancel::run(&args)),
        Command::Delete(args) => runtime.block_on(delete::run(&args)),
    }
}

impl Whose {
    /// The server, and the name of the organization.
    async fn find(&self) -> anyhow::Result<(Api, String)> {
        let name = self.org.as_ref();
        crate::publish::check_name("--org", name, crate::publish::MAX_NAME)?;
        let api = self.access.api()?;
        let organization = api.organization(name.map(String::as_str)).await?;
        Ok((api, organization))
    }
}

/// An id goes into an address: what a URL parser would drop or read otherwise must not get that far.
fn check_job_id(id: &str) -> anyhow::Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=MAX_JOB_ID).contains(&id.len()) || !id.bytes().all(allowed) {
        bail!("{id:?} is not a job id: it has 1 to {MAX_JOB_ID} of the characters A-Z a-z 0-9 _ -");
    }
    Ok(())
}

/// How a status is shown.
fn paint(status: &str) -> fn(Look, &str) -> String {
    match status {
        "SUCCEEDED" | "COMPLETED" => Look::good,
        "FAILED" | "REJECTED" | "TIMED_OUT" => Look::bad,
        "IN_PROGRESS" => Look::name,
        "CANCELED" | "REMOVED" => Look::warn,
        _ => |_, text| text.to_owned(),
    }
}
