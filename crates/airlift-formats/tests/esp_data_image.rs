//! Data images against what the TWO-STEP OTA demo's tool wrote, and against ESP-IDF's verdicts on fake headers.

use std::{fs, path::PathBuf};

use airlift_formats::esp::{
    app_image::{ChipId, Expect, ImageError, Kind, Verifier},
    data_image::{
        DataImage, DataImageError, DataLen, FakeHeader, HEADER_LEN, MIN_LEN, SPI_MODE_OFFSET, View,
        build, idf_verdict,
    },
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/golden/esp/app"
);

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(GOLDEN).join(name);
    fs::read(&path)
        .unwrap_or_else(|error| panic!("golden vectors are missing: {}: {error}", path.display()))
}

fn golden(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(GOLDEN)
        .unwrap_or_else(|error| panic!("golden vectors are missing: {GOLDEN}: {error}"));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix) && name.ends_with(".bin"))
        .collect();
    names.sort();
    names
}

/// What the demo's `create_bin.py` (commit 546c6e25) wrote for a text: length and SHA-256 of the file.
#[test]
fn files_are_those_of_the_demos_own_tool() {
    let x = "x".repeat(5000);
    let cases: [(&str, usize, &str); 7] = [
        (
            "",
            1024,
            "8d2f171c7e31c7b0f599e866491355960b8dbb60bdc7299812013ad7a9512d27",
        ),
        (
            "hello",
            1024,
            "f3261a323556a0d2e0fa75ba7e97ae11f3f54625b118cb26908ef47cd799a2ee",
        ),
        (
            "Grüße aus der Ferne",
            1024,
            "3c921f5628e6f2dbdbec74ea30cc0f40464b1b9e1333ca44ac3e7300efc875d3",
        ),
        (
            &x[..991],
            1024,
            "c950c97d7a724304577688c48a1cfe6a49e43ae3f56daaa9595a090e41f2e18c",
        ),
        (
            &x[..992],
            1024,
            "9368f6a2a9dbf511d6e3971773dfc43dbc204229eca5955b027cacffbde8fc7b",
        ),
        (
            &x[..993],
            1025,
            "e81073951af5d58f2b0c0e21ca313e9202ea47263ef55790ab03ea96d0f5332b",
        ),
        (
            &x,
            5032,
            "50af2ec6c69b810ed516222856ab33a6b293a5801a61bb89f1cd2ff0f47b48b6",
        ),
    ];
    for (text, len, digest) in cases {
        let file = build(ChipId::ESP32C3, text.as_bytes());
        assert_eq!(file.len(), len);
        let found: String = Sha256::digest(&file)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, digest, "{} bytes of data", text.len());
        assert_eq!(DataImage::parse(&file).unwrap().data(), text.as_bytes());
    }
}

/// None of the golden files with a fake header has the demo's: each declares segments.
#[test]
fn fake_headers_that_declare_segments_are_refused() {
    let table = String::from_utf8(read("idf_verify.tsv")).unwrap();
    let files = golden("fake_header");
    assert!(!files.is_empty(), "no golden vectors fake_header*.bin");
    for file in files {
        let bytes = read(&file);
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("{file}\t")));
        let is_bootable = row
            .unwrap_or_else(|| panic!("{file}"))
            .contains("\trc=0x0 ");
        let error = DataImage::parse(&bytes).unwrap_err();
        let segments = bytes[1];
        let expected = if is_bootable {
            DataImageError::ChecksumCollides {
                image_len: 2096,
                segments,
            }
        } else {
            DataImageError::Segments { found: segments }
        };
        assert_eq!(error, expected, "{file}");
        assert_eq!(idf_verdict(&bytes).is_ok(), is_bootable, "{file}");
    }
    let collides = read("fake_header32_checksum_collides.bin");
    assert!(idf_verdict(&collides).is_ok(), "the case that bites");
}

