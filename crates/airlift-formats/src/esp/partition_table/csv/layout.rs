//! Working out where partitions lie: empty offsets and negative sizes.

use alloc::vec::Vec;

use super::{Error, Reason, record::Record};
use crate::esp::partition_table::{Options, SECTOR_LEN, row::Row};

/// Fills in empty offsets behind the previous partition, and turns negative sizes into lengths.
///
/// Explicit offsets must ascend in the order of the file. The boot loader and the table that the chip uses take no part.
pub(super) fn place(records: Vec<Record>, options: &Options) -> Result<Vec<Row>, Error> {
    let mut cursor = i128::from(options.table_offset) + i128::from(SECTOR_LEN);
    let mut rows: Vec<Row> = Vec::with_capacity(records.len());
    for record in records {
        let Record { line, offset, .. } = record;
        let mut row = Row {
            name: record.name.into_bytes(),
            kind: record.kind,
            subtype: record.subtype,
            offset: offset.unwrap_or_default(),
            size: record.size,
            flags: record.flags,
        };
        if row.is_primary() {
            rows.push(row);
            continue;
        }
        match offset {
            Some(offset) if offset < cursor => {
                // The official tool compares values: a copy of the first line counts as the first line.
                let first = rows.first().is_none_or(|first| same_values(first, &row));
                return Err(Error::at(
                    line,
                    if first {
                        Reason::OnTable {
                            offset,
                            table: options.table_offset,
                            free: cursor,
                        }
                    } else {
                        Reason::OnPrevious {
                            offset,
                            free: cursor,
                        }
                    },
                ));
            }
            Some(_) => {}
            None => {
                let alignment = row.offset_alignment();
                let behind = cursor.rem_euclid(alignment);
                row.offset = if behind == 0 {
                    cursor
                } else {
                    cursor + alignment - behind
                };
            }
        }
        if row.size < 0 {
            row.size = -row.size - row.offset;
        }
        cursor = row.end();
        rows.push(row);
    }
    Ok(rows)
}

fn same_values(one: &Row, other: &Row) -> bool {
    let values = |row: &Row| (row.kind, row.subtype, row.offset, row.size);
    one.name == other.name && values(one) == values(other)
}
