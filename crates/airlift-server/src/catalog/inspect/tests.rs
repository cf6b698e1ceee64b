use std::io::Write as _;

use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use md5::Digest as _;

use super::*;

/// Judges the image, handed over in pieces of `step` bytes: the verdict must not depend on it.
fn inspect_in(image: &[u8], step: usize) -> Result<Inspected, BadImage> {
    let mut inspector = Inspector::of_app(1 << 20);
    image
        .chunks(step)
        .try_for_each(|piece| inspector.update(piece))?;
    inspector.finish()
}

fn inspect(image: &[u8]) -> Result<Inspected, BadImage> {
    let verdict = inspect_in(image, usize::MAX);
    for step in [1, 7, 4096] {
        let other = inspect_in(image, step);
        assert_eq!(
            verdict
                .as_ref()
                .map(|found| (found.md5, found.sha256, app(found).running_md5.clone())),
            other
                .as_ref()
                .map(|found| (found.md5, found.sha256, app(found).running_md5.clone())),
            "in pieces of {step}"
        );
    }
    verdict
}

fn app(found: &Inspected) -> &App {
    match &found.contents {
        Contents::App(app) => app,
        Contents::Data(_) | Contents::Matter(_) => panic!("an app was taken for data"),
    }
}

fn md5(bytes: &[u8]) -> Md5 {
    Md5(md5::Md5::digest(bytes).into())
}

/// One image as `write_bin` of elf2bin.py makes it.
fn single_image(segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut image = vec![MAGIC, segments.len() as u8, 2, 0x40, 0x00, 0xF0, 0x10, 0x40];
    let mut checksum = 0xEF;
    for (address, data) in segments {
        image.extend(address.to_le_bytes());
        image.extend((data.len() as u32).to_le_bytes());
        image.extend(*data);
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
    }
    image.resize(image.len() / 16 * 16 + 15, 0);
    image.push(checksum);
    image
}

/// `eboot` and a sketch as elf2bin.py makes them; `crc`: with the CRC of core 2.7 and later.
fn sketch(crc: bool) -> Vec<u8> {
    let mut file = single_image(&[(0x4010_F000, &[0x5A; 700])]);
    file.resize(0x1000, 0xAA);
    let mut flash = vec![0x11; 3000];
    flash[..8].fill(0);
    file.extend(single_image(&[
        (0x4020_1010, &flash),
        (0x4010_0000, &[0x22; 333]),
        (0x3FFE_8000, &[7; 64]),
    ]));
    if crc {
        // crc8266() of elf2bin.py, bit by bit.
        let value = file.iter().fold(u32::MAX, |crc, byte| {
            (0..8).rev().fold(crc, |crc, bit| {
                let flip = (crc >> 31 != 0) != (byte >> bit & 1 != 0);
                crc << 1 ^ if flip { 0x04C1_1DB7 } else { 0 }
            })
        });
        let length = file.len() as u32;
        file[0x1010..0x1014].copy_from_slice(&length.to_le_bytes());
        file[0x1014..0x1018].copy_from_slice(&value.to_le_bytes());
    }
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn signed(mut image: Vec<u8>) -> Vec<u8> {
    image.extend([0xC5; 256]);
    image.extend(256_u32.to_le_bytes());
    image
}

#[test]
fn an_esp32_image_says_what_it_is() {
    let image = AppImageBuilder::new(ChipId::ESP32C3)
        .version("1.2.0")
        .project("lotus")
        .build()
        .unwrap();
    let found = inspect(&image).unwrap();
    assert_eq!((found.md5, found.size), (md5(&image), image.len() as u64));
    assert_eq!(found.encoding, Encoding::Plain);
    let contents = app(&found);
    assert_eq!(
        (contents.family, contents.chip_id),
        (Family::Esp32, Some(5))
    );
    assert_eq!(contents.version.as_deref(), Some("1.2.0"));
    assert_eq!(contents.project.as_deref(), Some("lotus"));
    assert_eq!(contents.running_md5, [md5(&image)]);
    let appended: [u8; 32] = image.last_chunk().copied().unwrap();
    assert_eq!(contents.running_sha256, Some(Sha256(appended)));
}

#[test]
fn padding_behind_an_esp32_image_is_not_part_of_what_runs() {
    let image = AppImageBuilder::new(ChipId::ESP32).build().unwrap();
    let mut padded = image.clone();
    padded.resize(image.len() + 100, 0xFF);
    let found = inspect(&padded).unwrap();
    assert_eq!(found.md5, md5(&padded));
    assert_eq!(app(&found).running_md5, [md5(&image)]);
    let appended: [u8; 32] = image.last_chunk().copied().unwrap();
    assert_eq!(app(&found).running_sha256, Some(Sha256(appended)));
}

#[test]
fn esp8266_images_of_every_make_are_accepted() {
    for image in [
        single_image(&[(0x4010_0000, &[1, 2, 3, 4])]),
        sketch(false),
        sketch(true),
    ] {
        let found = inspect(&image).unwrap();
        assert_eq!(
            (app(&found).family, app(&found).chip_id),
            (Family::Esp8266, None)
        );
        assert_eq!(app(&found).running_md5.first(), Some(&md5(&image)));
        assert_eq!(app(&found).running_md5.len(), 4, "one for each flash mode");
        let mut changed = image.clone();
        changed[2] = 0;
        assert!(app(&found).running_md5.contains(&md5(&changed)));

        if image.len() < 0x1000 {
            continue;
        }
        let with_signature = signed(image.clone());
        let found = inspect(&with_signature).unwrap();
        assert_eq!(found.md5, md5(&with_signature));
        assert!(
            app(&found).running_md5.contains(&md5(&image)),
            "the signature is not part of the sketch"
        );
    }
}

#[test]
fn gzip_is_looked_into() {
    let image = sketch(true);
    for packed in [gzip(&image), signed(gzip(&image))] {
        let found = inspect(&packed).unwrap();
        assert_eq!(
            (found.encoding, app(&found).family),
            (Encoding::Gzip, Family::Esp8266)
        );
        assert_eq!(found.md5, md5(&packed));
        assert_eq!(app(&found).running_md5, [md5(&image)]);
    }
}

#[test]
fn gzip_of_anything_else_is_refused() {
    let esp32 = AppImageBuilder::new(ChipId::ESP32).build().unwrap();
    let image = sketch(true);
    let packed = gzip(&image);
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (bad, why) in [
        (gzip(&esp32), "only these devices take gzip"),
        (gzip(b"hello"), "too few"),
        (gzip(&[]), "too few"),
        (gzip(&vec![0; 2 << 20]), "no image for ESP8266"),
        (
            gzip(&single_image(&[(0x4020_0000, &vec![0; (1 << 20) - 1])])),
            "more than 1048576 bytes",
        ),
        (packed[..packed.len() - 1].to_vec(), "incomplete"),
        (packed[..packed.len() / 2].to_vec(), ""),
        (damaged, ""),
        ([packed.as_slice(), b"tail"].concat(), "no signature"),
        (vec![0x1F, 0x8B], ""),
        (vec![0x1F], ""),
    ] {
        let verdict = inspect(&bad).expect_err(why);
        assert!(verdict.to_string().contains(why), "{verdict} / {why}");
    }
}

#[test]
fn what_is_no_image_is_refused() {
    for (bad, why) in [
        (vec![], "empty"),
        (vec![MAGIC], ""),
        (b"hello, this is no firmware".to_vec(), "0x68"),
        (b"\x7fELF".to_vec(), "0x7f"),
        (vec![0xFF; 5000], "0xff"),
        ([&[MAGIC, 5, 2, 0x40][..], &[0x33; 4092]].concat(), ""),
    ] {
        let verdict = inspect(&bad).expect_err(why);
        assert!(verdict.to_string().contains(why), "{verdict} / {why}");
    }
}

/// One run over every single flipped bit would take minutes in a debug build; every byte is hit, each in one of its bits.
#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let esp32 = AppImageBuilder::new(ChipId::ESP32)
        .payload(&[9; 300])
        .build()
        .unwrap();
    for (name, image) in [
        ("esp32", esp32),
        ("esp8266", sketch(true)),
        ("one image", single_image(&[(0x4010_0000, &[3; 200])])),
    ] {
        for at in 0..image.len() {
            let mut flipped = image.clone();
            flipped[at] ^= 1 << (at % 8);
            let accepted = inspect_in(&flipped, usize::MAX).is_ok();
            // Without a CRC nothing covers what is neither data nor structure: modes, entry point, load address, padding.
            let covered =
                name != "one image" || (16..216).contains(&at) || at < 2 || at == flipped.len() - 1;
            assert!(!accepted || !covered, "{name}: byte {at}");
        }
    }
}