#[test]
fn apps_are_no_data() {
    let mut seen = 0;
    for file in golden("app_") {
        let bytes = read(&file);
        let error = DataImage::parse(&bytes).unwrap_err();
        if file.contains("nodigest") {
            let is_collision = matches!(error, DataImageError::ChecksumCollides { .. });
            assert!(is_collision, "{file}: {error:?}");
        } else {
            let image_len = bytes.len() as u32;
            assert_eq!(error, DataImageError::AppImage { image_len }, "{file}");
        }
        seen += 1;
    }
    assert!(seen > 5, "only {seen} apps");
    for (file, error) in [
        (
            "bad_segcount0.bin",
            DataImageError::HashAppended { found: 1 },
        ),
        ("bad_checksum.bin", DataImageError::Segments { found: 5 }),
        ("bad_magic.bin", DataImageError::Magic { found: 0xE8 }),
    ] {
        assert_eq!(DataImage::parse(&read(file)), Err(error), "{file}");
    }
}

/// Each byte of the header has one right value; what makes the file bootable has its own error.
#[test]
fn every_other_header_is_refused_by_its_own_name() {
    let good = build(ChipId::ESP32C3, b"data");
    for offset in (0..HEADER_LEN).filter(|offset| !(12..14).contains(offset)) {
        for found in (0..=255).filter(|found| *found != good[offset]) {
            let mut file = good.clone();
            file[offset] = found;
            let expected = match (offset, found) {
                (0, _) => DataImageError::Magic { found },
                (1, _) => DataImageError::Segments { found },
                (23, _) => DataImageError::HashAppended { found },
                (31, 0xEF) => DataImageError::ChecksumByte,
                _ => DataImageError::HeaderByte {
                    offset: offset as u8,
                    found,
                },
            };
            assert_eq!(DataImage::parse(&file), Err(expected));
            assert_eq!(
                idf_verdict(&file).is_ok(),
                expected == DataImageError::ChecksumByte,
                "{expected}"
            );
        }
    }
}

/// The trap of the format: ESP-IDF verifies 32 bytes and boots whatever follows.
#[test]
fn with_the_right_checksum_an_image_of_no_segments_verifies() {
    let mut file = build(ChipId::ESP32C3, &[0xA5; 3000]);
    file[31] = 0xEF;
    assert_eq!(idf_verdict(&file).unwrap().image_len, 32);
    assert_eq!(DataImage::parse(&file), Err(DataImageError::ChecksumByte));
}

/// With a SHA-256 that is right behind it, too; with another one it does not boot, and that is not said of it.
#[test]
fn an_image_of_no_segments_may_have_a_hash() {
    let mut file = build(ChipId::ESP32C3, &[0xA5; 3000]);
    (file[23], file[31]) = (1, 0xEF);
    assert_eq!(
        DataImage::parse(&file),
        Err(DataImageError::HashAppended { found: 1 })
    );
    let hash = Sha256::digest(&file[..32]);
    file[32..64].copy_from_slice(&hash);
    assert_eq!(
        DataImage::parse(&file),
        Err(DataImageError::AppImage { image_len: 64 })
    );
}

