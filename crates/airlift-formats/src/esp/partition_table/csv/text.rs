//! From bytes to lines, as Python does it.

use alloc::{borrow::Cow, string::String};

use super::{Error, Reason};

/// The text of a file: UTF-8, or whatever its byte order mark says.
pub(super) fn decode(input: &[u8]) -> Result<Cow<'_, str>, Error> {
    // The mark of UTF-32 LE starts with that of UTF-16 LE, so it is looked for first.
    if let Some(rest) = input.strip_prefix(&[0xFF, 0xFE, 0, 0]) {
        utf32(rest, u32::from_le_bytes).map(Cow::Owned)
    } else if let Some(rest) = input.strip_prefix(&[0, 0, 0xFE, 0xFF]) {
        utf32(rest, u32::from_be_bytes).map(Cow::Owned)
    } else if let Some(rest) = input.strip_prefix(&[0xFF, 0xFE]) {
        utf16(rest, u16::from_le_bytes).map(Cow::Owned)
    } else if let Some(rest) = input.strip_prefix(&[0xFE, 0xFF]) {
        utf16(rest, u16::from_be_bytes).map(Cow::Owned)
    } else {
        let text = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
        utf8(text, input.len() - text.len()).map(Cow::Borrowed)
    }
}

fn utf8(input: &[u8], mark: usize) -> Result<&str, Error> {
    core::str::from_utf8(input).map_err(|error| {
        let valid = error.valid_up_to();
        let (good, bad) = input.split_at(valid);
        undecodable(
            "UTF-8",
            &String::from_utf8_lossy(good),
            mark + valid,
            bad.first().copied(),
        )
    })
}

fn utf16(input: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (units, rest) = input.as_chunks::<2>();
    let mut text = String::new();
    let mut position = 2;
    for character in char::decode_utf16(units.iter().map(|&bytes| unit(bytes))) {
        let Ok(character) = character else {
            return Err(undecodable("UTF-16", &text, position, None));
        };
        text.push(character);
        position += 2 * character.len_utf16();
    }
    if !rest.is_empty() {
        return Err(undecodable("UTF-16", &text, position, None));
    }
    Ok(text)
}

fn utf32(input: &[u8], unit: fn([u8; 4]) -> u32) -> Result<String, Error> {
    let (units, rest) = input.as_chunks::<4>();
    let mut text = String::new();
    for (index, &bytes) in units.iter().enumerate() {
        let Some(character) = char::from_u32(unit(bytes)) else {
            return Err(undecodable("UTF-32", &text, 4 + 4 * index, None));
        };
        text.push(character);
    }
    if !rest.is_empty() {
        return Err(undecodable("UTF-32", &text, 4 + 4 * units.len(), None));
    }
    Ok(text)
}

fn undecodable(encoding: &'static str, good: &str, offset: usize, byte: Option<u8>) -> Error {
    let line = 1 + lines(good).filter(|line| line.ended).count();
    Error::at(
        line,
        Reason::Encoding {
            encoding,
            offset,
            byte,
        },
    )
}

/// A line of a file, without what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// Whether something ends it, and be it the last line.
    pub(super) ended: bool,
    /// Whether it is ended by something else than LF or CR LF.
    pub(super) unusual_end: bool,
}

/// Splits as Python's `str.splitlines()` does.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut rest = text;
    let mut number = 0;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        number += 1;
        let (text, end, next) = match rest.split_once(ends_line) {
            None => (rest, "", ""),
            Some((text, after)) => {
                let tail = rest.get(text.len()..).unwrap_or_default();
                match tail.strip_prefix("\r\n") {
                    Some(next) => (text, "\r\n", next),
                    None => {
                        let end = tail.len() - after.len();
                        (text, tail.get(..end).unwrap_or_default(), after)
                    }
                }
            }
        };
        rest = next;
        Some(Line {
            number,
            text,
            ended: !end.is_empty(),
            unusual_end: !matches!(end, "" | "\n" | "\r\n"),
        })
    })
}

fn ends_line(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\x0B' | '\x0C' | '\x1C'..='\x1E' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// White space as Python's `str.strip()` sees it.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1C'..='\x1F')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_python_does() {
        let split = |text| lines(text).map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(split(""), [""; 0]);
        assert_eq!(split("a"), ["a"]);
        assert_eq!(split("a\n"), ["a"]);
        assert_eq!(split("a\n\n"), ["a", ""]);
        assert_eq!(split("a\r\nb\rc\n\rd"), ["a", "b", "c", "", "d"]);
        assert_eq!(
            split("a\x0Bb\x0Cc\x1Cd\x1De\x1Ef\u{85}g\u{2028}h\u{2029}i\x1Fj\u{A0}k"),
            ["a", "b", "c", "d", "e", "f", "g", "h", "i\x1Fj\u{A0}k"]
        );
    }

    #[test]
    fn unusual_ends_are_noticed() {
        let unusual = |text| lines(text).map(|line| line.unusual_end).collect::<Vec<_>>();
        assert_eq!(
            unusual("a\nb\r\nc\rd\x0Ce"),
            [false, false, true, true, false]
        );
    }
}
