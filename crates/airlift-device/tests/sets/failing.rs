//! Flash and processors that fail: what is tried, what is undone, and what is said of each part.

use std::cell::Cell;

use airlift_device::set::SetFailure;

use crate::bench::*;

/// A part on which the sector with the boot loader cannot be erased, so many times.
#[derive(Clone)]
struct Flaky(Esp, Rc<Cell<u32>>);

const SECTOR: u32 = 0x18000;

impl embedded_storage_async::nor_flash::ErrorType for Flaky {
    type Error = FlashError;
}

impl embedded_storage_async::nor_flash::ReadNorFlash for Flaky {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.0.flash().lock().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        0x24000
    }
}

impl embedded_storage_async::nor_flash::NorFlash for Flaky {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        if from == SECTOR && self.1.get() > 0 {
            self.1.set(self.1.get() - 1);
            return Err(FlashError::Unreadable { offset: from });
        }
        self.0.flash().lock().erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.flash().lock().write(offset, bytes)
    }
}

type FlakyEngine = Updater<'static, Flaky, EspOtadata>;

fn start_flaky(flash: &Flaky, running: u8, other: &Other) -> FlakyEngine {
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 256];
    let mechanisms = &mut (JournalRestore, SetRestore((other.clone(),)));
    let flash = flash.clone();
    let started = Updater::recover(flash, boot, LAYOUT, Some(running), mechanisms, &mut buffer);
    block_on(started).unwrap()
}

fn feed_flaky(engine: &mut FlakyEngine, other: &Other) -> Result<SetState, Error<FlashError>> {
    let image = payload(&[(100, &[], b"new")]);
    let image = builder().build(&image).unwrap();
    let mut buffers = Buffers::new();
    let unknown = UnknownTags::Refuse;
    let mut download = buffers.download(&PARTS, (other.clone(),), unknown)?;
    block_on(async {
        download.write(engine, &image).await?;
        download.finish(engine).await
    })
}

const FLASH: u8 = 104;
const PROCESSOR: u8 = 102;

#[test]
fn refusals_of_the_flash_and_of_processors_have_these_codes() {
    assert_eq!(Refusal::Flash.code(), FLASH);
    assert_eq!(Refusal::Processor { tag: 1 }.code(), PROCESSOR);
}

#[test]
fn what_fails_once_or_twice_is_tried_again() {
    for failures in 0..3 {
        let flash = Flaky(device(), Rc::new(Cell::new(failures)));
        let other = Other::new(100);
        let mut engine = start_flaky(&flash, 0, &other);
        assert_eq!(feed_flaky(&mut engine, &other), Ok(SetState::Applied));
        assert_eq!(block_on(engine.set_failure()), Ok(None));
        assert_eq!(cells(&flash.0, SECTOR, 2000), [0xB0; 2000]);
    }
}

#[test]
fn what_fails_for_good_is_undone() {
    let flash = Flaky(device(), Rc::new(Cell::new(3)));
    let other = Other::new(100);
    let mut engine = start_flaky(&flash, 0, &other);
    let state = feed_flaky(&mut engine, &other);
    assert!(
        matches!(state, Ok(SetState::Reverted { tag: 2, .. })),
        "{state:?}"
    );
    let failure = SetFailure {
        tag: 2,
        reason: FLASH,
    };
    assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
    assert_eq!(
        report(&mut engine),
        [100, 3, 2, 1].map(|tag| (tag, Holds::Old))
    );
    assert_eq!(cells(&flash.0, SECTOR, 0x1000), [0x22; 0x1000]);
    assert_eq!(cells(&flash.0, 0x1B000, 0x1000), [0x33; 0x1000]);
    assert_eq!(other.used(), b"old");
    assert_eq!(block_on(engine.activate()), Err(Error::State));
}

