//! The descriptor before an image.

use core::fmt;

use crate::matter::Text;

/// Bytes of a descriptor.
pub const DESCRIPTOR_LEN: usize = 132;
/// Bytes of each of its texts.
pub const DESCRIPTOR_TEXT_LEN: usize = 64;

/// What an image says of itself: any 132 bytes are a descriptor.
///
/// Nothing compares it with the header of the file. It stays in clear when the image behind it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// The version of the image.
    pub version: u32,
    /// The version for people, padded with zeros. A text of 64 bytes has no NUL behind it.
    pub version_string: [u8; DESCRIPTOR_TEXT_LEN],
    /// When it was built, padded with zeros; any text.
    pub build_date: [u8; DESCRIPTOR_TEXT_LEN],
}

/// A text does not fit into a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextTooLong {
    /// Which text.
    pub field: &'static str,
    /// Its bytes.
    pub length: usize,
}

impl fmt::Display for TextTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, length } = self;
        write!(
            f,
            "the {field} has {length} bytes, a descriptor has room for {DESCRIPTOR_TEXT_LEN}"
        )
    }
}

impl core::error::Error for TextTooLong {}

impl Descriptor {
    /// A descriptor with these texts.
    ///
    /// # Errors
    /// A text has more than 64 bytes.
    pub fn new(version: u32, version_string: &str, build_date: &str) -> Result<Self, TextTooLong> {
        Ok(Self {
            version,
            version_string: padded("version string", version_string)?,
            build_date: padded("build date", build_date)?,
        })
    }

    /// Reads a descriptor.
    #[must_use]
    pub fn parse(bytes: &[u8; DESCRIPTOR_LEN]) -> Self {
        let (&[v0, v1, v2, v3], texts) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let mut descriptor = Self {
            version: u32::from_le_bytes([v0, v1, v2, v3]),
            version_string: [0; DESCRIPTOR_TEXT_LEN],
            build_date: [0; DESCRIPTOR_TEXT_LEN],
        };
        let Self {
            version_string,
            build_date,
            ..
        } = &mut descriptor;
        for (to, from) in version_string.iter_mut().chain(build_date).zip(texts) {
            *to = *from;
        }
        descriptor
    }

    /// The bytes; inverse of [`parse`](Self::parse).
    #[must_use]
    pub fn emit(&self) -> [u8; DESCRIPTOR_LEN] {
        let mut bytes = [0; DESCRIPTOR_LEN];
        let version = self.version.to_le_bytes();
        let fields = version
            .iter()
            .chain(&self.version_string)
            .chain(&self.build_date);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = *from;
        }
        bytes
    }

    /// The version string up to its padding.
    #[must_use]
    pub fn version_text(&self) -> Text<'_> {
        Text::in_field(&self.version_string)
    }

    /// The build date up to its padding.
    #[must_use]
    pub fn build_date_text(&self) -> Text<'_> {
        Text::in_field(&self.build_date)
    }

    /// Whether both texts are printable ASCII and have nothing but zeros behind them: what every tool writes. Where a descriptor
    /// is only a convention, this says whether the bytes look like one.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let is_text = |field: &[u8; DESCRIPTOR_TEXT_LEN]| {
            let text = Text::in_field(field).as_bytes();
            let printable = |byte: &u8| (b' '..=b'~').contains(byte);
            text.iter().all(printable) && field.iter().skip(text.len()).all(|byte| *byte == 0)
        };
        is_text(&self.version_string)
            && is_text(&self.build_date)
            && !self.version_text().is_empty()
    }
}

fn padded(field: &'static str, text: &str) -> Result<[u8; DESCRIPTOR_TEXT_LEN], TextTooLong> {
    let length = text.len();
    if length > DESCRIPTOR_TEXT_LEN {
        return Err(TextTooLong { field, length });
    }
    let mut bytes = [0; DESCRIPTOR_TEXT_LEN];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn descriptors_parse_and_emit_as_inverse(bytes: [u8; DESCRIPTOR_LEN]) {
            proptest::prop_assert_eq!(Descriptor::parse(&bytes).emit(), bytes);
        }
    }

    #[test]
    fn a_text_may_fill_its_field_and_no_more() {
        let full = "v".repeat(64);
        let descriptor = Descriptor::new(0x0102_0304, &full, "2023-01-01").unwrap();
        assert_eq!(descriptor.version_text().as_str(), Some(&full[..]));
        assert_eq!(descriptor.emit()[..5], [4, 3, 2, 1, b'v']);
        assert!(descriptor.is_plausible());
        let error = Descriptor::new(1, "1", &"d".repeat(65)).unwrap_err();
        assert_eq!((error.field, error.length), ("build date", 65));
        assert!(!Descriptor::parse(&[7; 132]).is_plausible());
        assert!(!Descriptor::parse(&[0; 132]).is_plausible());
    }
}
