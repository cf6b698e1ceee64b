//! Reading the ESP-IDF partition table strictly, with its MD5, and finding the app slots and the boot selection in it.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_formats::esp::partition_table::{DEFAULT_OFFSET, PartitionTable, Rules, TABLE_LEN};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let mut bytes = [0; TABLE_LEN];
    let mut done = Flash.read(DEFAULT_OFFSET, &mut bytes).is_ok();
    if let Ok(table) = PartitionTable::parse(&bytes, &Rules::new(port::get())) {
        if let Ok(otadata) = table.otadata() {
            port::put(otadata.offset);
        }
        if let Ok(slots) = table.app_slots() {
            for slot in slots.iter() {
                port::put(slot.offset);
                port::put(slot.size);
            }
        }
    }
    // The baseline erases and writes, too.
    done &= Flash.erase(port::get(), port::get()).is_ok();
    done &= Flash.write(port::get(), &bytes).is_ok();
    port::put(u32::from(done));
    loop {
        core::hint::spin_loop();
    }
}
