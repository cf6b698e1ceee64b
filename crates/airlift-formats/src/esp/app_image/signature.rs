//! The signature sector of Secure Boot v2: 4 KiB behind the image, up to three blocks of 1216 bytes.
//!
//! Recognised, taken apart and checked for damage (digest and CRC). The signature itself is **not** verified here: whoever
//! shows one has to say so.

use super::{HASH_LEN, ImageError, SignatureFault};
use crc::{Crc, Digest, NoTable};

/// Bytes of the sector; it starts at a multiple of this.
pub const SIGNATURE_SECTOR_LEN: usize = 4096;
/// Bytes of one block.
pub const SIGNATURE_BLOCK_LEN: usize = 1216;
/// Most blocks in the sector; unused ones are FF.
const MAX_BLOCKS: u8 = 3;
/// First byte of a block.
const MAGIC: u8 = 0xE7;
/// Where the CRC-32 of everything before it stands in a block; zeros follow it.
const CRC_OFFSET: usize = 1196;
/// CRC-32 of the block, as in zlib.
static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&crc::CRC_32_ISO_HDLC);

/// What signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureKind {
    /// Version 2: RSA-3072 with PSS and SHA-256.
    Rsa3072,
    /// Version 3: ECDSA, on the curve of this number (1: P-192, 2: P-256).
    Ecdsa {
        /// Number of the curve.
        curve: u8,
    },
}

impl core::fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Rsa3072 => f.write_str("RSA-3072"),
            Self::Ecdsa { curve: 1 } => f.write_str("ECDSA P-192"),
            Self::Ecdsa { curve: 2 } => f.write_str("ECDSA P-256"),
            Self::Ecdsa { curve } => write!(f, "ECDSA, curve {curve}"),
        }
    }
}

/// A view of one signature block.
#[derive(Debug, Clone, Copy)]
pub struct SignatureBlock<'a> {
    bytes: &'a [u8; SIGNATURE_BLOCK_LEN],
}

impl<'a> SignatureBlock<'a> {
    /// Looks at a block. Any bytes will do; see [`check`](Self::check).
    #[must_use]
    pub const fn new(bytes: &'a [u8; SIGNATURE_BLOCK_LEN]) -> Self {
        Self { bytes }
    }

    /// Whether the block is unused.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0xFF)
    }

    /// What signs; none for a version that is not known.
    #[must_use]
    pub fn kind(&self) -> Option<SignatureKind> {
        match self.bytes {
            [MAGIC, 2, 0, 0, ..] => Some(SignatureKind::Rsa3072),
            [MAGIC, 3, 0, 0, ..] => Some(SignatureKind::Ecdsa {
                curve: self.bytes.get(36).copied()?,
            }),
            _ => None,
        }
    }

    /// SHA-256 of everything before the sector, as the signer saw it.
    #[must_use]
    pub fn digest(&self) -> [u8; HASH_LEN] {
        self.bytes
            .get(4..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or_default()
    }

    /// Whether the block is undamaged and signs these bytes. Says nothing about who signed.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub fn check(&self, image_digest: &[u8; HASH_LEN]) -> Result<(), SignatureFault> {
        if self.kind().is_none() {
            return Err(SignatureFault::Version);
        }
        if self.digest() != *image_digest {
            return Err(SignatureFault::Digest);
        }
        let (signed, tail) = self.bytes.split_at(CRC_OFFSET);
        let expected = CRC.checksum(signed).to_le_bytes();
        match tail.split_first_chunk() {
            Some((found, _)) if *found != expected => Err(SignatureFault::Crc),
            Some((_, rest)) if rest.iter().all(|byte| *byte == 0) => Ok(()),
            _ => Err(SignatureFault::Padding),
        }
    }
}

/// The blocks of a sector, unused ones included.
pub fn signature_blocks(
    sector: &[u8; SIGNATURE_SECTOR_LEN],
) -> impl Iterator<Item = SignatureBlock<'_>> {
    sector
        .chunks_exact(SIGNATURE_BLOCK_LEN)
        .filter_map(|block| Some(SignatureBlock::new(block.try_into().ok()?)))
}

/// Reads a sector as it goes by, which may be a signature sector or erased.
#[derive(Clone)]
pub(super) struct SectorReader {
    /// Index of the block that goes by; [`MAX_BLOCKS`] for the rest of the sector.
    block: u8,
    /// Offset in that block.
    at: usize,
    /// Blocks in use.
    used: u8,
    /// CRC of the block so far.
    crc: Digest<'static, u32, NoTable>,
}

impl SectorReader {
    pub(super) fn new() -> Self {
        Self {
            block: 0,
            at: 0,
            used: 0,
            crc: CRC.digest(),
        }
    }

    /// Number of blocks that are in use, as far as the sector has come.
    pub(super) const fn blocks(&self) -> u8 {
        self.used
    }

    /// Takes the byte of the sector at `offset` of the file; `digest` is what the sector has to sign.
    pub(super) fn take(
        &mut self,
        byte: u8,
        offset: u32,
        digest: &[u8; HASH_LEN],
    ) -> Result<(), ImageError> {
        let (block, at) = (self.block, self.at);
        self.at += 1;
        if self.at == SIGNATURE_BLOCK_LEN && block < MAX_BLOCKS {
            self.block += 1;
            self.at = 0;
        }
        // A block behind an unused one would never be looked at.
        if at == 0 && byte == MAGIC && block == self.used && block < MAX_BLOCKS {
            self.used += 1;
            self.crc = CRC.digest();
        }
        if block < self.used {
            return match self.take_used(byte, at, digest) {
                Some(fault) => Err(ImageError::Signature { block, fault }),
                None => Ok(()),
            };
        }
        match byte {
            0xFF => Ok(()),
            found => Err(ImageError::TrailingData { offset, found }),
        }
    }

    /// A byte of a block in use, and what is wrong with it.
    fn take_used(
        &mut self,
        byte: u8,
        at: usize,
        digest: &[u8; HASH_LEN],
    ) -> Option<SignatureFault> {
        let expected = match at {
            0 => MAGIC,
            1 if byte == 3 => 3,
            1 => 2,
            2 | 3 => 0,
            4..36 => digest.get(at - 4).copied()?,
            CRC_OFFSET..1200 => {
                let crc = self.crc.clone().finalize().to_le_bytes();
                crc.get(at - CRC_OFFSET).copied()?
            }
            1200.. => 0,
            _ => byte,
        };
        if at < CRC_OFFSET {
            self.crc.update(&[byte]);
        }
        let fault = match at {
            0..4 => SignatureFault::Version,
            4..36 => SignatureFault::Digest,
            CRC_OFFSET..1200 => SignatureFault::Crc,
            _ => SignatureFault::Padding,
        };
        (byte != expected).then_some(fault)
    }
}
