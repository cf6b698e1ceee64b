//! App and boot loader images against those of the official tools, and the verdicts of ESP-IDF's own code.

use std::{fs, path::PathBuf};

use airlift_formats::esp::app_image::{
    AppDescriptor, ChipId, Expect, Header, ImageError, Kind, PREFIX_LEN, Profile,
    SIGNATURE_SECTOR_LEN, SignatureFault, SignatureKind, Summary, Verifier, check_prefix,
    signature_blocks, text,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/esp");

fn read(name: &str) -> Vec<u8> {
    let path = PathBuf::from(GOLDEN).join(name);
    fs::read(&path)
        .unwrap_or_else(|error| panic!("golden vectors are missing: {}: {error}", path.display()))
}

fn images(folder: &str) -> Vec<String> {
    let path = PathBuf::from(GOLDEN).join(folder);
    let entries = fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("golden vectors are missing: {}: {error}", path.display()));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".bin"))
        .collect();
    names.sort();
    names
}

fn verify(bytes: &[u8], expect: Expect) -> Result<Summary, ImageError> {
    let mut verifier = Verifier::new(expect);
    verifier.update(bytes)?;
    verifier.finish()
}

fn strict(bytes: &[u8]) -> Result<Summary, ImageError> {
    verify(bytes, Expect::strict(Kind::guess(bytes)))
}

/// Makes checksum and SHA-256 right again after a change; `data_end` is where the segments end.
fn seal(image: &mut [u8], data_end: usize) {
    let mut checksum = 0xEF;
    let mut at = 24;
    for _ in 0..image[1] {
        let len = u32::from_le_bytes(image[at + 4..at + 8].try_into().unwrap()) as usize;
        checksum = image[at + 8..at + 8 + len]
            .iter()
            .fold(checksum, |sum, byte| sum ^ byte);
        at += 8 + len;
    }
    assert_eq!(at, data_end);
    let end = (data_end & !15) + 16;
    image[end - 1] = checksum;
    if image[23] == 1 {
        let hash = Sha256::digest(&image[..end]);
        image[end..end + 32].copy_from_slice(&hash);
    }
}

/// A small hashed ESP32-C3 app of two segments that are copied to RAM, 256 + 20 and 12 bytes, and where its data end.
fn small_app() -> (Vec<u8>, usize) {
    let descriptor = AppDescriptor {
        secure_version: 3,
        version: field(b"1.2.3"),
        project: field(b"small"),
        time: field(b"12:00:00"),
        date: field(b"Jan  1 2030"),
        idf_version: field(b"none"),
        elf_sha256: [7; 32],
        min_efuse_block_revision: 0,
        max_efuse_block_revision: 99,
        mmu_page_log2: 16,
        spi_flash_mode: 0,
    };
    let header = Header {
        magic: 0xE9,
        segment_count: 2,
        spi_mode: 2,
        spi_speed: 0xF,
        spi_size: 2,
        entry: 0x4038_0000,
        wp_pin: 0xEE,
        spi_pin_drv: [0; 3],
        chip: ChipId::ESP32C3,
        min_revision_legacy: 0,
        min_revision: 3,
        max_revision: 199,
        reserved: [0; 4],
        hash_appended: 1,
    };
    let mut image = header.emit().to_vec();
    let segments = [(0x3FC9_0000u32, 256 + 20), (0x4038_0000, 12)];
    for (index, (load_addr, len)) in segments.into_iter().enumerate() {
        image.extend(load_addr.to_le_bytes());
        image.extend((len as u32).to_le_bytes());
        let start = image.len();
        if index == 0 {
            image.extend(descriptor.emit());
        }
        image.resize(start + len, 0xA5);
    }
    let data_end = image.len();
    image.resize((data_end & !15) + 16 + 32, 0);
    seal(&mut image, data_end);
    (image, data_end)
}

fn field<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    field[..text.len()].copy_from_slice(text);
    field
}

