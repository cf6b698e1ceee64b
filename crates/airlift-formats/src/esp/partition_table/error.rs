//! Why a binary table is refused.

use core::fmt;

use super::{MAX_ENTRIES, Name, TABLE_LEN};

/// Why a binary table is refused, and where.
///
/// Where Espressif's `gen_esp32part.py` refuses for the same reason, the text is the tool's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The table does not start with a partition.
    NotATable {
        /// The first bytes, as far as there are any.
        found: [u8; 2],
    },
    /// The table starts with its end marker, as erased flash does.
    Blank,
    /// The table starts with the MD5 entry: it has no partition before it.
    Md5First,
    /// The bytes end within an entry.
    Length {
        /// Bytes that were given.
        len: usize,
    },
    /// An entry is neither a partition nor an MD5 entry nor the end marker.
    Magic {
        /// Position of the entry, from 0.
        index: usize,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// An entry starts like the end marker, but other bytes of it have been changed.
    DamagedEndMarker {
        /// Position of the entry, from 0.
        index: usize,
    },
    /// The digest does not fit the partitions before it.
    Md5Mismatch {
        /// Position of the MD5 entry, from 0.
        index: usize,
        /// Digest of the partitions.
        computed: [u8; 16],
        /// Digest in the entry.
        stored: [u8; 16],
    },
    /// There is no end marker behind the entries.
    MissingEndMarker {
        /// Entries that were read.
        entries: usize,
    },
    /// Device only: there is no MD5 entry, and [`Rules::require_md5`](super::Rules::require_md5) asks for one.
    MissingMd5,
    /// Device only: a second MD5 entry. The boot loader refuses it, too.
    SecondMd5 {
        /// Position of the entry, from 0.
        index: usize,
    },
    /// Device only: a partition behind the MD5 entry, which no digest protects.
    PartitionAfterMd5 {
        /// Position of the entry, from 0.
        index: usize,
    },
    /// Device only: a partition with the type of the end marker.
    TypeOfEndMarker {
        /// Position of the entry, from 0.
        index: usize,
    },
    /// Device only: a partition ends beyond the flash chip.
    BeyondFlash {
        /// Position of the entry, from 0.
        index: usize,
        /// Flash address where it starts.
        offset: u32,
        /// Its length.
        size: u32,
        /// Length of the flash chip.
        flash_size: u32,
    },
    /// Device only: two partitions share flash.
    Overlap {
        /// Position of the one entry, from 0.
        first: usize,
        /// Label of the one.
        first_name: Name,
        /// Position of the other entry, from 0; it comes later in the table.
        second: usize,
        /// Label of the other.
        second_name: Name,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotATable { found } => write!(
                f,
                "not a partition table: the first bytes are {}, not aa 50",
                HexBytes(&found, " ")
            ),
            Self::Blank => f.write_str(
                "the partition table is blank: it starts with its end marker, as erased flash does",
            ),
            Self::Md5First => f.write_str(
                "the partition table starts with its MD5 entry: it has no partitions, or they stand behind it unprotected",
            ),
            Self::Length { .. } => {
                f.write_str("Partition table length must be a multiple of 32 bytes")
            }
            Self::Magic { found, .. } => write!(
                f,
                "Invalid magic bytes ({}) for partition definition",
                PythonBytes(&found)
            ),
            Self::DamagedEndMarker { index } => write!(
                f,
                "entry {index} starts like the end marker of the table, but is not all FF: the table is damaged"
            ),
            // The tool prints Python's idea of the stored bytes; the text is kept as it is.
            Self::Md5Mismatch {
                computed, stored, ..
            } => write!(
                f,
                "MD5 checksums don't match! (computed: 0x{}, parsed: 0xb'{}')",
                HexBytes(&computed, ""),
                HexBytes(&stored, "")
            ),
            Self::MissingEndMarker { entries } => {
                f.write_str("Partition table is missing an end-of-table marker")?;
                if entries > MAX_ENTRIES {
                    write!(f, " within its {TABLE_LEN} bytes")?;
                }
                Ok(())
            }
            Self::MissingMd5 => f.write_str(
                "the partition table has no MD5 entry: a change of it cannot be noticed",
            ),
            Self::SecondMd5 { index } => write!(
                f,
                "entry {index} is a second MD5 entry; devices accept only one"
            ),
            Self::PartitionAfterMd5 { index } => write!(
                f,
                "entry {index} is a partition behind the MD5 entry, not protected by it"
            ),
            Self::TypeOfEndMarker { index } => write!(
                f,
                "entry {index} has type 0xff, which marks the end of the table"
            ),
            Self::BeyondFlash {
                index,
                offset,
                size,
                flash_size,
            } => write!(
                f,
                "partition {index} invalid - offset {offset:#x} size {size:#x} exceeds flash chip size {flash_size:#x}"
            ),
            Self::Overlap {
                first,
                first_name,
                second,
                second_name,
            } => write!(
                f,
                "partition {second} ('{second_name}') overlaps partition {first} ('{first_name}')"
            ),
        }
    }
}

impl core::error::Error for Error {}

/// Bytes in lower-case hex.
struct HexBytes<'a>(&'a [u8], &'a str);

impl fmt::Display for HexBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(self.1)?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Bytes as Python's `repr` writes them: `b'\x00P'`.
struct PythonBytes<'a>(&'a [u8]);

impl fmt::Display for PythonBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains(&b'\'') && !self.0.contains(&b'"') {
            '"'
        } else {
            '\''
        };
        write!(f, "b{quote}")?;
        for &byte in self.0 {
            match byte {
                b'\t' => f.write_str("\\t")?,
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\\' => f.write_str("\\\\")?,
                b'\'' if quote == '\'' => f.write_str("\\'")?,
                0x20..=0x7E => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        write!(f, "{quote}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_as_python_does() {
        for (bytes, text) in [
            (&b"\x00P"[..], r"b'\x00P'"),
            (b"\xaa\x7f", r"b'\xaa\x7f'"),
            (b"\n\\", r"b'\n\\'"),
            (b"'a", "b\"'a\""),
            (b"'\"", "b'\\'\"'"),
        ] {
            assert_eq!(PythonBytes(bytes).to_string(), text);
        }
    }
}