/// Of all last bytes of the data, one makes a file with one segment bootable: each is refused, that one by its name.
#[test]
fn one_segment_leaves_one_chance_in_256() {
    let mut file = build(ChipId::ESP32C3, &[0x5A; 2048]);
    file[1] = 1;
    file[28..32].copy_from_slice(&2048u32.to_le_bytes());
    file.resize(file.len() + 16, 0);
    let mut collisions = 0;
    for checksum in 0..=255 {
        *file.last_mut().unwrap() = checksum;
        match DataImage::parse(&file).unwrap_err() {
            DataImageError::Segments { found: 1 } => {}
            DataImageError::ChecksumCollides {
                segments: 1,
                image_len,
            } => {
                assert_eq!(image_len as usize, file.len());
                collisions += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(collisions, 1);
}

#[test]
fn files_that_esp_https_ota_gives_up_are_refused() {
    let file = build(ChipId::ESP32C3, b"data");
    for found in [0, 1, 31, 32, MIN_LEN - 1] {
        assert_eq!(
            DataImage::parse(&file[..found]),
            Err(DataImageError::TooShort { found })
        );
    }
}

#[test]
fn the_chip_is_a_condition() {
    for chip in ChipId::all().chain([ChipId(0xFFFE)]) {
        let file = build(chip, b"data");
        let image = DataImage::parse(&file).unwrap();
        assert_eq!(image.chip(), chip);
        assert_eq!(image.check_chip(chip), Ok(()));
        let expected = ChipId(chip.0 ^ 1);
        let error = DataImageError::Chip {
            expected,
            found: chip,
        };
        assert_eq!(image.check_chip(expected), Err(error));
    }
}

#[test]
fn the_length_is_known_only_behind_1024_bytes() {
    let len = |data: &[u8]| View(&build(ChipId::ESP32, data)).data_len();
    let ambiguous = |least| DataLen { least, most: 992 };
    assert_eq!(len(b""), ambiguous(0));
    assert_eq!(len(b"text"), ambiguous(4));
    assert_eq!(len(b"text\0\0"), ambiguous(4));
    assert_eq!(len(&[7; 991]).exact(), None);
    assert_eq!(len(&[7; 992]).exact(), Some(992));
    assert_eq!(len(&[0; 992]).exact(), None);
    assert_eq!(len(&[0; 993]).exact(), Some(993));
    assert_eq!(View(b"").data_len().exact(), Some(0));
}

#[test]
fn the_preview_ends_at_a_nul_or_after_ten_bytes() {
    let preview = |data: &[u8]| View(&build(ChipId::ESP32, data)).preview().to_vec();
    assert_eq!(preview(b"HELLO-DATA-more"), b"HELLO-DATA");
    assert_eq!(preview(b"short"), b"short");
    assert_eq!(preview(b"\0behind"), b"");
    assert_eq!(View(b"too short").preview(), b"");
}

#[test]
fn the_byte_that_looks_like_a_spi_mode_is_found() {
    let mut data = [0; 300];
    assert_eq!(View(&build(ChipId::ESP32, &data)).spi_mode_hazard(), None);
    data[181] = 2;
    let file = build(ChipId::ESP32, &data);
    assert_eq!(file[SPI_MODE_OFFSET], 2);
    assert_eq!(SPI_MODE_OFFSET, 213);
    assert_eq!(View(&file).spi_mode_hazard(), Some(2));
}

#[test]
fn every_error_has_its_own_word_and_message() {
    let chip = ChipId::ESP32;
    let errors = [
        DataImageError::TooShort { found: 3 },
        DataImageError::Magic { found: 3 },
        DataImageError::AppImage { image_len: 3 },
        DataImageError::ChecksumCollides {
            image_len: 3,
            segments: 1,
        },
        DataImageError::Segments { found: 3 },
        DataImageError::ChecksumByte,
        DataImageError::HashAppended { found: 3 },
        DataImageError::HeaderByte {
            offset: 3,
            found: 3,
        },
        DataImageError::Chip {
            expected: chip,
            found: chip,
        },
    ];
    for (index, error) in errors.iter().enumerate() {
        for earlier in &errors[..index] {
            assert_ne!(error.token(), earlier.token());
            assert_ne!(error.to_string(), earlier.to_string());
        }
    }
}

proptest! {
    /// What is built is read back, is refused by ESP-IDF and by us, and can be built again from what was read.
    #[test]
    fn building_and_parsing_are_inverse(chip: u16, data in prop::collection::vec(any::<u8>(), 0..2100)) {
        let chip = ChipId(chip);
        let file = build(chip, &data);
        let image = DataImage::parse(&file).unwrap();
        prop_assert_eq!(image.chip(), chip);
        let len = image.view().data_len();
        prop_assert!((len.least..=len.most).contains(&data.len()));
        prop_assert_eq!(&image.view().content()[..data.len()], &data[..]);
        prop_assert_eq!(build(chip, image.data()), &file[..]);
        prop_assert_eq!(build(chip, image.view().content()), &file[..]);

        let refusal = ImageError::Checksum { computed: 0xEF, found: 0 };
        prop_assert_eq!(idf_verdict(&file), Err(refusal));
        let mut strict = Verifier::new(Expect::strict(Kind::App));
        prop_assert!(strict.update(&file).is_err());
    }

    /// Whatever stands in flash behind a header that was accepted, and whatever the header is: ESP-IDF does not boot it.
    #[test]
    fn an_accepted_header_never_verifies(
        mut header: [u8; HEADER_LEN],
        zero in prop::collection::vec(prop::bool::weighted(0.95), HEADER_LEN),
        behind in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for (byte, zero) in header.iter_mut().zip(zero) {
            *byte = if zero { 0 } else { *byte };
        }
        header[0] = 0xE9;
        let bytes = [&header[..], &behind].concat();
        if let Ok(parsed) = FakeHeader::parse(&header) {
            prop_assert_eq!(parsed.emit(), header);
            prop_assert!(idf_verdict(&bytes).is_err());
        }
    }
}
