//! The ticker: fires what is due in the queues it is given.
//!
//! Any number of tickers may serve a queue, in any number of processes; none leads. Each sleeps until the first slot, fires what is due, and
//! finds out with the answer whether another was faster: the backend lets each slot fire once. A ticker that dies leaves nothing behind,
//! and one that comes back after however long finds its slots gone. Which slots those are that nobody fired in time, and what becomes of
//! them, is decided here by the schedule's own policy ([`Missed`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::flow;
use crate::model::{
    Bounds, Histogram, Load, Millis, Missed, QueueName, ScheduleError, ScheduleId, ScheduleView,
    UnreadableSchedule,
};
use crate::port::{Backend, DuePlace, Error, Fire, Fired, Result};
use crate::slots::Plan;

/// Longest wait for a slot, ms: who was woken for a new schedule may have died with the news.
const WAIT_MAX_MS: u64 = 60_000;
/// First and longest pause after a call that failed.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long what could not be fired is left alone, unless it is changed.
const REST: Duration = Duration::from_mins(1);
/// Longest wait while slots that have come stay as they are, ms: another ticker may have died over them.
const STUCK_MS: u64 = 5_000;
/// Slots of one schedule that one call makes up for.
const CHAIN_MAX: usize = 100;
/// Calls to fire that are under way at once in a queue: while one is answered the next is made.
const FLIGHTS: usize = 2;

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
    /// Schedules that it cannot fire now: not understood, refused, or not to be read. The log tells which, and why.
    pub unable: u64,
    /// How late slots fired, ms.
    pub lateness: Histogram,
    /// The last moment at which it knew that nothing more was due but for what it cannot fire, by the backend's clock. Of several queues, that
    /// of the one which is furthest behind; none before each has had one.
    pub even_at: Option<Millis>,
}

impl TickerStats {
    /// Takes in what was done in another queue. `even_at` is left to whoever knows all queues.
    fn add(&mut self, other: &Self) {
        let Self { fired, there, skipped, missed, stale, errors, unable, lateness, even_at: _ } = other;
        self.fired += fired;
        self.there += there;
        self.skipped += skipped;
        self.missed += missed;
        self.stale += stale;
        self.errors += errors;
        self.unable += unable;
        self.lateness.merge(lateness);
    }
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
    meters: BTreeMap<QueueName, Arc<Meter>>,
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
        let (mut meters, stop) = (BTreeMap::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for queue in queues {
            if meters.contains_key(&queue) {
                continue;
            }
            let meter = Arc::<Meter>::default();
            meters.insert(queue.clone(), meter.clone());
            let desk = Desk {
                backend: backend.clone(),
                queue,
                batch: options.batch.clamp(1, 1_000),
                meter,
                stop: stop.clone(),
            };
            tasks.spawn(Hand::new(desk).run());
        }
        Self { meters, stop, tasks }
    }

    /// What it has done so far, in all queues together.
    pub fn stats(&self) -> TickerStats {
        let mut sum = TickerStats::default();
        let mut evens = Vec::with_capacity(self.meters.len());
        for stats in self.meters.values().map(|meter| meter.stats()) {
            sum.add(&stats);
            evens.push(stats.even_at);
        }
        // None is less than any moment.
        sum.even_at = evens.into_iter().min().flatten();
        sum
    }

