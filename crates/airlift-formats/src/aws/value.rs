//! Values of a message, whatever it is encoded in.

use super::{
    Fault, Format, MessageError, Text, cbor, json,
    scan::{Content, Cursor},
    topic::is_name,
};

/// A value of a message that has been read as a whole: an object, a list, a text, a number.
///
/// ```
/// use airlift_formats::aws::{Format, Value};
///
/// let message = br#"{"jobId":"job-1","execution":{"versionNumber":2}}"#;
/// let message = Value::parse(Format::Json, message)?;
/// assert_eq!(message.required("jobId")?.text()?, "job-1");
/// let version = message.required("execution")?.required("versionNumber")?;
/// assert_eq!(version.unsigned(u32::MAX)?, 2);
/// assert!(message.get("timestamp")?.is_none());
/// # Ok::<(), airlift_formats::aws::MessageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    message: &'a [u8],
    format: Format,
    node: Node,
}

/// Where a value starts in the message.
pub(super) type Node = u32;

impl<'a> Value<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not JSON or CBOR, is nested too deep, or something follows it.
    pub fn parse(format: Format, message: &'a [u8]) -> Result<Self, MessageError> {
        let reader = Reader::new(format, message);
        let value = reader.value(reader.root);
        reader.finish(value)
    }

    /// The member of an object with this name; none if there is none, or if it is `null`.
    ///
    /// # Errors
    /// It is no object, or the member is there twice.
    pub fn get(&self, name: &'static str) -> Result<Option<Self>, MessageError> {
        let mut reader = self.reader();
        let found = reader.find(self.node, name);
        let found = found.map(|(node, _)| Self { node, ..*self });
        reader.finish(found)
    }

    /// The member of an object with this name.
    ///
    /// # Errors
    /// It is no object, or the member is missing, or there twice.
    pub fn required(&self, name: &'static str) -> Result<Self, MessageError> {
        self.get(name)?.ok_or(Fault::Missing.of(name, self.node))
    }

    /// All members of an object whose names are text.
    ///
    /// # Errors
    /// It is no object.
    pub fn members(&self) -> Result<Members<'a>, MessageError> {
        match self.reader().walk(self.node, true) {
            Some(walk) => Ok(Members(walk)),
            None => Err(self.fault(Fault::Type)),
        }
    }

    /// All elements of a list.
    ///
    /// # Errors
    /// It is no list.
    pub fn elements(&self) -> Result<Elements<'a>, MessageError> {
        match self.reader().walk(self.node, false) {
            Some(walk) => Ok(Elements(walk)),
            None => Err(self.fault(Fault::Type)),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// It is none.
    pub fn text(&self) -> Result<Text<'a>, MessageError> {
        match self.content() {
            Content::Text(text) => Ok(text),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// A string of bytes, which JSON does not have.
    ///
    /// # Errors
    /// It is none.
    pub fn bytes(&self) -> Result<&'a [u8], MessageError> {
        match self.content() {
            Content::Bytes(bytes) => Ok(bytes),
            _ => Err(self.fault(Fault::Type)),
        }
    }

    /// A whole number, 0 to `max`.
    ///
    /// # Errors
    /// It is none.
    pub fn unsigned(&self, max: u32) -> Result<u32, MessageError> {
        let number = self.content().number(max);
        number.map_err(|fault| self.fault(fault))
    }

    /// The value as it stands in the message: all its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        let mut cursor = self.cursor();
        let start = cursor.at;
        let end = cursor.value(self.format).map_or(start, |_| cursor.at);
        self.message.get(start..end).unwrap_or_default()
    }

    /// Where it starts in the message.
    #[must_use]
    pub const fn offset(&self) -> u32 {
        self.node
    }

    /// This fault, in this value.
    #[must_use]
    pub const fn fault(&self, fault: Fault) -> MessageError {
        fault.of("", self.node)
    }

    const fn cursor(&self) -> Cursor<'a> {
        Cursor {
            bytes: self.message,
            at: self.node as usize,
        }
    }

    /// What it is. The message was read before: nothing in it is wrong.
    fn content(&self) -> Content<'a> {
        self.cursor().value(self.format).unwrap_or(Content::Other)
    }

    /// Reads on from here.
    pub(super) const fn reader(&self) -> Reader<'a> {
        Reader {
            message: self.message,
            format: self.format,
            root: self.node,
            error: None,
        }
    }
}

