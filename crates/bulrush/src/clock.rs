//! Where time comes from. The engine reads no other clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::Millis;
use crate::port::BoxFuture;

/// A clock that can be waited on.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now(&self) -> Millis;
    /// Resolves at a moment or a little later.
    fn sleep_until(&self, at: Millis) -> BoxFuture<'static, ()>;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the wall clock is read")]
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as Millis)
    }

    fn sleep_until(&self, at: Millis) -> BoxFuture<'static, ()> {
        let left = Duration::from_millis(at.saturating_sub(self.now()));
        Box::pin(tokio::time::sleep(left))
    }
}

/// A clock that follows tokio's timer: with a paused runtime, time jumps to the next thing that waits for it.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    epoch: Millis,
    started: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `epoch` now.
    pub fn starting_at(epoch: Millis) -> Self {
        Self { epoch, started: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Millis {
        self.epoch + self.started.elapsed().as_millis() as Millis
    }

    fn sleep_until(&self, at: Millis) -> BoxFuture<'static, ()> {
        let deadline = self.started + Duration::from_millis(at.saturating_sub(self.epoch));
        Box::pin(tokio::time::sleep_until(deadline))
    }
}

/// A clock that stands still until somebody moves it: for tests.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Millis>>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Millis) -> Self {
        Self(Arc::new(watch::Sender::new(now)))
    }

    /// Moves the clock on and wakes whoever waited for a moment that has come.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by.as_millis() as Millis);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Millis) {
        self.0.send_replace(now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: Millis) -> BoxFuture<'static, ()> {
        let mut shown = self.0.subscribe();
        Box::pin(async move {
            // The sender lives in whoever waits on this clock; should it go, nobody is left to care.
            let _ = shown.wait_for(|now| *now >= at).await;
        })
    }
}
