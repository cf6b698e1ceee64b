//! A NOR flash that can lose power at any operation, virtual boards and virtual devices.

pub mod board;
pub mod client;
pub mod flash;

pub mod power_cut;
