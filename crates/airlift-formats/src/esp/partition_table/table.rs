//! Reading a binary table.

use md5::{Digest, Md5};

use super::{
    ENTRY_LEN, Error, Name, Partition, PartitionType, SlotError, TABLE_LEN, slots::AppSlots,
    subtype,
};

/// First bytes of the MD5 entry. Tool and device look at nothing else of the 16 bytes before the digest.
pub(super) const MD5_MAGIC: [u8; 2] = [0xEB, 0xEB];

/// The end marker.
pub(super) const END: [u8; ENTRY_LEN] = [0xFF; ENTRY_LEN];

/// What a device demands of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Length of the flash chip in bytes; no partition may end beyond it.
    pub flash_size: u32,
    /// Whether a table without an MD5 entry is refused. Switch it off only for devices whose tables were made with
    /// `--disable-md5sum`.
    pub require_md5: bool,
}

impl Rules {
    /// The usual rules for a chip of `flash_size` bytes: the MD5 entry is required.
    pub const fn new(flash_size: u32) -> Self {
        Self {
            flash_size,
            require_md5: true,
        }
    }

    /// The same rules for tables that were made without an MD5 entry.
    pub const fn without_md5(self) -> Self {
        Self {
            require_md5: false,
            ..self
        }
    }
}

/// A binary table that has been checked: a view of the bytes, without a copy of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionTable<'a> {
    /// Partitions and MD5 entries, without the end marker.
    entries: &'a [[u8; ENTRY_LEN]],
    md5: Option<[u8; 16]>,
}

impl<'a> PartitionTable<'a> {
    /// Reads the table of a device, strictly: what this accepts, the boot loader accepts, too, and every partition can be
    /// written without hitting another one.
    ///
    /// Only the first [`TABLE_LEN`] bytes count: a dump of the whole sector is fine. Bytes behind the end marker are
    /// ignored. The table does not say where it lies itself: before writing, check the partition against
    /// the table's own sector and the boot loader with [`Partition::overlaps`].
    ///
    /// # Errors
    ///
    /// Everything that [`inspect`](Self::inspect) refuses; a missing MD5 entry, unless
    /// [`Rules::require_md5`] is off; a second MD5 entry or partitions behind the first; a partition that ends beyond
    /// [`Rules::flash_size`], or overlaps another, or has the type of the end marker.
    pub fn parse(bytes: &'a [u8], rules: &Rules) -> Result<Self, Error> {
        let table = Self::read(bytes.get(..TABLE_LEN).unwrap_or(bytes))?;
        table.check_for_device(rules)?;
        Ok(table)
    }

