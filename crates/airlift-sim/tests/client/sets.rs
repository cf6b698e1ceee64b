//! Sets of parts: what goes over the wire, and what each part holds afterwards.

use std::sync::{Arc, Mutex};

use airlift_device::set::UnknownTags;
use airlift_formats::esp::app_image::ChipId;
use airlift_formats::esp::partition_table::{Options, csv};
use airlift_formats::matter::image::ImageBuilder;
use airlift_formats::nxp::{Descriptor, FactoryData, PayloadBuilder};
use airlift_sim::client::{
    DeviceError, Event, Faults, PartPlan, Polled, PowerCut, Put, Running, SET_PLACE, SetPartPlan,
    SetPlan, SetPolicy, SetReport, Settled, inspect,
};
use airlift_sim::flash::{Cut, CutKind, Flash};

mod failing;
mod network;
mod plans;
mod refused;
mod resume;
mod sequence;
mod world;

use world::*;

use crate::bench::{self, Bench, Door, FLASH_SIZE, Image, Peer, image, no_news, status};

#[test]
fn eleven_parts_are_installed_as_one_and_the_server_hears_of_it_once() {
    let new = world(2).image();
    let peer = Peer::start(Door::open(&door(&new)));
    let mut bench = bench(&peer);
    assert_eq!(finds(&mut bench), OLD);
    let (settled, events) = bench.check();
    let updated = Settled::Updated {
        from: "1.0.0".into(),
        to: "2.0.0".into(),
    };
    assert_eq!(settled.unwrap(), updated);
    let names = names(&events);
    let staged = names
        .iter()
        .filter(|name| *name == "set-part-staged")
        .count();
    assert_eq!(staged, 11);
    let others: Vec<_> = names
        .iter()
        .filter(|name| *name != "set-part-staged")
        .collect();
    assert_eq!(
        others,
        [
            "booted",
            "partition-notify",
            "partition-offered",
            "verifying",
            "set-applied",
            "installed",
            "restarting",
            "booted",
            "confirmed",
            "set-done",
            "partition-reported"
        ]
    );
    assert_eq!(finds(&mut bench), 2);
    let told_once = format!("state=confirmed; sha256={}; version=2.0", new.sha256());
    assert_eq!(told(&peer), [told_once.as_str()]);

    // From then on it says what it has, and asks for no app on its own.
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    let mut again = bench.open_again().err();
    assert!(
        matches!(again.take(), Some(DeviceError::File(_))),
        "one process at a time"
    );
    let facts = format!(
        "x-Airlift-Partition: name=matter-ota; sha256={}; version=2.0\r\n",
        new.sha256()
    );
    let requests = peer.requests();
    assert!(requests.last().unwrap().contains(&facts));
    assert!(
        requests
            .iter()
            .all(|request| request.contains("name=matter-ota"))
    );
    assert_eq!(told(&peer).len(), 1);

    let report = report(&mut bench).unwrap();
    assert_eq!((report.state, report.reported), ("done", true));
    assert_eq!(
        (report.software_version, report.version.as_deref()),
        (Some(2), Some("2.0"))
    );
    let parts: Vec<_> = report
        .parts
        .iter()
        .map(|part| (part.tag, part.holds))
        .collect();
    let mut expected: Vec<_> = CUSTOM.chain([3, 2, 1]).map(|tag| (tag, "new")).collect();
    assert_eq!(parts, expected);
    expected.clear();
    let places: Vec<_> = report
        .parts
        .iter()
        .map(|part| part.place.as_str())
        .collect();
    assert_eq!(places[0], "external part-100.bin");
    assert_eq!(places[8..], ["partition keys", "partition ssbl", "app"]);
}

#[test]
fn what_is_in_place_is_known_after_the_process_ended() {
    let door = door(&world(2).image());
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    bench.check().0.unwrap();
    let (mut bench, fetched) = {
        let fetched = bench.device.counters().bytes_fetched;
        bench.reopen();
        let plan = plan(&bench);
        bench.device.declare_set(&plan).unwrap();
        (bench, fetched)
    };
    assert!(fetched > 0);
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    assert_eq!(bench.device.counters().bytes_fetched, 0);
    // A lower version than that one is refused, also one that is higher than the device came with.
    door.lock().unwrap().data[0].1 = packed(2, VENDOR, PRODUCT, &world(3).payload().build());
    let (settled, _) = bench.check();
    assert_eq!(
        settled.unwrap(),
        Settled::Refused {
            reason: "downgrade"
        }
    );
    assert_eq!(finds(&mut bench), 2);
}

