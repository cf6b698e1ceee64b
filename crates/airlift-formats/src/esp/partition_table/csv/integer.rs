//! Integers as the official tool reads them: Python's `int(text, 0)`, with suffixes `K` and `M`, or a keyword.

use alloc::{borrow::Cow, borrow::ToOwned, string::String};

use super::{FieldError, text::is_space};

/// What the numbers of a table stay far below; whatever is larger is refused, so that sums cannot overflow.
const LIMIT: i128 = 1 << 64;

/// Reads a cell. The suffixes come first (`4KK` is 4 MiB, `otaK` is 1024 times what `ota` is), then the number, then
/// `keyword`, which gets the rest in lower case. `known` lists the keywords for the message, empty if there are none.
pub(super) fn parse(
    cell: &str,
    keyword: impl Fn(&str) -> Option<i128>,
    known: impl Fn() -> String,
) -> Result<Number, FieldError> {
    let mut rest = cell;
    let mut multiplier: i128 = 1;
    let mut suffixes = 0;
    while let Some(factor) = suffix(rest) {
        // Beyond the limit it does not matter any more by how much, unless it is 0 that is multiplied.
        multiplier = (multiplier * factor).min(2 * LIMIT);
        suffixes += 1;
        let mut characters = rest.chars();
        characters.next_back();
        rest = characters.as_str();
    }
    let (value, notation) = match int(rest) {
        Some(Int::TooLarge) => return Err(too_large(cell)),
        Some(Int::Value { value, usual }) => {
            let notation = if usual && suffixes <= 1 && cell.is_ascii() {
                Notation::Usual
            } else {
                Notation::UnusualNumber
            };
            (value, notation)
        }
        None => {
            let lower = rest.to_lowercase();
            let Some(value) = keyword(&lower) else {
                let known = known();
                return Err(if known.is_empty() {
                    FieldError::InvalidValue {
                        cell: rest.to_owned(),
                    }
                } else {
                    FieldError::UnknownKeyword {
                        cell: rest.to_owned(),
                        known,
                    }
                });
            };
            let notation = if suffixes > 0 {
                Notation::KeywordWithSuffix
            } else if lower != rest {
                Notation::KeywordNotLowerCase
            } else {
                Notation::Usual
            };
            (value, notation)
        }
    };
    match value.checked_mul(multiplier) {
        Some(value) if (-LIMIT..=LIMIT).contains(&value) => Ok(Number { value, notation }),
        _ => Err(too_large(cell)),
    }
}

/// A number and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) value: i128,
    pub(super) notation: Notation,
}

/// How a number was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// Decimal or hexadecimal with at most one suffix, or a keyword in lower case.
    Usual,
    /// Binary, octal, underscores, several suffixes, a plus sign, spaces within, digits of other scripts.
    UnusualNumber,
    KeywordNotLowerCase,
    KeywordWithSuffix,
}

fn too_large(cell: &str) -> FieldError {
    FieldError::TooLarge {
        cell: cell.to_owned(),
    }
}

/// The factor of the last letter, if it is a suffix in lower or upper case (also the Kelvin sign, whose lower case is `k`).
fn suffix(text: &str) -> Option<i128> {
    match text.chars().next_back()?.to_lowercase().last()? {
        'k' => Some(1 << 10),
        'm' => Some(1 << 20),
        _ => None,
    }
}

enum Int {
    Value {
        value: i128,
        /// Written in decimal or hexadecimal and nothing else.
        usual: bool,
    },
    TooLarge,
}

/// Python's `int(text, 0)`.
fn int(text: &str) -> Option<Int> {
    let text = to_ascii(text);
    // Only these six count as space here, unlike for `str.strip()`.
    let spaces = |character| matches!(character, ' ' | '\t'..='\r');
    let trimmed = text.trim_matches(spaces);
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, behind_prefix(digits)),
        [b'0', b'o' | b'O', ..] => (8, behind_prefix(digits)),
        [b'0', b'b' | b'B', ..] => (2, behind_prefix(digits)),
        _ => (10, digits),
    };
    let mut value = Some(0i128);
    let mut after_digit = false;
    for character in digits.chars() {
        if character == '_' {
            if !after_digit {
                return None;
            }
            after_digit = false;
        } else {
            let digit = i128::from(character.to_digit(radix)?);
            value = value
                .and_then(|value| value.checked_mul(i128::from(radix))?.checked_add(digit))
                .filter(|&value| value <= LIMIT);
            after_digit = true;
        }
    }
    if !after_digit {
        return None;
    }
    // What looks octal to C is refused, unless it is zero anyway.
    if radix == 10 && digits.starts_with('0') && value != Some(0) {
        return None;
    }
    let Some(value) = value else {
        return Some(Int::TooLarge);
    };
    let usual = matches!(radix, 10 | 16)
        && !text.contains('_')
        && trimmed == text
        && !text.starts_with('+');
    Some(Int::Value {
        value: if negative { -value } else { value },
        usual,
    })
}

