//! Parts that are applied one after the other.

use super::*;

/// A device whose parts are applied one after the other.
fn sequential(peer: &Peer) -> Bench {
    let mut bench = Bench::with_table(peer, &table());
    let mut plan = plan(&bench);
    plan.policy = SetPolicy::InSequence;
    bench.device.declare_set(&plan).unwrap();
    let old = world(OLD);
    bench.fill(SSBL, &old.ssbl);
    bench.fill(KEYS, &old.keys);
    bench
}

#[test]
fn in_sequence_the_parts_stay_when_the_app_does_not() {
    let new = world(2).image();
    let door = door(&new);
    let peer = Peer::start(Door::open(&door));
    let mut bench = sequential(&peer);
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    assert_eq!(finds(&mut bench), 2);
    let confirmed = format!("state=confirmed; sha256={}; version=2.0", new.sha256());
    assert_eq!(told(&peer), [confirmed.as_str()]);
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);

    door.lock().unwrap().data[0].1 = world(3).image();
    bench.device.set_faults(Faults {
        self_test_fails: true,
        ..Faults::default()
    });
    let (settled, events) = bench.check();
    assert!(matches!(settled.unwrap(), Settled::RolledBack { .. }));
    assert!(
        names(&events).contains(&"set-failed".to_owned()),
        "{events:?}"
    );
    let flash = bench.device.flash().clone();
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().unwrap();
    let mixture = found(&flash, &mut running);
    assert_eq!(mixture[0], 2, "the app went back");
    assert!(
        mixture[1..].iter().all(|of| *of == 3),
        "the rest stayed: {mixture:?}"
    );
    let last = told(&peer).pop().unwrap();
    assert!(
        last.starts_with("state=failed") && last.ends_with("reason=self-test"),
        "{last}"
    );
}

#[test]
fn in_sequence_a_cut_is_interrupted_and_the_image_is_taken_again() {
    let new = world(2).image();
    let door = door(&new);
    let (mut cuts, mut between) = (0, 0);
    for at in (0..).step_by(5) {
        let peer = Peer::start(Door::open(&door));
        let mut bench = sequential(&peer);
        bench.device.set_faults(Faults {
            power_cut: Some(PowerCut::AtOperation(Cut::at_call(at, CutKind::Clean))),
            ..Faults::default()
        });
        let (settled, events) = bench.check();
        if settled.unwrap() != Settled::PowerLost {
            break;
        }
        cuts += 1;
        let applying = names(&events).contains(&"verifying".to_owned());
        for _ in 0..3 {
            bench.check_until_powered();
        }
        assert_eq!(finds(&mut bench), 2, "cut at {at}");
        let told = told(&peer);
        between += u32::from(applying && told[0].starts_with("state=interrupted"));
        assert!(
            told.last().unwrap().starts_with("state=confirmed"),
            "cut at {at}: {told:?}"
        );
    }
    assert!(cuts > 20 && between > 5, "{cuts}, {between}");
}
