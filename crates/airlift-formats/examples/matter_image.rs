//! A Matter OTA image with several images in it, read and verified in blocks of a transfer, beside a plain SHA-256 of the
//! same bytes: what `cargo xtask bench image` times, and counts the instructions of.
//!
//! `matter_image time ROUNDS` prints nanoseconds a round of each way, one line a round; the ways take turns. `matter_image WAY KIB` takes
//! one way over an image of about that size: `plain`, `pieces` (cut elsewhere), `image` (container and digest) or `parts` (that, and the parts inside).

use std::{hint::black_box, process::ExitCode, time::Instant};

use airlift_formats::{
    matter::image::{Event, ImageBuilder, ImageReader, MAX_HEADER_LEN, Rules},
    nxp::{self, Accumulator, DESCRIPTOR_LEN, Descriptor, PayloadBuilder, PayloadReader},
};
use sha2::{Digest as _, Sha256};

/// A block of Matter's bulk data exchange (BDX).
const BLOCK: usize = 1024;
/// Size of the image that is timed, in KiB.
const TIMED: usize = 8 * 1024;

/// One way to take an image: its name, and what it does with the image.
type Way = (&'static str, fn(&[u8]));

/// The ways, in the order of a line of times.
const WAYS: [Way; 4] = [
    ("plain", measured_plain),
    ("pieces", measured_pieces),
    ("image", measured_image),
    ("parts", measured_parts),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = arguments
        .get(1)
        .and_then(|number| number.parse::<usize>().ok());
    let what = arguments.first().map(String::as_str).unwrap_or_default();
    match (what, number, WAYS.iter().find(|(name, _)| *name == what)) {
        ("time", Some(rounds), _) => time(rounds),
        (_, Some(kib @ 16..=65536), Some((_, way))) => {
            let image = image(kib);
            way(black_box(&image));
            println!("image {}", image.len());
        }
        _ => {
            eprintln!(
                "usage: matter_image time ROUNDS | matter_image plain|pieces|image|parts KIB (16 to 65536)"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn time(rounds: usize) {
    let image = image(TIMED);
    println!("image {}", image.len());
    for _ in 0..rounds {
        let times = WAYS.map(|(_, way)| {
            let start = Instant::now();
            way(black_box(&image));
            start.elapsed().as_nanos().to_string()
        });
        println!("{}", times.join(" "));
    }
}

/// An image of ten parts: eight custom ones, which are half of it, a boot loader and an application.
fn image(kib: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..kib as u32 * 1024)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (customs, firmware) = bytes.split_at(bytes.len() / 2);
    let (bootloader, application) = firmware.split_at(firmware.len() / 4);
    let descriptor = Descriptor::new(2, "2.0", "2026-11-26").expect("short texts");
    let mut payload = PayloadBuilder::default();
    for (tag, content) in (100..108).zip(customs.chunks(customs.len() / 8)) {
        payload
            .custom(tag, &descriptor.emit(), content)
            .expect("a custom tag");
    }
    payload.bootloader(&descriptor, bootloader).expect("once");
    payload.application(&descriptor, application).expect("once");
    ImageBuilder::new(0xFFF1, 0x8001, 2, "2.0")
        .build(&payload.build())
        .expect("a good header")
}

/// What everybody pays: SHA-256 of all bytes.
#[inline(never)]
fn measured_plain(image: &[u8]) {
    let mut sha = Sha256::new();
    for block in image.chunks(BLOCK) {
        sha.update(block);
    }
    black_box(sha.finalize());
}

/// The same where the payload's blocks are cut: behind the header, which is no multiple of the digest's blocks.
#[inline(never)]
fn measured_pieces(image: &[u8]) {
    const HEADER: usize = 80;
    let mut sha = Sha256::new();
    let (first, rest) = image.split_at(BLOCK - HEADER);
    sha.update(first);
    for block in rest.chunks(BLOCK) {
        sha.update(block);
    }
    black_box(sha.finalize());
}

/// Header, sizes and digest.
#[inline(never)]
fn measured_image(image: &[u8]) {
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut reader = ImageReader::new(&mut buffer, Rules::strict());
    for mut block in image.chunks(BLOCK) {
        while let Some(event) = reader.read(&mut block).expect("our own image") {
            match event {
                Event::Header(header) => {
                    black_box(header);
                }
                Event::Payload(bytes) => {
                    black_box(bytes);
                }
            }
        }
    }
    black_box(reader.finish().expect("our own image"));
}

/// The same, and each part by its tag, with its descriptor.
#[inline(never)]
fn measured_parts(image: &[u8]) {
    let mut buffer = [0; MAX_HEADER_LEN];
    let mut reader = ImageReader::new(&mut buffer, Rules::strict());
    let mut parts = None;
    let mut descriptor = Accumulator::<DESCRIPTOR_LEN>::new();
    for mut block in image.chunks(BLOCK) {
        while let Some(event) = reader.read(&mut block).expect("our own image") {
            match event {
                Event::Header(header) => {
                    parts = Some(PayloadReader::<16>::new(
                        header.payload_size,
                        nxp::Rules::strict(),
                    ));
                }
                Event::Payload(mut bytes) => {
                    let parts: &mut PayloadReader<16> =
                        parts.as_mut().expect("the header is first");
                    while let Some(event) = parts.read(&mut bytes).expect("our own payload") {
                        match event {
                            nxp::Event::Begin(_) => descriptor.clear(),
                            nxp::Event::Value { mut bytes, .. } => {
                                black_box(descriptor.take(&mut bytes));
                                black_box(bytes);
                            }
                            nxp::Event::End(tlv) => {
                                black_box(tlv);
                            }
                        }
                    }
                }
            }
        }
    }
    black_box(parts.expect("a header").finish().expect("our own payload"));
    black_box(reader.finish().expect("our own image"));
}
