//! A download that is interrupted goes on.

use crate::bench::*;

fn other() -> Other {
    Other {
        reads: true,
        ..Other::new(100)
    }
}

/// With and without a manifest.
fn images() -> [Vec<u8>; 2] {
    let custom: [(u32, &[u8], &[u8]); 1] = [(100, b"v2", &[5; 1500])];
    [payload(&custom), with_manifest(&custom, &[])]
        .map(|payload| builder().build(&payload).unwrap())
}

/// Bytes that are fetched again at most: those in front of the values, a stretch that was not marked, what was gathered.
const AGAIN: usize = 900 + 4096 + 512;

#[test]
fn wherever_it_is_interrupted_it_goes_on_there() {
    for image in images() {
        let mut end = None;
        for most in (1..image.len()).step_by(211) {
            let flash = device();
            let mut other = other();
            other.described = 2;
            let mut engine = start(&flash, 0, (other.clone(),));
            let (first, state) = fetch(&mut engine, &image, 300, most, (other.clone(),));
            assert_eq!((first, state), (most, None));
            let mut engine = start(&flash, 0, (other.clone(),));
            let (second, state) = fetch(&mut engine, &image, 300, MOST, (other.clone(),));
            assert_eq!(state, Some(Ok(SetState::Applied)), "after {most}");
            assert!(
                first + second <= image.len() + AGAIN,
                "{first} and {second} bytes"
            );
            assert_eq!(cells(&flash, SLOTS[1].offset, 7000), app());
            assert_eq!(cells(&flash, 0x18000, 2000), [0xB0; 2000]);
            assert_eq!(other.used(), [5; 1500]);
            let partitions = cells(&flash, 0x18000, 0xC000);
            assert_eq!(*end.get_or_insert(partitions.clone()), partitions);
        }
    }
}

#[test]
fn what_is_staged_as_a_whole_is_not_fetched_again() {
    let [image, _] = images();
    let flash = device();
    let mut other = other();
    other.described = 2;
    let mut engine = start(&flash, 0, (other.clone(),));
    // All but the last byte, which is the app's: everything else is staged, and most of the app.
    fetch(&mut engine, &image, 100, image.len() - 1, (other.clone(),));
    flash.flash().lock().reset_statistics();
    let mut engine = start(&flash, 0, (other.clone(),));
    let (fetched, state) = fetch(&mut engine, &image, 100, MOST, (other.clone(),));
    assert_eq!(state, Some(Ok(SetState::Applied)));
    assert!(fetched <= 600 + 7000 - 4096, "{fetched}");
    assert_eq!(other.store.borrow().begun, 1);
    for room in [0x19000, 0x1C000] {
        assert_eq!(erases(&flash, Region::new(room, 0x1000)), 0);
    }
}

#[test]
fn another_image_starts_anew() {
    let [image, _] = images();
    let flash = device();
    let mut other = other();
    other.described = 2;
    let mut engine = start(&flash, 0, (other.clone(),));
    fetch(&mut engine, &image, 100, image.len() - 1, (other.clone(),));
    let newer = builder()
        .build(&payload(&[(100, b"v3", &[6; 1500])]))
        .unwrap();
    let (fetched, state) = fetch(&mut engine, &newer, 100, MOST, (other.clone(),));
    assert_eq!((fetched, state), (newer.len(), Some(Ok(SetState::Applied))));
    assert_eq!(other.used(), [6; 1500]);
    assert_eq!(other.store.borrow().begun, 2);
}

