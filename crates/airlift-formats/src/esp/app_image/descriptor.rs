//! The descriptors at the start of segment 0: `esp_app_desc_t` and `esp_bootloader_desc_t`.

use super::APP_DESCRIPTOR_LEN;
use core::fmt;

/// What an app says about itself: `esp_app_desc_t`, the first 256 bytes of segment 0 (file offset 32).
///
/// Texts are NUL-terminated unless they fill their field; [`text`] cuts them. Reserved bytes are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppDescriptor {
    /// Security version for anti-rollback: an app below the eFuse's number does not boot.
    pub secure_version: u32,
    /// Version of the app.
    pub version: [u8; 32],
    /// Name of the project.
    pub project: [u8; 32],
    /// Time of the build.
    pub time: [u8; 16],
    /// Date of the build.
    pub date: [u8; 16],
    /// Version of ESP-IDF.
    pub idf_version: [u8; 32],
    /// SHA-256 of the ELF file, or zeros.
    pub elf_sha256: [u8; 32],
    /// Least revision of the eFuse block, major * 100 + minor; 0 and 0xFFFF: no limit.
    pub min_efuse_block_revision: u16,
    /// Highest revision of the eFuse block; 0 and 0xFFFF: no limit.
    pub max_efuse_block_revision: u16,
    /// Base 2 logarithm of the MMU page size; 0: the default of 64 KiB.
    pub mmu_page_log2: u8,
    /// SPI flash mode (ESP-IDF v6.1 and later); 0: unknown.
    pub spi_flash_mode: u8,
}

impl AppDescriptor {
    /// First four bytes, little endian.
    pub const MAGIC: u32 = 0xABCD_5432;
    /// Bytes up to the last one that means something.
    pub(super) const USED_LEN: usize = 182;

    /// Reads a descriptor; none if the magic number is another.
    #[must_use]
    pub fn parse(bytes: &[u8; APP_DESCRIPTOR_LEN]) -> Option<Self> {
        Self::from_used(bytes.first_chunk()?)
    }

    pub(super) fn from_used(bytes: &[u8; Self::USED_LEN]) -> Option<Self> {
        let mut rest: &[u8] = bytes;
        if u32::from_le_bytes(take(&mut rest)?) != Self::MAGIC {
            return None;
        }
        let secure_version = u32::from_le_bytes(take(&mut rest)?);
        let _reserved: [u8; 8] = take(&mut rest)?;
        // A struct expression is evaluated as written: the fields stand in the order of the bytes.
        Some(Self {
            secure_version,
            version: take(&mut rest)?,
            project: take(&mut rest)?,
            time: take(&mut rest)?,
            date: take(&mut rest)?,
            idf_version: take(&mut rest)?,
            elf_sha256: take(&mut rest)?,
            min_efuse_block_revision: u16::from_le_bytes(take(&mut rest)?),
            max_efuse_block_revision: u16::from_le_bytes(take(&mut rest)?),
            mmu_page_log2: u8::from_le_bytes(take(&mut rest)?),
            spi_flash_mode: u8::from_le_bytes(take(&mut rest)?),
        })
    }

    /// The bytes of the descriptor, reserved ones zero; [`parse`](Self::parse) reads the same back.
    #[must_use]
    pub fn emit(&self) -> [u8; APP_DESCRIPTOR_LEN] {
        let fields = (Self::MAGIC.to_le_bytes().into_iter())
            .chain(self.secure_version.to_le_bytes())
            .chain([0; 8])
            .chain(self.version)
            .chain(self.project)
            .chain(self.time)
            .chain(self.date)
            .chain(self.idf_version)
            .chain(self.elf_sha256)
            .chain(self.min_efuse_block_revision.to_le_bytes())
            .chain(self.max_efuse_block_revision.to_le_bytes())
            .chain([self.mmu_page_log2, self.spi_flash_mode]);
        let mut bytes = [0; APP_DESCRIPTOR_LEN];
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Whether the app is of this project.
    ///
    /// # Errors
    /// [`ProjectMismatch`] if not.
    pub fn check_project(&self, expected: &[u8]) -> Result<(), ProjectMismatch> {
        if text(&self.project) == expected {
            Ok(())
        } else {
            Err(ProjectMismatch {
                found: self.project,
            })
        }
    }

    /// Whether the app's security version is at least this.
    ///
    /// # Errors
    /// [`SecureVersionTooLow`] if not.
    pub const fn check_secure_version(&self, required: u32) -> Result<(), SecureVersionTooLow> {
        if self.secure_version < required {
            return Err(SecureVersionTooLow {
                required,
                found: self.secure_version,
            });
        }
        Ok(())
    }
}

/// What a boot loader says about itself: `esp_bootloader_desc_t`, 80 bytes. Boot loaders before ESP-IDF v5.1 have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootloaderDescriptor {
    /// Security version for anti-rollback of the boot loader.
    pub secure_version: u8,
    /// Version of the boot loader.
    pub version: u32,
    /// Version of ESP-IDF.
    pub idf_version: [u8; 32],
    /// Date and time of the build.
    pub date_time: [u8; 24],
}

impl BootloaderDescriptor {
    /// First byte.
    pub const MAGIC: u8 = 0x50;
    /// Bytes of the descriptor.
    pub const LEN: usize = 80;

    /// Reads a descriptor; none if the magic byte is another or the two reserved bytes behind it are not zero.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut rest: &[u8] = bytes;
        let [magic, 0, 0, secure_version] = take(&mut rest)? else {
            return None;
        };
        (magic == Self::MAGIC).then_some(())?;
        Some(Self {
            secure_version,
            version: u32::from_le_bytes(take(&mut rest)?),
            idf_version: take(&mut rest)?,
            date_time: take(&mut rest)?,
        })
    }
}

/// The text in a field: up to its first NUL, or all of it. Not necessarily UTF-8.
#[must_use]
pub fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Splits the first `N` bytes off.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*chunk)
}

/// The app is of another project than the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectMismatch {
    /// The project field of the app.
    pub found: [u8; 32],
}

impl fmt::Display for ProjectMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the app is of project \"{}\"",
            text(&self.found).escape_ascii()
        )
    }
}

impl core::error::Error for ProjectMismatch {}

/// The app's security version is below what the device demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureVersionTooLow {
    /// What is demanded.
    pub required: u32,
    /// What the app has.
    pub found: u32,
}

impl fmt::Display for SecureVersionTooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { required, found } = self;
        write!(f, "the app's security version {found} is below {required}")
    }
}

impl core::error::Error for SecureVersionTooLow {}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_descriptor_reads_back(mut bytes in proptest::array::uniform32(0u8..).prop_map(|block| {
            let mut bytes = [0; APP_DESCRIPTOR_LEN];
            for (to, from) in bytes.iter_mut().zip(block.iter().cycle()) {
                *to = *from;
            }
            bytes
        })) {
            bytes[..4].copy_from_slice(&AppDescriptor::MAGIC.to_le_bytes());
            let descriptor = AppDescriptor::parse(&bytes).unwrap();
            let emitted = descriptor.emit();
            proptest::prop_assert_eq!(AppDescriptor::parse(&emitted), Some(descriptor));
            proptest::prop_assert_eq!(&emitted[16..182], &bytes[16..182]);
        }
    }
    use proptest::strategy::Strategy as _;

    #[test]
    fn a_name_that_fills_its_field_is_whole() {
        assert_eq!(text(b"abc\0def"), b"abc");
        assert_eq!(text(&[b'x'; 32]), [b'x'; 32]);
        assert_eq!(text(b""), b"");
    }
}
