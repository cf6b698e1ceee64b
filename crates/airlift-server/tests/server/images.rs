//! Images to publish.

use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use md5::Digest as _;

/// An image for ESP32-C3, ESP32, ...: what is in it depends on `seed`.
pub(crate) fn esp32(chip: ChipId, version: &str, seed: u8) -> Vec<u8> {
    let payload = [seed; 4000];
    AppImageBuilder::new(chip)
        .version(version)
        .project("test")
        .payload(&payload)
        .build()
        .expect("an image")
}

/// An image for ESP8266 with this many bytes in its segments.
pub(crate) fn esp8266(seed: u8, length: u32) -> Vec<u8> {
    const MAPPED_FLASH: u32 = 1 << 20;
    let data: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0] ^ seed).collect();
    let segments = data.chunks(MAPPED_FLASH as usize);
    let mut image = vec![0xE9, segments.len() as u8, 2, 0x40, 0x00, 0xF0, 0x10, 0x40];
    for segment in segments {
        image.extend(0x4020_0000_u32.to_le_bytes());
        image.extend((segment.len() as u32).to_le_bytes());
        image.extend(segment);
    }
    image.resize(image.len() / 16 * 16 + 15, 0);
    image.push(data.iter().fold(0xEF, |sum, byte| sum ^ byte));
    image
}

/// Bytes that are no file system, as many and as different as wanted.
pub(crate) fn data(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| at.to_le_bytes()[0].wrapping_mul(31) ^ seed)
        .collect()
}

/// The first superblock of a `LittleFS`, and erased flash behind it.
pub(crate) fn littlefs(revision: u8) -> Vec<u8> {
    let mut image = vec![revision, 0, 0, 0, 0xF0, 0x0F, 0xFF, 0xF7];
    image.extend(b"littlefs");
    image.extend([0x2F, 0xE0, 0x00, 0x10, 0x01, 0x00, 0x02, 0x00]);
    image.extend(4096_u32.to_le_bytes());
    image.resize(16 * 4096, 0xFF);
    image
}

/// The boot sector of a small FAT volume, and nothing behind it.
pub(crate) fn fat(serial: u8) -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    image[..11].copy_from_slice(b"\xEB\x3C\x90mkfs.fat");
    image[11..13].copy_from_slice(&512_u16.to_le_bytes());
    image[13..17].copy_from_slice(&[4, 1, 0, 2]);
    image[19..21].copy_from_slice(&128_u16.to_le_bytes());
    image[21] = 0xF8;
    image[39] = serial;
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    image
}

pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex(&md5::Md5::digest(bytes))
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
