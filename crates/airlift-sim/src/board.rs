//! Virtual boards: a flash, a boot loader, and what a chip knows that is not in its flash.
//!
//! A [`Board`] is reset with [`Board::boot`]: its boot loader does to the flash what a real one does, changes of the boot selection
//! included, so that a [`Cut`](crate::flash::Cut) can strike inside the boot loader as well, and says which app it would jump to. The
//! app is whatever the caller runs next over [`Board::flash`].
//!
//! * [`GenericBoard`]: any geometry, with the boot loader and the boot record of [`airlift_device::install`].
//! * [`EspBoard`]: partition table, `otadata` and app images of ESP-IDF, with the second-stage boot loader in its three builds.

mod esp;
mod esp_image;
mod esp_table;
mod generic;
mod provision;

pub use airlift_device::flash::Region;
pub use airlift_formats::esp::otadata::{Build, Efuse, Slot};
pub use esp::{EspBoard, EspChip, EspFlashError};
pub use esp_image::Refusal;
pub use esp_table::{BootTable, BootTableError};
pub use generic::GenericBoard;
pub use provision::ProvisionError;

use std::fmt;

use crate::flash::{Flash, FlashError, GeometryMismatch};

/// A board that can be reset.
pub trait Board {
    /// The flash; a clone of the handle stays valid over resets.
    fn flash(&self) -> &Flash;

    /// Gives power if there is none, and runs the boot loader.
    ///
    /// # Errors
    /// [`BootError::Flash`] with [`FlashError::PowerLost`] when an armed cut struck inside the boot loader; anything else is a board that
    /// does not start.
    fn boot(&mut self) -> Result<Booted, BootError>;
}

/// What the boot loader jumps to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booted {
    /// The app partition; slot N of a [`GenericBoard`] is [`Slot::Ota`].
    pub slot: Slot,
    /// The app partition that the boot selection asked for; not the same after a fallback. (Of a [`GenericBoard`] only the result is
    /// known.)
    pub selected: Slot,
    /// Where the app partition lies.
    pub region: Region,
    /// The boot loader noted that this is the one trial boot of this app: unless it is confirmed, the next reset rolls back.
    pub trial: bool,
    /// What the image says of itself.
    pub app: AppSummary,
}

/// What an app image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppSummary {
    /// Name of the project.
    pub project: String,
    /// Version, in the form that the project uses.
    pub version: String,
    /// Number that never goes back; see [`Efuse`].
    pub secure_version: u32,
    /// Length of the image in bytes, padding, checksum and digest included.
    pub length: u32,
}

/// Why no app was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The flash failed in the hands of the boot loader.
    #[error("the boot loader was interrupted: {0}")]
    Flash(#[from] FlashError),
    /// The partition table cannot be used.
    #[error("the boot loader refuses the partition table: {0}")]
    Table(#[from] BootTableError),
    /// The partition for the boot selection is too small for two records; the board resets for ever.
    #[error("the boot loader resets for ever: otadata has {size:#x} bytes, needs 0x2000")]
    OtadataTooSmall {
        /// Its size in bytes.
        size: u32,
    },
    /// The boot record cannot be changed.
    #[error("the boot loader cannot write the boot record: {0:?}")]
    Record(airlift_device::Error<FlashError>),
    /// The boot loader is not made for this flash.
    #[error("{0}")]
    Geometry(#[from] GeometryMismatch),
    /// No image is whole; the board resets for ever.
    #[error("no bootable app{}", Tried(.tried))]
    NoBootableApp {
        /// What was tried, in order, and why not.
        tried: Vec<(Slot, Refusal)>,
    },
}

struct Tried<'a>(&'a [(Slot, Refusal)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (slot, reason)) in self.0.iter().enumerate() {
            write!(f, "{} {slot}: {reason}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}
