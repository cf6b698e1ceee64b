//! Two-step updates: an app into the other slot, then its data into the slot that the old app left.

use std::sync::{Arc, Mutex};

use airlift_formats::esp::app_image::ChipId;
use airlift_sim::client::{Event, Faults, Order, Polled, PowerCut, Settled};
use airlift_sim::flash::{Cut, CutKind};

use crate::bench::{self, Bench, Door, Peer, data, image};

fn door() -> Arc<Mutex<Door>> {
    Arc::new(Mutex::new(Door {
        app: Some(image(ChipId::ESP32, "demo", "2.0.0", 100_000)),
        data: vec![("model", data("7.1", 80_000))],
    }))
}

fn bench(peer: &Peer) -> Bench {
    let mut bench = Bench::new(peer);
    bench.device.set_partitions(&[], Some("model")).unwrap();
    bench
}

/// The data are where the device says they are.
fn check_data(bench: &mut Bench, version: &str, size: usize) {
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
    let known = running.data().unwrap().expect("the app knows its data");
    drop(running);
    assert_eq!((known.state, known.version.as_str()), ("present", version));
    let held = bench.holds(known.offset.unwrap(), size);
    assert_eq!(held, data(version, size).bytes);
}

#[test]
fn an_app_is_followed_by_its_data() {
    let door = door();
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    let (settled, events) = bench.check();
    assert!(matches!(settled, Ok(Settled::Updated { .. })), "{events:?}");
    let names: Vec<_> = events.iter().map(bench::name).collect();
    assert_eq!(
        names,
        [
            "booted",
            "notify",
            "data-planned",
            "offered",
            "verifying",
            "verified",
            "installed",
            "restarting",
            "booted",
            "data-missing",
            "confirmed",
            "reported",
            "partition-notify",
            "partition-offered",
            "verifying",
            "data-present",
            "partition-reported"
        ]
    );
    let missing = events.iter().find_map(|event| match event {
        Event::DataMissing { source, .. } => Some(source.clone()),
        _ => None,
    });
    assert_eq!(
        missing.unwrap(),
        peer.url("/ota_update/dev/lotus/esp32-85ea2b/key")
    );
    check_data(&mut bench, "7.1", 80_000);
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    let last = peer.requests().pop().unwrap();
    assert!(
        last.contains("x-Airlift-Partition: name=model; sha256="),
        "{last}"
    );
    assert!(last.contains("; version=7.1\r\n"), "{last}");

    // Other data for the same app.
    door.lock().unwrap().data = vec![("model", data("7.2", 60_000))];
    let (settled, _) = bench.check();
    assert!(matches!(settled, Ok(Settled::PartitionsUpdated { .. })));
    check_data(&mut bench, "7.2", 60_000);
    assert_eq!(bench.version(), "2.0.0");
}

#[test]
fn both_steps_survive_a_power_cut_anywhere() {
    for at in (0..230).step_by(11) {
        let door = door();
        let peer = Peer::start(Door::open(&door));
        let mut bench = bench(&peer);
        // The first cut is in the app, the second one in what comes next.
        for seed in [1, 2] {
            let kind = CutKind::TornProgram { seed };
            bench.device.set_faults(Faults {
                power_cut: Some(PowerCut::AtOperation(Cut::at_call(at, kind))),
                ..Faults::default()
            });
            let _ = bench.check();
        }
        bench.device.set_faults(Faults::default());
        let (settled, events) = bench.check_until_powered();
        let good = matches!(
            settled,
            Settled::UpToDate | Settled::Updated { .. } | Settled::PartitionsUpdated { .. }
        );
        assert!(good, "cut at {at}: {settled:?} {events:?}");
        assert_eq!(bench.version(), "2.0.0", "cut at {at}");
        check_data(&mut bench, "7.1", 80_000);
    }
}

#[test]
fn an_app_that_goes_back_asks_for_its_data_again() {
    let door = door();
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    bench.check().0.unwrap();
    door.lock().unwrap().app = Some(image(ChipId::ESP32, "demo", "3.0.0", 100_000));
    bench.device.set_faults(Faults {
        self_test_fails: true,
        ..Faults::default()
    });
    let (settled, events) = bench.check();
    let version = "2.0.0".to_owned();
    assert_eq!(
        settled.unwrap(),
        Settled::RolledBack { version },
        "{events:?}"
    );
    // The new app was where they had been.
    check_data(&mut bench, "7.1", 80_000);
}

#[test]
fn data_from_elsewhere_go_on_there_after_a_cut_and_come_from_the_server_if_they_are_gone() {
    let door = Arc::new(Mutex::new(Door {
        app: None,
        data: vec![("model", data("8", 50_000))],
    }));
    let peer = Peer::start(Door::open(&door));
    for gone in [false, true] {
        let file = data("7.1", 80_000);
        let mut served = false;
        let files = Peer::start(move |request: &str| {
            let is_gone = std::mem::replace(&mut served, gone);
            if is_gone {
                return bench::status("404 Not Found")(request);
            }
            // A plain file server: it knows nothing of partitions.
            bench::rest(&file)(request)
        });
        let mut bench = bench(&peer);
        bench.device.set_faults(Faults {
            power_cut: Some(PowerCut::AtByte(50_000)),
            ..Faults::default()
        });
        let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
        let order = Order {
            url: files.url("/model.bin").parse().unwrap(),
            partition: Some("model".to_owned()),
            sha256: None,
        };
        assert_eq!(
            running.obey(&order, &mut |_| {}).unwrap(),
            Polled::PowerLost
        );
        drop(running);
        let (settled, events) = bench.check();
        assert!(
            matches!(settled, Ok(Settled::PartitionsUpdated { .. })),
            "{events:?}"
        );
        if gone {
            check_data(&mut bench, "8", 50_000);
        } else {
            check_data(&mut bench, "7.1", 80_000);
            let asked = files.requests().pop().unwrap();
            assert!(Peer::offset(&asked) > Some(40_000), "{asked}");
        }
    }
}

#[test]
fn data_that_do_not_fit_stop_the_app_that_needs_them() {
    let door = door();
    door.lock().unwrap().data = vec![("model", data("8", 0x6_0000))];
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    let (settled, _) = bench.check();
    assert_eq!(settled.unwrap(), Settled::Refused { reason: "too-big" });
    assert_eq!(bench.version(), "1.0.0");
}

#[test]
fn an_app_without_data_is_an_app() {
    let door = door();
    door.lock().unwrap().data.clear();
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    assert!(matches!(bench.check().0, Ok(Settled::Updated { .. })));
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
}
