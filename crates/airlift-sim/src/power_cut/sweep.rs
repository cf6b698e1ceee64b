//! Every cut of a scenario, and cuts within the recovery from them.

use super::case::Case;
use super::judge::Loss;
use super::machine::Machine;
use super::run::{Scenario, World};
use crate::flash::{Cut, CutGrain, Flash, Geometry, Model, Nor};

/// How thorough a sweep is.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What counts as one operation.
    pub grain: CutGrain,
    /// Each operation is torn once with each seed, and cut off cleanly once more.
    pub seeds: &'a [u64],
    /// After every n-th first cut, the power is cut again at every operation of what follows; 0: never.
    pub second: u64,
}

/// What a sweep did.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Operations of the scenario when nothing is cut.
    pub operations: u64,
    /// Runs with one cut, and with two.
    pub single: u64,
    /// Runs with a second cut after the first.
    pub double: u64,
    /// Cases that broke a promise, and which.
    pub losses: Vec<(Case, Loss)>,
}

impl Tally {
    /// Adds what another sweep did.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.single += other.single;
        self.double += other.double;
        self.losses.extend(other.losses);
    }
}

/// Runs `scenario` once, then with a cut at every operation.
///
/// # Panics
///
/// If the geometry of the type is none, or the scenario fails without any cut.
pub fn sweep<M: Machine, const W: usize, const S: usize>(
    machine: &M,
    scenario: Scenario,
    model: Model,
    plan: Plan<'_>,
) -> Tally {
    let base = base::<M, W, S>(machine, scenario, model);
    let mut whole = base.fork();
    whole.flash().lock().start_trace();
    if let Err(loss) = whole.live(|_| {}) {
        panic!("{} fails without any power cut: {loss}", scenario.name);
    }
    let trace = whole.flash().lock().take_trace();
    let mut tally = Tally {
        operations: trace.len(plan.grain),
        ..Tally::default()
    };
    for first in trace.cuts(plan.grain, plan.seeds) {
        let twice = plan.second > 0 && tally.single.is_multiple_of(plan.second);
        let mut world = base.fork();
        world.flash().lock().arm(first);
        let lived = world.live(|flash| {
            if twice {
                flash.lock().start_trace();
            }
        });
        tally.single += 1;
        tally.note(&[first], lived);
        if twice {
            let trace = world.flash().lock().take_trace();
            // By call in any plan: squaring the number of words would take days.
            for second in trace.cuts(CutGrain::Call, plan.seeds) {
                let cuts = [first, second];
                let lived = live(base.fork(), &cuts);
                tally.double += 1;
                tally.note(&cuts, lived);
            }
        }
    }
    tally
}

/// Runs one case of a sweep again.
///
/// # Panics
///
/// If the geometry of the type is none.
pub fn replay<M: Machine, const W: usize, const S: usize>(
    machine: &M,
    scenario: Scenario,
    model: Model,
    case: &Case,
) -> Result<(), Loss> {
    live(base::<M, W, S>(machine, scenario, model), &case.cuts)
}

fn base<M: Machine, const W: usize, const S: usize>(
    machine: &M,
    scenario: Scenario,
    model: Model,
) -> World<'_, M, W, S> {
    let geometry = Geometry::new(W, S, machine.capacity()).expect("a geometry of the table");
    World::new(machine, &Flash::new(Nor::new(geometry, model)), scenario)
}

fn live<M: Machine, const W: usize, const S: usize>(
    mut world: World<'_, M, W, S>,
    cuts: &[Cut],
) -> Result<(), Loss> {
    let mut cuts = cuts.iter();
    if let Some(first) = cuts.next() {
        world.flash().lock().arm(*first);
    }
    world.live(|flash| {
        if let Some(next) = cuts.next() {
            flash.lock().arm(*next);
        }
    })
}

impl Tally {
    fn note(&mut self, cuts: &[Cut], lived: Result<(), Loss>) {
        if let Err(loss) = lived {
            let cuts = cuts.to_vec();
            self.losses.push((Case { cuts }, loss));
        }
    }
}
