//! Images that are refused, and what the server hears.

use super::*;

/// An image, why it is refused, and what the server hears: reason, tag, and whether an offset.
type RefusedRow = (&'static str, Image, &'static str, Option<u32>);

#[test]
fn what_is_not_for_this_device_or_not_sound_is_refused_with_tag_and_reason_and_nothing_is_touched()
{
    let payload = || world(2).payload();
    let good = payload().build();
    let foreign_app = image(ChipId::ESP32C3, "demo", "2.0.0", 9_000).bytes;
    let with = |change: &dyn Fn(&mut World)| {
        let mut world = world(2);
        change(&mut world);
        world.image()
    };
    let mut unknown = payload();
    unknown.custom(999, b"", b"what is this").unwrap();
    let mut cut_short = packed(2, VENDOR, PRODUCT, &good);
    cut_short.bytes.truncate(9_000);
    let mut flipped = packed(2, VENDOR, PRODUCT, &good);
    let last = flipped.bytes.len() - 5;
    flipped.bytes[last] ^= 1;
    let mut custom_flipped = packed(2, VENDOR, PRODUCT, &good);
    custom_flipped.bytes[900] ^= 1;
    let rows: [RefusedRow; 11] = [
        (
            "vendor",
            packed(2, 0xFFF2, PRODUCT, &good),
            "other-vendor",
            None,
        ),
        (
            "product",
            packed(2, VENDOR, 0x8002, &good),
            "other-product",
            None,
        ),
        (
            "same version",
            packed(1, VENDOR, PRODUCT, &good),
            "downgrade",
            None,
        ),
        (
            "no image",
            bench::data("2.0", 5_000),
            "matter-file-identifier",
            None,
        ),
        (
            "chip",
            with(&|world| world.app.clone_from(&foreign_app)),
            "image-chip",
            Some(1),
        ),
        (
            "unknown tag",
            packed(2, VENDOR, PRODUCT, &unknown.build()),
            "unknown-tag",
            Some(999),
        ),
        (
            "custom part too big",
            with(&|world| world.custom[2].1 = vec![7; 4_097]),
            "vetoed",
            Some(102),
        ),
        (
            "partition too small",
            with(&|world| world.ssbl = vec![7; 0x4001]),
            "too-big",
            Some(2),
        ),
        ("app damaged", flipped, "image-hash", Some(1)),
        ("custom part damaged", custom_flipped, "matter-digest", None),
        ("cut short", cut_short, "matter-truncated", None),
    ];
    for (name, image, reason, tag) in rows {
        let peer = Peer::start(Door::open(&door(&image)));
        let mut bench = bench(&peer);
        let (settled, events) = bench.check();
        let Settled::Refused { reason: settled } = settled.unwrap() else {
            panic!("{name}: not refused: {events:?}")
        };
        assert_eq!(finds(&mut bench), OLD, "{name}");
        let told = told(&peer);
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        let (_, why) = told[0].split_once("; reason=").expect("a reason");
        let mut words = why.split('/');
        assert_eq!(words.next(), Some(settled), "{name}");
        assert_eq!(settled, reason, "{name}");
        let told_tag = words
            .next()
            .and_then(|word| word.strip_prefix("tag:")?.parse().ok());
        assert_eq!(told_tag, tag, "{name}: {why}");
        if tag.is_some() {
            let offset = words
                .next()
                .and_then(|word| word.strip_prefix("offset:")?.parse::<u32>().ok());
            assert!(offset.is_some_and(|offset| offset > 0), "{name}: {why}");
        }
    }
}

#[test]
fn a_flipped_bit_on_the_way_is_refused_and_the_next_download_is_taken() {
    let new = world(2).image();
    let peer = Peer::start(Door::open(&door(&new)));
    let mut bench = bench(&peer);
    bench.device.set_faults(Faults {
        flip_byte: Some(3_000),
        ..Faults::default()
    });
    assert!(matches!(bench.check().0.unwrap(), Settled::Refused { .. }));
    assert_eq!(finds(&mut bench), OLD);
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    assert_eq!(finds(&mut bench), 2);
    let states: Vec<_> = told(&peer)
        .iter()
        .map(|told| told.split(';').next().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["state=refused", "state=confirmed"]);
}

#[test]
fn a_header_that_was_offered_with_another_digest_is_refused() {
    // What the header's own digest does not cover: its version string.
    let new = world(2).image();
    let peer = Peer::start(Door::open(&door(&new)));
    let mut bench = bench(&peer);
    let at = new
        .bytes
        .windows(3)
        .position(|three| three == b"2.0")
        .unwrap();
    bench.device.set_faults(Faults {
        flip_byte: Some(at as u32),
        ..Faults::default()
    });
    assert_eq!(
        bench.check().0.unwrap(),
        Settled::Refused { reason: "digest" }
    );
    assert_eq!(finds(&mut bench), OLD);
}

#[test]
fn parts_that_nobody_knows_are_passed_over_if_the_device_says_so() {
    let new = world(2).image();
    let peer = Peer::start(Door::open(&door(&new)));
    let mut bench = Bench::with_table(&peer, &table());
    let mut plan = plan(&bench);
    plan.unknown = UnknownTags::Skip;
    plan.parts.truncate(4);
    bench.device.declare_set(&plan).unwrap();
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    let flash = bench.device.flash().clone();
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().unwrap();
    let found = found(&flash, &mut running);
    assert_eq!(found[..4], [2; 4]);
    assert_eq!(found[4..], [OLD; 7], "there is no flash for them");
}
