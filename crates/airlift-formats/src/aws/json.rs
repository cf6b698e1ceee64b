//! JSON (RFC 8259) that is there as a whole.
//!
//! A value is checked down to its last member, without recursion: a bit for each level says whether it is an object or a list.

use super::{
    Fault, Text,
    scan::{Content, Cursor},
};

/// Objects and lists within each other: as many as the AWS libraries read.
const MAX_DEPTH: u32 = 32;

/// The next byte that is no white space.
pub(super) fn peek(cursor: &mut Cursor<'_>) -> Option<u8> {
    loop {
        let byte = cursor.byte()?;
        if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Some(byte);
        }
        cursor.at += 1;
    }
}

/// Passes this byte, behind white space, if it is there.
pub(super) fn take(cursor: &mut Cursor<'_>, wanted: u8) -> bool {
    let there = peek(cursor) == Some(wanted);
    cursor.at += usize::from(there);
    there
}

/// Passes the name of a member, and the colon behind it.
pub(super) fn key<'a>(cursor: &mut Cursor<'a>) -> Result<Text<'a>, Fault> {
    demand(cursor, b'"')?;
    let key = string(cursor)?;
    demand(cursor, b':')?;
    Ok(key)
}

/// Passes a value and all that is in it.
pub(super) fn value<'a>(cursor: &mut Cursor<'a>) -> Result<Content<'a>, Fault> {
    let mut depth = 0;
    // The lowest bit is that of the innermost level.
    let mut objects = 0_u32;
    loop {
        let byte = peek(cursor).ok_or(Fault::Truncated)?;
        let mut content = match byte {
            b'{' | b'[' => {
                if depth == MAX_DEPTH {
                    return Err(Fault::TooDeep);
                }
                cursor.at += 1;
                depth += 1;
                let object = byte == b'{';
                objects = objects << 1 | u32::from(object);
                if peek(cursor) != Some(end_of(object)) {
                    if object {
                        key(cursor)?;
                    }
                    continue;
                }
                Content::Other
            }
            b'"' => {
                cursor.at += 1;
                Content::Text(string(cursor)?)
            }
            b'-' | b'0'..=b'9' => number(cursor)?,
            b't' => word(cursor, "true", Content::Other)?,
            b'f' => word(cursor, "false", Content::Other)?,
            b'n' => word(cursor, "null", Content::Null)?,
            _ => return Err(Fault::Syntax),
        };
        // Behind a value: the ends of as many levels as there are, then the next one.
        loop {
            if depth == 0 {
                return Ok(content);
            }
            let object = objects & 1 == 1;
            if take(cursor, b',') {
                if object {
                    key(cursor)?;
                }
                break;
            }
            demand(cursor, end_of(object))?;
            depth -= 1;
            objects >>= 1;
            content = if object {
                Content::Object
            } else {
                Content::List
            };
        }
    }
}

const fn end_of(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// The rest of a string whose first quote was passed.
fn string<'a>(cursor: &mut Cursor<'a>) -> Result<Text<'a>, Fault> {
    let start = cursor.at;
    let mut escaped = false;
    loop {
        match cursor.byte().ok_or(Fault::Truncated)? {
            b'"' => break,
            b'\\' => {
                escaped = true;
                cursor.at += 1;
                match cursor.byte().ok_or(Fault::Truncated)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            cursor.at += 1;
                            let digit = cursor.byte().ok_or(Fault::Truncated)?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(Fault::Syntax);
                            }
                        }
                    }
                    _ => return Err(Fault::Syntax),
                }
            }
            0..0x20 => return Err(Fault::Syntax),
            _ => {}
        }
        cursor.at += 1;
    }
    let raw = cursor.bytes.get(start..cursor.at).unwrap_or_default();
    match core::str::from_utf8(raw) {
        Ok(raw) => {
            cursor.at += 1;
            Ok(Text::json(raw, escaped))
        }
        Err(error) => {
            cursor.at = start + error.valid_up_to();
            Err(Fault::Encoding)
        }
    }
}

/// A text that is a whole number without a sign, and nothing else.
pub(super) fn whole_number(text: &str) -> Result<Content<'_>, Fault> {
    let mut cursor = Cursor {
        bytes: text.as_bytes(),
        at: 0,
    };
    match number(&mut cursor) {
        Ok(content @ (Content::Unsigned(_) | Content::Beyond))
            if cursor.byte().is_none() && !text.starts_with('-') =>
        {
            Ok(content)
        }
        _ => Err(Fault::Content),
    }
}

fn number<'a>(cursor: &mut Cursor<'a>) -> Result<Content<'a>, Fault> {
    let negative = cursor.byte() == Some(b'-');
    cursor.at += usize::from(negative);
    let start = cursor.at;
    let number = digits(cursor)?;
    if cursor.at - start > 1 && cursor.bytes.get(start) == Some(&b'0') {
        cursor.at = start;
        return Err(Fault::Syntax);
    }
    let whole = cursor.at;
    if cursor.byte() == Some(b'.') {
        cursor.at += 1;
        digits(cursor)?;
    }
    if matches!(cursor.byte(), Some(b'e' | b'E')) {
        cursor.at += 1;
        cursor.at += usize::from(matches!(cursor.byte(), Some(b'+' | b'-')));
        digits(cursor)?;
    }
    Ok(match number {
        _ if cursor.at != whole => Content::Other,
        Some(number) if !negative => Content::Unsigned(number),
        _ => Content::Beyond,
    })
}

