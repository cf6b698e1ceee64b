//! Text as it comes: perhaps not UTF-8, perhaps with control characters in it.

use core::fmt::{self, Write as _};

/// Text from a file or a device. [`Display`](fmt::Display) shows it safely: control characters are escaped, what is not UTF-8 becomes U+FFFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// The text in a field of fixed length: up to the first NUL, or the whole field if there is none.
    #[must_use]
    pub fn in_field(field: &'a [u8]) -> Self {
        let end = field.iter().position(|byte| *byte == 0);
        Self(end.and_then(|end| field.get(..end)).unwrap_or(field))
    }

    /// The bytes as they are.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        match core::str::from_utf8(self.0) {
            Ok(text) => Some(text),
            Err(_) => None,
        }
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    f.write_char(character)?;
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        assert_eq!(Text(b"a\x1b[2Jb\xff").to_string(), "a\\u{1b}[2Jb\u{fffd}");
        assert_eq!(Text::from("2.0-\u{e9}").to_string(), "2.0-\u{e9}");
    }

    #[test]
    fn a_field_ends_at_its_first_nul_or_not_at_all() {
        assert_eq!(Text::in_field(b"1.0\0\0").as_str(), Some("1.0"));
        assert_eq!(Text::in_field(b"full").as_str(), Some("full"));
        assert_eq!(Text::in_field(b"\0x").as_str(), Some(""));
        assert_eq!(Text(b"\xff").as_str(), None);
    }
}
