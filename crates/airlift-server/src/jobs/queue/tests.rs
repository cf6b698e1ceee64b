use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::jobs::job::{Canceled, Job, Retries};

fn job_with(id: i64, change: impl FnOnce(&mut Job)) -> Arc<Job> {
    let mut job = Job {
        id,
        name: format!("job{id}").into(),
        document: RawValue::from_string("{\"operation\":\"test\"}".to_owned()).unwrap(),
        release: None,
        automatic: false,
        stream: None,
        files: Arc::new([]),
        timeout: None,
        retries: Retries::default(),
        canceled: None,
    };
    change(&mut job);
    Arc::new(job)
}

fn job(id: i64) -> Arc<Job> {
    job_with(id, |_| {})
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn queued(job: &Arc<Job>, seconds: i64) -> Execution {
    Execution::new(Arc::clone(job), 1, at(seconds))
}

fn says(status: Status) -> Update {
    Update {
        status,
        details: None,
        expected_version: None,
        number: None,
        step_timer: None,
    }
}

fn details(json: &str) -> Details {
    Details::read(json).unwrap()
}

/// Ids of the jobs, in their order.
fn order(queue: &Queue) -> Vec<i64> {
    queue.pending().iter().map(|one| one.job.id).collect()
}

#[test]
fn the_worked_example_of_the_developer_guide() {
    let mut queue = Queue::default();
    let told = |outcome: &Outcome| (outcome.list_changed, outcome.next_changed);

    // job1 is created: both.
    assert_eq!(told(&queue.add(queued(&job(1), 947))), (true, true));
    // job2: the next one is still job1.
    assert_eq!(told(&queue.add(queued(&job(2), 1191))), (true, false));
    // job1 starts: nothing comes or goes.
    assert_eq!(
        told(&queue.start_next(None, None, at(1472))),
        (false, false)
    );
    assert_eq!(told(&queue.add(queued(&job(3), 1905))), (true, false));
    assert_eq!(order(&queue), [1, 2, 3]);
    let first = queue.next().unwrap();
    assert_eq!(
        (first.version, first.started_at, first.updated_at),
        (2, Some(at(1472)), at(1472))
    );
    // job1 succeeds: both, and job2 is next.
    let outcome = queue.update("job1", &says(Status::Succeeded), at(2000));
    assert_eq!(told(&outcome.unwrap()), (true, true));
    assert_eq!(order(&queue), [2, 3]);
    // job3 begins before job2: only what is next changes.
    let outcome = queue.update("job3", &says(Status::InProgress), at(2500));
    assert_eq!(told(&outcome.unwrap()), (false, true));
    assert_eq!(order(&queue), [3, 2]);
    // job2 is rejected: only the list.
    let outcome = queue.update("job2", &says(Status::Rejected), at(2600));
    assert_eq!(told(&outcome.unwrap()), (true, false));
    // job3 is deleted by force: both, and nothing is left.
    assert_eq!(told(&queue.replace(Queue::default())), (true, true));
    assert!(queue.next().is_none());
}

#[test]
fn an_execution_in_progress_is_started_again_without_another_version() {
    let mut queue = Queue::new(vec![queued(&job(1), 1)]);
    let first = queue.start_next(Some(details("{\"a\":\"1\"}")), None, at(2));
    assert_eq!(first.changed[0].version, 2);
    let again = queue.start_next(Some(details("{\"a\":\"2\"}")), None, at(3));
    assert!(again.changed.is_empty());
    let next = queue.next().unwrap();
    assert_eq!((next.version, next.updated_at), (2, at(2)));
    assert_eq!(
        next.details,
        Some(details("{\"a\":\"1\"}")),
        "those of a start that is none are not taken"
    );
}

#[test]
fn a_thing_may_say_these_and_nothing_else() {
    use Status::*;
    for from in [Queued, InProgress] {
        for to in Status::ALL {
            let mut queue = Queue::new(vec![queued(&job(1), 1)]);
            if from == InProgress {
                queue.start_next(None, None, at(2));
            }
            let outcome = queue.update("job1", &says(to), at(3));
            let may = matches!(to, InProgress | Succeeded | Failed | Rejected);
            assert_eq!(outcome.is_ok(), may, "{from:?} -> {to:?}");
            if let Ok(outcome) = outcome {
                assert_eq!(outcome.changed[0].status, to);
                assert_eq!(queue.next().is_none(), to.is_terminal());
            } else {
                assert_eq!(outcome.unwrap_err(), NotChanged::NoSuchTransition);
                assert_eq!(queue.next().unwrap().status, from);
            }
        }
    }
}

#[test]
fn the_version_the_number_and_the_job_must_be_those_that_are_meant() {
    let mut queue = Queue::new(vec![queued(&job(1), 1)]);
    let with = |expected_version, number| Update {
        expected_version,
        number,
        ..says(Status::InProgress)
    };
    for (name, update, error) in [
        ("job1", with(Some(2), None), NotChanged::VersionMismatch),
        ("job1", with(Some(0), None), NotChanged::VersionMismatch),
        ("job1", with(None, Some(2)), NotChanged::NotPending),
        ("job2", with(None, None), NotChanged::NotPending),
        ("", with(Some(1), Some(1)), NotChanged::NotPending),
    ] {
        assert_eq!(queue.update(name, &update, at(2)).unwrap_err(), error);
    }
    assert_eq!(queue.next().unwrap().version, 1);
    queue
        .update("job1", &with(Some(1), Some(1)), at(2))
        .unwrap();
    queue.update("job1", &with(Some(2), None), at(2)).unwrap();
    assert_eq!(queue.next().unwrap().version, 3);
}

#[test]
fn details_take_the_place_of_those_before_and_stay_when_there_are_none() {
    let mut queue = Queue::new(vec![queued(&job(1), 1)]);
    let with = |json: Option<&str>| Update {
        details: json.map(details),
        ..says(Status::InProgress)
    };
    queue
        .update("job1", &with(Some("{\"a\":\"1\"}")), at(2))
        .unwrap();
    queue.update("job1", &with(None), at(3)).unwrap();
    assert_eq!(
        queue.next().unwrap().details,
        Some(details("{\"a\":\"1\"}"))
    );
    queue
        .update("job1", &with(Some("{\"b\":\"2\"}")), at(4))
        .unwrap();
    assert_eq!(
        queue.next().unwrap().details,
        Some(details("{\"b\":\"2\"}"))
    );
}

#[test]
fn the_timer_of_a_step_runs_within_that_of_the_whole() {
    let minutes = |minutes: i64| at(60 * minutes);
    let timed = job_with(1, |job| job.timeout = Some(10));
    let mut queue = Queue::new(vec![queued(&timed, 0)]);
    // Nothing runs before it begins.
    assert!(queue.settle(minutes(1000)).changed.is_empty());
    let start = minutes(1000);
    let deadline = |queue: &Queue| queue.next().unwrap().deadline;
    queue.start_next(None, None, start);
    assert_eq!(deadline(&queue), Some(minutes(1010)));
    queue.start_next(None, Some(StepTimer::Minutes(3)), start);
    assert_eq!(deadline(&queue), Some(minutes(1003)));
    let step = |timer| Update {
        step_timer: Some(timer),
        ..says(Status::InProgress)
    };
    queue
        .update("job1", &step(StepTimer::Minutes(60)), minutes(1002))
        .unwrap();
    assert_eq!(deadline(&queue), Some(minutes(1010)), "not beyond");
    queue
        .update("job1", &step(StepTimer::Minutes(5)), minutes(1002))
        .unwrap();
    assert_eq!(deadline(&queue), Some(minutes(1007)));
    // Progress alone does not set it back.
    queue
        .update("job1", &says(Status::InProgress), minutes(1006))
        .unwrap();
    assert_eq!(deadline(&queue), Some(minutes(1007)));
    queue
        .update("job1", &step(StepTimer::Off), minutes(1006))
        .unwrap();
    assert_eq!(deadline(&queue), Some(minutes(1010)));

    assert!(
        queue
            .settle(Timestamp(minutes(1010).0 - 1))
            .changed
            .is_empty()
    );
    let outcome = queue.settle(minutes(1010));
    assert_eq!(outcome.changed[0].status, Status::TimedOut);
    assert_eq!(outcome.changed[0].deadline, None);
    assert!(outcome.list_changed && outcome.next_changed && queue.next().is_none());

    // Without a limit for the whole there is only that of the step.
    let mut queue = Queue::new(vec![queued(&job(2), 0)]);
    queue.start_next(None, Some(StepTimer::Minutes(1)), at(0));
    assert_eq!(deadline(&queue), Some(minutes(1)));
    queue.start_next(None, Some(StepTimer::Off), at(1));
    assert_eq!(deadline(&queue), None);
}

#[test]
fn what_failed_or_timed_out_is_tried_again_as_often_as_its_job_says() {
    let stubborn = job_with(1, |job| {
        job.timeout = Some(1);
        job.retries = Retries {
            failed: 2,
            timed_out: 1,
        };
    });
    let mut queue = Queue::new(vec![queued(&stubborn, 0)]);
    let mut now = 0;
    let mut end = |queue: &mut Queue, status| {
        now += 100;
        queue.start_next(None, None, at(now));
        now += 100;
        let outcome = match status {
            Status::TimedOut => queue.settle(at(now)),
            status => queue.update("job1", &says(status), at(now)).unwrap(),
        };
        assert_eq!(outcome.changed[0].status, status);
        // One goes and one comes: another execution is next.
        assert!(outcome.list_changed && outcome.next_changed);
        let next = queue.next();
        assert_eq!(
            outcome.changed.get(1).map(|one| one.number),
            next.map(|one| one.number)
        );
        next.map(|next| {
            assert_eq!((next.status, next.version), (Status::Queued, 1));
            assert_eq!(next.queued_at, at(now));
            next.number
        })
    };
    assert_eq!(end(&mut queue, Status::Failed), Some(2));
    assert_eq!(end(&mut queue, Status::TimedOut), Some(3));
    assert_eq!(end(&mut queue, Status::Failed), Some(4));
    assert_eq!(end(&mut queue, Status::Failed), None);

    // What a thing does not want is not tried again, nor what is canceled.
    for (status, canceled) in [
        (Status::Rejected, None),
        (Status::Failed, Some(Canceled { forced: false })),
    ] {
        let job = job_with(1, |job| {
            job.retries.failed = 9;
            job.canceled = canceled;
        });
        let mut execution = queued(&job, 0);
        execution.change(Status::InProgress, None, at(1));
        let mut queue = Queue::new(vec![execution]);
        queue.settle(at(2));
        queue.update("job1", &says(status), at(3)).unwrap();
        assert!(queue.next().is_none());
    }
}

#[test]
fn a_canceled_job_ends_what_waits_and_by_force_what_is_in_progress() {
    for (forced, left) in [(false, vec![1]), (true, vec![])] {
        let canceled = |id| job_with(id, |job| job.canceled = Some(Canceled { forced }));
        let mut running = queued(&canceled(1), 0);
        running.change(Status::InProgress, None, at(1));
        let mut queue = Queue::new(vec![running, queued(&canceled(2), 0)]);
        let outcome = queue.settle(at(5));
        assert_eq!(order(&queue), left);
        assert!(
            outcome
                .changed
                .iter()
                .all(|one| one.status == Status::Canceled)
        );
        assert_eq!(outcome.changed.len(), 2 - left.len());
    }
}

#[test]
fn one_execution_is_canceled_by_force_or_before_it_begins() {
    let mut queue = Queue::new(vec![queued(&job(1), 1), queued(&job(2), 2)]);
    queue.start_next(None, None, at(3));
    let cancel = |queue: &mut Queue, job: &str, force, version| {
        queue.cancel(
            job,
            force,
            version,
            Some(&details("{\"why\":\"x\"}")),
            at(4),
        )
    };
    assert_eq!(
        cancel(&mut queue, "job1", false, None).unwrap_err(),
        NotChanged::NoSuchTransition
    );
    assert_eq!(
        cancel(&mut queue, "job1", true, Some(1)).unwrap_err(),
        NotChanged::VersionMismatch
    );
    let outcome = cancel(&mut queue, "job1", true, Some(2)).unwrap();
    assert_eq!(outcome.changed[0].status, Status::Canceled);
    assert_eq!(outcome.changed[0].details, Some(details("{\"why\":\"x\"}")));
    assert!(cancel(&mut queue, "job2", false, None).is_ok());
    assert_eq!(
        cancel(&mut queue, "job2", true, None).unwrap_err(),
        NotChanged::NotPending
    );
}

#[test]
fn what_is_not_offered_any_more_goes_unless_it_is_on_trial() {
    let automatic = |id, release| {
        job_with(id, |job| {
            job.automatic = true;
            job.release = Some(release);
        })
    };
    let by_hand = job_with(9, |job| job.release = Some(1));
    let start = |queue: &mut Queue, json: &str| {
        let update = Update {
            details: Some(details(json)),
            ..says(Status::InProgress)
        };
        queue.update("job1", &update, at(3)).unwrap();
    };
    let new = || Queue::new(vec![queued(&automatic(1, 1), 1), queued(&by_hand, 2)]);

    let mut queue = new();
    assert!(queue.keep_offered(Some(1), false, at(3)).changed.is_empty());
    let outcome = queue.keep_offered(Some(2), false, at(3));
    assert_eq!(outcome.changed[0].status, Status::Removed);
    assert_eq!(order(&queue), [9]);

    let mut queue = new();
    start(&mut queue, "{\"receive\":\"1/64\"}");
    queue.keep_offered(None, false, at(4));
    assert_eq!(order(&queue), [9], "downloading");

    let mut queue = new();
    start(&mut queue, "{\"self_test\":\"ready\"}");
    queue.keep_offered(None, false, at(4));
    assert_eq!(order(&queue), [1, 9], "installed");

    // It runs that already: what has begun may end.
    let mut queue = new();
    queue.keep_offered(Some(1), true, at(3));
    assert_eq!(order(&queue), [9]);
    let mut queue = new();
    start(&mut queue, "{\"receive\":\"64/64\"}");
    queue.keep_offered(Some(1), true, at(4));
    assert_eq!(order(&queue), [1, 9]);
}

#[derive(Debug, Clone)]
enum Step {
    Add,
    StartNext(bool),
    /// Of the pending execution at that place.
    Update(usize, Status, Option<i64>),
    Cancel(usize, bool),
    Wait(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Add),
        2 => any::<bool>().prop_map(Step::StartNext),
        4 => (0_usize..4, prop::sample::select(&Status::ALL[..]), prop::option::of(0_i64..4))
            .prop_map(|(at, status, version)| Step::Update(at, status, version)),
        1 => (0_usize..4, any::<bool>()).prop_map(|(at, force)| Step::Cancel(at, force)),
        2 => (1_i64..200).prop_map(Step::Wait),
    ]
}

