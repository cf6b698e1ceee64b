//! Images with a manifest: what the device holds is passed over, and the order is the manifest's.

use airlift_formats::nxp::ManifestError;

use crate::bench::*;

/// A device on which the set of `custom` was done.
fn updated(custom: &[(u32, &[u8], &[u8])], others: (Other,)) -> (Esp, Engine) {
    let flash = device();
    let image = builder().build(&payload(custom)).unwrap();
    let mut engine = start(&flash, 0, others.clone());
    let fed = feed(
        &mut engine,
        &image,
        999,
        others.clone(),
        UnknownTags::Refuse,
    );
    assert_eq!(fed, Ok(SetState::Applied));
    block_on(engine.activate()).unwrap();
    let mut engine = start(&flash, 1, others.clone());
    block_on(engine.confirm_set(&mut SetRestore(others), &mut [0; 64])).unwrap();
    (flash, engine)
}

fn next() -> ImageBuilder {
    ImageBuilder::new(0xFFF1, 0x8001, 3, "3.0")
}

fn knowing() -> Other {
    Other {
        knows: true,
        reads: true,
        ..Other::new(100)
    }
}

/// The room and the place for old content of the two partitions.
const ROOMS: Region = Region::new(0x19000, 0x2000);
const ROOMS_3: Region = Region::new(0x1C000, 0x2000);

#[test]
fn what_the_device_holds_is_neither_fetched_nor_written() {
    for piece in [1, 7, 140, 1024, 1 << 20] {
        let other = knowing();
        let (flash, mut engine) = updated(&[(100, &[], b"maps")], (other.clone(),));
        // Everything is there but the custom part.
        let image = next()
            .build(&with_manifest(&[(100, &[], b"new maps")], &[]))
            .unwrap();
        flash.flash().lock().reset_statistics();
        let (fetched, state) = fetch(&mut engine, &image, piece, MOST, (other.clone(),));
        assert!(
            matches!(state, Some(Ok(SetState::Done { .. }))),
            "{state:?}"
        );
        assert_eq!(other.used(), b"new maps");
        // Headers, manifest, descriptors; of the last piece before a known part, what was on the way.
        assert!(
            fetched < 800 + 3 * piece.min(9000),
            "{fetched} in pieces of {piece}"
        );
        for region in [SLOTS[0], SLOTS[1], ROOMS, ROOMS_3] {
            assert_eq!(erases(&flash, region), 0);
        }
        let all_new = [1, 2, 3, 100].map(|tag| (tag, Holds::New));
        let mut said = report(&mut engine);
        said.sort_unstable_by_key(|part| part.0);
        assert_eq!(said, all_new);
    }
}

#[test]
fn a_source_that_cannot_skip_sends_everything_and_it_is_dropped() {
    for piece in [1, 7, 140, 1024, 1 << 20] {
        let other = knowing();
        let (flash, mut engine) = updated(&[(100, &[], b"maps")], (other.clone(),));
        let image = next()
            .build(&with_manifest(&[(100, &[], b"new maps")], &[]))
            .unwrap();
        flash.flash().lock().reset_statistics();
        let fed = feed(
            &mut engine,
            &image,
            piece,
            (other.clone(),),
            UnknownTags::Refuse,
        );
        assert!(matches!(fed, Ok(SetState::Done { .. })), "{fed:?}");
        assert_eq!(other.used(), b"new maps");
        assert_eq!(erases(&flash, SLOTS[0]), 0);
    }
}

#[test]
fn when_everything_is_there_the_set_is_done() {
    let other = knowing();
    let (flash, mut engine) = updated(&[(100, &[], b"maps")], (other.clone(),));
    let image = next()
        .build(&with_manifest(&[(100, &[], b"maps")], &[]))
        .unwrap();
    flash.flash().lock().reset_statistics();
    let (fetched, state) = fetch(&mut engine, &image, 64, MOST, (other.clone(),));
    assert!(
        matches!(state, Some(Ok(SetState::Done { .. }))),
        "{state:?}"
    );
    assert!(fetched < 900, "{fetched} of {}", image.len());
    assert_eq!(other.store.borrow().begun, 1, "once, by the set before");
    // A bit of the image is wrong that was not even fetched: nobody can know, and nothing comes of it.
    let mut flipped = image.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(
        fetch(&mut engine, &flipped, 64, MOST, (other.clone(),)).1,
        Some(Ok(SetState::Done { .. }))
    ));
    // But one that was: the image's digest covers all of it.
    let place = image
        .windows(4)
        .position(|bytes| bytes == b"2.0\0")
        .unwrap();
    flipped = image;
    flipped[place] ^= 1;
    let refused = fetch(&mut engine, &flipped, 64, MOST, (other,)).1;
    let digest = airlift_formats::matter::image::OtaImageError::Digest;
    assert_eq!(refused, Some(Err(Refusal::Container(digest).into())));
}

