//! One queue as a deterministic state machine: no IO, no clock, no randomness. Time, ids and jitter come in with the commands.
//!
//! This is what a queue means. The embedded backends run it; every other adapter is compared with it, command by command. Who looks
//! for a rule finds it in the file that bears its name: adding (`add`), settling and taking (`step`), leases and the rescue of lost
//! jobs (`lease`), schedules (`schedule`), flows and the outbox (`flow`), what an administrator may do (`admin`, `clean`), reading (`inspect`), the
//! invariants (`verify`). Which moves between states are legal stands in [`crate::model::JobState::can_become`], and every move goes
//! through `Core::leave` and one of the `enter_…` functions here.
//!
//! Commands check everything before the first change: a command that returns an error has changed nothing.

mod add;
mod admin;
mod changes;
pub(crate) mod check;
mod clean;
mod command;
mod dedup;
mod explain;
mod flow;
mod inspect;
mod lane;
mod lease;
mod log;
mod rate;
mod ready;
mod restore;
mod retention;
mod schedule;
mod slab;
mod step;
mod verify;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

pub use changes::{ExportCursor, Fact, FactSink, Meta, Running};
pub use command::{Command, Reply};
pub use dedup::Held;
pub use restore::Restore;

use crate::model::{
    Attempt, Cause, Counts, ErrorKind, EventKind, JobError, JobId, JobState, Keep, Millis, Owner,
    QueueConfig, QueueName, WorkerId,
};
use crate::port::{OutboxEntry, Totals};
use changes::Changes;
use clean::Rounds;
use dedup::DedupTable;
use lane::{Entry, Lane};
use lease::Worker;
use log::{EventLog, History};
use rate::RateWindow;
use ready::Ready;
use schedule::Timetable;
use slab::{Active, Jobs};

/// Due jobs promoted, jobs rescued and records trimmed in one call, each at most.
const SLICE: usize = 1_000;

/// One queue.
#[derive(Debug)]
pub struct Core {
    queue: QueueName,
    config: Arc<QueueConfig>,
    /// Settings were given to it, be they those that it had anyway.
    configured: bool,
    jobs: Jobs,

    // The collections: every job is in exactly one of them.
    ready: Ready,
    /// By due time; jobs that are due at the same moment by id, which for ids of ours is by age.
    delayed: BTreeMap<(Millis, JobId), u32>,
    parents: Lane,
    active: ActiveSet,
    completed: Lane,
    failed: Lane,
    cancelled: Lane,
    rounds: Rounds,

    counts: Counts,
    totals: Totals,
    /// Next place at the end, and at the head, of whatever lane.
    tail: i64,
    head: i64,
    next_serial: u64,

    paused: bool,
    limited_until: Millis,
    rate: RateWindow,
    dedup: DedupTable,
    outbox: BTreeMap<u64, OutboxEntry>,
    next_outbox: u64,
    owners: HashMap<Arc<Owner>, VecDeque<(u32, u64)>>,
    events: EventLog,
    history: History,
    timetable: Timetable,

    /// The latest moment seen: time never goes back.
    now: Millis,
    maintained_at: Option<Millis>,
    grace_until: Millis,

    /// Waiting workers that there may be something for, since the last look.
    wakes: usize,
    changes: Changes,
}

/// The jobs that run, by worker and by deadline.
#[derive(Debug, Default)]
struct ActiveSet {
    workers: HashMap<WorkerId, Worker>,
    deadlines: BTreeSet<(Millis, u32)>,
}

impl Core {
    /// An empty queue.
    pub fn new(queue: QueueName, config: QueueConfig, now: Millis) -> Self {
        let events = EventLog::new(now, config.events_max);
        Self {
            queue,
            config: Arc::new(config),
            configured: false,
            jobs: Jobs::default(),
            ready: Ready::default(),
            delayed: BTreeMap::new(),
            parents: Lane::default(),
            active: ActiveSet::default(),
            completed: Lane::default(),
            failed: Lane::default(),
            cancelled: Lane::default(),
            rounds: Rounds::default(),
            counts: Counts::default(),
            totals: Totals::default(),
            tail: 0,
            head: 0,
            next_serial: 1,
            paused: false,
            limited_until: 0,
            rate: RateWindow::default(),
            dedup: DedupTable::default(),
            outbox: BTreeMap::new(),
            next_outbox: 1,
            owners: HashMap::new(),
            events,
            history: History::default(),
            timetable: Timetable::default(),
            now,
            maintained_at: None,
            grace_until: 0,
            wakes: 0,
            changes: Changes::default(),
        }
    }

