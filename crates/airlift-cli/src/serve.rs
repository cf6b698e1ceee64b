//! `airlift serve`: the update server, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use airlift_server::{Config, Server};
use anyhow::Context;

use crate::output::{self, Look};
use crate::stop::Stop;

/// Run the update server
///
/// Everything is kept in one folder. The first start makes it and prints an admin token, once: with it firmware is
/// published and devices are looked at. Stop the server with Ctrl-C; what it acknowledged is on disk.
///
/// The environment variable `RUST_LOG` sets what is logged on standard error (default: info).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the database and the images; made at the first start
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address and port where devices, tools and people connect; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Largest image that may be published, for example 4MB
    #[arg(long, value_name = "SIZE", default_value = "16MB", value_parser = output::parse_size)]
    max_image_size: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("info");
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    runtime.block_on(serve(args))
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let look = Look::stdout();
    let mut config = Config::new(&args.data, args.http);
    config.max_image_size = args.max_image_size;
    // Before anything is announced: a signal that comes right after must not be lost.
    let mut stop = Stop::listen().context("cannot listen for signals")?;
    let server = Server::start(config).await?;
    let url = format!("http://{}", server.local_addr());

    let mut text = format!(
        "{} {}\n  data     {}\n  address  {}\n",
        look.bold("Airlift server"),
        env!("CARGO_PKG_VERSION"),
        args.data.display(),
        look.name(&url),
    );
    if let Some(token) = &server.admin_token() {
        text += &format!(
            "\n{}\n  {}\n\nNext, publish a firmware for the devices with the key sht30_d1_mini:\n  {}\n  {}\n",
            look.bold("Admin token, shown only now: keep it"),
            look.warn(token),
            look.name(&format!("export AIRLIFT_TOKEN={token}")),
            look.name(&format!(
                "airlift publish FILE --server {url} --org dev --project lotus --key sht30_d1_mini --version 1.2.0"
            )),
        );
    }
    text += &format!("\n{}\n", look.dim("Press Ctrl-C to stop."));
    output::print(&text);
    if let Some(token) = server.admin_token().filter(|_| output::reader_is_gone()) {
        // It is shown once and kept nowhere: better in the log than lost.
        eprintln!(
            "airlift: standard output cannot be written; the admin token, shown only now: {token}"
        );
    }

    stop.wait().await;
    tracing::info!("stopping: finishing the requests under way");
    server.shutdown().await;
    Ok(())
}
