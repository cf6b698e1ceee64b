//! Several parts as one, from a Matter OTA image to flash, other flash and back.

use std::cell::RefCell;
use std::rc::Rc;

use airlift_device::flash::Region;
use airlift_device::install::EspOtadata;
use airlift_device::partition::{JournalRestore, Partition, PartitionOutcome, PartitionState};
use airlift_device::set::{
    Destination, Failed, Identity, Part, Processor, Processors, SetDownload, SetRestore, SetState,
    Step, UnknownTags,
};
use airlift_device::verify::AnyImage;
use airlift_device::{Error, Layout, Mismatch, Refusal, Status, Updater};
use airlift_formats::esp::otadata::{Record, State};
use airlift_formats::matter::image::{ImageBuilder, MAX_HEADER_LEN, OtaImageError};
use airlift_formats::nxp::{Descriptor, FactoryData, PayloadBuilder};
use airlift_sim::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};

type Esp = SimFlash<4, 4096>;
type Engine = Updater<'static, Esp, EspOtadata>;

const OTADATA: Region = Region::new(0, 0x2000);
const JOURNAL: Region = Region::new(0x2000, 0x2000);
const SLOTS: [Region; 2] = [Region::new(0x10000, 0x4000), Region::new(0x14000, 0x4000)];
const LAYOUT: Layout<'static> = Layout::new(&SLOTS, JOURNAL);

const fn flash_part(tag: u32, at: u32) -> Part {
    Part {
        tag,
        to: Destination::Partition {
            partition: Partition::data(Region::new(at, 0x1000)),
            room: Region::new(at + 0x1000, 0x1000),
            save: Region::new(at + 0x2000, 0x1000),
        },
    }
}

/// Application, boot loader of a second chip, factory data.
const PARTS: [Part; 3] = [
    Part {
        tag: 1,
        to: Destination::App,
    },
    flash_part(2, 0x18000),
    flash_part(3, 0x1B000),
];

const IDENTITY: Identity = Identity {
    vendor: 0xFFF1,
    product: 0x8001,
    version: 1,
    allows_downgrade: false,
};

/// What a processor has in its own flash: what is used, and what is staged.
#[derive(Debug, Default, Clone, PartialEq)]
struct Store {
    used: Vec<u8>,
    staged: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
    aborted: bool,
}

/// Keeps a part in another flash.
#[derive(Clone)]
struct Other {
    tag: u32,
    store: Rc<RefCell<Store>>,
    described: usize,
    vetoes: bool,
    fails: bool,
}

impl Other {
    fn new(tag: u32) -> Self {
        let store = Store {
            used: b"old".to_vec(),
            ..Store::default()
        };
        Self {
            tag,
            store: Rc::new(RefCell::new(store)),
            described: 0,
            vetoes: false,
            fails: false,
        }
    }
}

impl Processor for Other {
    fn tag(&self) -> u32 {
        self.tag
    }

    fn descriptor_len(&self) -> usize {
        self.described
    }

    fn descriptor(&mut self, descriptor: &[u8]) -> Result<(), Refusal> {
        assert_eq!(descriptor.len(), self.described);
        if self.vetoes {
            return Err(Refusal::Vetoed { tag: self.tag });
        }
        Ok(())
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        self.store.borrow_mut().staged = Some(Vec::with_capacity(length as usize));
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let mut store = self.store.borrow_mut();
        store.staged.as_mut().ok_or(Failed)?.extend(bytes);
        Ok(())
    }

    async fn abort(&mut self) {
        let mut store = self.store.borrow_mut();
        store.staged = None;
        store.aborted = true;
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        let mut store = self.store.borrow_mut();
        match step {
            Step::Apply if self.fails => return Err(Failed),
            Step::Apply => {
                if let Some(staged) = store.staged.take() {
                    store.before = Some(std::mem::replace(&mut store.used, staged));
                }
            }
            Step::Revert => {
                store.staged = None;
                if let Some(before) = store.before.take() {
                    store.used = before;
                }
            }
        }
        Ok(())
    }
}

