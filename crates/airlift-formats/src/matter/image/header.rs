//! The header: what a file says of itself.

use crate::matter::{
    Text,
    tlv::{Element, Reader, Tag, TlvError, Value},
};

use super::{
    DigestAlgorithm, FILE_IDENTIFIER, FIXED_HEADER_LEN, Field, Hasher, MAX_HEADER_LEN,
    MAX_RELEASE_NOTES_URL_LEN, MAX_VERSION_STRING_LEN, OtaImageError, Rules,
};

/// The first 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FixedHeader {
    /// [`FILE_IDENTIFIER`] in an image.
    pub identifier: u32,
    /// Bytes of the whole file.
    pub total_size: u64,
    /// Bytes of the header that follows.
    pub header_size: u32,
}

impl FixedHeader {
    /// Reads the first bytes of a file: any 16 are a fixed header.
    #[must_use]
    pub const fn parse(bytes: &[u8; FIXED_HEADER_LEN]) -> Self {
        let &[
            i0,
            i1,
            i2,
            i3,
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            h0,
            h1,
            h2,
            h3,
        ] = bytes;
        Self {
            identifier: u32::from_le_bytes([i0, i1, i2, i3]),
            total_size: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            header_size: u32::from_le_bytes([h0, h1, h2, h3]),
        }
    }

    /// The bytes; inverse of [`parse`](Self::parse).
    #[must_use]
    pub const fn emit(&self) -> [u8; FIXED_HEADER_LEN] {
        let [i0, i1, i2, i3] = self.identifier.to_le_bytes();
        let [t0, t1, t2, t3, t4, t5, t6, t7] = self.total_size.to_le_bytes();
        let [h0, h1, h2, h3] = self.header_size.to_le_bytes();
        [
            i0, i1, i2, i3, t0, t1, t2, t3, t4, t5, t6, t7, h0, h1, h2, h3,
        ]
    }

    /// Whether a header can follow, and the file be as long as announced.
    pub(super) fn check(&self, rules: &Rules) -> Result<(), OtaImageError> {
        let found = self.identifier;
        if found != FILE_IDENTIFIER {
            return Err(OtaImageError::FileIdentifier { found });
        }
        match self.header_size {
            0 => return Err(OtaImageError::HeaderEmpty),
            length if length > MAX_HEADER_LEN as u32 => {
                return Err(OtaImageError::HeaderTooLong { length });
            }
            _ => {}
        }
        match rules.file_len {
            Some(found) if rules.is_strict() && found != self.total_size => {
                Err(OtaImageError::FileLength {
                    announced: self.total_size,
                    found,
                })
            }
            _ => Ok(()),
        }
    }

    /// Where the payload starts.
    #[must_use]
    pub const fn payload_offset(&self) -> u64 {
        FIXED_HEADER_LEN as u64 + self.header_size as u64
    }
}

/// The header of an image. Strings and digest are parts of the bytes that were parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// Who made the device; 0: for devices of any vendor.
    pub vendor_id: u16,
    /// What the device is; 0: for any product of the vendor.
    pub product_id: u16,
    /// The version: a device updates to a higher one.
    pub software_version: u32,
    /// The version for people, never for ordering: 1 to 64 bytes of UTF-8. Lenient profile: any bytes, perhaps none.
    ///
    /// The reference shows only what is before the first byte 0x1F.
    pub software_version_string: Text<'a>,
    /// Bytes of the payload.
    pub payload_size: u64,
    /// Least version that can be updated to this one.
    pub min_applicable_software_version: Option<u32>,
    /// Highest version that can be updated to this one.
    pub max_applicable_software_version: Option<u32>,
    /// Where release notes are: UTF-8, at most 256 bytes. Lenient profile: any bytes.
    pub release_notes_url: Option<Text<'a>>,
    /// How the digest is computed. Strict profile: always the number of a [`DigestAlgorithm`].
    pub digest_type: u8,
    /// The digest of the payload. Strict profile: as long as the algorithm says.
    pub digest: &'a [u8],
    /// Bytes behind the end of the structure, within the header's size: nobody reads them.
    pub bytes_behind: u32,
}

