//! What a worker did, summed by the minute, to be sent with its renewals.

use std::collections::BTreeMap;

use crate::model::{Millis, Outcome, Rollup};

const MINUTE_MS: u64 = 60_000;

/// Sums by the minute.
#[derive(Debug, Default)]
pub(super) struct Meter {
    minutes: BTreeMap<Millis, Rollup>,
}

impl Meter {
    /// Counts an attempt that was settled: when, what became of it, how long it had waited and run, ms.
    pub fn record(
        &mut self,
        now: Millis,
        outcome: &Outcome,
        last_attempt: bool,
        waited_ms: u64,
        ran_ms: u64,
    ) {
        let at = now - now % MINUTE_MS;
        let rollup = self.minutes.entry(at).or_insert_with(|| Rollup { at, ..Rollup::default() });
        match outcome {
            Outcome::Complete { .. } => rollup.completed += 1,
            Outcome::Fail { .. } => rollup.failed += 1,
            Outcome::Retry { .. } if last_attempt => rollup.failed += 1,
            Outcome::Retry { .. } => rollup.retried += 1,
            Outcome::Cancelled => rollup.cancelled += 1,
            // Given back: it neither ended nor was it tried.
            Outcome::Snooze { .. } | Outcome::RateLimited { .. } | Outcome::Release => return,
        }
        rollup.wait.record(waited_ms);
        rollup.run.record(ran_ms);
    }

    /// Hands over what was summed.
    pub fn take(&mut self) -> Vec<Rollup> {
        std::mem::take(&mut self.minutes).into_values().collect()
    }
}
