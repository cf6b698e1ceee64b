//! Makes images, byte for byte as the official tool does.

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::{
    DigestAlgorithm, FILE_IDENTIFIER, FIXED_HEADER_LEN, Field, FixedHeader, Hasher,
    MAX_RELEASE_NOTES_URL_LEN, MAX_VERSION_STRING_LEN,
};
use crate::matter::tlv::{Tag, Value, Writer};

/// Why an image cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A text is empty or too long.
    TextLength {
        /// The field.
        field: Field,
        /// Bytes of the text.
        length: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// The address of the release notes has characters that no address has.
    UrlNotAscii,
    /// A bound of the versions that can be updated is not below the image's own version.
    BoundNotBelowVersion {
        /// The field.
        field: Field,
        /// The bound.
        bound: u32,
        /// The image's version.
        version: u32,
    },
    /// The least version that can be updated is above the highest one.
    MinAboveMax {
        /// The least one.
        min: u32,
        /// The highest one.
        max: u32,
    },
    /// The digest is a cut SHA-256, which is no integrity check.
    ShortDigest {
        /// Its type.
        algorithm: DigestAlgorithm,
    },
    /// The digest needs a feature of this crate that is not built in.
    DigestNotBuiltIn {
        /// Its type.
        algorithm: DigestAlgorithm,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TextLength { field, length, max } => write!(
                f,
                "{} has {length} bytes, it has to have 1 to {max}",
                field.name()
            ),
            Self::UrlNotAscii => {
                f.write_str("the address of the release notes has to be printable ASCII")
            }
            Self::BoundNotBelowVersion {
                field,
                bound,
                version,
            } => write!(
                f,
                "{} {bound} is not below the version of the image, {version}",
                field.name()
            ),
            Self::MinAboveMax { min, max } => write!(
                f,
                "the least applicable version, {min}, is above the highest one, {max}"
            ),
            Self::ShortDigest { algorithm } => write!(
                f,
                "{algorithm} is too short to be an integrity check: take sha-256"
            ),
            Self::DigestNotBuiltIn { algorithm } => {
                write!(f, "this program was built without {algorithm}")
            }
        }
    }
}

impl core::error::Error for BuildError {}

/// Makes an image around a payload.
///
/// The rules are those of the official tool, and that the version string counts in bytes, as the reference's parser counts.
/// Vendor and product 0 are allowed, as the specification does and the tool does not: see [`Remark`](super::Remark).
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    vendor_id: u16,
    product_id: u16,
    version: u32,
    version_string: String,
    min_version: Option<u32>,
    max_version: Option<u32>,
    release_notes_url: Option<String>,
    digest: DigestAlgorithm,
}

impl ImageBuilder {
    /// An image for devices of this vendor and product, with a SHA-256.
    #[must_use]
    pub fn new(vendor_id: u16, product_id: u16, version: u32, version_string: &str) -> Self {
        Self {
            vendor_id,
            product_id,
            version,
            version_string: version_string.into(),
            min_version: None,
            max_version: None,
            release_notes_url: None,
            digest: DigestAlgorithm::Sha256,
        }
    }

    /// Least version that can be updated to this one.
    #[must_use]
    pub const fn min_version(mut self, version: u32) -> Self {
        self.min_version = Some(version);
        self
    }

    /// Highest version that can be updated to this one.
    #[must_use]
    pub const fn max_version(mut self, version: u32) -> Self {
        self.max_version = Some(version);
        self
    }

    /// Where release notes are, at most 256 bytes.
    #[must_use]
    pub fn release_notes_url(mut self, url: &str) -> Self {
        self.release_notes_url = Some(url.into());
        self
    }

    /// How the digest is computed.
    #[must_use]
    pub const fn digest(mut self, algorithm: DigestAlgorithm) -> Self {
        self.digest = algorithm;
        self
    }

