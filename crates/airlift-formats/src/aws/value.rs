//! Values of a message, whatever it is encoded in.

use super::{Fault, Format, MessageError, Text, cbor, json, topic::is_name};

/// A value of a message that has been read as a whole: an object, a list, a text, a number.
///
/// ```
/// use airlift_formats::aws::{Format, Value};
///
/// let message = br#"{"jobId":"job-1","execution":{"versionNumber":2}}"#;
/// let [job, execution] = Value::parse(Format::Json, message)?.fields(&["jobId", "execution"])?;
/// assert_eq!(job.unwrap().text()?, "job-1");
/// let [version] = execution.unwrap().fields(&["versionNumber"])?;
/// assert_eq!(version.unwrap().unsigned(u32::MAX)?, 2);
/// # Ok::<(), airlift_formats::aws::MessageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    message: Source<'a>,
    /// The name of the member that it is; empty for the message itself, and for elements of lists.
    name: &'static str,
    offset: u32,
    content: Content<'a>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Object {
        start: usize,
    },
    List {
        start: usize,
    },
    Text(Text<'a>),
    Bytes(&'a [u8]),
    Unsigned(u32),
    /// A whole number that has a sign, or more than 32 bits.
    Beyond,
    Null,
    Other,
}

/// The whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source<'a> {
    Json(&'a str),
    Cbor(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not JSON or CBOR, is nested too deep, or something follows it.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, MessageError> {
        let (source, offset, content) = match format {
            Format::Json => {
                let text = core::str::from_utf8(message)
                    .map_err(|error| Fault::Encoding.at(error.valid_up_to()))?;
                let mut scanner = json::Scanner::new(text, 0);
                scanner.peek();
                let offset = scanner.at;
                let content = scanner.value().map_err(|fault| fault.at(scanner.at))?;
                if scanner.peek().is_some() {
                    return Err(Fault::Trailing.at(scanner.at));
                }
                (Source::Json(text), offset, content)
            }
            Format::Cbor => {
                let mut scanner = cbor::Scanner::new(message, 0);
                let content = scanner.value().map_err(|fault| fault.at(scanner.at))?;
                if !scanner.is_at_end() {
                    return Err(Fault::Trailing.at(scanner.at));
                }
                (Source::Cbor(message), 0, content)
            }
        };
        Ok(Self {
            message: source,
            name: "",
            offset: offset as u32,
            content,
        })
    }

    /// Members of an object by name: those that are there and are not `null`. Others are passed over.
    ///
    /// # Errors
    /// It is no object, or one of the members is there twice.
    pub fn fields<const N: usize>(
        &self,
        names: &[&'static str; N],
    ) -> Result<[Option<Self>; N], MessageError> {
        let mut found = [None; N];
        self.find(names, &mut found)?;
        Ok(found)
    }

    fn find(&self, names: &[&'static str], found: &mut [Option<Self>]) -> Result<(), MessageError> {
        let mut members = self.members()?;
        while let Some((key, value)) = members.next_member() {
            let Content::Text(key) = key else { continue };
            for (name, place) in names.iter().zip(&mut *found) {
                if key != **name || value.content == Content::Null {
                    continue;
                }
                let value = Self { name, ..value };
                if place.is_some() {
                    return Err(value.fault(Fault::Duplicate));
                }
                *place = Some(value);
            }
        }
        Ok(())
    }

    /// All members of an object whose names are text.
    ///
    /// # Errors
    /// It is no object.
    pub fn members(&self) -> Result<Members<'a>, MessageError> {
        match self.content {
            Content::Object { start } => Ok(Members(Walk::new(self.message, start))),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// All elements of a list.
    ///
    /// # Errors
    /// It is no list.
    pub fn elements(&self) -> Result<Elements<'a>, MessageError> {
        match self.content {
            Content::List { start } => Ok(Elements {
                walk: Walk::new(self.message, start),
                name: self.name,
            }),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// It is none.
    pub fn text(&self) -> Result<Text<'a>, MessageError> {
        match self.content {
            Content::Text(text) => Ok(text),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// A text that is a name: 1 to `max` of `A-Z a-z 0-9 _ -`, and colons if these are allowed.
    pub(super) fn name(&self, max: usize, colons: bool) -> Result<&'a str, MessageError> {
        let text = self.text()?;
        match text.as_str() {
            Some(name) if is_name(name, max, colons) => Ok(name),
            Some(name) if name.is_empty() || name.len() > max => Err(self.fault(Fault::Length)),
            _ => Err(self.fault(Fault::Content)),
        }
    }

    /// A string of bytes, which JSON does not have.
    ///
    /// # Errors
    /// It is none.
    pub fn bytes(&self) -> Result<&'a [u8], MessageError> {
        match self.content {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// A whole number, 0 to `max`.
    ///
    /// # Errors
    /// It is none.
    pub fn unsigned(&self, max: u32) -> Result<u32, MessageError> {
        match self.content {
            Content::Unsigned(number) if number <= max => Ok(number),
            Content::Unsigned(_) | Content::Beyond => Err(self.fault(Fault::Range)),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// A whole number, or a text that is one.
    ///
    /// # Errors
    /// It is neither.
    pub fn unsigned_or_text(&self, max: u32) -> Result<u32, MessageError> {
        let Content::Text(text) = self.content else {
            return self.unsigned(max);
        };
        match json::whole_number(text.as_str().unwrap_or_default()) {
            Some(content) => Self { content, ..*self }.unsigned(max),
            None => Err(self.fault(Fault::Content)),
        }
    }

    /// The value as it stands in the message, if that is JSON.
    #[must_use]
    pub fn as_json(&self) -> Option<&'a str> {
        let Source::Json(text) = self.message else {
            return None;
        };
        let mut scanner = json::Scanner::new(text, self.offset as usize);
        scanner.value().ok()?;
        text.get(self.offset as usize..scanner.at)
    }

    /// Where it starts in the message.
    #[must_use]
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// This fault, in this value.
    #[must_use]
    pub const fn fault(&self, fault: Fault) -> MessageError {
        fault.of(self.name, self.offset)
    }

    /// A member of this object is missing.
    #[must_use]
    pub const fn missing(&self, name: &'static str) -> MessageError {
        Fault::Missing.of(name, self.offset)
    }
}

/// The members of an object: names and values.
#[derive(Debug, Clone)]
pub struct Members<'a>(Walk<'a>);

impl<'a> Members<'a> {
    fn next_member(&mut self) -> Option<(Content<'a>, Value<'a>)> {
        self.0.next(true)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (Content::Text(name), value) = self.next_member()? {
                return Some((name, value));
            }
        }
    }
}

/// The elements of a list.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    walk: Walk<'a>,
    name: &'static str,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, value) = self.walk.next(false)?;
        Some(Value {
            name: self.name,
            ..value
        })
    }
}

/// Goes over what is in an object or a list, which has been read before: nothing in it is wrong.
#[derive(Debug, Clone)]
struct Walk<'a> {
    message: Source<'a>,
    at: usize,
    /// In CBOR: members or elements that are still to come.
    left: u32,
}

impl<'a> Walk<'a> {
    fn new(message: Source<'a>, start: usize) -> Self {
        let (at, left) = match message {
            Source::Json(_) => (start + 1, 0),
            Source::Cbor(bytes) => {
                let mut scanner = cbor::Scanner::new(bytes, start);
                let left = scanner.count().unwrap_or(0);
                (scanner.at, left)
            }
        };
        Self { message, at, left }
    }

    fn next(&mut self, members: bool) -> Option<(Content<'a>, Value<'a>)> {
        let mut key = Content::Other;
        let (offset, content) = match self.message {
            Source::Json(text) => {
                let mut scanner = json::Scanner::new(text, self.at);
                if scanner.take(b'}') || scanner.take(b']') {
                    return None;
                }
                scanner.take(b',');
                if members {
                    key = Content::Text(scanner.key().ok()?);
                }
                scanner.peek();
                let offset = scanner.at;
                let content = scanner.value().ok()?;
                self.at = scanner.at;
                (offset, content)
            }
            Source::Cbor(bytes) => {
                let mut scanner = cbor::Scanner::new(bytes, self.at);
                if self.left == 0 || self.left == cbor::INDEFINITE && scanner.take_break() {
                    return None;
                }
                if self.left != cbor::INDEFINITE {
                    self.left -= 1;
                }
                if members {
                    key = scanner.value().ok()?;
                }
                let offset = scanner.at;
                let content = scanner.value().ok()?;
                self.at = scanner.at;
                (offset, content)
            }
        };
        let value = Value {
            message: self.message,
            name: "",
            offset: offset as u32,
            content,
        };
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in both formats: `{"a":1,"b":[{"c":"x"},2],"n":null}`.
    const JSON: &[u8] = br#" { "a" : 1 , "b" : [ { "c" : "x" } , 2 ] , "n" : null } "#;
    const CBOR: &[u8] = b"\xA3\x61a\x01\x61b\x82\xA1\x61c\x61x\x02\x61n\xF6";
    const CBOR_INDEFINITE: &[u8] = b"\xBF\x61a\x01\x61b\x9F\xBF\x61c\x61x\xFF\x02\xFF\x61n\xF6\xFF";

    #[test]
    fn the_same_is_read_from_all_encodings() {
        for (format, message) in [
            (Format::Json, JSON),
            (Format::Cbor, CBOR),
            (Format::Cbor, CBOR_INDEFINITE),
        ] {
            let message = Value::parse(format, message).unwrap();
            let [missing, b, a, null] = message.fields(&["missing", "b", "a", "n"]).unwrap();
            assert_eq!((missing, null), (None, None));
            assert_eq!(a.unwrap().unsigned(1), Ok(1));
            assert_eq!(a.unwrap().unsigned(0).unwrap_err().fault, Fault::Range);
            assert_eq!(a.unwrap().text().unwrap_err().field, "a");
            let elements: Vec<_> = b.unwrap().elements().unwrap().collect();
            assert_eq!(elements.len(), 2);
            let [c] = elements[0].fields(&["c"]).unwrap();
            assert_eq!(c.unwrap().text().unwrap(), "x");
            assert_eq!(elements[1].unsigned(9), Ok(2));
            assert_eq!(elements[1].fields(&["c"]).unwrap_err().fault, Fault::Type);
            assert_eq!(message.members().unwrap().count(), 3);
        }
    }

    #[test]
    fn faults_say_where_they_are() {
        let message = Value::parse(Format::Json, br#"{"a":1,"a":2,"b":{}}"#).unwrap();
        assert_eq!(message.fields(&["a"]), Err(Fault::Duplicate.of("a", 11)));
        let [b] = message.fields(&["b"]).unwrap();
        assert_eq!(b.unwrap().missing("c"), Fault::Missing.of("c", 17));
        assert_eq!(b.unwrap().as_json(), Some("{}"));
        for (format, message, fault, offset) in [
            (Format::Json, &b"{} x"[..], Fault::Trailing, 3),
            (Format::Json, b"{\"\xFF\"}", Fault::Encoding, 2),
            (Format::Json, b"", Fault::Truncated, 0),
            (Format::Cbor, b"", Fault::Truncated, 0),
            (Format::Cbor, b"\xA0\x00", Fault::Trailing, 1),
            (Format::Cbor, b"\xA1\x61a\x62x", Fault::Truncated, 4),
        ] {
            assert_eq!(
                Value::parse(format, message),
                Err(fault.at(offset)),
                "{message:02x?}"
            );
        }
    }

    #[test]
    fn numbers_in_text_are_digits_only() {
        for (text, expected) in [
            (r#""12""#, Ok(12)),
            (r#""0""#, Ok(0)),
            ("12", Ok(12)),
            (r#""""#, Err(Fault::Content)),
            (r#"" 1""#, Err(Fault::Content)),
            (r#""+1""#, Err(Fault::Content)),
            (r#""-1""#, Err(Fault::Content)),
            (r#""01""#, Err(Fault::Content)),
            (r#""1e3""#, Err(Fault::Content)),
            (r#""99""#, Err(Fault::Range)),
            (r#""99999999999""#, Err(Fault::Range)),
            ("-1", Err(Fault::Range)),
            ("1.0", Err(Fault::Type)),
            ("true", Err(Fault::Type)),
        ] {
            let value = Value::parse(Format::Json, text.as_bytes()).unwrap();
            assert_eq!(
                value.unsigned_or_text(98).map_err(|error| error.fault),
                expected,
                "{text}"
            );
        }
    }
}
