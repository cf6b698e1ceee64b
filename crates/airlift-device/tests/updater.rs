//! The engine from offer to confirmation, on an ESP32 with real app images.

use airlift_device::flash::{Blocking, Region};
use airlift_device::install::{BootControl, EspOtadata, SlotState};
use airlift_device::verify::{AnyImage, EspApp};
use airlift_device::{Error, Layout, LayoutError, Offer, Outcome, Refusal, Status, Updater};
use airlift_formats::esp::app_image::{AppImageBuilder, ChipId, ImageError};
use airlift_formats::esp::otadata::{Record, State};
use airlift_sim::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};
use sha2::{Digest as _, Sha256};

type Esp = SimFlash<4, 4096>;
type Engine<'l> = Updater<'l, Esp, EspOtadata>;

const OTADATA: Region = Region::new(0, 0x2000);
const JOURNAL: Region = Region::new(0x2000, 0x2000);
const SLOTS: [Region; 2] = [Region::new(0x10000, 0x10000), Region::new(0x20000, 0x10000)];
const LAYOUT: Layout<'static> = Layout::new(&SLOTS, JOURNAL);

fn image(version: &str, length: usize) -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32)
        .version(version)
        .project("lamp")
        .payload(&vec![0x5A; length])
        .build()
        .unwrap()
}

fn offer(image: &[u8]) -> Offer {
    Offer {
        length: image.len() as u32,
        sha256: Sha256::digest(image).into(),
    }
}

/// A device that runs slot 0.
fn device() -> Esp {
    let mut nor = Nor::new(Geometry::new(4, 4096, 0x30000).unwrap(), Model::Once);
    nor.overwrite(OTADATA.offset, &Record::new(1, State::Valid).emit())
        .unwrap();
    nor.overwrite(SLOTS[0].offset, &image("1", 3000)).unwrap();
    Flash::new(nor).typed().unwrap()
}

fn start(flash: &Esp, running: u8) -> Engine<'static> {
    let boot = EspOtadata::new(OTADATA, 2);
    block_on(Updater::start(flash.clone(), boot, LAYOUT, Some(running))).unwrap()
}

fn install(
    engine: &mut Engine<'_>,
    offer: Offer,
    check: EspApp<'_>,
    bytes: &[u8],
) -> Result<(), Error<FlashError>> {
    block_on(async {
        let mut buffer = [0; 512];
        let mut download = engine.begin(offer, check, &mut buffer).await?;
        for chunk in bytes[download.offset() as usize..].chunks(333) {
            download.write(chunk).await?;
        }
        download.finish().await
    })
}

const ANY: EspApp<'static> = EspApp::new(ChipId::ESP32);

/// What the boot loader will do with the records in flash, without rollback by itself.
fn trial_boots(flash: &Esp) {
    // NEW becomes PENDING_VERIFY, as a boot loader with rollback does it.
    let mut nor = flash.flash().lock();
    let mut bytes = [0; 32];
    nor.read(0x1000, &mut bytes).unwrap();
    let record = Record::parse(&bytes);
    assert_eq!((record.seq, record.state), (2, State::New));
    nor.erase(0x1000, 0x2000).unwrap();
    nor.write(0x1000, &Record::new(2, State::PendingVerify).emit())
        .unwrap();
}

#[test]
fn an_update_goes_from_offer_to_confirmation() {
    let flash = device();
    let new = image("2", 20_000);
    let mut engine = start(&flash, 0);
    assert_eq!(engine.status(), Status::Idle { last: None });
    assert_eq!((engine.running(), engine.passive()), (Some(0), Some(1)));
    install(&mut engine, offer(&new), ANY, &new).unwrap();
    assert_eq!(engine.status(), Status::Staged { offer: offer(&new) });
    block_on(engine.activate()).unwrap();
    assert_eq!(engine.status(), Status::Armed { offer: offer(&new) });
    assert_eq!(&flash.flash().lock().cells()[0x20000..][..new.len()], new);

    trial_boots(&flash);
    let mut engine = start(&flash, 1);
    assert_eq!(
        engine.status(),
        Status::OnTrial {
            offer: offer(&new),
            monitored: true
        }
    );
    // Nothing else may be begun until this is decided.
    let other = image("3", 100);
    let refused = install(&mut engine, offer(&other), ANY, &other);
    assert_eq!(refused, Err(Error::Refused(Refusal::TrialPending)));
    block_on(engine.confirm()).unwrap();
    let last = |reported| Status::Idle {
        last: Some((Outcome::Confirmed, offer(&new).sha256, reported)),
    };
    assert_eq!(engine.status(), last(false));
    // It is told until it has been heard.
    let mut engine = start(&flash, 1);
    assert_eq!(engine.status(), last(false));
    block_on(engine.reported()).unwrap();
    assert_eq!(start(&flash, 1).status(), last(true));
    let mut boot = EspOtadata::new(OTADATA, 2);
    assert_eq!(
        block_on(boot.slot_state(&mut flash.clone(), 1)),
        Ok(SlotState::Confirmed)
    );
}

