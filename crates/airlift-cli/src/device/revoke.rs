//! `airlift device revoke`: a thing that may not sign in any more.

use anyhow::Context;

use crate::access::Access;
use crate::output::{self, Look};

/// Keep a device out: its connection is closed at once, and it cannot sign in any more
///
/// Its jobs and what is known of it stay. `airlift device enroll` gives it a new credential and lets it in again.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the thing
    #[arg(value_name = "THING")]
    thing: String,
    /// Organization that the thing belongs to
    #[arg(long, value_name = "NAME")]
    org: String,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("warn");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(args.access.api()?.block(&args.org, &args.thing))?;
    let look = Look::stdout();
    let text = format!("{} {}\n", look.good("Revoked"), look.bold(&args.thing));
    output::print(&text);
    Ok(())
}