fn device() -> Esp {
    let mut nor = Nor::new(Geometry::new(4, 4096, 0x24000).unwrap(), Model::Once);
    nor.overwrite(0, &Record::new(1, State::Valid).emit())
        .unwrap();
    nor.overwrite(SLOTS[0].offset, &[0xE9; 1000]).unwrap();
    nor.overwrite(0x18000, &[0x22; 0x1000]).unwrap();
    nor.overwrite(0x1B000, &[0x33; 0x1000]).unwrap();
    Flash::new(nor).typed().unwrap()
}

fn start<P: Processors>(flash: &Esp, running: u8, processors: P) -> Engine {
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 256];
    let mechanisms = &mut (JournalRestore, SetRestore(processors));
    let started = Updater::recover(
        flash.clone(),
        boot,
        LAYOUT,
        Some(running),
        mechanisms,
        &mut buffer,
    );
    block_on(started).unwrap()
}

fn cells(flash: &Esp, offset: u32, len: usize) -> Vec<u8> {
    flash.flash().lock().cells()[offset as usize..][..len].to_vec()
}

fn app() -> Vec<u8> {
    (0..7000_u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect()
}

fn factory_data() -> FactoryData<'static> {
    FactoryData {
        dac_private_key: Some(&[7; 32]),
        ..FactoryData::default()
    }
}

fn builder() -> ImageBuilder {
    ImageBuilder::new(0xFFF1, 0x8001, 2, "2.0")
}

/// Application, second chip, factory data, and `custom` by tag.
fn payload(custom: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    let described = Descriptor::new(2, "2.0", "2026-11-26").unwrap();
    let mut payload = PayloadBuilder::default();
    payload.application(&described, &app()).unwrap();
    payload.bootloader(&described, &[0xB0; 2000]).unwrap();
    payload.factory_data(&factory_data()).unwrap();
    for (tag, descriptor, content) in custom {
        payload.custom(*tag, descriptor, content).unwrap();
    }
    payload.build()
}

fn feed<P: Processors>(
    engine: &mut Engine,
    image: &[u8],
    piece: usize,
    processors: P,
    unknown: UnknownTags,
) -> Result<SetState, Error<FlashError>> {
    let mut header = [0; MAX_HEADER_LEN];
    let mut buffer = [0; 512];
    let mut download = SetDownload::new(
        IDENTITY,
        &PARTS,
        AnyImage,
        processors,
        unknown,
        &mut header,
        &mut buffer,
    )?;
    block_on(async {
        for piece in image.chunks(piece) {
            download.write(engine, piece).await?;
        }
        download.finish(engine).await
    })
}

#[test]
fn eleven_parts_are_applied_as_one_however_the_image_is_cut() {
    let contents: Vec<Vec<u8>> = (0..8_usize).map(|i| vec![i as u8; i * 97]).collect();
    let descriptor = [0xD5; 132];
    let custom: Vec<(u32, &[u8], &[u8])> = (4..12)
        .zip(&contents)
        .map(|(tag, content)| {
            // Every other one is described; the first is empty.
            let described: &[u8] = if tag % 2 == 0 { &[] } else { &descriptor };
            (tag, described, content.as_slice())
        })
        .collect();
    let image = builder().build(&payload(&custom)).unwrap();
    let mut expected = None;
    for piece in [1, 7, 16, 64, 1024, image.len()] {
        let flash = device();
        let mut others: Vec<Other> = (4..12).map(Other::new).collect();
        for other in &mut others {
            other.described = if other.tag % 2 == 0 { 0 } else { 132 };
        }
        let all = || {
            let [a, b, c, d, e, f, g, h] = <[Other; 8]>::try_from(others.clone())
                .unwrap_or_else(|_| unreachable!("eight of them"));
            (a, b, c, d, e, f, g, h)
        };
        let mut engine = start(&flash, 0, all());
        let state = feed(&mut engine, &image, piece, all(), UnknownTags::Refuse);
        assert_eq!(state, Ok(SetState::Applied), "in pieces of {piece}");
        assert_eq!(cells(&flash, SLOTS[1].offset, 7000), app());
        assert_eq!(cells(&flash, 0x18000, 2000), [0xB0; 2000]);
        let data = factory_data().emit();
        assert_eq!(cells(&flash, 0x1B000, data.len()), data);
        for (other, content) in others.iter().zip(&contents) {
            assert_eq!(other.store.borrow().used, *content, "tag {}", other.tag);
        }
        let written = cells(&flash, 0x10000, 0x14000);
        assert_eq!(*expected.get_or_insert(written.clone()), written);

        // The app is tried last, and the set stays with it.
        block_on(engine.activate()).unwrap();
        let mut engine = start(&flash, 1, all());
        assert_eq!(block_on(engine.set_state()), Ok(SetState::OnTrial));
        let partition = Partition::data(Region::new(0x18000, 0x1000));
        let on_trial = block_on(engine.partition_state(&partition)).unwrap();
        assert!(matches!(on_trial, PartitionState::OnTrial { .. }));
        let mut buffer = [0; 64];
        block_on(engine.confirm_set(&mut SetRestore(all()), &mut buffer)).unwrap();
        assert!(matches!(
            block_on(engine.set_state()),
            Ok(SetState::Done {
                reported: false,
                ..
            })
        ));
    }
}

