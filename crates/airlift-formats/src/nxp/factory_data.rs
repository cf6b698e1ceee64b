//! Factory data: the attestation credentials of a device.

use core::fmt;

use crate::matter::{
    ChipError,
    tlv::{Element, Reader, Tag, TlvError, TlvFault, Value},
};

/// Most bytes of factory data: the section that they belong to has 2048.
pub const MAX_FACTORY_DATA_LEN: usize = 2048;
/// Bytes of the private key.
pub const DAC_KEY_LEN: usize = 32;
/// What legacy encryption pads with.
const PADDING: u8 = 0xFF;
/// The blocks that it pads to.
const PADDING_BLOCK: usize = 16;

/// A field of the factory data. Its number is its tag, and its id in the device's factory section; fields come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FactoryField {
    /// Private key of the device attestation certificate: 32 bytes.
    DacPrivateKey = 4,
    /// Device attestation certificate (DER).
    DacCertificate = 5,
    /// Product attestation intermediate certificate (DER).
    PaiCertificate = 6,
    /// Certification declaration (CMS).
    CertificationDeclaration = 11,
}

impl FactoryField {
    /// All fields in their order.
    pub const ALL: [Self; 4] = [
        Self::DacPrivateKey,
        Self::DacCertificate,
        Self::PaiCertificate,
        Self::CertificationDeclaration,
    ];

    /// Its tag.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// The field with this tag.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.tag() == tag)
    }

    /// Words for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DacPrivateKey => "DAC private key",
            Self::DacCertificate => "DAC certificate",
            Self::PaiCertificate => "PAI certificate",
            Self::CertificationDeclaration => "certification declaration",
        }
    }
}

impl fmt::Display for FactoryField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tag {})", self.name(), self.tag())
    }
}

/// Factory data: new values for some fields. The values are parts of the bytes that were parsed.
///
/// The private key is a secret. Nothing prints it: [`Debug`] shows lengths.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FactoryData<'a> {
    /// Private key of the device attestation certificate: 32 bytes.
    pub dac_private_key: Option<&'a [u8]>,
    /// Device attestation certificate (DER).
    pub dac_certificate: Option<&'a [u8]>,
    /// Product attestation intermediate certificate (DER).
    pub pai_certificate: Option<&'a [u8]>,
    /// Certification declaration (CMS).
    pub certification_declaration: Option<&'a [u8]>,
}

/// Why factory data are refused. Offsets count from the start of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactoryDataError {
    /// Longer than the section that they belong to.
    TooLong {
        /// Bytes.
        length: usize,
    },
    /// Not an encoding. The reference's name depends on the [fault](crate::matter::tlv::TlvFault), but an end that is missing it
    /// takes for the end.
    Tlv(TlvError),
    /// Something else than a structure: [`ChipError::WRONG_TLV_TYPE`]. Encrypted data look like this.
    NotAStructure,
    /// A field that is not one of these: the reference drops it, and those behind it.
    UnknownField {
        /// Its tag, if it is a context-specific one.
        tag: Option<u8>,
        /// Where.
        offset: u32,
    },
    /// A field behind one with a higher tag, or for a second time: the reference drops it, and those behind it.
    FieldOrder {
        /// The field.
        field: FactoryField,
        /// Where.
        offset: u32,
    },
    /// A value that is not a byte string: [`ChipError::WRONG_TLV_TYPE`].
    FieldType {
        /// The field.
        field: FactoryField,
        /// Where.
        offset: u32,
    },
    /// A private key that does not have 32 bytes, or another field without any. The reference writes it to flash.
    FieldLength {
        /// The field.
        field: FactoryField,
        /// Its bytes.
        length: u32,
        /// Where.
        offset: u32,
    },
    /// Something follows the structure. The reference ignores it.
    TrailingBytes {
        /// Where.
        offset: u32,
    },
}

/// Codes of [`TlvFault`](crate::matter::tlv::TlvFault) start here.
const TLV_BASE: u8 = 64;

