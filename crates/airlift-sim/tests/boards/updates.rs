//! A whole update on each board, through its own boot loader and its own check of images, with the power cut at every operation.
//!
//! The sweep in `power_cuts.rs` goes over scenarios and judges what the engine says; here the boards are whole: what the engine writes,
//! the boot loader of ESP-IDF has to verify and start.

use airlift_device::install::{BootControl, BootRecord, EspLayout, EspOtadata};
use airlift_device::verify::{AnyImage, EspApp, ImageCheck};
use airlift_device::{Error, Layout, Offer, Outcome, Status, Updater};
use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use airlift_formats::esp::partition_table::{PartitionTable, Rules, TABLE_LEN};
use airlift_sim::board::{
    AppSummary, Board, BootError, Booted, Build, EspBoard, EspChip, GenericBoard, Region, Slot,
};
use airlift_sim::flash::{
    Cut, CutGrain, Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on,
};
use airlift_sim::with_geometry;
use sha2::{Digest, Sha256};

use crate::flashed::{self, golden};

const NEW: &str = "2.0.0";
/// A device that is not done after this many boots is stuck.
const MAX_BOOTS: usize = 20;

/// A board as its application knows it.
trait Device: Board {
    type Control: BootControl;
    type Check: ImageCheck;

    fn slots(&self) -> Vec<Region>;
    fn journal(&self) -> Region;
    fn control(&self) -> Self::Control;
    fn check(&self) -> Self::Check;
}

impl Device for EspBoard {
    type Control = EspOtadata;
    type Check = EspApp<'static>;

    fn slots(&self) -> Vec<Region> {
        esp_layout(self).slots().to_vec()
    }

    fn journal(&self) -> Region {
        esp_layout(self).journal
    }

    fn control(&self) -> EspOtadata {
        let layout = esp_layout(self);
        EspOtadata::new(layout.otadata, layout.slots().len() as u8)
    }

    fn check(&self) -> EspApp<'static> {
        EspApp::new(self.chip().id)
    }
}

/// The layout that the application finds in the partition table of its flash.
fn esp_layout(board: &EspBoard) -> EspLayout {
    let mut bytes = [0; TABLE_LEN];
    let mut nor = board.flash().lock();
    nor.read(0x8000, &mut bytes).expect("power");
    let rules = Rules::new(nor.geometry().size() as u32);
    EspLayout::new(&PartitionTable::parse(&bytes, &rules).expect("a table")).expect("a layout")
}

impl Device for GenericBoard {
    type Control = BootRecord;
    type Check = AnyImage;

    fn slots(&self) -> Vec<Region> {
        GenericBoard::slots(self).to_vec()
    }

    fn journal(&self) -> Region {
        let sector = self.flash().lock().geometry().sector() as u32;
        Region::new(2 * sector, 2 * sector)
    }

    fn control(&self) -> BootRecord {
        GenericBoard::control(self)
    }

    fn check(&self) -> AnyImage {
        AnyImage
    }
}

enum Next {
    Reboot,
    Done,
}

/// What the application does after a boot: confirms itself if it is on trial, else installs `image` if it is not what runs.
async fn run<D: Device, const W: usize, const S: usize>(
    device: &D,
    flash: SimFlash<W, S>,
    booted: &Booted,
    image: &[u8],
) -> Result<Next, Error<FlashError>> {
    let Slot::Ota(running) = booted.slot else {
        panic!("{} runs", booted.slot)
    };
    let slots = device.slots();
    let layout = Layout::new(&slots, device.journal());
    let mut updater = Updater::start(flash, device.control(), layout, Some(running)).await?;
    match updater.status() {
        Status::OnTrial { .. } => {
            assert_eq!(booted.app.version, NEW, "only the new app is ever on trial");
            updater.confirm().await?;
            return Ok(Next::Done);
        }
        Status::Idle {
            last: Some((Outcome::Confirmed, ..)),
        } => {
            assert_eq!(booted.app.version, NEW);
            return Ok(Next::Done);
        }
        Status::Idle { .. } | Status::Downloading { .. } => {
            let offer = Offer {
                length: image.len() as u32,
                sha256: Sha256::digest(image).into(),
            };
            let mut buffer = [0; 1024];
            let mut download = updater.begin(offer, device.check(), &mut buffer).await?;
            for chunk in image[download.offset() as usize..].chunks(1500) {
                download.write(chunk).await?;
            }
            download.finish().await?;
            updater.activate().await?;
        }
        Status::Staged { .. } => updater.activate().await?,
        other => panic!("{other:?} after a boot"),
    }
    Ok(Next::Reboot)
}

/// Boots until the new app runs and has confirmed itself. `Err`: what no power cut excuses.
fn live<D: Device>(device: &mut D, image: &[u8]) -> Result<(), String> {
    let flash = device.flash().clone();
    for _ in 0..MAX_BOOTS {
        let booted = match device.boot() {
            Ok(booted) => booted,
            Err(BootError::Flash(FlashError::PowerLost)) => continue,
            Err(error) => return Err(format!("does not boot: {error}")),
        };
        let next = with_geometry!(&flash, |typed| block_on(run(device, typed, &booted, image)));
        match next.expect("a supported geometry") {
            Ok(Next::Reboot) => {}
            Ok(Next::Done) => {
                let again = device
                    .boot()
                    .map_err(|error| format!("does not boot again: {error}"))?;
                return if again.app.version == NEW && !again.trial {
                    Ok(())
                } else {
                    Err(format!("confirmed, and then {again:?} boots"))
                };
            }
            Err(_) if !flash.lock().has_power() => {}
            Err(error) => return Err(format!("the engine fails: {error}")),
        }
    }
    Err(format!("not done after {MAX_BOOTS} boots"))
}

