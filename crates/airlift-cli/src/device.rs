//! `airlift device`: virtual devices.

mod config;
mod flash;
mod image;
mod new;
mod run;
mod scheme;
mod set;
mod settings;
mod show;
mod web;

/// `airlift device ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    New(new::Args),
    Run(run::Args),
    Show(show::Args),
    Flash(flash::Args),
    SampleImage(image::Args),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Flash(args) => flash::run(&args),
        Command::SampleImage(args) => image::run(&args),
    }
}
