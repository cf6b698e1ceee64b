//! What is odd about a header without being wrong.

use core::fmt;

use super::Header;

/// Something that is allowed, and probably not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// Vendor 0: devices of any vendor. The official tool makes no such image.
    AnyVendor,
    /// Product 0: any product of the vendor. The official tool makes no such image.
    AnyProduct,
    /// The least version that can be updated is above the highest one: no device can.
    NoVersionApplicable,
    /// A device that can be updated has this version or a higher one already.
    BoundsNotBelowVersion,
    /// The release notes are not at an `https://` address.
    ReleaseNotesNotHttps,
    /// The version string has a byte 0x1F in it: the reference shows only what is before it.
    VersionStringIsCut,
    /// Bytes follow the structure within the header's size: nobody reads them.
    BytesBehindStructure {
        /// How many.
        count: u32,
    },
    /// The digest has fewer than the 256 bits that the Matter specification recommends.
    DigestBelow256Bits,
}

/// The remarks on a header.
pub type Remarks = core::iter::Flatten<core::array::IntoIter<Option<Remark>, 8>>;

impl Header<'_> {
    /// What is odd about it: worth a word to whoever made the file, and no reason to refuse it.
    pub fn remarks(&self) -> Remarks {
        let min = self.min_applicable_software_version;
        let max = self.max_applicable_software_version;
        let url = self.release_notes_url.map(|url| url.as_bytes());
        let version_string = self.software_version_string.as_bytes();
        let applies = match (min, max) {
            (Some(min), Some(max)) => min <= max,
            _ => true,
        };
        let below = |bound: Option<u32>| bound.is_none_or(|bound| bound < self.software_version);
        [
            (self.vendor_id == 0).then_some(Remark::AnyVendor),
            (self.product_id == 0).then_some(Remark::AnyProduct),
            (!applies).then_some(Remark::NoVersionApplicable),
            (!below(min) || !below(max)).then_some(Remark::BoundsNotBelowVersion),
            url.is_some_and(|url| !url.starts_with(b"https://"))
                .then_some(Remark::ReleaseNotesNotHttps),
            version_string
                .contains(&0x1F)
                .then_some(Remark::VersionStringIsCut),
            (self.bytes_behind > 0).then_some(Remark::BytesBehindStructure {
                count: self.bytes_behind,
            }),
            (self.digest.len() < 32).then_some(Remark::DigestBelow256Bits),
        ]
        .into_iter()
        .flatten()
    }
}

impl Remark {
    /// A word for it that never changes, for JSON.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::AnyVendor => "any-vendor",
            Self::AnyProduct => "any-product",
            Self::NoVersionApplicable => "no-version-applicable",
            Self::BoundsNotBelowVersion => "bounds-not-below-version",
            Self::ReleaseNotesNotHttps => "release-notes-not-https",
            Self::VersionStringIsCut => "version-string-is-cut",
            Self::BytesBehindStructure { .. } => "bytes-behind-structure",
            Self::DigestBelow256Bits => "digest-below-256-bits",
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyVendor => f.write_str("vendor 0 stands for every vendor"),
            Self::AnyProduct => f.write_str("product 0 stands for every product"),
            Self::NoVersionApplicable => f.write_str(
                "no device can be updated: the least applicable version is above the highest one",
            ),
            Self::BoundsNotBelowVersion => {
                f.write_str("the applicable versions reach up to the image's own version or beyond")
            }
            Self::ReleaseNotesNotHttps => {
                f.write_str("the release notes are not at an https:// address")
            }
            Self::VersionStringIsCut => {
                f.write_str("the version string has a byte 0x1f in it, where the reference cuts it")
            }
            Self::BytesBehindStructure { count } => write!(
                f,
                "{count} bytes follow the header's structure, which nobody reads"
            ),
            Self::DigestBelow256Bits => {
                f.write_str("the digest has fewer than the 256 bits that are recommended")
            }
        }
    }
}
