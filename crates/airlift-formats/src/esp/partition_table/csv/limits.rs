//! What fits the binary form and can be read back from it. The official tool writes some of it, and ends with a Python
//! exception on the rest.

use alloc::{vec, vec::Vec};

use super::{Error, Limit, Reason};
use crate::esp::partition_table::{
    ENTRY_LEN, MAX_ENTRIES, Options, Partition, PartitionType, TABLE_LEN, row::Row,
};

/// Flash addresses have 32 bits.
const ADDRESS_SPACE: i128 = 1 << 32;

/// Turns rows into partitions. `sizes` are the size cells as they were written.
pub(super) fn pack(
    rows: &[Row],
    sizes: &[i128],
    lines: &[usize],
    options: &Options,
) -> Result<Vec<Partition>, Error> {
    let mut partitions = Vec::with_capacity(rows.len());
    for ((row, &size), &line) in rows.iter().zip(sizes).zip(lines) {
        let partition = fit(row, size).map_err(|limit| Error::at(line, Reason::Limit(limit)))?;
        partitions.push(partition);
    }

    // The official tool wants room for the end marker, too.
    let entries = rows.len() + usize::from(options.md5);
    if entries * ENTRY_LEN >= TABLE_LEN {
        let first_without_room = lines.get(MAX_ENTRIES - usize::from(options.md5));
        return Err(Error {
            lines: first_without_room.copied().into_iter().collect(),
            reason: Reason::TableTooLong {
                len: entries * ENTRY_LEN,
            },
        });
    }
    if rows.is_empty() {
        return Err(Error::of_file(Reason::Limit(Limit::NoPartitions)));
    }
    readable(rows, &partitions, lines)?;
    Ok(partitions)
}

fn fit(row: &Row, size_cell: i128) -> Result<Partition, Limit> {
    let kind = u8::try_from(row.kind).map_err(|_| Limit::Type { value: row.kind })?;
    let subtype = u8::try_from(row.subtype).map_err(|_| Limit::Subtype { value: row.subtype })?;
    let offset = u32::try_from(row.offset).map_err(|_| Limit::Offset { value: row.offset })?;
    let size = u32::try_from(row.size).map_err(|_| {
        if row.size < 0 {
            Limit::EndsBeforeStart {
                end: -size_cell,
                offset: row.offset,
            }
        } else {
            Limit::Size { value: row.size }
        }
    })?;
    Ok(Partition {
        kind: PartitionType(kind),
        subtype,
        offset,
        size,
        name: row.stored_name(),
        flags: row.flags,
    })
}

/// Refuses what the official tool writes, but the device rejects, or nobody can read back.
fn readable(rows: &[Row], partitions: &[Partition], lines: &[usize]) -> Result<(), Error> {
    let all = || rows.iter().zip(partitions).zip(lines);
    for ((row, partition), &line) in all() {
        let refuse = |limit| Err(Error::at(line, Reason::Limit(limit)));
        if partition.kind == PartitionType::END {
            return refuse(Limit::TypeOfEndMarker);
        }
        if row.end() > ADDRESS_SPACE {
            return refuse(Limit::End { value: row.end() });
        }
        if partition.name.as_str().is_none() {
            return refuse(Limit::NameCutInCharacter { name: row.label() });
        }
        for ((_, earlier), &earlier_line) in all().take_while(|&(_, &other)| other != line) {
            if earlier.name.as_bytes() == partition.name.as_bytes() {
                return Err(Error {
                    lines: vec![earlier_line, line],
                    reason: Reason::Limit(Limit::NamesCollide {
                        stored: partition.name,
                    }),
                });
            }
        }
    }
    Ok(())
}