    /// The whole file.
    ///
    /// # Errors
    /// What the reference's parser or tool would refuse.
    pub fn build(&self, payload: &[u8]) -> Result<Vec<u8>, BuildError> {
        let mut file = self.head(&[payload])?;
        file.extend_from_slice(payload);
        Ok(file)
    }

    /// What comes before a payload of these parts.
    ///
    /// # Errors
    /// What the reference's parser or tool would refuse.
    pub fn head(&self, payload: &[&[u8]]) -> Result<Vec<u8>, BuildError> {
        self.check()?;
        let algorithm = self.digest;
        let mut hasher =
            Hasher::new(algorithm).ok_or(BuildError::DigestNotBuiltIn { algorithm })?;
        let mut payload_size = 0;
        for part in payload {
            hasher.update(part);
            payload_size += part.len() as u64;
        }
        let digest = hasher.finish();

        let mut writer = Writer::default();
        writer.put(Tag::Anonymous, Value::Structure);
        let mut put = |field: Field, value: Value<'_>| {
            writer.put(Tag::Context(field.tag()), value);
        };
        put(Field::VendorId, Value::Unsigned(self.vendor_id.into()));
        put(Field::ProductId, Value::Unsigned(self.product_id.into()));
        put(Field::SoftwareVersion, Value::Unsigned(self.version.into()));
        put(
            Field::SoftwareVersionString,
            Value::Utf8(self.version_string.as_bytes()),
        );
        put(Field::PayloadSize, Value::Unsigned(payload_size));
        let bounds = [
            (Field::MinApplicableSoftwareVersion, self.min_version),
            (Field::MaxApplicableSoftwareVersion, self.max_version),
        ];
        for (field, bound) in bounds {
            if let Some(bound) = bound {
                put(field, Value::Unsigned(bound.into()));
            }
        }
        if let Some(url) = &self.release_notes_url {
            put(Field::ReleaseNotesUrl, Value::Utf8(url.as_bytes()));
        }
        put(
            Field::ImageDigestType,
            Value::Unsigned(algorithm.id().into()),
        );
        put(Field::ImageDigest, Value::Octets(digest.as_bytes()));
        writer.put(Tag::Anonymous, Value::End);
        let header = writer.into_bytes();

        let total_size = (FIXED_HEADER_LEN + header.len()) as u64 + payload_size;
        let fixed = FixedHeader {
            identifier: FILE_IDENTIFIER,
            total_size,
            // Far below the limit: the texts are bounded.
            header_size: header.len() as u32,
        };
        let mut head = fixed.emit().to_vec();
        head.extend(header);
        Ok(head)
    }

    fn check(&self) -> Result<(), BuildError> {
        check_text(
            Field::SoftwareVersionString,
            &self.version_string,
            MAX_VERSION_STRING_LEN,
        )?;
        if let Some(url) = &self.release_notes_url {
            check_text(Field::ReleaseNotesUrl, url, MAX_RELEASE_NOTES_URL_LEN)?;
            if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(BuildError::UrlNotAscii);
            }
        }
        let version = self.version;
        let bounds = [
            (Field::MinApplicableSoftwareVersion, self.min_version),
            (Field::MaxApplicableSoftwareVersion, self.max_version),
        ];
        for (field, bound) in bounds {
            if let Some(bound) = bound
                && bound >= version
            {
                return Err(BuildError::BoundNotBelowVersion {
                    field,
                    bound,
                    version,
                });
            }
        }
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && min > max
        {
            return Err(BuildError::MinAboveMax { min, max });
        }
        let algorithm = self.digest;
        if algorithm.is_truncated() {
            return Err(BuildError::ShortDigest { algorithm });
        }
        Ok(())
    }
}

fn check_text(field: Field, text: &str, max: usize) -> Result<(), BuildError> {
    let length = text.len();
    if length == 0 || length > max {
        return Err(BuildError::TextLength { field, length, max });
    }
    Ok(())
}
