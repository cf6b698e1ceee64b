//! Digests of images, as bytes in memory and lower-case hexadecimal outside.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(pub(crate) [u8; $length]);

        impl $name {
            /// Reads exactly the right number of hexadecimal digits, in either case.
            pub(crate) fn parse(text: &[u8]) -> Option<Self> {
                let mut bytes = [0; $length];
                (text.len() == 2 * $length).then_some(())?;
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = match pair {
                        [high, low] => nibble(*high)? << 4 | nibble(*low)?,
                        _ => return None,
                    };
                }
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

digest!(
    /// What Espressif's update clients compare. Not a protection against anyone, only against accidents.
    Md5,
    16
);
digest!(
    /// Names objects and images.
    Sha256,
    32
);

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Md5;

    #[test]
    fn hexadecimal_of_either_case_and_exact_length_is_read() {
        let lower = Md5::parse(b"b5241c93be020df7f66b6416703f04c9").unwrap();
        assert_eq!(Md5::parse(b"B5241C93BE020DF7F66B6416703F04C9"), Some(lower));
        assert_eq!(lower.to_string(), "b5241c93be020df7f66b6416703f04c9");
        for bad in [
            "",
            "b5",
            "b5241c93be020df7f66b6416703f04c",
            "b5241c93be020df7f66b6416703f04c9a",
            "g5241c93be020df7f66b6416703f04c9",
        ] {
            assert_eq!(Md5::parse(bad.as_bytes()), None);
        }
    }
}
