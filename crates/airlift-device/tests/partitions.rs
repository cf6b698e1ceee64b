//! Updates of partitions: what is refused before anything is touched, what each scheme leaves behind, what recovery does.

use airlift_device::flash::Region;
use airlift_device::install::{BootControl as _, BootRecord, EspOtadata, SlotState};
use airlift_device::journal::TAIL_LEN;
use airlift_device::partition::{
    AfterCut, Backup, BootRisk, BrickRisk, Content, Damaged, DataDescription, DataState, Direct,
    JournalRestore, Partition, PartitionKind, PartitionOutcome, PartitionState, RestoreMechanism,
    Room, Scheme, Staged, StagedBoot,
};
use airlift_device::verify::AnyImage;
use airlift_device::{Error, Layout, Offer, Refusal, Status, Updater};
use airlift_formats::esp::otadata::{Record, State};
use airlift_formats::esp::partition_table::{self, Flags, Name, PartitionTable, PartitionType};
use airlift_sim::flash::{
    Cut, CutGrain, CutKind, Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on,
};
use embedded_storage_async::nor_flash::NorFlash;
use sha2::{Digest as _, Sha256};

type Esp = SimFlash<4, 4096>;
type Engine = Updater<'static, Esp, EspOtadata>;

const OTADATA: Region = Region::new(0, 0x2000);
const JOURNAL: Region = Region::new(0x2000, 0x2000);
const SLOTS: [Region; 2] = [Region::new(0x10000, 0x4000), Region::new(0x14000, 0x4000)];
const LAYOUT: Layout<'static> = Layout::new(&SLOTS, JOURNAL);
const STORAGE: Partition = Partition::data(Region::new(0x18000, 0x3000));
const OTHER: Partition = Partition::data(Region::new(0x1B000, 0x3000));
const LOADER: Partition = Partition {
    region: Region::new(0x1E000, 0x2000),
    kind: PartitionKind::BootLoader,
    readonly: false,
};
const SPARE: Region = Region::new(0x20000, 0x4000);

const BACKUP: Backup = Backup {
    room: Room::PassiveSlot,
    used: None,
    after_cut: AfterCut::Restore,
};
const STAGED: Staged = Staged {
    room: Room::PassiveSlot,
};

/// A device that runs slot 0, with something in the partition, and an older app in slot 1 that the boot selection names.
fn device() -> Esp {
    let mut nor = Nor::new(Geometry::new(4, 4096, 0x24000).unwrap(), Model::Once);
    nor.overwrite(0, &Record::new(3, State::Valid).emit())
        .unwrap();
    nor.overwrite(0x1000, &Record::new(2, State::Valid).emit())
        .unwrap();
    nor.overwrite(SLOTS[0].offset, &[0xE9; 1000]).unwrap();
    nor.overwrite(SLOTS[1].offset, &[0xE9; 1000]).unwrap();
    nor.overwrite(STORAGE.region.offset, &[0x11; 0x3000])
        .unwrap();
    Flash::new(nor).typed().unwrap()
}

fn start_with<M: RestoreMechanism>(
    flash: &Esp,
    running: u8,
    mechanisms: &mut M,
) -> Result<Engine, Error<FlashError>> {
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 256];
    block_on(Updater::recover(
        flash.clone(),
        boot,
        LAYOUT,
        Some(running),
        mechanisms,
        &mut buffer,
    ))
}

fn start(flash: &Esp) -> Engine {
    start_with(flash, 0, &mut JournalRestore).unwrap()
}

fn offer(bytes: &[u8]) -> Offer {
    Offer {
        length: bytes.len() as u32,
        sha256: Sha256::digest(bytes).into(),
    }
}

/// Feeds the first `until` bytes, and finishes if these are all.
fn update<S: Scheme>(
    engine: &mut Engine,
    partition: &Partition,
    scheme: S,
    bytes: &[u8],
    until: usize,
) -> Result<u32, Error<FlashError>> {
    let mut buffer = [0; 512];
    block_on(async {
        let mut download = engine
            .begin_partition(partition, scheme, offer(bytes), AnyImage, &mut buffer)
            .await?;
        let first = download.offset();
        for chunk in bytes[first as usize..until].chunks(333) {
            download.write(chunk).await?;
        }
        if until == bytes.len() {
            download.finish().await?;
        }
        Ok(first)
    })
}

fn cells(flash: &Esp, region: Region) -> Vec<u8> {
    flash.flash().lock().cells()[region.offset as usize..][..region.len as usize].to_vec()
}

fn state(engine: &mut Engine, partition: &Partition) -> PartitionState {
    block_on(engine.partition_state(partition)).unwrap()
}

fn new_content() -> Vec<u8> {
    (0..9000_u32).map(|i| ((i * 7) >> 3) as u8).collect()
}