    /// The queue's name.
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The queue's settings.
    pub fn config(&self) -> &Arc<QueueConfig> {
        &self.config
    }

    /// How many waiting workers to wake for what has become ready since the last call.
    pub fn take_wakes(&mut self) -> usize {
        std::mem::take(&mut self.wakes)
    }

    /// The moment that a command at `now` is carried out at.
    pub fn latest(&self, now: Millis) -> Millis {
        self.now.max(now)
    }

    /// Moves time on; a clock that jumped back stands still until it has caught up.
    fn advance(&mut self, now: Millis) -> Millis {
        self.now = self.now.max(now);
        self.now
    }

    /// Notes that a store must keep this job anew.
    fn note(&mut self, slot: u32) {
        if self.changes.wanted {
            let job = self.jobs.get_mut(slot);
            if !job.noted {
                job.noted = true;
                self.changes.jobs.push(slot);
            }
        }
    }

    fn emit(&mut self, kind: EventKind, slot: u32) {
        if self.events.is_kept() {
            let job = self.jobs.get(slot);
            let owner = job.spec.owner.as_ref().map_or(0, |owner| owner.hash64());
            self.events.push(self.now, kind, Some(job.spec.id.clone()), owner);
        }
    }

    // ------------------------------------------------------------------ moves between states

    /// Takes a job out of the collection that holds it; the caller puts it into the next one. Returns who ran it, if it was active.
    fn leave(&mut self, slot: u32) -> Option<Active> {
        let job = self.jobs.get(slot);
        let state = job.status.state;
        *self.counts.of_mut(state) -= 1;
        match state {
            JobState::Waiting => {
                let (member, priority) = (job.spec.group.clone(), job.spec.priority);
                self.jobs.move_on(slot);
                self.ready.bury(&member, priority, &self.jobs);
                None
            }
            JobState::Delayed => {
                self.delayed.remove(&(job.status.run_at, job.spec.id.clone()));
                None
            }
            JobState::Active => self.leave_active(slot),
            JobState::WaitingChildren | JobState::Completed | JobState::Failed | JobState::Cancelled => {
                self.jobs.move_on(slot);
                let lane = match state {
                    JobState::WaitingChildren => &mut self.parents,
                    JobState::Completed => &mut self.completed,
                    JobState::Failed => &mut self.failed,
                    _ => &mut self.cancelled,
                };
                lane.bury(&self.jobs);
                None
            }
        }
    }

    fn set_state(&mut self, slot: u32, state: JobState, cause: Option<Cause>) {
        let job = self.jobs.get_mut(slot);
        debug_assert!(
            cause.is_none_or(|cause| job.status.state.can_become(state, cause)),
            "{} cannot become {state} by {cause:?}",
            job.status.state
        );
        job.status.state = state;
        *self.counts.of_mut(state) += 1;
        self.note(slot);
    }

    /// Puts a job that is in no collection among the waiting ones, at the end or at the head of its lane. A job that asked for it
    /// goes to the head whenever it comes.
    fn enter_waiting(&mut self, slot: u32, front: bool, cause: Option<Cause>) {
        self.set_state(slot, JobState::Waiting, cause);
        let front = front || self.jobs.get(slot).spec.lifo;
        let order = if front {
            self.head -= 1;
            self.head
        } else {
            self.tail += 1;
            self.tail
        };
        let generation = self.jobs.generation(slot);
        let job = self.jobs.get_mut(slot);
        job.order = order;
        let (member, priority) = (job.spec.group.clone(), job.spec.priority);
        self.rounds.waiting.enter(job.status.created_at);
        let entry = Entry { order, slot, generation };
        self.ready.push(&member, priority, entry, front, &self.config, self.now);
        self.wakes += 1;
    }

    /// Puts a job that is in no collection among those that are not due; one that is due waits at once.
    fn enter_delayed(&mut self, slot: u32, run_at: Millis, cause: Option<Cause>) {
        if run_at <= self.now {
            self.jobs.get_mut(slot).status.run_at = run_at;
            return self.enter_waiting(slot, false, cause);
        }
        self.set_state(slot, JobState::Delayed, cause);
        let job = self.jobs.get_mut(slot);
        job.status.run_at = run_at;
        self.rounds.delayed.enter(job.status.created_at);
        let place = (run_at, job.spec.id.clone());
        // Somebody may sleep until a later moment.
        if self.delayed.first_key_value().is_none_or(|((first, _), _)| run_at < *first) {
            self.wakes += 1;
        }
        self.delayed.insert(place, slot);
    }

