//! Errors that a flash driver reports without a power cut: one operation, everything until the next boot, or a sector for good; and whatever is said
//! afterwards is so.
//!
//! `AIRLIFT_SWEEP=full` takes all models of flash.

use airlift_formats::esp::otadata::Build;
use airlift_sim::flash::Model;
use airlift_sim::power_cut::{
    App, Comes, EspMachine, FaultTally, GenericMachine, Machine, SAME, SetScenario, SetStep,
    SetWorld, fault_sweep,
};

const SCENARIOS: &[SetScenario] = &[
    SetScenario {
        name: "an app, two parts and another flash",
        steps: &[set(App::Confirms, &[1500, 900], Comes::Parts)],
    },
    SetScenario {
        name: "an app that rejects itself",
        steps: &[set(App::Rejects, &[1500, 900], Comes::Image)],
    },
    SetScenario {
        name: "a manifest with an unchanged part, twice",
        steps: &[
            set(App::Confirms, &[1500, SAME], Comes::Manifest),
            set(App::Confirms, &[SAME, 900], Comes::Manifest),
        ],
    },
];

const fn set(app: App, parts: &'static [usize], comes: Comes) -> SetStep {
    SetStep {
        app: Some((app, 3000)),
        parts,
        custom: Some(1100),
        comes,
    }
}

fn row<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    println!(
        "{board:<54} {:<6}{:>8}{:>8}{:>12}{:>8}",
        "flash", "steps", "lives", "unfinished", "losses"
    );
    let mut total = FaultTally::default();
    let full = std::env::var("AIRLIFT_SWEEP").is_ok_and(|form| form == "full");
    let models: &[Model] = match full {
        true => &[Model::And, Model::Once, Model::Ecc],
        false => &[Model::Once],
    };
    for scenario in SCENARIOS {
        for model in models {
            let tally = fault_sweep(&SetWorld::<M, W, S>::new(machine, *model, *scenario));
            println!(
                "{:<54} {:<6}{:>8}{:>8}{:>12}{:>8}",
                scenario.name,
                format!("{model:?}"),
                tally.operations,
                tally.lives,
                tally.unfinished,
                tally.losses.len()
            );
            for (fault, loss) in tally.losses.iter().take(3) {
                eprintln!(
                    "LOST: {loss}\n  {board}, {}, {model:?}: {fault}",
                    scenario.name
                );
            }
            total.operations += tally.operations;
            total.lives += tally.lives;
            total.unfinished += tally.unfinished;
            total.losses.extend(tally.losses);
        }
    }
    let losses = total.losses.len();
    println!(
        "| {} | {} | {} | {} | {losses} |",
        board.replace('_', " "),
        total.operations,
        total.lives,
        total.unfinished
    );
    assert_eq!(losses, 0, "of {} errors break a promise", total.lives);
}

#[test]
fn generic_word_8_sector_4k() {
    let machine = GenericMachine::new(4096, 2, 2 * 4096);
    row::<_, 8, 4096>("generic_word_8_sector_4k", &machine);
}

#[test]
fn generic_word_4_sector_2k() {
    let machine = GenericMachine::new(2048, 2, 3 * 2048);
    row::<_, 4, 2048>("generic_word_4_sector_2k", &machine);
}

#[test]
fn esp_rollback() {
    let machine = EspMachine::new(Build::Rollback, false, 2, 2 * 4096);
    row::<_, 4, 4096>("esp_rollback", &machine);
}
