//! Second-stage boot loaders of Espressif's chips.

use airlift_formats::esp::app_image::{
    AppDescriptor, ChipId, Expect, HEADER_LEN, Kind, PREFIX_LEN, SEGMENT_HEADER_LEN, Verifier,
    check_prefix,
};

use super::{Checker, ImageCheck};
use crate::Refusal;
use crate::flash::Region;

/// Takes sound second-stage boot loaders for one chip: a device with any other image at that place does not start again.
#[derive(Clone, Copy, Debug)]
pub struct EspBootLoader {
    /// The chip that this is.
    pub chip: ChipId,
    /// Its revision, major * 100 + minor; `None`: not checked.
    pub chip_revision: Option<u16>,
    /// Whether images without an appended SHA-256 are refused. The digest of the offer covers all bytes in any case.
    pub require_hash: bool,
}

impl EspBootLoader {
    /// Any sound boot loader for `chip`.
    #[must_use]
    pub const fn new(chip: ChipId) -> Self {
        Self {
            chip,
            chip_revision: None,
            require_hash: true,
        }
    }

    fn expect(&self, length: u32) -> Expect {
        let mut expect = Expect::strict(Kind::Bootloader);
        expect.chip = Some(self.chip);
        expect.chip_revision = self.chip_revision;
        expect.require_hash = self.require_hash;
        expect.file_len = Some(length);
        expect
    }
}

impl ImageCheck for EspBootLoader {
    type Checker = EspBootLoaderChecker;

    const PREFIX: usize = PREFIX_LEN;

    fn check_prefix(&self, prefix: &[u8], length: u32) -> Result<(), Refusal> {
        check_prefix(prefix, &self.expect(length))?;
        // An app has the structure of a boot loader, and is none.
        let first = prefix.get(HEADER_LEN + SEGMENT_HEADER_LEN..);
        if first.and_then(<[u8]>::first_chunk) == Some(&AppDescriptor::MAGIC.to_le_bytes()) {
            return Err(Refusal::WrongKind);
        }
        Ok(())
    }

    /// `slot` may be the place that it is staged in, so it says nothing of addresses: a boot loader is loaded into RAM.
    fn checker(&self, _slot: Region, length: u32) -> EspBootLoaderChecker {
        EspBootLoaderChecker(Verifier::new(self.expect(length)))
    }
}

/// The [`Checker`] of [`EspBootLoader`].
pub struct EspBootLoaderChecker(Verifier);

impl Checker for EspBootLoaderChecker {
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        Ok(self.0.update(bytes)?)
    }

    fn finish(self) -> Result<[u8; 32], Refusal> {
        Ok(self.0.finish()?.file_sha256)
    }
}

#[cfg(test)]
mod tests {
    use airlift_formats::esp::app_image::AppImageBuilder;

    use super::*;

    const CHIP: ChipId = ChipId::ESP32C3;

    /// Made by ESP-IDF's build.
    fn boot_loader() -> Vec<u8> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/golden/esp/app/bootloader_esp32c3.bin"
        );
        std::fs::read(path).unwrap_or_else(|error| panic!("golden vector needed: {path}: {error}"))
    }

    fn judge(check: &EspBootLoader, image: &[u8]) -> Result<[u8; 32], Refusal> {
        let length = image.len() as u32;
        let prefix = image.get(..EspBootLoader::PREFIX).unwrap_or(image);
        check.check_prefix(prefix, length)?;
        let mut checker = check.checker(Region::new(0, 0x8000), length);
        for piece in image.chunks(700) {
            checker.update(piece)?;
        }
        checker.finish()
    }

    #[test]
    fn a_boot_loader_for_this_chip_is_taken() {
        use sha2::{Digest as _, Sha256};
        let image = boot_loader();
        let digest = judge(&EspBootLoader::new(CHIP), &image);
        assert_eq!(digest, Ok(Sha256::digest(&image).into()));
    }

    #[test]
    fn what_would_not_start_this_chip_is_refused() {
        let app = AppImageBuilder::new(CHIP).payload(&[7; 3000]).build();
        let refused = judge(&EspBootLoader::new(CHIP), &app.unwrap());
        assert_eq!(refused, Err(Refusal::WrongKind), "an app");
        let refused = judge(&EspBootLoader::new(ChipId::ESP32), &boot_loader());
        assert!(matches!(refused, Err(Refusal::Image(_))), "{refused:?}");
        let mut damaged = boot_loader();
        damaged[1500] ^= 1;
        for bytes in [&damaged[..], &damaged[..100], &[0xFF; 1024], b"text", &[]] {
            let refused = judge(&EspBootLoader::new(CHIP), bytes);
            assert!(matches!(refused, Err(Refusal::Image(_))), "{refused:?}");
        }
    }
}