#[test]
fn each_refusal_has_its_own_error_and_comes_before_anything_is_touched() {
    let flash = device();
    let before = flash.flash().lock().cells().to_vec();
    let mut engine = start(&flash);
    let new = new_content();
    let mut refused = |partition: Partition, backup: Backup, length: u32| {
        let offer = Offer {
            length,
            sha256: [1; 32],
        };
        let mut buffer = [0; 512];
        let begun = engine.begin_partition(&partition, backup, offer, AnyImage, &mut buffer);
        match block_on(begun).map(|_| ()) {
            Err(Error::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    };
    let at = |offset, len| Partition::data(Region::new(offset, len));
    let room = |offset, len| Backup {
        room: Room::At(Region::new(offset, len)),
        ..BACKUP
    };
    let readonly = Partition {
        readonly: true,
        ..STORAGE
    };
    let app = Partition {
        kind: PartitionKind::App,
        ..STORAGE
    };
    let cases = [
        (readonly, BACKUP, 100, Refusal::ReadOnly),
        (app, BACKUP, 100, Refusal::WrongKind),
        (LOADER, BACKUP, 100, Refusal::WrongKind),
        (
            STORAGE,
            BACKUP,
            0x3001,
            Refusal::TooBig {
                length: 0x3001,
                slot: 0x3000,
            },
        ),
        (STORAGE, BACKUP, 0, Refusal::Empty),
        (at(0x18100, 0x1000), BACKUP, 100, Refusal::Alignment),
        (at(0x18000, 0x1001), BACKUP, 100, Refusal::Alignment),
        (at(0x23000, 0x2000), BACKUP, 100, Refusal::Alignment),
        (at(0x13000, 0x1000), BACKUP, 100, Refusal::RunningApp),
        (at(0x14000, 0x1000), BACKUP, 100, Refusal::AppSlot),
        (at(0x3000, 0x1000), BACKUP, 100, Refusal::Journal),
        (at(0x1000, 0x1000), BACKUP, 100, Refusal::BootSelection),
        (
            STORAGE,
            room(0x18000, 0x3000),
            100,
            Refusal::CopyInPartition,
        ),
        (
            STORAGE,
            room(0x1A000, 0x4000),
            100,
            Refusal::CopyInPartition,
        ),
        (
            STORAGE,
            room(0x20000, 0x2000),
            100,
            Refusal::CopyTooBig {
                length: 0x3000,
                place: 0x2000,
            },
        ),
        (STORAGE, room(0x20100, 0x3000), 100, Refusal::Alignment),
        (STORAGE, room(0x10000, 0x4000), 100, Refusal::RunningApp),
        (STORAGE, room(0x2000, 0x2000), 100, Refusal::Journal),
        (STORAGE, room(0, 0x2000), 100, Refusal::BootSelection),
    ];
    for (partition, backup, length, expected) in cases {
        let refusal = refused(partition, backup, length);
        assert_eq!(refusal, expected);
        assert_ne!(Refusal::token(refusal.code()), "unknown", "{refusal}");
    }
    let nvs = partition_table::Partition {
        kind: PartitionType::DATA,
        subtype: 2,
        offset: 0x9000,
        size: 0x1000,
        name: Name::new(b"nvs").unwrap(),
        flags: Flags(0),
    };
    let mut bytes = [0; partition_table::TABLE_LEN];
    partition_table::emit([nvs], true, &mut bytes).unwrap();
    let table = PartitionTable::inspect(&bytes).unwrap();
    assert_eq!(
        Partition::find(&table, "storage"),
        Err(Refusal::UnknownPartition)
    );
    // Half of it fits where all of it does not.
    let half = Backup {
        used: Some(0x1800),
        ..room(0x20000, 0x2000)
    };
    drop(engine);
    assert_eq!(flash.flash().lock().cells(), before);
    let mut engine = start(&flash);
    assert_eq!(update(&mut engine, &STORAGE, half, &new, new.len()), Ok(0));
}

#[test]
fn while_an_app_is_to_be_tried_no_partition_is_touched() {
    let flash = device();
    let mut engine = start(&flash);
    let app = vec![0xE9; 5000];
    block_on(async {
        let mut buffer = [0; 512];
        let mut download = engine.begin(offer(&app), AnyImage, &mut buffer).await?;
        download.write(&app).await?;
        download.finish().await?;
        engine.activate().await
    })
    .unwrap();
    let pending = Err(Error::Refused(Refusal::TrialPending));
    let new = new_content();
    assert_eq!(update(&mut engine, &STORAGE, Direct, &new, 1), pending);
    // And while it is tried.
    let mut engine = start_with(&flash, 1, &mut JournalRestore).unwrap();
    assert!(matches!(engine.status(), Status::OnTrial { .. }));
    assert_eq!(update(&mut engine, &STORAGE, Direct, &new, 1), pending);
    assert_eq!(update(&mut engine, &STORAGE, BACKUP, &new, 1), pending);
    block_on(engine.confirm()).unwrap();
    assert_eq!(
        update(&mut engine, &STORAGE, BACKUP, &new, new.len()),
        Ok(0)
    );
}

#[test]
fn a_backup_makes_the_boot_selection_forget_the_slot_and_is_not_overwritten() {
    let flash = device();
    let mut engine = start(&flash);
    let resumes = Backup {
        after_cut: AfterCut::Resume,
        ..BACKUP
    };
    let new = new_content();
    update(&mut engine, &STORAGE, resumes, &new, 5000).unwrap();
    let mut boot = EspOtadata::new(OTADATA, 2);
    let named = block_on(boot.slot_state(&mut flash.clone(), 1));
    assert_eq!(named, Ok(SlotState::Unnamed));
    assert_eq!(cells(&flash, SLOTS[1])[..0x3000], [0x11; 0x3000]);

    // A reboot, and everything that could cost the only good copy.
    let mut engine = start(&flash);
    let damaged = state(&mut engine, &STORAGE);
    assert!(
        matches!(
            damaged,
            PartitionState::Damaged {
                durable: 4096,
                copy: true,
                ..
            }
        ),
        "{damaged:?}"
    );
    let holds = Err(Error::Refused(Refusal::HoldsCopy {
        partition: STORAGE.region.offset,
    }));
    let mut buffer = [0; 512];
    let app = engine.begin(offer(&[0xE9; 100]), AnyImage, &mut buffer);
    assert_eq!(block_on(app).map(|_| 0), holds);
    assert_eq!(update(&mut engine, &OTHER, BACKUP, &new, 1), holds);
    assert_eq!(update(&mut engine, &OTHER, STAGED, &new, 1), holds);
    // Another update of the same partition begins anew, and keeps the copy.
    let newer = vec![0x33; 7000];
    assert_eq!(update(&mut engine, &STORAGE, resumes, &newer, 6000), Ok(0));
    assert_eq!(cells(&flash, SLOTS[1])[..0x3000], [0x11; 0x3000]);
    assert_eq!(
        update(&mut engine, &STORAGE, resumes, &newer, 7000),
        Ok(4096)
    );
    assert_eq!(cells(&flash, STORAGE.region)[..7000], newer);
    assert!(
        cells(&flash, STORAGE.region)[7000..]
            .iter()
            .all(|byte| *byte == 0xFF)
    );
    // Now the slot is free again.
    let mut buffer = [0; 512];
    let app = engine.begin(offer(&[0xE9; 100]), AnyImage, &mut buffer);
    assert!(block_on(app).is_ok());
}

#[test]
fn a_given_up_update_puts_the_old_content_back() {
    let flash = device();
    let mut engine = start(&flash);
    let new = new_content();
    // By the application's word.
    update(&mut engine, &STORAGE, BACKUP, &new, 8000).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(
        block_on(engine.restore_partition(&STORAGE, &mut buffer)),
        Ok(true)
    );
    assert_eq!(cells(&flash, STORAGE.region), [0x11; 0x3000]);
    let expected = |outcome, reported| PartitionState::Whole {
        last: Some((outcome, offer(&new).sha256, reported)),
    };
    let restored = PartitionOutcome::Restored(0);
    assert_eq!(state(&mut engine, &STORAGE), expected(restored, false));
    block_on(engine.partition_reported(&STORAGE)).unwrap();
    assert_eq!(state(&mut engine, &STORAGE), expected(restored, true));
    // By a reset.
    update(&mut engine, &STORAGE, BACKUP, &new, 8000).unwrap();
    let mut engine = start(&flash);
    assert_eq!(state(&mut engine, &STORAGE), expected(restored, false));
    assert_eq!(cells(&flash, STORAGE.region), [0x11; 0x3000]);
    // By bytes that are not what was offered.
    let mut buffer = [0; 512];
    let refused = block_on(async {
        let mut download = engine
            .begin_partition(&STORAGE, BACKUP, offer(&new), AnyImage, &mut buffer)
            .await?;
        download.write(&[0; 9000]).await?;
        download.finish().await
    });
    assert_eq!(refused, Err(Error::Refused(Refusal::Digest)));
    let why = PartitionOutcome::Restored(Refusal::Digest.code());
    assert_eq!(state(&mut engine, &STORAGE), expected(why, false));
    assert_eq!(cells(&flash, STORAGE.region), [0x11; 0x3000]);
}

/// Puts something in the partition, or fails to.
struct Mechanism {
    can: bool,
    works: bool,
    content: u8,
    asked: u32,
}

impl RestoreMechanism for Mechanism {
    fn can_restore(&mut self, _damaged: &Damaged) -> bool {
        self.can
    }

    async fn restore<F: NorFlash>(
        &mut self,
        flash: &mut F,
        damaged: &Damaged,
        _buffer: &mut [u8],
    ) -> Option<Content> {
        self.asked += 1;
        let Region { offset, len } = damaged.region;
        flash.erase(offset, offset + len).await.ok()?;
        flash.write(offset, &[self.content; 64]).await.ok()?;
        self.works.then_some(Content::Old)
    }
}

const fn mechanism(can: bool, works: bool, content: u8) -> Mechanism {
    Mechanism {
        can,
        works,
        content,
        asked: 0,
    }
}

#[test]
fn mechanisms_are_tried_in_order_and_the_first_success_ends_it() {
    let flash = device();
    let new = new_content();
    update(&mut start(&flash), &STORAGE, BACKUP, &new, 8000).unwrap();
    let mut mechanisms = (
        mechanism(false, true, 1),
        mechanism(true, false, 2),
        mechanism(true, true, 3),
        JournalRestore,
    );
    let mut engine = start_with(&flash, 0, &mut mechanisms).unwrap();
    let asked = (mechanisms.0.asked, mechanisms.1.asked, mechanisms.2.asked);
    assert_eq!(asked, (0, 1, 1));
    assert_eq!(cells(&flash, STORAGE.region)[..64], [3; 64]);
    assert!(matches!(
        state(&mut engine, &STORAGE),
        PartitionState::Whole {
            last: Some((PartitionOutcome::Restored(0), ..))
        }
    ));
    // What is whole is nobody's business.
    start_with(&flash, 0, &mut mechanisms).unwrap();
    assert_eq!(mechanisms.2.asked, 1);

    // Behind the engine's own, one that is not needed is not asked.
    update(&mut engine, &STORAGE, BACKUP, &new, 8000).unwrap();
    let mut mechanisms = (JournalRestore, mechanism(true, true, 9));
    start_with(&flash, 0, &mut mechanisms).unwrap();
    assert_eq!(mechanisms.1.asked, 0);
}

#[test]
fn a_copy_that_has_rotted_is_none_and_the_next_mechanism_is_asked() {
    let flash = device();
    let new = new_content();
    update(&mut start(&flash), &STORAGE, BACKUP, &new, 8000).unwrap();
    flash
        .flash()
        .lock()
        .overwrite(SLOTS[1].offset + 0x2000, &[0; 4])
        .unwrap();
    let before = cells(&flash, STORAGE.region);
    let mut engine = start(&flash);
    assert!(matches!(
        state(&mut engine, &STORAGE),
        PartitionState::Damaged { .. }
    ));
    assert_eq!(
        cells(&flash, STORAGE.region),
        before,
        "what is left may be better"
    );
    let mut mechanisms = (JournalRestore, mechanism(true, true, 9));
    let mut engine = start_with(&flash, 0, &mut mechanisms).unwrap();
    assert_eq!(mechanisms.1.asked, 1);
    assert!(matches!(
        state(&mut engine, &STORAGE),
        PartitionState::Whole { .. }
    ));
}

#[test]
fn forgetting_to_recover_is_an_error_and_not_a_loss() {
    let flash = device();
    let new = new_content();
    update(&mut start(&flash), &STORAGE, BACKUP, &new, 8000).unwrap();
    let boot = EspOtadata::new(OTADATA, 2);
    let started = block_on(Updater::start(flash.clone(), boot, LAYOUT, Some(0)));
    let partition = STORAGE.region.offset;
    assert_eq!(started.map(|_| ()), Err(Error::NotRecovered { partition }));
    // A custom mechanism that cannot help leaves it as it is.
    let mut none = mechanism(false, true, 1);
    let mut engine = start_with(&flash, 0, &mut none).unwrap();
    assert!(matches!(
        state(&mut engine, &STORAGE),
        PartitionState::Damaged { .. }
    ));
    start(&flash);
    assert_eq!(cells(&flash, STORAGE.region), [0x11; 0x3000]);
}

#[test]
fn a_direct_update_says_that_the_partition_is_not_whole_and_goes_on() {
    let flash = device();
    let new = new_content();
    update(&mut start(&flash), &STORAGE, Direct, &new, 5000).unwrap();
    let mut engine = start(&flash);
    assert_eq!(
        state(&mut engine, &STORAGE),
        PartitionState::Damaged {
            offer: offer(&new),
            durable: 4096,
            copy: false
        }
    );
    // The app in the passive slot is none of its business.
    let mut boot = EspOtadata::new(OTADATA, 2);
    let named = block_on(boot.slot_state(&mut flash.clone(), 1));
    assert_eq!(named, Ok(SlotState::Confirmed));
    assert_eq!(update(&mut engine, &STORAGE, Direct, &new, 9000), Ok(4096));
    assert_eq!(cells(&flash, STORAGE.region)[..9000], new);
}

#[test]
fn a_staged_update_keeps_the_old_content_until_the_new_one_is_whole() {
    let flash = device();
    let new = new_content();
    let apart = Staged {
        room: Room::At(SPARE),
    };
    update(&mut start(&flash), &STORAGE, apart, &new, 8500).unwrap();
    let mut engine = start(&flash);
    assert_eq!(
        state(&mut engine, &STORAGE),
        PartitionState::Pending {
            offer: offer(&new),
            durable: 8192
        }
    );
    assert_eq!(cells(&flash, STORAGE.region), [0x11; 0x3000]);
    assert_eq!(update(&mut engine, &STORAGE, apart, &new, 9000), Ok(8192));
    assert_eq!(cells(&flash, STORAGE.region)[..9000], new);
}

#[test]
fn a_boot_loader_needs_a_second_one_or_an_acknowledgement_in_the_type() {
    let flash = device();
    let new = vec![0xE9; 6000];
    flash
        .flash()
        .lock()
        .overwrite(LOADER.region.offset, &[0x77; 0x2000])
        .unwrap();
    let mut engine = start(&flash);
    let scheme = |recovery| StagedBoot {
        room: Room::PassiveSlot,
        risk: BootRisk::RecoveryBootLoader(recovery),
    };
    for (recovery, refusal) in [
        (SLOTS[1], Refusal::CopyInPartition),
        (LOADER.region, Refusal::CopyInPartition),
        (SLOTS[0], Refusal::RunningApp),
        (JOURNAL, Refusal::Journal),
        (
            Region::new(0x20000, 0x1000),
            Refusal::CopyTooBig {
                length: 0x2000,
                place: 0x1000,
            },
        ),
    ] {
        let refused = update(&mut engine, &LOADER, scheme(recovery), &new, 6000);
        assert_eq!(refused, Err(Error::Refused(refusal)));
    }
    let spare = Region::new(0x20000, 0x2000);
    assert_eq!(
        update(&mut engine, &LOADER, scheme(spare), &new, 6000),
        Ok(0)
    );
    assert_eq!(cells(&flash, LOADER.region)[..6000], new);
    assert_eq!(cells(&flash, spare), [0x77; 0x2000], "the one that worked");
    // No chip looks at a second partition table.
    let table = Partition {
        kind: PartitionKind::PartitionTable,
        ..LOADER
    };
    let refused = update(&mut engine, &table, scheme(spare), &new, 6000);
    assert_eq!(refused, Err(Error::Refused(Refusal::WrongKind)));
    let accepted = StagedBoot {
        room: Room::PassiveSlot,
        risk: BootRisk::Bricks(BrickRisk::accepted()),
    };
    assert_eq!(update(&mut engine, &table, accepted, &new, 6000), Ok(0));
    let refused = update(&mut engine, &STORAGE, accepted, &new, 6000);
    assert_eq!(refused, Err(Error::Refused(Refusal::WrongKind)));
}

#[test]
fn an_app_and_its_data_share_two_slots() {
    let flash = device();
    let mut engine = start(&flash);
    let mut text = [0; TAIL_LEN];
    assert_eq!(
        block_on(engine.data_state(&mut text)),
        Ok(DataState::Unknown)
    );
    let model = new_content();
    let described = DataDescription {
        offer: offer(&model),
        version: "7.2",
        source: "http://updates.example/model.bin",
    };
    let app = vec![0xE9; 5000];
    block_on(async {
        engine.plan_data(&offer(&app), &described).await?;
        let mut buffer = [0; 512];
        let mut download = engine.begin(offer(&app), AnyImage, &mut buffer).await?;
        download.write(&app).await?;
        download.finish().await?;
        engine.activate().await
    })
    .unwrap();
    // The new app knows what it needs from its first boot on, and may not take the way back away.
    let mut engine = start_with(&flash, 1, &mut JournalRestore).unwrap();
    let missing = DataState::Missing(described);
    assert_eq!(block_on(engine.data_state(&mut text)), Ok(missing));
    let mut buffer = [0; 512];
    let too_soon = block_on(engine.begin_data(AnyImage, &mut buffer)).map(|_| ());
    assert_eq!(too_soon, Err(Error::Refused(Refusal::TrialPending)));
    block_on(engine.confirm()).unwrap();
    block_on(async {
        let mut download = engine.begin_data(AnyImage, &mut buffer).await?;
        download.write(&model[..6000]).await
    })
    .unwrap();
    let mut engine = start_with(&flash, 1, &mut JournalRestore).unwrap();
    let fetching = DataState::Fetching(described, 4096 - 64);
    assert_eq!(block_on(engine.data_state(&mut text)), Ok(fetching));
    block_on(async {
        let mut download = engine.begin_data(AnyImage, &mut buffer).await?;
        assert_eq!(download.offset(), 4096 - 64);
        download.write(&model[4096 - 64..]).await?;
        download.finish().await
    })
    .unwrap();
    let view = Region::new(SLOTS[0].offset + 64, 9000);
    let mut engine = start_with(&flash, 1, &mut JournalRestore).unwrap();
    let present = DataState::Present(described, view);
    assert_eq!(block_on(engine.data_state(&mut text)), Ok(present));
    assert_eq!(cells(&flash, view), model);
    assert_eq!(cells(&flash, SLOTS[0])[..64], [0xFF; 64], "never an app");
    // A backup in that slot costs them, and the app is told.
    update(&mut engine, &STORAGE, BACKUP, &model, 9000).unwrap();
    assert_eq!(block_on(engine.data_state(&mut text)), Ok(missing));
}

#[test]
fn what_the_journal_cannot_keep_is_refused() {
    let flash = device();
    let mut engine = start(&flash);
    let long = "x".repeat(191);
    let mut described = DataDescription {
        offer: offer(b"model"),
        version: "1",
        source: &long,
    };
    let refused = block_on(engine.want_data(&described));
    assert_eq!(refused, Err(Error::Refused(Refusal::DescriptionTooLong)));
    described.source = &long[..190];
    assert_eq!(block_on(engine.want_data(&described)), Ok(()));
    described.offer.length = SLOTS[1].len - 63;
    let refused = block_on(engine.want_data(&described));
    assert!(matches!(
        refused,
        Err(Error::Refused(Refusal::TooBig { .. }))
    ));
}

#[test]
fn many_partitions_have_their_states_until_they_are_told() {
    let flash = device();
    let mut engine = start(&flash);
    // One sector each, and more of them than the journal can hold.
    let partition = |number: u32| Partition::data(Region::new(0x18000 + number * 0x1000, 0x1000));
    for number in 0..12 {
        let begun = update(
            &mut engine,
            &partition(number),
            Direct,
            &[number as u8; 100],
            100,
        );
        assert_eq!(begun, Ok(0), "{number}");
    }
    // All of them are of interest to the server, and none can be forgotten.
    let more = update(&mut engine, &LOADER_AS_DATA, Direct, &[7; 100], 100);
    assert_eq!(more, Err(Error::JournalFull));
    assert_eq!(cells(&flash, LOADER_AS_DATA.region)[..4], [0xFF; 4]);
    block_on(engine.partition_reported(&partition(4))).unwrap();
    let more = update(&mut engine, &LOADER_AS_DATA, Direct, &[7; 100], 100);
    assert_eq!(more, Ok(0));
    let mut engine = start(&flash);
    assert_eq!(
        state(&mut engine, &partition(4)),
        PartitionState::Whole { last: None }
    );
    assert!(matches!(
        state(&mut engine, &partition(5)),
        PartitionState::Whole {
            last: Some((PartitionOutcome::Updated, ..))
        }
    ));
}

const LOADER_AS_DATA: Partition = Partition::data(Region::new(0x8000, 0x1000));

#[test]
fn no_sector_is_erased_twice_in_an_update_that_nothing_interrupts() {
    let sectors = |region: Region| {
        let first = region.offset as usize / 4096;
        first..first + region.len as usize / 4096
    };
    let erased = |run: &dyn Fn(&mut Engine)| {
        let flash = device();
        let mut engine = start(&flash);
        flash.flash().lock().reset_statistics();
        run(&mut engine);
        let nor = flash.flash().lock();
        assert_eq!(nor.statistics().words_reprogrammed, 0);
        nor.sector_erases().to_vec()
    };
    let new = new_content();
    let direct = erased(&|engine| {
        update(engine, &STORAGE, Direct, &new, 9000).unwrap();
    });
    let backup = erased(&|engine| {
        update(engine, &STORAGE, BACKUP, &new, 9000).unwrap();
    });
    let staged = erased(&|engine| {
        update(engine, &STORAGE, STAGED, &new, 9000).unwrap();
    });
    for (erases, slot) in [(direct, 0), (backup, 3), (staged, 3)] {
        assert!(sectors(STORAGE.region).all(|sector| erases[sector] == 1));
        let in_slot: u32 = sectors(SLOTS[1]).map(|sector| erases[sector]).sum();
        assert_eq!(in_slot, slot, "just what is copied");
        assert!(erases.iter().all(|erases| *erases <= 1));
    }
}

/// A part that loses a bit of whatever is written to one region.
#[derive(Clone)]
struct Worn {
    flash: Esp,
    region: Region,
}

impl embedded_storage_async::nor_flash::ErrorType for Worn {
    type Error = FlashError;
}

impl embedded_storage_async::nor_flash::ReadNorFlash for Worn {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.flash.flash().lock().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        0x24000
    }
}

impl NorFlash for Worn {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.flash.flash().lock().erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut bytes = bytes.to_vec();
        if Region::new(offset, bytes.len() as u32).overlaps(self.region) {
            bytes[1] ^= 0x10;
        }
        self.flash.flash().lock().write(offset, &bytes)
    }
}

