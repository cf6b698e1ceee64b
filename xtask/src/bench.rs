//! `cargo xtask bench`: figures as ratios to a named peer, measured in one run on one machine.

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

mod device;
mod http;
mod image;
mod profile;
mod schemes;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Update checks and downloads a second, against nginx
    Http(http::Arguments),
    /// Instructions a byte through the whole pipeline of the device, and the digest's share
    Device,
    /// Sectors erased, bytes programmed and time of a partition's update under each scheme, against the least possible
    Schemes,
    /// A Matter OTA image through container parsing and digest, against plain SHA-256 of the same bytes
    Image(image::Arguments),
}

/// Runs a benchmark and prints its table.
///
/// # Errors
/// Fails if something that is needed is missing, or if a peer answers otherwise than it must.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Http(arguments) => http::run(workspace, arguments),
        What::Device => device::run(workspace),
        What::Schemes => schemes::run(workspace),
        What::Image(arguments) => image::run(workspace, arguments),
    }
}
