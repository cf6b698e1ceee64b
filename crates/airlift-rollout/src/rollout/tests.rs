//! What each rule means, at its edges.

use super::*;
use crate::{Board, Share};

/// A board with one rollout, number 7, and a clock.
struct Bench {
    board: Board,
    now: i64,
}

const ID: i64 = 7;

impl Bench {
    fn new(plan: Plan) -> Self {
        let mut bench = Self {
            board: Board::default(),
            now: 1_000_000,
        };
        bench.by(1, Event::Created { plan });
        bench
    }

    /// With these devices, started.
    fn started(plan: Plan, devices: usize) -> Self {
        let mut bench = Self::new(plan);
        bench.join(devices);
        bench.happens(Event::Started);
        bench
    }

    fn join(&mut self, devices: usize) {
        let devices = (0..devices).map(name).collect();
        self.happens(Event::Joined { devices });
    }

    fn by(&mut self, by: i64, event: Event) {
        self.record(Some(by), event);
    }

    fn happens(&mut self, event: Event) {
        self.record(None, event);
    }

    fn record(&mut self, by: Option<i64>, event: Event) {
        let at = Millis(self.now);
        let rollout = ID;
        self.board.apply(&Record {
            rollout,
            at,
            by,
            event,
        });
    }

    fn rollout(&self) -> &Rollout {
        self.board.get(ID).unwrap()
    }

    fn status(&self) -> &'static str {
        self.rollout().status().as_str()
    }

    fn ask(&self, device: &str) -> Verdict {
        self.board.ask(ID, device, Ask::default(), Millis(self.now))
    }

    /// Lets every device ask once; those that are offered the release.
    fn all_ask(&mut self) -> Vec<Box<str>> {
        let members = self.rollout().members();
        let mut names: Vec<Box<str>> = members.map(|(name, _)| name.into()).collect();
        names.sort();
        names.retain(|device| matches!(self.ask(device), Verdict::Offer(offer) if offer.is_first));
        for device in &names {
            self.offer(device);
        }
        names
    }

    fn offer(&mut self, device: &str) {
        let device = device.into();
        self.happens(Event::Offered { device });
    }

    fn report(&mut self, device: &str, outcome: Outcome) {
        let device = device.into();
        self.happens(Event::Reported { device, outcome });
    }

    fn report_all(&mut self, devices: &[Box<str>], outcome: Outcome) {
        for device in devices {
            self.report(device, outcome);
        }
    }

    fn skip(&mut self, device: &str, why: &str) {
        let (device, why) = (device.into(), why.into());
        self.happens(Event::Skipped { device, why });
    }

    fn is_stopped(&self) -> bool {
        matches!(self.rollout().status(), Status::Stopped(_))
    }
}

fn name(index: usize) -> Box<str> {
    format!("n{index}").into()
}

fn stages(shares: &[Share]) -> Plan {
    Plan {
        stages: shares.to_vec(),
        ..Plan::of(12)
    }
}

#[test]
fn stages_open_one_after_the_other_and_then_it_is_finished() {
    let mut bench = Bench::started(stages(&[Share::Count(2), Share::Percent(50)]), 20);
    for expected in [2, 8, 10] {
        assert_eq!(bench.status(), "running");
        let offered = bench.all_ask();
        assert_eq!(offered.len(), expected);
        assert!(bench.all_ask().is_empty());
        bench.report_all(&offered, Outcome::Confirmed);
    }
    assert_eq!(bench.status(), "finished");
}

#[test]
fn without_stages_it_is_everybodys_turn_at_once() {
    let mut bench = Bench::started(Plan::of(12), 20);
    assert_eq!(bench.all_ask().len(), 20);
    assert_eq!(Bench::started(Plan::of(12), 0).status(), "finished");
}

