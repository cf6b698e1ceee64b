//! A device whose only room is the passive slot.

use crate::bench::*;

/// The boot loader of a second chip waits in the second slot, behind its first sector.
static IN_SLOT: [Part; 3] = [
    Part {
        tag: 1,
        to: Destination::App,
    },
    Part {
        tag: 2,
        to: Destination::Partition {
            partition: Partition::data(Region::new(0x18000, 0x1000)),
            room: Region::new(0x15000, 0x1000),
            save: Region::new(0x16000, 0x1000),
        },
    },
    flash_part(3, 0x1B000),
];

fn feed_slot(engine: &mut Engine, image: &[u8]) -> Result<SetState, Error<FlashError>> {
    let mut buffers = Buffers::new();
    let unknown = UnknownTags::Refuse;
    let mut download = buffers.download(&IN_SLOT, (), unknown)?;
    block_on(async {
        download.write(engine, image).await?;
        download.finish(engine).await
    })
}

fn without_app() -> Vec<u8> {
    let described = Descriptor::new(2, "2.0", "2026-11-26").unwrap();
    let mut payload = PayloadBuilder::default();
    payload.bootloader(&described, &[0xB0; 2000]).unwrap();
    payload.factory_data(&factory_data()).unwrap();
    builder().build(&payload.build()).unwrap()
}

#[test]
fn a_set_without_an_app_has_its_room_there() {
    let flash = device();
    let mut engine = start(&flash, 0, ());
    let state = feed_slot(&mut engine, &without_app());
    assert!(matches!(state, Ok(SetState::Done { .. })), "{state:?}");
    assert_eq!(cells(&flash, 0x18000, 2000), [0xB0; 2000]);
    // The old content, until the slot is needed for something else.
    assert_eq!(cells(&flash, 0x16000, 0x1000), [0x22; 0x1000]);
    assert_eq!(cells(&flash, 0x14000, 0x1000), [0xFF; 0x1000]);
}

#[test]
fn a_set_with_an_app_is_refused() {
    let flash = device();
    let mut engine = start(&flash, 0, ());
    // In the order of NXP's tool, and the other way round.
    let [app_last, app_first] = [payload(&[]), {
        let last = payload(&[]);
        let app = last.len() - (8 + 132 + 7000);
        [&last[app..], &last[..app]].concat()
    }];
    for payload in [app_last, app_first] {
        let image = builder().build(&payload).unwrap();
        let fed = feed_slot(&mut engine, &image);
        assert_eq!(fed, Err(Refusal::Duplicate.into()));
        assert_eq!(cells(&flash, 0x18000, 0x1000), [0x22; 0x1000]);
    }
    // An app that runs already needs no slot.
    let flash = device();
    flash
        .flash()
        .lock()
        .overwrite(SLOTS[0].offset, &app())
        .unwrap();
    let mut engine = start(&flash, 0, ());
    let image = builder().build(&with_manifest(&[], &[])).unwrap();
    let state = feed_slot(&mut engine, &image);
    assert!(matches!(state, Ok(SetState::Done { .. })), "{state:?}");
}

#[test]
fn what_waits_there_is_gone_when_an_app_comes_alone() {
    let flash = device();
    let mut engine = start(&flash, 0, ());
    let image = without_app();
    let mut buffers = Buffers::new();
    let mut download = buffers.download(&IN_SLOT, (), UnknownTags::Refuse).unwrap();
    // The last byte is missing: both parts are staged but for that.
    block_on(download.write(&mut engine, &image[..image.len() - 1])).unwrap();
    let offer = Offer {
        length: 7000,
        sha256: Sha256::digest(app()).into(),
    };
    let mut buffer = [0; 512];
    block_on(async {
        let mut alone = engine.begin(offer, AnyImage, &mut buffer).await.unwrap();
        alone.write(&app()).await.unwrap();
        alone.finish().await.unwrap();
    });
    let partition = Partition::data(Region::new(0x18000, 0x1000));
    let displaced = Refusal::Displaced.code();
    assert!(matches!(
        block_on(engine.partition_state(&partition)),
        Ok(PartitionState::Whole { last: Some((PartitionOutcome::Refused(code), ..)) }) if code == displaced
    ));
    // While a set is pending, nothing comes there.
    let state = feed_slot(&mut engine, &image);
    assert!(matches!(state, Ok(SetState::Done { .. })), "{state:?}");
    assert_eq!(
        block_on(engine.activate()),
        Err(Error::State),
        "nor is the app there any more"
    );
}
