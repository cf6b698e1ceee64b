//! The rules that a table must satisfy as a whole, whether it comes from CSV or from a binary: those of the official tool, in
//! its order and with its messages.

use alloc::{string::String, vec, vec::Vec};
use core::fmt;

use super::{
    Lint, Options, PartitionTable, PartitionType, SECTOR_LEN, SecureBoot, lint,
    row::{Hex, Row},
    subtype,
};

/// The smallest key-value store that can be written to: 0x3000 bytes.
const NVS_MIN_SIZE: i128 = 0x3000;

/// The size that boot selections must have.
const OTADATA_SIZE: i128 = 0x2000;

/// Verifies a table that was read from a binary.
///
/// Returns what is odd about it, though no reason to refuse it.
///
/// # Errors
///
/// The first rule that is violated.
pub fn verify(table: &PartitionTable<'_>, options: &Options) -> Result<Vec<Lint>, Error> {
    let rows: Vec<Row> = table.partitions().map(Row::from).collect();
    verify_rows(&rows, options)?;
    verify_flash_size(&rows, options)?;
    Ok(lint::of_table(&rows, options))
}

/// A rule that is violated, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Positions in the table of the partitions that violate it, from 0.
    pub partitions: Vec<usize>,
    /// The rule.
    pub violation: Violation,
}

/// A rule that is violated. The texts are those of the official tool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The start of a partition is not aligned as its type wants it.
    OffsetAlignment {
        /// Its label.
        name: String,
        /// Where it starts.
        offset: i128,
        /// What it must be a multiple of.
        alignment: i128,
    },
    /// The size of an app partition is not aligned.
    SizeAlignment {
        /// Its label.
        name: String,
        /// Its size in bytes.
        size: i128,
        /// What it must be a multiple of.
        alignment: i128,
    },
    /// A partition that the system writes to is flagged readonly.
    AlwaysWritten {
        /// Its label.
        name: String,
        /// Its subtype; the type is data.
        subtype: i128,
    },
    /// A key-value store is too small to be written to, and not flagged readonly.
    NvsTooSmall {
        /// Its label.
        name: String,
        /// Its size in bytes.
        size: i128,
    },
    /// Labels are not unique.
    DuplicateNames {
        /// The rows that share a label, in CSV form.
        rows: Vec<String>,
    },
    /// A partition starts before the end of the table's sector.
    BelowTable {
        /// Where it starts.
        offset: i128,
        /// Where the space for partitions starts.
        first: i128,
    },
    /// Two partitions share flash.
    Overlap {
        /// Where the later one starts.
        offset: i128,
        /// Where the earlier one starts.
        other_offset: i128,
        /// Where the earlier one ends.
        other_end: i128,
    },
    /// More than one boot selection.
    SeveralOtadata {
        /// The rows, in CSV form.
        rows: Vec<String>,
        /// Whether it is that of the trusted execution environment.
        tee: bool,
    },
    /// A boot selection of another size than 0x2000.
    OtadataSize {
        /// The row, in CSV form.
        row: String,
        /// Whether it is that of the trusted execution environment.
        tee: bool,
    },
    /// The last partition ends beyond the flash chip.
    FlashSize {
        /// Where it ends.
        end: i128,
        /// Length of the flash chip in bytes.
        flash_size: u32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.violation.fmt(f)
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetAlignment {
                name,
                offset,
                alignment,
            } => write!(
                f,
                "Partition {name} invalid: Offset {} is not aligned to {alignment:#x}",
                Hex(*offset)
            ),
            Self::SizeAlignment {
                name,
                size,
                alignment,
            } => write!(
                f,
                "Partition {name} invalid: Size {} is not aligned to {alignment:#x}",
                Hex(*size)
            ),
            Self::AlwaysWritten { name, subtype } => write!(
                f,
                "Partition {name} invalid: '{name}' partition of type 1 and subtype {subtype} is always read-write and \
                 cannot be read-only"
            ),
            Self::NvsTooSmall { name, size } => write!(
                f,
                "Partition {name} invalid: '{name}' partition of type 1 and subtype 2 of this size ({}) must be flagged as \
                 'readonly' (the size of read/write NVS has to be at least {NVS_MIN_SIZE:#x})",
                Hex(*size)
            ),
            Self::DuplicateNames { rows } => {
                writeln!(f, "A list of partitions that have the same name:")?;
                for row in rows {
                    writeln!(f, "{row}")?;
                }
                f.write_str("Partition names must be unique")
            }
            Self::BelowTable { offset, first } => {
                write!(f, "Partition offset {} is below {first:#x}", Hex(*offset))
            }
            Self::Overlap {
                offset,
                other_offset,
                other_end,
            } => write!(
                f,
                "Partition at {} overlaps {}-{}",
                Hex(*offset),
                Hex(*other_offset),
                Hex(other_end - 1)
            ),
            Self::SeveralOtadata { rows, tee } => {
                for row in rows {
                    writeln!(f, "{row}")?;
                }
                let (tee, subtype) = if *tee {
                    ("TEE ", "\"tee_ota\"(0x90)")
                } else {
                    ("", "\"ota\"(0)")
                };
                write!(
                    f,
                    "Found multiple {tee}otadata partitions. Only one partition can be defined with type=\"data\"(1) and \
                     subtype={subtype}."
                )
            }
            Self::OtadataSize { row, tee } => {
                let tee = if *tee { "TEE " } else { "" };
                write!(
                    f,
                    "{row}\n{tee}otadata partition must have size = {OTADATA_SIZE:#x}"
                )
            }
            Self::FlashSize { end, flash_size } => write!(
                f,
                "Partitions tables occupies {}MB of flash ({end} bytes) which does not fit in configured flash size {}MB. \
                 Change the flash size in menuconfig under the 'Serial Flasher Config' menu.",
                Tenths(*end),
                flash_size >> 20
            ),
        }
    }
}

