//! SHA-256 over flash: the digest's own share of the programs that verify an image.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use sha2::{Digest, Sha256};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let mut chunk = [0; 64];
    loop {
        let mut digest = Sha256::new();
        let mut offset = port::get();
        let end = port::get();
        let mut done = true;
        while offset < end {
            done &= Flash.read(offset, &mut chunk).is_ok();
            digest.update(chunk);
            offset += 64;
        }
        done &= Flash.erase(end, port::get()).is_ok();
        done &= Flash.write(end, &digest.finalize()).is_ok();
        port::put(u32::from(done));
    }
}
