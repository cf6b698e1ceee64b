//! The table of power cuts for everything but the app alone: schemes x boards x geometries x flash models, cut at every operation, then
//! again within the recovery, and for a sample a third time.
//!
//! `cargo test -p airlift-sim --test partition_cuts` runs the short form; `AIRLIFT_SWEEP=full` the full one. A failure prints
//! the environment that repeats it alone.

mod sweep_table;

use airlift_formats::esp::otadata::Build;
use airlift_sim::flash::Model;
use airlift_sim::power_cut::{
    App, Change, EspMachine, GenericMachine, How, Machine, PartitionScenario, PartitionWorld,
    Tally, Where, sweep,
};
use sweep_table::{Row, by_call, by_word, full};

const IN_SLOT: How = How::Backup {
    room: Where::Slot,
    resumes: false,
    half: false,
};
const RESUMES: How = How::Backup {
    room: Where::Slot,
    resumes: true,
    half: false,
};
const APART: How = How::Backup {
    room: Where::Apart,
    resumes: false,
    half: false,
};
const HALF: How = How::Backup {
    room: Where::Apart,
    resumes: true,
    half: true,
};
const STAGED: How = How::Staged(Where::Slot);
const STAGED_APART: How = How::Staged(Where::Apart);
const LOADER: How = How::BootLoader { recovery: true };

/// What changes on the device. To prove something new, add a line.
const SCENARIOS: &[PartitionScenario] = &[
    line("direct", &[Change::Data(How::Direct, 3001)]),
    line(
        "direct, damaged on the way, then good",
        &[
            Change::Damaged(How::Direct, 2500),
            Change::Data(How::Direct, 3001),
        ],
    ),
    line("backup in the passive slot", &[Change::Data(IN_SLOT, 3001)]),
    line(
        "backup in the passive slot, goes on",
        &[Change::Data(RESUMES, 3001)],
    ),
    line(
        "backup apart, twice",
        &[Change::Data(APART, 4000), Change::Data(APART, 1000)],
    ),
    line("backup of half, goes on", &[Change::Data(HALF, 3500)]),
    line(
        "backup, damaged on the way, then good",
        &[Change::Damaged(IN_SLOT, 3001), Change::Data(IN_SLOT, 2002)],
    ),
    line("staged in the passive slot", &[Change::Data(STAGED, 3001)]),
    line(
        "staged apart, damaged on the way, then good",
        &[
            Change::Damaged(STAGED_APART, 3001),
            Change::Data(STAGED_APART, 4096),
        ],
    ),
    line(
        "app, backup, app, staged, app over the same slots",
        &[
            Change::App(App::Confirms, 3000),
            Change::Data(IN_SLOT, 2001),
            Change::App(App::Confirms, 3100),
            Change::Data(STAGED, 2002),
            Change::App(App::Confirms, 2900),
        ],
    ),
    line(
        "a bad app, then a backup over it",
        &[
            Change::App(App::Rejects, 3000),
            Change::Data(IN_SLOT, 2001),
            Change::App(App::Confirms, 3100),
        ],
    ),
    line(
        "two steps, twice",
        &[
            Change::TwoStep(App::Confirms, 3000, 3900),
            Change::TwoStep(App::Confirms, 3100, 2100),
        ],
    ),
    line(
        "two steps, then a bad app and the old data again",
        &[
            Change::TwoStep(App::Confirms, 3000, 3900),
            Change::TwoStep(App::Rejects, 3100, 2100),
        ],
    ),
    line(
        "two steps, other data, a backup, the data again",
        &[
            Change::TwoStep(App::Confirms, 3000, 2900),
            Change::NewData(2100),
            Change::Data(IN_SLOT, 2001),
            Change::NewData(2200),
        ],
    ),
    line(
        "boot loader with another for the worst, twice",
        &[Change::Data(LOADER, 1500), Change::Data(LOADER, 1600)],
    ),
    replaced(
        "direct, replaced after the cut",
        &[
            Change::Data(How::Direct, 3001),
            Change::Data(How::Direct, 2002),
        ],
    ),
    replaced(
        "backup, replaced after the cut",
        &[Change::Data(IN_SLOT, 3001), Change::Data(IN_SLOT, 2002)],
    ),
    replaced(
        "backup that goes on, replaced after the cut",
        &[Change::Data(RESUMES, 3001), Change::Data(RESUMES, 2002)],
    ),
    replaced(
        "backup that goes on, replaced by an app",
        &[
            Change::Data(RESUMES, 3001),
            Change::App(App::Confirms, 2002),
        ],
    ),
    replaced(
        "staged, replaced after the cut",
        &[Change::Data(STAGED, 3001), Change::Data(STAGED, 2002)],
    ),
    replaced(
        "direct, replaced by a backup after the cut",
        &[Change::Data(How::Direct, 3001), Change::Data(IN_SLOT, 2002)],
    ),
    replaced(
        "direct, replaced by staged after the cut",
        &[Change::Data(How::Direct, 3001), Change::Data(STAGED, 2002)],
    ),
    replaced(
        "backup that goes on, replaced by staged",
        &[Change::Data(RESUMES, 3001), Change::Data(STAGED, 2002)],
    ),
    replaced(
        "an app, replaced by a backup after the cut",
        &[
            Change::App(App::Confirms, 3001),
            Change::Data(IN_SLOT, 2002),
        ],
    ),
];

