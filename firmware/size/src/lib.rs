//! The world around the measured programs: a flash driver and a port that the optimiser cannot see through.
//!
//! Each program in `src/bin` calls one part of Airlift and hands its result to [`port::put`]. What it costs is its size
//! above `baseline`, which has the same flash driver and nothing else. The programs are linked and measured by
//! `cargo xtask size`; nobody runs them, so there is no start-up code.
#![no_std]

pub mod flash;
pub mod port;
pub mod session;

/// A program that panics stops: no message is formatted, so none is paid for.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