#[test]
fn no_sector_is_erased_twice_and_no_word_programmed_twice() {
    let flash = device(); // a model that refuses a second program
    flash.flash().lock().reset_statistics();
    let new = image("2", 20_000);
    let mut engine = start(&flash, 0);
    install(&mut engine, offer(&new), ANY, &new).unwrap();
    block_on(engine.activate()).unwrap();
    trial_boots(&flash); // one erase of the boot loader's
    block_on(start(&flash, 1).confirm()).unwrap(); // and one more
    let nor = flash.flash().lock();
    let erases = nor.sector_erases();
    assert_eq!(
        &erases[0..2],
        [0, 3],
        "otadata: the running app's record stays, the trial's is written thrice"
    );
    assert_eq!(erases[2..4].iter().sum::<u32>(), 1, "journal");
    let sectors = new.len().div_ceil(4096);
    assert!(
        erases[0x20..0x20 + sectors]
            .iter()
            .all(|erases| *erases == 1)
    );
    assert!(
        erases[0x20 + sectors..].iter().all(|erases| *erases == 0),
        "only what the image needs"
    );
    assert!(
        erases[4..0x20].iter().all(|erases| *erases == 0),
        "nothing else"
    );
}

#[test]
fn what_is_wrong_at_first_sight_is_refused_before_anything_is_erased() {
    let good = image("2", 5000);
    let mut bytes = good.clone();
    let wrong_chip = AppImageBuilder::new(ChipId::ESP32C3)
        .version("2")
        .project("lamp")
        .payload(&[0; 500])
        .build()
        .unwrap();
    let cases: [(&str, Vec<u8>, EspApp<'_>, u8); 6] = [
        ("empty", vec![], ANY, Refusal::Empty.code()),
        ("too big", vec![0xE9; 0x10001], ANY, 4),
        (
            "not an image",
            {
                bytes[0] = b'<';
                bytes.clone()
            },
            ANY,
            32 + ImageError::Magic { found: 0 }.code(),
        ),
        ("another chip", wrong_chip, ANY, 32 + 2),
        (
            "another project",
            good.clone(),
            EspApp {
                project: Some(b"door"),
                ..ANY
            },
            Refusal::Project.code(),
        ),
        (
            "too old",
            good.clone(),
            EspApp {
                min_secure_version: 3,
                ..ANY
            },
            9,
        ),
    ];
    for (name, bytes, check, code) in cases {
        let flash = device();
        let mut engine = start(&flash, 0);
        flash.flash().lock().reset_statistics();
        match install(&mut engine, offer(&bytes), check, &bytes) {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.code(), code, "{name}: {refusal}"),
            other => panic!("{name}: {other:?}"),
        }
        let nor = flash.flash().lock();
        let others = nor
            .sector_erases()
            .iter()
            .enumerate()
            .filter(|(sector, _)| !(2..4).contains(sector));
        assert_eq!(others.map(|(_, erases)| erases).sum::<u32>(), 0, "{name}");
    }
}

#[test]
fn damaged_bytes_are_refused_and_what_ran_runs_on() {
    let good = image("2", 20_000);
    let mut flipped = good.clone();
    flipped[9000] ^= 1;
    let mut long = good.clone();
    long.push(0);
    for (bytes, refusal) in [(&flipped, Refusal::Digest), (&long, Refusal::TooLong)] {
        let flash = device();
        let mut engine = start(&flash, 0);
        assert_eq!(
            install(&mut engine, offer(&good), ANY, bytes),
            Err(Error::Refused(refusal))
        );
        let refused = Status::Idle {
            last: Some((Outcome::Refused(refusal.code()), offer(&good).sha256, false)),
        };
        assert_eq!(engine.status(), refused);
        assert_eq!(start(&flash, 0).status(), refused, "after a reboot, too");
        let mut boot = EspOtadata::new(OTADATA, 2);
        assert_eq!(
            block_on(boot.slot_state(&mut flash.clone(), 0)),
            Ok(SlotState::Confirmed)
        );
        assert_eq!(
            block_on(boot.slot_state(&mut flash.clone(), 1)),
            Ok(SlotState::Unnamed)
        );
        // And the next attempt starts from the beginning, and succeeds.
        install(&mut start(&flash, 0), offer(&good), ANY, &good).unwrap();
    }
}

