//! The update check of an ESP32 over HTTP: the request with all that the device says of itself, the answer's head, its
//! meaning, and the body.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_device::{
    download::http::{Answer, Expected, HeadParser},
    notify::esp_http::{Facts, Method, Mode, Report, Request, Resume, State, Target},
};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    port::put(u32::from(check().is_some()));
    // The baseline uses the flash, too.
    let mut bytes = [0; 64];
    let mut done = Flash.read(port::get(), &mut bytes).is_ok();
    done &= Flash.erase(port::get(), port::get()).is_ok();
    done &= Flash.write(port::get(), &bytes).is_ok();
    port::put(u32::from(done));
    loop {
        core::hint::spin_loop();
    }
}

fn check() -> Option<()> {
    // Texts that the compiler does not know, as if they came from a configuration in flash.
    let mut text = [0; 32];
    Flash.read(port::get(), &mut text).ok()?;
    let text = core::str::from_utf8(&text).ok()?;
    let mac = Some([port::get() as u8; 6]);
    let sha256 = [port::get() as u8; 32];
    let offset = port::get();
    let request = Request {
        method: if port::get() == 0 {
            Method::Get
        } else {
            Method::Head
        },
        target: Target {
            prefix: "/ota_update",
            organization: text,
            project: text,
            node: text,
            key: text,
        },
        host: text,
        facts: Facts {
            base_mac: mac,
            sta_mac: mac,
            ap_mac: mac,
            free_space: port::get(),
            sketch_size: port::get(),
            sketch_md5: Some([port::get() as u8; 16]),
            sketch_sha256: Some(sha256),
            chip_size: port::get(),
            sdk_version: text,
            mode: Mode::Sketch,
            version: Some(text),
        },
        resume: (offset > 0).then_some(Resume { offset, etag: text }),
        partition: None,
        report: (port::get() > 0).then_some(Report {
            state: State::Confirmed,
            sha256: Some(sha256),
            version: Some(text),
            reason: None,
        }),
    };
    let mut buffer = [0; 1024];
    for byte in request.encode(&mut buffer).ok()? {
        port::put(u32::from(*byte));
    }

    let mut line = [0; 256];
    let mut parser = HeadParser::new(&mut line);
    let head = loop {
        if let Some((head, _)) = parser.push(&[port::get() as u8]).ok()? {
            break head;
        }
    };
    let expected = Expected {
        offset,
        total: port::get(),
        etag: text,
        sha256: Some(sha256),
    };
    let Ok(Answer::Image {
        offset,
        total,
        mut body,
    }) = head.answer(Some(&expected))
    else {
        return None;
    };
    port::put(offset + total);
    while body.missing() > 0 {
        port::put(u32::from(*body.push(&[port::get() as u8]).first()?));
    }
    Some(())
}
