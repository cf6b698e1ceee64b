use std::io;
use std::path::PathBuf;

use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};

/// Why a call to the flash failed. Offsets and lengths are in bytes from the start of the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlashError {
    /// The power is off: it was cut during this call or an earlier one. Nothing works until [`Nor::power_on`](super::Nor::power_on).
    #[error("the flash has no power")]
    PowerLost,
    /// An offset or a length is not a multiple of the word (write) or of the sector (erase).
    #[error("offset {offset:#x}, length {len:#x}: not a multiple of {unit} bytes")]
    NotAligned {
        /// Start of the call.
        offset: u32,
        /// Length of the call.
        len: usize,
        /// The word or the sector size.
        unit: usize,
    },
    /// The call reaches beyond the end of the flash, or an erase ends before it starts.
    #[error("offset {offset:#x}, length {len:#x}: outside the flash of {size:#x} bytes")]
    OutOfBounds {
        /// Start of the call.
        offset: u32,
        /// Length of the call; 0 for an erase that ends before it starts.
        len: usize,
        /// Size of the flash.
        size: usize,
    },
    /// [`Model::Once`](super::Model::Once): the word at `offset` was programmed since its last completed erase. It and the words after
    /// it are unchanged; words before it in the same call are programmed.
    #[error("the word at {offset:#x} is programmed already: erase its sector first")]
    AlreadyProgrammed {
        /// Start of the word.
        offset: u32,
    },
    /// [`Model::Ecc`](super::Model::Ecc): the error correction cannot make sense of the word at `offset`. Erasing its sector helps.
    #[error("the word at {offset:#x} cannot be read: its error correction code does not match")]
    Unreadable {
        /// Start of the first such word of the call.
        offset: u32,
    },
    /// The flash reports that it could not do it: see [`Fault`](super::Fault).
    #[error("the flash failed at {offset:#x}")]
    Failed {
        /// Start of the write, or of the sector.
        offset: u32,
    },
    /// The file behind the flash could not be written.
    #[error("the flash file cannot be written: {0}")]
    File(io::ErrorKind),
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned { .. } => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds { .. } => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// Why a flash file could not be created or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlashFileError {
    /// The operating system refused.
    #[error("flash file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has this flash file open: two boards cannot share one flash.
    #[error("flash file {}: in use by another process; stop that one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not as long as the flash that it should hold.
    #[error("flash file {}: {actual} bytes long, but this flash has {expected}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Size of the flash.
        expected: u64,
        /// Size of the file.
        actual: u64,
    },
}
