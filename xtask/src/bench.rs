//! `cargo xtask bench`: figures as ratios to a named peer, measured in one run on one machine.

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

mod airlift;
mod device;
mod http;
mod image;
mod mqtt;
mod profile;
mod schemes;
mod server;

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
    /// Files in blocks over MQTT against what mosquitto relays; memory of idle devices; a thousand downloads at once
    Mqtt(mqtt::Arguments),
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
        What::Mqtt(arguments) => mqtt::run(workspace, arguments),
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    match (
        sorted.get(sorted.len().saturating_sub(1) / 2),
        sorted.get(sorted.len() / 2),
    ) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&sorted([3.0, 1.0, 2.0].into_iter())), 2.0);
        assert_eq!(median(&sorted([4.0, 1.0, 2.0, 3.0].into_iter())), 2.5);
        assert!(median(&[]).is_nan());
    }
}
