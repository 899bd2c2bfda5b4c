//! Throughput and durations over time, summed by each worker and sent with its renewals.

use serde::{Deserialize, Serialize};

use super::Millis;

/// Upper bounds of the histogram's buckets, ms; the last bucket has none.
pub const HISTOGRAM_BOUNDS_MS: [u64; 19] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000,
    3_600_000, 21_600_000,
];

/// Durations counted by size.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Observations per bucket of [`HISTOGRAM_BOUNDS_MS`], and one bucket for all that is longer.
    pub buckets: [u64; HISTOGRAM_BOUNDS_MS.len() + 1],
    /// Sum of all observations, ms.
    pub sum_ms: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, ms: u64) {
        let bucket = HISTOGRAM_BOUNDS_MS.partition_point(|bound| *bound < ms);
        self.buckets[bucket] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }

    /// Observations in all.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bound of the bucket that holds the `q`-quantile (0 to 1), ms; none without observations. The open last bucket
    /// answers with the last bound.
    pub fn quantile_ms(&self, q: f64) -> Option<u64> {
        let rank = (q * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(bucket, n)| {
            seen += n;
            (seen >= rank).then(|| HISTOGRAM_BOUNDS_MS[bucket.min(HISTOGRAM_BOUNDS_MS.len() - 1)])
        })
    }
}

/// What happened in one span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollup {
    /// Start of the span.
    pub at: Millis,
    /// Jobs that ended well.
    pub completed: u64,
    /// Jobs that ended badly.
    pub failed: u64,
    /// Attempts that failed and are tried again.
    pub retried: u64,
    /// Jobs that ended on request.
    pub cancelled: u64,
    /// From due to taken.
    pub wait: Histogram,
    /// From taken to settled.
    pub run: Histogram,
}

impl Rollup {
    /// Adds what happened elsewhere in the same span.
    pub fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.retried += other.retried;
        self.cancelled += other.cancelled;
        self.wait.merge(&other.wait);
        self.run.merge(&other.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_name_the_bucket_that_holds_them() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        for ms in [0, 1, 3, 3, 400] {
            histogram.record(ms);
        }
        assert_eq!((histogram.quantile_ms(0.4), histogram.quantile_ms(0.5)), (Some(1), Some(5)));
        assert_eq!(histogram.quantile_ms(1.0), Some(500));
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile_ms(1.0), Some(21_600_000));
    }
}