    /// What it has done so far, queue by queue.
    pub fn queues(&self) -> Vec<(QueueName, TickerStats)> {
        self.meters.iter().map(|(queue, meter)| (queue.clone(), meter.stats())).collect()
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
        self.stats()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A queue that is served, and by which calls.
#[derive(Clone)]
struct Desk {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    batch: usize,
    meter: Arc<Meter>,
    stop: CancellationToken,
}

/// What serves one queue.
struct Hand {
    desk: Desk,
    /// Schedules that could not be fired.
    unable: HashMap<ScheduleId, Unable>,
    /// Those that could not be read, with the reason, and the sweep that last saw them.
    unreadable: HashMap<String, (String, u64)>,
    /// Sweeps made so far.
    sweeps: u64,
    /// The last sweep saw slots that it could not move on.
    stuck: bool,
}

/// A schedule that could not be fired.
struct Unable {
    /// As it was.
    revision: u64,
    /// When it is tried again.
    again: Instant,
    /// The sweep that last saw it.
    seen: u64,
}

/// What a look at everything that is due has led to.
#[derive(Default)]
struct Swept {
    /// The backend's clock at the end of it.
    now: Millis,
    /// The first slot that had not come.
    next: Option<Millis>,
    /// Slots were left behind, so more may be due.
    moved: bool,
    /// Others had moved them, or nobody could.
    stale: bool,
}

impl Hand {
    fn new(desk: Desk) -> Self {
        Self { desk, unable: HashMap::new(), unreadable: HashMap::new(), sweeps: 0, stuck: false }
    }

    async fn run(mut self) {
        let mut pause = PAUSE;
        let mut away = false;
        while !self.desk.stop.is_cancelled() {
            match self.turn().await {
                Ok(()) => {
                    if away {
                        tracing::info!(queue = %self.desk.queue, "schedules can be fired again");
                    }
                    (pause, away) = (PAUSE, false);
                }
                Err(Error::Closed) => return,
                Err(error) => {
                    self.desk.meter.errors.fetch_add(1, Ordering::Relaxed);
                    if !away {
                        tracing::warn!(queue = %self.desk.queue, %error, "schedules cannot be fired now; it is tried again");
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
        let swept = self.sweep().await?;
        if swept.moved || swept.stale && !self.stuck {
            self.stuck = swept.stale && !swept.moved;
            return Ok(());
        }
        self.stuck = false;
        let longest = if swept.stale { STUCK_MS } else { WAIT_MAX_MS };
        if !swept.stale {
            self.desk.meter.even_at.fetch_max(swept.now, Ordering::Relaxed);
        }
        let latest = swept.now.saturating_add(longest);
        let until = swept.next.map_or(latest, |next| next.min(latest));
        let Desk { backend, queue, stop, .. } = &self.desk;
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            waited = backend.wait_due_after(queue, swept.now, until) => waited,
        }
    }

    async fn sleep(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.desk.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Looks at everything that is due, page by page, and fires what can be. What cannot holds up nothing that comes after it.
    async fn sweep(&mut self) -> Result<Swept> {
        self.sweeps += 1;
        let (mut swept, mut flights) = (Swept::default(), JoinSet::new());
        let mut read = self.pages(&mut swept, &mut flights).await;
        // What is under way is waited for, whatever went wrong: it counts.
        while let Some(landed) = flights.join_next().await {
            read = read.and(self.land(landed, &mut swept));
        }
        read?;
        let this = self.sweeps;
        self.unable.retain(|_, unable| unable.seen == this);
        self.unreadable.retain(|_, (_, seen)| *seen == this);
        self.count_unable();
        Ok(swept)
    }

    async fn pages(&mut self, swept: &mut Swept, flights: &mut JoinSet<Landed>) -> Result<()> {
        let mut after: Option<DuePlace> = None;
        loop {
            let Desk { backend, queue, batch, stop, .. } = &self.desk;
            let page = backend.due_schedules_after(queue, after, *batch).await?;
            (swept.now, swept.next) = (page.now, page.next);
            let stopped = stop.is_cancelled();
            page.unreadable.into_iter().for_each(|unreadable| self.note_unreadable(unreadable));
            let mut fires = Vec::with_capacity(page.due.len());
            for view in &page.due {
                if self.is_at_rest(view) {
                    continue;
                }
                match fires_of(view, page.now) {
                    Ok(chain) => fires.extend(chain),
                    Err(error) => self.leave_alone(view.id(), view.state.revision, &error),
                }
            }
            self.count_unable();
            if stopped {
                return Ok(());
            }
            if !fires.is_empty() {
                if flights.len() >= FLIGHTS
                    && let Some(landed) = flights.join_next().await
                {
                    self.land(landed, swept)?;
                }
                flights.spawn(self.desk.clone().fire(fires));
            }
            after = page.more;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes in what a flight has led to.
    fn land(
        &mut self,
        landed: std::result::Result<Landed, tokio::task::JoinError>,
        swept: &mut Swept,
    ) -> Result<()> {
        let landed = match landed {
            Ok(landed) => landed,
            Err(panicked) => {
                tracing::error!(queue = %self.desk.queue, error = %panicked, "a call to fire schedules ended badly");
                swept.stale = true;
                return Ok(());
            }
        };
        swept.moved |= landed.moved;
        swept.stale |= landed.stale;
        for (fire, error) in landed.refused {
            self.leave_alone(&fire.spec.id, fire.revision, &error);
        }
        landed.failed.map_or(Ok(()), Err)
    }

    /// Whether a schedule that could not be fired is left alone for now.
    fn is_at_rest(&mut self, view: &ScheduleView) -> bool {
        let sweep = self.sweeps;
        self.unable.get_mut(view.id()).is_some_and(|unable| {
            unable.seen = sweep;
            unable.revision == view.state.revision && Instant::now() < unable.again
        })
    }

    fn leave_alone(&mut self, id: &ScheduleId, revision: u64, error: &dyn std::fmt::Display) {
        let unable = Unable { revision, again: Instant::now() + REST, seen: self.sweeps };
        let before = self.unable.insert(id.clone(), unable);
        if before.is_none_or(|before| before.revision != revision) {
            tracing::error!(
                queue = %self.desk.queue, schedule = %id, %error,
                "the schedule cannot be fired; its slot is kept, and it is tried again now and then, and when it is changed"
            );
        }
    }

    fn note_unreadable(&mut self, UnreadableSchedule { id, reason }: UnreadableSchedule) {
        let known = self.unreadable.get_mut(&id).filter(|(before, _)| *before == reason);
        if let Some((_, seen)) = known {
            *seen = self.sweeps;
            return;
        }
        tracing::error!(
            queue = %self.desk.queue, schedule = %id, error = %reason, "the schedule cannot be read, so it does not fire; its slot is kept"
        );
        self.unreadable.insert(id, (reason, self.sweeps));
    }

    fn count_unable(&self) {
        let unable = (self.unable.len() + self.unreadable.len()) as u64;
        self.desk.meter.unable.store(unable, Ordering::Relaxed);
    }
}

/// What calls to fire have led to.
#[derive(Default)]
struct Landed {
    /// Slots were left behind.
    moved: bool,
    /// Slots stood elsewhere.
    stale: bool,
    /// Slots whose calls cannot be carried out, whoever asks again; one of each schedule, and none after it was fired.
    refused: Vec<(Fire, Error)>,
    /// What ended it early.
    failed: Option<Error>,
}

/// Slots that are fired in one call.
struct Call {
    fires: Vec<Fire>,
    /// They are of one schedule, of which a call with one slot was not refused.
    good: bool,
}

impl Desk {
    /// Fires slots, in as many calls as it takes.
    async fn fire(self, fires: Vec<Fire>) -> Landed {
        let mut landed = Landed::default();
        let mut calls = Vec::new();
        let mut left = fires;
        while !left.is_empty() {
            let fits = Load::fits(&Bounds::default(), left.iter().map(Fire::load)).min(self.batch);
            let rest = left.split_off(fits.min(left.len()));
            calls.push(Call { fires: std::mem::replace(&mut left, rest), good: false });
        }
        calls.reverse();
        while let Some(Call { mut fires, good }) = calls.pop() {
            // A schedule is refused as one.
            fires.retain(|fire| landed.refused.iter().all(|(refused, _)| refused.spec.id != fire.spec.id));
            if fires.is_empty() || self.stop.is_cancelled() {
                continue;
            }
            match self.backend.fire(&self.queue, fires.clone()).await {
                Ok(reply) => {
                    self.report(&fires, &reply.fired, reply.now, &mut landed);
                    if !reply.outbox.is_empty()
                        && let Err(error) = flow::deliver(&*self.backend, &self.queue, reply.outbox).await
                    {
                        tracing::warn!(queue = %self.queue, %error, "an outbox could not be delivered at once; maintenance will do it");
                    }
                }
                // The queue takes less in one call than others do, or one of them cannot be carried out.
                Err(error) if is_refused(&error) => calls.extend(split(fires, good, error, &mut landed)),
                Err(error) => {
                    landed.failed = Some(error);
                    break;
                }
            }
        }
        landed
    }

    fn report(&self, fires: &[Fire], fired: &[Fired], now: Millis, landed: &mut Landed) {
        let count = |counter: &AtomicU64, n: u64| {
            counter.fetch_add(n, Ordering::Relaxed);
        };
        let (queue, meter) = (&self.queue, &self.meter);
        let mut lateness = Histogram::default();
        for (fire, fired) in fires.iter().zip(fired) {
            let (schedule, slot) = (&fire.spec.id, fire.fires.unwrap_or(fire.slot));
            let late_ms = now.saturating_sub(slot);
            match fired {
                Fired::Added(job) => {
                    count(&meter.fired, 1);
                    lateness.record(late_ms);
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
                    landed.stale = true;
                    continue;
                }
                // The clock that told that it was due is that of the store, which does not go back.
                Fired::Early => {
                    landed.stale = true;
                    continue;
                }
            }
            landed.moved = true;
            if fire.missed > 0 {
                count(&meter.missed, fire.missed);
                tracing::warn!(%queue, %schedule, slot, missed = fire.missed, "slots were missed: nobody had fired them in time");
            }
        }
        meter.lateness.lock().unwrap_or_else(PoisonError::into_inner).merge(&lateness);
    }
}

/// What is called instead of a call that was refused, the last first. Nothing, where one slot alone is: its schedule is.
fn split(mut fires: Vec<Fire>, good: bool, error: Error, landed: &mut Landed) -> Vec<Call> {
    let is_edge = |at: &usize| fires[*at - 1].spec.id != fires[*at].spec.id;
    let middle = fires.len() / 2;
    let edge = (1..fires.len()).filter(is_edge).min_by_key(|at| at.abs_diff(middle));
    let (at, good) = match (edge, fires.len()) {
        (Some(edge), _) => (edge, false),
        (None, 2..) if good => (middle, true),
        // Whether it is the schedule or the size is found out with one slot.
        (None, 2..) => (1, true),
        (None, _) => {
            landed.refused.extend(fires.pop().map(|fire| (fire, error)));
            return Vec::new();
        }
    };
    let rest = fires.split_off(at);
    vec![Call { fires: rest, good }, Call { fires, good: false }]
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

#[cfg(test)]
mod tests;
