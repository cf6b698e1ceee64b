//! Random names and secrets.

/// `BYTES` random bytes from the operating system.
///
/// # Panics
/// When the operating system has no randomness to give: nothing that follows could be trusted.
#[expect(clippy::expect_used, reason = "see above")]
pub(crate) fn bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// `BYTES` random bytes in hexadecimal.
pub(crate) fn hex<const BYTES: usize>() -> String {
    let bytes = bytes::<BYTES>();
    bytes
        .iter()
        .fold(String::with_capacity(2 * BYTES), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        })
}
