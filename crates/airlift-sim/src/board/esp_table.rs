//! The partition table as the second-stage boot loader of ESP-IDF reads it.

use std::fmt;

use airlift_device::flash::Region;
use airlift_formats::esp::otadata::Slot;
use airlift_formats::esp::partition_table::{
    ENTRY_LEN, Partition, PartitionType, TABLE_LEN, subtype,
};
use md5::{Digest, Md5};

/// What the boot loader takes from the partition table (`bootloader_utility_load_partition_table`).
///
/// Looser than [`PartitionTable::parse`](airlift_formats::esp::partition_table::PartitionTable::parse), as the reference is: no MD5 is
/// needed, partitions may overlap and may follow the MD5 entry, and of two partitions of a kind the last one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootTable {
    /// The boot selection.
    pub otadata: Option<Region>,
    /// The factory app.
    pub factory: Option<Region>,
    /// The test app.
    pub test: Option<Region>,
    /// `ota_0` to `ota_15`.
    ota: [Option<Region>; 16],
    /// Number of `ota_N` entries, doubles included: what sequence numbers are taken modulo of.
    pub ota_count: u8,
}

/// Why the boot loader refuses a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootTableError {
    /// Nothing was flashed: the first entry is the end marker.
    Empty,
    /// An entry has an unknown magic number.
    Magic {
        /// Index of the entry.
        entry: usize,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// A partition ends beyond the flash.
    BeyondFlash {
        /// Index of the entry.
        entry: usize,
    },
    /// The MD5 is not that of the entries before it.
    Md5,
    /// There is a second MD5 entry.
    SecondMd5,
    /// None of the entries is the end marker.
    NoEnd,
}

impl fmt::Display for BootTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is none"),
            Self::Magic {
                entry,
                found: [low, high],
            } => {
                write!(
                    f,
                    "partition {entry} invalid magic number 0x{high:02x}{low:02x}"
                )
            }
            Self::BeyondFlash { entry } => write!(f, "partition {entry} exceeds the flash"),
            Self::Md5 => f.write_str("incorrect MD5 checksum"),
            Self::SecondMd5 => f.write_str("only one MD5 checksum is allowed"),
            Self::NoEnd => f.write_str("it has no terminating entry"),
        }
    }
}

impl std::error::Error for BootTableError {}

impl BootTable {
    /// Reads the table of a flash of `flash_size` bytes; only the first 0xC00 bytes are looked at.
    pub fn parse(bytes: &[u8], flash_size: usize) -> Result<Self, BootTableError> {
        let (entries, _) = bytes[..bytes.len().min(TABLE_LEN)].as_chunks::<ENTRY_LEN>();
        let mut table = Self::default();
        let mut md5_seen = false;
        for (index, entry) in entries.iter().enumerate() {
            if let Some(partition) = Partition::from_bytes(entry) {
                if partition.end() > flash_size as u64 {
                    return Err(BootTableError::BeyondFlash { entry: index });
                }
                table.note(&partition);
                continue;
            }
            match entry {
                [0xeb, 0xeb, ..] if md5_seen => return Err(BootTableError::SecondMd5),
                [0xeb, 0xeb, ..] => {
                    let digest = Md5::digest(entries[..index].as_flattened());
                    if entry[16..] != digest[..] {
                        return Err(BootTableError::Md5);
                    }
                    md5_seen = true;
                }
                [0xff, 0xff, 0xff, 0xff, ..] if index == 0 => return Err(BootTableError::Empty),
                [0xff, 0xff, 0xff, 0xff, ..] => return Ok(table),
                [first, second, ..] => {
                    return Err(BootTableError::Magic {
                        entry: index,
                        found: [*first, *second],
                    });
                }
            }
        }
        Err(BootTableError::NoEnd)
    }

    /// Where an app partition lies.
    #[must_use]
    pub fn app(&self, slot: Slot) -> Option<Region> {
        match slot {
            Slot::Ota(index) => *self.ota.get(usize::from(index))?,
            Slot::Factory => self.factory,
            Slot::Test => self.test,
        }
    }

    fn note(&mut self, partition: &Partition) {
        let region = Some(Region::new(partition.offset, partition.size));
        match (partition.kind, partition.subtype) {
            (PartitionType::APP, subtype::APP_FACTORY) => self.factory = region,
            (PartitionType::APP, subtype::APP_TEST) => self.test = region,
            (PartitionType::APP, ota @ subtype::APP_OTA_0..=subtype::APP_OTA_15) => {
                self.ota[usize::from(ota - subtype::APP_OTA_0)] = region;
                self.ota_count = self.ota_count.saturating_add(1);
            }
            (PartitionType::DATA, subtype::DATA_OTA) => self.otadata = region,
            _ => {}
        }
    }
}