type WornEngine = Updater<'static, Worn, EspOtadata>;

/// What an update with a worn region comes to, what the device then says, and what the partition holds.
fn update_worn<S: Scheme>(
    region: Region,
    scheme: S,
) -> (Result<(), Error<FlashError>>, PartitionState, Vec<u8>) {
    let flash = device();
    let worn = Worn {
        flash: flash.clone(),
        region,
    };
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 512];
    let mechanisms = &mut JournalRestore;
    let started = Updater::recover(worn, boot, LAYOUT, Some(0), mechanisms, &mut buffer);
    let mut engine: WornEngine = block_on(started).unwrap();
    let done = block_on(async {
        let offer = offer(&[0x44; 5000]);
        let begun = engine.begin_partition(&STORAGE, scheme, offer, AnyImage, &mut buffer);
        let mut download = begun.await?;
        download.write(&[0x44; 5000]).await?;
        download.finish().await
    });
    let state = block_on(engine.partition_state(&STORAGE)).unwrap();
    (done, state, cells(&flash, STORAGE.region))
}

#[test]
fn a_copy_that_did_not_take_leaves_the_partition_alone() {
    // The room for the copy is worn: nothing was erased for it.
    for (done, _, held) in [update_worn(SLOTS[1], BACKUP), update_worn(SLOTS[1], STAGED)] {
        assert_eq!(done, Err(Error::Refused(Refusal::ReadBack)));
        assert_eq!(held, [0x11; 0x3000]);
    }
    // The partition is worn: neither the new content nor the old can be had there, and nobody says so.
    let (done, state, _) = update_worn(STORAGE.region, BACKUP);
    let partition = STORAGE.region.offset;
    assert_eq!(done, Err(Error::NotRecovered { partition }));
    let damaged = matches!(state, PartitionState::Damaged { copy: true, .. });
    assert!(damaged, "{state:?}");
}

