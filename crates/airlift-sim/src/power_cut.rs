//! The proof by power cuts: an update is run once, then again for every operation of the flash, cut there, booted and
//! judged, and driven to its end.
//!
//! What is judged is not the engine's word but the flash itself, and the engine's word against it: see [`Judge`]. A
//! scenario is one line in a table ([`Scenario`]); the boards are in [`Machine`].
//!
//! Every failure prints the case that caused it in the form that [`Case`] parses, so that it can be run again alone.

mod case;
mod judge;
mod machine;
mod partitions;
mod run;
mod sets;
mod sweep;

pub use case::{Case, CaseError};
pub use judge::{Judge, Loss};
pub use machine::{EspMachine, GenericMachine, Machine, Power, Started};
pub use partitions::{Change, How, PartitionScenario, PartitionWorld, Where};
pub use run::{App, Scenario, Step, World};
pub use sets::{Comes, FaultTally, SAME, SetScenario, SetStep, SetWorld, fault_sweep, live_with};
pub use sweep::{Life, Plan, Tally, replay, sweep};
