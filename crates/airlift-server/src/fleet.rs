//! Devices: what each one said of itself, what it was told, and what became of it.
//!
//! The picture in memory is the truth of the moment; a [writer] follows it into the database.

pub(crate) mod device;
pub(crate) mod partition;
pub(crate) mod registry;
pub(crate) mod report;
pub(crate) mod update_state;
pub(crate) mod writer;
