//! What a verifier is told, and what it tells.

use super::{
    AppDescriptor, BootloaderDescriptor, ChipId, HEADER_LEN, Header, SEGMENT_HEADER_LEN,
    SegmentHeader,
};

/// By whose rules an image is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Airlift's: everything that the image promises has to hold. An image that passes also passes [`Idf`](Self::Idf).
    Strict,
    /// What the code of ESP-IDF accepts (`esp_image_verify` without secure boot), in its order: no SHA-256, any padding and
    /// anything behind the image are fine. Flash behind the last byte reads as erased.
    Idf,
}

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An app: starts with an app descriptor.
    App,
    /// A second-stage boot loader. [`Profile::Idf`]: an image at the boot loader's address, whose SHA-256 is not looked at.
    Bootloader,
}

impl Kind {
    /// What the first bytes of an image look like; an app unless there is a boot loader's descriptor.
    #[must_use]
    pub fn guess(prefix: &[u8]) -> Self {
        let descriptor = prefix
            .get(HEADER_LEN + SEGMENT_HEADER_LEN..)
            .and_then(<[u8]>::first_chunk)
            .and_then(BootloaderDescriptor::parse);
        match descriptor {
            Some(_) => Self::Bootloader,
            None => Self::App,
        }
    }
}

/// What is known about an image's place and chip before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// By whose rules to judge.
    pub profile: Profile,
    /// What the image has to be.
    pub kind: Kind,
    /// The chip that it has to be for. Without one the image's own is taken; the strict profile then refuses an unknown one.
    pub chip: Option<ChipId>,
    /// Revision of the chip, major * 100 + minor; without one revisions are not checked.
    pub chip_revision: Option<u16>,
    /// Revision of the chip's eFuse block, major * 100 + minor; without one it is not checked.
    pub efuse_block_revision: Option<u16>,
    /// Bytes of the partition that the image has to fit into.
    pub partition_size: Option<u32>,
    /// Flash address of the partition: mapped segments have to fit their MMU pages there.
    pub partition_offset: u32,
    /// Strict profile: refuse an image without a SHA-256.
    pub require_hash: bool,
    /// Number of bytes that will come, if known: wrong lengths are then found at once.
    pub file_len: Option<u32>,
}

impl Expect {
    /// The strict profile, nothing else known.
    #[must_use]
    pub const fn strict(kind: Kind) -> Self {
        Self {
            profile: Profile::Strict,
            kind,
            chip: None,
            chip_revision: None,
            efuse_block_revision: None,
            partition_size: None,
            partition_offset: 0,
            require_hash: true,
            file_len: None,
        }
    }

    /// ESP-IDF's profile, nothing else known.
    #[must_use]
    pub const fn idf(kind: Kind) -> Self {
        let mut expect = Self::strict(kind);
        expect.profile = Profile::Idf;
        expect
    }
}

/// A segment that has gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its index.
    pub index: u8,
    /// Offset of its header in the image.
    pub offset: u32,
    /// Its header.
    pub header: SegmentHeader,
}

/// A signature sector behind an image. Its signatures were **not** verified, only its digest and CRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureSector {
    /// Offset of the sector in the file.
    pub offset: u32,
    /// Number of blocks in use.
    pub blocks: u8,
}

/// What is known of an image that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Length of the image with its SHA-256, without padding and signature behind it.
    pub image_len: u32,
    /// Number of bytes that were looked at, everything behind the image included.
    pub file_len: u32,
    /// SHA-256 of all these bytes.
    pub file_sha256: [u8; 32],
    /// The header.
    pub header: Header,
    /// The app descriptor, if there is one.
    pub app: Option<AppDescriptor>,
    /// The boot loader descriptor, if there is one.
    pub bootloader: Option<BootloaderDescriptor>,
    /// The signature sector, if there is one (strict profile).
    pub signature: Option<SignatureSector>,
}

impl Summary {
    /// The chip that the image is for.
    #[must_use]
    pub const fn chip(&self) -> ChipId {
        self.header.chip
    }

    /// Number of segments.
    #[must_use]
    pub const fn segments(&self) -> u8 {
        self.header.segment_count
    }

    /// Whether the image ends with a SHA-256.
    #[must_use]
    pub const fn is_hashed(&self) -> bool {
        self.header.hash_appended != 0
    }
}

/// What the first bytes of an image say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The header.
    pub header: Header,
    /// The header of segment 0.
    pub segment: SegmentHeader,
    /// The app descriptor, if there is one.
    pub app: Option<AppDescriptor>,
}
