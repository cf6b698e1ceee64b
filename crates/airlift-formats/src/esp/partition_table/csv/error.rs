//! Why a CSV file is refused.

use alloc::{string::String, vec, vec::Vec};
use core::fmt;

use crate::esp::partition_table::{self as table, EmitError, Name, row::Hex, verify::Violation};

/// What the official tool adds to errors of a cell.
const HINT: &str = "Please check extra_partition_subtypes.inc file in build/config directory";

/// Why a CSV file is refused, and in which lines.
///
/// The text is the official tool's, where that has one; it names the line only for some errors, [`lines`](Self::lines) for
/// all that belong to lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The lines that are at fault, from 1; none if it is the file or the options as a whole.
    pub lines: Vec<usize>,
    /// What is wrong.
    pub reason: Reason,
}

impl Error {
    pub(super) fn at(line: usize, reason: Reason) -> Self {
        Self {
            lines: vec![line],
            reason,
        }
    }

    pub(super) fn of_file(reason: Reason) -> Self {
        Self {
            lines: Vec::new(),
            reason,
        }
    }

    /// Whether the text itself says which line is meant.
    pub fn text_names_line(&self) -> bool {
        matches!(
            self.reason,
            Reason::Field(_)
                | Reason::Encoding { .. }
                | Reason::OnTable { .. }
                | Reason::OnPrevious { .. }
        ) || (matches!(self.reason, Reason::Limit(_)) && !self.lines.is_empty())
    }
}

/// What is wrong with a CSV file, in the order in which it is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The options put the boot loader behind the table.
    BootloaderAboveTable {
        /// Where the boot loader starts.
        primary: u32,
        /// Where the table starts.
        table: u32,
    },
    /// The file is a binary table.
    Binary,
    /// The file is not text.
    Encoding {
        /// What its first bytes say that it is.
        encoding: &'static str,
        /// Position in the file of the first byte that does not fit.
        offset: usize,
        /// That byte, where bytes are what counts.
        byte: Option<u8>,
    },
    /// A line starts with a variable that the environment does not have.
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// A cell cannot be read.
    Field(FieldError),
    /// The first partition starts before the end of the table's sector.
    OnTable {
        /// Where it starts.
        offset: i128,
        /// Where the table starts.
        table: u32,
        /// Where it could start at the earliest.
        free: i128,
    },
    /// A partition starts before the end of the previous one.
    OnPrevious {
        /// Where it starts.
        offset: i128,
        /// Where it could start at the earliest.
        free: i128,
    },
    /// The table as a whole violates a rule.
    Violation(Violation),
    /// Something does not fit the binary form, or could not be read back from it.
    Limit(Limit),
    /// There are too many partitions.
    TableTooLong {
        /// Bytes that the entries would take.
        len: usize,
    },
    /// The table cannot be written.
    Emit(EmitError),
    /// The table that was written cannot be read.
    Unreadable(table::Error),
}

/// Why a line cannot be read. The texts are those of the official tool, but for [`TooLarge`](Self::TooLarge).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldError {
    /// The type is empty.
    TypeEmpty,
    /// The subtype of an app partition is empty.
    AppSubtypeEmpty,
    /// The size is empty.
    SizeEmpty,
    /// Not a number, where there are no keywords.
    InvalidValue {
        /// The cell, without suffixes.
        cell: String,
    },
    /// Neither a number nor a keyword.
    UnknownKeyword {
        /// The cell, without suffixes.
        cell: String,
        /// The keywords that would be known.
        known: String,
    },
    /// A number beyond anything that a table can hold.
    TooLarge {
        /// The cell.
        cell: String,
    },
    /// A flag that is not known.
    UnknownFlag {
        /// The flag.
        flag: String,
    },
    /// A boot loader needs [`primary_bootloader_offset`](table::Options::primary_bootloader_offset).
    NoPrimaryBootloaderOffset,
    /// The recovery boot loader needs [`recovery_bootloader_offset`](table::Options::recovery_bootloader_offset).
    NoRecoveryBootloaderOffset,
}

