//! Elements, one after the other.

use super::{Element, Tag, TlvError, TlvFault, Value};

/// Which rule there is for the tags of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Members {
    Tagged,
    Anonymous,
    Any,
}

/// Reads elements from bytes that are there as a whole.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: u32,
    /// The rule of the outermost container. Those within it have none: whoever reads them skips them.
    members: Members,
}

impl<'a> Reader<'a> {
    /// A reader at the first element, outside of all containers.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            depth: 0,
            members: Members::Any,
        }
    }

    /// The next element; none where the bytes end outside of all containers.
    ///
    /// # Errors
    /// What is wrong with the element. The reader has nothing more to say then.
    pub fn read(&mut self) -> Result<Option<Element<'a>>, TlvError> {
        let offset = self.position;
        let Some((&control, _)) = self.rest().split_first() else {
            return match self.depth {
                0 => Ok(None),
                _ => Err(error(offset, TlvFault::Unterminated)),
            };
        };
        self.position = offset.saturating_add(1);
        match self.element(control) {
            Ok((tag, value)) => Ok(Some(Element {
                offset: as_u32(offset),
                tag,
                value,
            })),
            Err(fault) => {
                self.bytes = &[];
                Err(error(offset, fault))
            }
        }
    }

    /// Number of containers around the next element.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.depth
    }

    /// Offset of the next element.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The bytes that have not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    fn element(&mut self, control: u8) -> Result<(Tag, Value<'a>), TlvFault> {
        let tag = match control >> 5 {
            0 => Tag::Anonymous,
            1 => Tag::Context(self.number(1)? as u8),
            2 => Tag::Common(self.number(2)? as u32),
            3 => Tag::Common(self.number(4)? as u32),
            4 => Tag::Implicit(self.number(2)? as u32),
            5 => Tag::Implicit(self.number(4)? as u32),
            form => Tag::FullyQualified {
                vendor: self.number(2)? as u16,
                profile: self.number(2)? as u16,
                tag: self.number(if form == 6 { 2 } else { 4 })? as u32,
            },
        };
        let kind = control & 0x1F;
        let width = 1 << (kind & 3);
        let value = match kind {
            0x00..=0x03 => {
                // Sign extension from the width that was written.
                let unused = 64 - 8 * width;
                Value::Signed((self.number(width)? << unused).cast_signed() >> unused)
            }
            0x04..=0x07 => Value::Unsigned(self.number(width)?),
            0x08 | 0x09 => Value::Boolean(kind == 0x09),
            0x0A => Value::Float32(self.number(4)? as u32),
            0x0B => Value::Float64(self.number(8)?),
            0x0C..=0x0F => Value::Utf8(self.string(width)?),
            0x10..=0x13 => Value::Octets(self.string(width)?),
            0x14 => Value::Null,
            0x15 => Value::Structure,
            0x16 => Value::Array,
            0x17 => Value::List,
            0x18 => Value::End,
            _ => return Err(TlvFault::ReservedType),
        };
        self.check_tag(tag, value)?;
        if value == Value::End {
            self.depth = self.depth.saturating_sub(1);
        } else if value.is_container() {
            if self.depth == 0 {
                self.members = match value {
                    Value::Structure => Members::Tagged,
                    Value::Array => Members::Anonymous,
                    _ => Members::Any,
                };
            }
            self.depth = self.depth.saturating_add(1);
        }
        Ok((tag, value))
    }

    fn check_tag(&self, tag: Tag, value: Value<'_>) -> Result<(), TlvFault> {
        if value == Value::End {
            return match (self.depth, tag) {
                (0, _) => Err(TlvFault::EndWithoutStart),
                (_, Tag::Anonymous) => Ok(()),
                _ => Err(TlvFault::EndWithTag),
            };
        }
        let anonymous = tag == Tag::Anonymous;
        match (self.depth, self.members) {
            _ if matches!(tag, Tag::Implicit(_)) => Err(TlvFault::ImplicitProfile),
            (0, _) if matches!(tag, Tag::Context(_)) => Err(TlvFault::ContextTagAtTopLevel),
            (1, Members::Tagged) if anonymous => Err(TlvFault::AnonymousMember),
            (1, Members::Anonymous) if !anonymous => Err(TlvFault::TaggedArrayMember),
            _ => Ok(()),
        }
    }

    /// A number of 1, 2, 4 or 8 bytes.
    fn number(&mut self, width: usize) -> Result<u64, TlvFault> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A length of this width and as many bytes.
    fn string(&mut self, width: usize) -> Result<&'a [u8], TlvFault> {
        let length = u32::try_from(self.number(width)?).map_err(|_| TlvFault::LengthTooLarge)?;
        self.take(length as usize)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], TlvFault> {
        let bytes = self.rest().get(..length).ok_or(TlvFault::Underrun)?;
        self.position = self.position.saturating_add(length);
        Ok(bytes)
    }
}

const fn error(offset: usize, fault: TlvFault) -> TlvError {
    TlvError {
        offset: as_u32(offset),
        fault,
    }
}

