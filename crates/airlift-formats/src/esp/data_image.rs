//! Data in an app slot, behind a header that looks like an app's until it is verified: the files of the
//! [TWO-STEP OTA demo](https://github.com/hyansuper/esp-two_step_http_ota).
//!
//! ESP-IDF before 5.5 updates app partitions only, and makes bootable what it has verified. So the demo's data file starts
//! like an app, and counts on failing the check at the end:
//!
//! ```text
//! 0    E9               as `esp_ota_write` wants it
//! 1    zeros            no segments, and so nothing that a checksum covers
//! 12   chip (2 B)       as `esp_https_ota` wants it
//! 14   zeros            no limits of the chip's revision, no SHA-256
//! 31   0                the checksum of an image without segments: EF would be right
//! 32   the data         here the app maps them
//! ...  zeros up to 1024 less than that `esp_https_ota` does not take for a header
//! ```
//!
//! The verdict falls at byte 31 and does not depend on the data. Any other header may become bootable: one that declares a
//! segment has a checksum of 8 bits between the data and the boot loader, which one file in 256 passes. Therefore
//! [`FakeHeader::parse`] and [`DataImage::parse`] take exactly this header and no other, and [`idf_verdict`] proves it with
//! the [`Verifier`] of app images.
//!
//! Nothing here is signed or hashed, and the length of the data is not recorded ([`View::data_len`]). The format is for
//! devices that read it already.

mod error;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use super::app_image::{
    self, CHECKSUM_SEED, ChipId, Expect, Header, ImageError, Kind, MAGIC, SEGMENT_HEADER_LEN,
    Summary, Verifier,
};

pub use error::DataImageError;

/// Bytes before the data: those of an image header and of a segment header.
pub const HEADER_LEN: usize = app_image::HEADER_LEN + SEGMENT_HEADER_LEN;
/// Bytes that a file has at least; zeros fill it up.
pub const MIN_LEN: usize = 1024;
/// Offset in the file at which an app descriptor of ESP-IDF v6.1 has the SPI flash mode.
pub const SPI_MODE_OFFSET: usize = HEADER_LEN + 181;
/// How many characters of the data the demo's page shows.
pub const PREVIEW_LEN: usize = 10;

/// The header in front of the data. All that it can say is the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FakeHeader {
    /// The chip that has to take the file for one of its apps.
    pub chip: ChipId,
}

impl FakeHeader {
    /// Reads a header that cannot become bootable, whatever follows it. Needs no verifier, so that a device can afford it
    /// before it erases anything.
    ///
    /// # Errors
    /// The first thing that is not as it has to be: what ESP-IDF's verdict rests on comes first.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, DataImageError> {
        let &[magic, segment_count, ..] = bytes;
        let &[.., checksum] = bytes;
        let header = View(bytes).header();
        let hash_appended = header.map_or(0, |header| header.hash_appended);
        let chip = header.map_or(ChipId(0), |header| header.chip);
        if magic != MAGIC {
            return Err(DataImageError::Magic { found: magic });
        }
        if segment_count != 0 {
            return Err(DataImageError::Segments {
                found: segment_count,
            });
        }
        if hash_appended != 0 {
            return Err(DataImageError::HashAppended {
                found: hash_appended,
            });
        }
        if checksum == CHECKSUM_SEED {
            return Err(DataImageError::ChecksumByte);
        }
        let parsed = Self { chip };
        let differences = bytes.iter().zip(parsed.emit());
        match (0u8..).zip(differences).find(|(_, (is, must))| *is != must) {
            Some((offset, (&found, _))) => Err(DataImageError::HeaderByte { offset, found }),
            None => Ok(parsed),
        }
    }

    /// The bytes of the header; inverse of [`parse`](Self::parse). The data follow, then zeros ([`padding_len`]).
    #[must_use]
    pub const fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let [low, high] = self.chip.0.to_le_bytes();
        [bytes[0], bytes[12], bytes[13]] = [MAGIC, low, high];
        bytes
    }
}

/// How many zeros follow data of this length.
#[must_use]
pub const fn padding_len(data_len: usize) -> usize {
    (MIN_LEN - HEADER_LEN).saturating_sub(data_len)
}

/// The file for these data, in one piece.
///
/// ```
/// use airlift_formats::esp::{app_image::ChipId, data_image::{DataImage, build, idf_verdict}};
///
/// let file = build(ChipId::ESP32C3, b"a table of tones");
/// let image = DataImage::parse(&file)?;
/// assert_eq!((image.chip(), image.data()), (ChipId::ESP32C3, &b"a table of tones"[..]));
/// assert!(idf_verdict(&file).is_err(), "it cannot be booted");
/// # Ok::<(), airlift_formats::esp::data_image::DataImageError>(())
/// ```
#[cfg(feature = "alloc")]
#[must_use]
pub fn build(chip: ChipId, data: &[u8]) -> Vec<u8> {
    let mut file = FakeHeader { chip }.emit().to_vec();
    file.extend_from_slice(data);
    file.resize(file.len() + padding_len(data.len()), 0);
    file
}

/// What ESP-IDF's code says to these bytes in an app slot of their chip, flash behind them erased. A data image wants the
/// error.
///
/// Judged with nothing known that could be a reason to refuse: neither revision of the chip nor size of the slot.
///
/// # Errors
/// Why ESP-IDF refuses to boot it.
pub fn idf_verdict(bytes: &[u8]) -> Result<Summary, ImageError> {
    let mut verifier = Verifier::new(Expect::idf(Kind::App));
    verifier.update(bytes)?;
    verifier.finish()
}

