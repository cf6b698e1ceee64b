//! Messages into a buffer: one writer for both formats.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;

use super::{Format, Text, base64};

/// Where a message is written to.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

#[cfg(feature = "alloc")]
impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A [`Sink`] of fixed length. Once something did not fit, nothing more is written and [`finish`](Self::finish) says so.
#[derive(Debug)]
pub struct Buffer<'b> {
    bytes: &'b mut [u8],
    len: usize,
    full: bool,
}

/// A message is longer than the buffer that it should be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferTooSmall;

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message does not fit into the buffer")
    }
}

impl core::error::Error for BufferTooSmall {}

impl<'b> Buffer<'b> {
    /// Writes from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b mut [u8]) -> Self {
        Self {
            bytes,
            len: 0,
            full: false,
        }
    }

    /// All that was written.
    ///
    /// # Errors
    /// It did not fit.
    pub fn finish(self) -> Result<&'b [u8], BufferTooSmall> {
        let bytes: &'b [u8] = self.bytes;
        match bytes.get(..self.len) {
            Some(written) if !self.full => Ok(written),
            _ => Err(BufferTooSmall),
        }
    }
}

impl Sink for Buffer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.bytes.get_mut(self.len..end) {
            Some(place) if !self.full => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.full = true,
        }
    }
}

impl Buffer<'_> {
    /// Appends a number in decimal.
    pub fn put_decimal(&mut self, number: u32) {
        decimal(self, number);
    }
}

/// Writes one message, member by member.
pub(super) struct Emitter<'s, S: ?Sized> {
    sink: &'s mut S,
    format: Format,
    /// Behind the names of members in JSON.
    colon: &'static str,
    /// Whether the next member needs a comma before it.
    comma: bool,
}

impl<'s, S: Sink + ?Sized> Emitter<'s, S> {
    pub(super) fn new(format: Format, sink: &'s mut S) -> Self {
        Self {
            sink,
            format,
            colon: ":",
            comma: false,
        }
    }

    /// With a space behind each colon, as the C library of AWS writes its requests for blocks.
    pub(super) fn spaced(mut self) -> Self {
        self.colon = ": ";
        self
    }

    /// Starts an object. In CBOR it has as many `members`, or an end that is marked.
    pub(super) fn open(&mut self, members: Option<u8>) {
        match (self.format, members) {
            (Format::Json, _) => self.sink.put(b"{"),
            (Format::Cbor, Some(members)) => self.head(5, u32::from(members)),
            (Format::Cbor, None) => self.sink.put(&[0xBF]),
        }
        self.comma = false;
    }

    /// Ends an object that was opened with as many `members`.
    pub(super) fn close(&mut self, members: Option<u8>) {
        match (self.format, members) {
            (Format::Json, _) => self.sink.put(b"}"),
            (Format::Cbor, Some(_)) => {}
            (Format::Cbor, None) => self.sink.put(&[0xFF]),
        }
        self.comma = true;
    }

    /// Starts a list.
    pub(super) fn open_list(&mut self, name: &str) {
        self.name(name);
        self.sink.put(match self.format {
            Format::Json => b"[",
            Format::Cbor => &[0x9F],
        });
        self.comma = false;
    }

    /// The next element of a list follows.
    pub(super) fn element(&mut self) {
        if self.format == Format::Json && core::mem::replace(&mut self.comma, true) {
            self.sink.put(b",");
        }
    }

    /// Ends a list.
    pub(super) fn close_list(&mut self) {
        self.sink.put(match self.format {
            Format::Json => b"]",
            Format::Cbor => &[0xFF],
        });
        self.comma = true;
    }

    /// Starts a member; its value follows.
    pub(super) fn name(&mut self, name: &str) {
        self.element();
        self.plain(name);
        if self.format == Format::Json {
            self.sink.put(self.colon.as_bytes());
        }
    }

    /// A member that is a number.
    pub(super) fn unsigned(&mut self, name: &str, number: u32) {
        self.name(name);
        match self.format {
            Format::Json => decimal(self.sink, number),
            Format::Cbor => self.head(0, number),
        }
    }