#[test]
fn a_staged_app_and_the_plan_for_its_data_are_both_gone_when_the_slot_is_needed() {
    let flash = device();
    let mut engine = start(&flash);
    let app = vec![0xE9; 5000];
    let model = new_content();
    block_on(async {
        let data = DataDescription {
            offer: offer(&model),
            version: "1",
            source: "",
        };
        engine.plan_data(&offer(&app), &data).await?;
        let mut buffer = [0; 512];
        let mut download = engine.begin(offer(&app), AnyImage, &mut buffer).await?;
        download.write(&app).await?;
        download.finish().await
    })
    .unwrap();
    assert!(matches!(engine.status(), Status::Staged { .. }));
    update(&mut engine, &STORAGE, BACKUP, &model, 9000).unwrap();
    assert!(
        matches!(engine.status(), Status::Idle { .. }),
        "{:?}",
        engine.status()
    );
    assert_eq!(block_on(engine.activate()), Err(Error::State));
    // The same after a reset, and the next app knows nothing of that plan.
    let mut engine = start(&flash);
    assert_eq!(block_on(engine.activate()), Err(Error::State));
    let mut engine = start_with(&flash, 1, &mut JournalRestore).unwrap();
    let mut text = [0; TAIL_LEN];
    assert_eq!(
        block_on(engine.data_state(&mut text)),
        Ok(DataState::Unknown)
    );
}