/// A file that is a data image: it has the one header that cannot become bootable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataImage<'a> {
    header: FakeHeader,
    view: View<'a>,
}

impl<'a> DataImage<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    /// As [`FakeHeader::parse`]; if ESP-IDF would boot the file as it is, then that. Shorter files than [`MIN_LEN`] are
    /// refused, as devices do.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DataImageError> {
        let found = bytes.len();
        let Some(header) = bytes.first_chunk() else {
            return Err(DataImageError::TooShort { found });
        };
        let header = FakeHeader::parse(header).map_err(|error| worst(error, bytes))?;
        if found < MIN_LEN {
            return Err(DataImageError::TooShort { found });
        }
        Ok(Self {
            header,
            view: View(bytes),
        })
    }

    /// Refuses another chip than this.
    ///
    /// # Errors
    /// [`DataImageError::Chip`]
    pub fn check_chip(&self, expected: ChipId) -> Result<(), DataImageError> {
        match self.chip() {
            found if found == expected => Ok(()),
            found => Err(DataImageError::Chip { expected, found }),
        }
    }

    /// The chip that the file is for.
    #[must_use]
    pub const fn chip(&self) -> ChipId {
        self.header.chip
    }

    /// The data, without the zeros that end a file of [`MIN_LEN`]: if the data end with zeros themselves, without these.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        let content = self.view.content();
        content
            .get(..self.view.data_len().least)
            .unwrap_or_default()
    }

    /// The file without a judgement.
    #[must_use]
    pub const fn view(&self) -> View<'a> {
        self.view
    }
}

/// What ESP-IDF does with a file whose header is not right is said rather than what is wrong with the header.
fn worst(error: DataImageError, bytes: &[u8]) -> DataImageError {
    if error == DataImageError::ChecksumByte {
        return error;
    }
    match idf_verdict(bytes) {
        Ok(image) if image.is_hashed() => DataImageError::AppImage {
            image_len: image.image_len,
        },
        Ok(image) => DataImageError::ChecksumCollides {
            image_len: image.image_len,
            segments: image.segments(),
        },
        Err(_) => error,
    }
}

/// Any bytes, seen as a data image; nothing is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a>(pub &'a [u8]);

impl<'a> View<'a> {
    /// The image header, if there are that many bytes.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        self.0.first_chunk().map(Header::parse)
    }

    /// Everything behind the header: the data, and zeros that may be data or padding.
    #[must_use]
    pub fn content(&self) -> &'a [u8] {
        self.0.get(HEADER_LEN..).unwrap_or_default()
    }

    /// What can be known of the length of the data.
    ///
    /// The file does not record it, and a file of [`MIN_LEN`] bytes is filled up with zeros. In a slot, whatever the flash
    /// had behind it follows.
    #[must_use]
    pub fn data_len(&self) -> DataLen {
        let content = self.content();
        let most = content.len();
        let last = content.iter().rposition(|byte| *byte != 0);
        let least = match last {
            _ if self.0.len() > MIN_LEN => most,
            Some(last) => last + 1,
            None => 0,
        };
        DataLen { least, most }
    }

    /// What the demo's page shows of the data: at most [`PREVIEW_LEN`] bytes, up to a NUL.
    #[must_use]
    pub fn preview(&self) -> &'a [u8] {
        let content = self.content();
        let start = content.get(..PREVIEW_LEN).unwrap_or(content);
        start.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The byte of data that `esp_https_ota` of ESP-IDF v6.1 and later takes for the app's SPI flash mode, if it is not 0.
    ///
    /// Unless the running app has the same mode, or does not know its own, that download ends with 0x1508 before anything
    /// is written.
    #[must_use]
    pub fn spi_mode_hazard(&self) -> Option<u8> {
        let byte = self.0.get(SPI_MODE_OFFSET).copied();
        byte.filter(|byte| *byte != 0)
    }
}

/// How long the data are: exactly so, or somewhere in between, because their last zeros and padding look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLen {
    /// Bytes up to the last that is not zero.
    pub least: usize,
    /// All bytes behind the header.
    pub most: usize,
}

impl DataLen {
    /// The length, if it is certain.
    #[must_use]
    pub const fn exact(&self) -> Option<usize> {
        if self.least == self.most {
            Some(self.least)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thirty_two_bytes_decide_for_every_chip() {
        for chip in ChipId::all() {
            let header = FakeHeader { chip }.emit();
            let mut verifier = Verifier::new(Expect::idf(Kind::App));
            assert_eq!(
                verifier.update(&header),
                Err(ImageError::Checksum {
                    computed: CHECKSUM_SEED,
                    found: 0
                }),
                "{chip}"
            );
        }
    }

    #[test]
    fn padding_ends_at_1024_bytes() {
        assert_eq!(padding_len(0), 992);
        assert_eq!(padding_len(991), 1);
        assert_eq!(padding_len(992), 0);
        assert_eq!(padding_len(usize::MAX), 0);
    }

    proptest::proptest! {
        #[test]
        fn headers_emit_and_parse_as_inverse(chip: u16) {
            let header = FakeHeader { chip: ChipId(chip) };
            proptest::prop_assert_eq!(FakeHeader::parse(&header.emit()), Ok(header));
        }
    }
}
