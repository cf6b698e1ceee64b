//! Digests by their number in the IANA Named Information registry.

use core::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};
#[cfg(feature = "sha512")]
use sha2::{Sha384, Sha512};
#[cfg(feature = "sha3")]
use sha3::{Sha3_224, Sha3_256, Sha3_384, Sha3_512};

use super::MAX_DIGEST_LEN;

/// How a digest is computed. The number is the one in the header, from the IANA Named Information registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DigestAlgorithm {
    /// SHA-256, what nearly every image has.
    Sha256 = 1,
    /// The first 128 bits of SHA-256.
    Sha256To128 = 2,
    /// The first 120 bits of SHA-256.
    Sha256To120 = 3,
    /// The first 96 bits of SHA-256.
    Sha256To96 = 4,
    /// The first 64 bits of SHA-256.
    Sha256To64 = 5,
    /// The first 32 bits of SHA-256.
    Sha256To32 = 6,
    /// SHA-384; feature `sha512`.
    Sha384 = 7,
    /// SHA-512; feature `sha512`.
    Sha512 = 8,
    /// SHA3-224; feature `sha3`. Below the 256 bits that the Matter specification recommends.
    Sha3_224 = 9,
    /// SHA3-256; feature `sha3`.
    Sha3_256 = 10,
    /// SHA3-384; feature `sha3`.
    Sha3_384 = 11,
    /// SHA3-512; feature `sha3`.
    Sha3_512 = 12,
}

impl DigestAlgorithm {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Sha256,
        Self::Sha256To128,
        Self::Sha256To120,
        Self::Sha256To96,
        Self::Sha256To64,
        Self::Sha256To32,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The algorithm with this number.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        let index = usize::from(id.checked_sub(1)?);
        Self::ALL.get(index).copied()
    }

    /// Its number.
    #[must_use]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// Bytes of the digest.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha256To128 => 16,
            Self::Sha256To120 => 15,
            Self::Sha256To96 => 12,
            Self::Sha256To64 => 8,
            Self::Sha256To32 => 4,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
            Self::Sha3_224 => 28,
        }
    }

    /// Whether it is SHA-256 cut to fewer bits.
    #[must_use]
    pub const fn is_truncated(self) -> bool {
        matches!(self.id(), 2..=6)
    }

    /// Its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha256To128 => "sha-256-128",
            Self::Sha256To120 => "sha-256-120",
            Self::Sha256To96 => "sha-256-96",
            Self::Sha256To64 => "sha-256-64",
            Self::Sha256To32 => "sha-256-32",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            Self::Sha3_224 => "sha3-224",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is not that of a digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownDigestName;

impl fmt::Display for UnknownDigestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a digest algorithm: sha256, sha384, sha512, sha3-224, sha3-256, sha3-384 or sha3-512")
    }
}

impl core::error::Error for UnknownDigestName {}

impl FromStr for DigestAlgorithm {
    type Err = UnknownDigestName;

    /// Reads the registry's name, also without its first dash (`sha256`) and with the underscores of the official tool (`sha3_256`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |text: &'static str| text.bytes().filter(|byte| *byte != b'-');
        Self::ALL
            .into_iter()
            .find(|algorithm| {
                let asked = text.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
                plain(algorithm.name()).eq(asked.map(|byte| byte.to_ascii_lowercase()))
            })
            .ok_or(UnknownDigestName)
    }
}

/// A digest of at most [`MAX_DIGEST_LEN`] bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DigestValue {
    bytes: [u8; MAX_DIGEST_LEN],
    len: u8,
}

