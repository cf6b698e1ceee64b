//! What the engine needs of a flash beyond the `embedded-storage` traits: regions, and an adapter for blocking drivers.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// The value of every byte after an erase. (Parts that erase to zero are not supported.)
pub const ERASED: u8 = 0xFF;

/// A contiguous part of a flash, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte, counted from the start of the flash.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Region {
    /// The region `[offset, offset + len)`.
    pub const fn new(offset: u32, len: u32) -> Self {
        Self { offset, len }
    }

    /// The first byte behind the region; `None` if it lies beyond 4 GiB.
    pub const fn end(self) -> Option<u32> {
        self.offset.checked_add(self.len)
    }

    /// Whether the two regions share a byte.
    pub const fn overlaps(self, other: Self) -> bool {
        (self.offset as u64) < other.offset as u64 + other.len as u64
            && (other.offset as u64) < self.offset as u64 + self.len as u64
    }

    /// Whether the region is not empty, lies inside a flash of `capacity` bytes and consists of whole sectors.
    pub(crate) const fn is_whole_sectors(self, sector: u32, capacity: u32) -> bool {
        match self.end() {
            Some(end) => {
                self.len > 0
                    && end <= capacity
                    && self.offset.is_multiple_of(sector)
                    && self.len.is_multiple_of(sector)
            }
            None => false,
        }
    }
}

/// Whether all of `bytes` look erased.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == ERASED)
}

/// Makes a blocking NOR flash driver usable for the engine. Every future is ready at once.
#[derive(Debug)]
pub struct Blocking<T>(pub T);

impl<T: embedded_storage::nor_flash::ErrorType> ErrorType for Blocking<T> {
    type Error = T::Error;
}

impl<T: embedded_storage::nor_flash::ReadNorFlash> ReadNorFlash for Blocking<T> {
    const READ_SIZE: usize = T::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<T: embedded_storage::nor_flash::NorFlash> NorFlash for Blocking<T> {
    const WRITE_SIZE: usize = T::WRITE_SIZE;
    const ERASE_SIZE: usize = T::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(offset, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Region;

    #[test]
    fn regions_overlap_only_when_they_share_a_byte() {
        let a = Region::new(0x1000, 0x1000);
        assert!(a.overlaps(a));
        assert!(a.overlaps(Region::new(0x1FFF, 1)));
        assert!(!a.overlaps(Region::new(0x2000, 0x1000)));
        assert!(!a.overlaps(Region::new(0, 0x1000)));
        assert!(a.overlaps(Region::new(0, u32::MAX)));
    }

    #[test]
    fn whole_sectors_lie_inside_the_flash() {
        assert!(Region::new(0x1000, 0x2000).is_whole_sectors(0x1000, 0x3000));
        assert!(!Region::new(0x1000, 0x2000).is_whole_sectors(0x1000, 0x2FFF));
        assert!(!Region::new(0x800, 0x1000).is_whole_sectors(0x1000, 0x3000));
        assert!(!Region::new(0x1000, 0x800).is_whole_sectors(0x1000, 0x3000));
        assert!(!Region::new(0x1000, 0).is_whole_sectors(0x1000, 0x3000));
        assert!(!Region::new(u32::MAX - 0xFFF, 0x1000).is_whole_sectors(0x1000, u32::MAX));
    }
}
