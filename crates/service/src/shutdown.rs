//! How a process is asked to stop: once to finish what it has begun, twice to drop it.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The wish to stop, shared by all parts of a process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    forced: CancellationToken,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All was finished.
    Whole,
    /// Time ran out, or somebody would not wait.
    CutShort,
}

impl Shutdown {
    /// A process that nobody has asked to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`new`](Self::new), asked by Ctrl-C and SIGTERM: the first begins, the second forces. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Signals that cannot be watched.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let asked = shutdown.clone();
        let mut signals = Signals::watch()?;
        tokio::spawn(async move {
            let first = signals.next().await;
            tracing::info!(
                signal = first,
                "stopping: finishing what has begun; a second signal does not wait"
            );
            asked.begin();
            let second = signals.next().await;
            tracing::warn!(signal = second, "stopping at once");
            asked.force();
        });
        Ok(shutdown)
    }

    /// Asks to stop.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Asks to stop at once.
    pub fn force(&self) {
        self.begun.cancel();
        self.forced.cancel();
    }

    /// Whether somebody has asked to stop.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Whether somebody will not wait.
    pub fn is_forced(&self) -> bool {
        self.forced.is_cancelled()
    }

    /// Resolves when somebody asks to stop.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Resolves when somebody will not wait.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }

    /// A token that is cancelled when somebody asks to stop, for code that takes one.
    pub fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Waits for what has begun, at most so long and no longer once the stop is forced.
    pub async fn drain(&self, at_most: Duration, work: impl Future<Output = ()>) -> Drained {
        tokio::select! {
            () = work => Drained::Whole,
            () = self.forced() => Drained::CutShort,
            () = tokio::time::sleep(at_most) => Drained::CutShort,
        }
    }
}

/// The signals that stop a program.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn watch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "watching can fail on unix")]
    fn watch() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_with_the_work_with_its_time_or_when_forced() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.drain(Duration::from_secs(1), async {}).await, Drained::Whole);
        assert_eq!(shutdown.drain(Duration::from_secs(1), std::future::pending()).await, Drained::CutShort);
        shutdown.force();
        assert!(shutdown.is_begun(), "who will not wait asks to stop, too");
        assert_eq!(shutdown.drain(Duration::from_hours(1), std::future::pending()).await, Drained::CutShort);
    }
}
