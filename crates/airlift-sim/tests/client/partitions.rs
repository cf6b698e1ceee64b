//! Updates of partitions: what goes over the wire, and what the partition holds afterwards.

use std::sync::{Arc, Mutex};

use airlift_device::partition::AfterCut;
use airlift_sim::client::{
    DeviceError, Event, Faults, Order, PartitionPlan, PlanProblem, PowerCut, Put, RiskPlan,
    RoomPlan, SchemePlan, Settled,
};
use airlift_sim::flash::{Cut, CutKind};

use crate::bench::{self, Bench, Door, Image, Peer, data, image, offer};
use airlift_formats::esp::app_image::ChipId;

/// Where `storage` lies in the table of a flash of 1 MiB, and its size.
const STORAGE: u32 = 0xD_0000;
const SIZE: usize = 0x2_C000;

fn backup(after_cut: AfterCut) -> SchemePlan {
    SchemePlan::Backup {
        room: RoomPlan::PassiveSlot,
        used: None,
        after_cut,
    }
}

fn staged() -> SchemePlan {
    SchemePlan::Staged {
        room: RoomPlan::PassiveSlot,
    }
}

fn plan(name: &str, scheme: SchemePlan) -> PartitionPlan {
    PartitionPlan {
        name: name.to_owned(),
        scheme,
    }
}

fn door(storage: &Image) -> Arc<Mutex<Door>> {
    Arc::new(Mutex::new(Door {
        app: None,
        data: vec![("storage", storage.clone())],
    }))
}

/// A device with this scheme for `storage`, which holds the old content.
fn bench(peer: &Peer, scheme: SchemePlan) -> (Bench, Vec<u8>) {
    let mut bench = Bench::new(peer);
    bench
        .device
        .set_partitions(&[plan("storage", scheme)], None)
        .unwrap();
    let old = data("old", SIZE).bytes;
    bench.fill(STORAGE, &old);
    (bench, old)
}

fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(bench::name).collect()
}

#[test]
fn a_partition_is_updated_after_the_app_was_asked_for() {
    let new = data("2.0.0", 100_000);
    let door = door(&new);
    let peer = Peer::start(Door::open(&door));
    let (mut bench, _) = bench(&peer, backup(AfterCut::Restore));
    let (settled, events) = bench.check();
    let updated = Settled::PartitionsUpdated {
        names: vec!["storage".to_owned()],
    };
    assert_eq!(settled.unwrap(), updated);
    assert_eq!(
        names(&events),
        [
            "booted",
            "notify",
            "up-to-date",
            "partition-notify",
            "partition-offered",
            "partition-saved",
            "verifying",
            "partition-updated",
            "partition-reported"
        ]
    );
    assert_eq!(bench.holds(STORAGE, new.bytes.len()), new.bytes);
    let rest = bench.holds(STORAGE + 0x1_9000, SIZE - 0x1_9000);
    assert!(rest.iter().all(|byte| *byte == 0xFF), "the rest is erased");

    let requests = peer.requests();
    let [app, ask, report] = &requests[..] else {
        panic!("{requests:#?}")
    };
    assert!(app.contains("x-ESP32-mode: sketch\r\n") && !app.contains("x-Airlift-Partition"));
    assert!(ask.contains("x-ESP32-mode: flashfs\r\n"), "{ask}");
    assert!(
        ask.contains("x-Airlift-Partition: name=storage\r\n"),
        "{ask}"
    );
    let installed = format!(
        "x-Airlift-Partition: name=storage; sha256={}; version=2.0.0\r\n",
        new.sha256()
    );
    let told = format!(
        "x-Airlift-Update: state=confirmed; sha256={}; version=2.0.0\r\n",
        new.sha256()
    );
    assert!(report.starts_with("HEAD "), "{report}");
    assert!(
        report.contains(&installed) && report.contains(&told),
        "{report}"
    );

    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    let last = peer.requests().pop().unwrap();
    assert!(last.contains(&installed), "{last}");
    assert!(!last.contains("x-Airlift-Update"), "told once: {last}");
}

