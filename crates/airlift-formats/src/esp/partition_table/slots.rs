//! The app slots that an update alternates between.

use core::fmt;

use super::{Partition, PartitionTable, PartitionType, subtype};

/// The slots `ota_0` to `ota_(n-1)`, each exactly once.
#[derive(Clone, Copy, Debug)]
pub struct AppSlots<'a> {
    table: PartitionTable<'a>,
    count: u8,
}

impl<'a> AppSlots<'a> {
    pub(super) fn new(table: PartitionTable<'a>) -> Result<Self, SlotError> {
        let mut seen = 0u16;
        for slot in table
            .partitions()
            .filter_map(|partition| partition.ota_slot())
        {
            let bit = 1u16 << slot;
            if seen & bit != 0 {
                return Err(SlotError::Double { slot });
            }
            seen |= bit;
        }
        if seen == 0 {
            return Err(SlotError::NoSlots);
        }
        let missing = seen.trailing_ones();
        if seen.count_ones() != missing {
            return Err(SlotError::Gap {
                missing: missing as u8,
            });
        }
        Ok(Self {
            table,
            count: missing as u8,
        })
    }

    /// How many slots there are: 1 to 16.
    pub fn count(&self) -> u8 {
        self.count
    }

    /// The partition of slot `ota_N`; `None` from [`count`](Self::count) on.
    pub fn get(&self, slot: u8) -> Option<Partition> {
        if slot >= self.count {
            return None;
        }
        self.table
            .find(PartitionType::APP, subtype::APP_OTA_0 + slot)
    }

    /// The slots in the order of their numbers, which need not be that of the table.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + use<'a> {
        let slots = *self;
        (0..self.count).filter_map(move |slot| slots.get(slot))
    }
}

/// Why a table is not fit for switching between app slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotError {
    /// There is no `ota_N` at all.
    NoSlots,
    /// A slot is missing below one that exists.
    Gap {
        /// The first one that is missing.
        missing: u8,
    },
    /// A slot exists more than once.
    Double {
        /// Its number.
        slot: u8,
    },
    /// There is no boot selection (type data, subtype ota).
    NoOtadata,
    /// The boot selection has no room for two records in sectors of their own.
    OtadataTooSmall {
        /// Its size in bytes.
        size: u32,
    },
}

impl fmt::Display for SlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlots => f.write_str("the partition table has no app slot ota_0"),
            Self::Gap { missing } => write!(
                f,
                "the partition table has no ota_{missing} although it has a higher slot: boot loader and application would \
                 count the slots differently"
            ),
            Self::Double { slot } => write!(f, "the partition table has ota_{slot} twice"),
            Self::NoOtadata => f.write_str(
                "the partition table has no otadata partition (type data, subtype ota): no slot can be selected",
            ),
            Self::OtadataTooSmall { size } => write!(
                f,
                "the otadata partition has {size:#x} bytes; two records need 0x2000"
            ),
        }
    }
}

impl core::error::Error for SlotError {}
