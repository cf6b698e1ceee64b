//! `airlift device new`: a flash file as a device leaves the factory with.

use std::path::{Path, PathBuf};

use airlift_formats::esp::app_image::ChipId;
use airlift_formats::esp::partition_table::{Options, csv};
use airlift_sim::client::{default_table, provision};
use anyhow::{Context, bail};

use crate::firmware::{self, SAMPLE_SIZE};
use crate::output::{self, Look};

/// Size of the flash of a usual board.
pub(super) const USUAL_SIZE: u64 = 4 << 20;
/// Version of the app that a device is made with when none is given.
pub(super) const BUILT_IN_VERSION: &str = "1.0.0";

/// Make a virtual device: a flash file with a partition table and a first app
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The flash file; it must not exist
    #[arg(long, value_name = "FILE")]
    flash: PathBuf,
    /// The first app [default: a built-in one of version 1.0.0]
    #[arg(long, value_name = "IMAGE")]
    firmware: Option<PathBuf>,
    /// Chip of the built-in app; with --firmware, the image says it
    #[arg(
        long,
        value_name = "CHIP",
        default_value = "esp32",
        conflicts_with = "firmware"
    )]
    chip: ChipId,
    /// Size of the flash
    #[arg(long, value_name = "SIZE", default_value = "4MB", value_parser = output::parse_size)]
    size: u64,
    /// Partition table, CSV or binary; it needs a partition named `airlift` for the engine's journal [default: two app slots, storage, journal]
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let app = match &args.firmware {
        Some(path) => {
            std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?
        }
        None => built_in(args.chip)?,
    };
    let table = match &args.table {
        Some(path) => table_from(path, args.size)?,
        None => default_table(usize::try_from(args.size).unwrap_or(usize::MAX))?,
    };
    create(&args.flash, args.size, &table, &app)?;
    let look = Look::stdout();
    output::print(&format!(
        "{} a virtual device with {} of flash in {}\nLook at it with {}\n",
        look.good("Made"),
        output::size(args.size),
        args.flash.display(),
        look.name(&format!(
            "airlift device show --flash {}",
            args.flash.display()
        )),
    ));
    Ok(())
}

/// The app that is there when nobody gives one. It belongs to no project, so that it takes an update of any.
pub(super) fn built_in(chip: ChipId) -> anyhow::Result<Vec<u8>> {
    firmware::sample(chip, "", BUILT_IN_VERSION, SAMPLE_SIZE / 2, 1)
        .context("cannot build the first app")
}

/// Makes the flash file.
pub(super) fn create(path: &Path, size: u64, table: &[u8], app: &[u8]) -> anyhow::Result<()> {
    if path.exists() {
        bail!(
            "{}: there is a file already; a new device does not overwrite an old one, remove it first",
            path.display()
        );
    }
    provision(
        path,
        usize::try_from(size).unwrap_or(usize::MAX),
        table,
        app,
    )
    .with_context(|| format!("{}: the device was not made", path.display()))
}

/// A table from a file, CSV or binary, for a flash of `size` bytes.
fn table_from(path: &Path, size: u64) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    if csv::is_binary(&bytes) {
        return Ok(bytes);
    }
    let options = Options {
        flash_size: u32::try_from(size).ok(),
        ..Options::default()
    };
    let compiled = csv::compile(&bytes, &options, &|name| std::env::var(name).ok())
        .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    Ok(compiled.binary().to_vec())
}