const fn as_u32(offset: usize) -> u32 {
    // Structures of 4 GiB are read by nobody.
    offset as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(Tag, Value<'_>)>, TlvFault> {
        let mut reader = Reader::new(bytes);
        let mut elements = Vec::new();
        while let Some(element) = reader.read().map_err(|error| error.fault)? {
            elements.push((element.tag, element.value));
        }
        Ok(elements)
    }

    #[test]
    fn every_type_and_every_form_of_a_tag_is_read() {
        let cases: &[(&[u8], Tag, Value<'_>)] = &[
            (&[0x00, 0xFE], Tag::Anonymous, Value::Signed(-2)),
            (&[0x01, 0xFE, 0xFF], Tag::Anonymous, Value::Signed(-2)),
            (
                &[0x02, 1, 0, 0, 0x80],
                Tag::Anonymous,
                Value::Signed(-0x7FFF_FFFF),
            ),
            (
                &[0x03, 0, 0, 0, 0, 0, 0, 0, 0x80],
                Tag::Anonymous,
                Value::Signed(i64::MIN),
            ),
            (&[0x04, 0xFE], Tag::Anonymous, Value::Unsigned(254)),
            (
                &[0x07, 1, 0, 0, 0, 0, 0, 0, 0x80],
                Tag::Anonymous,
                Value::Unsigned(1 << 63 | 1),
            ),
            (&[0x08], Tag::Anonymous, Value::Boolean(false)),
            (&[0x09], Tag::Anonymous, Value::Boolean(true)),
            (
                &[0x0A, 0, 0, 0x80, 0x3F],
                Tag::Anonymous,
                Value::Float32(1.0_f32.to_bits()),
            ),
            (
                &[0x0B, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F],
                Tag::Anonymous,
                Value::Float64(1.0_f64.to_bits()),
            ),
            (&[0x0C, 2, b'h', b'i'], Tag::Anonymous, Value::Utf8(b"hi")),
            (
                &[0x0F, 1, 0, 0, 0, 0, 0, 0, 0, b'x'],
                Tag::Anonymous,
                Value::Utf8(b"x"),
            ),
            (&[0x11, 1, 0, 7], Tag::Anonymous, Value::Octets(&[7])),
            (&[0x14], Tag::Anonymous, Value::Null),
            (&[0x48, 1, 2], Tag::Common(0x201), Value::Boolean(false)),
            (
                &[0x68, 1, 2, 3, 4],
                Tag::Common(0x0403_0201),
                Value::Boolean(false),
            ),
            (
                &[0xC8, 1, 0, 2, 0, 3, 0],
                Tag::FullyQualified {
                    vendor: 1,
                    profile: 2,
                    tag: 3,
                },
                Value::Boolean(false),
            ),
            (
                &[0xE8, 1, 0, 2, 0, 3, 0, 0, 1],
                Tag::FullyQualified {
                    vendor: 1,
                    profile: 2,
                    tag: 0x0100_0003,
                },
                Value::Boolean(false),
            ),
        ];
        for (bytes, tag, value) in cases {
            assert_eq!(all(bytes), Ok(vec![(*tag, *value)]), "{bytes:02x?}");
            for end in 1..bytes.len() {
                assert_eq!(
                    all(&bytes[..end]),
                    Err(TlvFault::Underrun),
                    "{bytes:02x?} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        for (bytes, fault) in [
            (&[0x15, 0x24, 1, 2][..], TlvFault::Unterminated),
            (&[0x19], TlvFault::ReservedType),
            (&[0x1F], TlvFault::ReservedType),
            (&[0x18], TlvFault::EndWithoutStart),
            (&[0x15, 0x38, 1], TlvFault::EndWithTag),
            (&[0x15, 0x04, 1, 0x18], TlvFault::AnonymousMember),
            (&[0x16, 0x24, 1, 1, 0x18], TlvFault::TaggedArrayMember),
            (&[0x24, 1, 1], TlvFault::ContextTagAtTopLevel),
            (&[0x84, 1, 0, 1], TlvFault::ImplicitProfile),
            (&[0x0F, 0, 0, 0, 0, 1, 0, 0, 0], TlvFault::LengthTooLarge),
            (&[0x0E, 0xFF, 0xFF, 0xFF, 0xFF, 1], TlvFault::Underrun),
        ] {
            assert_eq!(all(bytes), Err(fault), "{bytes:02x?}");
        }
    }

    #[test]
    fn containers_nest_and_the_rules_of_the_outer_one_come_back() {
        let list = [0x17, 0x04, 1, 0x24, 9, 2, 0x18];
        assert_eq!(all(&list).map(|elements| elements.len()), Ok(4));
        // A structure, in it an array with a tagged member (not looked at), then an untagged member of the structure.
        let nested = [0x15, 0x36, 0, 0x24, 1, 1, 0x18, 0x04, 1, 0x18];
        assert_eq!(all(&nested), Err(TlvFault::AnonymousMember));
        let mut reader = Reader::new(&nested);
        for depth in [1, 2, 2, 1] {
            reader.read().unwrap();
            assert_eq!(reader.depth(), depth);
        }
        assert_eq!(reader.rest(), [0x04, 1, 0x18]);
        let error = reader.read().unwrap_err();
        assert_eq!((error.offset, error.fault), (7, TlvFault::AnonymousMember));
    }
}
