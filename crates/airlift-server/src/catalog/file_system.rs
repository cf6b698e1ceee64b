//! Which file system a data image holds, as far as its own bytes say so.
//!
//! Only what is definite is said: a wrong name would keep an image from the devices that it is for. SPIFFS is never
//! recognised, since its magic numbers depend on page and block sizes that nothing in the image states.

use serde::Serialize;

/// What lies in a data image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileSystem {
    Spiffs,
    LittleFs,
    Fat,
    /// Something else: certificates, a model, settings.
    None,
}

impl FileSystem {
    const ALL: [Self; 4] = [Self::Spiffs, Self::LittleFs, Self::Fat, Self::None];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Spiffs => "spiffs",
            Self::LittleFs => "littlefs",
            Self::Fat => "fat",
            Self::None => "none",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Bytes from the beginning of an image that [`detect`] looks at, at most.
pub(crate) const DETECT_LEN: usize = MAX_BLOCK + SUPERBLOCK;

/// Largest block of a `LittleFS` that is looked for: the largest erase sector of common flash.
const MAX_BLOCK: usize = 64 << 10;
/// Smallest one: below that a superblock has no room (littlefs, SPEC.md).
const MIN_BLOCK: usize = 128;
/// Bytes of a superblock up to and with its block size.
const SUPERBLOCK: usize = 28;
/// A sector of ESP-IDF's wear levelling, which puts an erased one in front of a FAT file system (`wl_fatfsgen.py`).
const WEAR_LEVELLING_SECTOR: usize = 4096;

/// The file system that begins like this; `None` when nothing definite is found. `head`: the first [`DETECT_LEN`] bytes,
/// or all there are.
pub(crate) fn detect(head: &[u8]) -> Option<FileSystem> {
    if is_littlefs(head) {
        return Some(FileSystem::LittleFs);
    }
    let behind_an_erased_sector = head
        .split_at_checked(WEAR_LEVELLING_SECTOR)
        .filter(|(sector, _)| sector.iter().all(|byte| *byte == 0xFF));
    let is_fat = is_boot_sector(head)
        || behind_an_erased_sector.is_some_and(|(_, rest)| is_boot_sector(rest));
    is_fat.then_some(FileSystem::Fat)
}

/// A superblock (littlefs, SPEC.md): revision, a tag, then the name `littlefs`, a tag, the version, and the block size. There
/// are two, in blocks 0 and 1, and either of them may be the only one that was written yet.
fn is_littlefs(head: &[u8]) -> bool {
    let has_name = |block: &[u8]| block.get(8..16) == Some(b"littlefs");
    let block_sizes = std::iter::successors(Some(MIN_BLOCK), |size| Some(size * 2));
    has_name(head)
        || block_sizes
            .take_while(|size| *size <= MAX_BLOCK)
            .any(|size| {
                let block = head.get(size..).unwrap_or_default();
                has_name(block) && word(block, 24).is_some_and(|says| says as usize == size)
            })
}

/// The signature, and a BIOS parameter block in which every field has one of the values that it may have (Microsoft, FAT
/// specification, section 3.1). The signature alone is also that of a partition table.
fn is_boot_sector(sector: &[u8]) -> bool {
    let byte = |at: usize| sector.get(at).copied().unwrap_or_default();
    let half = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
    let jumps = (byte(0) == 0xEB && byte(2) == 0x90) || byte(0) == 0xE9;
    let sectors = if half(19) == 0 {
        word(sector, 32).unwrap_or_default()
    } else {
        u32::from(half(19))
    };
    sector.get(510..512) == Some(&[0x55, 0xAA])
        && jumps
        && matches!(half(11), 512 | 1024 | 2048 | 4096)
        && byte(13).is_power_of_two()
        && half(14) != 0
        && matches!(byte(16), 1 | 2)
        && matches!(byte(21), 0xF0 | 0xF8..)
        && sectors != 0
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of what `littlefs-python` 0.19 makes with blocks of 4096 bytes; the other one of the pair
    /// looks the same.
    fn superblock(block_size: u32) -> Vec<u8> {
        let mut block = vec![1, 0, 0, 0, 0xF0, 0x0F, 0xFF, 0xF7];
        block.extend(b"littlefs");
        block.extend([0x2F, 0xE0, 0x00, 0x10, 0x01, 0x00, 0x02, 0x00]);
        block.extend(block_size.to_le_bytes());
        block.extend(16_u32.to_le_bytes());
        block.resize(block_size as usize, 0xFF);
        block
    }

    /// As `mkfs.fat` makes it for a small volume.
    pub(crate) fn boot_sector() -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[..11].copy_from_slice(b"\xEB\x3C\x90mkfs.fat");
        sector[11..13].copy_from_slice(&512_u16.to_le_bytes());
        sector[13..17].copy_from_slice(&[4, 1, 0, 2]);
        sector[19..21].copy_from_slice(&2048_u16.to_le_bytes());
        sector[21] = 0xF8;
        sector[510..].copy_from_slice(&[0x55, 0xAA]);
        sector
    }

    #[test]
    fn littlefs_is_known_by_either_superblock() {
        for size in [128, 512, 4096, 8192, 65536] {
            let block = superblock(size);
            assert_eq!(detect(&block), Some(FileSystem::LittleFs));
            let mut second = vec![0xFF; size as usize];
            second.extend(&block);
            second.truncate(DETECT_LEN);
            assert_eq!(detect(&second), Some(FileSystem::LittleFs), "{size}");
        }
        // The name somewhere else, or in a block that says it has another size, is only text.
        let mut text = vec![0; 4096];
        text.extend(superblock(8192));
        assert_eq!(detect(&text), None);
        assert_eq!(detect(b"littlefs is a file system"), None);
    }

    #[test]
    fn fat_is_known_by_its_parameters_also_under_wear_levelling() {
        let sector = boot_sector();
        assert_eq!(detect(&sector), Some(FileSystem::Fat));
        let mut levelled = vec![0xFF; WEAR_LEVELLING_SECTOR];
        levelled.extend(&sector);
        assert_eq!(detect(&levelled), Some(FileSystem::Fat));
        levelled[17] = 0;
        assert_eq!(detect(&levelled), None, "not erased in front");
        for (at, value) in [
            (0, 0),
            (11, 1),
            (13, 3),
            (13, 0),
            (14, 0),
            (16, 0),
            (21, 1),
            (20, 0),
            (510, 0),
        ] {
            let mut other = sector.clone();
            other[at] = value;
            assert_eq!(detect(&other), None, "byte {at} is {value}");
        }
    }

    #[test]
    fn anything_else_is_not_known() {
        for head in [
            &b""[..],
            b"x",
            &[0xFF; 70_000],
            &[0; 70_000],
            b"-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(detect(head), None);
        }
    }

    #[test]
    fn names_are_read_back() {
        for kind in FileSystem::ALL {
            assert_eq!(FileSystem::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(FileSystem::parse("LittleFS"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_it_panic(head: Vec<u8>, at in 0_usize..600) {
            detect(&head);
            let mut sector = boot_sector();
            sector.truncate(at);
            detect(&sector);
        }
    }
}
