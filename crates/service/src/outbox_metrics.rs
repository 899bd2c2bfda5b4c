//! What is told of the outbox: how much of it is left, and what could not be added.

use bulrush_store::OutboxLag;
use prometheus::{Gauge, IntCounter, IntGauge, Registry};

/// The numbers of the outbox's relay. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct OutboxMetrics {
    added: IntCounter,
    refused: IntCounter,
    unsent: IntGauge,
    oldest: Gauge,
}

impl OutboxMetrics {
    /// Numbers that `registry` tells.
    ///
    /// # Errors
    /// A registry that has them already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            added: IntCounter::new(
                "bulrush_outbox_added_total",
                "Jobs of the outbox that the relay has added",
            )?,
            refused: IntCounter::new(
                "bulrush_outbox_refused_total",
                "Rows of the outbox that can never become jobs; they are kept with the reason",
            )?,
            unsent: IntGauge::new("bulrush_outbox_unsent", "Jobs of the outbox that are still to be added")?,
            oldest: Gauge::new(
                "bulrush_outbox_oldest_age_seconds",
                "Age of the oldest job of the outbox that is still to be added",
            )?,
        };
        registry.register(Box::new(metrics.added.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.unsent.clone()))?;
        registry.register(Box::new(metrics.oldest.clone()))?;
        Ok(metrics)
    }

    /// Jobs were added.
    pub fn count_added(&self, jobs: u64) {
        self.added.inc_by(jobs);
    }

    /// A row was refused.
    pub fn count_refused(&self) {
        self.refused.inc();
    }

    /// How many were refused by this process.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// How many were added by this process.
    pub fn added(&self) -> u64 {
        self.added.get()
    }

    /// How far the relay is behind at `now_ms`.
    pub fn set_lag(&self, lag: OutboxLag, now_ms: i64) {
        self.unsent.set(i64::try_from(lag.unsent).unwrap_or(i64::MAX));
        let age_ms = lag.oldest_at_ms.map_or(0, |at| now_ms.saturating_sub(at).max(0));
        self.oldest.set(age_ms as f64 / 1_000.0);
    }
}
