//! `airlift device sample-image`: something to publish, without a toolchain.

use std::path::PathBuf;

use airlift_formats::esp::app_image::ChipId;
use anyhow::Context;

use crate::firmware::{self, SAMPLE_SIZE};
use crate::output;

/// Make a sample app image, to try publishing without a toolchain
///
/// The image is sound (chip, version, project, checksum, SHA-256), so that a virtual device takes it; it holds no program.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write the image
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Version of the app
    #[arg(long = "version", value_name = "VERSION")]
    app_version: String,
    /// Project of the app; devices of another project refuse it
    #[arg(long, value_name = "NAME", default_value = "")]
    project: String,
    /// Chip that the app is for
    #[arg(long, value_name = "CHIP", default_value = "esp32")]
    chip: ChipId,
    /// Length of the image
    #[arg(long, value_name = "SIZE", default_value_t = SAMPLE_SIZE as u64, value_parser = output::parse_size)]
    size: u64,
    /// Another seed makes another image of the same version
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let size = usize::try_from(args.size).unwrap_or(usize::MAX);
    // The most that fits into an app partition.
    anyhow::ensure!(size <= 16 << 20, "an app image has at most 16 MiB");
    let image = firmware::sample(args.chip, &args.project, &args.app_version, size, args.seed)
        .context("cannot build the image")?;
    std::fs::write(&args.output, &image)
        .with_context(|| format!("{}: cannot write", args.output.display()))?;
    output::print(&format!(
        "{}: version {}, {}\n",
        args.output.display(),
        args.app_version,
        output::size(image.len() as u64)
    ));
    Ok(())
}
