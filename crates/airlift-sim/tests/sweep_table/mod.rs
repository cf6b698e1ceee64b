//! Runs the lines of a table of power cuts, prints what was done, and how to repeat what failed.

use std::io::{IsTerminal as _, Write as _};

use airlift_sim::flash::{CutGrain, Model};
use airlift_sim::power_cut::{Case, Life, Plan, Tally, replay, sweep};

/// Each way in which a program or an erase can be torn occurs: see `ProgramEffect::of_seed` and `EraseEffect::of_seed`.
pub(crate) const SEEDS: &[u64] = &[0, 1, 2, 3, 4, 5];

pub(crate) const MODELS: &[Model] = &[Model::And, Model::Once, Model::Ecc];

/// `AIRLIFT_SWEEP=full`
pub(crate) fn full() -> bool {
    std::env::var("AIRLIFT_SWEEP").is_ok_and(|form| form == "full")
}

/// Cuts by call, and again in what follows every n-th of them.
pub(crate) fn by_call(second: u64, third: u64) -> Plan<'static> {
    Plan {
        grain: CutGrain::Call,
        seeds: SEEDS,
        second,
        third,
        progress: None,
    }
}

/// Cuts by word.
pub(crate) fn by_word(seeds: &'static [u64], second: u64, third: u64) -> Plan<'static> {
    Plan {
        grain: CutGrain::Word,
        seeds,
        second,
        third,
        progress: None,
    }
}

/// The lines of one row of the table: all on one board with one geometry.
pub(crate) struct Row<'a> {
    pub(crate) board: &'a str,
    /// The test file, for the command that repeats a case.
    pub(crate) test: &'a str,
    pub(crate) plan: Plan<'a>,
}

impl Row<'_> {
    /// Lives through one line with each flash model. With `AIRLIFT_CASE` set, only that case is lived through.
    pub(crate) fn line<L: Life>(&self, line: &str, life: impl Fn(Model) -> L) -> Tally {
        let asked = std::env::var("AIRLIFT_CASE").ok();
        let mut total = Tally::default();
        for &model in MODELS {
            let name = format!("{}/{line}/{model:?}", self.board);
            if let Some(asked) = &asked {
                if let Some(case) = asked.strip_prefix(&name) {
                    let case: Case = case
                        .trim_start_matches('/')
                        .parse()
                        .expect("a printed case");
                    replay(&life(model), &case.cuts).expect("no promise is broken");
                }
                continue;
            }
            let bar = |done, all| progress(&name, done, all);
            let plan = Plan {
                progress: (full() && std::io::stderr().is_terminal()).then_some(&bar),
                ..self.plan
            };
            let tally = sweep(&life(model), plan);
            println!(
                "{line:<54} {:<6}{:>8}{:>8}{:>9}{:>8}{:>7}",
                format!("{model:?}"),
                tally.operations,
                tally.single,
                tally.double,
                tally.triple,
                tally.losses.len()
            );
            for (case, loss) in tally.losses.iter().take(3) {
                eprintln!(
                    "LOST: {loss}\n  AIRLIFT_CASE='{name}/{case}' cargo test -p airlift-sim --test {}",
                    self.test
                );
            }
            total.add(tally);
        }
        total
    }

    /// The heading of the row.
    pub(crate) fn heading(&self) {
        println!(
            "{:<54} {:<6}{:>8}{:>8}{:>9}{:>8}{:>7}",
            self.board, "flash", "steps", "cuts", "double", "triple", "losses"
        );
    }

    /// The last line of the row. A row that lost anything is a failed test.
    pub(crate) fn total(&self, total: &Tally) {
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            self.board.replace('_', " "),
            total.operations,
            total.single,
            total.double,
            total.triple,
            total.losses.len()
        );
        assert!(
            total.losses.is_empty(),
            "{} of {} cuts break a promise",
            total.losses.len(),
            total.cuts()
        );
    }
}

/// One line that is written over and over.
fn progress(name: &str, done: u64, all: u64) {
    const WIDTH: u64 = 30;
    let filled = done * WIDTH / all.max(1);
    let bar: String = (0..WIDTH)
        .map(|place| if place < filled { '█' } else { '░' })
        .collect();
    let end = if done == all { "\n" } else { "" };
    eprint!("\r  {bar} {done} of {all} first cuts  {name}{end}");
    let _ = std::io::stderr().flush();
}
