//! Elements in their shortest form.

use alloc::vec::Vec;

use super::{Tag, Value};

/// Writes elements, each in its shortest form, as the reference tools do. It does not judge: what [`Reader`](super::Reader) has given is
/// what it takes.
///
/// ```
/// use airlift_formats::matter::tlv::{Tag, Value, Writer};
///
/// let mut writer = Writer::default();
/// writer
///     .put(Tag::Anonymous, Value::Structure)
///     .put(Tag::Context(0), Value::Unsigned(0xFFF1))
///     .put(Tag::Anonymous, Value::End);
/// assert_eq!(writer.into_bytes(), [0x15, 0x25, 0x00, 0xF1, 0xFF, 0x18]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends an element. A string of 4 GiB and more cannot be read back by anyone.
    pub fn put(&mut self, tag: Tag, value: Value<'_>) -> &mut Self {
        let unsigned = |number: u64| match number {
            0..=0xFF => 0,
            0x100..=0xFFFF => 1,
            0x1_0000..=0xFFFF_FFFF => 2,
            _ => 3,
        };
        let signed = |number: i64| match number {
            -0x80..=0x7F => 0,
            -0x8000..=0x7FFF => 1,
            -0x8000_0000..=0x7FFF_FFFF => 2,
            _ => 3,
        };
        let form = match tag {
            Tag::Anonymous => 0x00,
            Tag::Context(_) => 0x20,
            Tag::Common(..=0xFFFF) => 0x40,
            Tag::Common(_) => 0x60,
            Tag::Implicit(..=0xFFFF) => 0x80,
            Tag::Implicit(_) => 0xA0,
            Tag::FullyQualified { tag: ..=0xFFFF, .. } => 0xC0,
            Tag::FullyQualified { .. } => 0xE0,
        };
        let (kind, number, width, string): (u8, u64, usize, &[u8]) = match value {
            Value::Signed(number) => {
                let log2 = signed(number);
                (log2, number.cast_unsigned(), 1 << log2, &[])
            }
            Value::Unsigned(number) => {
                let log2 = unsigned(number);
                (0x04 | log2, number, 1 << log2, &[])
            }
            Value::Boolean(value) => (0x08 | u8::from(value), 0, 0, &[]),
            Value::Float32(bits) => (0x0A, bits.into(), 4, &[]),
            Value::Float64(bits) => (0x0B, bits, 8, &[]),
            Value::Utf8(string) | Value::Octets(string) => {
                let length = string.len() as u64;
                let log2 = unsigned(length);
                let kind = if matches!(value, Value::Utf8(_)) {
                    0x0C
                } else {
                    0x10
                };
                (kind | log2, length, 1 << log2, string)
            }
            Value::Null => (0x14, 0, 0, &[]),
            Value::Structure => (0x15, 0, 0, &[]),
            Value::Array => (0x16, 0, 0, &[]),
            Value::List => (0x17, 0, 0, &[]),
            Value::End => (0x18, 0, 0, &[]),
        };
        self.bytes.push(form | kind);
        self.put_tag(tag);
        self.bytes.extend(number.to_le_bytes().iter().take(width));
        self.bytes.extend_from_slice(string);
        self
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn put_tag(&mut self, tag: Tag) {
        match tag {
            Tag::Anonymous => {}
            Tag::Context(tag) => self.bytes.push(tag),
            Tag::Common(tag) | Tag::Implicit(tag) => self.put_tag_number(tag),
            Tag::FullyQualified {
                vendor,
                profile,
                tag,
            } => {
                self.bytes.extend(vendor.to_le_bytes());
                self.bytes.extend(profile.to_le_bytes());
                self.put_tag_number(tag);
            }
        }
    }

    fn put_tag_number(&mut self, tag: u32) {
        match u16::try_from(tag) {
            Ok(tag) => self.bytes.extend(tag.to_le_bytes()),
            Err(_) => self.bytes.extend(tag.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Reader, TlvFault};
    use super::*;

    fn tag() -> impl Strategy<Value = Tag> {
        prop_oneof![
            any::<u8>().prop_map(Tag::Context),
            any::<u32>().prop_map(Tag::Common),
            any::<u16>().prop_map(|tag| Tag::Common(tag.into())),
            (any::<u16>(), any::<u16>(), any::<u32>()).prop_map(|(vendor, profile, tag)| {
                Tag::FullyQualified {
                    vendor,
                    profile,
                    tag: tag >> (tag % 32),
                }
            }),
        ]
    }

    fn member() -> impl Strategy<Value = (Tag, Value<'static>)> {
        let strings = prop::sample::select(vec![
            &b""[..],
            b"x",
            &[0xA5; 255],
            &[0x5A; 256],
            &[7; 70_000],
        ]);
        let value = prop_oneof![
            (any::<i64>(), 0..64u32).prop_map(|(number, shift)| Value::Signed(number >> shift)),
            (any::<u64>(), 0..64u32).prop_map(|(number, shift)| Value::Unsigned(number >> shift)),
            any::<bool>().prop_map(Value::Boolean),
            any::<u32>().prop_map(Value::Float32),
            any::<u64>().prop_map(Value::Float64),
            strings.clone().prop_map(Value::Utf8),
            strings.prop_map(Value::Octets),
            Just(Value::Null),
        ];
        (tag(), value)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(members in prop::collection::vec(member(), 0..20)) {
            let mut writer = Writer::default();
            writer.put(Tag::Anonymous, Value::Structure);
            for (tag, value) in &members {
                writer.put(*tag, *value);
            }
            writer.put(Tag::Anonymous, Value::End);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            let mut again = Writer::default();
            let mut read = Vec::new();
            while let Some(element) = reader.read().unwrap() {
                again.put(element.tag, element.value);
                read.push((element.tag, element.value));
            }
            prop_assert_eq!(&read[1..read.len() - 1], &members[..]);
            prop_assert_eq!(again.into_bytes(), bytes);
        }

        #[test]
        fn anything_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut position = 0;
            loop {
                match reader.read() {
                    Ok(Some(element)) => {
                        prop_assert!(reader.position() > position);
                        prop_assert_eq!(element.offset as usize, position);
                        position = reader.position();
                    }
                    Ok(None) => break prop_assert_eq!(position, bytes.len()),
                    Err(error) => {
                        let at_end = error.fault == TlvFault::Unterminated;
                        break prop_assert_eq!(error.offset as usize == bytes.len(), at_end);
                    }
                }
            }
        }
    }
}