impl FactoryDataError {
    /// A small number for the variant that never changes: what a device keeps or reports.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::TooLong { .. } => 1,
            Self::NotAStructure => 2,
            Self::UnknownField { .. } => 3,
            Self::FieldOrder { .. } => 4,
            Self::FieldType { .. } => 5,
            Self::FieldLength { .. } => 6,
            Self::TrailingBytes { .. } => 7,
            Self::Tlv(error) => TLV_BASE + error.fault.code(),
        }
    }

    /// The word for a [`code`](Self::code), for reports and JSON.
    #[must_use]
    pub const fn token(code: u8) -> &'static str {
        match code {
            1 => "factory-data-too-long",
            2 => "factory-data-not-a-structure",
            3 => "factory-data-unknown-field",
            4 => "factory-data-field-order",
            5 => "factory-data-field-type",
            6 => "factory-data-field-length",
            7 => "factory-data-trailing-bytes",
            65 => "factory-data-tlv-underrun",
            66 => "factory-data-tlv-unterminated",
            67 => "factory-data-tlv-reserved-type",
            68 => "factory-data-tlv-end-without-start",
            69 => "factory-data-tlv-end-with-tag",
            70 => "factory-data-tlv-anonymous-member",
            71 => "factory-data-tlv-tagged-array-member",
            72 => "factory-data-tlv-context-tag-at-top-level",
            73 => "factory-data-tlv-implicit-profile",
            74 => "factory-data-tlv-length-too-large",
            _ => "factory-data-unknown",
        }
    }

    /// What the reference says to such data; none if it does not notice.
    #[must_use]
    pub const fn chip_error(&self) -> Option<ChipError> {
        Some(match self {
            Self::Tlv(TlvError {
                fault: TlvFault::Unterminated,
                ..
            }) => return None,
            Self::Tlv(error) => error.fault.chip_error(),
            Self::NotAStructure | Self::FieldType { .. } => ChipError::WRONG_TLV_TYPE,
            _ => return None,
        })
    }
}

impl fmt::Display for FactoryDataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("factory data, ")?;
        match self {
            Self::TooLong { length } => {
                write!(f, "{length} bytes: at most {MAX_FACTORY_DATA_LEN} fit")
            }
            Self::Tlv(error) => write!(f, "{error}"),
            Self::NotAStructure => {
                f.write_str("offset 0: something else than a structure; perhaps they are encrypted")
            }
            Self::UnknownField {
                tag: Some(tag),
                offset,
            } => write!(
                f,
                "offset {offset}: field {tag} is not one of 4, 5, 6 and 11"
            ),
            Self::UnknownField { tag: None, offset } => {
                write!(f, "offset {offset}: an element that is not a field")
            }
            Self::FieldOrder { field, offset } => {
                write!(f, "offset {offset}: {field} is out of order or comes twice")
            }
            Self::FieldType { field, offset } => {
                write!(f, "offset {offset}: {field} is not a byte string")
            }
            Self::FieldLength {
                field: field @ FactoryField::DacPrivateKey,
                length,
                offset,
            } => write!(
                f,
                "offset {offset}: {field} has {length} bytes, not {DAC_KEY_LEN}"
            ),
            Self::FieldLength { field, offset, .. } => {
                write!(f, "offset {offset}: {field} is empty")
            }
            Self::TrailingBytes { offset } => {
                write!(f, "offset {offset}: something follows the structure")
            }
        }
    }
}

impl core::error::Error for FactoryDataError {}

