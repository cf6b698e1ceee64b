//! The table of power cuts for updates of several parts as one: all or nothing, whatever is cut.
//!
//! `cargo test -p airlift-sim --test set_cuts` runs the short form; `AIRLIFT_SWEEP=full` the full one. A failure prints
//! the environment that repeats it alone.

mod sweep_table;

use airlift_formats::esp::otadata::Build;
use airlift_sim::power_cut::{
    App, Comes, EspMachine, GenericMachine, Machine, Plan, SAME, SetScenario, SetStep, SetWorld,
    Tally,
};
use sweep_table::{Row, by_call, by_word, full};

/// What the server offers. To prove something new, add a line.
const SCENARIOS: &[SetScenario] = &[
    line(
        "an app and two parts",
        &[set(App::Confirms, 3000, &[1500, 900])],
    ),
    line("three parts without an app", &[parts(&[1500, 900, 2000])]),
    line(
        "twice",
        &[
            set(App::Confirms, 3000, &[1500, 900]),
            set(App::Confirms, 2500, &[800, 1900, 100]),
        ],
    ),
    line(
        "the app rejects itself, and the parts go back with it",
        &[set(App::Rejects, 3000, &[1500, 900])],
    ),
    line(
        "the app resets without confirming, then a good set",
        &[
            set(App::Hangs, 3000, &[1500]),
            set(App::Confirms, 2500, &[800, 1900]),
        ],
    ),
    line(
        "the app crashes before its first line",
        &[set(App::Crashes, 3000, &[1500, 900])],
    ),
    line(
        "an app alone, then parts alone, then all",
        &[
            set(App::Confirms, 3000, &[]),
            parts(&[1200, 1300]),
            set(App::Confirms, 2000, &[1000, 1100]),
        ],
    ),
    line(
        "an app, a part and another flash",
        &[set(App::Confirms, 3000, &[1500]).custom(1100)],
    ),
    line(
        "another flash alone, then with an app that rejects itself",
        &[
            parts(&[]).custom(1300),
            set(App::Rejects, 2000, &[900]).custom(700),
        ],
    ),
    line(
        "an image with everything, resumed",
        &[set(App::Confirms, 3000, &[1500, 900])
            .custom(1100)
            .comes(Comes::Image)],
    ),
    line(
        "a manifest, then one with half of it unchanged",
        &[
            set(App::Confirms, 3000, &[1500, 900])
                .custom(1100)
                .comes(Comes::Manifest),
            set(App::Confirms, 2500, &[800, SAME])
                .custom(SAME)
                .comes(Comes::Manifest),
        ],
    ),
    line(
        "a manifest with an unchanged part, then everything unchanged",
        &[
            parts(&[SAME, 900]).custom(800).comes(Comes::Manifest),
            parts(&[SAME, SAME, SAME])
                .custom(SAME)
                .comes(Comes::Manifest),
        ],
    ),
    line(
        "an image with unchanged parts and an app that rejects itself",
        &[set(App::Rejects, 3000, &[SAME, 900])
            .custom(800)
            .comes(Comes::Image)],
    ),
];

const fn line(name: &'static str, steps: &'static [SetStep]) -> SetScenario {
    SetScenario { name, steps }
}

const fn set(app: App, length: usize, parts: &'static [usize]) -> SetStep {
    SetStep {
        app: Some((app, length)),
        ..self::parts(parts)
    }
}

const fn parts(parts: &'static [usize]) -> SetStep {
    SetStep {
        app: None,
        parts,
        custom: None,
        comes: Comes::Parts,
    }
}

fn row<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = if full() {
        by_call(1, 1001)
    } else {
        by_call(307, 2999)
    };
    lines::<M, W, S>(board, machine, SCENARIOS, plan);
}

/// The plainest line, cut at every word in the short form, too.
fn every_word<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = by_word(&[0, 2], if full() { 101 } else { 0 }, 0);
    lines::<M, W, S>(board, machine, &SCENARIOS[..1], plan);
}

fn lines<M: Machine, const W: usize, const S: usize>(
    board: &str,
    machine: &M,
    lines: &[SetScenario],
    plan: Plan<'_>,
) {
    let row = Row {
        board,
        test: "set_cuts",
        plan,
    };
    row.heading();
    let mut total = Tally::default();
    for scenario in lines.iter().filter(|line| line.suits(machine)) {
        total.add(row.line(scenario.name, |model| {
            SetWorld::<M, W, S>::new(machine, model, *scenario)
        }));
    }
    row.total(&total);
}

macro_rules! rows {
    ($($how:ident $name:ident: $machine:expr, word $word:literal, sector $sector:literal;)*) => {$(
        #[test]
        fn $name() {
            $how::<_, $word, $sector>(stringify!($name), &$machine);
        }
    )*};
}

rows! {
    row generic_word_4_sector_2k: GenericMachine::new(2048, 2, 3 * 2048), word 4, sector 2048;
    row generic_word_8_sector_4k: GenericMachine::new(4096, 2, 2 * 4096), word 8, sector 4096;
    row generic_word_32_sector_4k_three_slots: GenericMachine::new(4096, 3, 2 * 4096), word 32, sector 4096;
    row esp_rollback: EspMachine::new(Build::Rollback, false, 2, 2 * 4096), word 4, sector 4096;
    every_word every_word_of_esp_rollback: EspMachine::new(Build::Rollback, false, 2, 2 * 4096), word 4, sector 4096;
}