#[test]
fn more_than_the_content_is_other_content() {
    // The boot loader is a beginning of what the partition holds.
    let (flash, mut engine) = updated(&[], (Other::new(100),));
    flash.flash().lock().overwrite(0x18FFC, &[0]).unwrap();
    let image = next().build(&with_manifest(&[], &[])).unwrap();
    let (fetched, state) = fetch(&mut engine, &image, 64, MOST, ());
    assert!(
        matches!(state, Some(Ok(SetState::Done { .. }))),
        "{state:?}"
    );
    assert!(fetched > 2000);
    assert_eq!(cells(&flash, 0x18FFC, 4), [0xFF; 4]);
    // A processor that is wrong about what it has.
    let other = knowing();
    let (_, mut engine) = updated(&[(100, &[], b"maps")], (other.clone(),));
    let image = next()
        .build(&with_manifest(&[(100, &[], b"maps")], &[]))
        .unwrap();
    let liar = Liar(other.clone());
    let (_, state) = fetch(&mut engine, &image, 64, MOST, (liar,));
    assert!(
        matches!(state, Some(Ok(SetState::Done { .. }))),
        "{state:?}"
    );
    assert_eq!(other.used(), b"maps");
    assert_eq!(other.store.borrow().begun, 2);
}

/// Says that it holds what it does not.
struct Liar(Other);

impl Processor for Liar {
    fn tag(&self) -> u32 {
        self.0.tag
    }

    async fn holds(&mut self, _content: &Offer) -> bool {
        self.0.store.borrow_mut().used = b"oops".to_vec();
        true
    }

    async fn read(&mut self, copy: Copy, at: u32, bytes: &mut [u8]) -> Result<bool, Failed> {
        self.0.read(copy, at, bytes).await
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        self.0.begin(length).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.0.write(bytes).await
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        self.0.step(step).await
    }
}

#[test]
fn what_a_processor_holds_and_cannot_show_is_fetched_and_not_staged() {
    let mut other = knowing();
    let (_, mut engine) = updated(&[(100, &[], &[7; 3000])], (other.clone(),));
    other.reads = false;
    let image = next()
        .build(&with_manifest(&[(100, &[], &[7; 3000])], &[]))
        .unwrap();
    let (fetched, state) = fetch(&mut engine, &image, 64, MOST, (other.clone(),));
    assert!(
        matches!(state, Some(Ok(SetState::Done { .. }))),
        "{state:?}"
    );
    assert!((3000..4500).contains(&fetched), "{fetched}");
    assert_eq!(other.store.borrow().begun, 1);
    // What comes is looked at all the same.
    let mut flipped = image;
    let place = flipped
        .windows(64)
        .position(|bytes| bytes == [7; 64])
        .unwrap();
    flipped[place + 99] ^= 1;
    let refused = fetch(&mut engine, &flipped, 64, MOST, (other,)).1;
    let digest = Refusal::Manifest(ManifestError::Digest { tag: 100 });
    assert_eq!(refused, Some(Err(digest.into())));
}

#[test]
fn without_a_manifest_what_is_the_same_is_not_written_again() {
    let (flash, mut engine) = updated(&[], (Other::new(100),));
    let image = next().build(&payload(&[])).unwrap();
    flash.flash().lock().reset_statistics();
    feed(&mut engine, &image, 400, (), UnknownTags::Refuse).unwrap();
    assert_eq!(erases(&flash, Region::new(0x18000, 0x1000)), 0);
    assert_eq!(erases(&flash, Region::new(0x1B000, 0x1000)), 0);
    // An app that has come is tried, the same or not: what it finds is what has to prove itself.
    assert_eq!(block_on(engine.set_state()), Ok(SetState::Applied));
    let partition = Partition::data(Region::new(0x18000, 0x1000));
    assert!(matches!(
        block_on(engine.partition_state(&partition)),
        Ok(PartitionState::Whole {
            last: Some((PartitionOutcome::Updated, ..))
        })
    ));
    // It goes back, and they stay.
    block_on(engine.activate()).unwrap();
    block_on(start(&flash, 0, ()).reject(1)).unwrap();
    let mut engine = start(&flash, 1, ());
    assert!(matches!(
        block_on(engine.set_state()),
        Ok(SetState::Reverted { tag: 0, .. })
    ));
    assert_eq!(cells(&flash, 0x18000, 2000), [0xB0; 2000]);
    assert_eq!(erases(&flash, Region::new(0x18000, 0x1000)), 0);
}