/// The members of an object: names and values.
#[derive(Debug, Clone)]
pub struct Members<'a>(Walk<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (Some(key), node, _) = self.0.next()? {
                return Some((key, self.0.value(node)));
            }
        }
    }
}

/// The elements of a list.
#[derive(Debug, Clone)]
pub struct Elements<'a>(pub(super) Walk<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, node, _) = self.0.next()?;
        Some(self.0.value(node))
    }
}

/// Goes over what is in an object or a list.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    cursor: Cursor<'a>,
    format: Format,
    /// In CBOR: members or elements that are still to come.
    left: u32,
    members: bool,
}

impl<'a> Walk<'a> {
    /// The next name, if it is a text, where the value is, and what it is.
    pub(super) fn next(&mut self) -> Option<(Option<Text<'a>>, Node, Content<'a>)> {
        let cursor = &mut self.cursor;
        let mut key = None;
        match self.format {
            Format::Json => {
                if json::take(cursor, b'}') || json::take(cursor, b']') {
                    return None;
                }
                json::take(cursor, b',');
                if self.members {
                    key = Some(json::key(cursor).ok()?);
                }
                json::peek(cursor);
            }
            Format::Cbor => {
                if self.left == 0 || self.left == cbor::INDEFINITE && cbor::take_break(cursor) {
                    return None;
                }
                if self.left != cbor::INDEFINITE {
                    self.left -= 1;
                }
                if self.members
                    && let Content::Text(text) = cbor::value(cursor, 0).ok()?
                {
                    key = Some(text);
                }
            }
        }
        let node = cursor.at as Node;
        let content = cursor.value(self.format).ok()?;
        Some((key, node, content))
    }

    const fn value(&self, node: Node) -> Value<'a> {
        Value {
            message: self.cursor.bytes,
            format: self.format,
            node,
        }
    }
}

