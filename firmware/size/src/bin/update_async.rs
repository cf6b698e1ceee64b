//! As `update`, for an asynchronous driver: what every `.await` of the engine costs.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use core::sync::atomic::AtomicU8;

use airlift_device::{Layout, install::BootRecord, verify::AnyImage};
use airlift_size::{
    asynchronous::{block_on, session},
    port,
};

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
    port::put(u32::from(block_on(update).is_ok()));
    loop {
        core::hint::spin_loop();
    }
}