fn assert_damaged(engine: &mut Engine) {
    let state = state(engine, &STORAGE);
    assert!(
        matches!(state, PartitionState::Damaged { copy: false, .. }),
        "{state:?}"
    );
}

#[test]
fn what_is_not_whole_is_not_saved_as_if_it_were() {
    let flash = device();
    update(&mut start(&flash), &STORAGE, Direct, &new_content(), 5000).unwrap();
    let newer = vec![0x33; 7000];
    for until in [300, 5000] {
        update(&mut start(&flash), &STORAGE, BACKUP, &newer, until).unwrap();
        assert_damaged(&mut start(&flash));
    }
    // Nothing can be put back, and the refusal is told all the same.
    let mut engine = start(&flash);
    let mut buffer = [0; 512];
    let refused = block_on(async {
        let begun = engine.begin_partition(&STORAGE, BACKUP, offer(b"x"), AnyImage, &mut buffer);
        let mut download = begun.await?;
        download.write(b"y").await?;
        download.finish().await
    });
    assert_eq!(refused, Err(Error::Refused(Refusal::Digest)));
    assert_damaged(&mut engine);
    assert_eq!(update(&mut engine, &STORAGE, BACKUP, &newer, 7000), Ok(0));
    assert_eq!(cells(&flash, STORAGE.region)[..7000], newer);
}

