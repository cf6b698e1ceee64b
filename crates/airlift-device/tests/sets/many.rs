//! NXP's "max entries": eight processors beside application, boot loader and factory data, with the tags that its hooks register, those of
//! Silicon Labs' tests, and those of its own example, wherever the blocks of a transfer end.

use crate::bench::*;

/// Tag, descriptor and content.
type Custom = (u32, Vec<u8>, Vec<u8>);

type Eight = (Other, Other, Other, Other, Other, Other, Other, Other);

fn eight(others: &[Other]) -> Eight {
    let [a, b, c, d, e, f, g, h] =
        <[Other; 8]>::try_from(others.to_vec()).unwrap_or_else(|_| unreachable!("eight of them"));
    (a, b, c, d, e, f, g, h)
}

/// Processors for these tags and as many more that nothing comes for, each with the usual descriptor, and what comes for them.
fn entries(tags: &[u32]) -> (Vec<Other>, Vec<Custom>) {
    let mut others: Vec<Other> = tags.iter().map(|tag| Other::new(*tag)).collect();
    for spare in (200..).take(8 - tags.len()) {
        others.push(Other::new(spare));
    }
    for other in &mut others {
        other.described = 132;
    }
    let parts = (1003..).zip(tags).map(|(version, tag)| {
        let descriptor = Descriptor::new(version, "SsblTestVersion", "2023-02-13").unwrap();
        let content = vec![version as u8; 20 + (version as usize % 8) * 3];
        (*tag, descriptor.emit().to_vec(), content)
    });
    let parts = parts.collect();
    (others, parts)
}

fn image_of(parts: &[Custom], manifest: bool, with_all: bool) -> Vec<u8> {
    let described = Descriptor::new(2, "2.0", "2026-11-26").unwrap();
    let mut payload = PayloadBuilder::default();
    for (tag, descriptor, content) in parts {
        payload.custom(*tag, descriptor, content).unwrap();
    }
    if with_all {
        payload.factory_data(&factory_data()).unwrap();
        payload.bootloader(&described, &[0xB0; 77]).unwrap();
        payload.application(&described, &[0xA0; 99]).unwrap();
    }
    let payload = match manifest {
        true => payload.build_with_manifest(&[]).unwrap(),
        false => payload.build(),
    };
    builder().build(&payload).unwrap()
}

/// One split anywhere, and blocks of a transfer that start anywhere: all of them end at every place of the image.
fn splits(image: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let blocks = (1..=64).map(|first| {
        let (head, rest) = image.split_at(first);
        [head].into_iter().chain(rest.chunks(64)).collect()
    });
    (0..=image.len())
        .map(|at| {
            let (head, rest) = image.split_at(at);
            vec![head, rest]
        })
        .chain(blocks)
}

#[test]
fn eight_custom_parts_install_with_all_tags_and_any_split() {
    let tag_sets: [Vec<u32>; 3] = [
        (4..=11).collect(),
        (8..=11).collect(),
        (100..=107).collect(),
    ];
    let flash = device();
    let before = flash.flash().lock().fork();
    for tags in tag_sets {
        for manifest in [false, true] {
            let (_, parts) = entries(&tags);
            let image = image_of(&parts, manifest, false);
            for pieces in splits(&image) {
                let flash: Esp = Flash::new(before.fork()).typed().unwrap();
                let (others, _) = entries(&tags);
                let mut engine = start(&flash, 0, eight(&others));
                let mut buffers = Buffers::new();
                let unknown = UnknownTags::Refuse;
                let mut download = buffers.download(&PARTS, eight(&others), unknown).unwrap();
                let state = block_on(async {
                    for piece in &pieces {
                        download.write(&mut engine, piece).await?;
                    }
                    download.finish(&mut engine).await
                });
                let at = pieces[0].len();
                assert!(
                    matches!(state, Ok(SetState::Done { .. })),
                    "{tags:?}, {at}: {state:?}"
                );
                for (other, (tag, _, content)) in others.iter().zip(&parts) {
                    assert_eq!(other.used(), *content, "tag {tag}, split at {at}");
                }
                let untouched = others.iter().skip(parts.len());
                assert!(untouched.clone().all(|other| other.used() == b"old"));
            }
        }
    }
}

#[test]
fn eleven_parts_install_with_any_split() {
    for (manifest, tags) in [(false, 4..=11), (true, 100..=107)] {
        let tags: Vec<u32> = tags.collect();
        let (_, parts) = entries(&tags);
        let image = image_of(&parts, manifest, true);
        let flash = device();
        let before = flash.flash().lock().fork();
        let mut expected = None;
        for pieces in splits(&image).step_by(3) {
            let flash: Esp = Flash::new(before.fork()).typed().unwrap();
            let (others, _) = entries(&tags);
            let mut engine = start(&flash, 0, eight(&others));
            let mut buffers = Buffers::new();
            let unknown = UnknownTags::Refuse;
            let mut download = buffers.download(&PARTS, eight(&others), unknown).unwrap();
            let state = block_on(async {
                for piece in &pieces {
                    download.write(&mut engine, piece).await?;
                }
                download.finish(&mut engine).await
            });
            let at = pieces[0].len();
            assert_eq!(state, Ok(SetState::Applied), "split at {at}");
            for (other, (tag, _, content)) in others.iter().zip(&parts) {
                assert_eq!(other.used(), *content, "tag {tag}, split at {at}");
            }
            let written = cells(&flash, 0x10000, 0x14000);
            assert_eq!(*expected.get_or_insert(written.clone()), written, "{at}");
            assert_eq!(report(&mut engine).len(), 11);
        }
    }
}
