//! What can be wrong with an image, in our words and in those of the reference.

use core::fmt;

use super::{
    DigestAlgorithm, FILE_IDENTIFIER, Field, MAX_HEADER_LEN, MAX_RELEASE_NOTES_URL_LEN,
    MAX_VERSION_STRING_LEN,
};
use crate::matter::{ChipError, tlv::TlvError};

/// Why an image is refused. Offsets count from the start of the file.
///
/// The reference's name for each is given; many of them it does not check at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtaImageError {
    /// The file does not start with the magic number: [`ChipError::INVALID_FILE_IDENTIFIER`].
    FileIdentifier {
        /// What it starts with.
        found: u32,
    },
    /// The header's size is 0: [`ChipError::END_OF_TLV`].
    HeaderEmpty,
    /// The header's size is above 1024: [`ChipError::NO_MEMORY`].
    HeaderTooLong {
        /// That size.
        length: u32,
    },
    /// The header is not an encoding. The reference's name depends on the [fault](crate::matter::tlv::TlvFault).
    Tlv(TlvError),
    /// The header is something else than a structure: [`ChipError::WRONG_TLV_TYPE`].
    NotAStructure,
    /// A field has a tag that is not context-specific: [`ChipError::UNEXPECTED_TLV_ELEMENT`].
    UnexpectedTag {
        /// Where.
        offset: u32,
    },
    /// A field is not known, and not behind the digest, where later versions of the format add theirs:
    /// [`ChipError::UNEXPECTED_TLV_ELEMENT`].
    UnknownField {
        /// Its tag.
        tag: u8,
        /// Where.
        offset: u32,
    },
    /// A field comes behind one with a higher tag: [`ChipError::UNEXPECTED_TLV_ELEMENT`].
    FieldOrder {
        /// The field.
        field: Field,
        /// Where.
        offset: u32,
    },
    /// A field comes twice: [`ChipError::UNEXPECTED_TLV_ELEMENT`].
    DuplicateField {
        /// The field.
        field: Field,
        /// Where it comes again.
        offset: u32,
    },
    /// A field is missing: [`ChipError::UNEXPECTED_TLV_ELEMENT`], or [`ChipError::END_OF_TLV`] if none follows.
    MissingField {
        /// The field.
        field: Field,
        /// Whether all fields behind it are missing, too.
        ends: bool,
    },
    /// A field has a value of another type: [`ChipError::WRONG_TLV_TYPE`].
    FieldType {
        /// The field.
        field: Field,
        /// Where.
        offset: u32,
    },
    /// A number has more bits than the field: [`ChipError::INVALID_INTEGER_VALUE`].
    IntegerTooLarge {
        /// The field.
        field: Field,
        /// Where.
        offset: u32,
    },
    /// A text is too long: [`ChipError::INVALID_STRING_LENGTH`]; or empty, which the reference accepts.
    TextLength {
        /// The field.
        field: Field,
        /// Bytes of the text.
        length: u32,
        /// Where.
        offset: u32,
    },
    /// A text is not UTF-8. The reference does not check it.
    TextEncoding {
        /// The field.
        field: Field,
        /// Where.
        offset: u32,
    },
    /// The digest is in a text string. The reference takes both kinds of string.
    DigestIsText {
        /// Where.
        offset: u32,
    },
    /// The digest's type is not known. The reference does not check it.
    UnknownDigest {
        /// Its number.
        id: u8,
    },
    /// The digest is a cut SHA-256, which [`Rules::short_digests`](super::Rules::short_digests) has to allow. The
    /// reference does not check it.
    ShortDigest {
        /// Its type.
        algorithm: DigestAlgorithm,
    },
    /// The digest needs a feature of this crate that is not built in.
    DigestNotBuiltIn {
        /// Its type.
        algorithm: DigestAlgorithm,
    },
    /// The digest is longer or shorter than its type says. The reference does not check it.
    DigestLength {
        /// Its type.
        algorithm: DigestAlgorithm,
        /// Its bytes.
        found: u32,
        /// Where.
        offset: u32,
    },
    /// The total size is not that of header and payload. The reference does not check it.
    TotalSize {
        /// The total size.
        announced: u64,
        /// 16 bytes, header and payload together.
        computed: u64,
    },
    /// The total size is not that of the file. The reference does not check it.
    FileLength {
        /// The total size.
        announced: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The file ends within the header ([`ChipError::BUFFER_TOO_SMALL`]) or the payload, which the reference does not check.
    Truncated {
        /// Bytes that the file has at least, by what is known.
        needed: u64,
        /// Bytes that there are.
        found: u64,
        /// Whether it ends within the header.
        in_header: bool,
    },
    /// Something follows the payload. The reference does not check it.
    TrailingBytes {
        /// Where.
        offset: u64,
    },
    /// The payload is another one than that whose digest is in the header. The reference does not check it; its name for such a
    /// thing is [`ChipError::INTEGRITY_CHECK_FAILED`].
    Digest,
}

