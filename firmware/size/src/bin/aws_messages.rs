//! What the two C libraries of AWS do, and nothing else: topics, requests about jobs, the answers, job documents, requests for blocks, and
//! blocks, in JSON and CBOR. No conversation, no repetition, no order of blocks: see `aws` for these.
#![no_std]
#![no_main]
#![allow(missing_docs)]

use airlift_formats::aws::{
    Buffer, Format,
    job_document::{AfrOta, Protocol},
    jobs::{Answer, Request, Status},
    streams::{Data, GetStream},
    topic::{Job, Leg, MAX_TOPIC_LEN, StreamMessage, Topic},
};
use airlift_size::{flash::Flash, port};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let mut message = [0; 1024];
    let done = Flash.read(port::get(), &mut message).is_ok();
    port::put(u32::from(done));
    let (name, payload) = message.split_at(32);
    let name = core::str::from_utf8(name).unwrap_or_default();
    topics(name);
    requests(name);
    answers(payload);
    blocks(payload);
    // The baseline uses the flash, too.
    let mut done = Flash.erase(port::get(), port::get()).is_ok();
    done &= Flash.write(port::get(), &message).is_ok();
    port::put(u32::from(done));
    loop {
        core::hint::spin_loop();
    }
}

fn format() -> Format {
    if port::get() == 0 {
        Format::Cbor
    } else {
        Format::Json
    }
}

#[inline(never)]
fn topics(name: &str) {
    let leg = match port::get() {
        0 => Leg::Request,
        1 => Leg::Accepted,
        _ => Leg::Rejected,
    };
    let topic = match port::get() {
        0 => Topic::GetPending(leg),
        1 => Topic::StartNext(leg),
        2 => Topic::Describe(Job::Next, leg),
        3 => Topic::Describe(Job::Id(name), leg),
        4 => Topic::Update(Job::Id(name), leg),
        5 => Topic::NotifyNext,
        6 => Topic::Notify,
        _ => Topic::Stream {
            name,
            message: if port::get() == 0 {
                StreamMessage::Get
            } else {
                StreamMessage::Data
            },
            format: format(),
        },
    };
    let mut buffer = [0; MAX_TOPIC_LEN];
    let mut sink = Buffer::new(&mut buffer);
    port::put(u32::from(topic.emit(name, &mut sink).is_ok()));
    put(sink);
    if let Ok((thing, found)) = Topic::parse(name) {
        let id = match found {
            Topic::Describe(Job::Id(id), _) | Topic::Update(Job::Id(id), _) => id,
            Topic::Stream { name, .. } => name,
            _ => "",
        };
        port::put((thing.len() + id.len()) as u32);
    }
}

#[inline(never)]
fn requests(name: &str) {
    let mut buffer = [0; 256];
    let mut sink = Buffer::new(&mut buffer);
    let request = Request {
        status: match port::get() {
            0 => None,
            1 => Some(Status::InProgress),
            2 => Some(Status::Succeeded),
            _ => Some(Status::Failed),
        },
        expected_version: Some(port::get()),
        token: Some(name),
        ..Request::default()
    };
    let written = request.emit(&mut sink, |details| {
        details.detail(name).text(name);
    });
    port::put(u32::from(written.is_ok()));
    GetStream::emit_as_c_library(
        format(),
        port::get(),
        port::get(),
        port::get(),
        port::get(),
        &mut sink,
    );
    put(sink);
}

#[inline(never)]
fn answers(message: &[u8]) {
    let Ok(answer) = Answer::parse(message) else {
        return;
    };
    let Some(execution) = answer.execution else {
        return;
    };
    port::put(execution.job_id.len() as u32);
    let protocol = if port::get() == 0 {
        Protocol::Mqtt
    } else {
        Protocol::Http
    };
    let document = execution.document();
    if let Ok(Some(update)) = document.and_then(|document| AfrOta::parse(&document, protocol)) {
        port::put(update.stream.map_or(0, |stream| stream.len() as u32));
        for file in update.files {
            port::put(file.size);
            port::put(file.id.into());
        }
    }
}

#[inline(never)]
fn blocks(message: &[u8]) {
    let mut bytes = [0; 512];
    if let Ok(data) = Data::parse(format(), message) {
        port::put(data.block + data.len);
        port::put(data.payload.copy_to(&mut bytes).unwrap_or(0) as u32);
    }
    for byte in bytes {
        port::put(byte.into());
    }
}

fn put(sink: Buffer<'_>) {
    for byte in sink.finish().unwrap_or_default() {
        port::put((*byte).into());
    }
}
