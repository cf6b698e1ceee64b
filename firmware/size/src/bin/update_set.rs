//! As `update`, for an app and a partition as one, from an image with or without a manifest; goes on after a cut, and passes over what is there.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_device::{Layout, blocking::install::BootRecord};
use airlift_size::{blocking::session, port};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let (slots, journal) = session::slots();
    let layout = Layout::new(&slots, journal);
    let (_, record) = session::slots();
    let mut buffer = [0; 256];
    let update = session::run_sets(layout, BootRecord::new(record), || (), &mut buffer);
    port::put(u32::from(update.is_ok()));
    loop {
        core::hint::spin_loop();
    }
}