/// Codes of [`TlvFault`](crate::matter::tlv::TlvFault) start here.
const TLV_BASE: u8 = 64;

impl OtaImageError {
    /// A small number for the variant that never changes: what a device keeps or reports. Each fault of the encoding
    /// has its own.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::FileIdentifier { .. } => 1,
            Self::HeaderEmpty => 2,
            Self::HeaderTooLong { .. } => 3,
            Self::NotAStructure => 4,
            Self::UnexpectedTag { .. } => 5,
            Self::UnknownField { .. } => 6,
            Self::FieldOrder { .. } => 7,
            Self::DuplicateField { .. } => 8,
            Self::MissingField { .. } => 9,
            Self::FieldType { .. } => 10,
            Self::IntegerTooLarge { .. } => 11,
            Self::TextLength { .. } => 12,
            Self::TextEncoding { .. } => 13,
            Self::UnknownDigest { .. } => 14,
            Self::ShortDigest { .. } => 15,
            Self::DigestNotBuiltIn { .. } => 16,
            Self::DigestLength { .. } => 17,
            Self::TotalSize { .. } => 18,
            Self::FileLength { .. } => 19,
            Self::Truncated { .. } => 20,
            Self::TrailingBytes { .. } => 21,
            Self::Digest => 22,
            Self::DigestIsText { .. } => 23,
            Self::Tlv(error) => TLV_BASE + error.fault.code(),
        }
    }

    /// The word for a [`code`](Self::code), for reports and JSON.
    #[must_use]
    pub const fn token(code: u8) -> &'static str {
        match code {
            1 => "matter-file-identifier",
            2 => "matter-header-empty",
            3 => "matter-header-too-long",
            4 => "matter-header-not-a-structure",
            5 => "matter-header-unexpected-tag",
            6 => "matter-header-unknown-field",
            7 => "matter-header-field-order",
            8 => "matter-header-duplicate-field",
            9 => "matter-header-missing-field",
            10 => "matter-header-field-type",
            11 => "matter-header-integer-too-large",
            12 => "matter-header-text-length",
            13 => "matter-header-text-encoding",
            14 => "matter-unknown-digest",
            15 => "matter-short-digest",
            16 => "matter-digest-not-built-in",
            17 => "matter-digest-length",
            18 => "matter-total-size",
            19 => "matter-file-length",
            20 => "matter-truncated",
            21 => "matter-trailing-bytes",
            22 => "matter-digest",
            23 => "matter-header-digest-is-text",
            65 => "matter-tlv-underrun",
            66 => "matter-tlv-unterminated",
            67 => "matter-tlv-reserved-type",
            68 => "matter-tlv-end-without-start",
            69 => "matter-tlv-end-with-tag",
            70 => "matter-tlv-anonymous-member",
            71 => "matter-tlv-tagged-array-member",
            72 => "matter-tlv-context-tag-at-top-level",
            73 => "matter-tlv-implicit-profile",
            74 => "matter-tlv-length-too-large",
            _ => "matter-unknown",
        }
    }

    /// What the reference's header parser says to such a file; none if it accepts it.
    #[must_use]
    pub const fn chip_error(&self) -> Option<ChipError> {
        Some(match self {
            Self::FileIdentifier { .. } => ChipError::INVALID_FILE_IDENTIFIER,
            Self::HeaderEmpty => ChipError::END_OF_TLV,
            Self::HeaderTooLong { .. } => ChipError::NO_MEMORY,
            Self::Tlv(error) => error.fault.chip_error(),
            Self::NotAStructure => ChipError::WRONG_TLV_TYPE,
            Self::FieldType { .. } => ChipError::WRONG_TLV_TYPE,
            Self::UnexpectedTag { .. }
            | Self::UnknownField { .. }
            | Self::FieldOrder { .. }
            | Self::DuplicateField { .. }
            | Self::MissingField { ends: false, .. } => ChipError::UNEXPECTED_TLV_ELEMENT,
            Self::MissingField { ends: true, .. } => ChipError::END_OF_TLV,
            Self::IntegerTooLarge { .. } => ChipError::INVALID_INTEGER_VALUE,
            Self::TextLength { length: 1.., .. } => ChipError::INVALID_STRING_LENGTH,
            Self::Truncated {
                in_header: true, ..
            } => ChipError::BUFFER_TOO_SMALL,
            _ => return None,
        })
    }
}