/// Bytes as MiB with one decimal, rounded as C and Python do: an exact half goes to the even digit.
struct Tenths(i128);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HALF: i128 = 1 << 19;
        let tenfold = self.0 * 10;
        let (mut tenths, rest) = (tenfold >> 20, tenfold & ((1 << 20) - 1));
        if rest > HALF || (rest == HALF && tenths % 2 != 0) {
            tenths += 1;
        }
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

/// The verification of the official tool, in its order.
pub(super) fn verify_rows(rows: &[Row], options: &Options) -> Result<(), Error> {
    for (index, row) in rows.iter().enumerate() {
        verify_row(row, options).map_err(|violation| Error {
            partitions: vec![index],
            violation,
        })?;
    }
    verify_names(rows, options)?;
    verify_places(rows, options)?;
    verify_otadata(rows, options, false)?;
    verify_otadata(rows, options, true)
}

fn verify_row(row: &Row, options: &Options) -> Result<(), Violation> {
    let name = || row.label();
    let alignment = row.offset_alignment();
    if row.offset.rem_euclid(alignment) != 0 {
        return Err(Violation::OffsetAlignment {
            name: name(),
            offset: row.offset,
            alignment,
        });
    }
    if row.is_kind(PartitionType::APP) {
        let alignment = match options.secure_boot {
            Some(SecureBoot::V1) => 0x1_0000,
            Some(SecureBoot::V2) | None => 0x1000,
        };
        if row.size.rem_euclid(alignment) != 0 {
            return Err(Violation::SizeAlignment {
                name: name(),
                size: row.size,
                alignment,
            });
        }
    }
    let always_written = row.is(PartitionType::DATA, subtype::DATA_OTA)
        || row.is(PartitionType::DATA, subtype::DATA_COREDUMP);
    if always_written && row.flags.is_readonly() {
        return Err(Violation::AlwaysWritten {
            name: name(),
            subtype: row.subtype,
        });
    }
    if row.is(PartitionType::DATA, subtype::DATA_NVS)
        && row.size < NVS_MIN_SIZE
        && !row.flags.is_readonly()
    {
        return Err(Violation::NvsTooSmall {
            name: name(),
            size: row.size,
        });
    }
    Ok(())
}

