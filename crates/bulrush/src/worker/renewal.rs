//! The worker's sign of life, from a thread of its own: handlers that burn every runtime thread cannot starve it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::meter::Meter;
use crate::clock::Clock;
use crate::model::{JobId, QueueName, Rollup, Token};
use crate::port::{Backend, OutboxEntry, Renew, WorkerInfo};

/// Roll-ups go with a renewal at most this often.
const ROLLUPS_EVERY: Duration = Duration::from_secs(10);

/// What a renewal has to tell the loop.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The store did not know the worker: its jobs were given to others.
    pub lost: bool,
    /// Running jobs to stop.
    pub cancel: Vec<(JobId, Token)>,
    /// Outbox entries that nobody has delivered.
    pub outbox: Vec<OutboxEntry>,
}

/// Renews one worker's lease on one queue.
pub(super) struct Renewal {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    info: WorkerInfo,
    meter: Arc<Mutex<Meter>>,
    news: mpsc::UnboundedSender<News>,
    every: Duration,
    rollup_seq: u64,
    /// Sent under that number and not yet acknowledged.
    rollups: Vec<Rollup>,
    since_rollups: Duration,
}

/// Stops a renewal and waits for its end.
pub(super) enum Running {
    Thread { stop: std::sync::mpsc::Sender<()>, thread: std::thread::JoinHandle<()> },
    Task(tokio::task::JoinHandle<()>),
}

impl Renewal {
    pub fn new(
        backend: Arc<dyn Backend>,
        queue: QueueName,
        info: WorkerInfo,
        meter: Arc<Mutex<Meter>>,
        news: mpsc::UnboundedSender<News>,
        lease: Duration,
    ) -> Self {
        Self {
            backend,
            queue,
            info,
            meter,
            news,
            every: pace(lease),
            rollup_seq: 0,
            rollups: Vec::new(),
            since_rollups: Duration::ZERO,
        }
    }

    /// Renews until stopped, on an OS thread.
    pub fn start_thread(mut self) -> std::io::Result<Running> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let name = format!("renew-{}", self.queue);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            loop {
                match stopped.recv_timeout(self.every) {
                    // Without a loop nobody works, and the lease must run out.
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) if self.news.is_closed() => return,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => self.renew(),
                    _ => return self.last_words(),
                }
            }
        })?;
        Ok(Running::Thread { stop, thread })
    }

    /// Renews until stopped, on the clock of a simulation.
    pub fn start_task(mut self, clock: Arc<dyn Clock>) -> Running {
        Running::Task(tokio::spawn(async move {
            loop {
                clock.sleep_until(clock.now() + self.every.as_millis() as u64).await;
                self.renew();
            }
        }))
    }

    fn renew(&mut self) {
        self.since_rollups += self.every;
        if self.rollups.is_empty() && self.since_rollups >= ROLLUPS_EVERY {
            self.since_rollups = Duration::ZERO;
            self.rollup_seq += 1;
            self.rollups = self.meter.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        // What was not acknowledged goes again under the same number, so nothing is lost or counted twice.
        let rollups = self.rollups.clone();
        let renew = Renew { info: self.info.clone(), rollup_seq: self.rollup_seq, rollups };
        loop {
            match self.backend.renew(&self.queue, renew.clone()) {
                Ok(reply) => {
                    self.rollups.clear();
                    self.every = pace(Duration::from_millis(reply.lease_ms));
                    let more = reply.maintained.more;
                    // The loop said hello before there was a renewal, so a worker that is unknown now was forgotten.
                    let news =
                        News { lost: !reply.known, cancel: reply.cancel, outbox: reply.maintained.outbox };
                    if news.lost || !news.cancel.is_empty() || !news.outbox.is_empty() {
                        // The loop is gone only when the worker is.
                        let _ = self.news.send(news);
                    }
                    if !more {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = %self.queue, worker = %self.info.id, %error, "the lease could not be renewed");
                    return;
                }
            }
        }
    }

    /// Sends what the meter still holds: the worker ends.
    fn last_words(&mut self) {
        self.since_rollups = ROLLUPS_EVERY;
        self.renew();
    }
}

/// A little more often than each third of the lease, so that one renewal may be lost and another be late.
fn pace(lease: Duration) -> Duration {
    lease * 3 / 10
}

impl Running {
    /// Stops the renewal and waits for its end.
    pub async fn stop(self) {
        match self {
            Self::Thread { stop, thread } => {
                drop(stop);
                // The thread ends after at most one call; waiting for it must not block the runtime.
                let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                if !matches!(joined, Ok(Ok(()))) {
                    tracing::error!("the renewal thread panicked");
                }
            }
            Self::Task(task) => {
                task.abort();
                let _ = task.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Embedded;
    use crate::clock::TokioClock;
    use crate::model::{QueueConfig, WorkerId};

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_shortened_is_renewed_at_its_new_pace() {
        let clock = Arc::new(TokioClock::starting_at(1_000_000));
        let backend: Arc<dyn Backend> = Arc::new(Embedded::memory(clock.clone()));
        let queue = QueueName::new("mail").expect("a good name");
        let lease = |lease_ms| QueueConfig { lease_ms, ..QueueConfig::default() };
        backend.configure(&queue, lease(60_000)).await.expect("it can be set");
        let info =
            WorkerInfo { id: WorkerId(7), name: "w".into(), slots: 1, version: "1".into(), started: 0 };
        let (news, _heard) = mpsc::unbounded_channel();
        let renewal =
            Renewal::new(backend.clone(), queue.clone(), info, Arc::default(), news, Duration::from_mins(1));
        let running = renewal.start_task(clock.clone());
        clock.sleep_until(1_000_000 + 20_000).await;
        backend.configure(&queue, lease(600)).await.expect("it can be set");
        // Past the end of the long lease only renewals at the new pace keep the worker alive.
        for after_ms in (100_000..102_000).step_by(50) {
            clock.sleep_until(1_000_000 + after_ms).await;
            let live = backend.workers(&queue).await.expect("they can be listed");
            assert_eq!(live.len(), 1, "the worker is alive {after_ms} ms after the start");
        }
        running.stop().await;
    }
}
