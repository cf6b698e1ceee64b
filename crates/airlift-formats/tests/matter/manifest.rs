//! The manifest in front of the parts: written, read, and refused for each reason that there is.

use airlift_formats::nxp::{
    BuildError, Content, Descriptor, Event, MAX_MANIFEST_PARTS, Manifest, ManifestError,
    ManifestPart, PartRule, PayloadBuilder, PayloadError, PayloadReader, Rules, Tlv, tag,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

fn part(tag: u32) -> ManifestPart {
    ManifestPart {
        tag,
        length: 200,
        descriptor_len: 0,
        order: 0,
        requires: 0,
        sha256: [tag as u8; 32],
    }
}

/// The bytes, whatever is wrong with them.
fn bytes(parts: &[ManifestPart]) -> Vec<u8> {
    let mut bytes = vec![1, parts.len() as u8, 0, 0];
    for part in parts {
        bytes.extend(part.tag.to_le_bytes());
        bytes.extend(part.length.to_le_bytes());
        bytes.extend(part.descriptor_len.to_le_bytes());
        bytes.extend(part.order.to_le_bytes());
        bytes.extend(part.requires.to_le_bytes());
        bytes.extend(part.sha256);
    }
    bytes
}

fn order_of(manifest: &Manifest<'_>) -> Vec<u32> {
    let mut done = 0;
    let mut order = Vec::new();
    while let Some(next) = manifest.next(done) {
        done |= Manifest::bit(next);
        order.push(manifest.get(next).unwrap().tag);
    }
    order
}

#[test]
fn what_the_builder_makes_says_what_is_in_the_payload() {
    let descriptor = Descriptor::new(2, "2.0", "2026-11-26").unwrap();
    let mut builder = PayloadBuilder::default();
    builder.custom(100, b"desc", b"maps").unwrap();
    builder.custom(101, b"", b"").unwrap();
    builder.bootloader(&descriptor, b"boot").unwrap();
    builder.application(&descriptor, b"app").unwrap();
    let rules = [
        PartRule {
            tag: 100,
            order: 0,
            requires: &[2, 101],
        },
        PartRule {
            tag: 1,
            order: 3,
            requires: &[100],
        },
    ];
    let plain = builder.clone().build();
    let payload = builder.build_with_manifest(&rules).unwrap();
    assert!(
        payload.ends_with(&plain),
        "the parts are as they are without"
    );

    let mut reader = PayloadReader::<32>::new(payload.len() as u64, Rules::strict());
    let mut input = &payload[..];
    let mut tlvs = Vec::new();
    while let Some(event) = reader.read(&mut input).unwrap() {
        if let Event::Begin(tlv) = event {
            tlvs.push(tlv);
        }
    }
    assert_eq!(reader.finish().unwrap().parts, 5);
    let (first, tlvs) = tlvs.split_first().unwrap();
    assert_eq!(Content::of(first.tag), Content::Manifest);
    assert_eq!(&payload[..4], b"ALMF");

    let value = |tlv: &Tlv| &payload[tlv.value_offset() as usize..][..tlv.length as usize];
    let manifest = Manifest::parse(value(first)).unwrap();
    for (index, tlv) in tlvs.iter().enumerate() {
        let part = manifest.check_part(index, *tlv).unwrap();
        let content = &value(tlv)[usize::from(part.descriptor_len)..];
        assert_eq!(part.sha256, <[u8; 32]>::from(Sha256::digest(content)));
        assert_eq!(part.content_len() as usize, content.len());
        let other = Tlv {
            length: tlv.length + 1,
            ..*tlv
        };
        assert_eq!(
            manifest.check_part(index, other),
            Err(ManifestError::Part { tlv: other })
        );
        assert_eq!(
            manifest.check_end(index),
            Err(ManifestError::PartMissing { tag: tlv.tag })
        );
    }
    assert_eq!(manifest.check_end(4), Ok(()));
    assert!(manifest.check_part(4, tlvs[0]).is_err(), "one more");
    let descriptors: Vec<u16> = manifest.parts().map(|part| part.descriptor_len).collect();
    assert_eq!(descriptors, [4, 0, 132, 132]);
    assert_eq!(order_of(&manifest), [101, 2, 100, 1]);
}

#[test]
fn the_order_is_by_requirement_then_number_then_place() {
    let mut parts = [part(100), part(101), part(102), part(103)];
    assert_eq!(
        order_of(&Manifest::view(&bytes(&parts))),
        [100, 101, 102, 103]
    );
    parts[0].order = 2;
    parts[1].order = 1;
    assert_eq!(
        order_of(&Manifest::view(&bytes(&parts))),
        [102, 103, 101, 100]
    );
    parts[2].order = 1;
    parts[2].requires = Manifest::bit(1);
    parts[3].order = 9;
    assert_eq!(
        order_of(&Manifest::parse(&bytes(&parts)).unwrap()),
        [101, 102, 100, 103]
    );
}

#[test]
fn each_fault_has_its_own_error() {
    let good = [part(100), part(101), part(1)];
    assert!(Manifest::parse(&bytes(&good)).is_ok());
    let changed = |change: fn(&mut [ManifestPart; 3])| {
        let mut parts = good;
        change(&mut parts);
        bytes(&parts)
    };
    let mut longer = bytes(&good);
    longer.push(0);
    let mut newer = bytes(&good);
    newer[0] = 2;
    let mut reserved = bytes(&good);
    reserved[3] = 1;
    let mut miscounted = bytes(&good);
    miscounted[1] = 4;
    let many: Vec<_> = (0..=MAX_MANIFEST_PARTS as u32)
        .map(|i| part(100 + i))
        .collect();
    let tag = 101;
    let cases = [
        (vec![], ManifestError::Length { found: 0, count: 0 }),
        (vec![1, 1, 0], ManifestError::Length { found: 3, count: 0 }),
        (
            longer,
            ManifestError::Length {
                found: 149,
                count: 3,
            },
        ),
        (
            miscounted,
            ManifestError::Length {
                found: 148,
                count: 4,
            },
        ),
        (newer, ManifestError::Version { version: 2 }),
        (reserved, ManifestError::Version { version: 1 }),
        (bytes(&[]), ManifestError::Count { count: 0 }),
        (
            bytes(&many),
            ManifestError::Count {
                count: many.len() as u8,
            },
        ),
        (
            changed(|parts| parts[1].tag = 100),
            ManifestError::Tag { tag: 100 },
        ),
        (
            changed(|parts| parts[2].tag = tag::MANIFEST),
            ManifestError::Tag { tag: tag::MANIFEST },
        ),
        (
            changed(|parts| parts[1].descriptor_len = 201),
            ManifestError::Descriptor { tag },
        ),
        (
            changed(|parts| parts[1].requires = 0b1000),
            ManifestError::UnknownRequirement { tag },
        ),
        (
            changed(|parts| parts[1].requires = 1 << 31),
            ManifestError::UnknownRequirement { tag },
        ),
        (
            changed(|parts| parts[1].requires = 0b100),
            ManifestError::RequiresApplication { tag },
        ),
        (
            changed(|parts| {
                parts[1].requires = 1;
                parts[0].order = 1;
            }),
            ManifestError::Order { tag },
        ),
        (
            changed(|parts| parts[1].requires = 0b10),
            ManifestError::Cycle { tag },
        ),
        (
            changed(|parts| {
                parts[0].requires = 0b10;
                parts[1].requires = 0b1;
            }),
            ManifestError::Cycle { tag: 100 },
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(Manifest::parse(&bytes), Err(error), "{error}");
    }
    let most: Vec<_> = (1..=MAX_MANIFEST_PARTS as u32)
        .map(|i| part(100 + i))
        .collect();
    assert_eq!(
        order_of(&Manifest::parse(&bytes(&most)).unwrap()).len(),
        MAX_MANIFEST_PARTS
    );
    let mut words: Vec<_> = (0..=13).map(ManifestError::token).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 13, "twelve of them, and one for what is none");
}

#[test]
fn a_manifest_is_the_first_part_or_none() {
    let value = bytes(&[part(100)]);
    let tlv = |tag: u32, value: &[u8]| {
        let mut bytes = tag.to_le_bytes().to_vec();
        bytes.extend((value.len() as u32).to_le_bytes());
        bytes.extend(value);
        bytes
    };
    let read = |payload: &[u8], rules| {
        let mut reader = PayloadReader::<32>::new(payload.len() as u64, rules);
        let mut input = payload;
        while let Ok(Some(_)) = reader.read(&mut input) {}
        reader.finish().map(|summary| summary.parts)
    };
    let behind = [tlv(100, b"x"), tlv(tag::MANIFEST, &value)].concat();
    assert!(matches!(
        read(&behind, Rules::strict()),
        Err(PayloadError::ManifestNotFirst { .. })
    ));
    assert_eq!(read(&behind, Rules::lenient()), Ok(2));
    let long = tlv(tag::MANIFEST, &[0; 1025]);
    assert!(matches!(
        read(&long, Rules::strict()),
        Err(PayloadError::ManifestTooLong { .. })
    ));
}

#[test]
fn rules_that_cannot_be_followed_are_refused() {
    let mut builder = PayloadBuilder::default();
    builder.custom(100, b"", b"a").unwrap();
    builder.custom(101, b"", b"b").unwrap();
    let rule = |tag, requires| PartRule {
        tag,
        order: 0,
        requires,
    };
    let built = |rules: &[PartRule<'_>]| builder.clone().build_with_manifest(rules);
    assert_eq!(built(&[rule(102, &[])]), Err(BuildError::Rule { tag: 102 }));
    let twice = [rule(100, &[]), rule(100, &[])];
    assert_eq!(built(&twice), Err(BuildError::Rule { tag: 100 }));
    let unknown = BuildError::UnknownRequirement {
        tag: 100,
        requires: 7,
    };
    assert_eq!(built(&[rule(100, &[7])]), Err(unknown));
    let cycle = [rule(100, &[101]), rule(101, &[100])];
    let error = BuildError::Manifest(ManifestError::Cycle { tag: 100 });
    assert_eq!(built(&cycle), Err(error));
    assert_eq!(
        builder.custom(tag::MANIFEST, b"", b"").map(|_| ()),
        Err(BuildError::ReservedTag { tag: tag::MANIFEST })
    );
    let empty = PayloadBuilder::default().build_with_manifest(&[]);
    assert_eq!(
        empty,
        Err(BuildError::Manifest(ManifestError::Count { count: 0 }))
    );
}

#[test]
fn a_reader_can_pass_over_what_is_known() {
    let mut builder = PayloadBuilder::default();
    builder.custom(100, b"", b"0123456789").unwrap();
    builder.custom(101, b"", b"ab").unwrap();
    let payload = builder.build();
    let mut reader = PayloadReader::<32>::new(payload.len() as u64, Rules::strict());
    assert_eq!(reader.skip(1), 0, "not within a value");
    let mut input = &payload[..11];
    let mut seen = Vec::new();
    while let Some(event) = reader.read(&mut input).unwrap() {
        seen.push(event);
    }
    assert_eq!(reader.skip(4), 4);
    assert_eq!(reader.skip(100), 3, "at most to its end");
    assert_eq!(reader.position(), 18);
    // The end comes without another byte.
    assert!(matches!(reader.read(&mut input), Ok(Some(Event::End(tlv))) if tlv.tag == 100));
    let mut input = &payload[18..];
    while let Some(event) = reader.read(&mut input).unwrap() {
        seen.push(event);
    }
    assert_eq!(reader.finish().unwrap().parts, 2);
    assert!(matches!(seen[1], Event::Value { bytes: b"012", .. }));
    assert!(matches!(seen[3], Event::Value { bytes: b"ab", .. }));
}

proptest! {
    #[test]
    fn parse_and_emit_are_inverses(
        parts in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u16>(), any::<u16>(), any::<u32>(), any::<[u8; 32]>()), 0..25),
    ) {
        let parts: Vec<ManifestPart> = parts.into_iter().enumerate().map(|(index, (tag, length, descriptor_len, order, requires, sha256))| ManifestPart {
            tag,
            length,
            descriptor_len: descriptor_len.min(length as u16),
            order: order % 4,
            // On those before it, mostly.
            requires: requires & Manifest::bit(index).wrapping_sub(1) & 0b10101,
            sha256,
        }).collect();
        if let Ok(emitted) = Manifest::emit(&parts) {
            prop_assert_eq!(&emitted, &bytes(&parts));
            let manifest = Manifest::parse(&emitted).unwrap();
            prop_assert_eq!(manifest.parts().collect::<Vec<_>>(), parts);
            prop_assert_eq!(order_of(&manifest).len(), manifest.len());
        }
    }

    #[test]
    fn no_bytes_are_too_odd(mut bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
        let _ = Manifest::parse(&bytes);
        if bytes.len() > 4 {
            bytes.truncate((bytes.len() - 4) / 48 * 48 + 4);
            let count = (bytes.len() - 4) / 48;
            bytes[..4].copy_from_slice(&[1, count as u8, 0, 0]);
            if let Ok(manifest) = Manifest::parse(&bytes) {
                prop_assert_eq!(order_of(&manifest).len(), count);
            }
        }
    }
}
