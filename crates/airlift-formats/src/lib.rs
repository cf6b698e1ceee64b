//! Formats of over-the-air updates: bytes on the wire and in flash, parsed and emitted without I/O.
//!
//! Nothing here needs a heap to parse; the feature `alloc` (on by default) adds what only a host writes.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod aws;
pub mod esp;
pub mod matter;
pub mod nxp;