#[test]
fn a_power_cut_anywhere_ends_in_the_new_content_and_never_in_a_mix() {
    let new = data("2.0.0", 100_000);
    let door = door(&new);
    let schemes = [
        SchemePlan::Direct,
        backup(AfterCut::Restore),
        backup(AfterCut::Resume),
        staged(),
    ];
    for scheme in &schemes {
        let mut cuts = 0;
        for at in (0..400).step_by(13) {
            let peer = Peer::start(Door::open(&door));
            let (mut bench, old) = bench(&peer, scheme.clone());
            let kind = if at % 2 == 0 {
                CutKind::TornProgram { seed: at }
            } else {
                CutKind::TornErase { seed: at }
            };
            bench.device.set_faults(Faults {
                power_cut: Some(PowerCut::AtOperation(Cut::at_call(at, kind))),
                ..Faults::default()
            });
            let (settled, events) = bench.check();
            if settled.unwrap() != Settled::PowerLost {
                continue;
            }
            cuts += 1;
            assert_eq!(bench::name(events.last().unwrap()), "power-cut");
            let mut seen = Vec::new();
            let running = bench.device.power_on(&mut |event| seen.push(event.clone()));
            drop(running.unwrap());
            let damaged = names(&seen).contains(&"partition-damaged".to_owned());
            let holds = bench.holds(STORAGE, SIZE);
            let whole = holds == old || holds.starts_with(&new.bytes);
            assert!(
                whole || damaged,
                "{scheme:?} cut at {at}: neither old nor new, and nobody says so"
            );
            if matches!(scheme, SchemePlan::Staged { .. }) || *scheme == schemes[1] {
                assert!(whole && !damaged, "{scheme:?} cut at {at}");
            }
            let (settled, events) = bench.check_until_powered();
            let updated = matches!(settled, Settled::PartitionsUpdated { .. })
                || (settled == Settled::UpToDate && holds.starts_with(&new.bytes));
            assert!(updated, "{scheme:?} cut at {at}: {settled:?}, {events:?}");
            assert_eq!(bench.holds(STORAGE, new.bytes.len()), new.bytes);
        }
        assert!(cuts > 5, "{scheme:?}: {cuts} cuts");
    }
}

#[test]
fn what_is_durable_of_a_partition_is_not_fetched_again() {
    let new = data("2.0.0", 100_000);
    for scheme in [SchemePlan::Direct, backup(AfterCut::Resume), staged()] {
        let door = door(&new);
        let peer = Peer::start(Door::open(&door));
        let (mut bench, _) = bench(&peer, scheme.clone());
        bench.device.set_faults(Faults {
            power_cut: Some(PowerCut::AtByte(70_000)),
            ..Faults::default()
        });
        assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
        let (settled, _) = bench.check();
        assert!(matches!(settled, Ok(Settled::PartitionsUpdated { .. })));
        let fetched = bench.device.counters().bytes_fetched;
        assert!(fetched < 100_000 + 2 * 8192, "{scheme:?}: {fetched}");
        let requests = peer.requests();
        let resumed = requests.iter().find(|r| Peer::offset(r).is_some());
        let resumed = resumed.expect("a request for the rest");
        assert!(resumed.contains("x-Airlift-Partition: name=storage"));
        assert!(resumed.contains("state=interrupted"), "{resumed}");
    }
}

#[test]
fn a_flipped_bit_costs_the_backup_scheme_nothing_and_the_server_hears_of_it() {
    let new = data("2.0.0", 100_000);
    for (scheme, event, told) in [
        (
            backup(AfterCut::Restore),
            "partition-restored",
            "rolled-back",
        ),
        (staged(), "partition-refused", "refused"),
        (SchemePlan::Direct, "partition-refused", "refused"),
    ] {
        let door = door(&new);
        let peer = Peer::start(Door::open(&door));
        let (mut bench, old) = bench(&peer, scheme.clone());
        bench.device.set_faults(Faults {
            flip_byte: Some(77_777),
            ..Faults::default()
        });
        let (settled, events) = bench.check();
        assert_eq!(settled.unwrap(), Settled::Refused { reason: "digest" });
        assert!(names(&events).contains(&event.to_owned()), "{events:?}");
        if scheme != SchemePlan::Direct {
            assert_eq!(bench.holds(STORAGE, SIZE), old, "{scheme:?}");
        }
        let report = peer.requests().pop().unwrap();
        let told = format!(
            "state={told}; sha256={}; version=2.0.0; reason=digest",
            new.sha256()
        );
        assert!(report.contains(&told), "{report}");
        assert!(matches!(
            bench.check().0,
            Ok(Settled::PartitionsUpdated { .. })
        ));
    }
}