#[test]
fn idf_profile_says_what_the_code_of_esp_idf_says() {
    const OFFSET: u32 = 0x11_0000;
    let table = String::from_utf8(read("app/idf_verify.tsv")).unwrap();
    let mut rows = 0;
    for line in table.lines().skip(1).filter(|line| !line.is_empty()) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (file, chip, size, result) = (columns[0], columns[1], columns[2], columns[3]);
        let image = read(&format!("app/{file}"));
        let expect = Expect {
            chip: Some(chip.strip_prefix("chip_id=").unwrap().parse().unwrap()),
            partition_size: Some(u32::from_str_radix(&size[2..], 16).unwrap()),
            partition_offset: OFFSET,
            ..Expect::idf(Kind::App)
        };
        let (rc, log) = match verify(&image, expect) {
            Ok(summary) => {
                let found = format!(
                    "rc=0x0 image_len={} file_len={} segs={} hash_appended={}",
                    summary.image_len,
                    summary.file_len,
                    summary.segments(),
                    u8::from(summary.is_hashed())
                );
                assert_eq!(found, result, "{line}");
                (0, String::new())
            }
            Err(error) => (
                error.idf_code(),
                format!("E esp_image: {}", error.idf_log(OFFSET)),
            ),
        };
        let expected_rc = result.split(' ').next().unwrap();
        assert_eq!(format!("rc={rc:#x}"), expected_rc, "{line}");
        let expected_log = columns.get(4).map_or("", |log| log.trim_end_matches('|'));
        assert_eq!(log, expected_log, "{line}");
        rows += 1;
    }
    assert!(rows > 10, "only {rows} rows");
}

#[test]
fn every_good_image_passes_the_strict_profile_and_bad_ones_do_not() {
    let mut good = 0;
    for file in images("app") {
        let bytes = read(&format!("app/{file}"));
        let result = strict(&bytes);
        let is_image = file.starts_with("app_") || file.starts_with("bootloader_");
        if !is_image || file.contains("nodigest") {
            assert!(result.is_err(), "{file} is accepted");
            continue;
        }
        let summary = result.unwrap_or_else(|error| panic!("{file}: {error}"));
        good += 1;
        assert_eq!(summary.image_len as usize, bytes.len(), "{file}");
        assert_eq!(
            summary.file_sha256,
            <[u8; 32]>::from(Sha256::digest(&bytes)),
            "{file}"
        );
        let target = file.split('_').nth(1).unwrap().trim_end_matches(".bin");
        assert_eq!(summary.chip(), target.parse().unwrap(), "{file}");
        if let Some(app) = summary.app {
            // The official tool's own words about it.
            let info = String::from_utf8(read(&format!("app/{file}.info.txt"))).unwrap();
            let says = |line: String| assert!(info.contains(&line), "{file}: {line}");
            says(format!(
                "Project name: {}",
                String::from_utf8_lossy(text(&app.project))
            ));
            says(format!(
                "App version: {}",
                String::from_utf8_lossy(text(&app.version))
            ));
            says(format!("Secure version: {}", app.secure_version));
            says(format!("Segments: {}", summary.segments()));
            let elf: String = app
                .elf_sha256
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            says(format!("ELF file SHA256: {elf}"));
        } else {
            let bootloader = summary.bootloader.expect("neither app nor boot loader");
            assert!(text(&bootloader.idf_version).starts_with(b"v"), "{file}");
        }
    }
    assert!(good > 5, "only {good} good images");
}

