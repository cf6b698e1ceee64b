/// `SplitMix64` (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): the same seed gives the same torn
/// operation on every machine and in every later version of this crate.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// A stream that depends on `seed` and on `place`, so that one seed tears different places differently.
    pub(crate) fn new(seed: u64, place: u64) -> Self {
        let mut outer = Self(seed);
        Self(outer.next() ^ place.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }

    /// A number below `bound`, which must not be zero. The bias of the modulo is irrelevant at these sizes.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::SplitMix64;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs for seed 1234567, as in the reference implementation's test (rosettacode.org, "SplitMix64").
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn one_seed_gives_different_streams_at_different_places() {
        assert_ne!(SplitMix64::new(1, 0).next(), SplitMix64::new(1, 4).next());
        assert_eq!(SplitMix64::new(1, 4).next(), SplitMix64::new(1, 4).next());
    }
}
