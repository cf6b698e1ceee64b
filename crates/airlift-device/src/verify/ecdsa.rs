//! Signatures by ECDSA over P-256 with SHA-256: what AWS calls `sig-sha256-ecdsa`.

use core::fmt;

use airlift_formats::aws::base64;
use airlift_formats::aws::job_document::{File, SignatureKind};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{DerSignature, VerifyingKey};

use super::SignatureVerifier;
use crate::Refusal;

/// The longest signature: two numbers of 33 bytes, and what DER puts around them.
const MAX_DER_LEN: usize = 72;

/// Trusts the signatures of these keys. A device has two of them while one takes the place of the other.
#[derive(Clone, Copy, Debug)]
pub struct EcdsaP256<'k> {
    keys: &'k [&'k [u8]],
}

/// Bytes that are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    /// Which one, from 0.
    pub index: usize,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "key {}: not a point of the curve P-256 as SEC 1 writes it: 04, x, y, or 02 or 03, x",
            self.index
        )
    }
}

impl core::error::Error for InvalidKey {}

impl<'k> EcdsaP256<'k> {
    /// The public keys as SEC 1 has them: 65 bytes that begin with 04, or 33 that begin with 02 or 03.
    ///
    /// # Errors
    /// One of them is none.
    pub fn new(keys: &'k [&'k [u8]]) -> Result<Self, InvalidKey> {
        for (index, key) in keys.iter().enumerate() {
            VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidKey { index })?;
        }
        Ok(Self { keys })
    }
}

fn signature(file: &File<'_>) -> Result<DerSignature, Refusal> {
    if file.signature_kind != SignatureKind::Sha256Ecdsa {
        return Err(Refusal::Signature);
    }
    let mut der = [0; MAX_DER_LEN];
    let len = base64::decode_into(file.signature, &mut der).map_err(|_| Refusal::Signature)?;
    let der = der.get(..len).unwrap_or_default();
    DerSignature::from_bytes(der).map_err(|_| Refusal::Signature)
}

impl SignatureVerifier for EcdsaP256<'_> {
    fn check(&self, file: &File<'_>) -> Result<(), Refusal> {
        signature(file).map(|_| ())
    }

    fn verify(&self, file: &File<'_>, sha256: &[u8; 32]) -> Result<(), Refusal> {
        let signature = signature(file)?;
        for key in self.keys {
            if let Ok(key) = VerifyingKey::from_sec1_bytes(key)
                && key.verify_prehash(sha256, &signature).is_ok()
            {
                return Ok(());
            }
        }
        Err(Refusal::Signature)
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::hazmat::PrehashSigner as _;
    use p256::ecdsa::{Signature, SigningKey};
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).unwrap()
    }

    fn public(key: &SigningKey) -> Vec<u8> {
        key.verifying_key()
            .to_encoded_point(false)
            .as_bytes()
            .to_vec()
    }

    fn text(key: &SigningKey, sha256: &[u8; 32]) -> String {
        let signature: Signature = key.sign_prehash(sha256).unwrap();
        let mut text = Vec::new();
        base64::encode(signature.to_der().as_bytes().iter().copied(), &mut text);
        String::from_utf8(text).unwrap()
    }

    fn file(signature: &str, kind: SignatureKind) -> File<'_> {
        File {
            id: 0,
            size: 3,
            path: "app".into(),
            certificate: "key".into(),
            file_type: None,
            url: None,
            auth_scheme: None,
            signature: signature.into(),
            signature_kind: kind,
        }
    }

    #[test]
    fn a_signature_by_any_of_the_keys_is_good() {
        let sha256: [u8; 32] = Sha256::digest(b"abc").into();
        let (old, new, other) = (key(1), key(2), key(3));
        let (old_key, new_key) = (public(&old), public(&new));
        let keys = [&old_key[..], &new_key];
        let verifier = EcdsaP256::new(&keys).unwrap();
        for (signer, good) in [(&old, true), (&new, true), (&other, false)] {
            let signature = text(signer, &sha256);
            let file = file(&signature, SignatureKind::Sha256Ecdsa);
            verifier.check(&file).unwrap();
            assert_eq!(verifier.verify(&file, &sha256).is_ok(), good);
            assert_eq!(verifier.verify(&file, &[7; 32]), Err(Refusal::Signature));
        }
    }

    #[test]
    fn what_is_no_signature_is_refused_before_anything_is_fetched() {
        let sha256 = [7; 32];
        let signer = key(1);
        let public = public(&signer);
        let keys = [&public[..]];
        let verifier = EcdsaP256::new(&keys).unwrap();
        let good = text(&signer, &sha256);
        for (signature, kind) in [
            ("", SignatureKind::Sha256Ecdsa),
            ("MEQ=", SignatureKind::Sha256Ecdsa),
            (&good[..good.len() - 4], SignatureKind::Sha256Ecdsa),
            (&good.repeat(2), SignatureKind::Sha256Ecdsa),
            ("not base64!", SignatureKind::Sha256Ecdsa),
            (&good, SignatureKind::Sha256Rsa),
            (&good, SignatureKind::Sha1Ecdsa),
        ] {
            let file = file(signature, kind);
            assert_eq!(
                verifier.check(&file),
                Err(Refusal::Signature),
                "{signature}"
            );
            assert_eq!(verifier.verify(&file, &sha256), Err(Refusal::Signature));
        }
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let public = public(&key(1));
        let compressed = key(1)
            .verifying_key()
            .to_encoded_point(true)
            .as_bytes()
            .to_vec();
        for (second, good) in [
            (&compressed[..], true),
            (&public[..64], false),
            (&[4; 65], false),
        ] {
            let keys = [&public[..], second];
            let made = EcdsaP256::new(&keys);
            assert_eq!(made.is_ok(), good);
            if let Err(error) = made {
                assert_eq!(error.index, 1);
            }
        }
    }
}
