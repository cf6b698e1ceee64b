//! Checks the payload as it streams by.

use super::{DigestValue, Hasher, Header, MAX_DIGEST_LEN, OtaImageError, Rules};

/// Counts and digests the payload. It keeps a digest's state and what the digest has to be, nothing else.
#[derive(Debug, Clone)]
pub struct PayloadVerifier {
    /// None: the digest cannot be computed (lenient profile).
    hasher: Option<Hasher>,
    expected: DigestValue,
    size: u64,
    position: u64,
    /// Where the payload starts in the file: for the offsets of errors.
    offset: u64,
    trailing: u64,
    strict: bool,
}

/// What is known of a file that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the payload.
    pub payload_size: u64,
    /// Whether the payload has the digest of the header. False only in the lenient profile, where the digest may be of a type that is not
    /// known, or of another length than its type has.
    pub digest_checked: bool,
    /// Bytes behind the payload; lenient profile.
    pub trailing: u64,
}

impl PayloadVerifier {
    /// A verifier for the payload of this header, which starts at this offset of the file.
    #[must_use]
    pub fn new(header: &Header<'_>, offset: u64, rules: &Rules) -> Self {
        let algorithm = header
            .digest_algorithm()
            .filter(|algorithm| algorithm.digest_len() == header.digest.len());
        Self {
            hasher: algorithm.and_then(Hasher::new),
            expected: DigestValue::first(header.digest, MAX_DIGEST_LEN),
            size: header.payload_size,
            position: 0,
            offset,
            trailing: 0,
            strict: rules.is_strict(),
        }
    }

    /// Takes payload from the front of `input` and gives it back; nothing when `input` is empty. What follows the payload is
    /// not taken together with it, so that all of the payload has come out before it is judged.
    ///
    /// # Errors
    /// Something follows the payload.
    pub fn update<'d>(&mut self, input: &mut &'d [u8]) -> Result<&'d [u8], OtaImageError> {
        let left = usize::try_from(self.remaining()).unwrap_or(usize::MAX);
        if left == 0 && !input.is_empty() {
            let behind = core::mem::take(input);
            self.trailing = self.trailing.saturating_add(behind.len() as u64);
            return match self.strict {
                true => Err(self.trailing_bytes()),
                false => Ok(&[]),
            };
        }
        let (payload, behind) = input.split_at_checked(left).unwrap_or((input, &[]));
        *input = behind;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(payload);
        }
        self.position = self.position.saturating_add(payload.len() as u64);
        Ok(payload)
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// Bytes are missing, there were too many, or the digest is another one.
    pub fn finish(self) -> Result<Summary, OtaImageError> {
        let end = self.offset.saturating_add(self.size);
        if self.position < self.size {
            return Err(OtaImageError::Truncated {
                needed: end,
                found: self.offset.saturating_add(self.position),
                in_header: false,
            });
        }
        if self.strict && self.trailing > 0 {
            return Err(self.trailing_bytes());
        }
        let digest_checked = self.hasher.is_some();
        if let Some(hasher) = self.hasher
            && hasher.finish() != self.expected
        {
            return Err(OtaImageError::Digest);
        }
        Ok(Summary {
            payload_size: self.size,
            digest_checked,
            trailing: self.trailing,
        })
    }

    const fn trailing_bytes(&self) -> OtaImageError {
        OtaImageError::TrailingBytes {
            offset: self.offset.saturating_add(self.size),
        }
    }

    /// Bytes of the payload so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the payload that have still to come.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.size.saturating_sub(self.position)
    }
}
