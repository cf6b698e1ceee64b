//! What is refused, and that nothing comes of it.

use airlift_formats::matter::image::OtaImageError;

use crate::bench::*;

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
