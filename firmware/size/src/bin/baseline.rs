//! The flash driver and nothing else: what every other program is compared with.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let mut word = [0; 4];
    loop {
        let offset = port::get();
        let mut done = Flash.read(offset, &mut word).is_ok();
        done &= Flash.erase(offset, port::get()).is_ok();
        done &= Flash.write(offset, &word).is_ok();
        port::put(u32::from(done));
    }
}
