//! The update engine with everything that makes an update survive a power cut: journal and resume, digest on the way and
//! read back, two-copy boot record, trial, confirmation, rollback.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use core::sync::atomic::AtomicU8;

use airlift_device::{Layout, blocking::install::BootRecord, verify::AnyImage};
use airlift_size::{blocking::session, port};

#[used]
#[unsafe(link_section = ".bss.session")]
static SESSION: [AtomicU8; session::state_len::<BootRecord, AnyImage>()] =
    [const { AtomicU8::new(0) }; session::state_len::<BootRecord, AnyImage>()];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let (slots, journal) = session::slots();
    let layout = Layout::new(&slots, journal);
    let (_, record) = session::slots();
    let mut buffer = [0; 256];
    let update = session::run(layout, BootRecord::new(record), AnyImage, &mut buffer);
    port::put(u32::from(update.is_ok()));
    loop {
        core::hint::spin_loop();
    }
}
