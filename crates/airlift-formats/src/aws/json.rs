//! JSON (RFC 8259) that is there as a whole: where a value ends, and what it is.
//!
//! A value is checked down to its last member before anything is said about it, without recursion: a bit for each level
//! says whether it is an object or a list.

use super::{Fault, Text, value::Content};

/// Objects and lists within each other: as many as the AWS libraries read.
const MAX_DEPTH: u32 = 32;

/// Goes over `text`. After an error it stands where the fault is.
pub(super) struct Scanner<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes this byte, behind white space, if it is there.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// The next value, and all that is in it.
    pub(super) fn value(&mut self) -> Result<Content<'a>, Fault> {
        let first = self.peek();
        let start = self.at;
        let scalar = self.walk()?;
        Ok(match first {
            Some(b'{') => Content::Object { start },
            Some(b'[') => Content::List { start },
            _ => scalar,
        })
    }

    /// A string with its quotes, and the colon behind it.
    pub(super) fn key(&mut self) -> Result<Text<'a>, Fault> {
        if !self.take(b'"') {
            return Err(self.unexpected());
        }
        let key = self.string()?;
        if !self.take(b':') {
            return Err(self.unexpected());
        }
        Ok(key)
    }

    /// To the end of a value; what it is, if it is neither an object nor a list.
    fn walk(&mut self) -> Result<Content<'a>, Fault> {
        let mut depth = 0;
        // The lowest bit is that of the innermost level.
        let mut objects = 0_u32;
        loop {
            let mut content = Content::Other;
            let byte = self.peek().ok_or(Fault::Truncated)?;
            match byte {
                b'{' | b'[' => {
                    if depth == MAX_DEPTH {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    depth += 1;
                    let object = byte == b'{';
                    objects = objects << 1 | u32::from(object);
                    if self.peek() != Some(if object { b'}' } else { b']' }) {
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => {
                    self.at += 1;
                    content = Content::Text(self.string()?);
                }
                b'-' | b'0'..=b'9' => content = self.number()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => {
                    self.word("null")?;
                    content = Content::Null;
                }
                _ => return Err(Fault::Syntax),
            }
            // Behind a value: the ends of as many levels as there are, then the next one.
            loop {
                if depth == 0 {
                    return Ok(content);
                }
                let object = objects & 1 == 1;
                if self.take(b',') {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                if !self.take(if object { b'}' } else { b']' }) {
                    return Err(self.unexpected());
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// The rest of a string whose first quote was taken.
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.byte().ok_or(Fault::Truncated)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    match self.byte().ok_or(Fault::Truncated)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            for _ in 0..4 {
                                self.at += 1;
                                let digit = self.byte().ok_or(Fault::Truncated)?;
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
            self.at += 1;
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text::json(raw, escaped))
    }

    fn number(&mut self) -> Result<Content<'a>, Fault> {
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative);
        let start = self.at;
        let number = self.digits()?;
        if self.at - start > 1 && self.text.as_bytes().get(start) == Some(&b'0') {
            self.at = start;
            return Err(Fault::Syntax);
        }
        let whole = self.at;
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(if self.at != whole {
            Content::Other
        } else if negative {
            Content::Beyond
        } else {
            number.map_or(Content::Beyond, Content::Unsigned)
        })
    }

    /// One digit or more; none if the number has more than 32 bits.
    fn digits(&mut self) -> Result<Option<u32>, Fault> {
        let start = self.at;
        let mut number = Some(0_u32);
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            let digit = u32::from(digit - b'0');
            number = number.and_then(|number| number.checked_mul(10)?.checked_add(digit));
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected());
        }
        Ok(number)
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        for wanted in word.bytes() {
            if self.byte() != Some(wanted) {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self) -> Fault {
        if self.byte().is_none() {
            Fault::Truncated
        } else {
            Fault::Syntax
        }
    }
}

/// A whole number without a sign, and nothing else.
pub(super) fn whole_number(text: &str) -> Option<Content<'_>> {
    let mut scanner = Scanner::new(text, 0);
    match scanner.number() {
        Ok(content @ (Content::Unsigned(_) | Content::Beyond))
            if scanner.at == text.len() && !text.starts_with('-') =>
        {
            Some(content)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Result<usize, (Fault, usize)> {
        let mut scanner = Scanner::new(text, 0);
        match scanner.value() {
            Ok(_) => Ok(scanner.at),
            Err(fault) => Err((fault, scanner.at)),
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
            let mut scanner = Scanner::new(&text, 0);
            let ours = scanner.value().is_ok() && scanner.peek().is_none();
            prop_assert_eq!(ours, serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