impl<'a> FactoryData<'a> {
    /// Reads the value of a part with factory data.
    ///
    /// # Errors
    /// Everything that is not a structure of the known fields in their order, each at most once.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FactoryDataError> {
        let (data, end) = Self::read(bytes)?;
        match end < bytes.len() {
            true => Err(trailing(end)),
            false => Ok(data),
        }
    }

    /// Reads factory data that were encrypted by the legacy scheme, and decrypted: up to 15 bytes 0xFF may follow.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_padded(bytes: &'a [u8]) -> Result<Self, FactoryDataError> {
        let (data, end) = Self::read(bytes)?;
        let padding = bytes.get(end..).unwrap_or(&[]);
        let is_padding = bytes.len().is_multiple_of(PADDING_BLOCK)
            && padding.len() < PADDING_BLOCK
            && padding.iter().all(|byte| *byte == PADDING);
        match is_padding {
            true => Ok(data),
            false => Err(trailing(end)),
        }
    }

    /// The value of a field.
    #[must_use]
    pub const fn get(&self, field: FactoryField) -> Option<&'a [u8]> {
        match field {
            FactoryField::DacPrivateKey => self.dac_private_key,
            FactoryField::DacCertificate => self.dac_certificate,
            FactoryField::PaiCertificate => self.pai_certificate,
            FactoryField::CertificationDeclaration => self.certification_declaration,
        }
    }

    /// The fields that are there, in their order, with their values.
    pub fn fields(&self) -> impl Iterator<Item = (FactoryField, &'a [u8])> {
        let this = *self;
        FactoryField::ALL
            .into_iter()
            .filter_map(move |field| Some((field, this.get(field)?)))
    }

    /// The bytes, as the official tool writes them; inverse of [`parse`](Self::parse).
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> alloc::vec::Vec<u8> {
        let mut writer = crate::matter::tlv::Writer::default();
        writer.put(Tag::Anonymous, Value::Structure);
        for (field, value) in self.fields() {
            writer.put(Tag::Context(field.tag()), Value::Octets(value));
        }
        writer.put(Tag::Anonymous, Value::End);
        writer.into_bytes()
    }

    /// The data, and where their structure ends.
    fn read(bytes: &'a [u8]) -> Result<(Self, usize), FactoryDataError> {
        let length = bytes.len();
        if length > MAX_FACTORY_DATA_LEN {
            return Err(FactoryDataError::TooLong { length });
        }
        let mut reader = Reader::new(bytes);
        let is_structure = bytes.first() == Some(&0x15);
        if !is_structure {
            return Err(FactoryDataError::NotAStructure);
        }
        reader.read().map_err(FactoryDataError::Tlv)?;
        let mut data = Self::default();
        let mut last = None;
        while let Some(element) = reader.read().map_err(FactoryDataError::Tlv)? {
            if element.value == Value::End {
                break;
            }
            let field = data.take(&element)?;
            if last >= Some(field) {
                let offset = element.offset;
                return Err(FactoryDataError::FieldOrder { field, offset });
            }
            last = Some(field);
        }
        Ok((data, reader.position()))
    }

    fn take(&mut self, element: &Element<'a>) -> Result<FactoryField, FactoryDataError> {
        let offset = element.offset;
        let tag = match element.tag {
            Tag::Context(tag) => Some(tag),
            _ => None,
        };
        let field = tag
            .and_then(FactoryField::from_tag)
            .ok_or(FactoryDataError::UnknownField { tag, offset })?;
        let Value::Octets(value) = element.value else {
            return Err(FactoryDataError::FieldType { field, offset });
        };
        let fits = match field {
            FactoryField::DacPrivateKey => value.len() == DAC_KEY_LEN,
            _ => !value.is_empty(),
        };
        if !fits {
            return Err(FactoryDataError::FieldLength {
                field,
                length: value.len() as u32,
                offset,
            });
        }
        *match field {
            FactoryField::DacPrivateKey => &mut self.dac_private_key,
            FactoryField::DacCertificate => &mut self.dac_certificate,
            FactoryField::PaiCertificate => &mut self.pai_certificate,
            FactoryField::CertificationDeclaration => &mut self.certification_declaration,
        } = Some(value);
        Ok(field)
    }
}

impl fmt::Debug for FactoryData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FactoryData");
        for (field, value) in self.fields() {
            shown.field(field.name(), &format_args!("{} bytes", value.len()));
        }
        shown.finish()
    }
}

const fn trailing(end: usize) -> FactoryDataError {
    FactoryDataError::TrailingBytes { offset: end as u32 }
}
