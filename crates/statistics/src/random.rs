//! Random order from a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014): sixty-four bits of state, and the same numbers in every version of this program, which a
/// library does not promise.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`. The bias of the multiplication is below one in 2^40 for any number of rows that fits in memory.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Every order is as likely as any other (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_published_ones() {
        // Of the reference implementation with seed 1234567.
        let mut random = Random::new(1_234_567);
        let seen = [random.next(), random.next(), random.next()];
        assert_eq!(seen, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_shuffle_keeps_every_item_and_moves_each_to_every_place_about_as_often() {
        let mut random = Random::new(7);
        let mut counts = [[0_u32; 5]; 5];
        for _ in 0..5_000 {
            let mut items = [0, 1, 2, 3, 4];
            random.shuffle(&mut items);
            for (place, item) in items.into_iter().enumerate() {
                counts[item][place] += 1;
            }
        }
        // 1,000 expected of each; six standard deviations are 170.
        assert!(counts.iter().flatten().all(|count| (830..1_170).contains(count)), "{counts:?}");
    }
}
