//! Install: write a slot, choose what boots, try it, confirm it or go back.
//!
//! [`BootControl`] is what the engine needs of a boot loader. Two are shipped: [`EspOtadata`] speaks to the boot loader of
//! ESP-IDF, [`BootRecord`] is a record of our own for boards whose boot loader is ours to write.

mod boot_record;
mod esp_layout;
mod esp_otadata;
mod slot_writer;

use embedded_storage_async::nor_flash::NorFlash;

pub use boot_record::{BootRecord, Booting, boot};
pub use esp_layout::{EspLayout, EspLayoutError};
pub use esp_otadata::EspOtadata;
pub(crate) use slot_writer::SlotWriter;

/// What the boot selection says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// Nothing names it.
    Unnamed,
    /// The next boot tries it.
    Armed,
    /// It was started on trial, and has not been confirmed.
    OnTrial,
    /// It boots.
    Confirmed,
    /// It was tried, or was to be tried, and given up.
    Rejected,
}

/// Why the boot selection could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootError<E> {
    /// The flash driver failed.
    Flash(E),
    /// What was written reads back differently.
    ReadBack,
    /// The sequence number of the boot selection cannot go higher.
    Exhausted,
}

impl<E> From<E> for BootError<E> {
    fn from(error: E) -> Self {
        Self::Flash(error)
    }
}

/// The boot selection: which slot the boot loader starts, and what it did.
///
/// Every change is made so that at each instant, also inside of it, the boot loader finds a verified image: the record of
/// the running, confirmed slot is never the one that is erased. `running` is `None` when a factory app outside of the
/// slots runs.
#[allow(async_fn_in_trait)] // The engine is driven by one task; it asks for no `Send`.
pub trait BootControl {
    /// What the boot selection says of `slot`.
    async fn slot_state<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<SlotState, BootError<F::Error>>;

    /// Makes sure that the running app is what boots next, and that nothing names `slot`, which is about to be
    /// overwritten. Does nothing where that is so already.
    async fn release<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), BootError<F::Error>>;

    /// Makes the next boot try `slot` once. [`release`](Self::release) came before.
    async fn start_trial<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), BootError<F::Error>>;

    /// The running `slot` is good: it boots from now on.
    async fn confirm<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), BootError<F::Error>>;

    /// The running `slot` is bad: the next boot goes back to the one before.
    async fn reject<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), BootError<F::Error>>;
}
