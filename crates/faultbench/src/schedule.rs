//! What chance decides in a run, all of it from one seed: the same seed plays the same schedule of faults.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Chance that follows from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one that follows from this one and a name: what one part of a run draws does not move what another part draws.
    #[must_use]
    pub fn split(&self, name: &str) -> Self {
        let mut seed = self.0 ^ 0x9e37_79b9_7f4a_7c15;
        for byte in name.bytes() {
            seed = Self(seed ^ u64::from(byte)).bits();
        }
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range, its ends included.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (from, to) = (*range.start(), *range.end());
        // Ranges here are tiny beside 2^64, so the bias is too.
        from + self.bits() % (to.saturating_sub(from) + 1)
    }

    /// A pause of so many milliseconds.
    pub fn pause_ms(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True once in so many times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n.max(1))
    }

    /// A place in a list of so many, which must not be empty.
    pub fn index(&mut self, len: usize) -> usize {
        (self.bits() % len.max(1) as u64) as usize
    }
}

/// A seed from the operating system's chance, short enough to be typed.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // The only source of chance of the standard library.
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let draw = |seed| {
            let mut chance = Chance::new(seed).split("kills");
            (0..20).map(|_| (chance.pause_ms(2_000..=3_000), chance.index(3))).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn what_one_part_draws_does_not_move_another_one() {
        let root = Chance::new(3);
        let mut faults = root.split("faults");
        let first = faults.bits();
        let mut load = root.split("load");
        load.bits();
        assert_eq!(root.split("faults").bits(), first);
        assert_ne!(root.split("load").bits(), first);
    }

    #[test]
    fn numbers_stay_within_their_range_and_reach_its_ends() {
        let mut chance = Chance::new(1);
        let drawn: Vec<u64> = (0..500).map(|_| chance.within(5..=9)).collect();
        assert!((5..=9).all(|n| drawn.contains(&n)) && drawn.iter().all(|n| (5..=9).contains(n)));
        assert!((0..100).all(|_| chance.index(3) < 3) && (0..100).any(|_| chance.one_in(4)));
    }
}
