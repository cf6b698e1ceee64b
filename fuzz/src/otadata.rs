//! The boot selection.

use airlift_formats::esp::otadata::{
    BootLoader, Build, RECORD_LEN, Record, Slot, State, plan_invalidate, plan_switch,
};

/// Any 64 bytes are two records. Whatever they say, the boot loader starts an image that verifies if there is one at all,
/// reports exactly the changes that it makes, and a switch that is planned is a switch that happens.
///
/// The input: two records, then the number of slots, the running slot, the target, a bit for each image that verifies
/// (two bytes), and flags for the factory app, the test app and the eFuse.
pub fn otadata(data: &[u8]) {
    let Some((records, rest)) = data.split_first_chunk::<{ 2 * RECORD_LEN }>() else {
        return;
    };
    let Some(&[slots, running, target, low, high, flags]) = rest.first_chunk() else {
        return;
    };
    let (first, second) = records.split_at(RECORD_LEN);
    let records = [first, second].map(|bytes| {
        let bytes = bytes.try_into().expect("half of two records");
        let record = Record::parse(bytes);
        assert_eq!(record.emit(), *bytes);
        record
    });

    let verifying = u16::from_le_bytes([low, high]);
    for build in [Build::Plain, Build::Rollback, Build::AntiRollback] {
        let mut loader = BootLoader::new(build, slots % 17);
        loader.factory = flags & 1 != 0;
        loader.test = flags & 2 != 0;
        loader.efuse.version = u32::from(flags >> 6);
        boots(&loader, &records, verifying);
    }
    switches(&records, slots % 17, running, target);
}

fn boots(loader: &BootLoader, records: &[Record; 2], verifying: u16) {
    let verifies = |slot: Slot| match slot {
        Slot::Ota(slot) => verifying & 1 << (slot % 16) != 0,
        Slot::Factory | Slot::Test => true,
    };
    let boot = loader.boot(records, &mut { verifies });

    let mut replayed = *records;
    for rewrite in boot.rewrites() {
        rewrite.apply(&mut replayed);
    }
    assert_eq!(replayed, boot.records, "the rewrites are the whole change");

    match boot.loaded {
        Some(Slot::Ota(slot)) => assert!(slot < loader.slots && verifies(Slot::Ota(slot))),
        Some(Slot::Factory) => assert!(loader.factory),
        Some(Slot::Test) => assert!(loader.test),
        None if loader.build == Build::AntiRollback => {}
        None => {
            let any = (0..loader.slots).any(|slot| verifies(Slot::Ota(slot)));
            assert!(
                !any && !loader.factory && !loader.test,
                "an image that verifies was not found"
            );
        }
    }
}

fn switches(records: &[Record; 2], slots: u8, running: u8, target: u8) {
    let running = (running < slots).then_some(running);
    if let Some(sector) = plan_invalidate(records, slots, target) {
        let other = records[1 - sector];
        assert!(other.is_valid() && other.slot(slots) != Some(target));
    }
    let Ok(rewrite) = plan_switch(records, slots, running, target, State::New) else {
        return;
    };
    assert!(target < slots && running != Some(target));
    let kept = records[1 - rewrite.sector];
    let fallback_was_known = records
        .iter()
        .any(|record| record.is_valid() && running.is_some() && record.slot(slots) == running);
    if fallback_was_known {
        assert_eq!(
            kept.slot(slots),
            running,
            "the record of the running app is overwritten"
        );
        assert!(kept.is_valid());
    }

    let mut after = *records;
    rewrite.apply(&mut after);
    let boot = BootLoader::new(Build::Rollback, slots).boot(&after, &mut |_: Slot| true);
    assert_eq!(
        boot.selected,
        Slot::Ota(target),
        "the switch does not reach the boot loader"
    );
}
