//! A partition table for people and for programs.

use std::fmt::Write as _;

use airlift_formats::esp::partition_table::{
    Options, Partition, PartitionTable, PartitionType, SubtypeNames,
};
use serde::Serialize;

use super::{input::Source, report::Report};

/// Aligned columns.
pub(super) fn table(table: &PartitionTable<'_>, subtypes: &SubtypeNames) -> String {
    const HEAD: [&str; 7] = ["Name", "Type", "SubType", "Offset", "End", "Size", "Flags"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(
        table
            .partitions()
            .map(|partition| row(&partition, subtypes)),
    );
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Numbers to the right.
            if (3..=5).contains(&column) {
                let _ = write!(line, "{cell:>width$}  ");
            } else {
                let _ = write!(line, "{cell:<width$}  ");
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match table.md5() {
        Some(md5) => {
            let _ = writeln!(text, "MD5 {}", hex(&md5));
        }
        None => text.push_str("no MD5 entry\n"),
    }
    text
}

fn row(partition: &Partition, subtypes: &SubtypeNames) -> [String; 7] {
    let Partition {
        kind,
        subtype,
        offset,
        size,
        name,
        flags,
    } = *partition;
    let mut flag_names = Vec::new();
    if flags.is_encrypted() {
        flag_names.push("encrypted".to_owned());
    }
    if flags.is_readonly() {
        flag_names.push("readonly".to_owned());
    }
    if flags.unknown() != 0 {
        flag_names.push(format!("{:#x}", flags.unknown()));
    }
    [
        name.to_string(),
        kind.name()
            .map_or_else(|| format!("{:#04x}", kind.0), str::to_owned),
        subtypes
            .name(kind, subtype)
            .map_or_else(|| format!("{subtype:#04x}"), str::to_owned),
        format!("{offset:#x}"),
        format!("{:#x}", partition.end()),
        human_size(size),
        flag_names.join(" "),
    ]
}

/// An exact size, in the largest unit that leaves no rest.
fn human_size(size: u32) -> String {
    match size {
        0 => "0 B".to_owned(),
        _ if size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}

/// The output of `--json`. Keys are added, but neither renamed nor removed.
#[derive(Serialize)]
struct Table<'a> {
    /// What the table was read from: `csv` or `binary`.
    source: Source,
    /// Digest of the MD5 entry in hex, or null without one. For CSV: what the binary table gets.
    md5: Option<String>,
    partitions: Vec<Row<'a>>,
    warnings: Vec<Warning>,
}

/// A partition, in the order of the table.
#[derive(Serialize)]
struct Row<'a> {
    /// Label; bytes that are not UTF-8 are escaped as `\xff`.
    name: String,
    /// Bytes of the label in hex.
    name_hex: String,
    #[serde(rename = "type")]
    kind: u8,
    /// Keyword of the type, or null.
    type_name: Option<&'static str>,
    subtype: u8,
    /// Keyword of the subtype, or null.
    subtype_name: Option<&'a str>,
    /// Flash address in bytes.
    offset: u32,
    /// Length in bytes.
    size: u32,
    /// The whole flag word.
    flags: u32,
    encrypted: bool,
    readonly: bool,
    /// Flag bits without a meaning.
    unknown_flags: u32,
    /// Line of the CSV file, or null.
    line: Option<usize>,
}

/// Something odd.
#[derive(Serialize)]
struct Warning {
    /// Line of the CSV file, or null.
    line: Option<usize>,
    /// Position of the partition from 0, or null for the table as a whole.
    partition: Option<usize>,
    /// Name of the rule.
    rule: &'static str,
    message: String,
}

/// JSON.
pub(super) fn json(
    table: &PartitionTable<'_>,
    source: Source,
    lines: &[usize],
    report: &Report<'_>,
    options: &Options,
) -> anyhow::Result<String> {
    let partitions = table.partitions().enumerate().map(|(index, partition)| {
        let PartitionType(kind) = partition.kind;
        Row {
            name: partition.name.to_string(),
            name_hex: hex(partition.name.as_bytes()),
            kind,
            type_name: partition.kind.name(),
            subtype: partition.subtype,
            subtype_name: options.subtypes.name(partition.kind, partition.subtype),
            offset: partition.offset,
            size: partition.size,
            flags: partition.flags.0,
            encrypted: partition.flags.is_encrypted(),
            readonly: partition.flags.is_readonly(),
            unknown_flags: partition.flags.unknown(),
            line: lines.get(index).copied(),
        }
    });
    let warnings = report.warnings().iter().map(|lint| Warning {
        line: lint.line,
        partition: lint.partition,
        rule: lint.rule.id(),
        message: lint.to_string(),
    });
    let table = Table {
        source,
        md5: table.md5().map(|md5| hex(&md5)),
        partitions: partitions.collect(),
        warnings: warnings.collect(),
    };
    Ok(serde_json::to_string_pretty(&table)? + "\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
