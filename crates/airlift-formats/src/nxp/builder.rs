//! Makes payloads, byte for byte as NXP's tool does.

use alloc::vec::Vec;
use core::fmt;

use super::{
    Content, DAC_KEY_LEN, Descriptor, FactoryData, FactoryField, MAX_FACTORY_DATA_LEN, Tlv, tag,
};

/// Why a payload cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The tag is reserved, or one that has its own function here.
    ReservedTag {
        /// That tag.
        tag: u32,
    },
    /// The tag is there already.
    DuplicateTag {
        /// That tag.
        tag: u32,
    },
    /// An application or boot loader is empty.
    EmptyImage {
        /// Its tag.
        tag: u32,
    },
    /// A value has 4 GiB or more.
    TooLong {
        /// Its tag.
        tag: u32,
    },
    /// Factory data without any field.
    NoFactoryData,
    /// A field of the factory data is empty, or a private key has not 32 bytes.
    FactoryFieldLength {
        /// The field.
        field: FactoryField,
        /// Its bytes.
        length: usize,
    },
    /// The factory data do not fit into the section that they belong to.
    FactoryDataTooLong {
        /// Their bytes.
        length: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ReservedTag { tag } => write!(
                f,
                "tag {tag} is reserved: custom parts have the tags from {}, or {} to {}",
                tag::FIRST_CUSTOM,
                tag::FIRST_EXTRA,
                tag::LAST_EXTRA
            ),
            Self::DuplicateTag { tag } => write!(f, "tag {tag} is given twice"),
            Self::EmptyImage { tag } => {
                write!(f, "tag {tag}: the {} is empty", Content::of(tag).name())
            }
            Self::TooLong { tag } => write!(f, "tag {tag}: the value has 4 GiB or more"),
            Self::NoFactoryData => f.write_str("the factory data have no field"),
            Self::FactoryFieldLength {
                field: FactoryField::DacPrivateKey,
                length,
            } => write!(
                f,
                "the DAC private key has {length} bytes, it has to have {DAC_KEY_LEN}"
            ),
            Self::FactoryFieldLength { field, .. } => write!(f, "the {} is empty", field.name()),
            Self::FactoryDataTooLong { length } => write!(
                f,
                "the factory data have {length} bytes, at most {MAX_FACTORY_DATA_LEN} fit"
            ),
        }
    }
}

impl core::error::Error for BuildError {}

/// Makes a payload of several parts.
///
/// They come in the order of NXP's tool, whatever the order of the calls: custom ones (in the order of the calls), factory data, boot loader, application.
///
/// ```
/// use airlift_formats::nxp::{Descriptor, PayloadBuilder};
///
/// let mut builder = PayloadBuilder::default();
/// builder.application(&Descriptor::new(2, "2.0", "2026-11-26")?, b"app")?;
/// builder.custom(100, b"", b"sounds")?;
/// let payload = builder.build();
/// assert_eq!(payload.len(), 8 + 6 + 8 + 132 + 3);
/// assert_eq!(payload[..8], [100, 0, 0, 0, 6, 0, 0, 0]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PayloadBuilder {
    customs: Vec<(u32, Vec<u8>)>,
    factory_data: Option<Vec<u8>>,
    bootloader: Option<Vec<u8>>,
    application: Option<Vec<u8>>,
    #[cfg(feature = "nxp-legacy")]
    key: Option<super::legacy::Key>,
}

impl PayloadBuilder {
    /// The application.
    ///
    /// # Errors
    /// It is empty, too long, or there already.
    pub fn application(
        &mut self,
        descriptor: &Descriptor,
        image: &[u8],
    ) -> Result<&mut Self, BuildError> {
        let value = firmware(tag::APPLICATION, descriptor, image)?;
        put(tag::APPLICATION, &mut self.application, value)?;
        Ok(self)
    }

    /// The second-stage boot loader.
    ///
    /// # Errors
    /// It is empty, too long, or there already.
    pub fn bootloader(
        &mut self,
        descriptor: &Descriptor,
        image: &[u8],
    ) -> Result<&mut Self, BuildError> {
        let value = firmware(tag::BOOTLOADER, descriptor, image)?;
        put(tag::BOOTLOADER, &mut self.bootloader, value)?;
        Ok(self)
    }

