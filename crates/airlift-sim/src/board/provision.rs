//! What a flash holds when it comes from the factory.

use airlift_formats::esp::otadata::Slot;

use super::esp_table::BootTableError;
use crate::flash::{FlashError, Nor};

/// Why a flash could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The boot loader would not take the partition table.
    #[error("the boot loader would refuse the partition table: {0}")]
    Table(#[from] BootTableError),
    /// The partition table has no such app partition.
    #[error("the partition table has no app partition {slot}")]
    NoPartition {
        /// The partition asked for.
        slot: Slot,
    },
    /// The image is larger than its partition.
    #[error("an image of {len} bytes does not fit into {slot} of {size} bytes")]
    TooLarge {
        /// The partition asked for.
        slot: Slot,
        /// Length of the image.
        len: usize,
        /// Size of the partition.
        size: u32,
    },
    /// The flash failed.
    #[error("{0}")]
    Flash(#[from] FlashError),
}

/// Erases the whole flash, then writes these bytes at these offsets. Afterwards the statistics are zero: only what the device does counts.
pub(super) fn flash_all(nor: &mut Nor, contents: &[(u32, &[u8])]) -> Result<(), FlashError> {
    nor.power_on();
    let size = nor.geometry().size();
    nor.erase(0, size as u32)?;
    for &(offset, bytes) in contents {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(nor.geometry().word()), 0xff);
        nor.write(offset, &padded)?;
    }
    nor.reset_statistics();
    Ok(())
}
