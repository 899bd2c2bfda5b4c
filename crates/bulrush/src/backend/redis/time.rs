//! What time it is where the queues live. Time comes from the server alone; here is what this process makes of what it was told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::{Cmd, cmd};
use tokio::time::Instant;

use super::keys;
use crate::clock::Clock;
use crate::model::Millis;

/// The last moment that a reply has told, and when that was by this process's own count. A reply is told some time after its moment, so
/// what is made of it is never ahead of the server: who waits by it wakes a little late, not early and for nothing.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<(Instant, Millis)>>);

impl Heard {
    /// A reply has told the time.
    pub fn set(&self, now: Millis) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), now));
    }

    /// The server's time by now; none if nothing was heard yet.
    pub fn now(&self) -> Option<Millis> {
        let (at, told) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(told + at.elapsed().as_millis() as Millis)
    }
}

/// In tests: a clock that stands in for the server's. Before each call its moment goes to a key that the scripts read.
pub(super) struct TestTime {
    pub clock: Arc<dyn Clock>,
    key: String,
    /// What the key holds, as far as this process knows.
    written: AtomicU64,
}

impl TestTime {
    /// A clock of which nothing was written yet.
    pub fn new(clock: Arc<dyn Clock>, namespace: &str) -> Self {
        Self { clock, key: keys::clock(namespace), written: AtomicU64::new(Millis::MAX) }
    }

    /// The call that brings the key up to date, and the moment it writes; none if it is.
    pub fn due(&self) -> Option<(Cmd, Millis)> {
        let now = self.clock.now();
        (now != self.written.load(Ordering::Acquire)).then(|| {
            let mut set = cmd("SET");
            set.arg(&self.key).arg(now);
            (set, now)
        })
    }

    /// The key was brought up to date.
    pub fn wrote(&self, now: Millis) {
        self.written.store(now, Ordering::Release);
    }

    /// The call that reads the key.
    pub fn read(&self) -> Cmd {
        let mut get = cmd("GET");
        get.arg(&self.key);
        get
    }
}

/// How long until a moment, with the part of a millisecond that the server has not told.
pub(super) fn left(until: Millis, now: Millis) -> Duration {
    Duration::from_millis(until.saturating_sub(now) + 1)
}
