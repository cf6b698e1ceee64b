//! A NOR flash that can lose power at any operation.
//!
//! [`Nor`] is the flash itself: cells in memory or in a file, a [`Geometry`] and a [`Model`] chosen at run time, counters,
//! a simulated clock, and a power supply that a test cuts with [`Nor::arm`]. [`Flash`] is a handle that a test keeps while a board
//! owns another one; [`SimFlash`] puts the geometry into its type and is an ordinary `NorFlash` of `embedded-storage` and
//! `embedded-storage-async`, which is all that the code under test sees.
//!
//! # What the model refuses
//!
//! The `embedded-storage` traits allow one program of a word after an erase and say nothing more. Parts differ beyond that, and code that
//! is to run on all of them may rely on none of it. [`Model`] has the three families; what they share:
//!
//! * a word counts as programmed as soon as its programming began, even if no bit changed and it still reads as blank;
//! * a sector whose erase was interrupted needs another erase before it is programmed, even if it reads as blank;
//! * an interrupted erase may also *clear* bits: real parts program a sector to zero before they erase it.
//!
//! # A cut, from arming to reboot
//!
//! ```
//! use airlift_sim::flash::{Cut, CutKind, FlashError, Geometry, Model, Nor};
//!
//! let mut nor = Nor::new(Geometry::new(4, 4096, 65536)?, Model::Ecc);
//! nor.arm(Cut::at_word(1, CutKind::TornProgram { seed: 1 })); // word 0 is programmed, word 1 torn
//! assert_eq!(nor.write(0, &[0x55; 12]), Err(FlashError::PowerLost));
//! assert_eq!(nor.read(0, &mut [0; 4]), Err(FlashError::PowerLost));
//!
//! nor.power_on();
//! let mut word = [0; 4];
//! nor.read(0, &mut word)?;
//! assert_eq!(word, [0x55; 4]);
//! assert_eq!(nor.read(4, &mut word), Err(FlashError::Unreadable { offset: 4 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Every cut of a scenario
//!
//! Record the scenario once with [`Nor::start_trace`], then run it again for every [`Cut`] of [`Trace::cuts`]. Everything that a seed
//! decides depends on the seed and on the place of the operation alone, so a failing cut can be repeated from its printed form.

mod block_on;
mod error;
mod fault;
mod geometry;
mod nor;
mod power;
mod random;
mod statistics;
mod store;
mod torn;
mod typed;

pub use block_on::block_on;
pub use error::{FlashError, FlashFileError};
pub use fault::{Fault, FaultExtent};
pub use geometry::{Geometry, GeometryError, Model, Timing};
pub use nor::{Nor, WordState};
pub use power::{Cut, CutGrain, CutKind, CutReport, Operation, Trace};
pub use statistics::Statistics;
pub use torn::{Effect, EraseEffect, ProgramEffect};
pub use typed::{Flash, GeometryMismatch, SUPPORTED_GEOMETRIES, SimFlash, Window};