#[test]
fn a_sound_digest_over_an_unsound_image_is_refused() {
    let mut bad = image("2", 20_000);
    let checksum = bad.len() - 33;
    bad[checksum] ^= 1;
    let flash = device();
    let mut engine = start(&flash, 0);
    match install(&mut engine, offer(&bad), ANY, &bad) {
        Err(Error::Refused(Refusal::Image(ImageError::Checksum { .. }))) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(block_on(engine.activate()), Err(Error::State));
}

#[test]
fn flash_that_does_not_keep_its_content_is_found_out() {
    let new = image("2", 20_000);
    let flash = device();
    let mut engine = start(&flash, 0);
    block_on(async {
        let mut buffer = [0; 512];
        let mut download = engine.begin(offer(&new), ANY, &mut buffer).await.unwrap();
        download.write(&new).await.unwrap();
        flash
            .flash()
            .lock()
            .overwrite(0x21000, &[0, 0, 0, 0])
            .unwrap();
        let refused = Err(Error::Refused(Refusal::ReadBack));
        assert_eq!(download.finish().await, refused);
    });
}

#[test]
fn a_lost_connection_is_resumed_where_it_stopped() {
    let new = image("2", 20_000);
    let flash = device();
    let mut engine = start(&flash, 0);
    let fetch = |engine: &mut Engine<'_>, upto: usize| {
        block_on(async {
            let mut buffer = [0; 512];
            let mut download = engine.begin(offer(&new), ANY, &mut buffer).await.unwrap();
            let from = download.offset() as usize;
            download.write(&new[from..upto]).await.unwrap();
            (from, download.finish().await)
        })
    };
    let (from, result) = fetch(&mut engine, 13_000);
    assert_eq!(from, 0);
    assert_eq!(
        result,
        Err(Error::Incomplete {
            have: 13_000,
            want: new.len() as u32
        })
    );
    // In the same run, and after a reboot.
    assert_eq!(fetch(&mut engine, 14_000).0, 3 * 4096);
    let mut engine = start(&flash, 0);
    assert_eq!(
        engine.status(),
        Status::Downloading {
            offer: offer(&new),
            durable: 3 * 4096
        }
    );
    let (from, result) = fetch(&mut engine, new.len());
    assert_eq!((from, result), (3 * 4096, Ok(())));
    assert_eq!(engine.status(), Status::Staged { offer: offer(&new) });
    // What is staged is not fetched again, only looked at.
    assert_eq!(fetch(&mut engine, new.len()), (new.len(), Ok(())));
}

#[test]
fn an_image_that_is_replaced_while_it_is_fetched_starts_anew() {
    let (first, second) = (image("2", 20_000), image("3", 18_000));
    let flash = device();
    let mut engine = start(&flash, 0);
    assert!(matches!(
        install(&mut engine, offer(&first), ANY, &first[..9000]),
        Err(Error::Incomplete { .. })
    ));
    install(&mut engine, offer(&second), ANY, &second).unwrap();
    assert_eq!(
        engine.status(),
        Status::Staged {
            offer: offer(&second)
        }
    );
    assert_eq!(
        &flash.flash().lock().cells()[0x20000..][..second.len()],
        second
    );
}

#[test]
fn a_boot_loader_without_rollback_is_reported() {
    let new = image("2", 2000);
    let flash = device();
    let mut engine = start(&flash, 0);
    install(&mut engine, offer(&new), ANY, &new).unwrap();
    block_on(engine.activate()).unwrap();
    // It boots the new image and leaves the record as it is: NEW.
    let mut engine = start(&flash, 1);
    assert_eq!(
        engine.status(),
        Status::OnTrial {
            offer: offer(&new),
            monitored: false
        }
    );
    // The app can still go back by itself.
    block_on(engine.reject(9)).unwrap();
    assert_eq!(engine.status(), Status::Rejected { offer: offer(&new) });
    let last = Some((
        Outcome::RolledBack {
            started: true,
            reason: 9,
        },
        offer(&new).sha256,
        false,
    ));
    assert_eq!(start(&flash, 0).status(), Status::Idle { last });
}

