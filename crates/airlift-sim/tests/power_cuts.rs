//! The table of power cuts: scenarios x boards x geometries x flash models, cut at every operation.
//!
//! `cargo test -p airlift-sim --test power_cuts` runs the short form; `AIRLIFT_SWEEP=full` the full one. A failure prints
//! the environment that repeats it alone.

use airlift_formats::esp::otadata::Build;
use airlift_sim::flash::{CutGrain, Model};
use airlift_sim::power_cut::{
    App, Case, EspMachine, GenericMachine, Machine, Plan, Scenario, Step, Tally, replay, sweep,
};

/// What the server offers. To prove something new, add a line.
const SCENARIOS: &[Scenario] = &[
    line("update", &[Step::good(9_001)]),
    line(
        "three updates",
        &[Step::good(5_000), Step::good(9_001), Step::good(4_096)],
    ),
    line(
        "the new app rejects itself",
        &[Step::of(App::Rejects, 5_000)],
    ),
    line(
        "the new app resets without confirming",
        &[Step::of(App::Hangs, 5_000)],
    ),
    line(
        "the new app crashes before its first line",
        &[Step::of(App::Crashes, 5_000)],
    ),
    line(
        "a damaged image, then a good one",
        &[Step::good(5_000).corrupted(), Step::good(6_000)],
    ),
    line(
        "a bad app, then a good one",
        &[Step::of(App::Rejects, 5_000), Step::good(6_000)],
    ),
    line(
        "replaced after the cut",
        &[Step::good(9_001).replaced(), Step::good(7_777)],
    ),
];

const fn line(name: &'static str, steps: &'static [Step]) -> Scenario {
    Scenario { name, steps }
}

const MODELS: &[Model] = &[Model::And, Model::Once, Model::Ecc];

fn full() -> bool {
    std::env::var("AIRLIFT_SWEEP").is_ok_and(|form| form == "full")
}

/// One row: all scenarios and models on one board with one geometry.
fn row<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = if full() {
        Plan {
            grain: CutGrain::Word,
            seeds: &[1, 2, 3, 4],
            second: 97,
        }
    } else {
        Plan {
            grain: CutGrain::Call,
            seeds: &[1, 2, 3],
            second: 41,
        }
    };
    let asked = std::env::var("AIRLIFT_CASE").ok();
    let mut total = Tally::default();
    println!(
        "{:<44}{:<6}{:>11}{:>9}{:>9}{:>8}",
        board, "flash", "operations", "cuts", "double", "losses"
    );
    // With a single slot there is nowhere to go after the first update.
    let lines = SCENARIOS
        .iter()
        .filter(|line| machine.slots().len() > 1 || line.steps.len() == 1);
    for scenario in lines {
        for &model in MODELS {
            let name = format!("{board}/{}/{model:?}", scenario.name);
            if let Some(asked) = &asked {
                if let Some(case) = asked.strip_prefix(&name) {
                    let case: Case = case
                        .trim_start_matches('/')
                        .parse()
                        .expect("a printed case");
                    replay::<M, W, S>(machine, *scenario, model, &case)
                        .expect("no promise is broken");
                }
                continue;
            }
            let tally = sweep::<M, W, S>(machine, *scenario, model, plan);
            println!(
                "{:<44}{:<6}{:>11}{:>9}{:>9}{:>8}",
                scenario.name,
                format!("{model:?}"),
                tally.operations,
                tally.single,
                tally.double,
                tally.losses.len()
            );
            for (case, loss) in tally.losses.iter().take(3) {
                eprintln!(
                    "LOST: {loss}\n  AIRLIFT_CASE='{name}/{case}' cargo test -p airlift-sim --test power_cuts"
                );
            }
            total.add(tally);
        }
    }
    assert!(
        total.losses.is_empty(),
        "{} of {} cuts break a promise",
        total.losses.len(),
        total.single + total.double
    );
}

macro_rules! rows {
    ($($name:ident: $machine:expr, word $word:literal, sector $sector:literal;)*) => {$(
        #[test]
        fn $name() {
            row::<_, $word, $sector>(stringify!($name), &$machine);
        }
    )*};
}

rows! {
    generic_word_4_sector_2k: GenericMachine::new(2048, 2, 5 * 2048), word 4, sector 2048;
    generic_word_4_sector_4k: GenericMachine::new(4096, 2, 3 * 4096), word 4, sector 4096;
    generic_word_8_sector_2k: GenericMachine::new(2048, 2, 5 * 2048), word 8, sector 2048;
    generic_word_16_sector_8k: GenericMachine::new(8192, 2, 2 * 8192), word 16, sector 8192;
    generic_word_32_sector_4k_three_slots: GenericMachine::new(4096, 3, 3 * 4096), word 32, sector 4096;
    generic_word_32_sector_64k: GenericMachine::new(65536, 2, 65536), word 32, sector 65536;
    esp_rollback: EspMachine::new(Build::Rollback, false, 2, 3 * 4096), word 4, sector 4096;
    esp_rollback_factory: EspMachine::new(Build::Rollback, true, 2, 3 * 4096), word 4, sector 4096;
    esp_rollback_one_slot_and_factory: EspMachine::new(Build::Rollback, true, 1, 3 * 4096), word 4, sector 4096;
    esp_rollback_three_slots: EspMachine::new(Build::Rollback, false, 3, 3 * 4096), word 16, sector 4096;
}