#[test]
fn an_app_is_never_taken_for_the_data_of_a_partition() {
    // A server of other make answers a question for a file system with the app.
    let app = image(ChipId::ESP32, "demo", "1.0.0", 20_000);
    let mut asked = 0;
    let peer = Peer::start(move |request: &str| {
        asked += 1;
        if asked == 1 {
            return bench::no_news()(request);
        }
        offer(&app)(request)
    });
    let (mut bench, old) = bench(&peer, SchemePlan::Direct);
    let error = bench.check().0.unwrap_err();
    assert!(
        matches!(error, DeviceError::OtherPartition { .. }),
        "{error}"
    );
    assert!(error.is_passing());
    assert_eq!(bench.holds(STORAGE, SIZE), old);
}

#[test]
fn an_app_update_does_not_take_the_copy_that_a_partition_needs() {
    let new = data("2.0.0", 100_000);
    let door = door(&new);
    let peer = Peer::start(Door::open(&door));
    let (mut bench, old) = bench(&peer, backup(AfterCut::Resume));
    bench.device.set_faults(Faults {
        power_cut: Some(PowerCut::AtByte(70_000)),
        ..Faults::default()
    });
    assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
    // The data are withdrawn, and there is an app for the slot that has the copy.
    *door.lock().unwrap() = Door {
        app: Some(image(ChipId::ESP32, "demo", "2.0.0", 100_000)),
        data: Vec::new(),
    };
    let (settled, events) = bench.check();
    assert!(matches!(settled, Ok(Settled::Updated { .. })), "{events:?}");
    assert!(names(&events).contains(&"partition-restored".to_owned()));
    assert_eq!(bench.holds(STORAGE, SIZE), old);
    assert_eq!(bench.version(), "2.0.0");
}

#[test]
fn nor_the_copy_of_a_partition_that_was_only_filled_by_hand() {
    let door = Arc::new(Mutex::new(Door {
        app: Some(image(ChipId::ESP32, "demo", "2.0.0", 100_000)),
        data: Vec::new(),
    }));
    let peer = Peer::start(Door::open(&door));
    let mut bench = Bench::new(&peer);
    let old = data("old", SIZE).bytes;
    bench.fill(STORAGE, &old);
    bench.device.set_faults(Faults {
        power_cut: Some(PowerCut::AtByte(70_000)),
        ..Faults::default()
    });
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
    let plan = plan("storage", backup(AfterCut::Resume));
    let put = running.put(&plan, &data("new", 100_000).bytes, &mut |_| {});
    assert_eq!(put.unwrap(), Put::PowerLost);
    drop(running);
    let (settled, events) = bench.check();
    assert!(matches!(settled, Ok(Settled::Updated { .. })), "{events:?}");
    let names = names(&events);
    assert!(names.contains(&"partition-damaged".to_owned()), "{names:?}");
    assert!(
        names.contains(&"partition-restored".to_owned()),
        "{names:?}"
    );
    assert_eq!(bench.holds(STORAGE, SIZE), old);
}

