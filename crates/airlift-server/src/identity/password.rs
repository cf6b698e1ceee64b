//! Passwords of devices: made by the server, never chosen.
//!
//! A password is 256 random bits in hexadecimal, which nobody guesses; so its SHA-256 is kept and compared in constant time, as with
//! tokens. A slow hash protects what people choose, and would cost a fleet that comes back after a power cut minutes of the
//! server's time.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::digest;

/// Makes a password and what is kept of it.
pub(crate) fn create() -> (String, String) {
    let password = crate::random::hex::<32>();
    let hash = hash(password.as_bytes());
    (password, digest::Sha256(hash).to_string())
}

/// Whether this is the password of which `kept` was kept. `None`, for a thing that has none or does not exist, costs the same.
pub(crate) fn is_right(password: &[u8], kept: Option<&str>) -> bool {
    let kept = kept.and_then(|kept| digest::Sha256::parse(kept.as_bytes()));
    let expected = kept.map_or([0; 32], |kept| kept.0);
    let matches: bool = hash(password).ct_eq(&expected).into();
    matches && kept.is_some()
}

fn hash(password: &[u8]) -> [u8; 32] {
    Sha256::digest(password).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_that_was_made_is_right() {
        let (password, kept) = create();
        assert_eq!(password.len(), 64);
        assert!(!kept.contains(&password));
        assert!(is_right(password.as_bytes(), Some(&kept)));
        assert!(!is_right(create().0.as_bytes(), Some(&kept)));
        assert!(!is_right(password.to_uppercase().as_bytes(), Some(&kept)));
        for nothing in [None, Some(""), Some("not a digest")] {
            assert!(!is_right(password.as_bytes(), nothing));
            assert!(!is_right(b"", nothing));
        }
    }
}
