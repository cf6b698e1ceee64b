//! Base64 (RFC 4648, section 4), as strict as the decoder of the AWS streams library.
//!
//! Taken: padding or none, line breaks anywhere, spaces at the end. Refused: the alphabet for URLs, padding before the
//! end, a single symbol, bits that are not zero behind the last byte, and nothing at all.

use core::{fmt, iter::FusedIterator};

use super::{Sink, Text};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why a text is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base64Error {
    /// A character that base64 does not have.
    Symbol,
    /// A symbol behind padding or a space, or padding where there is nothing to pad.
    Order,
    /// No symbol at all, or one symbol too many or too few.
    Length,
    /// The last symbol has bits that belong to no byte, and are not zero.
    NonZeroPadding,
    /// More bytes than there is room for.
    TooLong,
}

impl Base64Error {
    /// The cause as one word, for reports and logs.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Symbol => "base64-symbol",
            Self::Order => "base64-order",
            Self::Length => "base64-length",
            Self::NonZeroPadding => "base64-padding-bits",
            Self::TooLong => "base64-too-long",
        }
    }
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symbol => "has a character that base64 does not have",
            Self::Order => "has base64 padding or a space before its end",
            Self::Length => "is base64 of a length that cannot be",
            Self::NonZeroPadding => "is base64 whose unused bits are not zero",
            Self::TooLong => "is base64 of more bytes than there may be",
        })
    }
}

impl core::error::Error for Base64Error {}

/// The bytes of a text in base64, one after the other. Ends after an error.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    /// As it stands in the message.
    symbols: core::slice::Iter<'a, u8>,
    escaped: bool,
    /// The last bits that were read, and how many of them belong to no byte yet.
    bits: u16,
    pending: u8,
    /// Symbols and padding in all, up to 4 and again from 1.
    quad: u8,
    padded: bool,
    spaced: bool,
    done: bool,
}

/// The bytes of `text`. Of the escapes of JSON only those of the slash and of line breaks are known.
#[must_use]
pub fn decode(text: Text<'_>) -> Decoder<'_> {
    let (symbols, escaped) = match text.escapes() {
        Some(raw) => (raw, true),
        None => (text.as_str().unwrap_or_default(), false),
    };
    Decoder {
        symbols: symbols.as_bytes().iter(),
        escaped,
        bits: 0,
        pending: 0,
        quad: 0,
        padded: false,
        spaced: false,
        done: false,
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<u8, Base64Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let byte = self.byte();
        self.done = !matches!(byte, Some(Ok(_)));
        byte
    }
}

impl FusedIterator for Decoder<'_> {}

impl Decoder<'_> {
    /// The next symbol, without an escape.
    fn symbol(&mut self) -> Option<u8> {
        let symbol = *self.symbols.next()?;
        if symbol != b'\\' || !self.escaped {
            return Some(symbol);
        }
        Some(match self.symbols.next()? {
            b'/' => b'/',
            b'n' | b'r' => b'\n',
            // What this is an escape for is no symbol.
            _ => b'\\',
        })
    }

    fn byte(&mut self) -> Option<Result<u8, Base64Error>> {
        while let Some(symbol) = self.symbol() {
            let value = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'\r' | b'\n' => continue,
                b' ' => {
                    self.spaced = true;
                    continue;
                }
                b'=' => {
                    // One or two, behind two or three symbols of the last four.
                    if self.spaced || !matches!(self.quad, 2 | 3) {
                        return Some(Err(Base64Error::Order));
                    }
                    self.quad += 1;
                    self.padded = true;
                    continue;
                }
                _ => return Some(Err(Base64Error::Symbol)),
            };
            if self.padded || self.spaced {
                return Some(Err(Base64Error::Order));
            }
            self.quad = self.quad % 4 + 1;
            self.bits = self.bits << 6 | u16::from(value);
            self.pending += 6;
            if self.pending >= 8 {
                self.pending -= 8;
                return Some(Ok((self.bits >> self.pending) as u8));
            }
        }
        let unused = self.bits & ((1 << self.pending) - 1);
        // `pending` is 6 behind one symbol, 4 behind two, 2 behind three.
        match self.quad {
            0 | 1 => Some(Err(Base64Error::Length)),
            2 | 3 if self.padded => Some(Err(Base64Error::Length)),
            _ if unused != 0 => Some(Err(Base64Error::NonZeroPadding)),
            _ => None,
        }
    }
}

