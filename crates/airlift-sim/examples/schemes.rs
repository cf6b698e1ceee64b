//! What each scheme costs in wear and time, for an update that nothing interrupts: sectors erased and bytes programmed against the least
//! that is possible, on a simulated SPI NOR flash. `cargo xtask bench schemes` runs this.
//!
//! The least is: each sector of the partition erased once, each byte of the new content programmed once.

use airlift_device::flash::Region;
use airlift_device::install::EspOtadata;
use airlift_device::partition::{
    Backup, DataDescription, Direct, JournalRestore, Partition, PartitionDownload, Room, Scheme,
    Staged,
};
use airlift_device::verify::AnyImage;
use airlift_device::{Download, Error, Layout, Offer, Updater};
use airlift_formats::esp::otadata::{Record, State};
use airlift_sim::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, Timing, block_on};
use sha2::{Digest as _, Sha256};

type Esp = SimFlash<4, 4096>;
type Engine = Updater<'static, Esp, EspOtadata>;

const OTADATA: Region = Region::new(0, 0x2000);
const JOURNAL: Region = Region::new(0x2000, 0x4000);
const SLOTS: [Region; 2] = [
    Region::new(0x10000, 0x100000),
    Region::new(0x110000, 0x100000),
];
const LAYOUT: Layout<'static> = Layout::new(&SLOTS, JOURNAL);
/// 512 KiB, of which the new content fills three quarters.
const STORAGE: Partition = Partition::data(Region::new(0x210000, 0x80000));
const LENGTH: usize = 0x60000;

fn main() -> Result<(), Error<FlashError>> {
    let content: Vec<u8> = (0..LENGTH as u32)
        .map(|i| (i.wrapping_mul(i) >> 5) as u8)
        .collect();
    println!(
        "scheme\tsectors erased\tleast\tbytes programmed\tleast\tjournal erases\tflash time, s"
    );
    let sectors = u64::from(STORAGE.region.len / 4096);
    let bytes = LENGTH as u64;
    row("direct", sectors, bytes, |engine| {
        partition(engine, Direct, &content)
    })?;
    let backup = Backup {
        room: Room::PassiveSlot,
        ..Backup::default()
    };
    row("backup", sectors, bytes, |engine| {
        partition(engine, backup, &content)
    })?;
    let half = Backup {
        used: Some(STORAGE.region.len / 2),
        ..backup
    };
    row("backup of the half in use", sectors, bytes, |engine| {
        partition(engine, half, &content)
    })?;
    let staged = Staged::default();
    row("staged", sectors, bytes, |engine| {
        partition(engine, staged, &content)
    })?;
    let least = (LENGTH as u64 + 64).div_ceil(4096);
    row("two steps, the data", least, bytes, |engine| {
        data(engine, &content)
    })?;
    println!(
        "RAM of the engine: {} bytes, and {} for a download of a partition, {} of an app; and one buffer of the caller",
        size_of::<Engine>(),
        size_of::<PartitionDownload<'static, 'static, 'static, Esp, EspOtadata, AnyImage, Backup>>(
        ),
        size_of::<Download<'static, 'static, 'static, Esp, EspOtadata, AnyImage>>(),
    );
    Ok(())
}

fn row(
    name: &str,
    least_sectors: u64,
    least_bytes: u64,
    update: impl FnOnce(&mut Engine) -> Result<(), Error<FlashError>>,
) -> Result<(), Error<FlashError>> {
    let geometry = Geometry::new(4, 4096, 0x300000).expect("a geometry");
    let mut nor = Nor::new(geometry, Model::Once).with_timing(Timing::SPI_NOR);
    let full: Vec<u8> = (0..STORAGE.region.len)
        .map(|i| ((i * 7) >> 3) as u8)
        .collect();
    nor.overwrite(0, &Record::new(1, State::Valid).emit())
        .and_then(|()| nor.overwrite(STORAGE.region.offset, &full))
        .map_err(Error::Flash)?;
    let flash = Flash::new(nor);
    let typed = flash.typed().expect("the geometry is that of the type");
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 256];
    let mechanisms = &mut JournalRestore;
    let started = Updater::recover(typed, boot, LAYOUT, Some(0), mechanisms, &mut buffer);
    let mut engine = block_on(started)?;
    flash.lock().reset_statistics();
    let before = flash.lock().elapsed();
    update(&mut engine)?;
    let nor = flash.lock();
    let journal: u32 = nor.sector_erases()[2..6].iter().sum();
    let done = nor.statistics();
    println!(
        "{name}\t{}\t{least_sectors}\t{}\t{least_bytes}\t{journal}\t{:.1}",
        done.sectors_erased - u64::from(journal),
        done.words_programmed * 4,
        (nor.elapsed() - before).as_secs_f64()
    );
    Ok(())
}

fn offer(content: &[u8]) -> Offer {
    Offer {
        length: content.len() as u32,
        sha256: Sha256::digest(content).into(),
    }
}

fn partition<S: Scheme>(
    engine: &mut Engine,
    scheme: S,
    content: &[u8],
) -> Result<(), Error<FlashError>> {
    let mut buffer = [0; 4096];
    block_on(async {
        let offer = offer(content);
        let begun = engine.begin_partition(&STORAGE, scheme, offer, AnyImage, &mut buffer);
        let mut download = begun.await?;
        download.write(content).await?;
        download.finish().await
    })
}

fn data(engine: &mut Engine, content: &[u8]) -> Result<(), Error<FlashError>> {
    let mut buffer = [0; 4096];
    block_on(async {
        let wanted = DataDescription {
            offer: offer(content),
            version: "1",
            source: "",
        };
        engine.want_data(&wanted).await?;
        let mut download = engine.begin_data(AnyImage, &mut buffer).await?;
        download.write(content).await?;
        download.finish().await
    })
}