#[test]
fn when_the_app_does_not_stay_everything_goes_back_with_it() {
    let flash = device();
    let other = Other::new(100);
    let image = builder().build(&payload(&[(100, &[], b"new")])).unwrap();
    let mut engine = start(&flash, 0, (other.clone(),));
    feed(
        &mut engine,
        &image,
        333,
        (other.clone(),),
        UnknownTags::Refuse,
    )
    .unwrap();
    assert_eq!(other.store.borrow().used, b"new");
    block_on(engine.activate()).unwrap();
    block_on(start(&flash, 1, (other.clone(),)).reject(3)).unwrap();
    // The old app finds the old world, before its first line.
    let mut engine = start(&flash, 0, (other.clone(),));
    assert!(matches!(
        block_on(engine.set_state()),
        Ok(SetState::Reverted { tag: 0, .. })
    ));
    assert_eq!(cells(&flash, 0x18000, 0x1000), [0x22; 0x1000]);
    assert_eq!(cells(&flash, 0x1B000, 0x1000), [0x33; 0x1000]);
    assert_eq!(other.store.borrow().used, b"old");
    let partition = Partition::data(Region::new(0x18000, 0x1000));
    assert!(matches!(
        block_on(engine.partition_state(&partition)),
        Ok(PartitionState::Whole {
            last: Some((PartitionOutcome::Restored(_), ..))
        })
    ));
}

#[test]
fn when_one_part_cannot_be_applied_those_before_it_are_undone() {
    let flash = device();
    let mut other = Other::new(100);
    other.fails = true;
    let image = builder().build(&payload(&[(100, &[], b"new")])).unwrap();
    let mut engine = start(&flash, 0, (other.clone(),));
    let state = feed(
        &mut engine,
        &image,
        500,
        (other.clone(),),
        UnknownTags::Refuse,
    );
    assert!(
        matches!(state, Ok(SetState::Reverted { tag: 100, .. })),
        "{state:?}"
    );
    assert_eq!(cells(&flash, 0x18000, 0x1000), [0x22; 0x1000]);
    assert_eq!(cells(&flash, 0x1B000, 0x1000), [0x33; 0x1000]);
    assert_eq!(other.store.borrow().used, b"old");
    // The app that came with it is not tried.
    assert!(
        matches!(engine.status(), Status::Idle { .. }),
        "{:?}",
        engine.status()
    );
    assert_eq!(block_on(engine.activate()), Err(Error::State));
}