    /// The factory data.
    ///
    /// # Errors
    /// There is no field, a field has a wrong length, they are too long, or there already.
    pub fn factory_data(&mut self, data: &FactoryData<'_>) -> Result<&mut Self, BuildError> {
        let mut any = false;
        for (field, value) in data.fields() {
            any = true;
            let length = value.len();
            let fits = match field {
                FactoryField::DacPrivateKey => length == DAC_KEY_LEN,
                _ => length > 0,
            };
            if !fits {
                return Err(BuildError::FactoryFieldLength { field, length });
            }
        }
        if !any {
            return Err(BuildError::NoFactoryData);
        }
        let value = data.emit();
        // Encryption pads to a block.
        let length = value.len().next_multiple_of(16);
        if length > MAX_FACTORY_DATA_LEN {
            return Err(BuildError::FactoryDataTooLong { length });
        }
        put(tag::FACTORY_DATA, &mut self.factory_data, value)?;
        Ok(self)
    }

    /// A custom part: a descriptor of any kind, or none, and what follows it.
    ///
    /// # Errors
    /// The tag is reserved, or there already; the value is too long.
    pub fn custom(
        &mut self,
        tag: u32,
        descriptor: &[u8],
        content: &[u8],
    ) -> Result<&mut Self, BuildError> {
        if !matches!(Content::of(tag), Content::Extra | Content::Custom) {
            return Err(BuildError::ReservedTag { tag });
        }
        if self.customs.iter().any(|(there, _)| *there == tag) {
            return Err(BuildError::DuplicateTag { tag });
        }
        self.customs.push((tag, joined(tag, descriptor, content)?));
        Ok(self)
    }

    /// Encrypts as the devices of old expect it: application, boot loader and factory data. See [`legacy`](super::legacy).
    #[cfg(feature = "nxp-legacy")]
    pub const fn encrypt(&mut self, key: super::legacy::Key) -> &mut Self {
        self.key = Some(key);
        self
    }

    /// Whether there is no part at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.customs.is_empty()
            && self.factory_data.is_none()
            && self.bootloader.is_none()
            && self.application.is_none()
    }

    /// The payload.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        #[cfg(feature = "nxp-legacy")]
        let key = self.key;
        let single = [
            (tag::FACTORY_DATA, self.factory_data),
            (tag::BOOTLOADER, self.bootloader),
            (tag::APPLICATION, self.application),
        ];
        let single = single
            .into_iter()
            .filter_map(|(tag, value)| Some((tag, value?)));
        let mut payload = Vec::new();
        for (tag, value) in self.customs.into_iter().chain(single) {
            #[cfg(feature = "nxp-legacy")]
            let value = encrypted(key.as_ref(), tag, value);
            let tlv = Tlv {
                tag,
                // Bounded by `joined`, padding included.
                length: value.len() as u32,
                offset: payload.len() as u64,
            };
            payload.extend(tlv.emit());
            payload.extend(value);
        }
        payload
    }
}

#[cfg(feature = "nxp-legacy")]
fn encrypted(key: Option<&super::legacy::Key>, tag: u32, mut value: Vec<u8>) -> Vec<u8> {
    use super::legacy::{BLOCK_LEN, Cipher, PADDING, clear_len};
    if let (Some(key), Some(clear)) = (key, clear_len(tag)) {
        let content = value.len().saturating_sub(clear);
        let padded = clear.saturating_add(content.next_multiple_of(BLOCK_LEN));
        value.resize(padded, PADDING);
        if let Some(content) = value.get_mut(clear..) {
            Cipher::new(key).apply(content);
        }
    }
    value
}

fn firmware(tag: u32, descriptor: &Descriptor, image: &[u8]) -> Result<Vec<u8>, BuildError> {
    if image.is_empty() {
        return Err(BuildError::EmptyImage { tag });
    }
    joined(tag, &descriptor.emit(), image)
}

fn joined(tag: u32, descriptor: &[u8], content: &[u8]) -> Result<Vec<u8>, BuildError> {
    // With room for the padding of encryption.
    let most = u32::MAX as usize - 16;
    match descriptor.len().checked_add(content.len()) {
        Some(length) if length <= most => Ok([descriptor, content].concat()),
        _ => Err(BuildError::TooLong { tag }),
    }
}

fn put(tag: u32, place: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), BuildError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(BuildError::DuplicateTag { tag }),
    }
}
