//! The `Range` header, as far as this door honours it (RFC 9110, section 14): one range of bytes.

use std::ops::Range;

/// What a `Range` header asks of a body of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: no range, several ranges, another unit, or not understood. RFC 9110 lets a server ignore the field.
    Whole,
    /// These bytes; not empty, inside the body.
    Part(Range<u64>),
    /// Nothing of the range lies inside the body: 416.
    Unsatisfiable,
}

/// Reads the header's value. An end behind the last byte is cut: `esp_https_ota` asks for `bytes=0-<length>` at first.
pub(super) fn asked(value: Option<&[u8]>, length: u64) -> Asked {
    let Some(text) = value.and_then(|value| std::str::from_utf8(value).ok()) else {
        return Asked::Whole;
    };
    let Some((unit, set)) = text.split_once('=') else {
        return Asked::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Asked::Whole;
    };
    match (position(first), position(last)) {
        (Position::Number(first), Position::Number(last)) if first <= last => {
            part(first..last.saturating_add(1).min(length))
        }
        (Position::Number(first), Position::Missing) => part(first..length),
        (Position::Missing, Position::Number(count)) => part(length.saturating_sub(count)..length),
        _ => Asked::Whole,
    }
}

fn part(range: Range<u64>) -> Asked {
    if range.is_empty() {
        Asked::Unsatisfiable
    } else {
        Asked::Part(range)
    }
}

enum Position {
    Missing,
    Number(u64),
    Nonsense,
}

fn position(text: &str) -> Position {
    if text.is_empty() {
        return Position::Missing;
    }
    let digit = |number: u64, byte: u8| {
        let digit = char::from(byte).to_digit(10)?;
        // A number too large to hold is behind the end of any body.
        Some(number.saturating_mul(10).saturating_add(u64::from(digit)))
    };
    text.bytes()
        .try_fold(0, digit)
        .map_or(Position::Nonsense, Position::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_honoured_and_cut_at_the_end() {
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-15", 0..16),
            ("bytes=10-", 10..100),
            ("bytes=99-", 99..100),
            ("bytes=0-100", 0..100),
            ("bytes=50-99999999999999999999999999", 50..100),
            ("bytes=-1", 99..100),
            ("bytes=-100", 0..100),
            ("bytes=-5000", 0..100),
            ("Bytes = 3-4", 3..5),
        ] {
            assert_eq!(
                asked(Some(header.as_bytes()), 100),
                Asked::Part(expected),
                "{header}"
            );
        }
    }

    #[test]
    fn a_range_outside_is_unsatisfiable() {
        for header in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=99999999999999999999999-",
            "bytes=-0",
        ] {
            assert_eq!(
                asked(Some(header.as_bytes()), 100),
                Asked::Unsatisfiable,
                "{header}"
            );
        }
    }

    #[test]
    fn anything_else_asks_for_the_whole() {
        assert_eq!(asked(None, 100), Asked::Whole);
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes=a-b",
            "lines=0-1",
            "bytes=0 -1",
            "bytes=--1",
            "bytes=0-1-2",
            "bytes=+1-2",
        ] {
            assert_eq!(
                asked(Some(header.as_bytes()), 100),
                Asked::Whole,
                "{header:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_outside(header: String, length in 0_u64..1000) {
            if let Asked::Part(range) = asked(Some(header.as_bytes()), length) {
                proptest::prop_assert!(range.start < range.end && range.end <= length);
            }
        }

        #[test]
        fn a_part_of_numbers_is_never_empty_and_never_outside(first: u64, last: u64, length in 0_u64..1000) {
            for header in [format!("bytes={first}-{last}"), format!("bytes={first}-"), format!("bytes=-{last}")] {
                if let Asked::Part(range) = asked(Some(header.as_bytes()), length) {
                    proptest::prop_assert!(range.start < range.end && range.end <= length);
                }
            }
        }
    }
}
