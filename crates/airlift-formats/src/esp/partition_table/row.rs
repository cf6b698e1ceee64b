//! A partition on its way between CSV and binary.

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::{Flags, Name, Partition, PartitionType, SubtypeNames, options::TYPES, subtype};

/// A partition as it stands in a CSV file: its numbers may not fit the binary form yet, because the official tool looks
/// at that last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The whole label, also where the binary form will cut it.
    pub(super) name: Vec<u8>,
    pub(super) kind: i128,
    pub(super) subtype: i128,
    pub(super) offset: i128,
    pub(super) size: i128,
    pub(super) flags: Flags,
}

impl Row {
    pub(super) fn kind(&self) -> Option<PartitionType> {
        u8::try_from(self.kind).ok().map(PartitionType)
    }

    pub(super) fn is(&self, kind: PartitionType, subtype: u8) -> bool {
        self.is_kind(kind) && self.subtype == i128::from(subtype)
    }

    pub(super) fn is_kind(&self, kind: PartitionType) -> bool {
        self.kind == i128::from(kind.0)
    }

    /// Whether this is the boot loader or the table that the chip uses: they lie outside of the space for partitions.
    pub(super) fn is_primary(&self) -> bool {
        self.is(PartitionType::BOOTLOADER, subtype::PRIMARY)
            || self.is(PartitionType::PARTITION_TABLE, subtype::PRIMARY)
    }

    pub(super) fn end(&self) -> i128 {
        self.offset + self.size
    }

    pub(super) fn offset_alignment(&self) -> i128 {
        let kind = self.kind().unwrap_or(PartitionType::DATA);
        i128::from(kind.offset_alignment())
    }

    /// The label for messages.
    pub(super) fn label(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// The label that the binary form gets: cut at 16 bytes.
    pub(super) fn stored_name(&self) -> Name {
        let mut name = [0; Name::LEN];
        for (to, from) in name.iter_mut().zip(&self.name) {
            *to = *from;
        }
        Name(name)
    }

    /// The row of the CSV form, as the official tool prints it.
    pub(super) fn to_csv(&self, subtypes: &SubtypeNames) -> String {
        let kind = TYPES
            .into_iter()
            .find(|&kind| self.is_kind(kind))
            .and_then(PartitionType::name);
        let subtype = self
            .kind()
            .zip(u8::try_from(self.subtype).ok())
            .and_then(|(kind, subtype)| subtypes.name(kind, subtype));
        alloc::format!(
            "{},{},{},{},{},{}",
            self.label(),
            Keyword(kind, self.kind),
            Keyword(subtype, self.subtype),
            Hex(self.offset),
            Size(self.size),
            FlagNames(self.flags)
        )
    }
}

impl From<Partition> for Row {
    fn from(partition: Partition) -> Self {
        Self {
            name: partition.name.as_bytes().into(),
            kind: partition.kind.0.into(),
            subtype: partition.subtype.into(),
            offset: partition.offset.into(),
            size: partition.size.into(),
            flags: partition.flags,
        }
    }
}

/// A keyword, or the number in decimal.
struct Keyword<'a>(Option<&'a str>, i128);

impl fmt::Display for Keyword<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(keyword) => f.write_str(keyword),
            None => self.1.fmt(f),
        }
    }
}

/// A number as Python formats it with `0x%x`: the sign of a negative one stands behind the `0x`.
pub(super) struct Hex(pub(super) i128);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "0x{sign}{:x}", self.0.unsigned_abs())
    }
}

/// A size: in MiB or KiB if it is a multiple, else in hex.
struct Size(i128);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, letter) in [(1 << 20, 'M'), (1 << 10, 'K')] {
            if self.0 % unit == 0 {
                return write!(f, "{}{letter}", self.0 / unit);
            }
        }
        Hex(self.0).fmt(f)
    }
}

/// The known flags, joined by colons.
struct FlagNames(Flags);

impl fmt::Display for FlagNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0.is_encrypted(), self.0.is_readonly()) {
            (true, true) => "encrypted:readonly",
            (true, false) => "encrypted",
            (false, true) => "readonly",
            (false, false) => "",
        })
    }
}
