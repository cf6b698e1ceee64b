//! Sets that are not applied: the power fails before they are committed, or a part cannot be put in place.

use airlift_sim::flash::{Fault, FaultExtent};

use super::*;

/// Checks once; `strike` is done to the flash at each event.
fn check_and(
    bench: &mut Bench,
    strike: impl Fn(&Flash, &Event),
) -> (Result<Settled, DeviceError>, Vec<Event>) {
    let flash = bench.device.flash().clone();
    let mut events = Vec::new();
    let settled = bench.device.check(&mut |event| {
        strike(&flash, event);
        events.push(event.clone());
    });
    (settled, events)
}

#[test]
fn an_app_whose_set_was_never_committed_is_not_tried_alone() {
    let new = world(2).image();
    let peer = Peer::start(Door::open(&door(&new)));
    let mut bench = bench(&peer);
    // All bytes have come, and nothing is applied yet.
    let (settled, events) = check_and(&mut bench, |flash, event| {
        if *event == Event::Verifying {
            flash.lock().arm(Cut::at_call(0, CutKind::Clean));
        }
    });
    assert_eq!(settled.unwrap(), Settled::PowerLost);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::SetPartStaged { tag: 1, .. })),
        "the app is whole where it waits"
    );
    // Without [set]: nothing is known of parts any more.
    bench.reopen();
    for _ in 0..3 {
        let mut events = Vec::new();
        let running = bench
            .device
            .power_on(&mut |event| events.push(event.clone()));
        assert_eq!(running.unwrap().unwrap().version(), "1.0.0");
        assert_eq!(names(&events), ["booted"]);
    }
    // With it, the download has nothing left to fetch but what is in front of the parts.
    let plan = plan(&bench);
    bench.device.declare_set(&plan).unwrap();
    assert_eq!(finds(&mut bench), OLD);
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    assert_eq!(finds(&mut bench), 2);
}

/// A device on which all of an image has come; then the sector of the operation number `at` from there on is worn out, for good, unless all parts are in
/// place by then.
fn with_a_worn_sector(at: u64, peer: &Peer) -> (Bench, Result<Settled, DeviceError>, Vec<Event>) {
    let mut bench = bench(peer);
    let (settled, events) = check_and(&mut bench, |flash, event| {
        let at = match event {
            Event::Verifying => at,
            Event::SetApplied { .. } => u64::MAX,
            _ => return,
        };
        flash.lock().fail(Fault {
            at,
            extent: FaultExtent::Sector,
            done: false,
        });
    });
    (bench, settled, events)
}

#[test]
fn a_part_that_cannot_be_put_in_place_takes_everything_back_and_the_server_hears_why() {
    let new = world(2).image();
    let door = door(&new);
    let (mut undone, mut stuck) = (0, 0);
    for at in 0.. {
        let peer = Peer::start(Door::open(&door));
        let (mut bench, settled, events) = with_a_worn_sector(at, &peer);
        let report = report(&mut bench).unwrap();
        let Some(tag) = report.failed_tag else {
            // A sector that is not needed any more, or is written around.
            assert_eq!((finds(&mut bench), report.state), (2, "done"), "{at}");
            if at > 60 {
                break;
            }
            continue;
        };
        assert!([2, 3].contains(&tag), "{at}: tag {tag}");
        let why = format!("not-applied/tag:{tag}/flash");
        assert_eq!(report.reason.as_ref(), Some(&why));
        if report.state == "undoing" {
            // The sector was erased, and takes neither the new content nor the old one.
            stuck += 1;
            let neither = report.parts.iter().filter(|part| part.holds == "neither");
            assert_eq!(neither.map(|part| part.tag).collect::<Vec<_>>(), [tag]);
            for error in [settled, bench.check().0] {
                let error = error.unwrap_err().to_string();
                assert!(error.contains(&why), "{at}: {error}");
            }
            assert_eq!(bench.version(), "1.0.0");
            assert!(told(&peer).is_empty(), "it is not over");
            continue;
        }
        undone += 1;
        assert_eq!((finds(&mut bench), report.state), (OLD, "undone"), "{at}");
        assert!(report.reported);
        assert!(report.parts.iter().all(|part| part.holds == "old"));
        let refused = Settled::Refused {
            reason: "not-applied",
        };
        assert_eq!(settled.unwrap(), refused);
        let reason = why.clone();
        assert!(events.contains(&Event::SetUndone { reason }));
        let sha256 = new.sha256();
        let report = format!("state=rolled-back; sha256={sha256}; version=2.0; reason={why}");
        assert_eq!(told(&peer), [report], "{at}");
    }
    assert!(undone > 2 && stuck > 2, "{undone} and {stuck}");
}