/// Updates once without a cut, then once for every cut. Returns the number of cuts.
fn update<D: Device>(mut device: D, image: &[u8], seeds: &[u64]) -> usize {
    let flash = device.flash().clone();
    let before = flash.lock().fork();
    flash.lock().start_trace();
    live(&mut device, image).unwrap_or_else(|loss| panic!("without any cut: {loss}"));
    let trace = flash.lock().take_trace();
    assert_eq!(flash.lock().statistics().words_reprogrammed, 0);

    let cuts: Vec<Cut> = trace.cuts(CutGrain::Call, seeds).collect();
    for cut in &cuts {
        *flash.lock() = before.fork();
        flash.lock().arm(*cut);
        let lived = live(&mut device, image);
        let report = flash.lock().last_cut().expect("the cut strikes");
        lived.unwrap_or_else(|loss| panic!("{:?}, {report}: {loss}", before.model()));
    }
    cuts.len()
}

fn esp_app(version: &str, length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length)
        .map(|at| (at * 31 + version.len() + at / 251) as u8)
        .collect();
    let builder = AppImageBuilder::new(ChipId::ESP32C3)
        .project("thermostat")
        .version(version);
    builder.payload(&payload).build().expect("a small app")
}

#[test]
fn an_esp_board_survives_every_cut_of_an_update() {
    let mut cuts = 0;
    for model in Model::ALL {
        let images = [(Slot::Ota(0), esp_app("1.0.0", 5000))];
        let layout = flashed::Layout {
            ota: 2,
            factory: false,
        };
        let board = flashed::board(layout, Build::Rollback, model, &images)
            .with_chip(EspChip::new(ChipId::ESP32C3));
        cuts += update(board, &esp_app(NEW, 9000), &[0, 1, 2, 3, 4, 5]);
    }
    assert!(cuts > 3 * 7 * 20, "{cuts} cuts are too few for an update");
}

#[test]
fn real_images_survive_every_cut_of_an_update() {
    let images = [(Slot::Ota(0), golden("app/app_esp32_v1.bin"))];
    let layout = flashed::Layout {
        ota: 2,
        factory: false,
    };
    let board = flashed::board(layout, Build::Rollback, Model::Ecc, &images);
    let cuts = update(board, &golden("app/app_esp32_v2.bin"), &[2]);
    assert!(cuts > 2 * 80, "{cuts} cuts are too few for an update");
}

/// An image for the generic boards: a version of five bytes, anything, and the SHA-256 of all that; its length comes first.
fn generic_app(version: &str, length: usize) -> Vec<u8> {
    let mut image = (length as u32).to_le_bytes().to_vec();
    image.extend(version.as_bytes());
    image.extend((image.len()..length - 32).map(|at| (at * 7 + at / 256) as u8));
    let sha256 = Sha256::digest(&image);
    image.extend(sha256);
    image
}

fn inspect_generic(bytes: &[u8]) -> Option<AppSummary> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?);
    let (body, digest) = bytes.get(..length as usize)?.split_last_chunk::<32>()?;
    (Sha256::digest(body)[..] == digest[..]).then_some(())?;
    let version = String::from_utf8(body.get(4..9)?.to_vec()).ok()?;
    Some(AppSummary {
        project: "generic".into(),
        version,
        secure_version: 0,
        length,
    })
}

fn generic(word: usize, sector: usize, model: Model) -> GenericBoard {
    let slot = 6000_usize.next_multiple_of(sector);
    let geometry = Geometry::new(word, sector, 4 * sector + 2 * slot).expect("a geometry");
    let flash = Flash::new(Nor::new(geometry, model));
    let region = |start: usize, len: usize| Region::new(start as u32, len as u32);
    let slots = vec![region(4 * sector, slot), region(4 * sector + slot, slot)];
    GenericBoard::new(flash, region(0, 2 * sector), slots, inspect_generic).expect("supported")
}

#[test]
fn generic_boards_survive_every_cut_of_an_update() {
    for (word, sector) in [(4, 2048), (8, 4096), (16, 8192), (32, 4096)] {
        for model in Model::ALL {
            let board = generic(word, sector, model);
            board
                .provision(&[(0, &generic_app("1.0.0", 3000))])
                .expect("it fits");
            let cuts = update(board, &generic_app(NEW, 5000), &[0, 1, 2, 3, 4, 5]);
            assert!(cuts > 7 * 10, "{cuts} cuts are too few for an update");
        }
    }
}

#[test]
fn a_generic_board_tells_what_it_boots_and_why_not() {
    let mut board = generic(8, 4096, Model::Ecc);
    let image = generic_app("1.0.0", 3000);
    board.provision(&[(1, &image)]).expect("it fits");
    let booted = board.boot().expect("an app boots");
    assert_eq!((booted.slot, booted.trial), (Slot::Ota(1), false));
    assert_eq!(
        (booted.app.version.as_str(), booted.app.length),
        ("1.0.0", 3000)
    );
    // Behind the image words may be unreadable, inside of it not.
    let start = booted.region.offset;
    board
        .flash()
        .lock()
        .make_unreadable(start + 3008)
        .expect("inside");
    assert!(board.boot().is_ok());
    board
        .flash()
        .lock()
        .make_unreadable(start + 2999)
        .expect("inside");
    let error = board.boot().expect_err("nothing is whole");
    assert!(
        error.to_string().contains("ota_1: no whole image"),
        "{error}"
    );
}
