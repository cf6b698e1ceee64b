//! What is in an image that somebody uploads: the one place where bytes of firmware are judged.
//!
//! The image is looked at while it streams by; nothing of it is kept. An app that passes is whole: its structure ends where
//! the file ends, and a digest or checksum inside it holds. So is a Matter OTA image. Other data for a partition has no
//! structure that is known here.

mod data;
mod esp32;
mod esp8266;
mod gzip;
mod matter;

use md5::Digest as _;

use super::file_system::FileSystem;
use super::release::{Encoding, Family, MatterHeader};
use crate::digest::{Md5, Sha256};
use data::DataHead;
use esp32::Esp32;
use esp8266::Esp8266;
use gzip::Gzip;
use matter::Matter;
pub(crate) use matter::{MatterImage, PARTITION as MATTER_PARTITION};

/// What was found in an acceptable image.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) size: u64,
    /// Of the file.
    pub(crate) md5: Md5,
    /// Of the file.
    pub(crate) sha256: Sha256,
    pub(crate) encoding: Encoding,
    pub(crate) contents: Contents,
}

impl Inspected {
    /// What a Matter OTA image says of itself.
    pub(crate) fn matter(&self) -> Option<&MatterHeader> {
        match &self.contents {
            Contents::Matter(image) => Some(&image.says),
            Contents::App(_) | Contents::Data(_) => None,
        }
    }
}

/// What an image is.
#[derive(Debug, Clone)]
pub(crate) enum Contents {
    App(App),
    Data(Data),
    Matter(MatterImage),
}

/// What is known of data for a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data {
    /// `None`: none that its bytes give away.
    pub(crate) file_system: Option<FileSystem>,
    /// It begins with the header of an image that a boot loader starts: probably a mistake.
    pub(crate) starts_like_an_app: bool,
}

/// What the app in a file says of itself, and how a device that runs it is known.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) family: Family,
    pub(crate) chip_id: Option<u16>,
    pub(crate) version: Option<String>,
    pub(crate) project: Option<String>,
    /// What a device that runs the image may report as the MD5 of its sketch; at least one.
    pub(crate) running_md5: Vec<Md5>,
    /// What it may report as the SHA-256 of its sketch, beside that of the file.
    pub(crate) running_sha256: Option<Sha256>,
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
    format: Format,
    max_unpacked: u64,
}

enum Format {
    /// Not enough bytes yet to tell.
    Unknown(Vec<u8>),
    Esp32(Box<Esp32>),
    Esp8266(Box<Esp8266>),
    Gzip(Box<Gzip>),
    Data(DataHead),
    Matter(Box<Matter>),
}

/// First byte of an app image of either family.
const MAGIC: u8 = 0xE9;

/// First bytes of a gzip file (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Enough to tell the families apart, and the whole header of an ESP32 image.
const HEAD: usize = 24;

impl Inspector {
    /// For an app, or for a Matter OTA image, which its first bytes tell apart. `max_unpacked`: most bytes that a packed image may unpack to.
    pub(crate) fn of_app(max_unpacked: u64) -> Self {
        Self::new(Format::Unknown(Vec::with_capacity(HEAD)), max_unpacked)
    }

    /// For data, which is never unpacked.
    pub(crate) fn of_data() -> Self {
        Self::new(Format::Data(DataHead::default()), 0)
    }

    /// For what has to be a Matter OTA image.
    pub(crate) fn of_matter() -> Self {
        Self::new(Format::Matter(Box::default()), 0)
    }

    fn new(format: Format, max_unpacked: u64) -> Self {
        Self {
            size: 0,
            md5: md5::Md5::new(),
            sha256: sha2::Sha256::new(),
            format,
            max_unpacked,
        }
    }

    /// Takes the next piece. What is wrong is said as soon as it can be known.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<(), BadImage> {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.sha256.update(bytes);
        let Format::Unknown(head) = &mut self.format else {
            return self.format.update(bytes);
        };
        let (missing, rest) = bytes.split_at(HEAD.saturating_sub(head.len()).min(bytes.len()));
        head.extend_from_slice(missing);
        match head.as_slice() {
            [] | [MAGIC, ..] | [0x1F] | [0x1F, 0x8B, ..] => {}
            head if head.starts_with(&matter::MAGIC) || matter::MAGIC.starts_with(head) => {}
            [first, ..] => {
                return Err(BadImage(format!(
                    "it starts with 0x{first:02x}, but an app image starts with 0xe9 (or 0x1f 0x8b, gzip for ESP8266; a Matter OTA image with 0x1e 0xf1 0xee 0x1b)"
                )));
            }
        }
        if head.len() == HEAD {
            self.settle()?;
            self.format.update(rest)?;
        }
        Ok(())
    }

    /// Judges the whole.
    pub(crate) fn finish(mut self) -> Result<Inspected, BadImage> {
        if self.size == 0 {
            return Err(BadImage("it is empty".to_owned()));
        }
        self.settle()?;
        let (encoding, contents) = match self.format {
            Format::Unknown(_) => {
                return Err(BadImage("it is too short to be an image".to_owned()));
            }
            Format::Esp32(image) => (Encoding::Plain, Contents::App(image.finish()?)),
            Format::Esp8266(image) => (Encoding::Plain, Contents::App(image.finish()?)),
            Format::Gzip(image) => (Encoding::Gzip, Contents::App(image.finish()?)),
            Format::Matter(image) => (Encoding::Plain, Contents::Matter(image.finish()?)),
            Format::Data(head) => (Encoding::Plain, Contents::Data(head.finish())),
        };
        Ok(Inspected {
            size: self.size,
            md5: Md5(self.md5.finalize().into()),
            sha256: Sha256(self.sha256.finalize().into()),
            encoding,
            contents,
        })
    }

    /// Decides by the first bytes what this is.
    fn settle(&mut self) -> Result<(), BadImage> {
        let Format::Unknown(head) = &mut self.format else {
            return Ok(());
        };
        let head = std::mem::take(head);
        self.format = if head.starts_with(&matter::MAGIC[..1]) {
            // The other bytes of the magic number have been looked at, or are missing.
            Format::Matter(Box::default())
        } else if head.starts_with(&GZIP_MAGIC) {
            Format::Gzip(Box::new(Gzip::new(self.max_unpacked)))
        } else if esp8266::looks_like(&head) {
            Format::Esp8266(Box::new(Esp8266::new()))
        } else {
            // Whose errors are the better ones for anything that is neither.
            Format::Esp32(Box::new(Esp32::new(&head)))
        };
        self.format.update(&head)
    }
}

impl Format {
    fn update(&mut self, bytes: &[u8]) -> Result<(), BadImage> {
        match self {
            Self::Unknown(_) => Ok(()),
            Self::Esp32(image) => image.update(bytes),
            Self::Esp8266(image) => image.update(bytes),
            Self::Gzip(image) => image.update(bytes),
            Self::Matter(image) => image.update(bytes),
            Self::Data(head) => {
                head.update(bytes);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
