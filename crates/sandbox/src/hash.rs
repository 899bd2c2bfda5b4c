//! Noise that is the same on every machine and in every release.

/// A well-mixed number for a sequence of numbers (SplitMix64's finalizer, chained).
pub(crate) fn mix(parts: &[i64]) -> u64 {
    parts.iter().fold(0x9E37_79B9_7F4A_7C15, |state, part| {
        let mut z = state ^ part.cast_unsigned().wrapping_mul(0xD6E8_FEB8_6659_FD93);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// The same as a number from 0 to below 1.
pub(crate) fn unit(parts: &[i64]) -> f64 {
    // The upper 53 bits are as many as a float holds.
    (mix(parts) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A hash of bytes (FNV-1a), for ETags.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_spread_evenly_and_stays_the_same() {
        let mean = (0..10_000).map(|n| unit(&[n, 7])).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        assert_eq!(mix(&[1, 2, 3]), mix(&[1, 2, 3]));
        assert_ne!(mix(&[1, 2, 3]), mix(&[1, 3, 2]));
        assert_eq!(of_bytes(b"a"), 0xAF63_DC4C_8601_EC8C);
    }
}