/// Decodes `text` into `buffer`, and returns how many bytes that are.
///
/// # Errors
/// [`Base64Error`]. Something may have been written into the buffer already.
pub fn decode_into(text: Text<'_>, buffer: &mut [u8]) -> Result<usize, Base64Error> {
    let mut len = 0;
    for byte in decode(text) {
        *buffer.get_mut(len).ok_or(Base64Error::TooLong)? = byte?;
        len += 1;
    }
    Ok(len)
}

/// Appends `bytes` as base64, with padding and without line breaks.
pub fn encode<S: Sink + ?Sized>(bytes: impl IntoIterator<Item = u8>, sink: &mut S) {
    let mut bytes = bytes.into_iter();
    while let Some(first) = bytes.next() {
        let (second, third) = (bytes.next(), bytes.next());
        let group = [first, second.unwrap_or(0), third.unwrap_or(0)];
        let bits = group
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let symbol = |shift: u32| ALPHABET.get(bits >> shift & 0x3F).copied().unwrap_or(b'=');
        sink.put(&[
            symbol(18),
            symbol(12),
            second.map_or(b'=', |_| symbol(6)),
            third.map_or(b'=', |_| symbol(0)),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Result<Vec<u8>, Base64Error> {
        decode(Text::from(text)).collect()
    }

    #[test]
    fn what_is_tolerated_and_what_is_not() {
        for (text, expected) in [
            ("MTIz", Ok(&b"123"[..])),
            ("MTI=", Ok(b"12")),
            ("MTI", Ok(b"12")),
            ("MQ==", Ok(b"1")),
            ("MQ", Ok(b"1")),
            ("MT\r\nIz\n", Ok(b"123")),
            ("MQ==  ", Ok(b"1")),
            ("MTIz ", Ok(b"123")),
            ("+/8=", Ok(&[0xFB, 0xFF])),
            ("", Err(Base64Error::Length)),
            ("\n", Err(Base64Error::Length)),
            ("M", Err(Base64Error::Length)),
            ("MTIzN", Err(Base64Error::Length)),
            ("MQ=", Err(Base64Error::Length)),
            ("=", Err(Base64Error::Order)),
            ("M===", Err(Base64Error::Order)),
            ("MQ===", Err(Base64Error::Order)),
            ("MTIz=", Err(Base64Error::Order)),
            ("MQ==MQ==", Err(Base64Error::Order)),
            ("MQ =", Err(Base64Error::Order)),
            ("M Q=", Err(Base64Error::Order)),
            ("-_8=", Err(Base64Error::Symbol)),
            ("MTé=", Err(Base64Error::Symbol)),
            ("MR==", Err(Base64Error::NonZeroPadding)),
            ("MTJ=", Err(Base64Error::NonZeroPadding)),
            ("MTJ", Err(Base64Error::NonZeroPadding)),
        ] {
            assert_eq!(all(text), expected.map(<[u8]>::to_vec), "{text:?}");
        }
    }

    #[test]
    fn escapes_of_slashes_and_line_breaks_are_known() {
        for (raw, expected) in [
            (r"\/\/8=", Ok(&[0xFF, 0xFF][..])),
            (r"MT\r\nIz\n", Ok(b"123")),
            (r"\u002b\/8=", Err(Base64Error::Symbol)),
            (r"MT\tIz", Err(Base64Error::Symbol)),
            (r"MTIz\\", Err(Base64Error::Symbol)),
        ] {
            let decoded: Result<Vec<u8>, _> = decode(Text::json(raw, true)).collect();
            assert_eq!(decoded, expected.map(<[u8]>::to_vec), "{raw}");
        }
        // Without escapes a backslash is nothing but a wrong symbol.
        assert_eq!(all(r"\/8="), Err(Base64Error::Symbol));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_said_to_be() {
        let mut buffer = [0; 3];
        assert_eq!(decode_into(Text::from("MTIz"), &mut buffer), Ok(3));
        assert_eq!(buffer, *b"123");
        assert_eq!(
            decode_into(Text::from("MTIzNA"), &mut buffer),
            Err(Base64Error::TooLong)
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let mut text = Vec::new();
            encode(bytes.iter().copied(), &mut text);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(text.len(), bytes.len().div_ceil(3) * 4);
            prop_assert_eq!(all(&text), Ok(bytes.clone()));
            prop_assert_eq!(all(text.trim_end_matches('=')), Ok(bytes));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in "[A-Za-f+/= \n\r-]{0,12}") {
            if let Ok(bytes) = all(&text) {
                let symbols = text.chars().filter(|c| !matches!(c, '=' | ' ' | '\r' | '\n')).count();
                prop_assert_eq!(bytes.len(), symbols * 6 / 8);
            }
        }
    }
}