#[test]
fn a_staged_update_of_what_is_not_whole_does_not_hide_that() {
    let flash = device();
    update(&mut start(&flash), &STORAGE, Direct, &new_content(), 5000).unwrap();
    let newer = vec![0x33; 7000];
    update(&mut start(&flash), &STORAGE, STAGED, &newer, 5000).unwrap();
    let mut engine = start(&flash);
    assert_damaged(&mut engine);
    let boot = EspOtadata::new(OTADATA, 2);
    let started = block_on(Updater::start(flash.clone(), boot, LAYOUT, Some(0)));
    let partition = STORAGE.region.offset;
    assert_eq!(started.map(|_| ()), Err(Error::NotRecovered { partition }));
    // Nor does an app that takes its place away, or a bad content.
    let mut buffer = [0; 512];
    block_on(async {
        let begun = engine.begin(offer(&[0xE9; 600]), AnyImage, &mut buffer);
        begun.await?.write(&[0xE9; 600]).await
    })
    .unwrap();
    assert_damaged(&mut engine);
    let refused = block_on(async {
        let begun = engine.begin_partition(&STORAGE, STAGED, offer(b"x"), AnyImage, &mut buffer);
        let mut download = begun.await?;
        download.write(b"y").await?;
        download.finish().await
    });
    assert_eq!(refused, Err(Error::Refused(Refusal::Digest)));
    assert_damaged(&mut engine);
    assert_eq!(update(&mut engine, &STORAGE, STAGED, &newer, 7000), Ok(0));
    assert_eq!(cells(&flash, STORAGE.region)[..7000], newer);
}

#[test]
fn a_torn_boot_loader_does_not_take_the_place_of_the_one_that_works() {
    let old = [0x77; 0x2000];
    let new = vec![0xE9; 6000];
    let spare = Region::new(0x20000, 0x2000);
    let scheme = StagedBoot {
        room: Room::PassiveSlot,
        risk: BootRisk::RecoveryBootLoader(spare),
    };
    let mut torn = 0;
    for at in 0.. {
        let flash = device();
        flash
            .flash()
            .lock()
            .overwrite(LOADER.region.offset, &old)
            .unwrap();
        let mut engine = start(&flash);
        flash.flash().lock().arm(Cut {
            at,
            grain: CutGrain::Call,
            kind: CutKind::Clean,
        });
        if update(&mut engine, &LOADER, scheme, &new, 6000).is_ok() {
            break;
        }
        flash.flash().lock().power_on();
        let found = cells(&flash, LOADER.region);
        if found != old && found[..6000] != new {
            torn += 1;
            // What was to make it whole has rotted.
            let rotten = SLOTS[1].offset + 0x1000;
            flash.flash().lock().overwrite(rotten, &[0; 4]).unwrap();
            let mut engine = start(&flash);
            assert_eq!(update(&mut engine, &LOADER, scheme, &new, 6000), Ok(0));
            assert_eq!(cells(&flash, spare), old, "cut {at}");
            assert_eq!(cells(&flash, LOADER.region)[..6000], new);
        }
    }
    assert!(torn > 0);
}