/// One underscore may stand between the prefix and the digits.
fn behind_prefix(text: &str) -> &str {
    let digits = text.get(2..).unwrap_or_default();
    digits.strip_prefix('_').unwrap_or(digits)
}

/// Digits and spaces of other scripts count as those of ASCII, as in Python.
fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|character| match character {
            '\0'..='\x7E' => character,
            _ if is_space(character) => ' ',
            _ => decimal_digit(character).unwrap_or('?'),
        })
        .collect()
}

fn decimal_digit(character: char) -> Option<char> {
    let code = u32::from(character);
    let below = ZEROS.partition_point(|&zero| zero <= code);
    let zero = ZEROS.get(below.checked_sub(1)?)?;
    char::from_digit(code - zero, 10)
}

/// The digit zero of each script (Unicode category Nd); nine more follow each.
const ZEROS: [u32; 65] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6,
    0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn number(cell: &str) -> Result<Number, FieldError> {
        let keyword = |name: &str| match name {
            "nvs" => Some(2),
            "ota" => Some(0),
            _ => None,
        };
        parse(cell, keyword, || "nvs, ota".to_owned())
    }

    #[test]
    fn numbers_are_read_as_python_does() {
        for (cell, expected) in [
            ("0", 0),
            ("00", 0),
            ("0_0", 0),
            ("-0", 0),
            ("42", 42),
            ("+42", 42),
            ("-42", -42),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0X1f", 31),
            ("0x_1F", 31),
            ("-0x10", -16),
            ("0b101", 5),
            ("0o17", 15),
            ("4k", 4096),
            ("4K", 4096),
            ("4 K", 4096),
            ("4\u{212A}", 4096),
            ("1m", 1 << 20),
            ("4KK", 4 << 20),
            ("1KM", 1 << 30),
            ("-1K", -1024),
            ("0x10K", 0x4000),
            ("0KMKMKMKMKMKMKMKMKMKM", 0),
            ("\u{0661}\u{0662}", 12),
            ("\u{FF10}x\u{FF11}\u{FF10}", 16),
            ("nvs", 2),
            ("NVS", 2),
            ("nvsK", 2048),
            ("otam", 0),
            ("18446744073709551616", LIMIT),
        ] {
            assert_eq!(
                number(cell).map(|number| number.value),
                Ok(expected),
                "{cell}"
            );
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for (cell, rest) in [
            ("", ""),
            ("010", "010"),
            ("0_1", "0_1"),
            ("1__0", "1__0"),
            ("_1", "_1"),
            ("1_", "1_"),
            ("0x", "0x"),
            ("0x__1", "0x__1"),
            ("0xG", "0xG"),
            ("0b2", "0b2"),
            ("0o8", "0o8"),
            ("- 5", "- 5"),
            ("--5", "--5"),
            ("+-5", "+-5"),
            ("1 0", "1 0"),
            ("1.5M", "1.5"),
            ("1MB", "1MB"),
            ("M", ""),
            ("abc", "abc"),
            ("1e3", "1e3"),
            ("\u{00B2}", "\u{00B2}"),
            ("5\x1fK", "5\x1f"),
            ("$NO", "$NO"),
        ] {
            let invalid = parse(cell, |_| None, String::new);
            assert_eq!(
                invalid,
                Err(FieldError::InvalidValue {
                    cell: rest.to_owned()
                }),
                "{cell}"
            );
            assert!(matches!(
                number(cell),
                Err(FieldError::UnknownKeyword { cell, .. }) if cell == rest
            ));
        }
    }

    #[test]
    fn giants_are_refused_without_overflow() {
        let digits = "9".repeat(5000);
        let suffixes = format!("1{}", "M".repeat(5000));
        for cell in [
            digits.as_str(),
            &suffixes,
            "0xFFFFFFFFFFFFFFFFK",
            "18446744073709551617",
        ] {
            assert!(number(cell) == Err(too_large(cell)), "{} bytes", cell.len());
        }
    }

    #[test]
    fn unusual_notation_is_noticed() {
        use Notation::*;
        for (cell, expected) in [
            ("42", Usual),
            ("0x2A", Usual),
            ("-0x2A", Usual),
            ("4K", Usual),
            ("nvs", Usual),
            ("0b1", UnusualNumber),
            ("0o7", UnusualNumber),
            ("1_0", UnusualNumber),
            ("0x_1", UnusualNumber),
            ("+1", UnusualNumber),
            ("4KK", UnusualNumber),
            ("4 K", UnusualNumber),
            ("\u{0661}", UnusualNumber),
            ("Nvs", KeywordNotLowerCase),
            ("nvsk", KeywordWithSuffix),
        ] {
            assert_eq!(
                number(cell).map(|number| number.notation),
                Ok(expected),
                "{cell}"
            );
        }
    }
}
