//! When to send again.

use std::time::Duration;

/// The pauses that Standard Webhooks advises between ten attempts, about three days in all.
const PAUSES_S: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];

/// The pause after attempt `attempt`, counted from 1. Where there are more attempts, the last one.
pub(super) fn pause_after(attempt: u32) -> Duration {
    let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES_S.len() - 1);
    Duration::from_secs(PAUSES_S[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_seconds_to_a_day() {
        let pauses: Vec<Duration> = (1..=9).map(pause_after).collect();
        assert_eq!((pauses[0], pauses[1]), (Duration::from_secs(5), Duration::from_mins(5)));
        assert_eq!(pauses[8], Duration::from_hours(24));
        assert!(pauses.is_sorted());
        assert_eq!((pause_after(0), pause_after(u32::MAX)), (pauses[0], pauses[8]));
    }
}
