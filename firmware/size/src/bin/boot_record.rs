//! The boot loader's side of the two-copy boot record: which slot to start, and how a trial ends. Without the check of the
//! image, which is the boot loader's own.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_device::blocking::install::{BootRecord, boot};
use airlift_size::{blocking::session::slots, flash::Flash, port};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let (_, region) = slots();
    let record = BootRecord::new(region);
    let verify = |_: &mut Flash, slot: u8| {
        port::put(u32::from(slot));
        port::get() == 0
    };
    let booting = boot(&mut Flash, &record, port::get() as u8, verify);
    if let Ok(Some(booting)) = booting {
        port::put(u32::from(booting.slot));
        port::put(u32::from(booting.trial));
    }
    loop {
        core::hint::spin_loop();
    }
}
