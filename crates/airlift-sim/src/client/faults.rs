//! What goes wrong on the way.

use crate::flash::Cut;

/// What is to go wrong. Each fault happens once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The power fails.
    pub power_cut: Option<PowerCut>,
    /// The lowest bit of this byte of the image (counted from its start) arrives flipped.
    pub flip_byte: Option<u32>,
    /// The next image that runs on trial finds itself bad.
    pub self_test_fails: bool,
}

/// When the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// When this byte of the image (counted from its start) has arrived: between two operations of the flash.
    AtByte(u32),
    /// At an operation of the flash, counted from the start of the next download: in the middle of it, if the cut says so.
    AtOperation(Cut),
}