#[test]
fn what_cannot_be_undone_either_is_named_and_can_be_given_up() {
    let flash = Flaky(device(), Rc::new(Cell::new(u32::MAX)));
    let other = Other::new(100);
    let mut engine = start_flaky(&flash, 0, &other);
    assert_eq!(feed_flaky(&mut engine, &other), Ok(SetState::Stuck));
    let said = [
        (100, Holds::Old),
        (3, Holds::Old),
        (2, Holds::Neither),
        (1, Holds::Old),
    ];
    // The same after a restart, at which it is tried again.
    for _ in 0..2 {
        let mut engine = start_flaky(&flash, 0, &other);
        assert_eq!(block_on(engine.set_state()), Ok(SetState::Stuck));
        let failure = SetFailure {
            tag: 2,
            reason: FLASH,
        };
        assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
        assert_eq!(report(&mut engine), said);
        assert_eq!(other.used(), b"old");
        assert_eq!(cells(&flash.0, 0x1B000, 0x1000), [0x33; 0x1000]);
        assert_eq!(
            feed_flaky(&mut engine, &other),
            Err(Refusal::SetPending.into())
        );
    }
    let mut engine = start_flaky(&flash, 0, &other);
    block_on(engine.give_up_set()).unwrap();
    assert_eq!(block_on(engine.give_up_set()), Err(Error::State));
    let state = block_on(engine.set_state());
    assert!(
        matches!(
            state,
            Ok(SetState::Partly {
                reported: false,
                ..
            })
        ),
        "{state:?}"
    );
    assert_eq!(report(&mut engine), said);
    let partition = Partition::data(Region::new(SECTOR, 0x1000));
    let damaged = block_on(engine.partition_state(&partition)).unwrap();
    assert!(
        matches!(damaged, PartitionState::Damaged { copy: true, .. }),
        "{damaged:?}"
    );
    block_on(engine.set_reported()).unwrap();
    let state = block_on(engine.set_state());
    assert!(
        matches!(state, Ok(SetState::Partly { reported: true, .. })),
        "{state:?}"
    );
    // The flash takes it again: the copy of what was there is put back.
    flash.1.set(0);
    let mut engine = start_flaky(&flash, 0, &other);
    assert_eq!(cells(&flash.0, SECTOR, 0x1000), [0x22; 0x1000]);
    assert_eq!(
        report(&mut engine),
        [100, 3, 2, 1].map(|tag| (tag, Holds::Old))
    );
    assert_eq!(feed_flaky(&mut engine, &other), Ok(SetState::Applied));
}

#[test]
fn a_part_that_could_not_be_put_back_is_not_called_restored() {
    let flash = Flaky(device(), Rc::default());
    let other = Other::new(100);
    let mut engine = start_flaky(&flash, 0, &other);
    feed_flaky(&mut engine, &other).unwrap();
    block_on(engine.activate()).unwrap();
    let mut engine = start_flaky(&flash, 1, &other);
    assert_eq!(
        report(&mut engine),
        [100, 3, 2, 1].map(|tag| (tag, Holds::New))
    );
    block_on(engine.reject(7)).unwrap();
    // The old app boots, and its partition cannot be erased just now.
    flash.1.set(u32::MAX);
    let mut engine = start_flaky(&flash, 0, &other);
    assert_eq!(block_on(engine.set_state()), Ok(SetState::Stuck));
    let failure = SetFailure { tag: 0, reason: 7 };
    assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
    assert_eq!(report(&mut engine)[2], (2, Holds::Neither));
    // The next boot goes on.
    flash.1.set(0);
    let mut engine = start_flaky(&flash, 0, &other);
    let state = block_on(engine.set_state());
    assert!(
        matches!(state, Ok(SetState::Reverted { tag: 0, .. })),
        "{state:?}"
    );
    assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
    assert_eq!(cells(&flash.0, SECTOR, 0x1000), [0x22; 0x1000]);
}

#[test]
fn a_processor_that_can_neither_apply_nor_revert_is_unknown() {
    let flash = device();
    let mut other = Other::new(100);
    (other.fails, other.sticks) = (true, true);
    let second = Other::new(101);
    let both = (second.clone(), other.clone());
    let custom: [(u32, &[u8], &[u8]); 2] = [(101, &[], b"new"), (100, &[], b"new")];
    let image = builder().build(&payload(&custom)).unwrap();
    let mut engine = start(&flash, 0, both.clone());
    let fed = feed(&mut engine, &image, 500, both, UnknownTags::Refuse);
    assert_eq!(fed, Ok(SetState::Stuck));
    let failure = SetFailure {
        tag: 100,
        reason: PROCESSOR,
    };
    assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
    let said = [
        (101, Holds::Old),
        (100, Holds::Unknown),
        (3, Holds::Old),
        (2, Holds::Old),
        (1, Holds::Old),
    ];
    assert_eq!(report(&mut engine), said);
    assert_eq!(second.used(), b"old", "it is put back all the same");
    other.sticks = false;
    let mut engine = start(&flash, 0, (second, other));
    let state = block_on(engine.set_state());
    assert!(
        matches!(state, Ok(SetState::Reverted { tag: 100, .. })),
        "{state:?}"
    );
    assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
}

