//! App images of Espressif's chips.

use airlift_formats::esp::app_image::{
    AppDescriptor, ChipId, Expect, Kind, PREFIX_LEN, Verifier, check_prefix,
};

use super::{Checker, ImageCheck};
use crate::Refusal;
use crate::flash::Region;

/// Takes sound app images for one chip, and if asked for, of one project and with a least security version.
///
/// What "sound" means is [`Profile::Strict`](airlift_formats::esp::app_image::Profile::Strict): everything that the boot
/// loader of ESP-IDF checks, and the things that it leaves unchecked.
#[derive(Clone, Copy, Debug)]
pub struct EspApp<'p> {
    /// The chip that this is.
    pub chip: ChipId,
    /// Its revision, major * 100 + minor; `None`: not checked.
    pub chip_revision: Option<u16>,
    /// The project that the image must be of (at most 32 bytes); `None`: any.
    pub project: Option<&'p [u8]>,
    /// The least `secure_version` that is allowed: the version in the eFuses, or that of the running app.
    pub min_secure_version: u32,
    /// Whether images without an appended SHA-256 are refused. The digest of the offer covers all bytes in any case.
    pub require_hash: bool,
}

impl EspApp<'_> {
    /// Any sound app image for `chip`.
    #[must_use]
    pub const fn new(chip: ChipId) -> Self {
        Self {
            chip,
            chip_revision: None,
            project: None,
            min_secure_version: 0,
            require_hash: true,
        }
    }

    fn expect(&self, length: u32) -> Expect {
        let mut expect = Expect::strict(Kind::App);
        expect.chip = Some(self.chip);
        expect.chip_revision = self.chip_revision;
        expect.require_hash = self.require_hash;
        expect.file_len = Some(length);
        expect
    }

    fn check_app(&self, app: Option<&AppDescriptor>) -> Result<(), Refusal> {
        let Some(app) = app else {
            return Ok(()); // The strict profile has refused an app without a descriptor.
        };
        if let Some(project) = self.project
            && app.check_project(project).is_err()
        {
            return Err(Refusal::Project);
        }
        if app.secure_version < self.min_secure_version {
            return Err(Refusal::SecureVersion {
                image: app.secure_version,
                required: self.min_secure_version,
            });
        }
        Ok(())
    }
}

impl<'p> ImageCheck for EspApp<'p> {
    type Checker = EspAppChecker<'p>;

    const PREFIX: usize = PREFIX_LEN;

    fn check_prefix(&self, prefix: &[u8], length: u32) -> Result<(), Refusal> {
        let prefix = check_prefix(prefix, &self.expect(length))?;
        self.check_app(prefix.app.as_ref())
    }

    fn checker(&self, slot: Region, length: u32) -> EspAppChecker<'p> {
        let mut expect = self.expect(length);
        expect.partition_size = Some(slot.len);
        expect.partition_offset = slot.offset;
        EspAppChecker {
            app: *self,
            verifier: Verifier::new(expect),
        }
    }
}

/// The [`Checker`] of [`EspApp`].
pub struct EspAppChecker<'p> {
    app: EspApp<'p>,
    verifier: Verifier,
}

impl Checker for EspAppChecker<'_> {
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        Ok(self.verifier.update(bytes)?)
    }

    fn finish(self) -> Result<[u8; 32], Refusal> {
        let summary = self.verifier.finish()?;
        self.app.check_app(summary.app.as_ref())?;
        Ok(summary.file_sha256)
    }
}