/// What the binary form cannot hold, or what could not be read back from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// A type beyond a byte.
    Type {
        /// The type.
        value: i128,
    },
    /// A subtype beyond a byte.
    Subtype {
        /// The subtype.
        value: i128,
    },
    /// An offset beyond 32 bits.
    Offset {
        /// The offset.
        value: i128,
    },
    /// A size beyond 32 bits.
    Size {
        /// The size.
        value: i128,
    },
    /// A negative size names an end before the start.
    EndsBeforeStart {
        /// The flash address that the size names.
        end: i128,
        /// Where the partition starts.
        offset: i128,
    },
    /// A table without partitions.
    NoPartitions,
    /// Type 0xFF marks the end of the table.
    TypeOfEndMarker,
    /// The partition ends beyond 4 GiB.
    End {
        /// Where it ends.
        value: i128,
    },
    /// The name is cut within a character.
    NameCutInCharacter {
        /// The whole name.
        name: String,
    },
    /// Two names are the same after the cut.
    NamesCollide {
        /// The name that is left.
        stored: Name,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.lines.last().copied();
        let at_line = |f: &mut fmt::Formatter<'_>| match line {
            Some(line) => write!(f, "Error at line {line}: "),
            None => Ok(()),
        };
        match &self.reason {
            Reason::BootloaderAboveTable { primary, table } => write!(
                f,
                "Unsupported configuration. Primary bootloader must be below partition table. Check \
                 --primary-bootloader-offset={primary:#x} and --offset={table:#x}"
            ),
            Reason::Binary => f.write_str("this is a binary partition table already, not CSV"),
            Reason::Encoding {
                encoding,
                offset,
                byte,
            } => {
                at_line(f)?;
                match byte {
                    Some(byte) => write!(f, "byte {byte:#04x} at position {offset}")?,
                    None => write!(f, "the text from position {offset} on")?,
                }
                write!(f, " is not {encoding}; save the file as UTF-8")
            }
            Reason::UnknownVariable { name } => write!(f, "unknown variable '{name}'"),
            Reason::Field(error @ FieldError::TooLarge { .. }) => {
                at_line(f)?;
                error.fmt(f)
            }
            Reason::Field(error) => {
                at_line(f)?;
                write!(f, "{error}\n{HINT}")
            }
            Reason::OnTable {
                offset,
                table,
                free,
            } => write!(
                f,
                "CSV Error at line {}: Partitions overlap. Partition sets offset {}. But partition table occupies the whole \
                 sector {table:#x}. Use a free offset {} or higher.",
                line.unwrap_or_default(),
                Hex(*offset),
                Hex(*free)
            ),
            Reason::OnPrevious { offset, free } => write!(
                f,
                "CSV Error at line {}: Partitions overlap. Partition sets offset {}. Previous partition ends {}",
                line.unwrap_or_default(),
                Hex(*offset),
                Hex(*free)
            ),
            Reason::Violation(violation) => violation.fmt(f),
            Reason::Limit(Limit::NamesCollide { stored }) => {
                at_line(f)?;
                write!(
                    f,
                    "the name is the same as in line {} after the cut to 16 bytes ('{stored}'), and the table could not be \
                     read back; use shorter names",
                    self.lines.first().copied().unwrap_or_default()
                )
            }
            Reason::Limit(limit) => {
                at_line(f)?;
                limit.fmt(f)
            }
            Reason::TableTooLong { len } => {
                write!(f, "Binary partition table length ({len}) longer than max")
            }
            Reason::Emit(error) => error.fmt(f),
            Reason::Unreadable(error) => write!(f, "the table could not be read back: {error}"),
        }
    }
}

impl core::error::Error for Error {}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TypeEmpty => f.write_str("Field 'type' can't be left empty."),
            Self::AppSubtypeEmpty => f.write_str("App partition cannot have an empty subtype"),
            Self::SizeEmpty => f.write_str("Size field can't be empty"),
            Self::InvalidValue { cell } => write!(f, "Invalid field value {cell}"),
            Self::UnknownKeyword { cell, known } => {
                write!(f, "Value '{cell}' is not valid. Known keywords: {known}")
            }
            Self::TooLarge { cell } => {
                write!(f, "the number '{cell}' is too large for a partition table")
            }
            Self::UnknownFlag { flag } => {
                write!(f, "CSV flag column contains unknown flag '{flag}'")
            }
            Self::NoPrimaryBootloaderOffset => f.write_str(
                "Primary bootloader offset is not defined. Please use --primary-bootloader-offset",
            ),
            Self::NoRecoveryBootloaderOffset => f.write_str(
                "Recovery bootloader offset is not defined. Please use --recovery-bootloader-offset",
            ),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { value } => write!(
                f,
                "type {} does not fit in a byte; types are 0x00 to 0xfe",
                Hex(*value)
            ),
            Self::Subtype { value } => write!(
                f,
                "subtype {} does not fit in a byte; subtypes are 0x00 to 0xff",
                Hex(*value)
            ),
            Self::Offset { value } => write!(
                f,
                "offset {} does not fit in 32 bits: no flash chip is that large",
                Hex(*value)
            ),
            Self::Size { value } => write!(
                f,
                "size {} does not fit in 32 bits: no flash chip is that large",
                Hex(*value)
            ),
            Self::EndsBeforeStart { end, offset } => write!(
                f,
                "the negative size means that the partition ends at {}, but it starts at {}",
                Hex(*end),
                Hex(*offset)
            ),
            Self::NoPartitions => f.write_str(
                "the table has no partitions: neither the official tool nor a device could read it; add a partition",
            ),
            Self::TypeOfEndMarker => f.write_str(
                "type 0xff marks the end of the table; types of your own are 0x40 to 0xfe",
            ),
            Self::End { value } => write!(
                f,
                "the partition ends at {}, beyond 4 GiB: devices reject it",
                Hex(*value)
            ),
            Self::NameCutInCharacter { name } => write!(
                f,
                "the cut of the name '{name}' to 16 bytes falls into a character, and the table could not be read back; use \
                 a shorter name"
            ),
            Self::NamesCollide { stored } => {
                write!(f, "two names are '{stored}' after the cut to 16 bytes")
            }
        }
    }
}
