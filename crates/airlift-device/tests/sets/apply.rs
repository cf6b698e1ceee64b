//! Applied as one, undone as one, or in sequence.

use crate::bench::*;

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