type Seen = BTreeMap<(i64, i64), (Status, i64)>;

fn identities(queue: &Queue) -> Vec<(i64, i64)> {
    queue
        .pending()
        .iter()
        .map(|one| (one.job.id, one.number))
        .collect()
}

proptest! {
    /// Whatever comes: the order holds, versions rise by one, what has ended stays so, what is stored is what is pending, and
    /// notices are due exactly when the list or its head is another.
    #[test]
    fn the_rules_hold_whatever_comes(
        steps in prop::collection::vec(steps(), 1..60),
        failed in 0_u32..3, timed_out in 0_u32..3, timeout in prop::option::of(1_u32..3),
    ) {
        let mut queue = Queue::default();
        let mut stored = Seen::new();
        let (mut now, mut jobs) = (0, 0);
        for step in steps {
            let before = identities(&queue);
            let name = |at: usize| queue.pending().get(at).map(|one| one.job.name.to_string());
            let outcome = match step {
                Step::Add => {
                    jobs += 1;
                    let job = job_with(jobs, |job| {
                        job.timeout = timeout;
                        job.retries = Retries { failed, timed_out };
                    });
                    Ok(queue.add(queued(&job, now)))
                }
                Step::StartNext(with_timer) => {
                    Ok(queue.start_next(None, with_timer.then_some(StepTimer::Minutes(1)), at(now)))
                }
                Step::Update(at_, status, version) => {
                    let Some(name) = name(at_) else { continue };
                    let update = Update { expected_version: version, ..says(status) };
                    queue.update(&name, &update, at(now))
                }
                Step::Cancel(at_, force) => {
                    let Some(name) = name(at_) else { continue };
                    queue.cancel(&name, force, None, None, at(now))
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    Ok(queue.settle(at(now)))
                }
            };
            let after = identities(&queue);
            let Ok(outcome) = outcome else {
                prop_assert_eq!(before, after);
                continue;
            };
            prop_assert_eq!(outcome.next_changed, before.first() != after.first());
            let (was, is) = (BTreeSet::from_iter(&before), BTreeSet::from_iter(&after));
            prop_assert_eq!(outcome.list_changed, was != is);

            for one in &outcome.changed {
                let key = (one.job.id, one.number);
                match stored.insert(key, (one.status, one.version)) {
                    None => prop_assert_eq!((one.status, one.version), (Status::Queued, 1)),
                    Some((status, version)) => {
                        prop_assert!(!status.is_terminal());
                        let rise = one.version - version;
                        // A start that is none may still set a timer.
                        prop_assert!(rise == 1 || (rise == 0 && one.status == status));
                    }
                }
            }
            let pending: BTreeSet<_> = stored
                .iter()
                .filter(|(_, (status, _))| !status.is_terminal())
                .map(|(key, _)| key)
                .collect();
            prop_assert_eq!(&is, &pending);
            for pair in queue.pending().windows(2) {
                let rank = |one: &Execution| (one.status == Status::Queued, one.queued_at);
                prop_assert!(rank(&pair[0]) <= rank(&pair[1]));
            }
            for one in queue.pending() {
                prop_assert_eq!(one.started_at.is_some(), one.status == Status::InProgress);
                prop_assert!(one.deadline.is_none() || one.status == Status::InProgress);
                if let (Some(timeout), Some(start)) = (timeout, one.started_at) {
                    let latest = start.0 + i64::from(timeout) * 60_000;
                    prop_assert!(one.deadline.is_some_and(|deadline| deadline.0 <= latest));
                }
                prop_assert!(one.number <= i64::from(1 + failed + timed_out));
            }
        }
    }

    /// A row and an execution are the same.
    #[test]
    fn what_is_stored_is_read_back(
        status in prop::sample::select(&Status::ALL[..]), version in 1_i64..9, times in prop::array::uniform3(0_i64..1 << 40),
        some in 0_u8..8, counts in prop::array::uniform2(0_u32..11),
    ) {
        let execution = Execution {
            number: 7,
            status,
            details: (some & 1 != 0).then(|| details("{\"a\":\"\\u00e9\\\"\"}")),
            version,
            started_at: (some & 2 != 0).then_some(Timestamp(times[0])),
            updated_at: Timestamp(times[1]),
            deadline: (some & 4 != 0).then_some(Timestamp(times[2])),
            failures: counts[0],
            timeouts: counts[1],
            ..queued(&job(1), 1)
        };
        let read = Execution::read(&execution.row(3), Arc::clone(&execution.job)).unwrap();
        prop_assert_eq!(format!("{:?}", read), format!("{:?}", execution));
        prop_assert_eq!(execution.row(3).thing, 3);
    }
}
