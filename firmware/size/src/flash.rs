//! A NOR flash behind registers, as small as a driver gets: 4-byte words, 4 KiB sectors.
//!
//! Reads are memory mapped. The driver is the same in every program, so its size falls out of the difference.

use core::ptr;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};

/// Where the flash is mapped for reading and programming.
const BASE: usize = 0x0800_0000;
/// The controller's register that erases the sector whose address is written to it.
const ERASE: *mut u32 = 0x4000_1000 as *mut u32;
/// The controller's status register: zero when the last operation succeeded.
const STATUS: *const u32 = 0x4000_1004 as *const u32;
/// Bytes of the whole device.
const CAPACITY: usize = 4 << 20;

/// The flash of the imagined board.
#[derive(Debug)]
pub struct Flash;

/// What the driver reports.
#[derive(Debug, Clone, Copy)]
pub enum FlashError {
    /// The request was out of bounds or not aligned.
    Refused(NorFlashErrorKind),
    /// The controller reported a failure.
    Controller,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Refused(kind) => *kind,
            Self::Controller => NorFlashErrorKind::Other,
        }
    }
}

fn status() -> Result<(), FlashError> {
    // SAFETY: an aligned register address of the imagined board.
    match unsafe { ptr::read_volatile(STATUS) } {
        0 => Ok(()),
        _ => Err(FlashError::Controller),
    }
}

#[inline(never)]
fn read(offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
    check_read(&Flash, offset, bytes.len()).map_err(FlashError::Refused)?;
    for (byte, address) in bytes.iter_mut().zip(BASE + offset as usize..) {
        // SAFETY: `check_read` keeps the address inside the mapped flash.
        *byte = unsafe { ptr::read_volatile(address as *const u8) };
    }
    status()
}

#[inline(never)]
fn write(offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
    check_write(&Flash, offset, bytes.len()).map_err(FlashError::Refused)?;
    for (byte, address) in bytes.iter().zip(BASE + offset as usize..) {
        // SAFETY: `check_write` keeps the address inside the mapped flash.
        unsafe { ptr::write_volatile(address as *mut u8, *byte) };
    }
    status()
}

#[inline(never)]
fn erase(from: u32, to: u32) -> Result<(), FlashError> {
    check_erase(&Flash, from, to).map_err(FlashError::Refused)?;
    for sector in (from..to).step_by(Flash::ERASE_SIZE) {
        // SAFETY: an aligned register address of the imagined board.
        unsafe { ptr::write_volatile(ERASE, sector) };
    }
    status()
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        write(offset, bytes)
    }
}

// The engine may be written against the asynchronous traits; this driver never waits.
impl embedded_storage_async::nor_flash::ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl embedded_storage_async::nor_flash::NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        write(offset, bytes)
    }
}
