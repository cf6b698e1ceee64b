//! What is in an image that somebody uploads: the one place where bytes of firmware are judged.

use md5::Digest as _;

use super::release::{Encoding, Family};
use crate::digest::{Md5, Sha256};

/// What was found in an acceptable image.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) size: u64,
    pub(crate) md5: Md5,
    pub(crate) sha256: Sha256,
    pub(crate) running_md5: Md5,
    pub(crate) running_sha256: Option<Sha256>,
    pub(crate) family: Family,
    pub(crate) chip_id: Option<u16>,
    pub(crate) encoding: Encoding,
    pub(crate) image_version: Option<String>,
    pub(crate) image_project: Option<String>,
}

/// Why an image is not acceptable: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadImage(pub(crate) String);

/// Takes an image in pieces of any size.
pub(crate) struct Inspector {
    size: u64,
    md5: md5::Md5,
    sha256: sha2::Sha256,
    head: Vec<u8>,
}

/// Image header, first segment header and app descriptor of an ESP32 image.
const HEAD: usize = 24 + 8 + 256;

impl Inspector {
    pub(crate) fn new() -> Self {
        Self {
            size: 0,
            md5: md5::Md5::new(),
            sha256: sha2::Sha256::new(),
            head: Vec::with_capacity(HEAD),
        }
    }

    /// Takes the next piece. An error can come as soon as the first bytes are wrong.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<(), BadImage> {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.sha256.update(bytes);
        let missing = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend(bytes.iter().take(missing));
        match self.head.first() {
            None | Some(0xE9) => Ok(()),
            Some(other) => Err(BadImage(format!(
                "the first byte is 0x{other:02x}; an app image starts with 0xe9"
            ))),
        }
    }

    /// Judges the whole.
    pub(crate) fn finish(self) -> Result<Inspected, BadImage> {
        let md5 = Md5(self.md5.finalize().into());
        let is_esp32 = self.head.get(32..36) == Some(&[0x32, 0x54, 0xCD, 0xAB]);
        let chip_id = self
            .head
            .get(12..14)
            .and_then(|id| id.try_into().ok())
            .map(u16::from_le_bytes);
        Ok(Inspected {
            size: self.size,
            md5,
            sha256: Sha256(self.sha256.finalize().into()),
            running_md5: md5,
            running_sha256: None,
            family: if is_esp32 {
                Family::Esp32
            } else {
                Family::Esp8266
            },
            chip_id: chip_id.filter(|_| is_esp32),
            encoding: Encoding::Plain,
            image_version: None,
            image_project: None,
        })
    }
}
