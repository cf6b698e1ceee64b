//! The example of `docs/sets.md`: a part in another flash that is looked at before it is taken.

use airlift_device::Refusal;
use airlift_device::set::{Failed, Processor, Step, TwoPlaces};
use embedded_storage_async::nor_flash::NorFlash;

// The processor.

/// Maps for this device's display: a descriptor of 4 bytes says how wide and how high their tiles are.
struct Maps<F>(TwoPlaces<F>);

impl<F: NorFlash> Processor for Maps<F> {
    fn tag(&self) -> u32 {
        100
    }

    fn descriptor_len(&self) -> usize {
        4
    }

    fn descriptor(&mut self, descriptor: &[u8]) -> Result<(), Refusal> {
        match descriptor {
            [64, 0, 64, 0] => Ok(()),
            _ => Err(Refusal::Vetoed { tag: 100 }),
        }
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        self.0.begin(length).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.0.write(bytes).await
    }

    async fn end(&mut self) -> Result<(), Failed> {
        self.0.end().await
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        self.0.step(step).await
    }
}

// The end of the processor.

use airlift_device::Offer;
use airlift_device::flash::Region;
use airlift_device::set::{Copy, PartOffer};
use airlift_sim::flash::{Cut, CutKind, Flash, Geometry, Model, Nor, SimFlash, block_on};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

type Spi = SimFlash<4, 4096>;

const JOURNAL: Region = Region::new(0, 0x2000);
const PLACES: [Region; 2] = [Region::new(0x2000, 0x4000), Region::new(0x6000, 0x4000)];

fn flash() -> Spi {
    let nor = Nor::new(Geometry::new(4, 4096, 0xA000).unwrap(), Model::Once);
    Flash::new(nor).typed().unwrap()
}

fn places(flash: &Spi) -> TwoPlaces<Spi> {
    TwoPlaces::new(100, flash.clone(), JOURNAL, PLACES).unwrap()
}

/// What is in use, byte by byte.
fn used(flash: &Spi) -> Vec<u8> {
    let (place, content) = block_on(places(flash).used()).unwrap();
    let length = content.map_or(0, |content| content.length);
    let bytes = flash.flash().lock().cells()[place.offset as usize..][..length as usize].to_vec();
    assert!(content.is_none_or(|content| content == offer(&bytes)));
    bytes
}

fn offer(bytes: &[u8]) -> Offer {
    Offer {
        length: bytes.len() as u32,
        sha256: Sha256::digest(bytes).into(),
    }
}

fn stage(flash: &Spi, content: &[u8]) -> Result<(), Failed> {
    block_on(async {
        let mut maps = Maps(places(flash));
        maps.begin(content.len() as u32).await?;
        for piece in content.chunks(100) {
            maps.write(piece).await?;
        }
        maps.end().await
    })
}

fn step(flash: &Spi, step: Step) -> Result<(), Failed> {
    block_on(Maps(places(flash)).step(step))
}

#[test]
fn it_has_less_than_forty_lines() {
    let source = include_str!("custom_processor.rs");
    let start = source.find("// The processor.\n").unwrap();
    let end = source.find("// The end of the processor.\n").unwrap();
    let lines = source[start..end].lines().count();
    assert!(lines < 40, "{lines}");
}

#[test]
fn tiles_of_another_size_are_vetoed() {
    let mut maps = Maps(places(&flash()));
    assert_eq!(maps.descriptor(&[64, 0, 64, 0]), Ok(()));
    assert_eq!(
        maps.descriptor(&[32, 0, 32, 0]),
        Err(Refusal::Vetoed { tag: 100 })
    );
}

#[test]
fn each_step_can_come_again() {
    let flash = flash();
    assert_eq!(step(&flash, Step::Apply), Err(Failed), "nothing is staged");
    stage(&flash, b"map1").unwrap();
    assert_eq!(used(&flash), b"");
    for _ in 0..3 {
        assert_eq!(step(&flash, Step::Apply), Ok(()));
        assert_eq!(used(&flash), b"map1");
    }
    // A revert without anything applied leaves what is used.
    stage(&flash, b"map2").unwrap();
    for _ in 0..3 {
        assert_eq!(step(&flash, Step::Revert), Ok(()));
        assert_eq!(used(&flash), b"map1");
    }
    assert_eq!(step(&flash, Step::Apply), Err(Failed), "it was given up");
    stage(&flash, b"map3").unwrap();
    assert_eq!(used(&flash), b"map1");
    // A cut within the step, then the step again at the next boot.
    flash.flash().lock().arm(Cut::at_word(0, CutKind::Clean));
    assert_eq!(step(&flash, Step::Apply), Err(Failed));
    flash.flash().lock().power_on();
    assert_eq!(used(&flash), b"map1");
    assert_eq!(step(&flash, Step::Apply), Ok(()));
    assert_eq!(used(&flash), b"map3");
    for _ in 0..3 {
        assert_eq!(step(&flash, Step::Revert), Ok(()));
        assert_eq!(used(&flash), b"map1");
    }
}

