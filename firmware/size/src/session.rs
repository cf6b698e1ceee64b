//! One update from the first call of the engine to the last, over the stub flash.

use airlift_device::{
    Error, Layout, Offer, Status,
    flash::Region,
    journal::TAIL_LEN,
    verify::{AnyImage, ImageCheck},
};

use super::{
    BootControl, DataDescription, DataState, Destination, Download, Identity, JournalRestore, Part,
    Partition, PartitionState, Processors, Scheme, SetDownload, SetRestore, SetState, UnknownTags,
    Updater, dual,
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

/// Every call that an application makes whose updates are sets: recover, what became of the last one, download or go on, activate, confirm or
/// reject. `parts` of it may go to `processors`, which are made anew for each use.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn run_sets<B: BootControl, P: Processors>(
    layout: Layout<'_>,
    boot: B,
    processors: fn() -> P,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let running = Some(port::get() as u8);
    let mechanisms = &mut (JournalRestore, SetRestore(processors()));
    let mut updater = Updater::recover(Flash, boot, layout, running, mechanisms, buffer).await?;
    match updater.set_state().await? {
        SetState::OnTrial if port::get() == 0 => {
            let mechanism = &mut SetRestore(processors());
            return updater.confirm_set(mechanism, buffer).await;
        }
        SetState::OnTrial => return updater.reject(port::get() as u8).await,
        SetState::Applied => return updater.activate().await,
        _ => {}
    }
    let mut number = 0;
    while let Some(part) = updater.set_part(number).await? {
        port::put(part.tag);
        port::put(part.holds as u32);
        number += 1;
    }
    if let Some(failure) = updater.set_failure().await? {
        port::put(failure.tag);
        port::put(failure.reason.into());
    }
    updater.set_reported().await?;
    set(&mut updater, processors, buffer).await
}

/// Fetches an image with an app and a partition, and what goes to the processors.
///
/// # Errors
/// What the engine reports.
#[dual(AFIT)]
pub async fn set<B: BootControl, P: Processors>(
    updater: &mut Updater<'_, Flash, B>,
    processors: fn() -> P,
    buffer: &mut [u8],
) -> Result<(), Error<FlashError>> {
    let region = || Region::new(port::get(), port::get());
    let parts = [
        Part {
            tag: 1,
            to: Destination::App,
        },
        Part {
            tag: 4,
            to: Destination::Partition {
                partition: Partition::data(region()),
                room: region(),
                save: region(),
            },
        },
    ];
    let identity = Identity {
        vendor: port::get() as u16,
        product: port::get() as u16,
        version: port::get(),
        allows_downgrade: false,
    };
    let mut header = [0; 1024];
    let mut download = SetDownload::new(
        identity,
        &parts,
        AnyImage,
        processors(),
        UnknownTags::Refuse,
        &mut header,
        buffer,
    )?;
    let mut bytes = [0; 64];
    while let Some(at) = download.wanted() {
        port::put(at as u32);
        bytes.fill(port::get() as u8);
        download.write_at(updater, at, &bytes).await?;
    }
    if download.finish(updater).await? == SetState::Applied {
        updater.activate().await?;
    }
    Ok(())
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