impl fmt::Display for OtaImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FileIdentifier { found } => write!(
                f,
                "not a Matter OTA image: it starts with {found:#010x}, not {FILE_IDENTIFIER:#010x}"
            ),
            Self::HeaderEmpty => f.write_str("the header is empty: its size at offset 12 is 0"),
            Self::HeaderTooLong { length } => write!(
                f,
                "the header has {length} bytes, at most {MAX_HEADER_LEN} are allowed (size at offset 12)"
            ),
            Self::Tlv(error) => write!(f, "the header is malformed: {error}"),
            Self::NotAStructure => {
                f.write_str("the header at offset 16 is something else than a structure")
            }
            Self::UnexpectedTag { offset } => write!(
                f,
                "offset {offset}: an element whose tag is none of a header"
            ),
            Self::UnknownField { tag, offset } => write!(
                f,
                "offset {offset}: an unknown field with tag {tag} before the end of the known ones"
            ),
            Self::FieldOrder { field, offset } => write!(
                f,
                "offset {offset}: {field} is out of order: fields have to come in the order of their tags"
            ),
            Self::DuplicateField { field, offset } => {
                write!(f, "offset {offset}: {field} comes twice")
            }
            Self::MissingField { field, .. } => write!(f, "the header has no {field}"),
            Self::FieldType { field, offset } => {
                write!(f, "offset {offset}: {field} has a value of another type")
            }
            Self::IntegerTooLarge { field, offset } => {
                write!(f, "offset {offset}: {field} is too large a number")
            }
            Self::TextLength {
                field,
                length: 0,
                offset,
            } => write!(f, "offset {offset}: {field} is empty"),
            Self::TextLength {
                field,
                length,
                offset,
            } => write!(
                f,
                "offset {offset}: {field} has {length} bytes, more than the {} that are allowed",
                match field {
                    Field::ReleaseNotesUrl => MAX_RELEASE_NOTES_URL_LEN,
                    _ => MAX_VERSION_STRING_LEN,
                }
            ),
            Self::TextEncoding { field, offset } => {
                write!(f, "offset {offset}: {field} is not UTF-8")
            }
            Self::DigestIsText { offset } => write!(
                f,
                "offset {offset}: the digest is a text, not a byte string"
            ),
            Self::UnknownDigest { id } => write!(f, "digest type {id} is not known"),
            Self::ShortDigest { algorithm } => write!(
                f,
                "the digest is only {algorithm}: {} bits are no integrity check",
                8 * algorithm.digest_len()
            ),
            Self::DigestNotBuiltIn { algorithm } => write!(
                f,
                "the digest is {algorithm}, which this program was built without"
            ),
            Self::DigestLength {
                algorithm,
                found,
                offset,
            } => write!(
                f,
                "offset {offset}: the digest has {found} bytes, {algorithm} has {}",
                algorithm.digest_len()
            ),
            Self::TotalSize {
                announced,
                computed,
            } => write!(
                f,
                "the total size at offset 4 is {announced}, header and payload have {computed} bytes"
            ),
            Self::FileLength { announced, found } => write!(
                f,
                "the total size at offset 4 is {announced}, the file has {found} bytes"
            ),
            Self::Truncated {
                needed,
                found,
                in_header,
            } => write!(
                f,
                "the file ends within the {}: at least {needed} bytes are needed, there are {found}",
                if in_header { "header" } else { "payload" }
            ),
            Self::TrailingBytes { offset } => {
                write!(f, "something follows the payload, at offset {offset}")
            }
            Self::Digest => {
                f.write_str("the digest in the header is not that of the payload: it is damaged")
            }
        }
    }
}

impl core::error::Error for OtaImageError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        let codes: Vec<u8> = (1..=23).chain(65..=74).collect();
        let words: Vec<_> = codes
            .iter()
            .map(|code| OtaImageError::token(*code))
            .collect();
        for (index, word) in words.iter().enumerate() {
            assert_ne!(*word, "matter-unknown");
            assert!(!words[..index].contains(word), "{word} twice");
        }
        for code in [0, 24, 64, 75, 255] {
            assert_eq!(OtaImageError::token(code), "matter-unknown");
        }
    }

    #[test]
    fn errors_stay_small() {
        assert!(size_of::<OtaImageError>() <= 24);
    }
}
