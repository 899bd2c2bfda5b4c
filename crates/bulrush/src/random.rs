//! Randomness for ids and jitter.

use std::cell::Cell;

/// 128 uniform random bits: seeded from the operating system once per thread, then SplitMix64, which is ample for ids and jitter and
/// costs no system call per job. Nothing secret depends on it.
pub(crate) fn bits128() -> u128 {
    (u128::from(bits64()) << 64) | u128::from(bits64())
}

/// 64 uniform random bits.
pub(crate) fn bits64() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(seed());
    }
    STATE.with(|state| {
        // Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
        let mut z = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(z);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// 64 bits from the operating system: for what must differ between any two starts of a process.
pub(crate) fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|error| panic!("the operating system gives no randomness: {error}"))
}