#[test]
fn a_trial_that_other_means_began_is_a_trial_all_the_same() {
    let flash = device();
    let nor = flash.flash().clone();
    nor.lock()
        .overwrite(0x1000, &Record::new(2, State::PendingVerify).emit())
        .unwrap();
    let other = image("2", 100);
    nor.lock().overwrite(SLOTS[1].offset, &other).unwrap();
    let mut engine = start(&flash, 1);
    assert!(matches!(
        engine.status(),
        Status::OnTrial {
            monitored: true,
            ..
        }
    ));
    let refused = install(&mut engine, offer(&other), ANY, &other);
    assert_eq!(refused, Err(Error::Refused(Refusal::TrialPending)));
    block_on(engine.confirm()).unwrap();
    assert!(matches!(engine.status(), Status::Idle { .. }));
}

#[test]
fn layouts_that_do_not_fit_are_refused_at_the_start() {
    let flash = device();
    let start = |slots: &[Region], journal, running| {
        let boot = EspOtadata::new(OTADATA, 2);
        let layout = Layout::new(slots, journal);
        block_on(Updater::start(flash.clone(), boot, layout, running)).map(|_| ())
    };
    assert_eq!(start(&SLOTS, JOURNAL, Some(0)), Ok(()));
    let journal = Err(Error::Layout(LayoutError::Journal));
    assert_eq!(start(&SLOTS, Region::new(0x2000, 0x1000), Some(0)), journal);
    assert_eq!(start(&SLOTS, Region::new(0x2004, 0x2000), Some(0)), journal);
    assert_eq!(
        start(&SLOTS, Region::new(0x2F000, 0x2000), Some(0)),
        journal
    );
    let slots = Err(Error::Layout(LayoutError::Slots));
    assert_eq!(start(&SLOTS, JOURNAL, Some(2)), slots);
    assert_eq!(start(&[SLOTS[0], SLOTS[0]], JOURNAL, Some(0)), slots);
    assert_eq!(start(&[SLOTS[0], JOURNAL], JOURNAL, Some(0)), slots);
    assert_eq!(
        start(&[SLOTS[0], Region::new(0x2F000, 0x10000)], JOURNAL, Some(0)),
        slots
    );
    // One slot and nothing else: nowhere to go.
    let one = Layout::new(&SLOTS[..1], JOURNAL);
    let mut engine = block_on(Updater::start(
        flash.clone(),
        EspOtadata::new(OTADATA, 1),
        one,
        Some(0),
    ))
    .unwrap();
    let new = image("2", 100);
    assert_eq!(
        install(&mut engine, offer(&new), ANY, &new),
        Err(Error::Refused(Refusal::NoSlot))
    );
}

#[test]
fn a_small_buffer_and_a_blocking_driver_will_do() {
    let flash = device();
    let boot = EspOtadata::new(OTADATA, 2);
    block_on(async {
        let mut engine = Updater::start(Blocking(flash.clone()), boot, LAYOUT, Some(0))
            .await
            .unwrap();
        let new = image("2", 2000);
        let mut small = [0; 284];
        let refused = engine.begin(offer(&new), ANY, &mut small).await;
        assert!(matches!(refused, Err(Error::BufferTooSmall)));
        let mut buffer = [0; 291]; // not a multiple of a word
        let mut download = engine.begin(offer(&new), ANY, &mut buffer).await.unwrap();
        for byte in &new {
            download.write(&[*byte]).await.unwrap();
        }
        download.finish().await.unwrap();
        // For images that only their digest can judge a word is enough.
        let mut word = [0; 4];
        let any = [7; 100];
        let mut download = engine
            .begin(offer(&any), AnyImage, &mut word)
            .await
            .unwrap();
        download.write(&any).await.unwrap();
        download.finish().await.unwrap();
    });
}

#[test]
fn the_blocking_flavour_leaves_the_same_flash_behind() {
    use airlift_device::blocking;

    let new = image("2", 20_000);
    let (one, other) = (device(), device());
    let mut engine = start(&one, 0);
    install(&mut engine, offer(&new), ANY, &new).unwrap();
    block_on(engine.activate()).unwrap();

    let boot = blocking::install::EspOtadata::new(OTADATA, 2);
    let mut engine = blocking::Updater::start(other.clone(), boot, LAYOUT, Some(0)).unwrap();
    let mut buffer = [0; 512];
    let mut download = engine.begin(offer(&new), ANY, &mut buffer).unwrap();
    for chunk in new.chunks(333) {
        download.write(chunk).unwrap();
    }
    download.finish().unwrap();
    engine.activate().unwrap();
    assert_eq!(engine.status(), Status::Armed { offer: offer(&new) });
    assert_eq!(one.flash().lock().cells(), other.flash().lock().cells());
}
