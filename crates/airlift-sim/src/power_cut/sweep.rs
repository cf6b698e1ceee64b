//! Every cut of a scenario, and cuts within the recovery from them.

use super::case::Case;
use super::judge::Loss;
use crate::flash::{Cut, CutGrain, Flash};

/// A device that lives through a scenario, whatever happens to its power, and is judged on the way.
pub trait Life: Sized {
    /// The flash, to arm cuts and to look at.
    fn flash(&self) -> &Flash;

    /// The same device on a copy of its flash.
    #[must_use]
    fn fork(&self) -> Self;

    /// Lives until everything is settled. A power cut is followed by a boot; `cut` is called then, and may arm another.
    ///
    /// # Errors
    /// The first promise that is broken.
    fn live(&mut self, cut: &mut dyn FnMut(&Flash)) -> Result<(), Loss>;
}

/// How thorough a sweep is.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    /// What counts as one operation.
    pub grain: CutGrain,
    /// Each operation is torn once with each seed, and cut off cleanly once more.
    pub seeds: &'a [u64],
    /// After every n-th first cut, the power is cut again at every operation of what follows; 0: never.
    pub second: u64,
    /// After every n-th second cut, it is cut a third time, at every operation of what follows; 0: never.
    pub third: u64,
    /// Is told how many of all first cuts are done.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

/// What a sweep did.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Operations of the scenario when nothing is cut.
    pub operations: u64,
    /// Runs with one cut.
    pub single: u64,
    /// Runs with a second cut after the first.
    pub double: u64,
    /// Runs with a third cut after those.
    pub triple: u64,
    /// Cases that broke a promise, and which.
    pub losses: Vec<(Case, Loss)>,
}

impl Tally {
    /// Adds what another sweep did.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.single += other.single;
        self.double += other.double;
        self.triple += other.triple;
        self.losses.extend(other.losses);
    }

    /// Runs with any cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.single + self.double + self.triple
    }

    fn note(&mut self, cuts: &[Cut], lived: Result<(), Loss>) {
        if let Err(loss) = lived {
            let cuts = cuts.to_vec();
            self.losses.push((Case { cuts }, loss));
        }
    }
}

/// Lives `base` through once, then with a cut at every operation.
///
/// # Panics
///
/// If it fails without any cut.
pub fn sweep<L: Life>(base: &L, plan: Plan<'_>) -> Tally {
    let mut whole = base.fork();
    whole.flash().lock().start_trace();
    if let Err(loss) = whole.live(&mut |_| {}) {
        panic!("the scenario fails without any power cut: {loss}");
    }
    let trace = whole.flash().lock().take_trace();
    let mut tally = Tally {
        operations: trace.len(plan.grain),
        ..Tally::default()
    };
    let all = trace.cuts(plan.grain, plan.seeds).count() as u64;
    for first in trace.cuts(plan.grain, plan.seeds) {
        let again = is_nth(tally.single, plan.second);
        tally.single += 1;
        let (lived, after) = live_and_trace(base, &[first], again);
        tally.note(&[first], lived);
        // By call in any plan: squaring the number of words would take days.
        for second in after.cuts(CutGrain::Call, plan.seeds) {
            let again = is_nth(tally.double, plan.third);
            tally.double += 1;
            let (lived, after) = live_and_trace(base, &[first, second], again);
            tally.note(&[first, second], lived);
            for third in after.cuts(CutGrain::Call, plan.seeds) {
                let cuts = [first, second, third];
                tally.triple += 1;
                tally.note(&cuts, replay(base, &cuts));
            }
        }
        if let Some(progress) = plan.progress {
            progress(tally.single, all);
        }
    }
    tally
}

/// Lives `base` through with these cuts: the first counts from the start, each other one from the boot after the one before.
///
/// # Errors
/// The first promise that is broken.
pub fn replay<L: Life>(base: &L, cuts: &[Cut]) -> Result<(), Loss> {
    live_and_trace(base, cuts, false).0
}

fn is_nth(count: u64, n: u64) -> bool {
    n > 0 && count.is_multiple_of(n)
}

/// Lives through the cuts, and if asked for records what happens after the last of them.
fn live_and_trace<L: Life>(
    base: &L,
    cuts: &[Cut],
    trace: bool,
) -> (Result<(), Loss>, crate::flash::Trace) {
    let mut life = base.fork();
    let mut cuts = cuts.iter();
    if let Some(first) = cuts.next() {
        life.flash().lock().arm(*first);
    }
    let lived = life.live(&mut |flash| match cuts.next() {
        Some(next) => flash.lock().arm(*next),
        None if trace => flash.lock().start_trace(),
        None => {}
    });
    let after = if trace {
        life.flash().lock().take_trace()
    } else {
        crate::flash::Trace::default()
    };
    (lived, after)
}