#[test]
fn every_broken_image_has_its_own_error() {
    type Is = fn(&ImageError) -> bool;
    let cases: [(&str, Is); 19] = [
        ("bad_magic", |e| {
            matches!(e, ImageError::Magic { found: 0xE8 })
        }),
        ("bad_all_ff", |e| {
            matches!(e, ImageError::Magic { found: 0xFF })
        }),
        ("merged_esp32_4MB_head", |e| {
            matches!(e, ImageError::Magic { .. })
        }),
        ("bad_chipid", |e| {
            let (expected, found) = (ChipId::ESP32, ChipId::ESP32S3);
            *e == ImageError::Chip { expected, found }
        }),
        ("bad_segcount0", |e| {
            matches!(e, ImageError::SegmentCount { found: 0 })
        }),
        ("bad_segcount17", |e| {
            matches!(e, ImageError::SegmentCount { found: 17 })
        }),
        ("bad_seglen_odd", |e| {
            matches!(
                e,
                ImageError::SegmentLength {
                    segment: 0,
                    length: 0x501
                }
            )
        }),
        ("bad_seglen_huge", |e| {
            matches!(
                e,
                ImageError::SegmentLength {
                    segment: 0,
                    length: 0x100_0000
                }
            )
        }),
        ("bad_appdesc_magic", |e| {
            matches!(e, ImageError::DescriptorMagic { found: 0 })
        }),
        ("bad_mapaddr", |e| {
            matches!(
                e,
                ImageError::Mapping {
                    segment: 0,
                    load_addr: 0x3F40_0024,
                    ..
                }
            )
        }),
        ("bad_checksum", |e| matches!(e, ImageError::Checksum { .. })),
        ("bad_data_hash_fixed", |e| {
            matches!(e, ImageError::Checksum { .. })
        }),
        ("bad_data_hash_stale", |e| {
            matches!(e, ImageError::Checksum { .. })
        }),
        ("bad_hash", |e| *e == ImageError::Hash),
        ("bad_truncated", |e| {
            matches!(e, ImageError::Truncated { .. })
        }),
        ("bad_trailing_garbage", |e| {
            matches!(e, ImageError::TrailingData { offset: 70224, .. })
        }),
        ("fake_header_only", |e| {
            matches!(e, ImageError::SegmentLength { segment: 1, .. })
        }),
        ("fake_header32", |e| *e == ImageError::HashMissing),
        ("app_esp32_nodigest", |e| *e == ImageError::HashMissing),
    ];
    let files = images("app");
    let mut seen = 0;
    for (prefix, is) in cases {
        for file in files.iter().filter(|file| file.starts_with(prefix)) {
            let expect = Expect {
                chip: Some(ChipId::ESP32),
                ..Expect::strict(Kind::App)
            };
            let bytes = read(&format!("app/{file}"));
            let error = verify(&bytes, expect).expect_err(file);
            assert!(is(&error), "{file}: {error:?}");
            seen += 1;
        }
    }
    assert!(seen > 8, "only {seen} broken images");
}

#[test]
fn an_image_with_the_number_of_another_chip_has_no_memory_there() {
    let image = read("app/bad_chipid.bin");
    let error = strict(&image).unwrap_err();
    let (load_addr, chip) = (0x3F40_0020, ChipId::ESP32S3);
    assert_eq!(
        error,
        ImageError::LoadAddress {
            segment: 0,
            load_addr,
            chip
        }
    );
}

#[test]
fn an_image_without_hash_is_accepted_only_on_request() {
    let (mut image, data_end) = small_app();
    image[23] = 0;
    image.truncate(image.len() - 32);
    seal(&mut image, data_end);
    assert_eq!(strict(&image), Err(ImageError::HashMissing));
    let lax = Expect {
        require_hash: false,
        ..Expect::strict(Kind::App)
    };
    assert!(!verify(&image, lax).unwrap().is_hashed());
    // The two-step demo's data file that ESP-IDF boots: nothing but a checksum, but it is no app.
    let fake = read("app/fake_header32_checksum_collides.bin");
    assert!(verify(&fake, Expect::idf(Kind::App)).is_ok());
    assert!(matches!(
        verify(&fake, lax),
        Err(ImageError::DescriptorMagic { .. })
    ));
}

