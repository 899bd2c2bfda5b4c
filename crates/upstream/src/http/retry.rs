//! How often to ask again within one call, and after which delay.

use std::time::Duration;

/// Retries with exponential back-off. This is for hiccups: a longer trouble is the queue's to wait for, with the job's own
/// back-off, so the default gives up after about two seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most retries after the first try. 0 switches retrying off. Default 2.
    pub retries_max: u32,
    /// Delay before the first retry; doubles with each one. Default 500 ms.
    pub base: Duration,
    /// Longest delay. Default 5 s.
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries_max: 2, base: Duration::from_millis(500), delay_max: Duration::from_secs(5) }
    }
}

impl RetryPolicy {
    /// As many retries as given, without any delay between them.
    pub fn without_delay(retries_max: u32) -> Self {
        Self { retries_max, base: Duration::ZERO, delay_max: Duration::ZERO }
    }

    /// The delay after `retries` retries: between half and all of the doubled base, at random, so that workers that failed
    /// together do not come back together.
    pub(crate) fn delay(&self, retries: u32) -> Duration {
        self.delay_with(retries, random_unit())
    }

    fn delay_with(&self, retries: u32, unit: f64) -> Duration {
        let factor = 1_u32.checked_shl(retries).unwrap_or(u32::MAX).max(1);
        let whole = self.base.saturating_mul(factor).min(self.delay_max);
        whole.mul_f64(0.5 + 0.5 * unit)
    }
}

/// A random number in `0..1`. Without randomness from the system, jitter is all that is lost.
fn random_unit() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_its_limit_and_jitters_downwards_only() {
        let policy = RetryPolicy::default();
        let full: Vec<u128> = (0..6).map(|n| policy.delay_with(n, 1.0).as_millis()).collect();
        assert_eq!(full, [500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(policy.delay_with(0, 0.0).as_millis(), 250);
        for _ in 0..100 {
            let delay = policy.delay(1);
            assert!((500..=1000).contains(&delay.as_millis()), "{delay:?}");
        }
    }

    #[test]
    fn the_delay_never_overflows() {
        let policy =
            RetryPolicy { retries_max: u32::MAX, base: Duration::MAX, delay_max: Duration::from_secs(1) };
        assert_eq!(policy.delay_with(u32::MAX, 1.0), Duration::from_secs(1));
        assert_eq!(RetryPolicy::without_delay(3).delay(31), Duration::ZERO);
    }
}