/// One digit or more; none if the number has more than 32 bits.
fn digits(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Fault> {
    let start = cursor.at;
    let mut number = Some(0_u32);
    while let Some(digit @ b'0'..=b'9') = cursor.byte() {
        let digit = u32::from(digit - b'0');
        number = number.and_then(|number| number.checked_mul(10)?.checked_add(digit));
        cursor.at += 1;
    }
    if cursor.at == start {
        return Err(unexpected(cursor));
    }
    Ok(number)
}

fn word<'a>(
    cursor: &mut Cursor<'a>,
    word: &str,
    content: Content<'a>,
) -> Result<Content<'a>, Fault> {
    for wanted in word.bytes() {
        if cursor.byte() != Some(wanted) {
            return Err(unexpected(cursor));
        }
        cursor.at += 1;
    }
    Ok(content)
}

fn demand(cursor: &mut Cursor<'_>, wanted: u8) -> Result<(), Fault> {
    if take(cursor, wanted) {
        Ok(())
    } else {
        Err(unexpected(cursor))
    }
}

fn unexpected(cursor: &Cursor<'_>) -> Fault {
    match cursor.byte() {
        None => Fault::Truncated,
        Some(_) => Fault::Syntax,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(text: &str) -> Cursor<'_> {
        Cursor {
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    fn scan(text: &str) -> Result<usize, (Fault, usize)> {
        let mut cursor = cursor(text);
        match value(&mut cursor) {
            Ok(_) => Ok(cursor.at),
            Err(fault) => Err((fault, cursor.at)),
        }
    }

    #[test]
    fn each_fault_is_told_from_the_others_and_placed() {
        let deep = "[".repeat(33);
        for (text, fault, at) in [
            ("", Fault::Truncated, 0),
            ("  ", Fault::Truncated, 2),
            ("{", Fault::Truncated, 1),
            ("{\"a", Fault::Truncated, 3),
            ("{\"a\"", Fault::Truncated, 4),
            ("{\"a\":", Fault::Truncated, 5),
            ("{\"a\":1", Fault::Truncated, 6),
            ("{\"a\":1,", Fault::Truncated, 7),
            ("{\"a\":1,}", Fault::Syntax, 7),
            ("[1,]", Fault::Syntax, 3),
            ("[1 2]", Fault::Syntax, 3),
            ("[1}", Fault::Syntax, 2),
            ("{\"a\":1]", Fault::Syntax, 6),
            ("{1:2}", Fault::Syntax, 1),
            ("{'a':1}", Fault::Syntax, 1),
            ("01", Fault::Syntax, 0),
            ("-", Fault::Truncated, 1),
            ("-a", Fault::Syntax, 1),
            ("1.", Fault::Truncated, 2),
            ("1e+", Fault::Truncated, 3),
            ("nul", Fault::Truncated, 3),
            ("nil", Fault::Syntax, 1),
            ("\"\\x\"", Fault::Syntax, 2),
            ("\"\\u12g4\"", Fault::Syntax, 5),
            ("\"a\nb\"", Fault::Syntax, 2),
            ("// comment", Fault::Syntax, 0),
            (&deep, Fault::TooDeep, 32),
        ] {
            assert_eq!(scan(text), Err((fault, at)), "{text:?}");
        }
    }

    #[test]
    fn numbers_in_text_are_digits_only() {
        for (text, expected) in [
            ("12", Ok(12)),
            ("0", Ok(0)),
            ("", Err(Fault::Content)),
            (" 1", Err(Fault::Content)),
            ("1 ", Err(Fault::Content)),
            ("+1", Err(Fault::Content)),
            ("-1", Err(Fault::Content)),
            ("01", Err(Fault::Content)),
            ("1e3", Err(Fault::Content)),
            ("99", Err(Fault::Range)),
            ("99999999999", Err(Fault::Range)),
        ] {
            let number = whole_number(text).and_then(|content| content.number(98));
            assert_eq!(number, expected, "{text:?}");
        }
    }

    #[test]
    fn as_deep_as_it_may_be_is_not_too_deep() {
        let text = format!("{}{}", "[".repeat(32), "]".repeat(32));
        assert_eq!(scan(&text), Ok(64));
        let text = format!("{}1{}", "{\"a\":".repeat(32), "}".repeat(32));
        assert_eq!(scan(&text), Ok(text.len()));
    }

    /// JSON without numbers that only one of the readers calls a number.
    fn json_like() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just("{"),
                Just("}"),
                Just("["),
                Just("]"),
                Just(":"),
                Just(","),
                Just("\"a\""),
                Just("\"\\n\""),
                Just("\"\\\""),
                Just("1"),
                Just("-0"),
                Just("1.5e3"),
                Just("01"),
                Just("true"),
                Just("null"),
                Just(" "),
                Just("\"\\u00e9\""),
                Just("\"\u{e9}\""),
                Just("\u{1}"),
            ],
            0..12,
        )
        .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_same_is_json_as_for_another_reader(text in json_like()) {
            let mut cursor = cursor(&text);
            let ours = value(&mut cursor).is_ok() && peek(&mut cursor).is_none();
            prop_assert_eq!(ours, serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
