//! The table of power cuts: scenarios x boards x geometries x flash models, cut at every operation.
//!
//! `cargo test -p airlift-sim --test power_cuts` runs the short form; `AIRLIFT_SWEEP=full` the full one. A failure prints
//! the environment that repeats it alone.

mod sweep_table;

use airlift_device::Error;
use airlift_device::flash::Region;
use airlift_device::install::{BootControl, EspOtadata, SlotState};
use airlift_formats::esp::otadata::Build;
use airlift_sim::flash::{Model, SimFlash};
use airlift_sim::power_cut::{
    App, Case, EspMachine, GenericMachine, Machine, Plan, Power, Scenario, Started, Step, Tally,
    World, replay, sweep,
};
use embedded_storage_async::nor_flash::NorFlash;
use sweep_table::{Row, SEEDS, by_call, by_word, full};

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
    line(
        "the new image rots before its first boot",
        &[Step::good(6_000), Step::of(App::Rots, 5_000)],
    ),
    line(
        "superseded just before it would have been tried",
        &[Step::good(9_001).superseded(), Step::good(7_777)],
    ),
];

const fn line(name: &'static str, steps: &'static [Step]) -> Scenario {
    Scenario { name, steps }
}

/// One row: all scenarios and models on one board with one geometry.
fn row<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = if full() {
        by_word(SEEDS, 101, 0)
    } else {
        by_call(61, 0)
    };
    let lines = SCENARIOS.iter().filter(|line| line.suits(machine));
    lines_of_row::<M, W, S>(board, machine, lines, plan);
}

/// The plainest update, cut at every word in the short form, too.
fn every_word<M: Machine, const W: usize, const S: usize>(board: &str, machine: &M) {
    let plan = by_word(&[0, 2], 0, 0);
    lines_of_row::<M, W, S>(board, machine, &SCENARIOS[..1], plan);
}

fn lines_of_row<'s, M: Machine, const W: usize, const S: usize>(
    board: &str,
    machine: &M,
    lines: impl IntoIterator<Item = &'s Scenario>,
    plan: Plan<'_>,
) {
    let row = Row {
        board,
        test: "power_cuts",
        plan,
    };
    row.heading();
    let mut total = Tally::default();
    for scenario in lines {
        total.add(row.line(scenario.name, |model| {
            World::<M, W, S>::new(machine, model, *scenario)
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
    row generic_word_4_sector_2k: GenericMachine::new(2048, 2, 5 * 2048), word 4, sector 2048;
    row generic_word_4_sector_4k: GenericMachine::new(4096, 2, 3 * 4096), word 4, sector 4096;
    row generic_word_8_sector_2k: GenericMachine::new(2048, 2, 5 * 2048), word 8, sector 2048;
    row generic_word_16_sector_8k: GenericMachine::new(8192, 2, 2 * 8192), word 16, sector 8192;
    row generic_word_32_sector_4k_three_slots: GenericMachine::new(4096, 3, 3 * 4096), word 32, sector 4096;
    row generic_word_32_sector_64k: GenericMachine::new(65536, 2, 65536), word 32, sector 65536;
    row esp_rollback: EspMachine::new(Build::Rollback, false, 2, 3 * 4096), word 4, sector 4096;
    row esp_rollback_factory: EspMachine::new(Build::Rollback, true, 2, 3 * 4096), word 4, sector 4096;
    row esp_rollback_one_slot_and_factory: EspMachine::new(Build::Rollback, true, 1, 3 * 4096), word 4, sector 4096;
    row esp_rollback_three_slots: EspMachine::new(Build::Rollback, false, 3, 3 * 4096), word 16, sector 4096;
    row esp_plain: EspMachine::new(Build::Plain, false, 2, 3 * 4096), word 4, sector 4096;
    every_word every_word_of_generic_word_4_sector_2k: GenericMachine::new(2048, 2, 5 * 2048), word 4, sector 2048;
    every_word every_word_of_generic_word_32_sector_4k: GenericMachine::new(4096, 2, 3 * 4096), word 32, sector 4096;
    every_word every_word_of_esp_rollback: EspMachine::new(Build::Rollback, false, 2, 3 * 4096), word 4, sector 4096;
}

/// A board whose engine changes the boot selection the way that ESP-IDF's own tools do: whatever was there is erased first.
struct Careless(EspMachine);

#[derive(Debug)]
struct EraseFirst {
    inner: EspOtadata,
    region: Region,
}

impl Machine for Careless {
    type Control = EraseFirst;

    fn slots(&self) -> &[Region] {
        self.0.slots()
    }

    fn journal(&self) -> Region {
        self.0.journal()
    }

    fn first(&self) -> Region {
        self.0.first()
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn rolls_back(&self) -> bool {
        true
    }

    fn control(&self) -> EraseFirst {
        EraseFirst {
            inner: self.0.control(),
            region: Region::new(0, 0x2000),
        }
    }

    fn boot<const W: usize, const S: usize>(
        &self,
        flash: &mut SimFlash<W, S>,
        whole: &mut dyn FnMut(Region) -> bool,
    ) -> Result<Option<Started>, Power> {
        self.0.boot(flash, whole)
    }
}

impl BootControl for EraseFirst {
    fn region(&self) -> Region {
        self.region
    }

    async fn slot_state<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<SlotState, Error<F::Error>> {
        self.inner.slot_state(flash, slot).await
    }

    async fn release<F: NorFlash>(
        &mut self,
        _flash: &mut F,
        _slot: u8,
        _running: Option<u8>,
    ) -> Result<(), Error<F::Error>> {
        Ok(())
    }

    async fn start_trial<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
        running: Option<u8>,
    ) -> Result<(), Error<F::Error>> {
        let end = self.region.end().expect("inside the flash");
        flash
            .erase(self.region.offset, end)
            .await
            .map_err(Error::Flash)?;
        self.inner.start_trial(flash, slot, running).await
    }

    async fn confirm<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>> {
        self.inner.confirm(flash, slot).await
    }

    async fn reject<F: NorFlash>(
        &mut self,
        flash: &mut F,
        slot: u8,
    ) -> Result<(), Error<F::Error>> {
        self.inner.reject(flash, slot).await
    }
}

#[test]
fn a_careless_engine_is_found_out() {
    let machine = Careless(EspMachine::new(Build::Rollback, false, 2, 3 * 4096));
    let plan = by_call(0, 0);
    let three = SCENARIOS[1];
    let world = World::<_, 4, 4096>::new(&machine, Model::Once, three);
    let tally = sweep(&world, plan);
    assert!(
        !tally.losses.is_empty(),
        "{} cuts, and none of them does any harm to an engine that asks for it",
        tally.single
    );
    // And a printed case repeats its loss.
    let (case, loss) = &tally.losses[0];
    let again: Case = case.to_string().parse().unwrap();
    let repeated = replay(&world, &again.cuts);
    assert_eq!(repeated, Err(loss.clone()));
}
