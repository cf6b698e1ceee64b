//! `airlift`: thin commands over the crates of the workspace.
//!
//! Exit codes: 0 done and good, 1 refused or failed (one message on stderr), 2 wrong usage.

mod esp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Over-the-air updates for microcontroller fleets.
#[derive(Parser)]
#[command(name = "airlift", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formats of Espressif's chips: partition table, app image, boot selection
    #[command(subcommand)]
    Esp(esp::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Esp(command) => esp::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift: {error:#}");
            ExitCode::from(1)
        }
    }
}