#[test]
fn named_devices_come_first() {
    let plan = Plan {
        canaries: vec!["n7".into(), "n3".into(), "elsewhere".into()],
        ..stages(&[Share::Percent(25)])
    };
    let mut bench = Bench::started(plan, 20);
    let first = bench.all_ask();
    assert_eq!(first, ["n3".into(), "n7".into()]);
    bench.report_all(&first, Outcome::Confirmed);
    assert_eq!(bench.all_ask().len(), 3, "five of twenty, with the two");
}

#[test]
fn who_is_in_which_stage_depends_on_nothing_but_the_names_and_the_rollout() {
    let plan = stages(&[Share::Percent(10), Share::Percent(50)]);
    let mut forwards = Bench::started(plan.clone(), 200);
    let mut backwards = Bench::new(plan.clone());
    for index in (0..200).rev() {
        let devices = vec![name(index)];
        backwards.happens(Event::Joined { devices });
    }
    backwards.happens(Event::Started);
    let first = forwards.all_ask();
    assert_eq!(first, backwards.all_ask());
    // Another rollout begins with other devices.
    let mut board = Board::default();
    let mut happens = |event| {
        board.apply(&Record {
            rollout: 8,
            at: Millis(0),
            by: None,
            event,
        });
    };
    happens(Event::Created { plan });
    happens(Event::Joined {
        devices: (0..200).map(name).collect(),
    });
    happens(Event::Started);
    let rollout = board.get(8).unwrap();
    let stages = first
        .iter()
        .map(|device| rollout.member(device).unwrap().stage());
    assert!(stages.filter(|stage| *stage == 0).count() < 10);
}

#[test]
fn a_stage_is_passed_exactly_when_enough_have_confirmed() {
    for devices in 1..25_usize {
        for percent in 1..=100_u8 {
            let plan = Plan {
                success_percent: percent,
                failure_percent: 100,
                ..stages(&[Share::Count(u32::try_from(devices).unwrap())])
            };
            let mut bench = Bench::started(plan, devices * 2);
            let offered = bench.all_ask();
            let needed = (devices * usize::from(percent)).div_ceil(100);
            for (index, device) in offered.iter().enumerate() {
                let open = usize::from(index >= needed);
                assert_eq!(
                    bench.rollout().open_stage(),
                    open,
                    "{percent} % of {devices}"
                );
                bench.report(device, Outcome::Confirmed);
            }
            assert_eq!(bench.rollout().open_stage(), 1);
        }
    }
}

#[test]
fn it_stops_exactly_when_too_many_have_failed() {
    for devices in 1..25_usize {
        for percent in 1..=100_u8 {
            let plan = Plan {
                failure_percent: percent,
                ..Plan::of(12)
            };
            let mut bench = Bench::started(plan, devices);
            let offered = bench.all_ask();
            let needed = (devices * usize::from(percent)).div_ceil(100);
            for device in &offered[..needed - 1] {
                bench.report(device, Outcome::Refused);
                assert!(!bench.is_stopped(), "{percent} % of {devices}");
            }
            bench.report(&offered[needed - 1], Outcome::RolledBack);
            assert!(bench.is_stopped(), "{percent} % of {devices}");
        }
    }
}

#[test]
fn failures_are_counted_in_all_where_that_is_wanted() {
    let plan = Plan {
        failure_count: Some(3),
        failure_percent: 100,
        success_percent: 50,
        ..stages(&[Share::Count(4)])
    };
    let mut bench = Bench::started(plan, 20);
    let first = bench.all_ask();
    bench.report_all(&first[..2], Outcome::Confirmed);
    bench.report_all(&first[2..], Outcome::Failed);
    assert_eq!(bench.status(), "running");
    let second = bench.all_ask();
    bench.report(&second[0], Outcome::Failed);
    assert_eq!(
        bench.rollout().status(),
        Status::Stopped(StopReason::FailureCount)
    );
    assert!(bench.all_ask().is_empty());
}