impl DigestValue {
    /// The first `len` bytes; fewer if there are fewer.
    pub(super) fn first(bytes: &[u8], len: usize) -> Self {
        let mut value = Self {
            bytes: [0; MAX_DIGEST_LEN],
            len: 0,
        };
        for (to, from) in value.bytes.iter_mut().zip(bytes).take(len) {
            *to = *from;
            value.len += 1;
        }
        value
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Display for DigestValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DigestValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a digest.
#[derive(Clone)]
pub struct Hasher {
    algorithm: DigestAlgorithm,
    state: State,
}

/// The states differ in size by what their blocks do; they live inside of a verifier, where there is no heap to move them to.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)]
enum State {
    Sha256(Sha256),
    #[cfg(feature = "sha512")]
    Sha384(Sha384),
    #[cfg(feature = "sha512")]
    Sha512(Sha512),
    #[cfg(feature = "sha3")]
    Sha3_224(Sha3_224),
    #[cfg(feature = "sha3")]
    Sha3_256(Sha3_256),
    #[cfg(feature = "sha3")]
    Sha3_384(Sha3_384),
    #[cfg(feature = "sha3")]
    Sha3_512(Sha3_512),
}

impl Hasher {
    /// Starts a digest; none if the feature that the algorithm needs is not built in.
    #[must_use]
    pub fn new(algorithm: DigestAlgorithm) -> Option<Self> {
        let state = match algorithm {
            DigestAlgorithm::Sha256
            | DigestAlgorithm::Sha256To128
            | DigestAlgorithm::Sha256To120
            | DigestAlgorithm::Sha256To96
            | DigestAlgorithm::Sha256To64
            | DigestAlgorithm::Sha256To32 => State::Sha256(Sha256::new()),
            #[cfg(feature = "sha512")]
            DigestAlgorithm::Sha384 => State::Sha384(Sha384::new()),
            #[cfg(feature = "sha512")]
            DigestAlgorithm::Sha512 => State::Sha512(Sha512::new()),
            #[cfg(feature = "sha3")]
            DigestAlgorithm::Sha3_224 => State::Sha3_224(Sha3_224::new()),
            #[cfg(feature = "sha3")]
            DigestAlgorithm::Sha3_256 => State::Sha3_256(Sha3_256::new()),
            #[cfg(feature = "sha3")]
            DigestAlgorithm::Sha3_384 => State::Sha3_384(Sha3_384::new()),
            #[cfg(feature = "sha3")]
            DigestAlgorithm::Sha3_512 => State::Sha3_512(Sha3_512::new()),
            #[cfg(not(all(feature = "sha512", feature = "sha3")))]
            _ => return None,
        };
        Some(Self { algorithm, state })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            #[cfg(feature = "sha512")]
            State::Sha384(state) => state.update(bytes),
            #[cfg(feature = "sha512")]
            State::Sha512(state) => state.update(bytes),
            #[cfg(feature = "sha3")]
            State::Sha3_224(state) => state.update(bytes),
            #[cfg(feature = "sha3")]
            State::Sha3_256(state) => state.update(bytes),
            #[cfg(feature = "sha3")]
            State::Sha3_384(state) => state.update(bytes),
            #[cfg(feature = "sha3")]
            State::Sha3_512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes.
    #[must_use]
    pub fn finish(self) -> DigestValue {
        let len = self.algorithm.digest_len();
        match self.state {
            State::Sha256(state) => DigestValue::first(&state.finalize(), len),
            #[cfg(feature = "sha512")]
            State::Sha384(state) => DigestValue::first(&state.finalize(), len),
            #[cfg(feature = "sha512")]
            State::Sha512(state) => DigestValue::first(&state.finalize(), len),
            #[cfg(feature = "sha3")]
            State::Sha3_224(state) => DigestValue::first(&state.finalize(), len),
            #[cfg(feature = "sha3")]
            State::Sha3_256(state) => DigestValue::first(&state.finalize(), len),
            #[cfg(feature = "sha3")]
            State::Sha3_384(state) => DigestValue::first(&state.finalize(), len),
            #[cfg(feature = "sha3")]
            State::Sha3_512(state) => DigestValue::first(&state.finalize(), len),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 and FIPS 202: the digest of "abc".
    #[test]
    fn the_digest_of_abc_is_that_of_the_standards() {
        for (algorithm, digest) in [
            (
                DigestAlgorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                DigestAlgorithm::Sha256To128,
                "ba7816bf8f01cfea414140de5dae2223",
            ),
            (
                DigestAlgorithm::Sha256To120,
                "ba7816bf8f01cfea414140de5dae22",
            ),
            (DigestAlgorithm::Sha256To96, "ba7816bf8f01cfea414140de"),
            (DigestAlgorithm::Sha256To64, "ba7816bf8f01cfea"),
            (DigestAlgorithm::Sha256To32, "ba7816bf"),
            (
                DigestAlgorithm::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                DigestAlgorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                DigestAlgorithm::Sha3_224,
                "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf",
            ),
            (
                DigestAlgorithm::Sha3_256,
                "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
            ),
            (
                DigestAlgorithm::Sha3_384,
                "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
            ),
            (
                DigestAlgorithm::Sha3_512,
                "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e\
                 10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
            ),
        ] {
            let mut hasher = Hasher::new(algorithm).expect("built in");
            hasher.update(b"a");
            hasher.update(b"bc");
            let value = hasher.finish();
            assert_eq!(value.to_string(), digest, "{algorithm}");
            assert_eq!(value.as_bytes().len(), algorithm.digest_len());
        }
    }

    #[test]
    fn numbers_and_names_are_those_of_the_registry() {
        for (index, algorithm) in DigestAlgorithm::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(algorithm.id()), index + 1);
            assert_eq!(DigestAlgorithm::from_id(algorithm.id()), Some(algorithm));
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        assert_eq!(DigestAlgorithm::from_id(0), None);
        assert_eq!(DigestAlgorithm::from_id(13), None);
        for (text, algorithm) in [
            ("sha256", DigestAlgorithm::Sha256),
            ("sha3_256", DigestAlgorithm::Sha3_256),
            ("SHA3-512", DigestAlgorithm::Sha3_512),
            ("sha256_128", DigestAlgorithm::Sha256To128),
        ] {
            assert_eq!(text.parse(), Ok(algorithm));
        }
        assert_eq!("md5".parse::<DigestAlgorithm>(), Err(UnknownDigestName));
    }
}
