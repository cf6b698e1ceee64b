//! The boot selection as a device needs it: read both records, find the running slot, write the record of a switch.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_formats::esp::otadata::{RECORD_LEN, Record, State, active, plan_switch};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let partition = port::get();
    let slots = port::get() as u8;
    let target = port::get() as u8;
    let mut done = true;
    let records = [0, 4096].map(|sector| {
        let mut bytes = [0; RECORD_LEN];
        done &= Flash.read(partition + sector, &mut bytes).is_ok();
        Record::parse(&bytes)
    });
    let running = active(&records).and_then(|sector| records.get(sector)?.slot(slots));
    if let Ok(rewrite) = plan_switch(&records, slots, running, target, State::New) {
        let sector = partition + rewrite.offset();
        done &= Flash.erase(sector, sector + 4096).is_ok();
        done &= Flash.write(sector, &rewrite.record.emit()).is_ok();
    }
    port::put(u32::from(done));
    loop {
        core::hint::spin_loop();
    }
}
