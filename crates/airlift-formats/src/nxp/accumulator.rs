//! The first bytes of a value, whatever pieces they come in.

use core::fmt;

/// Collects a known number of bytes, at most `N`, from pieces of any size: the descriptor at the start of a value, or a whole
/// small one.
///
/// ```
/// use airlift_formats::nxp::Accumulator;
///
/// let mut metadata = Accumulator::<4>::new();
/// let mut piece = &b"ab"[..];
/// assert_eq!(metadata.take(&mut piece), None);
/// let mut piece = &b"cdimage"[..];
/// assert_eq!(metadata.take(&mut piece), Some(&b"abcd"[..]));
/// assert_eq!(piece, b"image");
/// ```
#[derive(Debug, Clone)]
pub struct Accumulator<const N: usize> {
    bytes: [u8; N],
    len: usize,
    wanted: usize,
}

/// More bytes are wanted than an accumulator has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// Bytes that are wanted.
    pub wanted: usize,
    /// Bytes that there is room for.
    pub room: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, room } = self;
        write!(f, "{wanted} bytes are to be kept, there is room for {room}")
    }
}

impl core::error::Error for TooLong {}

impl<const N: usize> Accumulator<N> {
    /// Collects `N` bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            wanted: N,
        }
    }

    /// Collects this many bytes.
    ///
    /// # Errors
    /// There is no room for them: the number usually comes from outside.
    pub const fn with_len(wanted: usize) -> Result<Self, TooLong> {
        if wanted > N {
            return Err(TooLong { wanted, room: N });
        }
        let mut accumulator = Self::new();
        accumulator.wanted = wanted;
        Ok(accumulator)
    }

    /// Takes what is still missing from the front of `input`. Once nothing is, gives the bytes, and takes no more.
    pub fn take(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let missing = self.missing();
        let (piece, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(piece) {
            *to = *from;
        }
        self.len = self.len.saturating_add(piece.len());
        *input = rest;
        self.get()
    }

    /// The bytes, when all are there.
    #[must_use]
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes
            .get(..self.wanted)
            .filter(|_| self.missing() == 0)
    }

    /// Number of bytes that are still missing.
    #[must_use]
    pub const fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.len)
    }

    /// Forgets what it has; collects as many bytes again.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

impl<const N: usize> Default for Accumulator<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn it_takes_the_first_bytes_and_no_more(
            wanted in 0..40usize,
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            piece_len in 1..50usize,
        ) {
            let mut accumulator = Accumulator::<40>::with_len(wanted).unwrap();
            let mut rest = Vec::new();
            for mut piece in bytes.chunks(piece_len) {
                accumulator.take(&mut piece);
                rest.extend_from_slice(piece);
            }
            let expected = (bytes.len() >= wanted).then(|| &bytes[..wanted]);
            proptest::prop_assert_eq!(accumulator.get(), expected);
            proptest::prop_assert_eq!(&rest[..], bytes.get(wanted..).unwrap_or(&[]));
            accumulator.clear();
            proptest::prop_assert_eq!(accumulator.missing(), wanted);
        }
    }

    #[test]
    fn it_does_not_promise_more_than_it_has_room_for() {
        let error = Accumulator::<4>::with_len(5).unwrap_err();
        assert_eq!(error, TooLong { wanted: 5, room: 4 });
        assert_eq!(Accumulator::<4>::with_len(0).unwrap().get(), Some(&[][..]));
    }
}
