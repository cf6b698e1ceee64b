//! Images that are signed as a whole, by a signature that came beside them.

use airlift_formats::aws::job_document::File;

use super::{Checker, ImageCheck};
use crate::Refusal;
use crate::flash::Region;

/// Knows which signatures to trust: of which kinds, and by which keys.
pub trait SignatureVerifier {
    /// Looks at the signature of a file before its first byte is fetched: is it of a kind, and for a key, that is known?
    ///
    /// # Errors
    /// [`Refusal::Signature`]
    fn check(&self, file: &File<'_>) -> Result<(), Refusal>;

    /// Whether the signature is one over the bytes with this digest.
    ///
    /// # Errors
    /// [`Refusal::Signature`]
    fn verify(&self, file: &File<'_>, sha256: &[u8; 32]) -> Result<(), Refusal>;
}

/// Takes images that `image` takes and whose signature is good. It vouches for them: the digest need not be known beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'d, 'v, C, V> {
    image: C,
    file: File<'d>,
    verifier: &'v V,
}

impl<'d, 'v, C, V: SignatureVerifier> Signed<'d, 'v, C, V> {
    /// Takes `file` with its signature.
    ///
    /// # Errors
    /// [`Refusal::Signature`] if it is one that cannot be good.
    pub fn new(image: C, file: File<'d>, verifier: &'v V) -> Result<Self, Refusal> {
        verifier.check(&file)?;
        Ok(Self {
            image,
            file,
            verifier,
        })
    }
}

impl<'d, 'v, C: ImageCheck, V: SignatureVerifier> ImageCheck for Signed<'d, 'v, C, V> {
    type Checker = SignedChecker<'d, 'v, C::Checker, V>;

    const PREFIX: usize = C::PREFIX;

    const VOUCHES: bool = true;

    fn check_prefix(&self, prefix: &[u8], length: u32) -> Result<(), Refusal> {
        self.image.check_prefix(prefix, length)
    }

    fn checker(&self, slot: Region, length: u32) -> Self::Checker {
        SignedChecker {
            image: self.image.checker(slot, length),
            file: self.file,
            verifier: self.verifier,
        }
    }
}

/// The [`Checker`] of [`Signed`].
pub struct SignedChecker<'d, 'v, K, V> {
    image: K,
    file: File<'d>,
    verifier: &'v V,
}

impl<K: Checker, V: SignatureVerifier> Checker for SignedChecker<'_, '_, K, V> {
    fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.image.update(bytes)
    }

    fn finish(self) -> Result<[u8; 32], Refusal> {
        let sha256 = self.image.finish()?;
        self.verifier.verify(&self.file, &sha256)?;
        Ok(sha256)
    }
}
