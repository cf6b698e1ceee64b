//! The virtual boards.

mod boots;
mod flashed;
mod scenarios;
mod updates;