const fn line(name: &'static str, steps: &'static [Change]) -> PartitionScenario {
    PartitionScenario {
        name,
        steps,
        replaced: false,
    }
}

const fn replaced(name: &'static str, steps: &'static [Change]) -> PartitionScenario {
    PartitionScenario {
        name,
        steps,
        replaced: true,
    }
}

/// One row: all lines and models on one board with one geometry.
fn row<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = if full() {
        by_call(1, 1001)
    } else {
        by_call(101, 1499)
    };
    lines::<M, W, S>(board, machine, SCENARIOS, plan);
}

/// The plainest lines, cut at every word in the short form, too.
fn every_word<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = by_word(&[0, 2], if full() { 101 } else { 0 }, 0);
    lines::<M, W, S>(board, machine, &SCENARIOS[2..3], plan);
    lines::<M, W, S>(board, machine, &SCENARIOS[7..8], plan);
}

fn lines<M: Machine, const W: usize, const S: usize>(
    board: &str,
    machine: &M,
    lines: &[PartitionScenario],
    plan: airlift_sim::power_cut::Plan<'_>,
) {
    let row = Row {
        board,
        test: "partition_cuts",
        plan,
    };
    row.heading();
    let mut total = Tally::default();
    for scenario in lines.iter().filter(|line| line.suits(machine)) {
        total.add(row.line(scenario.name, |model| {
            PartitionWorld::<M, W, S>::new(machine, model, *scenario)
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
    row generic_word_16_sector_8k_three_slots: GenericMachine::new(8192, 3, 2 * 8192), word 16, sector 8192;
    row generic_word_32_sector_4k: GenericMachine::new(4096, 2, 2 * 4096), word 32, sector 4096;
    row esp_rollback: EspMachine::new(Build::Rollback, false, 2, 2 * 4096), word 4, sector 4096;
    row esp_rollback_factory: EspMachine::new(Build::Rollback, true, 2, 2 * 4096), word 4, sector 4096;
    every_word every_word_of_generic_word_32_sector_2k: GenericMachine::new(2048, 2, 3 * 2048), word 32, sector 2048;
    every_word every_word_of_esp_rollback: EspMachine::new(Build::Rollback, false, 2, 2 * 4096), word 4, sector 4096;
}

/// Without a second boot loader, the acknowledgement in the type is due: the harness finds the moments that brick the device.
#[test]
fn a_boot_loader_without_another_one_can_brick() {
    let machine = EspMachine::new(Build::Rollback, false, 2, 2 * 4096);
    let scenario = line(
        "boot loader",
        &[Change::Data(How::BootLoader { recovery: false }, 1500)],
    );
    let world = PartitionWorld::<_, 4, 4096>::new(&machine, Model::Once, scenario);
    let tally = sweep(&world, by_call(0, 0));
    assert!(!tally.losses.is_empty());
    for (case, loss) in &tally.losses {
        assert!(loss.0.contains("bricked"), "{case}: {loss}");
    }
}
