//! One update from the first call of the engine to the last, over the stub flash.

use airlift_device::{Error, Layout, Offer, Status, flash::Region, verify::ImageCheck};

use super::{BootControl, Download, Updater, dual};
use crate::{
    flash::{Flash, FlashError},
    port,
};

/// Bytes of engine state that live across the calls of an update: the updater and a download under way, without the caller's
/// buffer. A program reserves them in a static, so that they show as RAM.
pub const fn state_len<B: BootControl + 'static, C: ImageCheck>() -> usize {
    size_of::<Updater<'static, Flash, B>>()
        + size_of::<Download<'static, 'static, 'static, Flash, B, C>>()
}

/// Every call that an application makes: start, download or resume, activate, confirm or reject, report.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn run<B: BootControl, C: ImageCheck>(
    layout: Layout<'_>,
    boot: B,
    check: C,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let running = Some(port::get() as u8);
    let mut updater = Updater::start(Flash, boot, layout, running).await?;
    match updater.status() {
        Status::Idle { .. } | Status::Downloading { .. } => {
            let offer = Offer {
                length: port::get(),
                sha256: [port::get() as u8; 32],
            };
            let mut download = updater.begin(offer, check, buffer).await?;
            port::put(download.offset());
            let mut bytes = [0; 64];
            while download.offset() < offer.length {
                bytes.fill(port::get() as u8);
                download.write(&bytes).await?;
            }
            download.finish().await?;
            updater.activate().await?;
        }
        Status::Staged { .. } => updater.activate().await?,
        Status::OnTrial { .. } if port::get() == 0 => updater.confirm().await?,
        Status::OnTrial { .. } => updater.reject(port::get() as u8).await?,
        _ => {}
    }
    updater.reported().await
}

/// A layout that the compiler does not know: two slots and a journal.
pub fn slots() -> ([Region; 2], Region) {
    let region = || Region::new(port::get(), port::get());
    ([region(), region()], region())
}