#[test]
fn what_has_changed_in_the_flash_is_not_believed() {
    for image in images() {
        let [manifest, _] = images();
        let has_manifest = image.len() > manifest.len();
        // In the room of a part that is whole: it is fetched again.
        let flash = device();
        let mut other = other();
        other.described = 2;
        let mut engine = start(&flash, 0, (other.clone(),));
        fetch(&mut engine, &image, 100, image.len() - 1, (other.clone(),));
        flash.flash().lock().overwrite(0x19010, &[1]).unwrap();
        let mut engine = start(&flash, 0, (other.clone(),));
        let (fetched, state) = fetch(&mut engine, &image, 100, MOST, (other.clone(),));
        assert_eq!(state, Some(Ok(SetState::Applied)));
        assert!(fetched > 2000);
        assert_eq!(cells(&flash, 0x18000, 2000), [0xB0; 2000]);

        // In what there is of the app, which nobody can vouch for yet: the image is refused, and then it starts anew.
        let flash = device();
        let mut engine = start(&flash, 0, (other.clone(),));
        fetch(&mut engine, &image, 100, image.len() - 1, (other.clone(),));
        flash
            .flash()
            .lock()
            .overwrite(SLOTS[1].offset + 16, &[1])
            .unwrap();
        let mut engine = start(&flash, 0, (other.clone(),));
        let (_, state) = fetch(&mut engine, &image, 100, MOST, (other.clone(),));
        assert!(
            matches!(state, Some(Err(Error::Refused(_)))),
            "{state:?}, {has_manifest}"
        );
        let (fetched, state) = fetch(&mut engine, &image, 100, MOST, (other.clone(),));
        assert_eq!((fetched, state), (image.len(), Some(Ok(SetState::Applied))));
    }
}

#[test]
fn the_app_of_an_image_that_was_refused_cannot_be_tried() {
    let mut image = builder().build(&payload(&[])).unwrap();
    // In the descriptor of the app, which is in no part's digest.
    let place = image
        .windows(4)
        .rposition(|bytes| bytes == b"2.0\0")
        .unwrap();
    image[place] ^= 1;
    let flash = device();
    let mut engine = start(&flash, 0, ());
    let fed = feed(&mut engine, &image, 100, (), UnknownTags::Refuse);
    assert!(matches!(fed, Err(Error::Refused(_))));
    assert_eq!(block_on(engine.activate()), Err(Error::State));
    let digest = Refusal::Container(airlift_formats::matter::image::OtaImageError::Digest).code();
    let partition = Partition::data(Region::new(0x18000, 0x1000));
    assert!(matches!(
        block_on(engine.partition_state(&partition)),
        Ok(PartitionState::Whole { last: Some((PartitionOutcome::Refused(code), _, true)) }) if code == digest
    ));
    // Nor can that of one that has not come as a whole, after a restart or before.
    let image = builder().build(&payload(&[])).unwrap();
    for most in [image.len() - 1, image.len()] {
        let flash = device();
        let mut engine = start(&flash, 0, ());
        let mut buffers = Buffers::new();
        let mut download = buffers.download(&PARTS, (), UnknownTags::Refuse).unwrap();
        block_on(download.write(&mut engine, &image[..most])).unwrap();
        assert_eq!(download.wanted().is_none(), most == image.len());
        assert_eq!(block_on(engine.activate()), Err(Error::State));
        let mut engine = start(&flash, 0, ());
        assert_eq!(block_on(engine.activate()), Err(Error::State));
        assert_eq!(block_on(engine.set_state()), Ok(SetState::None));
    }
}

#[test]
fn a_source_that_ends_early_or_leaves_a_gap_is_told_so() {
    let [image, _] = images();
    let flash = device();
    let mut other = other();
    other.described = 2;
    for have in [0, 10, 60, 200, image.len() - 1] {
        let mut engine = start(&flash, 0, (other.clone(),));
        let fed = feed(
            &mut engine,
            &image[..have],
            100,
            (other.clone(),),
            UnknownTags::Refuse,
        );
        let Err(Error::Incomplete { have: said, want }) = fed else {
            panic!("{fed:?}");
        };
        assert!(said as usize >= have && said < want);
        assert!(want as usize == image.len() || have < 12);
        assert!(!other.store.borrow().aborted);
    }
    let mut engine = start(&flash, 0, (other.clone(),));
    let mut buffers = Buffers::new();
    let unknown = UnknownTags::Refuse;
    let mut download = buffers.download(&PARTS, (other,), unknown).unwrap();
    let gap = block_on(download.write_at(&mut engine, 1, &image[1..9]));
    assert_eq!(gap, Err(Error::State));
    // It was not taken, and nothing is lost.
    block_on(download.write_at(&mut engine, 0, &image)).unwrap();
    // Again, and what is known anyway.
    block_on(download.write_at(&mut engine, 20, &image[20..99])).unwrap();
    assert_eq!(download.wanted(), None);
    assert_eq!(
        block_on(download.finish(&mut engine)),
        Ok(SetState::Applied)
    );
}