#[test]
fn parts_are_applied_in_the_order_of_the_manifest() {
    let log = Rc::default();
    let others = [100, 101, 102].map(|tag| Other {
        log: Rc::clone(&log),
        ..Other::new(tag)
    });
    let custom: [(u32, &[u8], &[u8]); 3] = [(100, &[], b"a"), (101, &[], b"b"), (102, &[], b"c")];
    let rule = |tag, order, requires| PartRule {
        tag,
        order,
        requires,
    };
    let cases: [(&[PartRule<'_>], [u32; 3]); 3] = [
        (&[], [100, 101, 102]),
        (&[rule(100, 0, &[102])], [101, 102, 100]),
        (&[rule(100, 2, &[101]), rule(102, 1, &[])], [101, 102, 100]),
    ];
    for (rules, order) in cases {
        for in_sequence in [false, true] {
            log.borrow_mut().clear();
            let flash = device();
            let [a, b, c] = others.clone();
            let all = (a, b, c);
            let mut engine = start(&flash, 0, all.clone());
            let image = builder().build(&with_manifest(&custom, rules)).unwrap();
            let mut buffers = Buffers::new();
            let mut download = buffers.download(&PARTS, all, UnknownTags::Refuse).unwrap();
            block_on(async {
                download.write(&mut engine, &image).await.unwrap();
                if in_sequence {
                    let done = download.finish_in_sequence(&mut engine).await.unwrap();
                    assert_eq!((done.applied, done.failed), (6, None));
                } else {
                    assert_eq!(download.finish(&mut engine).await, Ok(SetState::Applied));
                }
            });
            assert_eq!(*log.borrow(), order);
        }
    }
}

#[test]
fn an_image_that_is_not_what_its_manifest_says_is_refused() {
    let good = with_manifest(&[(100, &[], b"maps")], &[]);
    let other_content = parts(&[(100, &[], b"mops")]).build();
    let other_length = parts(&[(100, &[], b"map")]).build();
    let none_in_it = parts(&[]).build();
    let manifest = &good[..good.len() - parts(&[(100, &[], b"maps")]).build().len()];
    let fewer = parts(&[(100, &[], b"maps")]).build();
    let fewer = &fewer[..12];
    let app_first = {
        // In the bytes of the manifest: the boot loader requires the application.
        let mut payload = good.clone();
        let place = 8 + 4 + 2 * 48;
        assert_eq!(payload[place..place + 4], [2, 0, 0, 0]);
        payload[place + 12] = 0b1000;
        payload
    };
    let tag = 100;
    type Case = (Vec<u8>, fn(ManifestError) -> bool);
    let cases: Vec<Case> = vec![
        ([manifest, &other_content].concat(), |error| {
            error == ManifestError::Digest { tag: 100 }
        }),
        (
            [manifest, &other_length].concat(),
            |error| matches!(error, ManifestError::Part { tlv } if tlv.tag == 100 && tlv.length == 3),
        ),
        (
            [manifest, &none_in_it].concat(),
            |error| matches!(error, ManifestError::Part { tlv } if tlv.tag == 3),
        ),
        ([manifest, fewer].concat(), |error| {
            error == ManifestError::PartMissing { tag: 3 }
        }),
        (app_first, |error| {
            error == ManifestError::RequiresApplication { tag: 2 }
        }),
    ];
    for (index, (payload, is_expected)) in cases.into_iter().enumerate() {
        let flash = device();
        let mut engine = start(&flash, 0, (Other::new(tag),));
        let image = builder().build(&payload).unwrap();
        let fed = feed(
            &mut engine,
            &image,
            77,
            (Other::new(tag),),
            UnknownTags::Refuse,
        );
        let Err(Error::Refused(Refusal::Manifest(error))) = fed else {
            panic!("case {index}: {fed:?}");
        };
        assert!(is_expected(error), "case {index}: {error}");
        assert_eq!(
            Refusal::token(Refusal::Manifest(error).code()),
            ManifestError::token(error.code())
        );
        assert_eq!(block_on(engine.set_state()), Ok(SetState::None));
    }
}

#[test]
fn a_part_that_nobody_takes_is_refused_before_anything_is_staged() {
    let flash = device();
    let mut engine = start(&flash, 0, ());
    // Custom parts come first in the payload, so the one without a processor is behind this one.
    let custom: [(u32, &[u8], &[u8]); 2] = [(100, &[], b"maps"), (101, &[], b"nobody's")];
    let image = builder().build(&with_manifest(&custom, &[])).unwrap();
    let other = Other::new(100);
    let fed = feed(
        &mut engine,
        &image,
        10,
        (other.clone(),),
        UnknownTags::Refuse,
    );
    assert_eq!(fed, Err(Refusal::UnknownTag { tag: 101 }.into()));
    assert_eq!(other.store.borrow().begun, 0);
    let fed = feed(&mut engine, &image, 10, (other.clone(),), UnknownTags::Skip);
    assert_eq!(fed, Ok(SetState::Applied));
    assert_eq!(other.used(), b"maps");
}
