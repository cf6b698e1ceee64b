//! Makes payloads, byte for byte as NXP's tool does.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

use super::{
    Content, DAC_KEY_LEN, DESCRIPTOR_LEN, Descriptor, FactoryData, FactoryField,
    MAX_FACTORY_DATA_LEN, Manifest, ManifestError, ManifestPart, Tlv, tag,
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
    /// The descriptor of a part is longer than a manifest can say.
    DescriptorTooLong {
        /// The tag of the part.
        tag: u32,
    },
    /// There is a rule for a part that is not there, or two for the same one.
    Rule {
        /// The tag of that part.
        tag: u32,
    },
    /// A part requires one that is not there.
    UnknownRequirement {
        /// The tag of the part.
        tag: u32,
        /// The tag that it requires.
        requires: u32,
    },
    /// The parts cannot be applied as the rules say.
    Manifest(ManifestError),
    /// The legacy encryption hides what the digests of a manifest are over.
    ManifestEncrypted,
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
            Self::DescriptorTooLong { tag } => write!(
                f,
                "tag {tag}: the descriptor has more than the {} bytes that a manifest can say",
                u16::MAX
            ),
            Self::Rule { tag } => write!(
                f,
                "there is a rule for tag {tag}, and no such part, or another rule for it"
            ),
            Self::UnknownRequirement { tag, requires } => {
                write!(f, "tag {tag} requires tag {requires}, and there is no such part")
            }
            Self::Manifest(error) => error.fmt(f),
            Self::ManifestEncrypted => f.write_str(
                "the legacy encryption and a manifest do not go together: its digests are those of the plain parts",
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
    customs: Vec<Custom>,
    factory_data: Option<Vec<u8>>,
    bootloader: Option<Vec<u8>>,
    application: Option<Vec<u8>>,
    #[cfg(feature = "nxp-legacy")]
    key: Option<super::legacy::Key>,
}

#[derive(Debug, Clone)]
struct Custom {
    tag: u32,
    descriptor_len: usize,
    value: Vec<u8>,
}

/// When a part is applied: for [`build_with_manifest`](PayloadBuilder::build_with_manifest).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRule<'r> {
    /// Its tag.
    pub tag: u32,
    /// See [`ManifestPart::order`]; 0 for parts without a rule.
    pub order: u16,
    /// The tags of the parts that have to be applied before it.
    pub requires: &'r [u32],
}

/// A part as it goes into the payload.
struct Value {
    tag: u32,
    descriptor_len: usize,
    bytes: Vec<u8>,
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
        if self.customs.iter().any(|custom| custom.tag == tag) {
            return Err(BuildError::DuplicateTag { tag });
        }
        self.customs.push(Custom {
            tag,
            descriptor_len: descriptor.len(),
            value: joined(tag, descriptor, content)?,
        });
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
        let mut payload = Vec::new();
        for value in self.values() {
            value.emit(&mut payload);
        }
        payload
    }

    /// The payload, with a [manifest](Manifest) in front of its parts.
    ///
    /// # Errors
    /// There are more parts than a manifest can have; the rules are for parts that are not there, or cannot be followed; the parts are encrypted.
    pub fn build_with_manifest(self, rules: &[PartRule<'_>]) -> Result<Vec<u8>, BuildError> {
        #[cfg(feature = "nxp-legacy")]
        if self.key.is_some() {
            return Err(BuildError::ManifestEncrypted);
        }
        let values = self.values();
        for (index, PartRule { tag, .. }) in rules.iter().enumerate() {
            let again = rules.iter().take(index).any(|rule| rule.tag == *tag);
            if again || !values.iter().any(|value| value.tag == *tag) {
                return Err(BuildError::Rule { tag: *tag });
            }
        }
        let parts = values
            .iter()
            .map(|value| value.manifest_part(&values, rules));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let manifest = Value {
            tag: tag::MANIFEST,
            descriptor_len: 0,
            bytes: Manifest::emit(&parts).map_err(BuildError::Manifest)?,
        };
        let mut payload = Vec::new();
        for value in [manifest].into_iter().chain(values) {
            value.emit(&mut payload);
        }
        Ok(payload)
    }

    /// The parts in their order.
    fn values(self) -> Vec<Value> {
        #[cfg(feature = "nxp-legacy")]
        let key = self.key;
        let customs = self.customs.into_iter().map(|custom| Value {
            tag: custom.tag,
            descriptor_len: custom.descriptor_len,
            bytes: custom.value,
        });
        let single = [
            (tag::FACTORY_DATA, 0, self.factory_data),
            (tag::BOOTLOADER, DESCRIPTOR_LEN, self.bootloader),
            (tag::APPLICATION, DESCRIPTOR_LEN, self.application),
        ];
        let single = single
            .into_iter()
            .filter_map(|(tag, descriptor_len, bytes)| {
                Some(Value {
                    tag,
                    descriptor_len,
                    bytes: bytes?,
                })
            });
        let values = customs.chain(single);
        #[cfg(feature = "nxp-legacy")]
        let values = values.map(|value| Value {
            bytes: encrypted(key.as_ref(), value.tag, value.bytes),
            ..value
        });
        values.collect()
    }
}

impl Value {
    fn emit(&self, payload: &mut Vec<u8>) {
        let tlv = Tlv {
            tag: self.tag,
            // Bounded by `joined`, padding included.
            length: self.bytes.len() as u32,
            offset: payload.len() as u64,
        };
        payload.extend(tlv.emit());
        payload.extend(&self.bytes);
    }

    fn manifest_part(
        &self,
        values: &[Self],
        rules: &[PartRule<'_>],
    ) -> Result<ManifestPart, BuildError> {
        let tag = self.tag;
        let rule = rules.iter().find(|rule| rule.tag == tag);
        let mut requires = 0;
        for needed in rule.map_or(&[][..], |rule| rule.requires) {
            let place = values.iter().position(|value| value.tag == *needed);
            requires |= Manifest::bit(place.ok_or(BuildError::UnknownRequirement {
                tag,
                requires: *needed,
            })?);
        }
        let content = self.bytes.get(self.descriptor_len..).unwrap_or_default();
        Ok(ManifestPart {
            tag,
            length: self.bytes.len() as u32,
            descriptor_len: u16::try_from(self.descriptor_len)
                .map_err(|_| BuildError::DescriptorTooLong { tag })?,
            order: rule.map_or(0, |rule| rule.order),
            requires,
            sha256: Sha256::digest(content).into(),
        })
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
