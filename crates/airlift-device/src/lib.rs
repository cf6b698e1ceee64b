//! The update engine of a device: notify, download, verify, install, each part replaceable.
//!
//! ```text
//! notify/    what is offered to this device?          requests and answers, no I/O
//! download/  its bytes, in order, resumable            parsers, no I/O
//! verify/    digests, image structure, identity        before anything becomes bootable
//! install/   slots, boot selection, trial, rollback    the only place that makes an image bootable
//! journal    what the device was doing when the power went
//! updater    the four steps as one state machine over a flash
//! ```
//!
//! Flash is [`embedded_storage_async::nor_flash::NorFlash`] (blocking drivers through [`flash::Blocking`]). The engine
//! assumes the strictest flash there is: a word is programmed **once** after an erase, and a word whose programming was
//! interrupted may be unreadable. It allocates nothing; the one buffer it needs is the caller's.
//!
//! The promises, and the tests that cut the power at every flash operation to prove them, are in `docs/power-cuts.md`.
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

pub mod download;
pub mod flash;
pub mod install;
pub mod journal;
pub mod notify;
mod updater;
pub mod verify;

pub use updater::{
    Download, Error, Layout, LayoutError, MAX_ATTEMPTS, Offer, Outcome, Refusal, Status, Updater,
};
