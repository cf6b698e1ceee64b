//! An update by AWS IoT: the conversation about jobs, the documents of FreeRTOS OTA jobs, and files by streams.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_device::{
    download::aws_stream::{self, BlockDownload, Cbor, Received, Requests, Source},
    mqtt::BUFFER_LEN,
    notify::aws_jobs::{self, AfrOtaParser, Ask, Event, JobParser, Jobs, Parsed, Report},
};
use airlift_formats::aws::{job_document::Protocol, topic::Topic};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let mut job = [0; 2048];
    port::put(u32::from(update(&mut job).is_some()));
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

/// A message that comes: its topic in front.
fn receive(buffer: &mut [u8]) -> Option<(Topic<'_>, &[u8])> {
    for byte in buffer.iter_mut() {
        *byte = port::get() as u8;
    }
    let (topic, payload) = buffer.split_at_checked(port::get() as usize)?;
    let (_, topic) = Topic::parse(core::str::from_utf8(topic).ok()?).ok()?;
    Some((topic, payload))
}

fn publish(message: Option<airlift_device::mqtt::Publish<'_>>) {
    let Some(message) = message else { return };
    for byte in message.topic.bytes().chain(message.payload.iter().copied()) {
        port::put(byte.into());
    }
}

fn update(job: &mut [u8; 2048]) -> Option<()> {
    // A name that the compiler does not know, as if it came from a configuration in flash.
    let mut name = [0; 32];
    Flash.read(port::get(), &mut name).ok()?;
    let thing = core::str::from_utf8(&name).ok()?;
    let settings = aws_jobs::Settings {
        ask: if port::get() == 0 {
            Ask::StartNext
        } else {
            Ask::Describe
        },
        step_timeout: Some(port::get() as u16),
        ..aws_jobs::Settings::default()
    };
    let mut jobs = Jobs::new(thing, settings).ok()?;
    let mut buffer = [0; BUFFER_LEN];
    jobs.ask();
    loop {
        publish(jobs.poll(port::get(), &mut buffer).ok()?);
        let (topic, payload) = receive(job)?;
        let execution = match jobs.receive(&topic, payload, port::get()) {
            Event::Job(execution) => execution,
            Event::Over(_) | Event::NoJob => return None,
            _ => continue,
        };
        let document = execution.document().ok()?;
        let update = match AfrOtaParser(Protocol::Mqtt).parse(execution.job_id, &document) {
            Parsed::Update(update) => update,
            Parsed::Declined { cause, field } => {
                jobs.report(Report::Declined { cause, field });
                continue;
            }
            _ => return None,
        };
        for file in update.files {
            let source = Source {
                thing,
                stream: update.stream?,
                file: file.id,
                size: file.size,
            };
            fetch(&mut jobs, source, &mut buffer)?;
            port::put(file.signature.len() as u32);
        }
        jobs.report(Report::Done);
    }
}

#[inline(never)]
fn fetch(jobs: &mut Jobs<'_>, source: Source<'_>, buffer: &mut [u8]) -> Option<()> {
    let settings = aws_stream::Settings {
        block_size: port::get(),
        requests: if port::get() == 0 {
            Requests::Window
        } else {
            Requests::CLibrary
        },
        ..aws_stream::Settings::default()
    };
    let mut window = [0; 1024];
    let mut message = [0; 1024];
    let mut download =
        BlockDownload::<Cbor>::new(source, settings, port::get(), &mut window).ok()?;
    while !download.is_complete() {
        let now = port::get();
        publish(download.poll(now, buffer).ok()?);
        publish(jobs.poll(now, buffer).ok()?);
        let (topic, payload) = receive(&mut message)?;
        if let Event::Over(_) = jobs.receive(&topic, payload, now) {
            return None;
        }
        if download.receive(&topic, payload, now) != Ok(Received::Block) {
            continue;
        }
        while let Some(bytes) = download.ready() {
            Flash.write(port::get(), bytes).ok()?;
            download.taken();
            jobs.report(Report::Receiving {
                got: download.offset(),
                total: source.size,
                resumed: 0,
            });
        }
    }
    Some(())
}