#[test]
fn a_cut_anywhere_is_rolled_forward_or_costs_a_download_and_never_leaves_a_mixture() {
    let new = world(2).image();
    let door = door(&new);
    let mut seen = std::collections::BTreeSet::new();
    for at in (0..).step_by(3) {
        let peer = Peer::start(Door::open(&door));
        let mut bench = bench(&peer);
        let kind = if at % 2 == 0 {
            CutKind::TornProgram { seed: at }
        } else {
            CutKind::TornErase { seed: at }
        };
        bench.device.set_faults(Faults {
            power_cut: Some(PowerCut::AtOperation(Cut::at_call(at, kind))),
            ..Faults::default()
        });
        let (settled, mut events) = bench.check();
        let cut = settled.unwrap() == Settled::PowerLost;
        let after = finds(&mut bench);
        assert!([OLD, 2].contains(&after), "cut at {at}: {after}");
        if !cut {
            seen.insert("no cut");
            break;
        }
        let happened = names(&events);
        assert!(
            !happened.contains(&"set-refused".to_owned()),
            "cut at {at}: {events:?}"
        );
        let committed = happened.contains(&"verifying".to_owned());
        let (_, more) = bench.check_until_powered();
        events.extend(more);
        assert_eq!(finds(&mut bench), 2, "cut at {at}");
        let fetched = bench.device.counters().bytes_fetched;
        let told = told(&peer);
        if !happened.contains(&"set-part-staged".to_owned()) {
            // Too early for anything to be noted.
        } else if !committed {
            seen.insert("download");
            assert!(
                told.iter().any(|told| told.contains("state=interrupted")),
                "cut at {at}: {told:?}"
            );
        } else if fetched < 2 * new.bytes.len() as u64 {
            seen.insert("rolled forward");
        }
        let confirmed = told.iter().filter(|told| told.contains("state=confirmed"));
        assert_eq!(confirmed.count(), 1, "cut at {at}: {told:?}");
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["download", "no cut", "rolled forward"]
    );
}

#[test]
fn the_power_fails_while_bytes_arrive() {
    let new = world(2).image();
    let door = door(&new);
    let length = new.bytes.len() as u32;
    for byte in [0, 10, 50, 700, 9_000, 15_000, length - 2] {
        let peer = Peer::start(Door::open(&door));
        let mut bench = bench(&peer);
        bench.device.set_faults(Faults {
            power_cut: Some(PowerCut::AtByte(byte)),
            ..Faults::default()
        });
        assert_eq!(bench.check().0.unwrap(), Settled::PowerLost, "byte {byte}");
        assert_eq!(finds(&mut bench), OLD);
        bench.check_until_powered();
        assert_eq!(finds(&mut bench), 2, "byte {byte}");
    }
}