#[test]
fn a_stage_in_which_all_have_ended_and_too_few_are_well_stops_it() {
    let plan = Plan {
        success_percent: 100,
        failure_percent: 50,
        ..stages(&[Share::Count(4)])
    };
    let mut bench = Bench::started(plan, 8);
    let first = bench.all_ask();
    bench.report_all(&first[..3], Outcome::Confirmed);
    bench.report(&first[3], Outcome::Failed);
    let missed = Status::Stopped(StopReason::SuccessMissed { stage: 0 });
    assert_eq!(bench.rollout().status(), missed);
    // A person who lets it go on has seen that.
    bench.by(1, Event::Resumed);
    assert_eq!(bench.status(), "running");
    assert_eq!(bench.all_ask().len(), 4);
}

#[test]
fn devices_without_a_use_for_it_prove_nothing() {
    let mut bench = Bench::started(stages(&[Share::Count(2)]), 8);
    for device in bench.all_ask() {
        bench.skip(&device, "no-space");
    }
    assert!(bench.is_stopped());
    bench.by(1, Event::Resumed);
    assert_eq!(bench.rollout().open_stage(), 1);
    // One of two is enough: the other does not count.
    let mut bench = Bench::started(stages(&[Share::Count(2)]), 8);
    let first = bench.all_ask();
    bench.skip(&first[0], "other-chip");
    bench.report(&first[1], Outcome::Confirmed);
    assert_eq!(bench.rollout().open_stage(), 1);
}

#[test]
fn after_a_stop_only_new_failures_count() {
    let plan = Plan {
        failure_percent: 20,
        ..Plan::of(12)
    };
    let mut bench = Bench::started(plan.clone(), 10);
    let offered = bench.all_ask();
    bench.report_all(&offered[..2], Outcome::Failed);
    assert!(bench.is_stopped());
    bench.by(1, Event::Resumed);
    // Two of the other eight.
    bench.report(&offered[2], Outcome::Failed);
    assert_eq!(bench.status(), "running");
    bench.report(&offered[3], Outcome::Failed);
    assert!(bench.is_stopped());
    // A pause is no pardon.
    let mut bench = Bench::started(plan, 10);
    let offered = bench.all_ask();
    bench.report(&offered[0], Outcome::Failed);
    bench.by(1, Event::Paused);
    bench.report(&offered[1], Outcome::Failed);
    assert_eq!(bench.status(), "paused");
    bench.by(1, Event::Resumed);
    assert!(bench.is_stopped());
}

#[test]
fn failed_devices_are_tried_again_when_somebody_says_so() {
    let plan = Plan {
        failure_percent: 50,
        ..Plan::of(12)
    };
    let mut bench = Bench::started(plan, 4);
    let offered = bench.all_ask();
    bench.report_all(&offered[..2], Outcome::Refused);
    assert!(bench.is_stopped());
    bench.by(1, Event::Retried);
    assert!(bench.all_ask().is_empty(), "it is still stopped");
    bench.by(1, Event::Resumed);
    let again = bench.all_ask();
    assert_eq!(again, offered[..2]);
    let Verdict::Offer(offer) = bench.ask(&again[0]) else {
        panic!("it is in an update");
    };
    assert_eq!((offer.attempt, offer.is_first), (2, false));
    bench.report_all(&offered, Outcome::Confirmed);
    assert_eq!(bench.status(), "finished");
}

#[test]
fn an_aborted_rollout_offers_nothing_and_lets_its_devices_go() {
    let mut bench = Bench::started(Plan::of(12), 3);
    bench.offer("n0");
    assert_eq!(bench.board.busy_with("n0"), Some(ID));
    bench.by(1, Event::Aborted);
    assert_eq!(bench.board.busy_with("n0"), None);
    let device = name(1);
    for event in [
        Event::Resumed,
        Event::Retried,
        Event::Started,
        Event::Offered { device },
    ] {
        bench.by(1, event);
        assert_eq!(bench.status(), "aborted");
        assert!(bench.all_ask().is_empty());
        assert_eq!(bench.ask("n0"), Verdict::No(No::Aborted));
    }
    // What became of the device is still known.
    bench.report("n0", Outcome::Confirmed);
    assert_eq!(bench.rollout().stages()[0].counts.confirmed, 1);
}