#[test]
fn a_signed_image_is_recognised_and_a_damaged_sector_refused() {
    for (file, kind) in [
        (
            "signed/app_esp32s3_signed_v2_rsa.bin",
            SignatureKind::Rsa3072,
        ),
        (
            "signed/app_esp32s3_signed_v2_ec.bin",
            SignatureKind::Ecdsa { curve: 2 },
        ),
    ] {
        let image = read(file);
        let summary = strict(&image).unwrap_or_else(|error| panic!("{file}: {error}"));
        let sector_at = image.len() - SIGNATURE_SECTOR_LEN;
        let signature = summary.signature.expect("signature sector");
        assert_eq!(
            (signature.offset as usize, signature.blocks),
            (sector_at, 1)
        );
        assert_eq!(summary.image_len as usize, sector_at, "{file}");

        let sector: &[u8; SIGNATURE_SECTOR_LEN] = image.last_chunk().unwrap();
        let digest = Sha256::digest(&image[..sector_at]).into();
        let blocks: Vec<_> = signature_blocks(sector).collect();
        assert_eq!(blocks.len(), 3);
        assert_eq!(blocks[0].kind(), Some(kind));
        assert_eq!(blocks[0].check(&digest), Ok(()));
        assert_eq!(blocks[0].check(&[0; 32]), Err(SignatureFault::Digest));
        assert!(blocks[1].is_erased() && blocks[2].is_erased());

        // Every byte of the sector is covered.
        let mut before = Verifier::new(Expect::strict(Kind::App));
        before.update(&image[..sector_at]).unwrap();
        for at in 0..SIGNATURE_SECTOR_LEN {
            let mut damaged = *sector;
            damaged[at] ^= 0x10;
            let mut verifier = before.clone();
            let result = verifier.update(&damaged);
            assert!(
                result.is_err(),
                "{file}: byte {at} of the sector is not covered"
            );
        }
        let truncated = strict(&image[..image.len() - 1]);
        assert!(
            matches!(truncated, Err(ImageError::Truncated { .. })),
            "{file}"
        );
        let mut longer = image.clone();
        longer.extend([0xFF; 5000]);
        assert!(
            strict(&longer).is_ok(),
            "erased flash behind the sector is fine"
        );
        longer.push(0);
        assert!(matches!(
            strict(&longer),
            Err(ImageError::TrailingData { .. })
        ));
        // The boot loader of a chip without secure boot takes no notice.
        assert!(verify(&image, Expect::idf(Kind::App)).is_ok());
    }
}

#[test]
fn a_second_signature_block_counts_and_a_gap_before_it_does_not_pass() {
    let image = read("signed/app_esp32s3_signed_v2_rsa.bin");
    let sector = image.len() - SIGNATURE_SECTOR_LEN;
    let block = image[sector..sector + 1216].to_vec();
    let mut twice = image.clone();
    twice[sector + 1216..sector + 2432].copy_from_slice(&block);
    assert_eq!(strict(&twice).unwrap().signature.unwrap().blocks, 2);
    let mut gap = image.clone();
    gap[sector + 2432..sector + 3648].copy_from_slice(&block);
    assert!(matches!(strict(&gap), Err(ImageError::TrailingData { .. })));
}

#[test]
fn revisions_of_chip_and_efuse_block_are_checked() {
    let (image, _) = small_app();
    let at = |revision| {
        let expect = Expect {
            chip_revision: Some(revision),
            ..Expect::strict(Kind::App)
        };
        verify(&image, expect).map(|_| ())
    };
    assert_eq!(at(3), Ok(()));
    assert_eq!(at(199), Ok(()));
    let too_low = ImageError::RevisionTooLow {
        required: 3,
        found: 2,
    };
    assert_eq!(at(2), Err(too_low));
    let too_high = ImageError::RevisionTooHigh {
        allowed: 199,
        found: 200,
    };
    assert_eq!(at(200), Err(too_high));
    for profile in [Profile::Strict, Profile::Idf] {
        let expect = |revision| Expect {
            profile,
            efuse_block_revision: Some(revision),
            ..Expect::strict(Kind::App)
        };
        assert!(verify(&image, expect(99)).is_ok());
        let refused = ImageError::EfuseBlockTooHigh {
            allowed: 99,
            found: 100,
        };
        assert_eq!(verify(&image, expect(100)), Err(refused));
    }
    let log = ImageError::RevisionTooLow {
        required: 101,
        found: 100,
    };
    assert_eq!(
        log.idf_log(0).to_string(),
        "chip revision check failed. Required >= v1.1, found v1.0."
    );
}

#[test]
fn project_and_secure_version_have_their_own_checks() {
    let (image, _) = small_app();
    let app = strict(&image).unwrap().app.unwrap();
    assert_eq!(app.check_project(b"small"), Ok(()));
    let error = app.check_project(b"smal").unwrap_err();
    assert_eq!(error.to_string(), "the app is of project \"small\"");
    assert_eq!(app.check_secure_version(3), Ok(()));
    let error = app.check_secure_version(4).unwrap_err();
    assert_eq!((error.required, error.found), (4, 3));
}

