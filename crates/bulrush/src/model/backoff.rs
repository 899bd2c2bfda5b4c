//! When a failed job runs again. Computed by the worker; the core knows only "again at T".

use serde::{Deserialize, Serialize};

/// Longest delay that any policy gives, one year in ms: keeps every sum far from overflow.
const DELAY_MAX_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// How long to wait before the next attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// How the delay grows.
    pub curve: Curve,
    /// Upper bound of one delay, ms, before jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_ms: Option<u64>,
    /// How the delay is spread, so that jobs that failed together do not come back together.
    #[serde(default)]
    pub jitter: Jitter,
}

/// How the delay grows with the attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Curve {
    /// The same delay each time.
    Fixed {
        /// The delay, ms.
        #[serde(rename = "delay")]
        delay_ms: u64,
    },
    /// `base × factor^(attempt − 1)`.
    Exponential {
        /// The delay after the first failed attempt, ms.
        #[serde(rename = "delay")]
        base_ms: u64,
        /// What each further failure multiplies it by.
        factor: f64,
    },
    /// One delay per attempt; the last one serves all further ones.
    Table {
        /// Delays, ms.
        #[serde(rename = "delays")]
        delays_ms: Vec<u64>,
    },
}

/// How a delay is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// Exactly the delay.
    #[default]
    None,
    /// Anywhere between 0 and the delay.
    Full,
    /// Between half the delay and the delay.
    Equal,
}

impl Default for Backoff {
    /// 2 s, doubling, with equal jitter off: the default of the platform's queues.
    fn default() -> Self {
        Self::exponential(2_000, 2.0)
    }
}

impl Backoff {
    /// `base_ms × factor^(attempt − 1)`, without cap or jitter.
    pub fn exponential(base_ms: u64, factor: f64) -> Self {
        Self { curve: Curve::Exponential { base_ms, factor }, cap_ms: None, jitter: Jitter::None }
    }

    /// The same delay each time.
    pub fn fixed(delay_ms: u64) -> Self {
        Self { curve: Curve::Fixed { delay_ms }, cap_ms: None, jitter: Jitter::None }
    }

    /// A table of delays, ms; the last one serves all further attempts.
    pub fn table(delays_ms: Vec<u64>) -> Self {
        Self { curve: Curve::Table { delays_ms }, cap_ms: None, jitter: Jitter::None }
    }

    /// The same policy with an upper bound of one delay, ms.
    pub fn with_cap(mut self, cap_ms: u64) -> Self {
        self.cap_ms = Some(cap_ms);
        self
    }

    /// The same policy, spread.
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Delay in ms after the `attempt`th failed attempt (from 1); `random` is any uniform number and decides the jitter alone.
    /// Never overflows: every delay is at most a year.
    pub fn delay_ms(&self, attempt: u32, random: u64) -> u64 {
        let attempt = attempt.max(1);
        let raw = match &self.curve {
            Curve::Fixed { delay_ms } => *delay_ms,
            Curve::Exponential { base_ms, factor } => {
                let exponent = i32::try_from(attempt - 1).unwrap_or(i32::MAX);
                let delay = *base_ms as f64 * factor.powi(exponent);
                // `as` saturates, and turns NaN into 0.
                delay as u64
            }
            Curve::Table { delays_ms } => {
                let last = delays_ms.len().saturating_sub(1);
                delays_ms.get(last.min(attempt as usize - 1)).copied().unwrap_or(0)
            }
        };
        let delay = raw.min(self.cap_ms.unwrap_or(DELAY_MAX_MS)).min(DELAY_MAX_MS);
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => random % (delay + 1),
            Jitter::Equal => delay - random % (delay / 2 + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_delays_come_out() {
        let five = Backoff::exponential(5_000, 5.0);
        assert_eq!([1, 2, 3, 4].map(|n| five.delay_ms(n, 0)), [5_000, 25_000, 125_000, 625_000]);
        let two = Backoff::default();
        assert_eq!([1, 2, 3].map(|n| two.delay_ms(n, 0)), [2_000, 4_000, 8_000]);
    }

    #[test]
    fn hostile_numbers_never_overflow() {
        for factor in [1e9, f64::INFINITY, f64::NAN, -3.0, 0.0] {
            let delay = Backoff::exponential(u64::MAX, factor).delay_ms(u32::MAX, u64::MAX);
            assert!(delay <= DELAY_MAX_MS, "factor {factor} gave {delay}");
        }
        assert_eq!(Backoff::table(vec![]).delay_ms(3, 0), 0);
        assert_eq!(Backoff::table(vec![1, 2]).delay_ms(9, 0), 2);
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let base = Backoff::fixed(1_000);
        for random in [0, 1, 499, 500, 999, 1_000, 1_001, u64::MAX] {
            assert!(base.clone().with_jitter(Jitter::Full).delay_ms(1, random) <= 1_000);
            let equal = base.clone().with_jitter(Jitter::Equal).delay_ms(1, random);
            assert!((500..=1_000).contains(&equal), "{random} gave {equal}");
        }
        assert_eq!(base.with_cap(10).delay_ms(1, 0), 10);
    }
}