    fn enter_parents(&mut self, slot: u32) {
        self.set_state(slot, JobState::WaitingChildren, None);
        self.tail += 1;
        let order = self.tail;
        self.jobs.get_mut(slot).order = order;
        let generation = self.jobs.generation(slot);
        self.parents.push_back(Entry { order, slot, generation });
    }

    /// Ends a job that is in no collection: frees its key and tells its parent.
    fn enter_finished(&mut self, slot: u32, state: JobState, cause: Cause) {
        self.set_state(slot, state, Some(cause));
        self.tail += 1;
        let (order, now) = (self.tail, self.now);
        let generation = self.jobs.generation(slot);
        let job = self.jobs.get_mut(slot);
        job.order = order;
        job.status.finished_on = Some(now);
        let (lane, total, event) = match state {
            JobState::Completed => (&mut self.completed, &mut self.totals.completed, EventKind::Completed),
            JobState::Failed => (&mut self.failed, &mut self.totals.failed, EventKind::Failed),
            _ => (&mut self.cancelled, &mut self.totals.cancelled, EventKind::Cancelled),
        };
        lane.push_back(Entry { order, slot, generation });
        *total += 1;
        self.emit(event, slot);
        self.release_key(slot);
        self.report_to_parent(slot, state);
    }

    /// Frees the job's deduplication key, unless the key has a time of its own.
    fn release_key(&mut self, slot: u32) {
        let job = self.jobs.get(slot);
        if let Some(dedup) = job.spec.dedup.clone()
            && self.dedup.release(&dedup.key, &job.spec.id)
            && self.changes.wanted
        {
            self.changes.keys.push(dedup.key.clone());
        }
    }

    /// Drops a job that is in no collection.
    fn forget(&mut self, slot: u32) {
        let Some(job) = self.jobs.remove(slot) else { return };
        if self.changes.wanted {
            self.changes.gone.push(job.serial);
        }
        // The owner's oldest jobs usually go first, so the index shrinks with them and vanishes with the last.
        if let Some(owner) = &job.spec.owner
            && let Some(index) = self.owners.get_mut(owner)
        {
            let jobs = &self.jobs;
            let is_dead =
                |(slot, serial): &(u32, u64)| jobs.at(*slot).is_none_or(|job| job.serial != *serial);
            while index.front().is_some_and(is_dead) {
                index.pop_front();
            }
            if index.is_empty() {
                self.owners.remove(owner);
            }
        }
    }

    /// Adds a failed attempt to the job's history, within its bounds.
    fn record_error(
        &mut self,
        slot: u32,
        worker: WorkerId,
        attempt: u32,
        started: Millis,
        mut error: JobError,
    ) {
        let bounds = self.config.bounds;
        cut(&mut error.message, bounds.message_bytes);
        let ended = self.now;
        let errors = &mut self.jobs.get_mut(slot).status.errors;
        errors.push(Attempt { attempt, worker, started, ended, error });
        let excess = errors.len().saturating_sub(bounds.errors.max(1));
        errors.drain(..excess);
    }

    fn keep_of(&self, state: JobState) -> Keep {
        match state {
            JobState::Completed => self.config.retention.completed,
            JobState::Failed => self.config.retention.failed,
            _ => self.config.retention.cancelled,
        }
    }

    /// Makes due jobs wait, at most [`SLICE`]. Returns how many.
    fn promote_due(&mut self) -> usize {
        let mut promoted = 0;
        while promoted < SLICE {
            let Some(((run_at, _), &slot)) = self.delayed.first_key_value() else { break };
            if *run_at > self.now {
                break;
            }
            self.promote(slot);
            promoted += 1;
        }
        promoted
    }

    fn promote(&mut self, slot: u32) {
        self.leave(slot);
        self.enter_waiting(slot, false, Some(Cause::Due));
        self.emit(EventKind::Waiting, slot);
    }

    /// The lane of a state that keeps its jobs in one.
    fn lane(&self, state: JobState) -> &Lane {
        match state {
            JobState::WaitingChildren => &self.parents,
            JobState::Completed => &self.completed,
            JobState::Failed => &self.failed,
            JobState::Cancelled => &self.cancelled,
            JobState::Waiting | JobState::Delayed | JobState::Active => {
                unreachable!("{state} jobs are kept in another way")
            }
        }
    }

    fn find(&self, id: &JobId) -> Option<u32> {
        self.jobs.find(id)
    }
}

/// An error of the engine's own.
fn own_error(kind: ErrorKind, message: impl Into<String>) -> JobError {
    JobError { kind, message: message.into() }
}

/// Cuts text to at most `max` bytes, at a character's edge.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
}