#[test]
fn two_persons_are_needed_where_approval_is() {
    let mut bench = Bench::new(Plan {
        approval: true,
        ..Plan::of(12)
    });
    bench.join(2);
    bench.happens(Event::Started);
    assert_eq!(bench.status(), "waiting-for-approval");
    assert_eq!(bench.ask("n0"), Verdict::Wait(Wait::Approval));
    bench.by(1, Event::Approved);
    bench.happens(Event::Approved);
    assert!(
        !bench.rollout().is_due(Millis(i64::MAX)),
        "nobody else has approved"
    );
    bench.by(2, Event::Approved);
    assert!(bench.rollout().is_due(Millis(bench.now)));
    bench.happens(Event::Started);
    assert_eq!(bench.all_ask().len(), 2);
}

#[test]
fn it_starts_at_its_time() {
    let start = Millis(2_000_000);
    let mut bench = Bench::new(Plan {
        start_at: Some(start),
        ..Plan::of(12)
    });
    bench.join(1);
    assert_eq!(bench.status(), "scheduled");
    assert!(!bench.rollout().is_due(Millis(1_999_999)));
    assert!(bench.rollout().is_due(start));
    assert_eq!(bench.ask("n0"), Verdict::Wait(Wait::Start(Some(start))));
    bench.by(1, Event::Paused);
    assert!(!bench.rollout().is_due(start));
    assert_eq!(bench.ask("n0"), Verdict::Wait(Wait::Paused));
    bench.by(1, Event::Resumed);
    assert!(bench.rollout().is_due(start));
}

#[test]
fn the_rate_holds_in_any_minute() {
    let plan = Plan {
        per_minute: Some(3),
        ..Plan::of(12)
    };
    let mut bench = Bench::started(plan, 10);
    let mut offers = Vec::new();
    for second in 0..300 {
        bench.now = 1_000_000 + second * 1000;
        let mut members = bench.rollout().members();
        let waiting = members.find(|(_, member)| *member.state() == MemberState::Waiting);
        let Some(device) = waiting.map(|(name, _)| Box::from(name)) else {
            break;
        };
        drop(members);
        match bench.ask(&device) {
            Verdict::Offer(_) => {
                bench.offer(&device);
                offers.push(second);
            }
            other => {
                let until = 1_000_000 + (offers[offers.len() - 3] + 60) * 1000;
                assert_eq!(other, Verdict::Wait(Wait::Rate(Millis(until))));
            }
        }
    }
    assert_eq!(offers, [0, 1, 2, 60, 61, 62, 120, 121, 122, 180]);
}

#[test]
fn updates_begin_in_the_window_and_may_end_outside() {
    let window = Some("10:00-11:00 UTC".parse().unwrap());
    let plan = Plan {
        window,
        ..Plan::of(12)
    };
    let mut bench = Bench::started(plan, 2);
    let hour = 3_600_000;
    let closed_until = |hours| Verdict::Wait(Wait::Window(Some(Millis(hours * hour))));
    bench.now = 9 * hour;
    assert_eq!(bench.ask("n0"), closed_until(10));
    bench.now = 10 * hour;
    assert_eq!(bench.all_ask().len(), 2);
    bench.now = 11 * hour;
    assert_eq!(bench.ask("n0"), closed_until(34));
    let rest = Ask { continues: true };
    let ask = |bench: &Bench| bench.board.ask(ID, "n0", rest, Millis(bench.now));
    assert!(matches!(ask(&bench), Verdict::Offer(offer) if !offer.is_first));
    bench.by(1, Event::Paused);
    assert_eq!(ask(&bench), Verdict::Wait(Wait::Paused));
}

