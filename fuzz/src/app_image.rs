//! The verifier of app and boot loader images.

use airlift_formats::esp::app_image::{
    Expect, ImageError, Kind, PREFIX_LEN, Summary, Verifier, check_prefix,
};

use crate::pieces;

/// The verdict does not depend on the pieces in which an image comes, the first bytes are judged as the whole image is,
/// and what the strict profile accepts ESP-IDF accepts as well.
///
/// The input: the image, then a byte that decides on the pieces.
pub fn app_image(data: &[u8]) {
    let Some((&seed, image)) = data.split_last() else {
        return;
    };
    let kind = Kind::guess(image);
    let mut strict = Expect::strict(kind);
    if seed & 1 != 0 {
        strict.file_len = u32::try_from(image.len()).ok();
        strict.partition_size = Some(1 << 20);
    }
    strict.require_hash = seed & 2 == 0;

    let verdict = verify(strict, [image]);
    assert_eq!(
        verify(strict, pieces(image, seed)),
        verdict,
        "pieces of another length, another verdict"
    );

    let mut early = strict;
    early.file_len = None;
    if image.len() >= PREFIX_LEN && verify(early, [image]).is_ok() {
        let prefix = check_prefix(image, &early).expect("the start of a good image is good");
        assert_eq!(prefix.header.emit()[..], image[..24]);
    }

    match verdict {
        Ok(summary) => {
            assert_eq!(summary.file_len as usize, image.len());
            assert!(summary.image_len <= summary.file_len);
            let mut lax = Expect::idf(kind);
            lax.partition_size = strict.partition_size;
            if let Err(error) = verify(lax, [image]) {
                panic!("strict accepts what ESP-IDF refuses: {error}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn verify<'a>(
    expect: Expect,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Summary, ImageError> {
    let mut verifier = Verifier::new(expect);
    for piece in pieces {
        verifier.update(piece)?;
    }
    verifier.finish()
}
