//! The ticker: fires what is due in the queues it is given.
//!
//! Any number of tickers may serve a queue, in any number of processes; none leads. Each sleeps until the first slot, fires what is due, and
//! finds out with the answer whether another was faster: the backend lets each slot fire once. A ticker that dies leaves nothing behind,
//! and one that comes back after however long finds its slots gone. Which slots those are that nobody fired in time, and what becomes of
//! them, is decided here by the schedule's own policy ([`Missed`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::flow;
use crate::model::{Histogram, Load, Millis, Missed, QueueName, ScheduleError, ScheduleId, ScheduleView};
use crate::port::{Backend, DueSchedules, Error, Fire, Fired, Result};
use crate::slots::Plan;

/// Longest wait for a slot, ms: who was woken for a new schedule may have died with the news.
const WAIT_MAX_MS: u64 = 60_000;
/// First and longest pause after a call that failed.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long what cannot be fired is left alone, when nothing else is due.
const REST: Duration = Duration::from_secs(5);
/// Slots of one schedule that one call makes up for.
const CHAIN_MAX: usize = 100;

/// How a ticker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickerOptions {
    /// Schedules fired in one call, 1 to 1,000.
    pub batch: usize,
}

impl Default for TickerOptions {
    fn default() -> Self {
        Self { batch: 500 }
    }
}

/// What a ticker has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickerStats {
    /// Slots that it fired: their jobs were added.
    pub fired: u64,
    /// Slots whose job was there already.
    pub there: u64,
    /// Slots that fired no job because the last one had not ended.
    pub skipped: u64,
    /// Slots that nobody had fired in time and that were passed over.
    pub missed: u64,
    /// Slots that another ticker fired first, or whose schedule was changed meanwhile.
    pub stale: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Schedules that it cannot fire now.
    pub unable: u64,
    /// How late slots fired, ms.
    pub lateness: Histogram,
    /// The last moment at which it knew that nothing more was due, by the backend's clock.
    pub even_at: Option<Millis>,
}

#[derive(Debug, Default)]
struct Meter {
    fired: AtomicU64,
    there: AtomicU64,
    skipped: AtomicU64,
    missed: AtomicU64,
    stale: AtomicU64,
    errors: AtomicU64,
    unable: AtomicU64,
    lateness: Mutex<Histogram>,
    /// 0 before the first time.
    even_at: AtomicU64,
}

impl Meter {
    fn stats(&self) -> TickerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TickerStats {
            fired: read(&self.fired),
            there: read(&self.there),
            skipped: read(&self.skipped),
            missed: read(&self.missed),
            stale: read(&self.stale),
            errors: read(&self.errors),
            unable: read(&self.unable),
            lateness: self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            even_at: Some(read(&self.even_at)).filter(|at| *at > 0),
        }
    }
}