#[test]
fn an_app_that_does_not_work_takes_every_part_back() {
    let new = world(2).image();
    let door = door(&new);
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    bench.device.set_faults(Faults {
        self_test_fails: true,
        ..Faults::default()
    });
    let (settled, events) = bench.check();
    assert_eq!(
        settled.unwrap(),
        Settled::RolledBack {
            version: "1.0.0".into()
        }
    );
    let happened = names(&events);
    assert!(
        happened.contains(&"rejected".to_owned()) && happened.contains(&"set-undone".to_owned())
    );
    assert_eq!(finds(&mut bench), OLD);
    let why = format!(
        "state=rolled-back; sha256={}; version=2.0; reason=self-test",
        new.sha256()
    );
    assert_eq!(told(&peer), [why.as_str()]);
    let report = report(&mut bench).unwrap();
    assert_eq!((report.state, report.failed_tag), ("undone", Some(0)));
    assert!(
        report.parts.iter().all(|part| part.holds == "old"),
        "{report:?}"
    );

    // What is told is over.
    let mut events = Vec::new();
    let on = bench
        .device
        .power_on(&mut |event| events.push(event.clone()));
    drop(on);
    assert_eq!(names(&events), ["booted"]);

    // The next image goes its way, and a set that comes after goes back to that one.
    door.lock().unwrap().data[0].1 = world(3).image();
    bench.check().0.unwrap();
    assert_eq!(finds(&mut bench), 3);
    door.lock().unwrap().data[0].1 = world(4).image();
    bench.device.set_faults(Faults {
        self_test_fails: true,
        ..Faults::default()
    });
    assert!(matches!(
        bench.check().0.unwrap(),
        Settled::RolledBack { .. }
    ));
    assert_eq!(finds(&mut bench), 3);
    let told = told(&peer);
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn a_power_cut_while_everything_goes_back_does_not_stop_it() {
    let new = world(2).image();
    let door = door(&new);
    let mut cuts = 0;
    for at in (0..700).step_by(11) {
        let peer = Peer::start(Door::open(&door));
        let mut bench = bench(&peer);
        bench.device.set_faults(Faults {
            self_test_fails: true,
            ..Faults::default()
        });
        // Up to the verdict of the app.
        let flash = bench.device.flash().clone();
        let mut running = bench.device.power_on(&mut |_| {}).unwrap().unwrap();
        assert_eq!(running.poll(&mut |_| {}).unwrap(), Polled::Restart);
        drop(running);
        let armed = std::cell::Cell::new(false);
        let on = bench.device.power_on(&mut |event| {
            if matches!(event, Event::Rejected { .. }) {
                armed.set(true);
                flash
                    .lock()
                    .arm(Cut::at_call(at, CutKind::TornErase { seed: at }));
            }
        });
        assert!(armed.get());
        let cut = on.unwrap().is_none();
        cuts += u32::from(cut);
        flash.lock().disarm();
        assert_eq!(finds(&mut bench), OLD, "cut at {at}");
        let report = report(&mut bench).unwrap();
        assert_eq!(report.state, "undone");
        if !cut {
            break;
        }
    }
    assert!(cuts > 3, "{cuts} cuts");
}

#[test]
fn an_image_from_a_file_goes_the_same_way() {
    let peer = Peer::start(no_news());
    let mut bench = bench(&peer);
    let new = world(2).image();
    let put = |bench: &mut Bench, image: &[u8]| {
        let mut running = bench.device.power_on(&mut |_| {}).unwrap().unwrap();
        running.put_set(image, &mut |_| {}).unwrap()
    };
    assert_eq!(put(&mut bench, &new.bytes), Put::Restart);
    assert_eq!(finds(&mut bench), 2);
    assert_eq!(put(&mut bench, &new.bytes), Put::WasThere);
    let bad = put(&mut bench, &world(2).image().bytes[..200]);
    assert!(matches!(bad, Put::Refused { .. }), "{bad:?}");
    assert_eq!(finds(&mut bench), 2);
    // The server hears of it when it is asked.
    bench.check().0.unwrap();
    let told = told(&peer);
    assert!(
        told.iter().any(|told| told.starts_with("state=refused")),
        "{told:?}"
    );
}

#[test]
fn without_its_configuration_a_device_does_not_go_over_a_set_that_is_pending() {
    let peer = Peer::start(Door::open(&door(&world(2).image())));
    let mut bench = bench(&peer);
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().unwrap();
    assert_eq!(running.poll(&mut |_| {}).unwrap(), Polled::Restart);
    drop(running);
    // Looking changes nothing, and sees the set as it stands.
    let plan = plan(&bench);
    let before = bench.flash_content();
    let copy = Flash::new(bench.device.flash().lock().fork());
    let raw = table();
    let rules = airlift_formats::esp::partition_table::Rules::new(FLASH_SIZE as u32).without_md5();
    let parsed =
        airlift_formats::esp::partition_table::PartitionTable::parse(&raw, &rules).unwrap();
    let seen = inspect(&copy, &parsed, Some(0), Some(&plan)).unwrap();
    let set = seen.set.unwrap();
    assert_eq!(set.state, "applied");
    let holds: Vec<_> = set.parts.iter().map(|part| part.holds).collect();
    assert_eq!(holds[..10], ["new"; 10]);
    assert_eq!(holds[10], "old", "the app is not tried yet");
    assert_eq!(bench.flash_content(), before);

    bench.reopen();
    let error = bench.device.power_on(&mut |_| {}).err().unwrap();
    assert!(matches!(error, DeviceError::SetPending), "{error}");
    assert!(error.to_string().contains("[set]"), "{error}");
    // The app on trial got no further, and that was its one boot.
    bench.device.declare_set(&plan).unwrap();
    assert_eq!(finds(&mut bench), OLD);
}
