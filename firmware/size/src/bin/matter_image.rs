//! A Matter OTA image with several images in it, checked while it is written to flash: header, digest, parts by tag, the
//! descriptor of the application and the factory data.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_formats::{
    matter::image::{HeaderParser, MAX_HEADER_LEN, PayloadVerifier, Rules},
    nxp::{
        self, Accumulator, DESCRIPTOR_LEN, Descriptor, Event, FactoryData, MAX_FACTORY_DATA_LEN,
        PayloadReader, tag,
    },
};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// As the processors of application and factory data have them.
struct Processors {
    descriptor: Accumulator<DESCRIPTOR_LEN>,
    factory_data: Accumulator<MAX_FACTORY_DATA_LEN>,
    written: u32,
}

impl Processors {
    fn handle(&mut self, event: Event<'_>) -> bool {
        match event {
            Event::Begin(tlv) if tlv.tag == tag::FACTORY_DATA => {
                match Accumulator::with_len(tlv.length as usize) {
                    Ok(factory_data) => self.factory_data = factory_data,
                    Err(_) => return false,
                }
            }
            Event::Begin(_) => self.descriptor.clear(),
            Event::Value { tlv, mut bytes } if tlv.tag == tag::FACTORY_DATA => {
                self.factory_data.take(&mut bytes);
            }
            Event::Value { mut bytes, .. } => {
                self.descriptor.take(&mut bytes);
                if Flash.write(self.written, bytes).is_err() {
                    return false;
                }
                self.written += bytes.len() as u32;
            }
            Event::End(tlv) if tlv.tag == tag::FACTORY_DATA => {
                let data = self.factory_data.get().map(FactoryData::parse);
                let Some(Ok(data)) = data else { return false };
                port::put(data.dac_private_key.map_or(0, |key| key.len() as u32));
            }
            Event::End(_) => {
                let descriptor = self.descriptor.get().and_then(<[u8]>::first_chunk);
                port::put(descriptor.map_or(0, |bytes| Descriptor::parse(bytes).version));
            }
        }
        true
    }
}

fn update(end: u32) -> bool {
    let rules = Rules::strict();
    let mut chunk = [0; 1024];
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut parser = HeaderParser::new(&mut buffer, rules);
    let mut offset = 0;
    let mut input: &[u8] = &[];
    // The header first: its buffer is free afterwards.
    loop {
        match parser.push(&mut input) {
            Ok(true) => break,
            Ok(false) if offset < end && Flash.read(offset, &mut chunk).is_ok() => {
                offset += 1024;
                input = &chunk;
            }
            _ => return false,
        }
    }
    let position = parser.position();
    let Ok(header) = parser.into_header() else {
        return false;
    };
    port::put(header.vendor_id.into());
    port::put(header.product_id.into());
    port::put(header.software_version);
    let mut payload = PayloadVerifier::new(&header, position, &rules);
    let mut parts = PayloadReader::<16>::new(header.payload_size, nxp::Rules::strict());
    let mut processors = Processors {
        descriptor: Accumulator::new(),
        factory_data: Accumulator::new(),
        written: port::get(),
    };
    loop {
        while !input.is_empty() {
            let Ok(mut bytes) = payload.update(&mut input) else {
                return false;
            };
            loop {
                match parts.read(&mut bytes) {
                    Ok(Some(event)) if processors.handle(event) => {}
                    Ok(None) => break,
                    _ => return false,
                }
            }
        }
        if offset >= end || Flash.read(offset, &mut chunk).is_err() {
            break;
        }
        offset += 1024;
        input = &chunk;
    }
    parts.finish().is_ok() && payload.finish().is_ok()
}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let good = update(port::get());
    // The baseline erases, too.
    let good = good & Flash.erase(port::get(), port::get()).is_ok();
    port::put(u32::from(good));
    loop {
        core::hint::spin_loop();
    }
}
