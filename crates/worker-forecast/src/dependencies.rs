//! What the jobs of this worker need from the program around them.

use std::sync::Arc;

use bulrush::clock::{Clock, SystemClock};
use bulrush_store::Store;
use jiff::Timestamp;

/// What the jobs work with. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    /// The domain's tables.
    pub store: Store,
    /// What tells today from yesterday. The machine's clock but in tests.
    pub clock: Arc<dyn Clock>,
}

impl Dependencies {
    /// The store and the machine's clock.
    pub fn new(store: Store) -> Self {
        Self { store, clock: Arc::new(SystemClock) }
    }

    /// Tells the time by `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let ms = i64::try_from(self.clock.now()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }
}