#[test]
fn a_copy_that_could_not_be_put_back_is_not_overwritten() {
    let flash = device();
    let resumes = Backup {
        after_cut: AfterCut::Resume,
        ..BACKUP
    };
    update(&mut start(&flash), &STORAGE, resumes, &new_content(), 8000).unwrap();
    // The partition takes nothing, for a while.
    let worn = Worn {
        flash: flash.clone(),
        region: STORAGE.region,
    };
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 512];
    let mechanisms = &mut JournalRestore;
    let engine = Updater::recover(worn, boot, LAYOUT, Some(0), mechanisms, &mut buffer);
    let mut engine = block_on(engine).unwrap();
    let begun = engine.begin_partition(&STORAGE, STAGED, offer(b"x"), AnyImage, &mut buffer);
    let partition = STORAGE.region.offset;
    let refused = Some(Error::NotRecovered { partition });
    assert_eq!(block_on(begun).err(), refused);
    start(&flash);
    assert_eq!(cells(&flash, STORAGE.region), [0x11; 0x3000]);
}

#[test]
fn a_partition_that_holds_a_copy_of_another_one_is_no_target() {
    let spare = Partition::data(SPARE);
    let new = new_content();
    let flash = device();
    let resumes = Backup {
        room: Room::At(SPARE),
        used: None,
        after_cut: AfterCut::Resume,
    };
    update(&mut start(&flash), &STORAGE, resumes, &new, 8000).unwrap();
    let refused = update(&mut start(&flash), &spare, Direct, &new, 9000);
    let partition = STORAGE.region.offset;
    let holds = Refusal::HoldsCopy { partition };
    assert_eq!(refused, Err(Error::Refused(holds)));
    assert_eq!(cells(&flash, SPARE)[..0x3000], [0x11; 0x3000]);

    // What is only on its way there is gone, and nobody says that it is durable.
    let flash = device();
    let staged = Staged {
        room: Room::At(SPARE),
    };
    update(&mut start(&flash), &STORAGE, staged, &new, 8500).unwrap();
    let mut engine = start(&flash);
    assert_eq!(update(&mut engine, &spare, Direct, &new, 9000), Ok(0));
    let displaced = PartitionOutcome::Refused(Refusal::Displaced.code());
    assert_eq!(
        state(&mut engine, &STORAGE),
        PartitionState::Whole {
            last: Some((displaced, offer(&new).sha256, true))
        }
    );
}

#[test]
fn a_download_that_was_refused_does_not_touch_the_partition_any_more() {
    let new = &new_content()[..8500];
    // The next byte would be the first of a sector, and of what was written before.
    for until in [8193, 8500] {
        let flash = device();
        let mut engine = start(&flash);
        let mut buffer = [0; 512];
        block_on(async {
            let begun = engine.begin_partition(&STORAGE, BACKUP, offer(new), AnyImage, &mut buffer);
            let mut download = begun.await.unwrap();
            download.write(&new[..until]).await.unwrap();
            let refused = download.write(&[0; 8500]).await;
            assert_eq!(refused, Err(Error::Refused(Refusal::TooLong)));
            assert_eq!(download.write(&new[until..]).await, Err(Error::State));
            assert_eq!(download.finish().await, Err(Error::State));
        });
        let restored = PartitionOutcome::Restored(Refusal::TooLong.code());
        assert_eq!(
            state(&mut engine, &STORAGE),
            PartitionState::Whole {
                last: Some((restored, offer(new).sha256, false))
            }
        );
        assert!(cells(&flash, STORAGE.region) == [0x11; 0x3000], "{until}");
    }
}

#[test]
fn an_app_does_not_take_the_plan_of_another_one_for_its_own() {
    let flash = device();
    let mut engine = start(&flash);
    let app = [0xE9; 5000];
    let described = DataDescription {
        offer: offer(b"model"),
        version: "7.2",
        source: "http://updates.example/model.bin",
    };
    block_on(async {
        let mut buffer = [0; 512];
        let mut download = engine.begin(offer(&app), AnyImage, &mut buffer).await?;
        download.write(&app).await?;
        download.finish().await?;
        // A newer app is on offer; and then it is not, or cannot be fetched.
        engine.plan_data(&offer(b"newer"), &described).await?;
        engine.activate().await
    })
    .unwrap();
    let mut engine = start_with(&flash, 1, &mut JournalRestore).unwrap();
    let mut text = [0; TAIL_LEN];
    let state = block_on(engine.data_state(&mut text));
    assert_eq!(state, Ok(DataState::Unknown));
}

fn start_on(flash: &Esp, layout: Layout<'static>, running: u8) -> Engine {
    let boot = EspOtadata::new(OTADATA, layout.slots.len() as u8);
    let mut buffer = [0; 256];
    let flash = flash.clone();
    let mechanisms = &mut JournalRestore;
    let engine = Updater::recover(flash, boot, layout, Some(running), mechanisms, &mut buffer);
    block_on(engine).unwrap()
}

#[test]
fn data_stay_in_their_slot_when_the_slots_change() {
    static SMALL: [Region; 2] = [SLOTS[0], Region::new(0x14000, 0x2000)];
    let flash = device();
    let model = new_content();
    let mut described = DataDescription {
        offer: offer(&model),
        version: "7.2",
        source: "http://updates.example/model.bin",
    };
    block_on(start(&flash).want_data(&described)).unwrap();
    let mut engine = start_on(&flash, Layout::new(&SMALL, JOURNAL), 0);
    let mut buffer = [0; 512];
    let begun = block_on(engine.begin_data(AnyImage, &mut buffer)).err();
    let too_big = Refusal::TooBig {
        length: 9000,
        slot: 0x2000 - 64,
    };
    assert_eq!(begun, Some(Error::Refused(too_big)));

    // Where there is no such slot any more, there is another one.
    static THREE: [Region; 3] = [SMALL[1], SLOTS[0], Region::new(0x16000, 0x2000)];
    static TWO: [Region; 2] = [SMALL[1], SLOTS[0]];
    let flash = device();
    described.offer = offer(&model[..5000]);
    let mut engine = start_on(&flash, Layout::new(&THREE, JOURNAL), 1);
    block_on(async {
        engine.want_data(&described).await?;
        let mut download = engine.begin_data(AnyImage, &mut buffer).await?;
        download.write(&model[..5000]).await?;
        download.finish().await
    })
    .unwrap();
    let mut engine = start_on(&flash, Layout::new(&TWO, JOURNAL), 1);
    block_on(engine.want_data(&described)).unwrap();
    let begun = block_on(engine.begin_data(AnyImage, &mut buffer));
    assert_eq!(begun.map(|download| download.offset()), Ok(0));
}

