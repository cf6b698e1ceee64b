//! Signatures of images: made on this machine, so that the key stays here.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use airlift_formats::aws::base64;
use anyhow::{Context, anyhow, bail};
use p256::SecretKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{DerSignature, Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use sha2::{Digest as _, Sha256};

use crate::output::hex;

/// Largest file that is looked into for a key.
const MAX_KEY_FILE: u64 = 64 << 10;

/// A private key that signs images.
pub(crate) struct Key(SigningKey);

/// A signature, and of what.
pub(crate) struct Signed {
    /// SHA-256 of the file, lower-case hexadecimal.
    pub(crate) sha256: String,
    /// ECDSA over it, DER, base64.
    pub(crate) signature: String,
}

impl Key {
    /// Reads a key of the curve P-256 from a PEM file, as openssl writes it: PKCS #8 or SEC 1.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut text = String::new();
        let read =
            File::open(path).and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            read => drop(read.with_context(|| format!("{shown}: cannot read the key"))?),
        }
        // `openssl ecparam -genkey` writes the curve's parameters in front of the key.
        let sec1 = text.find("-----BEGIN EC PRIVATE KEY-----");
        let key = match sec1.and_then(|at| text.get(at..)) {
            Some(pem) => SecretKey::from_sec1_pem(pem).ok(),
            None => SecretKey::from_pkcs8_pem(&text).ok(),
        };
        let Some(key) = key else {
            if text.contains("ENCRYPTED") {
                bail!(
                    "{shown}: the key is encrypted; decrypt it first: openssl pkey -in {shown} -out plain.pem"
                );
            }
            bail!(
                "{shown}: not a private key of the curve P-256 in PEM; make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem`"
            );
        };
        Ok(Self(key.into()))
    }

    /// The key of a demo: the same seed gives the same one.
    pub(crate) fn of_seed(seed: u64) -> anyhow::Result<Self> {
        let scalar = Sha256::digest(seed.to_le_bytes());
        let key = SecretKey::from_slice(&scalar)
            .map_err(|_| anyhow!("no key comes of the seed {seed}; use another"))?;
        Ok(Self(key.into()))
    }

    /// The public half: 65 bytes, as SEC 1 has them.
    pub(crate) fn public_point(&self) -> Vec<u8> {
        let point = self.0.verifying_key().to_encoded_point(false);
        point.as_bytes().to_vec()
    }

    /// Signs a whole file.
    pub(crate) fn sign(&self, path: &Path) -> anyhow::Result<Signed> {
        let unreadable = || format!("{}: cannot read the file", path.display());
        let mut file = File::open(path).with_context(unreadable)?;
        let mut digest = Sha256::new();
        std::io::copy(&mut file, &mut digest).with_context(unreadable)?;
        let digest = digest.finalize();
        let signature: Signature = self
            .0
            .sign_prehash(&digest)
            .map_err(|_| anyhow!("{}: cannot be signed", path.display()))?;
        let mut text = Vec::new();
        let der = DerSignature::from(signature);
        base64::encode(der.as_bytes().iter().copied(), &mut text);
        Ok(Signed {
            sha256: hex(&digest),
            signature: String::from_utf8(text)?,
        })
    }
}

impl Signed {
    /// Whether what the server got is what was signed.
    pub(crate) fn check(&self, path: &Path, sha256: &str) -> anyhow::Result<()> {
        if self.sha256 == sha256 {
            return Ok(());
        }
        bail!(
            "{} was changed while it was sent: the signature is not that of what the server has; do it again",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;

    use super::*;

    // Both by openssl, of one key made for this test.
    const PKCS8: &str = include_str!("../tests/keys/p256.pkcs8.pem");
    const SEC1: &str = include_str!("../tests/keys/p256.sec1.pem");

    fn key(text: &str) -> anyhow::Result<Key> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Key::read(file.path())
    }

    #[test]
    fn a_signature_is_that_of_the_whole_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content = vec![7; 100_000];
        std::fs::write(file.path(), &content).unwrap();
        for pem in [PKCS8, SEC1] {
            let key = key(pem).unwrap();
            let signed = key.sign(file.path()).unwrap();
            let mut der = [0; 80];
            let length = base64::decode_into(signed.signature.as_str().into(), &mut der).unwrap();
            let signature = Signature::from_der(&der[..length]).unwrap();
            assert!(
                VerifyingKey::from(&key.0)
                    .verify(&content, &signature)
                    .is_ok()
            );
            assert!(
                signed
                    .check(file.path(), &hex(&Sha256::digest(&content)))
                    .is_ok()
            );
            assert!(
                signed
                    .check(file.path(), &hex(&Sha256::digest(b"")))
                    .is_err()
            );
        }
        assert!(
            SEC1.contains("EC PARAMETERS"),
            "as `openssl ecparam` writes it"
        );
    }

    #[test]
    fn what_is_no_key_of_that_curve_is_refused() {
        let cut = PKCS8.replace("BEGIN PRIVATE KEY", "BEGIN PRIVATE KE");
        let certificate = PKCS8.replace("PRIVATE KEY", "CERTIFICATE");
        let encrypted = PKCS8.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let other_curve = include_str!("../tests/keys/p384.pkcs8.pem");
        for text in ["", "key", &cut, &certificate, other_curve] {
            let error = key(text).map(drop).unwrap_err().to_string();
            assert!(
                error.contains("not a private key of the curve P-256"),
                "{error}"
            );
        }
        let error = key(&encrypted).map(drop).unwrap_err().to_string();
        assert!(error.contains("encrypted"), "{error}");
    }
}