#[test]
fn what_is_wrong_with_an_image_leaves_everything_as_it_was() {
    let good = payload(&[(100, &[], b"new")]);
    let image = builder().build(&good).unwrap();
    let mut flipped = image.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut longer = image.clone();
    longer.push(0);
    let built = |builder: ImageBuilder| builder.build(&good).unwrap();
    let mismatch = |mismatch| Refusal::Identity(mismatch);
    let digest = Refusal::Container(OtaImageError::Digest);
    let cases: Vec<(Vec<u8>, Option<Refusal>)> = vec![
        (flipped, Some(digest)),
        (longer, None),
        (
            built(ImageBuilder::new(0xFFF2, 0x8001, 2, "2")),
            Some(mismatch(Mismatch::Vendor)),
        ),
        (
            built(ImageBuilder::new(0xFFF1, 0x8002, 2, "2")),
            Some(mismatch(Mismatch::Product)),
        ),
        (
            built(ImageBuilder::new(0xFFF1, 0x8001, 1, "1")),
            Some(mismatch(Mismatch::Downgrade)),
        ),
        (
            built(ImageBuilder::new(0xFFF1, 0x8001, 9, "9").min_version(2)),
            Some(mismatch(Mismatch::BelowMinimum)),
        ),
        (
            built(ImageBuilder::new(0xFFF1, 0x8001, 9, "9").max_version(0)),
            Some(mismatch(Mismatch::AboveMaximum)),
        ),
        (
            builder()
                .build(&payload(&[(101, &[], b"nobody's")]))
                .unwrap(),
            Some(Refusal::UnknownTag { tag: 101 }),
        ),
    ];
    for (image, refusal) in cases {
        let flash = device();
        let other = Other::new(100);
        let mut engine = start(&flash, 0, (other.clone(),));
        let used = [(0x10000, 0x4000), (0x18000, 0x1000), (0x1B000, 0x1000)];
        let before = used.map(|(at, len)| cells(&flash, at, len));
        let fed = feed(
            &mut engine,
            &image,
            400,
            (other.clone(),),
            UnknownTags::Refuse,
        );
        match (fed, refusal) {
            (Err(Error::Refused(found)), Some(expected)) => assert_eq!(found, expected),
            (Err(Error::Refused(_)), None) => {}
            (other, expected) => panic!("{other:?} instead of {expected:?}"),
        }
        assert_eq!(used.map(|(at, len)| cells(&flash, at, len)), before);
        assert_eq!(other.store.borrow().used, b"old");
        assert!(other.store.borrow().aborted);
        assert_eq!(block_on(engine.set_state()), Ok(SetState::None));
        // And the next one is taken.
        let image = builder().build(&good).unwrap();
        let fed = feed(
            &mut engine,
            &image,
            400,
            (other.clone(),),
            UnknownTags::Refuse,
        );
        assert_eq!(fed, Ok(SetState::Applied));
    }
    // Any vendor and product; a part that nobody takes may be passed over.
    let flash = device();
    let other = Other::new(100);
    let image = ImageBuilder::new(0, 0, 2, "2");
    let image = image
        .build(&payload(&[(101, &[], b"nobody's"), (100, &[], b"new")]))
        .unwrap();
    let mut engine = start(&flash, 0, (other.clone(),));
    let fed = feed(&mut engine, &image, 50, (other.clone(),), UnknownTags::Skip);
    assert_eq!(fed, Ok(SetState::Applied));
    assert_eq!(other.store.borrow().used, b"new");
}

#[test]
fn a_processor_may_veto_its_part_by_the_descriptor() {
    let flash = device();
    let mut other = Other::new(100);
    other.described = 5;
    other.vetoes = true;
    let image = builder()
        .build(&payload(&[(100, b"v9.99", b"new")]))
        .unwrap();
    let mut engine = start(&flash, 0, ());
    for piece in [1, 5, 4096] {
        let fed = feed(
            &mut engine,
            &image,
            piece,
            (other.clone(),),
            UnknownTags::Refuse,
        );
        assert_eq!(fed, Err(Error::Refused(Refusal::Vetoed { tag: 100 })));
        assert_eq!(cells(&flash, 0x18000, 0x1000), [0x22; 0x1000]);
    }
    // A value that ends within its descriptor is no part.
    other.vetoes = false;
    other.described = 9;
    let fed = feed(
        &mut engine,
        &image,
        4096,
        (other.clone(),),
        UnknownTags::Refuse,
    );
    assert_eq!(fed, Err(Error::Refused(Refusal::Vetoed { tag: 100 })));
}

