/// Sizes of a flash, in bytes; each is a power of two except the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    word: usize,
    sector: usize,
    size: usize,
}

impl Geometry {
    /// A flash of `size` bytes that is programmed in words of `word` (4 to 32) and erased in sectors of `sector` (2 KiB to 64 KiB) bytes.
    pub const fn new(word: usize, sector: usize, size: usize) -> Result<Self, GeometryError> {
        if !word.is_power_of_two() || word < 4 || word > 32 {
            return Err(GeometryError::Word(word));
        }
        if !sector.is_power_of_two() || sector < 2048 || sector > 65536 {
            return Err(GeometryError::Sector(sector));
        }
        if size == 0 || !size.is_multiple_of(sector) || size > 1 << 31 {
            return Err(GeometryError::Size { size, sector });
        }
        Ok(Self { word, sector, size })
    }

    /// The unit of programming.
    #[must_use]
    pub const fn word(&self) -> usize {
        self.word
    }

    /// The unit of erasing.
    #[must_use]
    pub const fn sector(&self) -> usize {
        self.sector
    }

    /// The whole flash.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }
}

/// A geometry that no part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// The word is not 4, 8, 16 or 32 bytes.
    #[error("word of {0} bytes: use 4, 8, 16 or 32")]
    Word(usize),
    /// The sector is not a power of two from 2 KiB to 64 KiB.
    #[error("sector of {0} bytes: use a power of two from 2048 to 65536")]
    Sector(usize),
    /// The flash is empty, larger than 2 GiB or not a whole number of sectors.
    #[error("flash of {size} bytes: use a multiple of the sector ({sector}) of at most 2 GiB")]
    Size {
        /// The size asked for.
        size: usize,
        /// The sector it should be a multiple of.
        sector: usize,
    },
}

/// What a part does when a word is programmed for a second time since its sector was erased, and what torn words read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// Bits that are 0 stay 0, bits that are 1 take the new value (SPI NOR, nRF52). Every word can be read.
    And,
    /// The second program is refused with [`AlreadyProgrammed`](super::FlashError::AlreadyProgrammed) and changes nothing (STM32L4/G4
    /// report `PROGERR`). Every word can be read.
    Once,
    /// The second program reports success and leaves a word that cannot be read until its sector is erased (STM32H7 and others with
    /// error correction per word). Words that a cut tore cannot be read either.
    Ecc,
}

impl Model {
    /// All models, for tests that go over them.
    pub const ALL: [Self; 3] = [Self::And, Self::Once, Self::Ecc];
}

/// How long operations take on the simulated clock. Nothing sleeps. Typical figures of the data sheets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// Nanoseconds to read a byte.
    pub read_byte_ns: u64,
    /// Nanoseconds to program a byte.
    pub program_byte_ns: u64,
    /// Microseconds to erase a sector.
    pub erase_sector_us: u64,
}

impl Timing {
    /// External SPI NOR with 4 KiB sectors, such as Winbond W25Q128JV: 0.4 ms a page of 256 bytes, 45 ms a sector, read at 40 MB/s.
    pub const SPI_NOR: Self = Self {
        read_byte_ns: 25,
        program_byte_ns: 1_563,
        erase_sector_us: 45_000,
    };
    /// Internal flash with 8-byte words and ECC, such as STM32L4: 82 µs a word, 22 ms a page of 2 KiB.
    pub const INTERNAL_ECC: Self = Self {
        read_byte_ns: 5,
        program_byte_ns: 10_211,
        erase_sector_us: 22_020,
    };
    /// Internal flash with 4-byte words, such as nRF52840: 41 µs a word, 85 ms a page of 4 KiB.
    pub const INTERNAL_AND: Self = Self {
        read_byte_ns: 16,
        program_byte_ns: 10_250,
        erase_sector_us: 85_000,
    };
}

#[cfg(test)]
mod tests {
    use super::{Geometry, GeometryError};

    #[test]
    fn geometries_that_no_part_has_are_refused() {
        for word in [0, 1, 2, 3, 12, 64] {
            assert_eq!(
                Geometry::new(word, 4096, 65536),
                Err(GeometryError::Word(word))
            );
        }
        for sector in [0, 1024, 5000, 131_072] {
            assert_eq!(
                Geometry::new(4, sector, 131_072),
                Err(GeometryError::Sector(sector))
            );
        }
        for size in [0, 4095, 6000, (1 << 31) + 4096] {
            let sector = 4096;
            assert_eq!(
                Geometry::new(4, sector, size),
                Err(GeometryError::Size { size, sector })
            );
        }
        assert!(Geometry::new(32, 65536, 3 * 65536).is_ok());
    }
}