impl<'a> Header<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// The first thing that the rules do not allow. Offsets count from the start of the file: the header starts at 16.
    pub fn parse(bytes: &'a [u8], rules: &Rules) -> Result<Self, OtaImageError> {
        let mut reader = Reader::new(bytes);
        match next(&mut reader)? {
            Some(Element {
                tag: Tag::Anonymous,
                value: Value::Structure,
                ..
            }) => {}
            Some(Element {
                tag: Tag::Anonymous,
                ..
            }) => return Err(OtaImageError::NotAStructure),
            Some(element) => {
                return Err(OtaImageError::UnexpectedTag {
                    offset: in_file(element.offset),
                });
            }
            None => return Err(OtaImageError::HeaderEmpty),
        }
        let mut fields = Fields::default();
        // The reader gives an error where the end is missing, so that none of the elements is the last one.
        while let Some(element) = next(&mut reader)? {
            if element.value == Value::End {
                break;
            }
            fields.take(&element, rules)?;
            let around = reader.depth();
            if element.value.is_container() {
                while reader.depth() >= around && next(&mut reader)?.is_some() {}
            }
        }
        fields.finish(rules, reader.rest().len() as u32)
    }

    /// How the digest is computed, if that is known.
    #[must_use]
    pub fn digest_algorithm(&self) -> Option<DigestAlgorithm> {
        DigestAlgorithm::from_id(self.digest_type)
    }
}

/// Offset in the file of what is at an offset in the header.
const fn in_file(offset: u32) -> u32 {
    offset.saturating_add(FIXED_HEADER_LEN as u32)
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<Option<Element<'a>>, OtaImageError> {
    reader.read().map_err(|error| {
        OtaImageError::Tlv(TlvError {
            offset: in_file(error.offset),
            fault: error.fault,
        })
    })
}

/// What has been found so far.
#[derive(Default)]
struct Fields<'a> {
    vendor_id: Option<u16>,
    product_id: Option<u16>,
    software_version: Option<u32>,
    software_version_string: Option<Text<'a>>,
    payload_size: Option<u64>,
    min_version: Option<u32>,
    max_version: Option<u32>,
    release_notes_url: Option<Text<'a>>,
    digest_type: Option<u8>,
    digest: Option<&'a [u8]>,
    /// A bit for each field.
    seen: u16,
    /// The lowest tag that may come.
    next_tag: u16,
    digest_offset: u32,
}

impl<'a> Fields<'a> {
    fn take(&mut self, element: &Element<'a>, rules: &Rules) -> Result<(), OtaImageError> {
        let offset = in_file(element.offset);
        let Tag::Context(tag) = element.tag else {
            // Behind the digest the reference skips whatever there is.
            return match self.digest {
                Some(_) if !rules.is_strict() => Ok(()),
                _ => Err(OtaImageError::UnexpectedTag { offset }),
            };
        };
        let Some(field) = Field::from_tag(tag) else {
            // Fields of later versions of the format come behind those of this one.
            return match self.digest {
                Some(_) if u16::from(tag) >= self.next_tag || !rules.is_strict() => {
                    self.next_tag = u16::from(tag) + 1;
                    Ok(())
                }
                _ => Err(OtaImageError::UnknownField { tag, offset }),
            };
        };
        if self.seen & 1 << tag != 0 {
            return match self.digest {
                Some(_) if !rules.is_strict() => Ok(()),
                _ => Err(OtaImageError::DuplicateField { field, offset }),
            };
        }
        if u16::from(tag) < self.next_tag {
            return match self.digest {
                Some(_) if !rules.is_strict() => Ok(()),
                _ => Err(OtaImageError::FieldOrder { field, offset }),
            };
        }
        self.seen |= 1 << tag;
        self.next_tag = u16::from(tag) + 1;
        self.set(field, element, rules)
    }

