//! Where things are on a device with an ESP-IDF partition table.

use core::fmt;

use airlift_formats::esp::partition_table::{
    Partition, PartitionTable, PartitionType, SlotError, subtype,
};

use crate::flash::Region;
use crate::status::Layout;

/// The partitions that the engine works with.
///
/// The journal is the partition named `airlift`, of type `data` or a type of the application's own; in a CSV for example
/// `airlift, data, undefined, , 8K`.
#[derive(Clone, Copy, Debug)]
pub struct EspLayout {
    slots: [Region; 16],
    count: u8,
    factory: Option<Region>,
    /// The `otadata` partition.
    pub otadata: Region,
    /// The journal.
    pub journal: Region,
}

/// Why a partition table is no layout for updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EspLayoutError {
    /// The app slots or `otadata` are not as the boot loader needs them.
    Slots(SlotError),
    /// There is no partition named `airlift` for the journal.
    NoJournal,
    /// The partition named `airlift` is an app, or readonly.
    JournalKind,
}

impl fmt::Display for EspLayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(error) => error.fmt(f),
            Self::NoJournal => f.write_str(
                "there is no partition named `airlift` for the journal: add the line `airlift, data, undefined, , 8K`",
            ),
            Self::JournalKind => {
                f.write_str("the partition named `airlift` must be writable and of type data or a type above 0x3F")
            }
        }
    }
}

impl core::error::Error for EspLayoutError {}

impl EspLayout {
    /// Name of the journal's partition.
    pub const JOURNAL_NAME: &'static str = "airlift";

    /// Finds the partitions in `table`.
    pub fn new(table: &PartitionTable<'_>) -> Result<Self, EspLayoutError> {
        let slots = table.app_slots().map_err(EspLayoutError::Slots)?;
        let otadata = table.otadata().map_err(EspLayoutError::Slots)?;
        let journal = table
            .find_by_name(Self::JOURNAL_NAME)
            .ok_or(EspLayoutError::NoJournal)?;
        if (journal.kind != PartitionType::DATA && journal.kind.0 < 0x40)
            || journal.flags.is_readonly()
        {
            return Err(EspLayoutError::JournalKind);
        }
        let mut layout = Self {
            slots: [Region::default(); 16],
            count: slots.count(),
            factory: table
                .find(PartitionType::APP, subtype::APP_FACTORY)
                .map(|partition| region(&partition)),
            otadata: region(&otadata),
            journal: region(&journal),
        };
        for (to, slot) in layout.slots.iter_mut().zip(slots.iter()) {
            *to = region(&slot);
        }
        Ok(layout)
    }

    /// The app slots `ota_0`, `ota_1`, ...
    pub fn slots(&self) -> &[Region] {
        self.slots
            .get(..usize::from(self.count))
            .unwrap_or_default()
    }

    /// The slot that starts at this flash address: the platform knows the address that runs.
    pub fn slot_at(&self, address: u32) -> Option<u8> {
        let index = self.slots().iter().position(|slot| slot.offset == address);
        index.map(|index| index as u8)
    }

    /// As the engine wants it.
    pub fn layout(&self) -> Layout<'_> {
        Layout {
            slots: self.slots(),
            factory: self.factory,
            journal: self.journal,
        }
    }
}

const fn region(partition: &Partition) -> Region {
    Region::new(partition.offset, partition.size)
}