#[test]
fn while_the_app_is_on_trial_no_processor_is_asked_again() {
    let flash = device();
    let mut other = Other::new(100);
    let image = builder().build(&payload(&[(100, &[], b"new")])).unwrap();
    let mut engine = start(&flash, 0, (other.clone(),));
    let fed = feed(
        &mut engine,
        &image,
        500,
        (other.clone(),),
        UnknownTags::Refuse,
    );
    assert_eq!(fed, Ok(SetState::Applied));
    block_on(engine.activate()).unwrap();
    // It would fail now: the set would be undone under the app that is on trial.
    other.fails = true;
    let mut engine = start(&flash, 1, (other.clone(),));
    assert_eq!(block_on(engine.set_state()), Ok(SetState::OnTrial));
    assert_eq!(other.store.borrow().steps, [Step::Apply]);
    block_on(engine.confirm_set(&mut SetRestore((other,)), &mut [0; 64])).unwrap();
    assert!(matches!(
        block_on(engine.set_state()),
        Ok(SetState::Done { .. })
    ));
}

#[test]
fn in_sequence_it_is_said_what_is_where_also_later() {
    let flash = device();
    let mut failing = Other::new(2000);
    failing.fails = true;
    let (first, last) = (Other::new(100), Other::new(3000));
    let all = (first.clone(), failing, last.clone());
    let mut content = PayloadBuilder::default();
    for tag in [3000, 2000, 100] {
        content.custom(tag, &[], b"new").unwrap();
    }
    content.factory_data(&factory_data()).unwrap();
    let image = builder().build(&content.build()).unwrap();
    let mut engine = start(&flash, 0, all.clone());
    let mut buffers = Buffers::new();
    let unknown = UnknownTags::Refuse;
    let mut download = buffers.download(&PARTS, all.clone(), unknown).unwrap();
    let done = block_on(async {
        download.write(&mut engine, &image).await?;
        download.finish_in_sequence(&mut engine).await
    })
    .unwrap();
    assert_eq!(
        (done.applied, done.failed, done.reason),
        (2, Some(2000), PROCESSOR)
    );
    assert!(!done.restart);
    let said = [
        (3, Holds::New),
        (100, Holds::New),
        (2000, Holds::Unknown),
        (3000, Holds::Old),
    ];
    for _ in 0..2 {
        assert_eq!(report(&mut engine), said);
        let failure = SetFailure {
            tag: 2000,
            reason: PROCESSOR,
        };
        assert_eq!(block_on(engine.set_failure()), Ok(Some(failure)));
        let state = block_on(engine.set_state());
        assert!(
            matches!(
                state,
                Ok(SetState::Partly {
                    reported: false,
                    ..
                })
            ),
            "{state:?}"
        );
        engine = start(&flash, 0, all.clone());
    }
    assert_eq!(
        (first.used(), last.used()),
        (b"new".to_vec(), b"old".to_vec())
    );
    block_on(engine.set_reported()).unwrap();

    // One that ends well, and has no app, is done.
    let (first, second) = (Other::new(100), Other::new(200));
    let both = (first, second);
    let mut content = PayloadBuilder::default();
    content.custom(200, &[], b"2").unwrap();
    content.custom(100, &[], b"1").unwrap();
    let image = builder().build(&content.build()).unwrap();
    let mut buffers = Buffers::new();
    let mut download = buffers.download(&PARTS, both, unknown).unwrap();
    block_on(download.write(&mut engine, &image)).unwrap();
    let done = block_on(download.finish_in_sequence(&mut engine)).unwrap();
    assert_eq!((done.applied, done.failed, done.reason), (2, None, 0));
    assert!(matches!(
        block_on(engine.set_state()),
        Ok(SetState::Done { .. })
    ));
    assert_eq!(report(&mut engine), [(100, Holds::New), (200, Holds::New)]);
}
