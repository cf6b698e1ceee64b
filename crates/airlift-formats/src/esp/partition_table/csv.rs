//! The CSV form of a partition table: compiling it, and printing a table as CSV.
//!
//! The grammar is that of Espressif's `gen_esp32part.py` 1.5, with its oddities, because the files in the field were
//! written against that program: `Name, Type, SubType, Offset, Size, Flags`, one partition a line, `#` starts a comment
//! line. Well-formed input gives the same bytes as the official tool, malformed input its message. Stricter than the tool
//! on purpose: a table that a device would refuse, or that could not be read back, is refused here. What the tool accepts
//! although it is hardly meant is reported as a [`Lint`].
//!
//! ```
//! use airlift_formats::esp::partition_table::{Options, csv};
//!
//! let text = "# Name, Type, SubType, Offset, Size\nmain, app, factory, , 1M\n";
//! let compiled = csv::compile(text.as_bytes(), &Options::default(), &|_variable| None)?;
//! assert_eq!(compiled.partitions[0].offset, 0x1_0000);
//! assert_eq!(compiled.binary()[..2], [0xAA, 0x50]);
//!
//! let error = csv::compile(b"main, app, factory, , 1.5M", &Options::default(), &|_| None);
//! assert!(error.unwrap_err().to_string().starts_with("Error at line 1: Invalid field value 1.5"));
//! # Ok::<(), csv::Error>(())
//! ```

mod environment;
mod error;
mod integer;
mod layout;
mod limits;
mod print;
mod record;
mod text;

use alloc::{string::String, vec::Vec};

use super::{Lint, Options, Partition, PartitionTable, Rule, TABLE_LEN, emit, lint, verify};

pub use error::{Error, FieldError, Limit, Reason};
pub use print::{PrintError, print};

/// A table that was compiled from CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The partitions, in the order of the file, with every offset and size filled in.
    pub partitions: Vec<Partition>,
    /// For each partition, its line in the file, from 1.
    pub lines: Vec<usize>,
    /// What is accepted, but probably not meant; ordered by line, the table as a whole last.
    pub lints: Vec<Lint>,
    binary: [u8; TABLE_LEN],
}

impl Compiled {
    /// The binary table, with an MD5 entry if [`Options::md5`] said so.
    pub fn binary(&self) -> &[u8; TABLE_LEN] {
        &self.binary
    }
}

/// Whether the official tool takes `input` for a binary table: everything else is read as CSV.
pub fn is_binary(input: &[u8]) -> bool {
    input.starts_with(&super::entry::MAGIC)
}

/// Compiles a CSV file.
///
/// The text is UTF-8, or UTF-8, UTF-16 or UTF-32 with a byte order mark. `environment` looks up the variables (`$NAME`,
/// `${NAME}`) that are replaced in every line.
///
/// # Errors
///
/// The first thing that is wrong, in the order in which the official tool looks; see [`Reason`].
pub fn compile(
    input: &[u8],
    options: &Options,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Compiled, Error> {
    if let Some(primary) = options.primary_bootloader_offset
        && primary >= options.table_offset
    {
        return Err(Error::of_file(Reason::BootloaderAboveTable {
            primary,
            table: options.table_offset,
        }));
    }
    if is_binary(input) {
        return Err(Error::of_file(Reason::Binary));
    }

    let mut records = Vec::new();
    let mut lints = Vec::new();
    for line in text::lines(&text::decode(input)?) {
        let expanded = environment::expand(line.text, environment);
        if let Some(name) = environment::unknown_at_start(&expanded) {
            return Err(Error::at(line.number, Reason::UnknownVariable { name }));
        }
        let row = text::trim(&expanded);
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        let record = record::parse(row, line.number, records.len(), options, &mut lints)
            .map_err(|error| Error::at(line.number, Reason::Field(error)))?;
        if line.unusual_end {
            lints.push(Lint {
                line: Some(line.number),
                partition: Some(records.len()),
                rule: Rule::LineSeparator,
            });
        }
        records.push(record);
    }

    let lines: Vec<usize> = records.iter().map(|record| record.line).collect();
    let line = |index: usize| lines.get(index).copied();
    let violated = |error: verify::Error| Error {
        lines: error.partitions.iter().filter_map(|&i| line(i)).collect(),
        reason: Reason::Violation(error.violation),
    };
    let sizes: Vec<i128> = records.iter().map(|record| record.size).collect();
    let rows = layout::place(records, options)?;
    verify::verify_rows(&rows, options).map_err(violated)?;
    verify::verify_flash_size(&rows, options).map_err(violated)?;
    let partitions = limits::pack(&rows, &sizes, &lines, options)?;

    lints.extend(lint::of_table(&rows, options));
    lints.extend(
        sizes
            .iter()
            .enumerate()
            .filter(|(_, size)| **size < 0)
            .map(|(index, size)| Lint {
                line: None,
                partition: Some(index),
                rule: Rule::SizeFromEnd { end: -size },
            }),
    );
    for lint in &mut lints {
        lint.line = lint.line.or_else(|| line(lint.partition?));
    }
    lints.sort_by_key(|lint| lint.line.unwrap_or(usize::MAX));

    let mut binary = [0xFF; TABLE_LEN];
    emit(partitions.iter().copied(), options.md5, &mut binary)
        .map_err(|error| Error::of_file(Reason::Emit(error)))?;
    // The promise of this function: what it returns can be read.
    PartitionTable::inspect(&binary).map_err(|error| Error::of_file(Reason::Unreadable(error)))?;
    Ok(Compiled {
        partitions,
        lines,
        lints,
        binary,
    })
}
