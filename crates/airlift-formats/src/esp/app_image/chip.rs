//! The chips: their numbers in an image header, and where their flash shows up in memory.

use core::fmt;

/// The number of a chip in an image header. Unknown numbers are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChipId(pub u16);

/// Number, name, as a target of ESP-IDF.
const NAMES: [(ChipId, &str, &str); 13] = [
    (ChipId::ESP32, "ESP32", "esp32"),
    (ChipId::ESP32S2, "ESP32-S2", "esp32s2"),
    (ChipId::ESP32C3, "ESP32-C3", "esp32c3"),
    (ChipId::ESP32S3, "ESP32-S3", "esp32s3"),
    (ChipId::ESP32C2, "ESP32-C2", "esp32c2"),
    (ChipId::ESP32C6, "ESP32-C6", "esp32c6"),
    (ChipId::ESP32H2, "ESP32-H2", "esp32h2"),
    (ChipId::ESP32P4, "ESP32-P4", "esp32p4"),
    (ChipId::ESP32C61, "ESP32-C61", "esp32c61"),
    (ChipId::ESP32C5, "ESP32-C5", "esp32c5"),
    (ChipId::ESP32H21, "ESP32-H21", "esp32h21"),
    (ChipId::ESP32H4, "ESP32-H4", "esp32h4"),
    (ChipId::ESP32S31, "ESP32-S31", "esp32s31"),
];

impl ChipId {
    /// ESP32.
    pub const ESP32: Self = Self(0);
    /// ESP32-S2.
    pub const ESP32S2: Self = Self(2);
    /// ESP32-C3.
    pub const ESP32C3: Self = Self(5);
    /// ESP32-S3.
    pub const ESP32S3: Self = Self(9);
    /// ESP32-C2 (ESP8684).
    pub const ESP32C2: Self = Self(0x0C);
    /// ESP32-C6.
    pub const ESP32C6: Self = Self(0x0D);
    /// ESP32-H2.
    pub const ESP32H2: Self = Self(0x10);
    /// ESP32-P4.
    pub const ESP32P4: Self = Self(0x12);
    /// ESP32-C61.
    pub const ESP32C61: Self = Self(0x14);
    /// ESP32-C5.
    pub const ESP32C5: Self = Self(0x17);
    /// ESP32-H21.
    pub const ESP32H21: Self = Self(0x19);
    /// ESP32-H4.
    pub const ESP32H4: Self = Self(0x1C);
    /// ESP32-S31.
    pub const ESP32S31: Self = Self(0x20);

    /// All chips that have a name here.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(chip, ..)| *chip)
    }

    /// The name as Espressif writes it, "ESP32-C3".
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(chip, ..)| *chip == self)
            .map(|(_, name, _)| *name)
    }

    /// The name of the target in Espressif's tools, "esp32c3".
    #[must_use]
    pub fn target(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(chip, ..)| *chip == self)
            .map(|(.., target)| *target)
    }

    /// Whether the chip has RAM or mapped flash at this address, as far as is known (a coarse map: no lower bound of
    /// what the boot loader accepts). True for every address of a chip that is not known here.
    ///
    /// Source: `SOC_DRAM_*`, `SOC_IRAM_*` and `SOC_RTC_*` of ESP-IDF's chip headers, rounded up.
    #[must_use]
    pub fn has_memory_at(self, address: u32) -> bool {
        const RTC: (u32, u32) = (0x5000_0000, 0x5000_8000);
        let ram: &[(u32, u32)] = match self {
            Self::ESP32 => &[(0x3F80_0000, 0x3FC0_0000), (0x3FF8_0000, 0x400C_2000), RTC],
            Self::ESP32S2 => &[(0x3FF8_0000, 0x4008_0000), RTC],
            Self::ESP32S3 => &[
                (0x3FC8_0000, 0x3FD0_0000),
                (0x4037_0000, 0x403E_0000),
                (0x600F_E000, 0x6010_0000),
                RTC,
            ],
            Self::ESP32C2 | Self::ESP32C3 => {
                &[(0x3FC8_0000, 0x3FCE_0000), (0x4037_C000, 0x403E_0000), RTC]
            }
            Self::ESP32P4 => &[
                (0x3010_0000, 0x3010_2000),
                (0x4FF0_0000, 0x4FFC_0000),
                (0x5010_0000, 0x5012_0000),
            ],
            Self::ESP32S31 => &[(0x2E00_0000, 0x2E01_0000), (0x2F00_0000, 0x2F10_0000)],
            _ => &[(0x4080_0000, 0x4090_0000), RTC],
        };
        match self.mmu() {
            Some(mmu) => {
                mmu.maps(address)
                    || ram
                        .iter()
                        .any(|(low, high)| (*low..*high).contains(&address))
            }
            None => true,
        }
    }

    /// How the chip maps flash into memory; none for a chip that is not known here.
    #[must_use]
    pub const fn mmu(self) -> Option<Mmu> {
        Mmu::of(self)
    }
}

/// Writes the name, or the number of an unknown chip.
impl fmt::Display for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown chip {:#x}", self.0),
        }
    }
}

impl fmt::Debug for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChipId({:#x})", self.0)
    }
}

/// The text names no chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownChipName;

