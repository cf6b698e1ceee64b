//! Install: write a slot, choose what boots, try it, confirm it or go back.
//!
//! [`BootControl`] is what the engine needs of a boot loader. Two are shipped: [`EspOtadata`] speaks to the boot loader of
//! ESP-IDF, [`BootRecord`] is a record of our own for boards whose boot loader is ours to write.

mod boot_record;
mod esp_otadata;
mod slot_writer;

use super::{NorFlash, dual};
use crate::Error;
use crate::flash::{ERASED, Region};

pub use crate::esp_layout::{EspLayout, EspLayoutError};
pub use crate::slot_state::SlotState;
pub use boot_record::{BootRecord, Booting, boot};
pub use esp_otadata::EspOtadata;
pub(crate) use slot_writer::SlotWriter;

/// The boot selection: which slot the boot loader starts, and what it did.
///
/// Errors are [`Error::Flash`], or [`Error::BootSelection`] if the flash does not keep what is written to it.
///
/// Every change is made so that at each instant, also inside of it, the boot loader finds a verified image: the record of
/// the running, confirmed slot is never the one that is erased. `running` is `None` when a factory app outside of the
/// slots runs.
#[dual(AFIT)]
#[allow(async_fn_in_trait)] // The engine is driven by one task; it asks for no `Send`.
pub trait BootControl {
    /// Where the boot selection lies: no update may go there.
    fn region(&self) -> Region;

    /// What the boot selection says of `slot`.
    async fn slot_state<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<SlotState, Error<F::Error>>;

    /// Makes sure that the running app is what boots next, and that nothing names `slot`, which is about to be
    /// overwritten. Does nothing where that is so already.
    async fn release<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), Error<F::Error>>;

    /// Makes the next boot try `slot` once. [`release`](Self::release) came before.
    async fn start_trial<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), Error<F::Error>>;

    /// The running `slot` is good: it boots from now on.
    async fn confirm<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>>;

    /// The running `slot` is bad: the next boot goes back to the one before.
    async fn reject<F: NorFlash>(&mut self, flash: &mut F, slot: u8)
    -> Result<(), Error<F::Error>>;
}

/// Erases a sector and writes a boot record to its start, and looks whether it is there.
#[dual(AFIT)]
async fn replace_sector<F: NorFlash>(
    flash: &mut F,
    address: u32,
    sector: u32,
    bytes: &[u8; 32],
) -> Result<(), Error<F::Error>> {
    flash
        .erase(address, address + sector)
        .await
        .map_err(Error::Flash)?;
    write_record(flash, address, bytes).await
}

#[dual(AFIT)]
async fn write_record<F: NorFlash>(
    flash: &mut F,
    address: u32,
    bytes: &[u8; 32],
) -> Result<(), Error<F::Error>> {
    // Whole words: they can be as long as two records.
    let mut words = [ERASED; 64];
    for (to, from) in words.iter_mut().zip(bytes) {
        *to = *from;
    }
    let len = bytes.len().next_multiple_of(F::WRITE_SIZE);
    let words = words.get_mut(..len).unwrap_or_default();
    flash.write(address, words).await.map_err(Error::Flash)?;
    flash.read(address, words).await.map_err(Error::Flash)?;
    if words.starts_with(bytes) {
        Ok(())
    } else {
        Err(Error::BootSelection)
    }
}
