//! Text of a message.

use core::{fmt, iter, str::Chars};

/// Text as it stands in a message. That of JSON may have escapes, which are taken away while it is read.
#[derive(Clone, Copy, Default)]
pub struct Text<'a> {
    /// With escapes: valid JSON escapes only.
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// What stands between the quotes of a JSON string.
    pub(super) const fn json(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The text, if it has no escapes. Identifiers never have: a writer has no reason to escape what they consist of.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.raw) }
    }

    /// Whether it is this word, and written without escapes.
    pub(super) fn is(&self, word: &str) -> bool {
        !self.escaped && self.raw == word
    }

    /// What stands between the quotes of a JSON string if this is one that has escapes.
    pub(super) const fn escapes(&self) -> Option<&'a str> {
        if self.escaped { Some(self.raw) } else { None }
    }

    /// Its characters. The half of a surrogate pair, which JSON can say, is U+FFFD.
    pub fn chars(&self) -> impl Iterator<Item = char> + Clone + use<'a> {
        let escaped = self.escaped;
        let mut rest = self.raw.chars();
        iter::from_fn(move || match rest.next()? {
            '\\' if escaped => Some(unescape(&mut rest)),
            character => Some(character),
        })
    }

    /// Bytes that it has in UTF-8, without escapes.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.escaped {
            self.chars().map(char::len_utf8).sum()
        } else {
            self.raw.len()
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Copies it into `buffer`, without escapes. None if it does not fit.
    pub fn copy_to<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b str> {
        let mut len = 0;
        for character in self.chars() {
            let end = len + character.len_utf8();
            character.encode_utf8(buffer.get_mut(len..end)?);
            len = end;
        }
        core::str::from_utf8(buffer.get(..len)?).ok()
    }
}

/// The character of an escape whose backslash has been read.
fn unescape(rest: &mut Chars<'_>) -> char {
    match rest.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let first = code_unit(rest);
            if !(0xD800..0xDC00).contains(&first) {
                return scalar(first);
            }
            let mut ahead = rest.clone();
            if ahead.next() == Some('\\') && ahead.next() == Some('u') {
                let second = code_unit(&mut ahead);
                if (0xDC00..0xE000).contains(&second) {
                    *rest = ahead;
                    return scalar(0x1_0000 + ((first & 0x3FF) << 10 | second & 0x3FF));
                }
            }
            char::REPLACEMENT_CHARACTER
        }
        Some(itself) => itself,
        None => char::REPLACEMENT_CHARACTER,
    }
}

fn code_unit(rest: &mut Chars<'_>) -> u32 {
    let mut unit = 0;
    for digit in rest.by_ref().take(4) {
        unit = unit << 4 | digit.to_digit(16).unwrap_or(0);
    }
    unit
}

fn scalar(value: u32) -> char {
    char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self {
            raw: text,
            escaped: false,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.chars().eq(other.chars())
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.escaped {
            self.chars().eq(other.chars())
        } else {
            self.raw == other
        }
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.chars() {
            write!(f, "{}", character.escape_debug())?;
        }
        f.write_str("\"")
    }
}

/// Shows it safely: control characters are escaped.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_away() {
        let text = Text::json(r#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"#, true);
        let plain = "a\"\\/\u{8}\u{c}\n\r\té😀";
        assert_eq!(text, plain);
        assert_eq!(text, Text::from(plain));
        assert_eq!(text.len(), plain.len());
        assert_eq!(text.as_str(), None);
        let mut buffer = [0; 32];
        assert_eq!(text.copy_to(&mut buffer), Some(plain));
        assert_eq!(text.copy_to(&mut [0; 3]), None);
    }

    #[test]
    fn half_a_surrogate_pair_is_no_character() {
        for raw in [
            r"\ud83d",
            r"\ude00",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\u0041",
        ] {
            let text: String = Text::json(raw, true).chars().collect();
            assert!(text.starts_with('\u{fffd}'), "{raw}: {text:?}");
        }
        assert_eq!(Text::json(r"\ud83d\u0041", true), "\u{fffd}A");
    }

    #[test]
    fn text_from_outside_cannot_steer_a_terminal() {
        assert_eq!(Text::from("a\x1b[2J").to_string(), "a\\u{1b}[2J");
        assert_eq!(format!("{:?}", Text::from("a\"\n")), r#""a\"\n""#);
    }
}
