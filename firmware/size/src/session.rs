//! One update from the first call of the engine to the last, over the stub flash.

use airlift_device::{
    Error, Layout, Offer, Status,
    flash::Region,
    journal::TAIL_LEN,
    verify::{AnyImage, ImageCheck},
};

use super::{
    BootControl, DataDescription, DataState, Download, JournalRestore, Partition, PartitionState,
    Scheme, Updater, dual,
};
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
    app(&mut updater, check, buffer).await
}

#[dual(AFIT)]
async fn app<B: BootControl, C: ImageCheck>(
    updater: &mut Updater<'_, Flash, B>,
    check: C,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    match updater.status() {
        Status::Idle { .. } | Status::Downloading { .. } => {
            let offer = offer();
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

/// The same, with recovery at the start and the update of a partition under one scheme: begin or resume, finish, restore, report.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn run_partition<B: BootControl, S: Scheme>(
    layout: Layout<'_>,
    boot: B,
    scheme: S,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let running = Some(port::get() as u8);
    let mechanisms = &mut JournalRestore;
    let mut updater = Updater::recover(Flash, boot, layout, running, mechanisms, buffer).await?;
    partition(&mut updater, scheme, buffer).await?;
    app(&mut updater, AnyImage, buffer).await
}

/// Updates one partition.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn partition<B: BootControl, S: Scheme>(
    updater: &mut Updater<'_, Flash, B>,
    scheme: S,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let partition = Partition::data(Region::new(port::get(), port::get()));
    if let PartitionState::Whole { .. } = updater.partition_state(&partition).await? {
        updater.partition_reported(&partition).await?;
    }
    let offer = offer();
    let begun = updater.begin_partition(&partition, scheme, offer, AnyImage, buffer);
    let mut download = begun.await?;
    let mut bytes = [0; 64];
    while download.offset() < offer.length {
        bytes.fill(port::get() as u8);
        download.write(&bytes).await?;
    }
    download.finish().await
}

/// Every call that an application makes whose data share the slots with it.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn run_two_steps<B: BootControl>(
    layout: Layout<'_>,
    boot: B,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let running = Some(port::get() as u8);
    let mut updater = Updater::start(Flash, boot, layout, running).await?;
    data(&mut updater, buffer).await?;
    app(&mut updater, AnyImage, buffer).await
}

/// Plans data, asks for their state, fetches them.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn data<B: BootControl>(
    updater: &mut Updater<'_, Flash, B>,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let wanted = DataDescription {
        offer: offer(),
        version: "1",
        source: "http://updates.example/model",
    };
    updater.plan_data(&offer(), &wanted).await?;
    let mut text = [0; TAIL_LEN];
    match updater.data_state(&mut text).await? {
        DataState::Present(_, view) => port::put(view.offset),
        DataState::Missing(missing) | DataState::Fetching(missing, _) => {
            port::put(missing.offer.length);
            let mut download = updater.begin_data(AnyImage, buffer).await?;
            let mut bytes = [0; 64];
            while download.offset() < missing.offer.length {
                bytes.fill(port::get() as u8);
                download.write(&bytes).await?;
            }
            download.finish().await?;
        }
        _ => updater.want_data(&wanted).await?,
    }
    Ok(())
}

fn offer() -> Offer {
    Offer {
        length: port::get(),
        sha256: [port::get() as u8; 32],
    }
}

/// A layout that the compiler does not know: two slots and a journal.
pub fn slots() -> ([Region; 2], Region) {
    let region = || Region::new(port::get(), port::get());
    ([region(), region()], region())
}