    fn set(
        &mut self,
        field: Field,
        element: &Element<'a>,
        rules: &Rules,
    ) -> Result<(), OtaImageError> {
        let offset = in_file(element.offset);
        let number = |bits: u32| match element.value {
            Value::Unsigned(number) if bits < 64 && number >> bits != 0 => {
                Err(OtaImageError::IntegerTooLarge { field, offset })
            }
            Value::Unsigned(number) => Ok(number),
            _ => Err(OtaImageError::FieldType { field, offset }),
        };
        let text = |max: usize| match element.value {
            Value::Utf8(string) => check_text(Text(string), field, offset, max, rules),
            _ => Err(OtaImageError::FieldType { field, offset }),
        };
        match field {
            Field::VendorId => self.vendor_id = Some(number(16)? as u16),
            Field::ProductId => self.product_id = Some(number(16)? as u16),
            Field::SoftwareVersion => self.software_version = Some(number(32)? as u32),
            Field::SoftwareVersionString => {
                self.software_version_string = Some(text(MAX_VERSION_STRING_LEN)?);
            }
            Field::PayloadSize => self.payload_size = Some(number(64)?),
            Field::MinApplicableSoftwareVersion => self.min_version = Some(number(32)? as u32),
            Field::MaxApplicableSoftwareVersion => self.max_version = Some(number(32)? as u32),
            Field::ReleaseNotesUrl => {
                self.release_notes_url = Some(text(MAX_RELEASE_NOTES_URL_LEN)?);
            }
            Field::ImageDigestType => self.digest_type = Some(number(8)? as u8),
            Field::ImageDigest => {
                self.digest_offset = offset;
                self.digest = Some(match element.value {
                    Value::Octets(digest) => digest,
                    Value::Utf8(digest) if !rules.is_strict() => digest,
                    Value::Utf8(_) => return Err(OtaImageError::DigestIsText { offset }),
                    _ => return Err(OtaImageError::FieldType { field, offset }),
                });
            }
        }
        Ok(())
    }

    fn finish(self, rules: &Rules, bytes_behind: u32) -> Result<Header<'a>, OtaImageError> {
        let seen = self.seen;
        let missing = |field: Field| OtaImageError::MissingField {
            field,
            // Fields behind it: the reference stumbles over the next one, and not over the end.
            ends: seen >> field.tag() == 0,
        };
        let header = Header {
            vendor_id: self.vendor_id.ok_or(missing(Field::VendorId))?,
            product_id: self.product_id.ok_or(missing(Field::ProductId))?,
            software_version: self
                .software_version
                .ok_or(missing(Field::SoftwareVersion))?,
            software_version_string: self
                .software_version_string
                .ok_or(missing(Field::SoftwareVersionString))?,
            payload_size: self.payload_size.ok_or(missing(Field::PayloadSize))?,
            min_applicable_software_version: self.min_version,
            max_applicable_software_version: self.max_version,
            release_notes_url: self.release_notes_url,
            digest_type: self.digest_type.ok_or(missing(Field::ImageDigestType))?,
            digest: self.digest.ok_or(missing(Field::ImageDigest))?,
            bytes_behind,
        };
        if rules.is_strict() {
            let id = header.digest_type;
            let algorithm = header
                .digest_algorithm()
                .ok_or(OtaImageError::UnknownDigest { id })?;
            if algorithm.is_truncated() && !rules.short_digests {
                return Err(OtaImageError::ShortDigest { algorithm });
            }
            if header.digest.len() != algorithm.digest_len() {
                return Err(OtaImageError::DigestLength {
                    algorithm,
                    found: header.digest.len() as u32,
                    offset: self.digest_offset,
                });
            }
            if Hasher::new(algorithm).is_none() {
                return Err(OtaImageError::DigestNotBuiltIn { algorithm });
            }
        }
        Ok(header)
    }
}

fn check_text<'a>(
    text: Text<'a>,
    field: Field,
    offset: u32,
    max: usize,
    rules: &Rules,
) -> Result<Text<'a>, OtaImageError> {
    // An empty address is as good as none; an empty version is refused.
    let is_empty = text.is_empty() && field == Field::SoftwareVersionString && rules.is_strict();
    if is_empty || text.len() > max {
        return Err(OtaImageError::TextLength {
            field,
            length: text.len() as u32,
            offset,
        });
    }
    if rules.is_strict() && text.as_str().is_none() {
        return Err(OtaImageError::TextEncoding { field, offset });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_fixed_header_parses_and_emits_as_inverse(bytes: [u8; FIXED_HEADER_LEN]) {
            proptest::prop_assert_eq!(FixedHeader::parse(&bytes).emit(), bytes);
        }
    }
}
