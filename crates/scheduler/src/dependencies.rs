//! What the scheduler works with, and how often it does what.

use std::sync::Arc;
use std::time::Duration;

use bulrush::port::Backend;
use bulrush_catalog::Catalog;
use bulrush_catalog::schedules::{DefaultSchedule, defaults};
use bulrush_service::OutboxMetrics;
use bulrush_store::Store;
use prometheus::Registry;

/// What the scheduler works with. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    /// The engine.
    pub backend: Arc<dyn Backend>,
    /// The domain's tables.
    pub store: Store,
    /// The queues.
    pub catalog: Arc<Catalog>,
    /// Schedules that are put once ever.
    pub defaults: Arc<[DefaultSchedule]>,
    /// How often what is done. The defaults but in tests.
    pub pace: Pace,
    /// Where the relay of the outbox tells its numbers.
    pub outbox: OutboxMetrics,
}

impl Dependencies {
    /// The engine, the store, the queues, the catalogue's schedules in UTC, and the usual pace.
    pub fn new(backend: Arc<dyn Backend>, store: Store, catalog: Arc<Catalog>) -> Self {
        // UTC is a zone, and a test puts them.
        let defaults = defaults(&catalog, "UTC").unwrap_or_default().into();
        // In a registry of its own, names cannot be taken.
        let outbox = OutboxMetrics::new(&Registry::new())
            .unwrap_or_else(|error| unreachable!("the names of metrics are good: {error}"));
        Self { backend, store, catalog, defaults, pace: Pace::default(), outbox }
    }

    /// Puts these schedules once ever.
    pub fn with_defaults(mut self, defaults: Vec<DefaultSchedule>) -> Self {
        self.defaults = defaults.into();
        self
    }

    /// Tells the numbers of the outbox there.
    pub fn with_outbox_metrics(mut self, metrics: OutboxMetrics) -> Self {
        self.outbox = metrics;
        self
    }

    /// Goes at another pace.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").field("backend", &self.backend.kind()).finish_non_exhaustive()
    }
}

/// How often the scheduler does what.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two passes of maintenance over all queues. Less than half a lease: a pass that comes later than that opens a time of grace,
    /// in which nothing is rescued.
    pub maintenance: Duration,
    /// How long an instance has the reading of events without a sign of life; it gives one each third of it.
    pub claim: Duration,
    /// How long a read of a queue's events waits for the first one.
    pub wait: Duration,
    /// Between two looks at the ends of the streams while nobody has a webhook.
    pub tail: Duration,
    /// Between two looks for deliveries that were left lying.
    pub sweep: Duration,
    /// How long a delivery may be overdue before it counts as left lying.
    pub overdue: Duration,
    /// Between two looks for jobs of the outbox that were left lying.
    pub outbox: Duration,
    /// Between two looks at rows that only matter for a time.
    pub forget: Duration,
    /// Longest pause after trouble with a store.
    pub trouble: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            maintenance: Duration::from_secs(3),
            claim: Duration::from_secs(30),
            wait: Duration::from_secs(10),
            tail: Duration::from_secs(5),
            sweep: Duration::from_mins(1),
            overdue: Duration::from_mins(1),
            outbox: Duration::from_secs(2),
            forget: Duration::from_hours(1),
            trouble: Duration::from_secs(30),
        }
    }
}
