//! What is said does not depend on how the bytes are split, and what is written is read back.

use airlift_formats::{
    matter::image::{
        DigestAlgorithm, Header, ImageBuilder, MAX_HEADER_LEN, OtaImageError, Profile, Rules,
    },
    nxp::{self, Accumulator, Descriptor, FactoryData, PayloadBuilder, PayloadError, Tags},
};
use proptest::prelude::*;

use crate::{golden, judge};

/// Block sizes of transfers, down to single bytes; the last one is a whole file.
const SIZES: [usize; 6] = [1, 7, 16, 64, 1024, usize::MAX];

/// Splits bytes at these places.
fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut start = 0;
    cuts.into_iter()
        .map(|cut| {
            let piece = &bytes[start..cut];
            start = cut;
            piece
        })
        .collect()
}

fn all_rules() -> [nxp::Rules; 3] {
    let any_tag = nxp::Rules {
        tags: Tags::Any,
        ..nxp::Rules::strict()
    };
    [nxp::Rules::strict(), nxp::Rules::lenient(), any_tag]
}

#[test]
fn every_golden_file_reads_the_same_in_blocks_of_any_size() {
    let names = [golden::names("good"), golden::names("bad")].concat();
    for name in &names {
        let file = golden::read(name);
        for rules in [Rules::strict(), Rules::lenient()] {
            let whole = judge::image([&file[..]], rules);
            for size in SIZES.iter().filter(|size| file.len() / **size < 100_000) {
                let found = judge::image(file.chunks(*size), rules);
                assert_eq!(found, whole, "{name} in blocks of {size}");
            }
            for payload_rules in all_rules() {
                let bytes = &whole.payload[..];
                let parts = judge::payload(bytes.len(), [bytes], payload_rules);
                for size in SIZES.iter().filter(|size| bytes.len() / **size < 100_000) {
                    let found = judge::payload(bytes.len(), bytes.chunks(*size), payload_rules);
                    assert_eq!(found, parts, "{name} in blocks of {size}");
                }
            }
        }
    }
}

/// The good files have their parts, in file order, and blocks of 1024 bytes of the *file*, as the reference's transfers have
/// them, cut descriptors and headers where their names say.
#[test]
fn every_good_file_has_its_parts() {
    let customs: Vec<u32> = (100..108).collect();
    let hooks: Vec<u32> = (4..12).collect();
    for (number, tags) in [
        ("n01", vec![1]),
        ("n03", vec![3]),
        ("n04", vec![2]),
        ("n05", vec![3, 2, 1]),
        ("n06", customs.clone()),
        ("n07", [&customs[..], &[3, 2, 1]].concat()),
        ("n08", vec![3, 1]),
        ("n10", vec![1]),
        ("n11", hooks),
        ("n12", vec![1, 2]),
        ("n13", vec![1, 2]),
        ("n14", vec![1, 2]),
        ("n15", vec![1, 2]),
        ("n16", vec![]),
        ("s01", vec![8, 9, 10, 11]),
    ] {
        let found: Vec<u32> = judge::parts(&golden::file(number))
            .iter()
            .map(|part| part.0)
            .collect();
        assert_eq!(found, tags, "{number}");
    }
    for name in golden::names("good") {
        assert!(
            judge::strict(&golden::read(&name)).verdict.is_ok(),
            "{name}"
        );
    }
}

#[test]
fn a_file_cut_anywhere_is_never_accepted() {
    let file = golden::file("n16");
    for end in 0..file.len() {
        let verdict = judge::strict(&file[..end]).verdict;
        let Err(OtaImageError::Truncated { needed, found, .. }) = verdict else {
            panic!("cut at {end}: {verdict:?}");
        };
        assert!(found == end as u64 && needed > found && needed <= file.len() as u64);
    }
    let image = judge::strict(&golden::file("n14"));
    let payload = &image.payload[..];
    let first_edge = 8 + judge::parts(&golden::file("n14"))[0].1.len();
    for end in 0..payload.len() {
        // The transfer ends early: the size is known from the header.
        let found = judge::payload(payload.len(), [&payload[..end]], nxp::Rules::strict());
        assert!(found.verdict.is_err(), "cut at {end}");
        // The payload itself is short: right only where a part ends.
        let found = judge::payload(end, [&payload[..end]], nxp::Rules::strict());
        assert_eq!(
            found.verdict.is_ok(),
            [0, first_edge].contains(&end),
            "cut at {end}"
        );
        let longer = judge::payload(end, [payload], nxp::Rules::strict());
        assert!(longer.verdict.is_err(), "longer than {end}");
    }
}

