//! Verifying an app image that lies in flash, by the strict profile: header, segments, checksum, SHA-256, descriptor.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_formats::esp::app_image::{Expect, Kind, Verifier};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let mut expect = Expect::strict(Kind::App);
    expect.partition_offset = port::get();
    expect.partition_size = Some(port::get());
    let end = expect.partition_offset + port::get();

    let mut verifier = Verifier::new(expect);
    let mut chunk = [0; 256];
    let mut offset = expect.partition_offset;
    let mut good = true;
    while offset < end {
        good &= Flash.read(offset, &mut chunk).is_ok() && verifier.update(&chunk).is_ok();
        offset += 256;
    }
    if let Ok(summary) = verifier.finish() {
        port::put(summary.image_len);
        port::put(summary.app.map_or(0, |app| app.secure_version));
        good &= Flash.write(end, &summary.file_sha256).is_ok();
    }
    // The baseline erases, too.
    good &= Flash.erase(port::get(), port::get()).is_ok();
    port::put(u32::from(good));
    loop {
        core::hint::spin_loop();
    }
}
