//! The update engine of a device: notify, download, verify, install, each part replaceable.
//!
//! ```text
//! notify/    what is offered to this device?          requests and answers, no I/O
//! download/  its bytes, in order, resumable            parsers, no I/O
//! verify/    digests, image structure, identity        before anything becomes bootable
//! install/   slots, boot selection, trial, rollback    the only place that makes an image bootable
//! journal    what the device was doing when the power went
//! updater    the four steps as one state machine over a flash
//! agent      a job of AWS IoT from its document to its outcome, with all of these
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
mod error;
mod esp_layout;
pub mod flash;
pub mod mqtt;
pub mod notify;
mod record;
mod retry;
mod slot_state;
mod status;
mod target;
pub mod verify;

// The engine is written once, with `async`, and compiled twice: `#[dual]` takes the `async` out of the second. A state machine
// for each call costs a microcontroller as much code again as the engine itself, and a driver that blocks has no use for it.

#[path = "."]
#[allow(clippy::duplicate_mod)] // That is the point.
mod asynchronous {
    use core::ops::AsyncFnMut as MaybeAsyncFnMut;
    use embedded_storage_async::nor_flash::{NorFlash, NorFlashError};
    use maybe_async::must_be_async as dual;

    pub mod agent;
    pub mod install;
    pub mod journal;
    pub mod partition;
    pub mod set;
    pub(crate) mod updater;
}

/// The same engine for blocking flash drivers (`embedded_storage::nor_flash`): the same names, the same source, half the code size.
#[path = "."]
#[allow(clippy::duplicate_mod)]
pub mod blocking {
    use core::ops::FnMut as MaybeAsyncFnMut;
    use embedded_storage::nor_flash::{NorFlash, NorFlashError};
    use maybe_async::must_be_sync as dual;

    pub mod agent;
    pub mod install;
    pub mod journal;
    pub mod partition;
    pub mod set;
    mod updater;

    pub use updater::{Download, Updater};
}

pub use asynchronous::updater::{Download, Updater};
pub use asynchronous::{agent, install, journal, partition, set};
pub use error::{Error, LayoutError, Mismatch, Refusal};
pub use retry::Retry;
pub use status::{Layout, MAX_ATTEMPTS, Offer, Outcome, Status};
