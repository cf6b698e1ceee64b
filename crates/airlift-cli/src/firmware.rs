//! Sample firmware: valid ESP app images for trying things out without a toolchain.

use airlift_formats::esp::app_image::{AppImageBuilder, BuildError, ChipId};

/// Size of a sample image, about that of a small real one.
pub(crate) const SAMPLE_SIZE: usize = 1 << 20;

/// An image of about `size` bytes. The same arguments always make the same bytes; another seed or version makes others.
pub(crate) fn sample(
    chip: ChipId,
    project: &str,
    version: &str,
    size: usize,
    seed: u64,
) -> Result<Vec<u8>, BuildError> {
    // What header, descriptor, checksum and digest take.
    const AROUND: usize = 24 + 8 + 256 + 16 + 32;
    let seed = version
        .bytes()
        .fold(seed ^ 0x5851_f42d_4c95_7f2d, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let payload = noise(size.saturating_sub(AROUND), seed);
    AppImageBuilder::new(chip)
        .project(project)
        .version(version)
        .idf_version("airlift sample")
        .payload(&payload)
        .build()
}

/// Bytes that look like nothing: the same for the same seed.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = vec![0; size];
    for chunk in bytes.chunks_mut(8) {
        let noise = split_mix(&mut state).to_le_bytes();
        for (to, from) in chunk.iter_mut().zip(noise) {
            *to = from;
        }
    }
    bytes
}

/// `SplitMix64`: incompressible bytes, as real code nearly is, from a seed.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use airlift_formats::esp::app_image::{Expect, Kind, Verifier, text};

    use super::*;

    #[test]
    fn samples_are_sound_images_of_the_size_asked_for() {
        let image = sample(ChipId::ESP32C3, "demo", "1.2.3", 100_000, 7).unwrap();
        assert!(image.len().abs_diff(100_000) < 64, "{}", image.len());
        let mut verifier = Verifier::new(Expect::strict(Kind::App));
        verifier.update(&image).unwrap();
        let app = verifier.finish().unwrap().app.unwrap();
        assert_eq!(text(&app.version), b"1.2.3");
        assert_eq!(
            image,
            sample(ChipId::ESP32C3, "demo", "1.2.3", 100_000, 7).unwrap()
        );
        assert_ne!(
            image,
            sample(ChipId::ESP32C3, "demo", "1.2.3", 100_000, 8).unwrap()
        );
    }
}