#[test]
fn a_prefix_is_judged_like_the_whole() {
    for file in images("app") {
        let bytes = read(&format!("app/{file}"));
        let expect = Expect {
            chip: Some(ChipId::ESP32),
            partition_size: Some(0x10_0000),
            file_len: u32::try_from(bytes.len()).ok(),
            ..Expect::strict(Kind::App)
        };
        let mut verifier = Verifier::new(expect);
        let early = verifier.update(&bytes[..PREFIX_LEN]);
        let prefix = check_prefix(&bytes, &expect);
        assert_eq!(prefix.map(|_| ()), early, "{file}");
        if let Ok(prefix) = prefix {
            assert_eq!(prefix.header, Header::parse(bytes.first_chunk().unwrap()));
            assert!(prefix.app.is_some(), "{file}");
        }
    }
    let short = check_prefix(&[0xE9; 287], &Expect::strict(Kind::App));
    assert!(matches!(
        short,
        Err(ImageError::Truncated {
            needed: 288,
            found: 287
        })
    ));
}

#[test]
fn partition_and_file_length_bound_an_image_as_early_as_possible() {
    let image = read("app/app_esp32_v1.bin");
    let expect = |partition_size, file_len| Expect {
        partition_size,
        file_len,
        ..Expect::strict(Kind::App)
    };
    let exact = image.len() as u32;
    assert!(verify(&image, expect(Some(exact), Some(exact))).is_ok());
    // Segment 3 is the one that reaches beyond 64 KiB: known from its header, long before its data.
    let mut verifier = Verifier::new(expect(Some(0x1_0000), None));
    let early = verifier.update(&image[..0x1000]).unwrap_err();
    assert!(
        matches!(early, ImageError::PartitionTooSmall { .. }),
        "{early}"
    );
    let mut verifier = Verifier::new(expect(None, Some(0x1_0000)));
    let early = verifier.update(&image[..0x1000]).unwrap_err();
    assert!(
        matches!(early, ImageError::BeyondFile { segment: 3, .. }),
        "{early}"
    );
    let mut longer = image.clone();
    longer.push(0xFF);
    assert!(strict(&longer).is_ok());
    let error = verify(&longer, expect(None, Some(exact))).unwrap_err();
    assert_eq!(
        error,
        ImageError::FileLength {
            expected: exact,
            found: exact + 1
        }
    );
    let error = verify(&image, expect(None, Some(exact + 1))).unwrap_err();
    assert_eq!(
        error,
        ImageError::FileLength {
            expected: exact + 1,
            found: exact
        }
    );
    let error = verify(&longer, expect(Some(exact), None)).unwrap_err();
    assert!(matches!(error, ImageError::PartitionTooSmall { .. }));
    let large = Expect {
        partition_size: Some(0x100_0001),
        ..Expect::idf(Kind::App)
    };
    assert_eq!(verify(&image, large).unwrap_err().idf_code(), 0x102);
}

#[test]
fn mapping_depends_on_the_place_in_flash_and_on_the_page_size() {
    let image = read("app/app_esp32c6_v1.bin");
    let at = |image: &[u8], partition_offset, profile| {
        let expect = Expect {
            partition_offset,
            profile,
            ..Expect::strict(Kind::App)
        };
        verify(image, expect).map(|_| ())
    };
    for profile in [Profile::Strict, Profile::Idf] {
        assert_eq!(at(&image, 0x11_0000, profile), Ok(()));
        let refused = at(&image, 0x11_4000, profile);
        assert!(matches!(
            refused,
            Err(ImageError::Mapping { segment: 0, .. })
        ));
        // With pages of 16 KiB the same place is fine. The descriptor says so.
        let mut small_pages = image.clone();
        small_pages[32 + 180] = 14;
        let result = at(&small_pages, 0x11_4000, profile);
        assert!(
            matches!(result, Err(ImageError::Checksum { .. })),
            "{result:?}"
        );
    }
    let mut odd_pages = image.clone();
    odd_pages[32 + 180] = 17;
    let refused = at(&odd_pages, 0, Profile::Strict);
    assert_eq!(refused, Err(ImageError::MmuPageSize { log2: 17 }));
    // A chip with fixed pages does not care.
    let mut esp32 = read("app/app_esp32_v1.bin");
    esp32[32 + 180] = 14;
    let refused = at(&esp32, 0x4000, Profile::Idf);
    assert!(matches!(
        refused,
        Err(ImageError::Mapping { segment: 0, .. })
    ));
}