    /// Reads what the official tool reads, to show it: entries of any number, of any place, also behind an MD5 entry.
    ///
    /// In two ways it accepts more than the tool, which ends with a Python exception there: names may be other bytes than
    /// UTF-8. Unknown flags are kept, see [`Flags::unknown`](super::Flags::unknown).
    ///
    /// # Errors
    ///
    /// A table that starts with something else than a partition; a length that ends within an entry; an entry with an
    /// unknown magic number; a digest that does not match; no end marker, or a damaged one.
    pub fn inspect(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::read(bytes)
    }

    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
        let mut digest = Md5::new();
        let mut md5 = None;
        for (index, entry) in entries.iter().enumerate() {
            let [m0, m1, ..] = *entry;
            let magic = [m0, m1];
            if *entry == END {
                if index == 0 {
                    return Err(Error::Blank);
                }
                let entries = entries.get(..index).unwrap_or_default();
                return Ok(Self { entries, md5 });
            } else if magic == MD5_MAGIC {
                if index == 0 {
                    return Err(Error::Md5First);
                }
                let [.., stored] = as_halves(entry);
                let computed = digest.clone().finalize().into();
                if computed != stored {
                    return Err(Error::Md5Mismatch {
                        index,
                        computed,
                        stored,
                    });
                }
                md5 = Some(stored);
            } else if Partition::from_bytes(entry).is_some() {
                digest.update(entry);
            } else if magic == [0xFF; 2] {
                return Err(Error::DamagedEndMarker { index });
            } else if index == 0 {
                return Err(Error::NotATable { found: magic });
            } else {
                return Err(Error::Magic {
                    index,
                    found: magic,
                });
            }
        }
        if !rest.is_empty() {
            return Err(Error::Length { len: bytes.len() });
        }
        match entries.len() {
            0 => Err(Error::NotATable { found: [0; 2] }),
            entries => Err(Error::MissingEndMarker { entries }),
        }
    }

    fn check_for_device(&self, rules: &Rules) -> Result<(), Error> {
        let mut after_md5 = false;
        for (index, entry) in self.entries.iter().enumerate() {
            match (Partition::from_bytes(entry), after_md5) {
                (None, true) => return Err(Error::SecondMd5 { index }),
                (Some(_), true) => return Err(Error::PartitionAfterMd5 { index }),
                (None, false) => after_md5 = true,
                (Some(partition), false) => self.check_partition(index, &partition, rules)?,
            }
        }
        if rules.require_md5 && self.md5.is_none() {
            return Err(Error::MissingMd5);
        }
        Ok(())
    }

    fn check_partition(
        &self,
        index: usize,
        partition: &Partition,
        rules: &Rules,
    ) -> Result<(), Error> {
        let &Partition { offset, size, .. } = partition;
        if partition.kind == PartitionType::END {
            return Err(Error::TypeOfEndMarker { index });
        }
        if partition.end() > u64::from(rules.flash_size) {
            return Err(Error::BeyondFlash {
                index,
                offset,
                size,
                flash_size: rules.flash_size,
            });
        }
        let earlier = self.partitions().take(index).enumerate();
        for (first, other) in earlier {
            if other.overlaps(offset, size) {
                return Err(Error::Overlap {
                    first,
                    first_name: other.name,
                    second: index,
                    second_name: partition.name,
                });
            }
        }
        Ok(())
    }

    /// The partitions, in the order of the table.
    pub fn partitions(&self) -> Partitions<'a> {
        Partitions {
            entries: self.entries.iter(),
        }
    }

    /// The digest of the MD5 entry, if there is one. It has been checked.
    pub fn md5(&self) -> Option<[u8; 16]> {
        self.md5
    }

    /// The first partition with this label. Labels are compared as bytes; one that is longer than 16 bytes is never
    /// found.
    pub fn find_by_name(&self, name: impl AsRef<[u8]>) -> Option<Partition> {
        let name = Name::new(name.as_ref())?;
        self.partitions()
            .find(|partition| partition.name.as_bytes() == name.as_bytes())
    }

    /// The first partition of this type and subtype.
    pub fn find(&self, kind: PartitionType, subtype: u8) -> Option<Partition> {
        self.partitions()
            .find(|partition| partition.kind == kind && partition.subtype == subtype)
    }

    /// The app slots `ota_0`, `ota_1`, ... between which an update alternates.
    ///
    /// # Errors
    ///
    /// Unless they are exactly `ota_0` to `ota_(n-1)`, each once: with a gap or a double, boot loader and application count
    /// differently, and the slot that was selected is not the one that boots.
    pub fn app_slots(&self) -> Result<AppSlots<'a>, SlotError> {
        AppSlots::new(*self)
    }

    /// The boot selection, `otadata`.
    ///
    /// # Errors
    ///
    /// If there is none, or it is too small for the two sectors that a safe switch needs.
    pub fn otadata(&self) -> Result<Partition, SlotError> {
        let otadata = self
            .find(PartitionType::DATA, subtype::DATA_OTA)
            .ok_or(SlotError::NoOtadata)?;
        if otadata.size < 0x2000 {
            return Err(SlotError::OtadataTooSmall { size: otadata.size });
        }
        Ok(otadata)
    }
}

/// An entry as two halves of 16 bytes; the second one holds the digest of an MD5 entry.
fn as_halves(entry: &[u8; ENTRY_LEN]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (half, bytes) in halves.iter_mut().zip(entry.as_chunks::<16>().0) {
        *half = *bytes;
    }
    halves
}

/// The partitions of a [`PartitionTable`], in its order.
#[derive(Clone, Debug)]
pub struct Partitions<'a> {
    entries: core::slice::Iter<'a, [u8; ENTRY_LEN]>,
}

impl Iterator for Partitions<'_> {
    type Item = Partition;

    fn next(&mut self) -> Option<Partition> {
        // Whatever is not a partition was found to be an MD5 entry.
        self.entries.by_ref().find_map(Partition::from_bytes)
    }
}