#[test]
fn a_cut_image_is_refused_wherever_it_is_cut() {
    let esp32 = AppImageBuilder::new(ChipId::ESP32)
        .payload(&[9; 300])
        .build()
        .unwrap();
    let single = single_image(&[(0x4010_0000, &[3; 200])]);
    for image in [esp32, single] {
        for length in 0..image.len() {
            assert!(
                inspect_in(&image[..length], usize::MAX).is_err(),
                "{length} of {}",
                image.len()
            );
        }
    }
    // Up to its sketch a file is a whole image of its own (eboot), and a sector of padding.
    let sketch = sketch(true);
    for length in 0x1001..sketch.len() {
        assert!(
            inspect_in(&sketch[..length], usize::MAX).is_err(),
            "{length} of {}",
            sketch.len()
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_input_makes_it_panic(head in 0..4, bytes: Vec<u8>, step in 1_usize..64) {
        let mut image = match head {
            0 => vec![],
            1 => vec![MAGIC],
            2 => GZIP_MAGIC.to_vec(),
            _ => vec![MAGIC, 1, 2, 0x40, 0, 0xF0, 0x10, 0x40, 0, 0, 0x10, 0x40],
        };
        image.extend(bytes);
        let _ = inspect_in(&image, step);
    }
}

#[test]
fn data_may_be_anything_and_an_app_among_it_is_noticed() {
    let app = AppImageBuilder::new(ChipId::ESP32C3).build().unwrap();
    let mut unknown_chip = app.clone();
    unknown_chip[12] = 0xEE;
    let bytes: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for (data, is_app) in [
        (&b"x"[..], false),
        (&bytes, false),
        (&[MAGIC; 100], false),
        (&[MAGIC, 1], false),
        (&unknown_chip, false),
        (&app, true),
        (&app[..HEAD], true),
        (&sketch(true), true),
        (&single_image(&[(0x4010_0000, &[1, 2, 3, 4])]), true),
    ] {
        for step in [1, 7, usize::MAX] {
            let mut inspector = Inspector::of_data();
            data.chunks(step)
                .try_for_each(|piece| inspector.update(piece))
                .unwrap();
            let found = inspector.finish().unwrap();
            assert_eq!((found.md5, found.size), (md5(data), data.len() as u64));
            let Contents::Data(about) = found.contents else {
                panic!("data was taken for an app");
            };
            assert_eq!(about.starts_like_an_app, is_app);
            assert_eq!(about.file_system, None);
        }
    }
}
