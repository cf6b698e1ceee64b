//! The encryption of existing payloads: AES-128 in counter mode, as NXP's tool (`--enc_enable`) and devices do it.
//!
//! **Do not use it for anything new.** The counter starts at the same value for every part of every image, so that the same
//! key stream hides them all: the XOR of two encrypted images is the XOR of their contents. Nothing notices a change of the
//! ciphertext. The key is compiled into every device. It is here to read what exists, and to make images for devices that know
//! nothing else.
//!
//! Application and boot loader are encrypted behind their descriptor, factory data as a whole, custom parts not at all. The
//! content is padded with 0xFF to a multiple of 16 first, and nothing says by how much: the padding of an image lands in flash.
//! The digest in the header is that of the ciphertext.

use core::{fmt, str::FromStr};

use aes::Aes128;
use ctr::{
    Ctr32BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};

use super::{Content, DESCRIPTOR_LEN};

/// What every part starts from: a constant, and a big-endian counter of 32 bits at 0.
const INITIAL_COUNTER: [u8; 16] = [
    0x00, 0x00, 0x00, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x00, 0x00, 0x00, 0x00,
];

/// Bytes that contents are padded to multiples of.
pub const BLOCK_LEN: usize = 16;
/// What they are padded with.
pub const PADDING: u8 = 0xFF;

/// A key. [`fmt::Debug`] does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 16]);

/// A text that is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key: 32 hexadecimal digits (128 bits) are needed")
    }
}

impl core::error::Error for InvalidKey {}

impl FromStr for Key {
    type Err = InvalidKey;

    /// Reads 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        if text.len() != 32 {
            return Err(InvalidKey);
        }
        let mut key = [0; 16];
        let (digits, _) = text.as_bytes().as_chunks();
        for (byte, [high, low]) in key.iter_mut().zip(digits) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(InvalidKey);
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Bytes at the start of a value that are in clear; none if all of it is.
#[must_use]
pub const fn clear_len(tag: u32) -> Option<usize> {
    match Content::of(tag) {
        Content::Application | Content::Bootloader => Some(DESCRIPTOR_LEN),
        Content::FactoryData => Some(0),
        Content::Extra | Content::Custom | Content::Manifest | Content::Unassigned => None,
    }
}

/// Encrypts or decrypts the content of one part, in pieces of any size: both are the same.
pub struct Cipher(Ctr32BE<Aes128>);

impl Cipher {
    /// At the start of a content.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self(Ctr32BE::new(&key.0.into(), &INITIAL_COUNTER.into()))
    }

    /// Encrypts or decrypts the next bytes in place. A value has less than 4 GiB, so that the counter never wraps.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.0.apply_keystream(bytes);
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stream_of_the_tool_s_default_key_starts_as_documented() {
        let key: Key = "1234567890ABCDEFA1B2C3D4E5F6F1B4".parse().unwrap();
        let mut stream = [0; 4];
        Cipher::new(&key).apply(&mut stream);
        assert_eq!(stream, [0xD8, 0xC4, 0xED, 0x8B]);
    }

    #[test]
    fn pieces_make_no_difference_and_twice_is_never() {
        let key = Key([7; 16]);
        let mut whole = [0x5A; 100];
        Cipher::new(&key).apply(&mut whole);
        let mut pieces = [0x5A; 100];
        let mut cipher = Cipher::new(&key);
        for piece in pieces.chunks_mut(7) {
            cipher.apply(piece);
        }
        assert_eq!(pieces, whole);
        Cipher::new(&key).apply(&mut pieces);
        assert_eq!(pieces, [0x5A; 100]);
    }

    #[test]
    fn a_key_has_32_digits() {
        for text in [
            "",
            "00",
            "1234567890ABCDEFA1B2C3D4E5F6F1B",
            "xx34567890ABCDEFA1B2C3D4E5F6F1B4",
        ] {
            assert_eq!(text.parse::<Key>(), Err(InvalidKey), "{text}");
        }
        assert_eq!(format!("{:?}", Key([1; 16])), "Key");
    }
}
