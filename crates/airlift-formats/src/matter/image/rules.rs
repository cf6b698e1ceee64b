//! By whose rules a file is judged.

/// By whose rules a file is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Airlift's: everything that the header promises has to hold.
    Strict,
    /// For reading files of others: what the reference's header parser lets pass, passes. The total size, the text in strings and
    /// the type and length of the digest may be anything; what follows the payload is ignored. A payload that is too short, or
    /// whose digest can be computed and is another, is refused all the same.
    Lenient,
}

/// What to demand of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// By whose rules to judge.
    pub profile: Profile,
    /// Strict profile: accept the digests of types 2 to 6, SHA-256 cut to between 128 and 32 bits. The shorter ones
    /// protect from accidents at best.
    pub short_digests: bool,
    /// Number of bytes of the file, if known: a wrong total size is then found at once.
    pub file_len: Option<u64>,
}

impl Rules {
    /// The strict profile without options.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            profile: Profile::Strict,
            short_digests: false,
            file_len: None,
        }
    }

    /// The lenient profile.
    #[must_use]
    pub const fn lenient() -> Self {
        Self {
            profile: Profile::Lenient,
            short_digests: true,
            file_len: None,
        }
    }

    pub(super) const fn is_strict(&self) -> bool {
        matches!(self.profile, Profile::Strict)
    }
}