#[test]
fn every_flipped_bit_of_a_file_is_noticed() {
    let file = golden::file("g11");
    // Vendor, product, versions and text are not covered by anything: the digest is that of the payload only.
    let uncovered: Vec<usize> = (0..file.len())
        .filter(|at| {
            let mut damaged = file.clone();
            damaged[*at] ^= 1;
            judge::strict(&damaged).verdict.is_ok()
        })
        .collect();
    let fields = [19, 20, 23, 24, 27, 31, 32, 33, 39];
    assert_eq!(uncovered, [&fields[..]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn splits_make_no_difference(
        number in prop::sample::select(vec!["g01", "g11", "n13", "n14", "n15", "n16", "m54", "x01", "x09", "x14"]),
        at in any::<prop::sample::Index>(),
        value: u8,
        damaged: bool,
        behind in prop::collection::vec(any::<u8>(), 0..4),
        cuts in prop::collection::vec(any::<usize>(), 0..24),
        strict: bool,
    ) {
        let mut file = golden::file(number);
        if damaged {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.extend(behind);
        let rules = if strict { Rules::strict() } else { Rules::lenient() };
        let whole = judge::image([&file[..]], rules);
        prop_assert_eq!(&judge::image(split(&file, &cuts), rules), &whole);
        let payload = &whole.payload[..];
        for rules in all_rules() {
            let parts = judge::payload(payload.len(), [payload], rules);
            prop_assert_eq!(judge::payload(payload.len(), split(payload, &cuts), rules), parts);
        }
    }

    #[test]
    fn anything_is_judged_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        header_size in 0..200u32,
        is_image: bool,
        size in 0..400usize,
    ) {
        for rules in all_rules() {
            judge::payload(size, [&bytes[..]], rules);
        }
        if let (true, Some(start)) = (is_image, bytes.first_chunk_mut::<17>()) {
            start[..4].copy_from_slice(&[0x1E, 0xF1, 0xEE, 0x1B]);
            start[12..16].copy_from_slice(&header_size.to_le_bytes());
            start[16] = 0x15;
        }
        judge::image([&bytes[..]], Rules::strict());
        judge::image([&bytes[..]], Rules::lenient());
        let _ = FactoryData::parse(&bytes);
    }

    #[test]
    fn an_image_that_is_built_is_read_back(
        vendor: u16,
        product: u16,
        version in 2..u32::MAX,
        text in "\\PC{1,16}",
        min in prop::option::of(any::<u32>()),
        max in prop::option::of(any::<u32>()),
        url in prop::option::of("https://[a-z]{1,240}"),
        digest in prop::sample::select(&DigestAlgorithm::ALL[..]),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (min, max) = (min.map(|min| min % version), max.map(|max| max % version));
        let (min, max) = match (min, max) {
            (Some(min), Some(max)) => (Some(min.min(max)), Some(min.max(max))),
            bounds => bounds,
        };
        let mut builder = ImageBuilder::new(vendor, product, version, &text).digest(digest);
        if let Some(min) = min {
            builder = builder.min_version(min);
        }
        if let Some(max) = max {
            builder = builder.max_version(max);
        }
        if let Some(url) = &url {
            builder = builder.release_notes_url(url);
        }
        if digest.is_truncated() {
            prop_assert!(builder.build(&payload).is_err());
            return Ok(());
        }
        let file = builder.build(&payload).unwrap();
        let found = judge::strict(&file);
        prop_assert!(found.verdict.is_ok(), "{:?}", found.verdict);
        prop_assert_eq!(&found.payload, &payload);
        let head = builder.head(&[&payload]).unwrap();
        let rules = Rules { profile: Profile::Strict, short_digests: false, file_len: Some(file.len() as u64) };
        let header = Header::parse(&head[16..], &rules).unwrap();
        prop_assert!(head.len() <= 16 + MAX_HEADER_LEN);
        prop_assert_eq!((header.vendor_id, header.product_id, header.software_version), (vendor, product, version));
        prop_assert_eq!(header.software_version_string.as_str(), Some(&text[..]));
        prop_assert_eq!(header.min_applicable_software_version, min);
        prop_assert_eq!(header.max_applicable_software_version, max);
        prop_assert_eq!(header.release_notes_url.and_then(|url| url.as_str()), url.as_deref());
        prop_assert_eq!((header.digest_algorithm(), header.bytes_behind), (Some(digest), 0));
    }

    #[test]
    fn a_payload_that_is_built_is_read_back(
        app in prop::collection::vec(any::<u8>(), 1..300),
        version: u32,
        text in "[ -~]{0,64}",
        customs in prop::collection::btree_map(100..200u32, prop::collection::vec(any::<u8>(), 0..200), 0..9),
        key in prop::option::of(any::<[u8; 32]>()),
        declaration in prop::option::of(prop::collection::vec(any::<u8>(), 1..600)),
        cuts in prop::collection::vec(any::<usize>(), 0..24),
    ) {
        let descriptor = Descriptor::new(version, &text, &text).unwrap();
        let data = FactoryData {
            dac_private_key: key.as_ref().map(|key| &key[..]),
            certification_declaration: declaration.as_deref(),
            ..FactoryData::default()
        };
        let emitted = data.emit();
        prop_assert_eq!(FactoryData::parse(&emitted), Ok(data));
        let mut builder = PayloadBuilder::default();
        builder.application(&descriptor, &app).unwrap();
        for (tag, value) in &customs {
            builder.custom(*tag, &[], value).unwrap();
        }
        if data != FactoryData::default() {
            builder.factory_data(&data).unwrap();
        }
        let payload = builder.build();
        let found = judge::payload(payload.len(), split(&payload, &cuts), nxp::Rules::strict());
        prop_assert!(found.verdict.is_ok(), "{:?}", found.verdict);
        let mut expected: Vec<(u32, Vec<u8>)> = customs.into_iter().collect();
        if data != FactoryData::default() {
            expected.push((3, data.emit()));
        }
        expected.push((1, [&descriptor.emit()[..], &app].concat()));
        let parts: Vec<(u32, Vec<u8>)> = found.parts.into_iter().map(|(tag, value, _)| (tag, value)).collect();
        prop_assert_eq!(parts, expected);
    }

    /// What a processor of an application does: the descriptor first, then the image, whatever the blocks are.
    #[test]
    fn a_descriptor_is_collected_over_any_blocks(cuts in prop::collection::vec(any::<usize>(), 0..24)) {
        let value = judge::parts(&golden::file("n15")).swap_remove(1).1;
        let mut descriptor = Accumulator::<132>::new();
        let mut image = Vec::new();
        for mut piece in split(&value, &cuts) {
            descriptor.take(&mut piece);
            image.extend_from_slice(piece);
        }
        prop_assert_eq!(descriptor.get(), Some(&value[..132]));
        prop_assert_eq!(&image[..], &value[132..]);
    }
}

#[test]
fn more_parts_than_are_kept_are_refused() {
    let mut builder = PayloadBuilder::default();
    for tag in 100..133 {
        builder.custom(tag, b"", b"").unwrap();
    }
    let payload = builder.build();
    let found = judge::payload(payload.len(), [&payload[..]], nxp::Rules::strict());
    assert!(matches!(
        found.verdict,
        Err(PayloadError::TooManyTlvs { max: 32, .. })
    ));
    assert_eq!(found.parts.len(), 32);
}