    /// A member that is a text.
    #[inline(never)] // Whoever writes one without escapes does not pay for the rest.
    pub(super) fn text(&mut self, name: &str, text: Text<'_>) {
        if let Some(text) = text.as_str() {
            return self.plain_text(name, text);
        }
        self.name(name);
        match self.format {
            Format::Json => {
                self.quote();
                self.sink.put(text.escapes().unwrap_or_default().as_bytes());
                self.quote();
            }
            Format::Cbor => {
                self.head(3, text.len() as u32);
                for character in text.chars() {
                    let mut bytes = [0; 4];
                    self.sink.put(character.encode_utf8(&mut bytes).as_bytes());
                }
            }
        }
    }

    /// A member that is a text without escapes.
    pub(super) fn plain_text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.plain(text);
    }

    fn plain(&mut self, text: &str) {
        match self.format {
            Format::Json => {
                self.quote();
                self.escaped(text);
                self.quote();
            }
            Format::Cbor => {
                self.head(3, text.len() as u32);
                self.sink.put(text.as_bytes());
            }
        }
    }

    /// A member that is this, as it stands; in JSON only.
    pub(super) fn literal(&mut self, name: &str, literal: &str) {
        self.name(name);
        self.sink.put(literal.as_bytes());
    }

    /// An element of a list that is a text.
    pub(super) fn text_element(&mut self, text: &str) {
        self.element();
        self.plain(text);
    }

    /// Starts or ends a string that is put together of pieces; in JSON only.
    pub(super) fn quote(&mut self) {
        self.sink.put(b"\"");
    }

    /// A piece of a string, with escapes.
    pub(super) fn escaped(&mut self, text: &str) {
        escaped(self.sink, text);
    }

    /// A piece of a string: a number in decimal.
    pub(super) fn decimal(&mut self, number: u32) {
        decimal(self.sink, number);
    }

    /// A piece of a string: a number as `0x` and 8 hexadecimal digits.
    pub(super) fn hex(&mut self, number: u32) {
        self.sink.put(b"0x");
        for shift in (0..8).rev() {
            self.sink
                .put(&[hex_digit((number >> (4 * shift) & 15) as u8)]);
        }
    }

    /// A member that is a string of bytes; base64 in JSON.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        match self.format {
            Format::Json => self.byte_iterator(name, bytes.len(), bytes.iter().copied()),
            Format::Cbor => {
                self.name(name);
                self.head(2, bytes.len() as u32);
                self.sink.put(bytes);
            }
        }
    }

    /// The same for `len` bytes that are not in one place.
    pub(super) fn byte_iterator(
        &mut self,
        name: &str,
        len: usize,
        bytes: impl Iterator<Item = u8>,
    ) {
        self.name(name);
        match self.format {
            Format::Json => {
                self.sink.put(b"\"");
                base64::encode(bytes, self.sink);
                self.sink.put(b"\"");
            }
            Format::Cbor => {
                self.head(2, len as u32);
                bytes.for_each(|byte| self.sink.put(&[byte]));
            }
        }
    }

    /// The head of an item in CBOR: the shortest form.
    fn head(&mut self, major: u8, number: u32) {
        let major = major << 5;
        let [a, b, c, d] = number.to_be_bytes();
        match number {
            0..24 => self.sink.put(&[major | d]),
            24..0x100 => self.sink.put(&[major | 24, d]),
            0x100..0x1_0000 => self.sink.put(&[major | 25, c, d]),
            _ => self.sink.put(&[major | 26, a, b, c, d]),
        }
    }
}

/// A number in decimal.
fn decimal<S: Sink + ?Sized>(sink: &mut S, mut number: u32) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start = index;
        if number == 0 {
            break;
        }
    }
    sink.put(digits.get(start..).unwrap_or_default());
}

/// The inside of a JSON string.
fn escaped<S: Sink + ?Sized>(sink: &mut S, text: &str) {
    for byte in text.bytes() {
        match byte {
            0..0x20 => sink.put(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                hex_digit(byte >> 4),
                hex_digit(byte & 15),
            ]),
            b'"' | b'\\' => sink.put(&[b'\\', byte]),
            _ => sink.put(&[byte]),
        }
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..10 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}