#[test]
fn every_flipped_bit_of_an_image_is_noticed() {
    let (image, _) = small_app();
    assert!(strict(&image).is_ok());
    for at in 0..image.len() {
        for bit in 0..8 {
            let mut damaged = image.clone();
            damaged[at] ^= 1 << bit;
            assert!(
                strict(&damaged).is_err(),
                "bit {bit} of byte {at} is not covered"
            );
        }
    }
}

/// Without a hash only the segment data, the lengths and what is checked of header and descriptor are covered.
#[test]
fn without_a_hash_only_these_bytes_are_not_covered() {
    let (mut image, data_end) = small_app();
    image[23] = 0;
    image.truncate(image.len() - 32);
    seal(&mut image, data_end);
    let expect = Expect {
        require_hash: false,
        chip: Some(ChipId::ESP32C3),
        ..Expect::strict(Kind::App)
    };
    assert!(verify(&image, expect).is_ok());
    let uncovered: Vec<usize> = (0..image.len())
        .filter(|at| {
            let mut damaged = image.clone();
            damaged[*at] ^= 0x01;
            verify(&damaged, expect).is_ok()
        })
        .collect();
    // SPI settings, entry point, pins, revisions and reserved bytes; the lower bytes of both load addresses.
    let header = (2..12).chain(14..23);
    let second = 32 + 276;
    let expected: Vec<usize> = header.chain(24..27).chain(second..second + 3).collect();
    assert_eq!(uncovered, expected);
}

#[test]
fn a_truncated_image_is_never_accepted() {
    let (image, _) = small_app();
    for len in 0..image.len() {
        match strict(&image[..len]) {
            Err(ImageError::Truncated { needed, found }) => {
                assert_eq!(found as usize, len);
                assert!(
                    needed > found && needed as usize <= image.len(),
                    "{len}: {needed}"
                );
            }
            other => panic!("cut at {len}: {other:?}"),
        }
    }
}

#[test]
fn an_error_stays() {
    let (mut image, _) = small_app();
    image[0] = 0;
    let mut verifier = Verifier::new(Expect::strict(Kind::App));
    let first = verifier.update(&image).unwrap_err();
    assert_eq!(verifier.update(&[]), Err(first));
    assert_eq!(verifier.update(&image), Err(first));
    assert_eq!(verifier.finish().map(|_| ()), Err(first));
}

#[test]
fn the_state_of_a_verifier_is_small() {
    assert!(
        size_of::<Verifier>() <= 600,
        "{} bytes",
        size_of::<Verifier>()
    );
}

/// Expectations that make every kind of check possible.
fn expectation() -> impl Strategy<Value = Expect> {
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0..3u32,
        0..3u32,
    )
        .prop_map(|(strict, app, require_hash, partition, file)| Expect {
            profile: if strict {
                Profile::Strict
            } else {
                Profile::Idf
            },
            kind: if app { Kind::App } else { Kind::Bootloader },
            partition_size: (partition > 0).then_some(300 * partition),
            file_len: (file > 0).then_some(350 * file),
            require_hash,
            chip_revision: Some(150),
            efuse_block_revision: Some(1),
            ..Expect::strict(Kind::App)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn chunks_make_no_difference(
        at in 0..600usize,
        value: u8,
        tail in proptest::collection::vec(prop_oneof![Just(0xFFu8), any::<u8>()], 0..40),
        cuts in proptest::collection::vec(0..700usize, 0..12),
        expect in expectation(),
    ) {
        let (mut image, _) = small_app();
        if let Some(byte) = image.get_mut(at) {
            *byte = value;
        }
        image.extend(tail);
        let whole = verify(&image, expect);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(image.len())).collect();
        cuts.sort_unstable();
        cuts.push(image.len());
        let mut verifier = Verifier::new(expect);
        let mut start = 0;
        for cut in cuts {
            if verifier.update(&image[start..cut]).is_err() {
                break;
            }
            start = cut;
        }
        prop_assert_eq!(verifier.finish(), whole);
    }

    #[test]
    fn anything_is_judged_without_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        header in any::<bool>(),
        count in 0..4u8,
        expect in expectation(),
    ) {
        if let (true, Some(start)) = (header, bytes.first_chunk_mut::<24>()) {
            start[0] = 0xE9;
            start[1] = count;
            start[12..14].copy_from_slice(&[5, 0]);
            start[23] &= 1;
        }
        let _ = verify(&bytes, expect);
        let _ = check_prefix(&bytes, &expect);
    }
}
