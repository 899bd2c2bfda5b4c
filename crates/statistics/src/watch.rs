//! Being asked to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::StatisticsError;

/// Whoever waits for a result. Asked from the computing thread, often: the answer must be cheap.
pub trait Watch: Sync {
    /// Whether nobody waits any more.
    fn is_cancelled(&self) -> bool;

    /// So many steps of so many are done; a function that has steps says what they are.
    fn progress(&self, done: usize, of: usize) {
        let _ = (done, of);
    }
}

/// Waits to the end.
impl Watch for () {
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Watch for AtomicBool {
    fn is_cancelled(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

/// An error to leave by when nobody waits any more.
pub(crate) fn check(watch: &dyn Watch) -> Result<(), StatisticsError> {
    if watch.is_cancelled() { Err(StatisticsError::Cancelled) } else { Ok(()) }
}
