//! The virtual ESP board.

mod boots;
mod flashed;
mod scenarios;