#[test]
fn a_silent_device_counts_as_failed_until_it_comes_again() {
    let plan = Plan {
        answer_minutes: 10,
        failure_percent: 50,
        ..Plan::of(12)
    };
    let mut bench = Bench::started(plan, 3);
    bench.all_ask();
    bench.report("n0", Outcome::Confirmed);
    let minute = 60_000;
    bench.now += 9 * minute;
    bench.report("n1", Outcome::Interrupted);
    bench.now += minute;
    let overdue: Vec<_> = bench.board.overdue(Millis(bench.now)).collect();
    assert_eq!(overdue, [(ID, "n2")], "n1 was heard of a minute ago");
    bench.happens(Event::TimedOut { device: name(2) });
    assert_eq!(bench.rollout().stages()[0].counts.timed_out, 1);
    assert_eq!(bench.board.busy_with("n2"), None);
    assert!(matches!(bench.ask("n2"), Verdict::Offer(offer) if offer.is_first));
    bench.report("n2", Outcome::Confirmed);
    assert_eq!(bench.rollout().stages()[0].counts.timed_out, 0);
    bench.now += 9 * minute;
    bench.happens(Event::TimedOut { device: name(1) });
    assert_eq!(bench.status(), "finished");
}

#[test]
fn who_comes_late_is_in_the_last_stage() {
    let mut bench = Bench::started(stages(&[Share::Count(1)]), 2);
    bench.happens(Event::Joined {
        devices: vec!["late".into()],
    });
    let first = bench.all_ask();
    assert_eq!(first.len(), 1);
    assert_eq!(
        bench.ask("late"),
        Verdict::Wait(Wait::Stage { of: 1, open: 0 })
    );
    bench.report_all(&first, Outcome::Confirmed);
    let rest = bench.all_ask();
    assert_eq!(rest.len(), 2);
    bench.report_all(&rest, Outcome::Confirmed);
    assert_eq!(bench.status(), "finished");
    bench.happens(Event::Joined {
        devices: vec!["later".into()],
    });
    assert_eq!(bench.status(), "running");
    assert_eq!(bench.all_ask(), ["later".into()]);
}

#[test]
fn who_leaves_is_out_unless_it_has_begun() {
    let mut bench = Bench::new(Plan::of(12));
    bench.join(4);
    bench.happens(Event::Left { device: name(0) });
    bench.happens(Event::Started);
    assert_eq!(bench.ask("n0"), Verdict::No(No::Outside));
    bench.offer("n1");
    for index in 1..3 {
        bench.happens(Event::Left {
            device: name(index),
        });
    }
    assert!(matches!(bench.ask("n1"), Verdict::Offer(_)));
    assert_eq!(bench.ask("n2"), Verdict::No(No::Outside));
    assert_eq!(bench.ask("stranger"), Verdict::No(No::Outside));
    bench.happens(Event::Joined {
        devices: vec![name(2)],
    });
    assert!(matches!(bench.ask("n2"), Verdict::Offer(_)));
    let counts = bench.rollout().stages()[0].counts;
    assert_eq!((counts.waiting, counts.offered, counts.left), (2, 1, 0));
}

#[test]
fn old_reports_are_not_about_this() {
    let mut bench = Bench::started(Plan::of(12), 2);
    bench.report("n0", Outcome::Failed);
    assert!(matches!(bench.ask("n0"), Verdict::Offer(_)));
    bench.offer("n0");
    bench.report("n0", Outcome::Confirmed);
    // It had second thoughts.
    bench.report("n0", Outcome::RolledBack);
    assert_eq!(
        bench.ask("n0"),
        Verdict::No(No::Failed(Outcome::RolledBack))
    );
    // What runs the release by itself needs nothing.
    bench.report("n1", Outcome::Confirmed);
    assert_eq!(bench.ask("n1"), Verdict::No(No::Confirmed));
}
