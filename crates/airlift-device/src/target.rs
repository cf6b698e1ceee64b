//! What goes into an update of a partition, and what the engine says of it: the same for both flavours.

use airlift_formats::esp::partition_table::{self, PartitionTable, PartitionType};

use crate::flash::Region;
use crate::{Offer, Refusal};

/// A part of the flash that can be updated apart from the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Where it is: whole sectors.
    pub region: Region,
    /// What it is for; decides which schemes may rewrite it.
    pub kind: PartitionKind,
    /// It is not to be written.
    pub readonly: bool,
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionKind {
    /// Holds an app. Updated by [`Updater::begin`](crate::Updater::begin), never as a partition.
    App,
    /// Data of any kind: a file system, certificates, a model, calibration data.
    Data,
    /// The second-stage boot loader.
    BootLoader,
    /// The partition table.
    PartitionTable,
    /// Reserved by the maker of the chip for something unknown: never written.
    Reserved,
}

impl Partition {
    /// Data in `region`.
    pub const fn data(region: Region) -> Self {
        Self {
            region,
            kind: PartitionKind::Data,
            readonly: false,
        }
    }

    /// The partition of that name in a table of ESP-IDF.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownPartition`]
    pub fn find(table: &PartitionTable<'_>, name: &str) -> Result<Self, Refusal> {
        let found = table.find_by_name(name);
        Ok(Self::from(&found.ok_or(Refusal::UnknownPartition)?))
    }
}

impl From<&partition_table::Partition> for Partition {
    fn from(partition: &partition_table::Partition) -> Self {
        Self {
            region: Region::new(partition.offset, partition.size),
            kind: match partition.kind {
                PartitionType::APP => PartitionKind::App,
                PartitionType::DATA => PartitionKind::Data,
                PartitionType::BOOTLOADER => PartitionKind::BootLoader,
                PartitionType::PARTITION_TABLE => PartitionKind::PartitionTable,
                kind if kind.0 >= 0x40 => PartitionKind::Data,
                _ => PartitionKind::Reserved,
            },
            readonly: partition.flags.is_readonly(),
        }
    }
}

/// Where a copy is kept while a partition is rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// The app slot that does not run. The app that is there is recorded as gone, and the boot selection does not name it any more.
    #[default]
    PassiveSlot,
    /// This region: whole sectors.
    At(Region),
}

/// What the engine does at boot with a partition of the backup scheme whose update was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterCut {
    /// It puts the old content back, so that the app finds a whole partition. The update starts anew.
    #[default]
    Restore,
    /// It leaves the partition as it is, for the update to go on where it stopped. Until then, the partition is not whole.
    Resume,
}

/// What keeps a device alive if the power fails while its boot loader or its partition table is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootRisk {
    /// Boot loader: the chip starts a second boot loader, which lies at this region, when the first one is damaged (ESP32-C5, C61, P4, S31 with
    /// the eFuse set). The engine copies the present boot loader there first.
    RecoveryBootLoader(Region),
    /// Nothing does. The time of danger is that of one erase and program of the partition.
    Bricks(BrickRisk),
}

/// The acknowledgement that a power cut at the wrong moment makes the device useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrickRisk(());

impl BrickRisk {
    /// I know that a power cut while the partition is rewritten leaves a device that does not boot any more, and I accept it.
    pub const fn accepted() -> Self {
        Self(())
    }
}

/// How the last update of a partition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionOutcome {
    /// It holds the new content.
    Updated,
    /// It holds what it held before, or what a restore mechanism put there. The code is that of [`Refusal::code`]; 0: the update was
    /// interrupted, or given up.
    Restored(u8),
    /// It was never touched; the code is that of [`Refusal::code`].
    Refused(u8),
}

/// What the device can truthfully say of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionState {
    /// It is whole, as far as the engine knows: nothing is going on.
    Whole {
        /// How the last update ended, with the digest of its image and whether that was [reported](crate::Updater::partition_reported).
        last: Option<(PartitionOutcome, [u8; 32], bool)>,
    },
    /// It is whole and holds its old content; an update is on its way to another place.
    Pending {
        /// What is on its way.
        offer: Offer,
        /// Bytes of it that are durable.
        durable: u32,
    },
    /// It holds the new content of a set that has not proved itself yet; the old one is kept.
    OnTrial {
        /// What it holds.
        offer: Offer,
    },
    /// It is not whole: an update of it was interrupted.
    Damaged {
        /// What was being written to it.
        offer: Offer,
        /// Bytes of it that are durable: the update goes on there.
        durable: u32,
        /// There is a copy of its old content, or of the new one: [`Updater::restore_partition`](crate::Updater::restore_partition).
        copy: bool,
    },
}

/// A partition that is not whole, for a [`RestoreMechanism`](crate::partition::RestoreMechanism).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The partition.
    pub region: Region,
    /// The update that was interrupted.
    pub offer: Offer,
    /// The good copy, if there is one.
    pub copy: Option<GoodCopy>,
    /// The update can go on where it stopped, and was asked to.
    pub resumes: bool,
}

/// A verified copy of what a partition held, or is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoodCopy {
    /// Where it lies.
    pub place: Region,
    /// Its length and digest.
    pub content: Offer,
    /// It is the new content, and not the old.
    pub is_new: bool,
}

/// Bytes of a version that the journal keeps of the data of an app.
pub const MAX_VERSION: usize = 40;
/// Bytes of a source that the journal keeps of the data of an app.
pub const MAX_SOURCE: usize = 190;

/// The large constant data that an app works with: the second step of a two-step update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataDescription<'t> {
    /// Length and digest.
    pub offer: Offer,
    /// Version, for people: at most [`MAX_VERSION`] bytes.
    pub version: &'t str,
    /// Where to get them: a URL, or whatever the application makes of it. At most [`MAX_SOURCE`] bytes.
    pub source: &'t str,
}

/// What the app can know of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataState<'t> {
    /// Nobody said which data this app works with.
    Unknown,
    /// They are not there.
    Missing(DataDescription<'t>),
    /// They are being fetched, and so many bytes are durable.
    Fetching(DataDescription<'t>, u32),
    /// They are there: this region of the flash holds them, and nothing else. It starts 64 bytes into the slot.
    Present(DataDescription<'t>, Region),
}