#[test]
fn plans_that_do_not_suit_the_flash_are_refused_before_anything_starts() {
    let peer = Peer::start(bench::no_news());
    let mut bench = Bench::new(&peer);
    let at = |room: &str| SchemePlan::Backup {
        room: RoomPlan::Partition(room.to_owned()),
        used: None,
        after_cut: AfterCut::Restore,
    };
    let boot = SchemePlan::StagedBoot {
        room: RoomPlan::PassiveSlot,
        risk: RiskPlan::Accepted,
    };
    for (name, scheme, words) in [
        (
            "stroage",
            SchemePlan::Direct,
            "the flash has no partition \"stroage\"; it has nvs, otadata",
        ),
        ("ota_0", SchemePlan::Direct, "holds an app"),
        ("airlift", SchemePlan::Direct, "belongs to the engine"),
        ("otadata", SchemePlan::Direct, "belongs to the engine"),
        ("storage", boot, "scheme: \"staged-boot\" is not for"),
        (
            "storage",
            at("nowhere"),
            "room: the flash has no partition \"nowhere\"",
        ),
        (
            "storage",
            at("storage"),
            "room: \"storage\" cannot hold copies",
        ),
        ("storage", at("ota_1"), "room: \"ota_1\" cannot hold copies"),
        (
            "storage",
            at("airlift"),
            "room: \"airlift\" cannot hold copies",
        ),
        (
            "storage",
            at("nvs"),
            "room: \"nvs\" has 16384 bytes, and 180224 must fit",
        ),
    ] {
        let error = bench.device.set_partitions(&[plan(name, scheme)], None);
        let message = error.unwrap_err().to_string();
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
    let twice = [
        plan("nvs", SchemePlan::Direct),
        plan("nvs", SchemePlan::Direct),
    ];
    let error = bench.device.set_partitions(&twice, None).unwrap_err();
    assert_eq!(error.problem, PlanProblem::Twice);
    let error = bench
        .device
        .set_partitions(&[plan("storage", staged())], Some("model"));
    assert_eq!(error.unwrap_err().problem, PlanProblem::HoldsData);
}

#[test]
fn a_partition_is_filled_by_hand() {
    let peer = Peer::start(bench::no_news());
    let (mut bench, old) = bench(&peer, SchemePlan::Direct);
    let new = data("2.0.0", 100_000).bytes;
    let plan = plan("storage", backup(AfterCut::Restore));
    bench.device.set_faults(Faults {
        power_cut: Some(PowerCut::AtOperation(Cut::at_call(120, CutKind::Clean))),
        ..Faults::default()
    });
    let mut put = |bytes: &[u8]| {
        let mut events = Vec::new();
        let mut on = |event: &Event| events.push(bench::name(event));
        let mut running = bench.device.power_on(&mut on).unwrap().expect("power");
        let put = running.put(&plan, bytes, &mut on).unwrap();
        (put, events)
    };
    assert_eq!(put(&new).0, Put::PowerLost);
    let (end, events) = put(&new);
    assert_eq!(end, Put::Updated);
    assert!(
        events.contains(&"partition-recovered".to_owned()),
        "{events:?}"
    );
    assert_eq!(put(&new).0, Put::WasThere);
    assert_eq!(put(&[0; SIZE + 1]).0, Put::Refused { reason: "too-big" });
    assert_eq!(put(&[]).0, Put::Refused { reason: "empty" });
    assert_eq!(bench.holds(STORAGE, new.len()), new);
    assert_ne!(bench.holds(STORAGE, new.len()), old[..new.len()]);
    assert!(peer.requests().is_empty(), "no server is asked");
}

#[test]
fn an_order_from_an_address_is_carried_out_and_checked() {
    let new = data("2.0.0", 100_000);
    let peer = Peer::start(offer(&new));
    let (mut bench, _) = bench(&peer, staged());
    let order = |partition: Option<&str>| Order {
        url: peer.url("/files/storage.bin?v=2").parse().unwrap(),
        partition: partition.map(str::to_owned),
        sha256: None,
    };
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
    assert!(!running.knows(&order(Some("nvs"))));
    assert!(running.knows(&order(Some("storage"))));
    let polled = running.obey(&order(Some("storage")), &mut |_| {}).unwrap();
    assert_eq!(
        format!("{polled:?}"),
        "PartitionsUpdated { names: [\"storage\"] }"
    );
    // It is no app.
    let polled = running.obey(&order(None), &mut |_| {}).unwrap();
    assert_eq!(format!("{polled:?}"), "Refused { reason: \"image-magic\" }");
    drop(running);
    assert_eq!(bench.holds(STORAGE, new.bytes.len()), new.bytes);
    let request = &peer.requests()[0];
    assert!(
        request.starts_with("GET /files/storage.bin?v=2 HTTP/1.0\r\n"),
        "{request}"
    );
}
