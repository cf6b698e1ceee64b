//! All that an ESP32 needs: the update engine over the partitions of its table, ESP-IDF's boot selection, and app images
//! checked by the strict profile.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use core::sync::atomic::AtomicU8;

use airlift_device::{
    blocking::install::{EspLayout, EspOtadata},
    verify::EspApp,
};
use airlift_formats::esp::{
    app_image::ChipId,
    partition_table::{DEFAULT_OFFSET, PartitionTable, Rules, TABLE_LEN},
};
use airlift_size::{blocking::session, flash::Flash, port};
use embedded_storage::nor_flash::ReadNorFlash;

const STATE_LEN: usize = session::state_len::<EspOtadata, EspApp<'static>>();

#[used]
#[unsafe(link_section = ".bss.session")]
static SESSION: [AtomicU8; STATE_LEN] = [const { AtomicU8::new(0) }; STATE_LEN];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    port::put(u32::from(update().is_some()));
    loop {
        core::hint::spin_loop();
    }
}

fn update() -> Option<()> {
    let mut bytes = [0; TABLE_LEN];
    Flash.read(DEFAULT_OFFSET, &mut bytes).ok()?;
    let table = PartitionTable::parse(&bytes, &Rules::new(port::get())).ok()?;
    let layout = EspLayout::new(&table).ok()?;
    let boot = EspOtadata::new(layout.otadata, layout.slots().len() as u8);
    let mut check = EspApp::new(ChipId(port::get() as u16));
    check.min_secure_version = port::get();
    check.project = Some(b"lotus");
    let mut buffer = [0; 512];
    session::run(layout.layout(), boot, check, &mut buffer).ok()
}