#[test]
fn two_processors_for_one_tag_are_refused_at_the_start() {
    let mut header = [0; MAX_HEADER_LEN];
    let mut buffer = [0; 512];
    let mut refused = |processors: (Other, Other), parts: &[Part]| {
        let unknown = UnknownTags::Refuse;
        SetDownload::new(
            IDENTITY,
            parts,
            AnyImage,
            processors,
            unknown,
            &mut header,
            &mut buffer,
        )
        .map(|_| ())
    };
    let pair = |a, b| (Other::new(a), Other::new(b));
    assert_eq!(refused(pair(100, 101), &PARTS), Ok(()));
    assert_eq!(refused(pair(100, 100), &PARTS), Err(Refusal::Duplicate));
    assert_eq!(refused(pair(100, 2), &PARTS), Err(Refusal::Duplicate));
    let twice = [flash_part(2, 0x18000), flash_part(3, 0x19000)];
    assert_eq!(refused(pair(100, 101), &twice), Err(Refusal::Duplicate));
}

#[test]
fn a_device_that_knows_nothing_of_sets_does_not_go_on_over_one() {
    let flash = device();
    let image = builder().build(&payload(&[])).unwrap();
    let mut engine = start(&flash, 0, ());
    feed(&mut engine, &image, 400, (), UnknownTags::Refuse).unwrap();
    let pending = Err(Error::Refused(Refusal::SetPending));
    let boot = EspOtadata::new(OTADATA, 2);
    let started = block_on(Updater::start(flash.clone(), boot, LAYOUT, Some(0)));
    assert_eq!(started.map(|_| ()), pending);
    let mut buffer = [0; 64];
    let mechanisms = &mut JournalRestore;
    let started = Updater::recover(
        flash.clone(),
        boot,
        LAYOUT,
        Some(0),
        mechanisms,
        &mut buffer,
    );
    assert_eq!(block_on(started).map(|_| ()), pending);
    // Nor may anything else be begun.
    let mut buffer = [0; 512];
    let offer = airlift_device::Offer {
        length: 100,
        sha256: [0; 32],
    };
    let begun = block_on(engine.begin(offer, AnyImage, &mut buffer)).map(|_| ());
    assert_eq!(begun, pending);
}

#[test]
fn in_sequence_the_first_failure_ends_it_and_what_came_before_stays() {
    let flash = device();
    let mut failing = Other::new(4);
    failing.fails = true;
    let last = Other::new(100);
    let both = (failing, last.clone());
    // In any order in the image: they are applied by ascending tag.
    let image = payload(&[(100, &[], b"new"), (4, &[], b"new")]);
    let image = builder().build(&image).unwrap();
    let mut engine = start(&flash, 0, both.clone());
    let mut header = [0; MAX_HEADER_LEN];
    let mut buffer = [0; 512];
    let unknown = UnknownTags::Refuse;
    let mut download = SetDownload::new(
        IDENTITY,
        &PARTS,
        AnyImage,
        both,
        unknown,
        &mut header,
        &mut buffer,
    )
    .unwrap();
    let sequence = block_on(async {
        download.write(&mut engine, &image).await?;
        download.finish_in_sequence(&mut engine).await
    })
    .unwrap();
    assert_eq!((sequence.applied, sequence.failed), (3, Some(4)));
    assert!(sequence.restart);
    assert_eq!(cells(&flash, 0x18000, 2000), [0xB0; 2000]);
    assert_eq!(last.store.borrow().used, b"old");
    assert!(matches!(engine.status(), Status::Armed { .. }));
}

