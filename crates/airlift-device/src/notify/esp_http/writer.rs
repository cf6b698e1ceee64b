//! Text into a fixed buffer, without the code size of `core::fmt`.

/// Appends to a buffer; once something did not fit, nothing more is written and [`finish`](Self::finish) says so.
pub(super) struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    full: bool,
}

impl<'b> Writer<'b> {
    pub(super) fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            len: 0,
            full: false,
        }
    }

    /// All that was written, or `None` if it did not fit.
    pub(super) fn finish(self) -> Option<&'b [u8]> {
        if self.full {
            return None;
        }
        let buffer: &'b [u8] = self.buffer;
        buffer.get(..self.len)
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Ends the line before and starts a header field; `name` comes with its colon.
    pub(super) fn field(&mut self, name: &str) {
        self.text("\r\n");
        self.text(name);
    }

    pub(super) fn decimal(&mut self, mut number: u32) {
        let mut digits = [0; 10];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            used += 1;
            if number == 0 {
                break;
            }
        }
        if let Some(digits) = digits.get(digits.len() - used..) {
            self.bytes(digits);
        }
    }

    pub(super) fn lower_hex(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hex(byte, b'a');
        }
    }

    pub(super) fn upper_hex(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hex(byte, b'A');
        }
    }

    /// `24:0A:C4:6C:5E:0E`
    pub(super) fn mac(&mut self, mac: [u8; 6]) {
        for (index, byte) in mac.into_iter().enumerate() {
            if index > 0 {
                self.text(":");
            }
            self.hex(byte, b'A');
        }
    }

    fn hex(&mut self, byte: u8, letter: u8) {
        let digit = |nibble: u8| {
            if nibble < 10 {
                b'0' + nibble
            } else {
                letter + (nibble - 10)
            }
        };
        self.bytes(&[digit(byte >> 4), digit(byte & 0x0f)]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.buffer.get_mut(self.len..end) {
            Some(place) if !self.full => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.full = true,
        }
    }
}
