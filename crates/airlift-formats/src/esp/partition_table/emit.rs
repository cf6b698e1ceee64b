//! Writing a binary table.

use core::fmt;

use md5::{Digest, Md5};

use super::{ENTRY_LEN, MAX_ENTRIES, Partition, PartitionType, TABLE_LEN, table::MD5_MAGIC};

/// Writes the table of `partitions`, with an MD5 entry if `md5`, filled up with `0xFF` to [`TABLE_LEN`] bytes.
///
/// Returns the part of `out` that was written: always [`TABLE_LEN`] bytes. The partitions themselves are not judged beyond
/// what makes the table unreadable; after an error the content of `out` is of no use.
///
/// # Errors
///
/// See [`EmitError`].
pub fn emit(
    partitions: impl IntoIterator<Item = Partition>,
    md5: bool,
    out: &mut [u8],
) -> Result<&[u8; TABLE_LEN], EmitError> {
    let given = out.len();
    let out: &mut [u8; TABLE_LEN] = out
        .first_chunk_mut()
        .ok_or(EmitError::BufferTooSmall { len: given })?;
    out.fill(0xFF);

    let (entries, _) = out.as_chunks_mut::<ENTRY_LEN>();
    let mut free = entries.iter_mut().take(MAX_ENTRIES);
    let mut digest = Md5::new();
    let mut empty = true;
    for (index, partition) in partitions.into_iter().enumerate() {
        if partition.kind == PartitionType::END {
            return Err(EmitError::TypeOfEndMarker { index });
        }
        let entry = free.next().ok_or(EmitError::TooManyPartitions { md5 })?;
        *entry = partition.to_bytes();
        digest.update(*entry);
        empty = false;
    }
    if empty {
        return Err(EmitError::Empty);
    }
    if md5 {
        let entry = free.next().ok_or(EmitError::TooManyPartitions { md5 })?;
        let (head, tail) = entry.split_at_mut(ENTRY_LEN / 2);
        for (byte, value) in head.iter_mut().zip(MD5_MAGIC) {
            *byte = value;
        }
        tail.copy_from_slice(&digest.finalize());
    }
    Ok(out)
}

/// Why a table cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The buffer has less than [`TABLE_LEN`] bytes.
    BufferTooSmall {
        /// Bytes that it has.
        len: usize,
    },
    /// A table without partitions can be written, but neither the official tool nor a device can read it.
    Empty,
    /// The table has room for 94 partitions and the MD5 entry, or for 95 partitions.
    TooManyPartitions {
        /// Whether the MD5 entry was asked for.
        md5: bool,
    },
    /// A partition of type 0xFF: a device would take it for the end of the table.
    TypeOfEndMarker {
        /// Its position, from 0.
        index: usize,
    },
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { len } => write!(
                f,
                "a partition table needs a buffer of {TABLE_LEN} bytes, not {len}"
            ),
            Self::Empty => f.write_str(
                "a partition table without partitions cannot be read back; add a partition",
            ),
            Self::TooManyPartitions { md5: true } => write!(
                f,
                "a partition table holds {} partitions beside its MD5 entry",
                MAX_ENTRIES - 1
            ),
            Self::TooManyPartitions { md5: false } => {
                write!(f, "a partition table holds {MAX_ENTRIES} partitions")
            }
            Self::TypeOfEndMarker { index } => write!(
                f,
                "partition {index} has type 0xff, which marks the end of the table"
            ),
        }
    }
}

impl core::error::Error for EmitError {}
