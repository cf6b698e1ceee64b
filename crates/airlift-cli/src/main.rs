//! `airlift`: thin commands over the crates of the workspace.
//!
//! Exit codes: 0 done and good, 1 refused or failed (one message on stderr), 2 wrong usage.

mod access;
mod api;
mod demo;
mod device;
mod esp;
mod explain;
mod file;
mod firmware;
mod image;
mod job;
mod output;
mod publish;
mod release;
mod remote;
mod rollout;
mod screen;
mod serve;
mod signing;
mod stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Over-the-air firmware updates for microcontroller fleets
#[derive(Parser)]
#[command(name = "airlift", version, max_term_width = 100)]
#[command(after_help = "Start here: `airlift demo` shows a whole update, with nothing to set up.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Publish(publish::Args),
    /// What was published: list, show, withdraw, open, notes
    #[command(subcommand)]
    Release(release::Command),
    /// Releases that devices get by turns: create, list, show, pause, resume, abort, retry, approve
    #[command(subcommand)]
    Rollout(rollout::Command),
    Explain(explain::Args),
    /// Jobs for things, as AWS IoT Jobs has them
    #[command(subcommand)]
    Job(job::Command),
    /// Devices: virtual ones in flash files, updated as real ones are; what real ones need to sign in; and what a server knows of them
    #[command(subcommand)]
    Device(device::Command),
    /// Matter OTA images: one payload, or several images in one file
    #[command(subcommand)]
    Image(image::Command),
    /// Formats of Espressif's chips: partition table, app image, data image, boot selection
    #[command(subcommand)]
    Esp(esp::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Release(command) => release::run(command),
        Command::Rollout(command) => rollout::run(command),
        Command::Explain(args) => explain::run(&args),
        Command::Job(command) => job::run(command),
        Command::Device(command) => device::run(command),
        Command::Image(command) => image::run(command),
        Command::Esp(command) => esp::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airlift: {}", in_one_line(&error));
            ExitCode::from(1)
        }
    }
}

/// The error with its causes, without those whose words are there already: some errors quote their cause themselves.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Logs to standard error: what `RUST_LOG` says, or `default`.
fn log_to_stderr(default: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Fails only if there is one already, which then does.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::Look::stderr().colours)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("disk full")
            .context("cannot write x: disk full")
            .context("the update failed");
        assert_eq!(
            in_one_line(&error),
            "the update failed: cannot write x: disk full"
        );
    }
}
