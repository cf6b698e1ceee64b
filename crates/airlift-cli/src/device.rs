//! `airlift device`: virtual devices, what real ones need to sign in, and what a server knows of them.

mod config;
mod enroll;
mod flash;
mod image;
mod jobs;
mod known;
mod new;
mod revoke;
mod run;
mod scheme;
mod set;
mod settings;
mod show;
mod web;

/// `airlift device ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Enroll(enroll::Args),
    Revoke(revoke::Args),
    New(new::Args),
    Run(Box<run::Args>),
    Show(show::Args),
    Flash(flash::Args),
    SampleImage(image::Args),
    List(known::List),
    Tag(known::Tag),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Enroll(args) => enroll::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::New(args) => new::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Flash(args) => flash::run(&args),
        Command::SampleImage(args) => image::run(&args),
        Command::List(args) => known::list(&args),
        Command::Tag(args) => known::tag(&args),
    }
}
