//! What must hold of rollouts whatever happens, in any order.

use std::collections::{HashMap, HashSet};

use airlift_rollout::{
    Ask, Board, Counts, Event, MemberState, Millis, Outcome, Plan, Record, Rollout, Share, Status,
    Verdict,
};
use proptest::prelude::*;
use proptest::sample::select;

const DEVICES: usize = 12;
const ROLLOUTS: i64 = 3;

fn name(index: usize) -> Box<str> {
    format!("n{index}").into()
}

fn shares() -> impl Strategy<Value = Vec<Share>> {
    prop_oneof![
        Just(vec![]),
        (1_u32..6).prop_map(|count| vec![Share::Count(count)]),
        (1_u8..60).prop_map(|percent| vec![Share::Percent(percent), Share::Percent(percent + 30)]),
        (1_u32..4, 20_u8..80).prop_map(|(count, percent)| vec![
            Share::Count(count),
            Share::Percent(percent),
            Share::Count(count + 5)
        ]),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let thresholds = (1_u8..=100, 1_u8..=100, proptest::option::of(1_u32..6));
    let canaries = proptest::collection::hash_set(0..DEVICES, 0..3);
    let rate = proptest::option::of(1_u32..5);
    (
        shares(),
        canaries,
        thresholds,
        rate,
        any::<bool>(),
        1_u32..30,
    )
        .prop_map(
            |(stages, canaries, thresholds, per_minute, approval, answer_minutes)| {
                let (success_percent, failure_percent, failure_count) = thresholds;
                Plan {
                    stages,
                    canaries: canaries.into_iter().map(name).collect(),
                    success_percent,
                    failure_percent,
                    failure_count,
                    per_minute,
                    approval,
                    answer_minutes,
                    ..Plan::of(1)
                }
            },
        )
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    use Outcome as O;
    select(vec![
        O::Confirmed,
        O::Confirmed,
        O::Confirmed,
        O::Refused,
        O::RolledBack,
        O::Failed,
        O::Interrupted,
    ])
}

/// Anything that can stand in a log, sensible or not.
fn events() -> impl Strategy<Value = Event> {
    let device = || (0..DEVICES + 2).prop_map(name);
    let why = select(vec!["no-space", "other-chip"]);
    prop_oneof![
        1 => plans().prop_map(|plan| Event::Created { plan }),
        1 => Just(Event::Approved),
        3 => proptest::collection::vec(device(), 0..DEVICES).prop_map(|devices| Event::Joined { devices }),
        2 => Just(Event::Started),
        1 => device().prop_map(|device| Event::Left { device }),
        8 => device().prop_map(|device| Event::Offered { device }),
        8 => (device(), outcomes()).prop_map(|(device, outcome)| Event::Reported { device, outcome }),
        1 => (device(), why).prop_map(|(device, why)| Event::Skipped { device, why: why.into() }),
        1 => device().prop_map(|device| Event::TimedOut { device }),
        1 => Just(Event::Paused),
        2 => Just(Event::Resumed),
        1 => Just(Event::Retried),
        1 => select(vec![Event::Aborted, Event::Resumed, Event::Resumed, Event::Resumed]),
    ]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let by = proptest::option::of(1_i64..3);
    let record = (1..=ROLLOUTS, 0_i64..90_000, by, events());
    proptest::collection::vec(record, 0..150).prop_map(|records| {
        let mut now = 0;
        records
            .into_iter()
            .map(|(rollout, pause, by, event)| {
                now += pause;
                Record {
                    rollout,
                    at: Millis(now),
                    by,
                    event,
                }
            })
            .collect()
    })
}

/// Counts by looking at each device.
fn recount(rollout: &Rollout, stage: usize) -> Counts {
    let mut counts = Counts::default();
    let shown = rollout.stages()[stage].counts;
    for (_, member) in rollout
        .members()
        .filter(|(_, member)| member.stage() == stage)
    {
        match member.state() {
            MemberState::Waiting => counts.waiting += 1,
            MemberState::Offered => counts.offered += 1,
            MemberState::Confirmed => counts.confirmed += 1,
            MemberState::Failed(_) => counts.failed += 1,
            MemberState::TimedOut => counts.timed_out += 1,
            MemberState::Skipped(_) => counts.skipped += 1,
            MemberState::Left => counts.left += 1,
        }
    }
    // Who is forgiven cannot be seen from outside, only that nobody is counted twice.
    let went_wrong = |counts: &Counts| counts.failed + counts.timed_out + counts.skipped;
    assert_eq!(shown.forgiven, went_wrong(&counts) - went_wrong(&shown));
    Counts {
        forgiven: shown.forgiven,
        failed: shown.failed,
        timed_out: shown.timed_out,
        skipped: shown.skipped,
        ..counts
    }
}

/// What must be true of a board at any time.
fn check(board: &Board) {
    let mut in_updates: HashMap<&str, i64> = HashMap::new();
    for rollout in board.rollouts() {
        for (index, stage) in rollout.stages().iter().enumerate() {
            assert_eq!(stage.counts, recount(rollout, index));
            assert_eq!(stage.opened_at.is_some(), index <= rollout.open_stage());
        }
        for (device, member) in rollout.members() {
            if *member.state() == MemberState::Offered {
                assert!(
                    member.stage() <= rollout.open_stage(),
                    "a stage that is not open"
                );
                if rollout.status() != Status::Aborted {
                    let other = in_updates.insert(device, rollout.id());
                    assert_eq!(other, None, "{device} is in two updates");
                }
            }
        }
        // No more than the plan says have ever got as far as this.
        if rollout.open_stage() + 1 < rollout.stages().len() {
            let up_to_here = rollout
                .members()
                .filter(|(_, member)| member.stage() <= rollout.open_stage());
            assert!(up_to_here.count() <= rollout.stages()[rollout.open_stage()].up_to);
        }
    }
    for index in 0..DEVICES + 2 {
        let device = name(index);
        assert_eq!(board.busy_with(&device), in_updates.get(&*device).copied());
    }
}

fn replay(records: &[Record]) -> Board {
    let mut board = Board::default();
    records.iter().for_each(|record| board.apply(record));
    board
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_a_log_the_rules_hold(records in records()) {
        let mut board = Board::default();
        let mut aborted = HashSet::new();
        for record in &records {
            board.apply(record);
            check(&board);
            for rollout in board.rollouts() {
                if rollout.status() == Status::Aborted {
                    aborted.insert(rollout.id());
                }
            }
            for id in &aborted {
                prop_assert_eq!(board.get(*id).unwrap().status(), Status::Aborted);
                for index in 0..DEVICES {
                    prop_assert!(!matches!(board.ask(*id, &name(index), Ask::default(), record.at), Verdict::Offer(_)));
                }
            }
        }
        prop_assert_eq!(replay(&records), board);
    }

    #[test]
    fn an_offer_is_to_a_member_whose_turn_it_is_and_within_the_rate(
        records in records(), asks in proptest::collection::vec((1..=ROLLOUTS, 0..DEVICES + 2), 150),
    ) {
        let mut board = Board::default();
        let mut log = Vec::new();
        let mut offers: HashMap<i64, Vec<i64>> = HashMap::new();
        for (record, (id, device)) in records.into_iter().zip(asks) {
            // Offers are made as doors make them: by asking.
            if !matches!(record.event, Event::Offered { .. }) {
                board.apply(&record);
                log.push(record.clone());
            }
            let (device, now) = (name(device), record.at);
            let Verdict::Offer(offer) = board.ask(id, &device, Ask::default(), now) else { continue };
            let rollout = board.get(id).unwrap();
            let member = rollout.member(&device).expect("a member");
            prop_assert_eq!(rollout.status(), Status::Running);
            prop_assert!(member.stage() <= rollout.open_stage());
            prop_assert!(board.busy_with(&device).is_none_or(|busy| busy == id));
            let is_over = matches!(member.state(), MemberState::Confirmed | MemberState::Left | MemberState::Failed(_));
            prop_assert!(!is_over);
            if !offer.is_first {
                continue;
            }
            let made = offers.entry(id).or_default();
            made.push(now.0);
            if let Some(rate) = rollout.plan().per_minute {
                let in_last_minute = made.iter().filter(|at| **at > now.0 - 60_000);
                prop_assert!(in_last_minute.count() <= rate as usize);
            }
            let record = Record { rollout: id, at: now, by: None, event: Event::Offered { device: device.clone() } };
            board.apply(&record);
            log.push(record);
            prop_assert_eq!(board.busy_with(&device), Some(id));
            check(&board);
        }
        prop_assert_eq!(replay(&log), board);
    }

    #[test]
    fn it_ends_when_devices_answer(plan in plans(), devices in 0..DEVICES, answers in proptest::collection::vec(outcomes(), DEVICES)) {
        let mut board = Board::default();
        let happens = |board: &mut Board, at, by, event| board.apply(&Record { rollout: 1, at: Millis(at), by, event });
        happens(&mut board, 0, Some(1), Event::Created { plan });
        happens(&mut board, 0, Some(2), Event::Approved);
        happens(&mut board, 0, None, Event::Joined { devices: (0..devices).map(name).collect() });
        happens(&mut board, 0, None, Event::Started);
        let is_end = |answer| if answer == Outcome::Interrupted { Outcome::Failed } else { answer };
        let answers: Vec<_> = answers.into_iter().map(is_end).collect();
        // As many rounds as there are devices, a minute apart: each round brings one forward at least.
        for round in 0..=devices {
            let now = i64::try_from(round).unwrap() * 60_000;
            for (index, answer) in answers.iter().enumerate().take(devices) {
                let device = name(index);
                if let Verdict::Offer(_) = board.ask(1, &device, Ask::default(), Millis(now)) {
                    happens(&mut board, now, None, Event::Offered { device: device.clone() });
                    happens(&mut board, now, None, Event::Reported { device, outcome: *answer });
                }
            }
        }
        let rollout = board.get(1).unwrap();
        match rollout.status() {
            Status::Finished => {
                let ended = rollout.members().all(|(_, member)| matches!(member.state(), MemberState::Confirmed | MemberState::Failed(_)));
                prop_assert!(ended);
            }
            Status::Stopped(_) => prop_assert!(answers.iter().any(|answer| *answer != Outcome::Confirmed)),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_stored_and_read_back(records in records()) {
        for record in records {
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }
}