impl fmt::Display for UnknownChipName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a chip; known are")?;
        for (.., target) in NAMES {
            write!(f, " {target}")?;
        }
        f.write_str(" (or a number)")
    }
}

impl core::error::Error for UnknownChipName {}

/// Reads either name in any case ("esp32c3", "ESP32-C3"), or a number ("5", "0x5").
impl core::str::FromStr for ChipId {
    type Err = UnknownChipName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = NAMES.iter().find(|(_, name, target)| {
            text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(target)
        });
        if let Some((chip, ..)) = named {
            return Ok(*chip);
        }
        let number = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
            Some(hex) if !hex.starts_with('+') => u16::from_str_radix(hex, 16),
            _ if !text.starts_with('+') => text.parse(),
            _ => return Err(UnknownChipName),
        };
        number.map(Self).map_err(|_| UnknownChipName)
    }
}

/// Where a chip's flash is mapped, and in pages of which size.
///
/// Source: `SOC_DROM_*`, `SOC_IROM_*`, `SOC_EXTRAM_*` and `SOC_MMU_PAGE_SIZE_CONFIGURABLE` of ESP-IDF's chip headers. Where
/// the size of a range depends on the page size, it is that of the largest pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mmu {
    /// First address and first address behind the range that data are read through (DROM).
    pub data: (u32, u32),
    /// The same for instructions (IROM); equal to [`data`](Self::data) on chips with one bus.
    pub instructions: (u32, u32),
    /// The range of external RAM that the boot loader counts as mapped, too; empty on most chips.
    pub external_ram: (u32, u32),
    /// Whether the app descriptor says the page size; else it is 64 KiB.
    pub configurable_pages: bool,
}

impl Mmu {
    /// Size of a page (its base 2 logarithm) unless the app descriptor says otherwise: 64 KiB.
    pub const DEFAULT_PAGE_LOG2: u8 = 16;

    const fn of(chip: ChipId) -> Option<Self> {
        let (data, instructions) = match chip {
            ChipId::ESP32 => ((0x3F40_0000, 0x3F80_0000), (0x400D_0000, 0x4040_0000)),
            ChipId::ESP32S2 => ((0x3F00_0000, 0x3FF8_0000), (0x4008_0000, 0x4080_0000)),
            ChipId::ESP32S3 => ((0x3C00_0000, 0x3E00_0000), (0x4200_0000, 0x4400_0000)),
            ChipId::ESP32C3 => ((0x3C00_0000, 0x3C80_0000), (0x4200_0000, 0x4280_0000)),
            ChipId::ESP32C2 => ((0x3C00_0000, 0x3C40_0000), (0x4200_0000, 0x4240_0000)),
            ChipId::ESP32C6 | ChipId::ESP32H2 | ChipId::ESP32H21 => {
                ((0x4200_0000, 0x4300_0000), (0x4200_0000, 0x4300_0000))
            }
            ChipId::ESP32C5 | ChipId::ESP32C61 | ChipId::ESP32H4 => {
                ((0x4200_0000, 0x4400_0000), (0x4200_0000, 0x4400_0000))
            }
            ChipId::ESP32P4 | ChipId::ESP32S31 => {
                ((0x4000_0000, 0x4400_0000), (0x4000_0000, 0x4400_0000))
            }
            _ => return None,
        };
        Some(Self {
            data,
            instructions,
            external_ram: match chip {
                ChipId::ESP32P4 => (0x4800_0000, 0x4C00_0000),
                ChipId::ESP32S31 => (0x5000_0000, 0x5400_0000),
                _ => (0, 0),
            },
            configurable_pages: matches!(
                chip,
                ChipId::ESP32C2
                    | ChipId::ESP32C6
                    | ChipId::ESP32H2
                    | ChipId::ESP32C61
                    | ChipId::ESP32H21
            ),
        })
    }

    /// Whether a segment with this load address is mapped from flash rather than copied into RAM.
    #[must_use]
    pub fn maps(&self, load_addr: u32) -> bool {
        [self.data, self.instructions, self.external_ram]
            .iter()
            .any(|(low, high)| (*low..*high).contains(&load_addr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chip_reads_back_from_its_names_and_has_a_memory_map() {
        for chip in ChipId::all() {
            assert_eq!(chip.name().unwrap().parse(), Ok(chip));
            assert_eq!(chip.target().unwrap().parse(), Ok(chip));
            let mmu = chip.mmu().unwrap();
            assert!(
                mmu.maps(mmu.data.0) && mmu.maps(mmu.instructions.1 - 1),
                "{chip}"
            );
            assert!(!mmu.maps(0), "{chip}: padding is never mapped");
        }
    }

    #[test]
    fn numbers_are_chips_too_and_other_texts_are_not() {
        assert_eq!("0x10".parse(), Ok(ChipId::ESP32H2));
        assert_eq!("5".parse(), Ok(ChipId::ESP32C3));
        assert_eq!("4711".parse(), Ok(ChipId(4711)));
        for text in ["", "esp", "0x", "+5", "0x+5", "65536", "esp32 "] {
            assert_eq!(text.parse::<ChipId>(), Err(UnknownChipName), "{text:?}");
        }
        assert_eq!(std::format!("{}", ChipId(1)), "unknown chip 0x1");
    }
}