#[test]
fn factory_data_are_judged_before_anything_is_erased() {
    let image = |data: &[u8]| {
        let mut payload = 3_u32.to_le_bytes().to_vec();
        payload.extend((data.len() as u32).to_le_bytes());
        payload.extend(data);
        builder().build(&payload).unwrap()
    };
    let good = factory_data().emit();
    let mut with_more = good.clone();
    with_more.extend([1, 2, 3]);
    let cases: [(&[u8], bool); 4] = [
        (&good, true),
        (&good[..good.len() - 1], false),
        (&with_more, false),
        (b"no structure at all", false),
    ];
    for (data, is_good) in cases {
        let flash = device();
        let mut engine = start(&flash, 0, ());
        let fed = feed(&mut engine, &image(data), 9, (), UnknownTags::Refuse);
        if is_good {
            assert!(matches!(fed, Ok(SetState::Done { .. })), "{fed:?}");
            assert_eq!(cells(&flash, 0x1B000, data.len()), data);
        } else {
            assert!(
                matches!(fed, Err(Error::Refused(Refusal::FactoryData(_)))),
                "{fed:?}"
            );
            assert_eq!(
                cells(&flash, 0x1C000, 4096),
                [0xFF; 4096],
                "not even its room"
            );
        }
    }
    // More than the buffer holds cannot be judged as a whole.
    let flash = device();
    let mut engine = start(&flash, 0, ());
    let fed = feed(
        &mut engine,
        &image(&[0x15; 600]),
        99,
        (),
        UnknownTags::Refuse,
    );
    assert_eq!(fed, Err(Error::BufferTooSmall));
}

#[test]
fn refusals_have_codes_of_their_own() {
    use airlift_formats::nxp::PayloadError;
    use std::collections::HashSet;
    let refusals = [
        Refusal::SetPending,
        Refusal::Duplicate,
        Refusal::TooManyParts,
        Refusal::UnknownTag { tag: 1 },
        Refusal::Vetoed { tag: 1 },
        Refusal::Processor { tag: 1 },
        Refusal::Identity(Mismatch::Vendor),
        Refusal::Identity(Mismatch::Product),
        Refusal::Identity(Mismatch::Downgrade),
        Refusal::Identity(Mismatch::BelowMinimum),
        Refusal::Identity(Mismatch::AboveMaximum),
        Refusal::Container(OtaImageError::Digest),
        Refusal::Container(OtaImageError::NotAStructure),
        Refusal::Payload(PayloadError::PayloadTooLong { size: 1 }),
    ];
    let codes: HashSet<u8> = refusals.iter().map(Refusal::code).collect();
    let words: HashSet<&str> = codes.iter().map(|code| Refusal::token(*code)).collect();
    assert_eq!((codes.len(), words.len()), (refusals.len(), refusals.len()));
    assert!(!words.contains("unknown"));
}

/// A part on which one sector cannot be erased.
struct Flaky(Esp);

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
        if from == 0x18000 {
            return Err(FlashError::Unreadable { offset: from });
        }
        self.0.flash().lock().erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.0.flash().lock().write(offset, bytes)
    }
}

#[test]
fn a_part_that_could_not_be_put_back_is_not_called_restored() {
    let flash = device();
    let image = builder().build(&payload(&[])).unwrap();
    let mut engine = start(&flash, 0, ());
    feed(&mut engine, &image, 400, (), UnknownTags::Refuse).unwrap();
    block_on(engine.activate()).unwrap();
    block_on(start(&flash, 1, ()).reject(3)).unwrap();
    // The old app boots, and its partition cannot be erased just now.
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 512];
    let mechanisms = &mut (JournalRestore, SetRestore(()));
    let flaky = Flaky(flash.clone());
    let started = Updater::recover(flaky, boot, LAYOUT, Some(0), mechanisms, &mut buffer);
    let mut engine = block_on(started).unwrap();
    assert_eq!(block_on(engine.set_state()), Ok(SetState::Stuck));
    // The next boot goes on.
    let mut engine = start(&flash, 0, ());
    let state = block_on(engine.set_state());
    assert!(
        matches!(state, Ok(SetState::Reverted { tag: 0, .. })),
        "{state:?}"
    );
    assert_eq!(cells(&flash, 0x18000, 0x1000), [0x22; 0x1000]);
}
