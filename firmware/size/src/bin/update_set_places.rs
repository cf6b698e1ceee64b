//! `update_set`, and a part in two places of another flash.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_device::{
    Layout,
    blocking::{install::BootRecord, set::TwoPlaces},
};
use airlift_size::{blocking::session, flash::Flash, port};

fn places() -> TwoPlaces<Flash> {
    let (places, journal) = session::slots();
    match TwoPlaces::new(100, Flash, journal, places) {
        Ok(places) => places,
        Err(_) => loop {
            core::hint::spin_loop();
        },
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let (slots, journal) = session::slots();
    let layout = Layout::new(&slots, journal);
    let (_, record) = session::slots();
    let mut buffer = [0; 256];
    let update = session::run_sets(layout, BootRecord::new(record), || (places(),), &mut buffer);
    port::put(u32::from(update.is_ok()));
    loop {
        core::hint::spin_loop();
    }
}
