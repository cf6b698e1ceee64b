//! An ESP32 app image of any length, made here: the benchmark asks for a length that no recorded image has.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::workspace::output;

const HEADER_LEN: usize = 24;
const SEGMENT_HEADER_LEN: usize = 8;
const DIGEST_LEN: usize = 32;
/// The checksum is the last byte of a block of this many, counted from the start of the image.
const CHECKSUM_BLOCK: usize = 16;
const CHECKSUM_SEED: u8 = 0xEF;

/// Writes a valid image of `len` bytes to `file`: one segment, its checksum, its SHA-256.
///
/// # Errors
/// Fails if there is no image of this length, or if the file cannot be written.
pub(super) fn write(file: &Path, len: usize) -> Result<()> {
    let body = body(len)?;
    fs::write(file, &body).with_context(|| format!("cannot write {}", file.display()))?;
    // Of coreutils, so that this program need not be built with a digest.
    let line = output(Command::new("sha256sum").arg(file))?;
    let digest = hex(line.get(..2 * DIGEST_LEN).unwrap_or_default())
        .context("sha256sum printed no digest")?;
    fs::write(file, [body, digest].concat())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Everything before the SHA-256.
fn body(len: usize) -> Result<Vec<u8>> {
    let fixed = HEADER_LEN + SEGMENT_HEADER_LEN + CHECKSUM_BLOCK + DIGEST_LEN;
    let data_len = match len.checked_sub(fixed) {
        Some(data_len) if data_len >= DESCRIPTOR_LEN && data_len % CHECKSUM_BLOCK == 0 => data_len,
        _ => bail!(
            "there is no image of {len} bytes: {fixed} bytes and a multiple of {CHECKSUM_BLOCK} of data"
        ),
    };
    let mut image = vec![0; HEADER_LEN];
    image[0] = 0xE9; // magic
    image[1] = 1; // segments
    image[2] = 2; // DIO
    image[3] = 0x20; // 4 MiB, 40 MHz
    image[4..8].copy_from_slice(&0x4008_0400_u32.to_le_bytes()); // entry point
    image[8] = 0xEE; // no write-protect pin
    image[23] = 1; // a SHA-256 is appended
    // Memory-mapped constants: the address agrees with the offset in flash modulo the page of 64 KiB.
    image.extend(0x3F40_0020_u32.to_le_bytes());
    image.extend(u32::try_from(data_len)?.to_le_bytes());

    let mut data = descriptor();
    // Not compressible and not constant, as code is.
    let mut state = 1_u32;
    data.resize_with(data_len, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let checksum = data.iter().fold(CHECKSUM_SEED, |sum, byte| sum ^ byte);
    image.extend(data);
    image.resize(image.len() + CHECKSUM_BLOCK - 1, 0);
    image.push(checksum);
    Ok(image)
}

const DESCRIPTOR_LEN: usize = 256;

/// `esp_app_desc_t`: what the image says of itself.
fn descriptor() -> Vec<u8> {
    let mut descriptor = vec![0; DESCRIPTOR_LEN];
    let mut text = |offset: usize, text: &str| {
        descriptor[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    };
    text(16, "1.0.0");
    text(48, "airlift-bench");
    text(80, "12:00:00");
    text(96, "Nov 20 2026");
    text(112, "v5.3.2");
    descriptor[..4].copy_from_slice(&0xABCD_5432_u32.to_le_bytes());
    descriptor
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    let bytes: Option<Vec<u8>> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() == DIGEST_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_the_length_that_was_asked_for_and_the_right_checksum() {
        let body = body(1 << 20).expect("a mebibyte is a possible length");
        assert_eq!(body.len() + DIGEST_LEN, 1 << 20);
        let data = &body[32..body.len() - CHECKSUM_BLOCK];
        assert_eq!(
            body.last(),
            Some(&data.iter().fold(CHECKSUM_SEED, |sum, byte| sum ^ byte))
        );
    }

    #[test]
    fn a_length_that_no_image_can_have_is_refused() {
        assert!(body(100).is_err() && body((1 << 20) + 1).is_err());
    }
}