#[test]
fn what_is_there_is_known_and_what_was_interrupted_goes_on() {
    let flash = flash();
    let content: Vec<u8> = (0..10_000_u32).map(|i| (i >> 3) as u8).collect();
    let part = PartOffer {
        length: content.len() as u32,
        image: [7; 32],
        sha256: None,
    };
    let other = PartOffer {
        image: [8; 32],
        ..part
    };
    block_on(async {
        let mut first = places(&flash);
        assert_eq!(first.open(&part).await, Ok(0));
        first.write(&content[..9000]).await.unwrap();

        // Two sectors are marked.
        let mut second = places(&flash);
        assert_eq!(second.open(&part).await, Ok(8192));
        let mut read = vec![0; 8192 - 13];
        assert_eq!(second.read(Copy::Staged, 13, &mut read).await, Ok(true));
        assert_eq!(read, content[13..8192]);
        second.write(&content[8192..]).await.unwrap();
        second.end().await.unwrap();
        assert_eq!(places(&flash).open(&part).await, Ok(10_000));
        assert!(!places(&flash).holds(&offer(&content)).await);
        places(&flash).step(Step::Apply).await.unwrap();
        assert!(places(&flash).holds(&offer(&content)).await);
        assert!(!places(&flash).holds(&offer(&content[1..])).await);
        assert_eq!(used(&flash), content);
        // It is used now, and not staged any more.
        assert_eq!(places(&flash).open(&part).await, Ok(0));
        assert_eq!(places(&flash).open(&other).await, Ok(0));
        // What was refused does not go on.
        let mut third = places(&flash);
        third.write(&content[..4096]).await.unwrap();
        assert_eq!(places(&flash).open(&other).await, Ok(4096));
        third.abort().await;
        assert_eq!(places(&flash).open(&other).await, Ok(0));
        assert_eq!(used(&flash), content);
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let flash = flash();
    assert_eq!(block_on(places(&flash).begin(0x4001)), Err(Failed));
    let mut longer = places(&flash);
    block_on(longer.begin(0x4000)).unwrap();
    assert_eq!(block_on(longer.write(&[1; 0x4001 + 64])), Err(Failed));
    let [one, other] = PLACES;
    for (journal, places) in [
        (Region::new(0, 0x1000), PLACES),
        (Region::new(0x1000, 0x2000), PLACES),
        (JOURNAL, [one, one]),
        (JOURNAL, [one, Region::new(0x6000, 0x4800)]),
        (JOURNAL, [one, Region::new(0x8000, 0x4000)]),
        (other, PLACES),
    ] {
        assert!(TwoPlaces::new(1, flash.clone(), journal, places).is_err());
    }
}

/// What a device with such a part may find.
#[derive(Clone)]
struct Expected {
    used: Vec<u8>,
    before: Option<Vec<u8>>,
    staged: Option<Vec<u8>>,
}

impl Expected {
    fn applied(&self) -> Self {
        match &self.staged {
            Some(staged) => Self {
                used: staged.clone(),
                before: Some(self.used.clone()),
                staged: None,
            },
            None => self.clone(),
        }
    }

    fn reverted(&self) -> Self {
        Self {
            used: self.before.clone().unwrap_or_else(|| self.used.clone()),
            before: None,
            staged: None,
        }
    }
}

proptest! {
    #[test]
    fn what_is_used_is_the_old_or_the_new_after_any_cut(
        model in prop_oneof![Just(Model::And), Just(Model::Once), Just(Model::Ecc)],
        doings in proptest::collection::vec((0..4_u8, 1..9000_usize, proptest::option::of((0..200_u64, 0..6_u64))), 1..30),
    ) {
        let nor = Nor::new(Geometry::new(4, 4096, 0xA000).unwrap(), model);
        let flash: Spi = Flash::new(nor).typed().unwrap();
        let mut expected = Expected { used: Vec::new(), before: None, staged: None };
        for (number, (doing, length, cut)) in (1..).zip(doings) {
            if let Some((at, seed)) = cut {
                let kind = match seed % 2 {
                    0 => CutKind::TornProgram { seed },
                    _ => CutKind::TornErase { seed },
                };
                flash.flash().lock().arm(Cut::at_call(at, kind));
            }
            let content = vec![number; length];
            let (done, after) = match doing {
                0 | 1 => (stage(&flash, &content), Expected { before: None, staged: Some(content.clone()), ..expected.clone() }),
                2 => (step(&flash, Step::Apply), expected.applied()),
                _ => (step(&flash, Step::Revert), expected.reverted()),
            };
            let cut = !flash.flash().lock().has_power();
            flash.flash().lock().disarm();
            flash.flash().lock().power_on();
            let now = used(&flash);
            let nothing = doing == 2 && expected.staged.is_none() && expected.before.is_none();
            prop_assert!(cut || done.is_ok() != nothing);
            if done.is_ok() {
                expected = after;
            } else if now != expected.used {
                prop_assert!(cut);
                expected = after;
            } else if cut {
                // The same again, until it is done: as the engine has it. Nothing is reverted that was not committed.
                match doing {
                    0 | 1 => { stage(&flash, &content).unwrap(); expected = after; }
                    2 if nothing => {}
                    2 => { step(&flash, Step::Apply).unwrap(); expected = after; }
                    _ => { step(&flash, Step::Revert).unwrap(); expected = after; }
                }
            }
            prop_assert_eq!(used(&flash), expected.used.clone());
        }
    }
}