/// Labels must differ before they are cut to 16 bytes.
fn verify_names(rows: &[Row], options: &Options) -> Result<(), Error> {
    let mut sorted: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
    sorted.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    let doubles: Vec<(usize, &Row)> = sorted
        .chunk_by(|(_, one), (_, other)| one.name == other.name)
        .filter(|same| same.len() > 1)
        .flatten()
        .copied()
        .collect();
    if doubles.is_empty() {
        return Ok(());
    }
    Err(Error {
        partitions: doubles.iter().map(|&(index, _)| index).collect(),
        violation: Violation::DuplicateNames {
            rows: doubles
                .iter()
                .map(|(_, row)| row.to_csv(&options.subtypes))
                .collect(),
        },
    })
}

fn verify_places(rows: &[Row], options: &Options) -> Result<(), Error> {
    let first = i128::from(options.table_offset) + i128::from(SECTOR_LEN);
    let mut sorted: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
    sorted.sort_by_key(|(_, row)| row.offset);
    let mut last: Option<(usize, &Row)> = None;
    for (index, row) in sorted {
        if row.offset < first && !row.is_primary() {
            return Err(Error {
                partitions: vec![index],
                violation: Violation::BelowTable {
                    offset: row.offset,
                    first,
                },
            });
        }
        if let Some((other_index, other)) = last
            && row.offset < other.end()
        {
            return Err(Error {
                partitions: vec![other_index, index],
                violation: Violation::Overlap {
                    offset: row.offset,
                    other_offset: other.offset,
                    other_end: other.end(),
                },
            });
        }
        last = Some((index, row));
    }
    Ok(())
}

fn verify_otadata(rows: &[Row], options: &Options, tee: bool) -> Result<(), Error> {
    let subtype = if tee {
        subtype::DATA_TEE_OTA
    } else {
        subtype::DATA_OTA
    };
    let found: Vec<(usize, &Row)> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.is(PartitionType::DATA, subtype))
        .collect();
    let violation = match *found.as_slice() {
        [] => return Ok(()),
        [(_, row)] if row.size == OTADATA_SIZE => return Ok(()),
        [(_, row)] => Violation::OtadataSize {
            row: row.to_csv(&options.subtypes),
            tee,
        },
        ref several => Violation::SeveralOtadata {
            rows: several
                .iter()
                .map(|(_, row)| row.to_csv(&options.subtypes))
                .collect(),
            tee,
        },
    };
    Err(Error {
        partitions: found.iter().map(|&(index, _)| index).collect(),
        violation,
    })
}

/// The partition that starts last must end within the flash chip.
pub(super) fn verify_flash_size(rows: &[Row], options: &Options) -> Result<(), Error> {
    let Some(flash_size) = options.flash_size else {
        return Ok(());
    };
    // Of several that start at the same place, the official tool takes the first.
    let last = rows
        .iter()
        .enumerate()
        .rev()
        .max_by_key(|(_, row)| row.offset);
    match last {
        Some((index, row)) if row.end() > i128::from(flash_size) => Err(Error {
            partitions: vec![index],
            violation: Violation::FlashSize {
                end: row.end(),
                flash_size,
            },
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_of_a_mebibyte_are_rounded_half_to_even() {
        for (bytes, text) in [
            (0, "0.0"),
            (4_259_840, "4.1"),
            // Exact halves: 4.25 and 4.75.
            (0x44_0000, "4.2"),
            (0x4C_0000, "4.8"),
            (1 << 20, "1.0"),
            ((1 << 20) - 1, "1.0"),
            (0x10_0000_0000, "65536.0"),
        ] {
            assert_eq!(Tenths(bytes).to_string(), text, "{bytes}");
        }
    }
}
