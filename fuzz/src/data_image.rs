//! Data images for an app slot.

use airlift_formats::esp::{
    app_image::{ChipId, Expect, Kind, Verifier},
    data_image::{DataImage, DataImageError, HEADER_LEN, MIN_LEN, build, idf_verdict},
};

/// What is accepted as a data image, ESP-IDF does not boot, whatever stands behind its header, and it is written back to
/// the same bytes. What ESP-IDF boots, and nothing else, is refused by an error that says so. Any bytes at all are data that can be packed and
/// read back.
pub fn data_image(data: &[u8]) {
    match DataImage::parse(data) {
        Ok(image) => {
            never_boots(data);
            assert_written_back(&image, data);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let says_so = matches!(
                error,
                DataImageError::AppImage { .. }
                    | DataImageError::ChecksumCollides { .. }
                    | DataImageError::ChecksumByte
            );
            let boots = idf_verdict(data).is_ok();
            assert_eq!(boots, says_so, "whether ESP-IDF boots it: {error:?}");
        }
    }

    let chip = ChipId(u16::from(data.last().copied().unwrap_or_default()));
    let file = build(chip, data);
    never_boots(&file);
    let image = DataImage::parse(&file).expect("what was built can be read");
    assert_eq!(image.chip(), chip);
    let len = image.view().data_len();
    assert!((len.least..=len.most).contains(&data.len()));
    assert_eq!(image.view().content()[..data.len()], *data);
    assert!(data.starts_with(image.view().preview()));
    assert_written_back(&image, &file);
}

/// The verdict falls within the header, so it cannot depend on the data.
fn never_boots(file: &[u8]) {
    let mut verifier = Verifier::new(Expect::idf(Kind::App));
    assert!(verifier.update(&file[..HEADER_LEN]).is_err());
    assert!(idf_verdict(file).is_err());
}

/// The data as they are read, and with all the zeros that they may have had.
fn assert_written_back(image: &DataImage, file: &[u8]) {
    assert!(file.len() >= MIN_LEN);
    for data in [image.data(), image.view().content()] {
        assert_eq!(build(image.chip(), data), file);
    }
}
