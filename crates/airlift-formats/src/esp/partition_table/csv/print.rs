//! Printing a table as CSV.

use alloc::string::String;
use core::fmt;

use crate::esp::partition_table::{Name, Partition, SubtypeNames, row::Row};

/// The CSV form of `partitions`, character for character that of the official tool: two header lines, then a line for each
/// partition.
///
/// Unknown flag bits have no CSV form and are left out.
///
/// # Errors
///
/// If a name is not UTF-8.
pub fn print(
    partitions: impl IntoIterator<Item = Partition>,
    subtypes: &SubtypeNames,
) -> Result<String, PrintError> {
    let mut csv =
        String::from("# ESP-IDF Partition Table\n# Name, Type, SubType, Offset, Size, Flags\n");
    for (index, partition) in partitions.into_iter().enumerate() {
        if partition.name.as_str().is_none() {
            return Err(PrintError {
                partition: index,
                name: partition.name,
            });
        }
        csv.push_str(&Row::from(partition).to_csv(subtypes));
        csv.push('\n');
    }
    Ok(csv)
}

/// A name cannot be written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrintError {
    /// Position of the partition in the table, from 0.
    pub partition: usize,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for PrintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the name of partition {} is not UTF-8 ('{}'): it cannot be written as CSV",
            self.partition, self.name
        )
    }
}

impl core::error::Error for PrintError {}