/// Fires the schedules of some queues until it is shut down. Dropped, it stops at once, even within a call, which may or may not be carried
/// out.
pub struct Ticker {
    meter: Arc<Meter>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticker").field("queues", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Ticker {
    /// Starts one for some queues of a backend, whether they were made or not.
    pub fn start(
        backend: &Arc<dyn Backend>,
        queues: impl IntoIterator<Item = QueueName>,
        options: TickerOptions,
    ) -> Self {
        let (meter, stop) = (Arc::<Meter>::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let queues: BTreeSet<QueueName> = queues.into_iter().collect();
        for queue in queues {
            let hand = Hand {
                backend: backend.clone(),
                queue,
                batch: options.batch.clamp(1, 1_000),
                meter: meter.clone(),
                stop: stop.clone(),
                unable: HashMap::new(),
            };
            tasks.spawn(hand.run());
        }
        Self { meter, stop, tasks }
    }

    /// What it has done so far.
    pub fn stats(&self) -> TickerStats {
        self.meter.stats()
    }

    /// Asks it to stop, without waiting.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops it, waits until the calls under way have ended, and tells what it has done.
    pub async fn shutdown(mut self) -> TickerStats {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a ticker's task ended badly");
            }
        }
        self.meter.stats()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What serves one queue.
struct Hand {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    batch: usize,
    meter: Arc<Meter>,
    stop: CancellationToken,
    /// Schedules that cannot be fired as they are, by the revision at which that was.
    unable: HashMap<ScheduleId, u64>,
}

/// What a round has led to.
enum Round {
    /// More may be due.
    More,
    /// Nothing is due before then.
    Even(Millis),
    /// What is due cannot be fired.
    Stuck,
}

impl Hand {
    async fn run(mut self) {
        let mut pause = PAUSE;
        let mut away = false;
        while !self.stop.is_cancelled() {
            match self.turn().await {
                Ok(()) => {
                    if away {
                        tracing::info!(queue = %self.queue, "schedules can be fired again");
                    }
                    (pause, away) = (PAUSE, false);
                }
                Err(Error::Closed) => return,
                Err(error) => {
                    self.meter.errors.fetch_add(1, Ordering::Relaxed);
                    if !away {
                        tracing::warn!(queue = %self.queue, %error, "schedules cannot be fired now; it is tried again");
                    }
                    away = true;
                    self.sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Fires what is due, or waits until something is.
    async fn turn(&mut self) -> Result<()> {
        match self.round().await? {
            Round::More => {}
            Round::Stuck => self.sleep(REST).await,
            Round::Even(until) => {
                let (backend, queue) = (self.backend.clone(), self.queue.clone());
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {}
                    waited = backend.wait_due(&queue, until) => waited?,
                }
            }
        }
        Ok(())
    }

    async fn sleep(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn round(&mut self) -> Result<Round> {
        // What cannot be fired stands before the rest for ever.
        let limit = (self.batch + self.unable.len()).min(1_000);
        let DueSchedules { now, due, next } = self.backend.due_schedules(&self.queue, limit).await?;
        self.unable.retain(|id, _| due.iter().any(|view| view.id() == id));
        if due.is_empty() {
            self.meter.even_at.fetch_max(now, Ordering::Relaxed);
            let latest = now.saturating_add(WAIT_MAX_MS);
            return Ok(Round::Even(next.map_or(latest, |next| next.min(latest))));
        }
        let mut fires = Vec::with_capacity(due.len());
        for view in &due {
            if self.unable.get(view.id()) == Some(&view.state.revision) {
                continue;
            }
            match fires_of(view, now) {
                Ok(chain) => fires.extend(chain),
                Err(error) => self.leave_alone(view.id(), view.state.revision, &error),
            }
        }
        self.meter.unable.store(self.unable.len() as u64, Ordering::Relaxed);
        if fires.is_empty() {
            return Ok(Round::Stuck);
        }
        self.fire(fires).await?;
        Ok(Round::More)
    }

    /// Fires slots, in as many calls as it takes.
    async fn fire(&mut self, fires: Vec<Fire>) -> Result<()> {
        let bounds = crate::model::Bounds::default();
        let mut calls = Vec::new();
        let mut left = fires;
        while !left.is_empty() {
            let fits = Load::fits(&bounds, left.iter().map(Fire::load)).min(self.batch);
            let rest = left.split_off(fits.min(left.len()));
            calls.push(std::mem::replace(&mut left, rest));
        }
        calls.reverse();
        while let Some(mut call) = calls.pop() {
            match self.backend.fire(&self.queue, call.clone()).await {
                Ok(reply) => {
                    self.report(&call, &reply.fired, reply.now);
                    if !reply.outbox.is_empty()
                        && let Err(error) = flow::deliver(&*self.backend, &self.queue, reply.outbox).await
                    {
                        tracing::warn!(queue = %self.queue, %error, "an outbox could not be delivered at once; maintenance will do it");
                    }
                }
                Err(error) if is_refused(&error) => {
                    // The queue takes less in one call than others do, or one of them cannot be carried out.
                    if call.len() > 1 {
                        let rest = call.split_off(call.len() / 2);
                        calls.extend([rest, call]);
                    } else if let Some(fire) = call.pop() {
                        self.leave_alone(&fire.spec.id, fire.revision, &error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn leave_alone(&mut self, id: &ScheduleId, revision: u64, error: &dyn std::fmt::Display) {
        tracing::error!(
            queue = %self.queue, schedule = %id, %error, "the schedule cannot be fired until it is changed; its slot is kept"
        );
        self.unable.insert(id.clone(), revision);
        self.meter.unable.store(self.unable.len() as u64, Ordering::Relaxed);
    }

    fn report(&self, fires: &[Fire], fired: &[Fired], now: Millis) {
        let count = |counter: &AtomicU64, n: u64| {
            counter.fetch_add(n, Ordering::Relaxed);
        };
        let (queue, meter) = (&self.queue, &self.meter);
        for (fire, fired) in fires.iter().zip(fired) {
            let (schedule, slot) = (&fire.spec.id, fire.fires.unwrap_or(fire.slot));
            let late_ms = now.saturating_sub(slot);
            match fired {
                Fired::Added(job) => {
                    count(&meter.fired, 1);
                    meter.lateness.lock().unwrap_or_else(PoisonError::into_inner).record(late_ms);
                    tracing::debug!(%queue, %schedule, slot, late_ms, %job, "a schedule fired");
                }
                Fired::There(job) => {
                    count(&meter.there, 1);
                    tracing::debug!(%queue, %schedule, slot, %job, "a schedule's slot had fired before");
                }
                Fired::Skipped => {
                    count(&meter.skipped, 1);
                    tracing::info!(%queue, %schedule, slot, "a slot was skipped: the last job has not ended");
                }
                Fired::Passed => {}
                Fired::Stale | Fired::Unknown => {
                    count(&meter.stale, 1);
                    continue;
                }
                // The clock that told that it was due is that of the store, which does not go back.
                Fired::Early => continue,
            }
            if fire.missed > 0 {
                count(&meter.missed, fire.missed);
                tracing::warn!(%queue, %schedule, slot, missed = fire.missed, "slots were missed: nobody had fired them in time");
            }
        }
    }
}

/// Whether the call itself cannot be carried out, whoever asks again.
fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Bound(_) | Error::Check(_) | Error::Schedule(_))
}

/// What is to become of a schedule's slots that are due, by its policy: one item for each slot that fires, and one for a schedule that only
/// moves on. What one call does not make up for is left to the next.
///
/// # Errors
/// An expression or a zone that this version does not understand.
pub fn fires_of(view: &ScheduleView, now: Millis) -> Result<Vec<Fire>, ScheduleError> {
    let Some(first) = view.state.next.filter(|next| *next <= now) else { return Ok(Vec::new()) };
    let plan = Plan::of(&view.spec, view.state.anchor)?;
    let max = match view.spec.missed {
        Missed::Skip { .. } | Missed::One => 1,
        Missed::All { max } => max.max(1) as usize,
    };
    let backlog = plan.backlog(first, now, max);
    let mut fires = Vec::with_capacity(backlog.newest.len().min(CHAIN_MAX));
    let (mut slot, mut missed) = (first, backlog.older);
    for fired in backlog.newest.iter().take(CHAIN_MAX).copied() {
        let too_late = match view.spec.missed {
            Missed::Skip { grace_ms } => now - fired > grace_ms,
            Missed::One | Missed::All { .. } => false,
        };
        let next = plan.after(fired);
        fires.push(Fire {
            spec: view.spec.clone(),
            revision: view.state.revision,
            slot,
            fires: (!too_late).then_some(fired),
            missed: missed + u64::from(too_late),
            next,
        });
        let Some(next) = next else { break };
        (slot, missed) = (next, 0);
    }
    Ok(fires)
}
