//! The world around the measured programs: a flash driver and a port that the optimiser cannot see through.
//!
//! Each program in `src/bin` calls one part of Airlift and hands its result to [`port::put`]. What it costs is its size
//! above `baseline`, which has the same flash driver and nothing else. The programs are linked and measured by
//! `cargo xtask size`; nobody runs them, so there is no start-up code.
#![no_std]

pub mod flash;
pub mod port;

/// A program that panics stops: no message is formatted, so none is paid for.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The engine as a driver that blocks uses it.
#[path = "."]
#[allow(clippy::duplicate_mod)] // One program, once for each flavour of the engine.
pub mod blocking {
    use airlift_device::blocking::partition::{
        DataDescription, DataState, JournalRestore, Partition, PartitionState, Scheme,
    };
    use airlift_device::blocking::set::{
        Destination, Identity, Part, Processors, SetDownload, SetRestore, SetState, UnknownTags,
    };
    use airlift_device::blocking::{Download, Updater, install::BootControl};
    use maybe_async::must_be_sync as dual;

    pub mod session;
}

/// The engine as an asynchronous driver uses it.
#[path = "."]
#[allow(clippy::duplicate_mod)]
pub mod asynchronous {
    use core::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use airlift_device::partition::{
        DataDescription, DataState, JournalRestore, Partition, PartitionState, Scheme,
    };
    use airlift_device::set::{
        Destination, Identity, Part, Processors, SetDownload, SetRestore, SetState, UnknownTags,
    };
    use airlift_device::{Download, Updater, install::BootControl};
    use maybe_async::must_be_async as dual;

    pub mod session;

    /// Polls a future to its end. The stub flash never waits, so this needs no executor.
    pub fn block_on<F: Future>(future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
        }
    }
}
