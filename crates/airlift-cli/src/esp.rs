//! `airlift esp`: inspect, build and check the formats of Espressif's chips.

pub(crate) mod data_image;
pub(crate) mod image;
pub(crate) mod otadata;
mod output;
pub(crate) mod table;

/// `airlift esp ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Partition tables: CSV and binary
    #[command(subcommand)]
    Table(table::Command),
    /// App and boot loader images
    #[command(subcommand)]
    Image(image::Command),
    /// Data files for an app slot, as devices of the TWO-STEP OTA demo read them
    #[command(subcommand)]
    DataImage(data_image::Command),
    /// Boot selection records
    #[command(subcommand)]
    Otadata(otadata::Command),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Table(command) => table::run(command),
        Command::Image(command) => image::run(command),
        Command::DataImage(command) => data_image::run(command),
        Command::Otadata(command) => otadata::run(command),
    }
}
