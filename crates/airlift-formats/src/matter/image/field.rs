//! The fields of a header.

use core::fmt;

/// A field of the header. Its number is its tag; fields come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Field {
    /// Who made the device: an unsigned integer of 16 bits.
    VendorId = 0,
    /// What the device is: an unsigned integer of 16 bits.
    ProductId = 1,
    /// The version: an unsigned integer of 32 bits.
    SoftwareVersion = 2,
    /// The version for people: a UTF-8 string of 1 to 64 bytes.
    SoftwareVersionString = 3,
    /// Bytes of the payload: an unsigned integer of 64 bits.
    PayloadSize = 4,
    /// Least version that can be updated: an unsigned integer of 32 bits; optional.
    MinApplicableSoftwareVersion = 5,
    /// Highest version that can be updated: an unsigned integer of 32 bits; optional.
    MaxApplicableSoftwareVersion = 6,
    /// Where release notes are: a UTF-8 string of at most 256 bytes; optional.
    ReleaseNotesUrl = 7,
    /// How the digest is computed: an unsigned integer of 8 bits.
    ImageDigestType = 8,
    /// The digest of the payload: a byte string.
    ImageDigest = 9,
}

impl Field {
    /// All fields in their order.
    pub const ALL: [Self; 10] = [
        Self::VendorId,
        Self::ProductId,
        Self::SoftwareVersion,
        Self::SoftwareVersionString,
        Self::PayloadSize,
        Self::MinApplicableSoftwareVersion,
        Self::MaxApplicableSoftwareVersion,
        Self::ReleaseNotesUrl,
        Self::ImageDigestType,
        Self::ImageDigest,
    ];

    /// The field with this tag.
    #[must_use]
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.get(usize::from(tag)).copied()
    }

    /// Its tag.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// Whether every header has it.
    #[must_use]
    pub const fn is_mandatory(self) -> bool {
        !matches!(
            self,
            Self::MinApplicableSoftwareVersion
                | Self::MaxApplicableSoftwareVersion
                | Self::ReleaseNotesUrl
        )
    }

    /// Its name in the Matter specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VendorId => "VendorID",
            Self::ProductId => "ProductID",
            Self::SoftwareVersion => "SoftwareVersion",
            Self::SoftwareVersionString => "SoftwareVersionString",
            Self::PayloadSize => "PayloadSize",
            Self::MinApplicableSoftwareVersion => "MinApplicableSoftwareVersion",
            Self::MaxApplicableSoftwareVersion => "MaxApplicableSoftwareVersion",
            Self::ReleaseNotesUrl => "ReleaseNotesURL",
            Self::ImageDigestType => "ImageDigestType",
            Self::ImageDigest => "ImageDigest",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (tag {})", self.name(), self.tag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_places() {
        for (index, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(field.tag()), index);
            assert_eq!(Field::from_tag(field.tag()), Some(field));
        }
        assert_eq!(Field::from_tag(10), None);
    }
}
