//! What the header of an image says, and what speaks for the file.

use airlift_formats::matter::image::{HeaderParser, MAX_HEADER_LEN, Rules};
use sha2::{Digest as _, Sha256};

/// What the header says, as far as the device keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) software_version: u32,
    /// The same for people.
    pub(super) version: String,
    /// The first 32 bytes of the digest of the payload.
    pub(super) payload: [u8; 32],
    /// Bytes of the whole image.
    pub(super) size: u64,
}

impl Head {
    /// Of an image that starts with these bytes. `None`: the header is not complete, or not sound, which the engine says in its own words.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let mut buffer = [0; MAX_HEADER_LEN];
        let mut parser = HeaderParser::new(&mut buffer, Rules::strict());
        let mut rest = start;
        if !parser.push(&mut rest).ok()? {
            return None;
        }
        let header = parser.header().ok()?;
        let mut payload = [0; 32];
        for (to, from) in payload.iter_mut().zip(header.digest) {
            *to = *from;
        }
        let version = header.software_version_string.as_str();
        Some(Self {
            software_version: header.software_version,
            version: version.unwrap_or_default().to_owned(),
            payload,
            size: parser.position().saturating_add(header.payload_size),
        })
    }
}

/// The digest of a file, as long as its bytes come one after the other.
#[derive(Default)]
pub(super) struct FileDigest {
    sha256: Sha256,
    /// So many of them have come.
    at: u32,
}

impl FileDigest {
    /// Takes bytes of the file that start at `at`. Those that have come before are passed over, and so is everything behind a gap.
    pub(super) fn take(&mut self, at: u32, bytes: &[u8]) {
        let known = self.at.checked_sub(at).map(|known| known as usize);
        if let Some(new) = known.and_then(|known| bytes.get(known..)) {
            self.sha256.update(new);
            self.at += new.len() as u32;
        }
    }

    /// The digest of the `length` bytes of the file; `None`: not all of them have come.
    pub(super) fn of(self, length: u32) -> Option<[u8; 32]> {
        (self.at == length).then(|| self.sha256.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use airlift_formats::matter::image::ImageBuilder;

    use super::*;

    #[test]
    fn a_header_is_known_as_soon_as_it_is_complete() {
        let builder = ImageBuilder::new(1, 2, 7, "seven");
        let image = builder.build(b"the payload").unwrap();
        let complete = image.len() - b"the payload".len();
        for end in 0..image.len() {
            let head = Head::of(&image[..end]);
            assert_eq!(head.is_some(), end >= complete, "{end} bytes");
        }
        let head = Head::of(&image).unwrap();
        let digest = <[u8; 32]>::from(Sha256::digest(b"the payload"));
        assert_eq!((head.software_version, head.payload), (7, digest));
        assert_eq!(
            (head.version.as_str(), head.size),
            ("seven", image.len() as u64)
        );
        assert_eq!(Head::of(&[7; 3000]), None);
    }

    #[test]
    fn a_file_has_a_digest_only_if_all_of_it_came() {
        let file: Vec<u8> = (0..200).collect();
        let digest = |pieces: &[std::ops::Range<usize>]| {
            let mut digest = FileDigest::default();
            for piece in pieces {
                digest.take(piece.start as u32, &file[piece.clone()]);
            }
            digest.of(200)
        };
        let whole = Some(Sha256::digest(&file).into());
        assert_eq!(digest(std::slice::from_ref(&(0..200))), whole);
        assert_eq!(digest(&[0..70, 70..200]), whole);
        assert_eq!(digest(&[0..70, 30..50, 0..100, 90..200]), whole);
        assert_eq!(digest(&[0..70, 71..200]), None);
        assert_eq!(digest(std::slice::from_ref(&(0..199))), None);
    }
}
