//! `airlift esp table`: ESP-IDF partition tables, between CSV and binary.
//!
//! Takes the place of `gen_esp32part.py`, with its options and messages. Different on purpose: a table that a device would
//! refuse is refused, and whatever is odd is reported with its line.

mod arguments;
mod input;
mod render;
mod report;

use airlift_formats::esp::partition_table::{Error, Options, PartitionTable, Rules, csv, verify};
use anyhow::bail;

use super::output;
use arguments::{Build, Check, Format, Show};
use input::{Input, Source};
use report::Report;

/// `airlift esp table ...`
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Compile a CSV file into the binary table that is flashed
    Build(Build),
    /// Show the partitions of a CSV file or a binary table
    Show(Show),
    /// Check a CSV file or a binary table: would a device accept it, and is anything odd about it
    Check(Check),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build(arguments) => build(&arguments),
        Command::Show(arguments) => show(&arguments),
        Command::Check(arguments) => check(&arguments),
    }
}

fn build(arguments: &Build) -> anyhow::Result<()> {
    let options = Options {
        md5: !arguments.no_md5,
        ..arguments.project.options()?
    };
    let input = Input::read(&arguments.input)?;
    if input.source() == Source::Binary {
        bail!(
            "{}: this is a binary partition table already; `airlift esp table show --format csv` turns it into CSV",
            input.name
        );
    }
    output::check_is_not(&arguments.output, &arguments.input)?;
    let mut report = Report::new(&input.name);
    let compiled = compile(&input, &options, &report)?;
    report.lints(&compiled.lints);
    report.refuse_if_strict(arguments.strict)?;
    output::write(&arguments.output, compiled.binary())
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    let options = arguments.project.options()?;
    let input = Input::read(&arguments.input)?;
    let mut report = Report::new(&input.name);
    let mut binary = Vec::new();
    let mut lines = Vec::new();
    match input.source() {
        Source::Csv => {
            let compiled = compile(&input, &options, &report)?;
            binary.extend_from_slice(compiled.binary());
            lines = compiled.lines;
            report.lints(&compiled.lints);
        }
        Source::Binary => binary.clone_from(&input.bytes),
    }
    let table = PartitionTable::inspect(&binary).map_err(|error| report.refusal(&error))?;
    let verdict = match input.source() {
        Source::Csv => Ok(()),
        // A table without MD5 entry is shown without a word: it is what some projects want.
        Source::Binary => judge(&binary, &table, &options, false, &mut report),
    };

    match arguments.format() {
        // The text is meant for a file, so it is all or nothing, as with the official tool.
        Format::Csv => {
            verdict?;
            let text = csv::print(table.partitions(), &options.subtypes)
                .map_err(|error| report.refusal(&error))?;
            output::print(&text)
        }
        // A damaged table is worth looking at; the exit code says that it is damaged.
        Format::Table => {
            output::print(&render::table(&table, &options.subtypes))?;
            verdict
        }
        Format::Json => {
            let source = input.source();
            output::print(&render::json(&table, source, &lines, &report, &options)?)?;
            verdict
        }
    }
}

fn check(arguments: &Check) -> anyhow::Result<()> {
    let options = Options {
        md5: !arguments.no_md5,
        ..arguments.project.options()?
    };
    let input = Input::read(&arguments.input)?;
    let mut report = Report::new(&input.name);
    let compiled;
    let binary: &[u8] = match input.source() {
        Source::Csv => {
            compiled = compile(&input, &options, &report)?;
            report.lints(&compiled.lints);
            compiled.binary()
        }
        Source::Binary => &input.bytes,
    };
    let table = PartitionTable::inspect(binary).map_err(|error| report.refusal(&error))?;
    if input.source() == Source::Binary {
        judge(binary, &table, &options, options.md5, &mut report)?;
        csv::print(table.partitions(), &options.subtypes)
            .map_err(|error| report.refusal(&error))?;
    }
    report.refuse_if_strict(arguments.strict)?;
    output::print(&format!(
        "{}: good, {}, {}\n",
        input.name,
        report::count(table.partitions().count(), "partition"),
        report::count(report.warnings().len(), "warning")
    ))
}

fn compile(input: &Input, options: &Options, report: &Report) -> anyhow::Result<csv::Compiled> {
    csv::compile(&input.bytes, options, &|name| std::env::var(name).ok())
        .map_err(|error| report.csv_refusal(&error))
}

/// What the official tool and a device say to a binary table that can be read.
fn judge(
    binary: &[u8],
    table: &PartitionTable<'_>,
    options: &Options,
    require_md5: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let lints = verify::verify(table, options).map_err(|error| report.refusal(&error))?;
    report.lints(&lints);
    let rules = Rules {
        flash_size: options.flash_size.unwrap_or(u32::MAX),
        require_md5,
    };
    match PartitionTable::parse(binary, &rules) {
        Ok(_) => Ok(()),
        Err(error @ Error::MissingMd5) => Err(report.refusal(&format!(
            "{error}, and devices refuse it by default; for projects that switched this off, add --no-md5"
        ))),
        Err(error) => Err(report.refusal(&format!("a device refuses this table: {error}"))),
    }
}