#[test]
fn the_factory_app_is_no_room_and_no_target() {
    let layout = Layout {
        factory: Some(SPARE),
        ..LAYOUT
    };
    let flash = device();
    let mut engine = start_on(&flash, layout, 0);
    let room = Room::At(SPARE);
    let backup = Backup { room, ..BACKUP };
    let refused = Err(Error::Refused(Refusal::AppSlot));
    assert_eq!(update(&mut engine, &STORAGE, backup, b"x", 1), refused);
    let staged = Staged { room };
    assert_eq!(update(&mut engine, &STORAGE, staged, b"x", 1), refused);
    let spare = Partition::data(SPARE);
    assert_eq!(update(&mut engine, &spare, Direct, b"x", 1), refused);
}

#[test]
fn a_partition_that_is_none_any_more_is_not_restored_over_an_app() {
    static MOVED: [Region; 2] = [SLOTS[0], Region::new(0x18000, 0x4000)];
    let flash = device();
    update(&mut start(&flash), &STORAGE, BACKUP, &new_content(), 8000).unwrap();
    let app = [0xE9; 0x4000];
    flash
        .flash()
        .lock()
        .overwrite(MOVED[1].offset, &app)
        .unwrap();
    start_on(&flash, Layout::new(&MOVED, JOURNAL), 1);
    let mut engine = start_on(&flash, Layout::new(&MOVED, JOURNAL), 0);
    assert!(cells(&flash, MOVED[1]) == app);
    // Its copy is in nobody's way.
    let room = Room::At(Region::new(0x14000, 0x4000));
    let staged = Staged { room };
    assert_eq!(update(&mut engine, &LOADER_AS_DATA, staged, b"x", 1), Ok(0));
}

#[test]
fn a_slot_that_becomes_the_second_boot_loader_is_named_by_nobody() {
    let flash = device();
    let mut engine = start(&flash);
    let scheme = StagedBoot {
        room: Room::At(SPARE),
        risk: BootRisk::RecoveryBootLoader(Region::new(SLOTS[1].offset, 0x2000)),
    };
    assert_eq!(update(&mut engine, &LOADER, scheme, b"x", 1), Ok(0));
    let mut boot = EspOtadata::new(OTADATA, 2);
    let named = block_on(boot.slot_state(&mut flash.clone(), 1));
    assert_eq!(named, Ok(SlotState::Unnamed));
}

/// A part that takes nothing but 64 bytes at once.
struct Wide(Esp);

impl embedded_storage_async::nor_flash::ErrorType for Wide {
    type Error = FlashError;
}

impl embedded_storage_async::nor_flash::ReadNorFlash for Wide {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.flash().lock().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        0x24000
    }
}

impl NorFlash for Wide {
    const WRITE_SIZE: usize = 64;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.0.flash().lock().erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        assert_eq!((offset % 64, bytes.len() % 64), (0, 0));
        self.0.flash().lock().write(offset, bytes)
    }
}

#[test]
fn the_longest_words_that_are_supported_are_enough_for_everything() {
    let flash = device();
    let boot = BootRecord::new(OTADATA);
    let new = new_content();
    let mut buffer = [0; 500];
    block_on(async {
        let mechanisms = &mut JournalRestore;
        let flash = Wide(flash.clone());
        let mut engine =
            Updater::recover(flash, boot, LAYOUT, Some(0), mechanisms, &mut buffer).await?;
        let begun = engine.begin_partition(&STORAGE, BACKUP, offer(&new), AnyImage, &mut buffer);
        let mut download = begun.await?;
        download.write(&new).await?;
        download.finish().await?;
        let mut download = engine.begin(offer(&new), AnyImage, &mut buffer).await?;
        download.write(&new).await?;
        download.finish().await?;
        engine.activate().await
    })
    .unwrap();
    assert_eq!(cells(&flash, STORAGE.region)[..9000], new);
    assert_eq!(cells(&flash, SLOTS[1])[..9000], new);
}

#[test]
fn data_that_have_moved_are_fetched_on_from_there() {
    let flash = device();
    let model = new_content();
    let there = |source| DataDescription {
        offer: offer(&model),
        version: "7.2",
        source,
    };
    let (old, new) = (there("http://old.example/"), there("http://new.example/"));
    let mut engine = start(&flash);
    let mut buffer = [0; 512];
    block_on(async {
        engine.want_data(&old).await?;
        let mut download = engine.begin_data(AnyImage, &mut buffer).await?;
        download.write(&model[..5000]).await?;
        engine.want_data(&new).await
    })
    .unwrap();
    let mut engine = start(&flash);
    let mut text = [0; TAIL_LEN];
    let fetching = DataState::Fetching(new, 4096 - 64);
    assert_eq!(block_on(engine.data_state(&mut text)), Ok(fetching));
    // What is known is not written again.
    let before = flash.flash().lock().cells().to_vec();
    block_on(engine.want_data(&new)).unwrap();
    assert!(flash.flash().lock().cells() == before);
    block_on(async {
        let mut download = engine.begin_data(AnyImage, &mut buffer).await?;
        download.write(&model[4096 - 64..]).await?;
        download.finish().await?;
        engine.want_data(&old).await
    })
    .unwrap();
    let view = Region::new(SLOTS[1].offset + 64, 9000);
    let present = DataState::Present(old, view);
    assert_eq!(block_on(engine.data_state(&mut text)), Ok(present));
    assert_eq!(cells(&flash, view), model);
}
