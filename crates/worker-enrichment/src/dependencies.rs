//! What the jobs of this worker need from the program around them.

use std::sync::Arc;

use bulrush::clock::{Clock, SystemClock};
use bulrush_service::Sealing;
use bulrush_store::Store;
use bulrush_upstream::Upstreams;

/// What the jobs work with. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    /// The domain's tables.
    pub store: Store,
    /// The outside world.
    pub upstreams: Upstreams,
    /// What tells today from tomorrow. The machine's clock but in tests.
    pub clock: Arc<dyn Clock>,
    /// Opens keys that clients sent along. Without one, a job that brings its own key fails and says so.
    pub sealing: Option<Arc<Sealing>>,
}

impl Dependencies {
    /// The store and the outside world, the machine's clock, nothing that opens keys.
    pub fn new(store: Store, upstreams: Upstreams) -> Self {
        Self { store, upstreams, clock: Arc::new(SystemClock), sealing: None }
    }

    /// Opens keys with `sealing`.
    pub fn with_sealing(mut self, sealing: Arc<Sealing>) -> Self {
        self.sealing = Some(sealing);
        self
    }

    /// Tells the time by `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Now, ms since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now()).unwrap_or(i64::MAX)
    }
}
