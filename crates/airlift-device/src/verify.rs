//! Verify: an image is checked before its slot is erased, and again as it lies in flash before it can become bootable.

#[cfg(feature = "ecdsa")]
mod ecdsa;
mod esp_app;
mod esp_boot_loader;
mod esp_table;
mod signed;

#[cfg(feature = "ecdsa")]
pub use ecdsa::{EcdsaP256, InvalidKey};
pub use esp_app::{EspApp, EspAppChecker};
pub use esp_boot_loader::{EspBootLoader, EspBootLoaderChecker};
pub use esp_table::{EspTable, EspTableChecker};
pub use signed::{SignatureVerifier, Signed, SignedChecker};

use airlift_formats::nxp::FactoryData;
use sha2::{Digest as _, Sha256};

use crate::Refusal;
use crate::flash::Region;

/// What the engine asks of an image besides its length and digest: is it an image at all, and one for this device?
pub trait ImageCheck {
    /// The check of one image as its bytes come.
    type Checker: Checker;

    /// How many of the first bytes [`check_prefix`](Self::check_prefix) wants to see.
    const PREFIX: usize;

    /// Whether a check that ends well vouches for the image by itself, as a signature does. Then nobody needs to have announced the digest of an
    /// app: that of the [`Offer`](crate::Offer) is not compared, and is nothing but the name by which the download is known after a
    /// restart. (The digests of partitions and of data are compared in any case: they are needed again later.)
    const VOUCHES: bool = false;

    /// Looks at the first bytes (all of them, if the image is shorter than [`PREFIX`](Self::PREFIX)) of an image of
    /// `length` bytes, before anything is erased.
    fn check_prefix(&self, prefix: &[u8], length: u32) -> Result<(), Refusal>;

    /// Starts the check of a whole image of `length` bytes that lies at the start of `slot`.
    fn checker(&self, slot: Region, length: u32) -> Self::Checker;
}

/// The check of one image: takes all of its bytes in order.
pub trait Checker {
    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// All bytes were given: the SHA-256 over all of them, if the image is good.
    fn finish(self) -> Result<[u8; 32], Refusal>;
}

/// Takes any bytes: for images that the device cannot judge by anything but their digest.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyImage;

impl ImageCheck for AnyImage {
    type Checker = DigestOnly;

    const PREFIX: usize = 0;

    fn check_prefix(&self, _prefix: &[u8], _length: u32) -> Result<(), Refusal> {
        Ok(())
    }

    fn checker(&self, _slot: Region, _length: u32) -> DigestOnly {
        DigestOnly(Sha256::new())
    }
}

/// The [`Checker`] of [`AnyImage`].
#[derive(Debug)]
pub struct DigestOnly(Sha256);

impl Checker for DigestOnly {
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.0.update(bytes);
        Ok(())
    }

    fn finish(self) -> Result<[u8; 32], Refusal> {
        Ok(self.0.finalize().into())
    }
}

/// The check of one part of a set: the app has one of its own, the others are vouched for by the digest of the container.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PartCheck<C> {
    /// An app.
    App(C),
    /// The factory data of a Matter device; all of them are in the prefix, because the buffer is large enough.
    FactoryData,
    /// Anything.
    Any,
}

/// The [`Checker`] of [`PartCheck`].
pub(crate) enum PartChecker<K> {
    App(K),
    Any(DigestOnly),
}

impl<C: ImageCheck> ImageCheck for PartCheck<C> {
    type Checker = PartChecker<C::Checker>;

    const PREFIX: usize = C::PREFIX;

    fn check_prefix(&self, prefix: &[u8], length: u32) -> Result<(), Refusal> {
        match self {
            Self::App(check) => check.check_prefix(prefix, length),
            Self::FactoryData => match FactoryData::parse(prefix) {
                Ok(_) => Ok(()),
                Err(error) => Err(Refusal::FactoryData(error)),
            },
            Self::Any => Ok(()),
        }
    }

    fn checker(&self, slot: Region, length: u32) -> Self::Checker {
        match self {
            Self::App(check) => PartChecker::App(check.checker(slot, length)),
            Self::FactoryData | Self::Any => PartChecker::Any(DigestOnly(Sha256::new())),
        }
    }
}

impl<K: Checker> Checker for PartChecker<K> {
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::App(checker) => checker.update(bytes),
            Self::Any(checker) => checker.update(bytes),
        }
    }

    fn finish(self) -> Result<[u8; 32], Refusal> {
        match self {
            Self::App(checker) => checker.finish(),
            Self::Any(checker) => checker.finish(),
        }
    }
}
