//! Tasks of the project: `cargo xtask test`, `size`, `bench`, `fuzz`.
//!
//! Everything that a developer or the CI does to this repository beyond `cargo build` is a command here, so that it runs
//! the same everywhere. The program says what it installs and why before it does, prints each command it runs, and ends
//! with a non-zero exit code if anything failed.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bare_metal;
mod bench;
mod fuzz;
mod requirements;
mod size;
mod terminal;
mod test;
mod workspace;

use workspace::Workspace;

/// Tasks of the Airlift project
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install or find what the tests need, then run everything
    Test(test::Arguments),
    /// Build for bare metal without an allocator; print code sizes; fail above a committed ceiling
    Size(size::Arguments),
    /// Measure against named peers
    Bench(bench::Arguments),
    /// Run libFuzzer on each parser for a while
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find();
    match &arguments.task {
        Task::Test(arguments) => test::run(&workspace, arguments),
        Task::Size(arguments) => size::run(&workspace, arguments),
        Task::Bench(arguments) => bench::run(&workspace, arguments),
        Task::Fuzz(arguments) => fuzz::run(&workspace, arguments),
    }
}