/// Reads a message, member by member. The first thing that is wrong is kept until the end, and what is read after it means nothing:
/// so each member takes little code.
pub(super) struct Reader<'a> {
    message: &'a [u8],
    pub(super) format: Format,
    /// The message itself.
    pub(super) root: Node,
    error: Option<MessageError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(format: Format, message: &'a [u8]) -> Self {
        let mut cursor = Cursor {
            bytes: message,
            at: 0,
        };
        cursor.skip_space(format);
        let mut reader = Self {
            message,
            format,
            root: cursor.at as Node,
            error: None,
        };
        let checked = cursor.value(format);
        if checked.is_ok() {
            cursor.skip_space(format);
        }
        match checked {
            Err(fault) => reader.fail(fault, "", cursor.at as Node),
            Ok(_) if cursor.byte().is_some() => reader.fail(Fault::Trailing, "", cursor.at as Node),
            Ok(_) => {}
        }
        reader
    }

    /// What was read is `value`, if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, MessageError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }

    /// Something is wrong.
    pub(super) fn fail(&mut self, fault: Fault, name: &'static str, node: Node) {
        if self.error.is_none() {
            self.error = Some(fault.of(name, node));
        }
    }

    /// Over the members of an object, or the elements of a list, if it is one.
    pub(super) fn walk(&self, node: Node, members: bool) -> Option<Walk<'a>> {
        let mut cursor = Cursor {
            bytes: self.message,
            at: node as usize,
        };
        let left = match self.format {
            Format::Json => {
                if cursor.byte() != Some(if members { b'{' } else { b'[' }) {
                    return None;
                }
                cursor.at += 1;
                0
            }
            Format::Cbor => cbor::count(&mut cursor, if members { 5 } else { 4 })?,
        };
        Some(Walk {
            cursor,
            format: self.format,
            left,
            members,
        })
    }

    /// The member with this name: where it is, and what it is. None if there is none, or if it is `null`.
    pub(super) fn find(&mut self, object: Node, name: &'static str) -> Option<(Node, Content<'a>)> {
        if self.error.is_some() {
            return None;
        }
        let Some(mut walk) = self.walk(object, true) else {
            self.fail(Fault::Type, "", object);
            return None;
        };
        let mut found = None;
        while let Some((key, node, content)) = walk.next() {
            if key.is_none_or(|key| !key.is(name)) || matches!(content, Content::Null) {
                continue;
            }
            if found.is_some() {
                self.fail(Fault::Duplicate, name, node);
            }
            found = Some((node, content));
        }
        found
    }

    /// The same for a member that must be there.
    pub(super) fn demand(
        &mut self,
        object: Node,
        name: &'static str,
    ) -> Option<(Node, Content<'a>)> {
        let found = self.find(object, name);
        if found.is_none() {
            self.fail(Fault::Missing, name, object);
        }
        found
    }

    /// Over the elements of the list with this name, which must be there.
    pub(super) fn list(&mut self, object: Node, name: &'static str) -> Option<(Node, Walk<'a>)> {
        let (node, _) = self.demand(object, name)?;
        let walk = self.walk(node, false);
        if walk.is_none() {
            self.fail(Fault::Type, name, node);
        }
        Some((node, walk?))
    }

    /// The object with this name.
    pub(super) fn object(&mut self, object: Node, name: &'static str) -> Option<Node> {
        match self.find(object, name)? {
            (node, Content::Object) => Some(node),
            (node, _) => {
                self.fail(Fault::Type, name, node);
                None
            }
        }
    }

    pub(super) fn text(&mut self, object: Node, name: &'static str) -> Text<'a> {
        let found = self.demand(object, name);
        self.as_text(name, found).unwrap_or_default()
    }

    pub(super) fn optional_text(&mut self, object: Node, name: &'static str) -> Option<Text<'a>> {
        let found = self.find(object, name);
        self.as_text(name, found)
    }

    fn as_text(
        &mut self,
        name: &'static str,
        found: Option<(Node, Content<'a>)>,
    ) -> Option<Text<'a>> {
        match found? {
            (_, Content::Text(text)) => Some(text),
            (node, _) => {
                self.fail(Fault::Type, name, node);
                None
            }
        }
    }

    /// A text that is a name: 1 to `max` of `A-Z a-z 0-9 _ -`.
    pub(super) fn identifier(&mut self, object: Node, name: &'static str, max: usize) -> &'a str {
        let text = self.text(object, name);
        match text.as_str() {
            Some(text) if is_name(text, max, false) => return text,
            Some(text) if text.is_empty() || text.len() > max => {
                self.fail(Fault::Length, name, object);
            }
            _ => self.fail(Fault::Content, name, object),
        }
        ""
    }

    pub(super) fn number(&mut self, object: Node, name: &'static str, max: u32) -> u32 {
        let found = self.demand(object, name);
        self.as_number(name, found, max).unwrap_or(0)
    }

    pub(super) fn optional_number(
        &mut self,
        object: Node,
        name: &'static str,
        max: u32,
    ) -> Option<u32> {
        let found = self.find(object, name);
        self.as_number(name, found, max)
    }

    fn as_number(
        &mut self,
        name: &'static str,
        found: Option<(Node, Content<'a>)>,
        max: u32,
    ) -> Option<u32> {
        let (node, content) = found?;
        match content.number(max) {
            Ok(number) => Some(number),
            Err(fault) => {
                self.fail(fault, name, node);
                None
            }
        }
    }

    /// A value for others to read on.
    pub(super) const fn value(&self, node: Node) -> Value<'a> {
        Value {
            message: self.message,
            format: self.format,
            node,
        }
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
            assert_eq!(message.get("missing"), Ok(None));
            assert_eq!(message.get("n"), Ok(None));
            let [a, b] = ["a", "b"].map(|name| message.required(name).unwrap());
            assert_eq!(a.unsigned(1), Ok(1));
            assert_eq!(a.unsigned(0).unwrap_err().fault, Fault::Range);
            assert_eq!(a.text().unwrap_err(), Fault::Type.of("", a.offset()));
            let elements: Vec<_> = b.elements().unwrap().collect();
            assert_eq!(elements.len(), 2);
            let c = elements[0].required("c").unwrap();
            assert_eq!(c.text().unwrap(), "x");
            assert_eq!(elements[1].unsigned(9), Ok(2));
            assert_eq!(elements[1].get("c").unwrap_err().fault, Fault::Type);
            assert_eq!(message.members().unwrap().count(), 3);
        }
    }

    #[test]
    fn faults_say_where_they_are() {
        let message = Value::parse(Format::Json, br#"{"a":1,"a":2,"b":{}}"#).unwrap();
        assert_eq!(message.get("a"), Err(Fault::Duplicate.of("a", 11)));
        let b = message.required("b").unwrap();
        assert_eq!(b.required("c"), Err(Fault::Missing.of("c", 17)));
        assert_eq!(b.as_bytes(), b"{}");
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
                Err(fault.of("", offset)),
                "{message:02x?}"
            );
        }
    }
}
