//! What a command changed, as absolute facts for a store to keep, and the way back from facts to a queue.
//!
//! A fact replaces whatever was said before about the same thing, so facts may be told twice and a later one wins. That lets a store
//! write a checkpoint while the queue goes on: it copies the jobs slice by slice, and replays the facts told meanwhile over it.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::dedup::Held;
use super::slab::Kin;
use crate::model::{
    Child, ChildFailure, JobId, Millis, QueueConfig, Rollup, ScheduleId, ScheduleSpec, ScheduleState, Spec,
    Status, Token,
};
use crate::port::{OutboxEntry, Totals};

/// A run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The right to write.
    pub token: Token,
    /// When it started.
    pub started: Millis,
    /// When it is taken back even from a live worker.
    pub deadline: Option<Millis>,
    /// Somebody asked it to stop.
    pub cancel: bool,
    /// Log lines that it has written.
    pub lines: u32,
}

/// Something a store must keep.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<'a> {
    /// A job without its payload.
    Job {
        /// The job's number.
        serial: u64,
        /// Place in its collection.
        order: i64,
        /// Its run, while it is active.
        active: Option<Running>,
        /// Log lines that are kept, the last of those written: lines before them are gone.
        logs: u32,
        /// What was asked for; the payload is told by its own fact.
        spec: &'a Spec,
        /// How it stands.
        status: &'a Status,
    },
    /// A job's payload.
    Data {
        /// The job's number.
        serial: u64,
        /// The payload.
        data: &'a Bytes,
    },
    /// A job is gone, with all that was told of it.
    Gone {
        /// The job's number.
        serial: u64,
    },
    /// A parent's child.
    Child {
        /// The parent's number.
        serial: u64,
        /// Place among the children.
        position: usize,
        /// The child.
        child: &'a Child,
        /// What its failure means.
        on_failure: ChildFailure,
    },
    /// A log line.
    Log {
        /// The job's number.
        serial: u64,
        /// The line's number.
        number: u32,
        /// The line.
        line: &'a Arc<str>,
    },
    /// Who holds a deduplication key now.
    Dedup {
        /// The key.
        key: &'a Arc<str>,
        /// Its holder.
        held: Option<&'a Held>,
    },
    /// What waits for delivery under a number.
    Outbox {
        /// The number.
        seq: u64,
        /// The entry; none once acknowledged.
        entry: Option<&'a OutboxEntry>,
    },
    /// A member of the rotation.
    Member {
        /// The group; none for the jobs without one.
        name: Option<&'a Arc<str>>,
        /// Held back until then.
        limited_until: Millis,
        /// Place in the ring.
        ticket: Option<u64>,
    },
    /// Starts counted by the rate limit at a moment.
    Rate {
        /// The moment.
        at: Millis,
        /// Starts.
        starts: u32,
    },
    /// What happened in a span of time.
    Rollup {
        /// By the hour, or by the minute.
        hourly: bool,
        /// The sums.
        rollup: &'a Rollup,
    },
    /// What is asked for by a schedule; whether it is enabled is told with its state.
    Schedule {
        /// The schedule.
        id: &'a ScheduleId,
        /// What is asked for; none once it is gone, with its state.
        spec: Option<&'a ScheduleSpec>,
    },
    /// How a schedule stands.
    ScheduleState {
        /// The schedule.
        id: &'a ScheduleId,
        /// Whether it fires.
        enabled: bool,
        /// The rest.
        state: &'a ScheduleState,
    },
    /// Whether a default schedule was asked for.
    DefaultSchedule {
        /// The schedule.
        id: &'a ScheduleId,
        /// Whether it was, ever.
        known: bool,
    },
    /// Settings.
    Config(&'a QueueConfig),
    /// The queue's own numbers.
    Meta(Meta),
}

/// The queue's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// The latest moment seen: time never goes back.
    pub now: Millis,
    /// Starts nothing until resumed.
    pub paused: bool,
    /// Held back until then by its upstream.
    pub limited_until: Millis,
    /// Next number of an outbox entry.
    pub next_outbox: u64,
    /// Next ticket of the rotation.
    pub next_ticket: u64,
    /// The turn under way: ticket and jobs left.
    pub turn: (u64, u32),
    /// Position of the last event.
    pub last_event: u64,
    /// Sums.
    pub totals: Totals,
}

/// Takes facts.
pub trait FactSink {
    /// Keeps one fact.
    fn keep(&mut self, fact: Fact<'_>);
    /// Whether an export should end its slice here: payloads differ in size, so a slice is bounded by bytes too.
    fn is_full(&self) -> bool {
        false
    }
}

/// How far an export has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportCursor(Place);

/// What comes next. Everything that grows with the jobs is walked in slices, each from the key where the last one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Jobs(u32),
    Keys(Option<(Millis, Arc<str>)>),
    Outbox(u64),
    Members(Option<Arc<str>>),
    Schedules(Option<ScheduleId>),
    Defaults(Option<ScheduleId>),
    Rest,
}

impl Default for Place {
    fn default() -> Self {
        Self::Jobs(0)
    }
}

/// What changed since the last drain. Nothing is noted unless somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub wanted: bool,
    pub jobs: Vec<u32>,
    pub data: Vec<u32>,
    pub gone: Vec<u64>,
    pub children: Vec<(u32, usize)>,
    pub logs: Vec<(u32, u32)>,
    pub keys: Vec<Arc<str>>,
    pub outbox: Vec<u64>,
    pub rate: bool,
    pub rollups: Vec<Millis>,
    /// Those whose state has changed, and whether more than that has.
    pub schedules: Vec<(ScheduleId, bool)>,
    pub defaults: Vec<ScheduleId>,
    pub config: bool,
    pub meta: bool,
}

impl super::Core {
    /// Starts noting changes for a store.
    pub fn note_changes(&mut self) {
        self.changes.wanted = true;
        self.ready.note_members();
    }

    /// Tells what changed since the last call.
    pub fn drain_changes(&mut self, sink: &mut impl FactSink) {
        if !self.changes.wanted {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        let sink = &mut Telling { sink, told: false };
        for serial in changes.gone.drain(..) {
            sink.keep(Fact::Gone { serial });
        }
        for slot in changes.data.drain(..) {
            if let Some(job) = self.jobs.at(slot) {
                sink.keep(Fact::Data { serial: job.serial, data: &job.spec.data });
            }
        }
        for slot in changes.jobs.drain(..) {
            // A slot that was emptied and filled again stands here twice; it is told once.
            if self.jobs.at(slot).is_some_and(|job| job.noted) {
                self.jobs.get_mut(slot).noted = false;
                self.tell_job(slot, sink);
            }
        }
        for (slot, position) in changes.children.drain(..) {
            self.tell_child(slot, position, sink);
        }
        for (slot, number) in changes.logs.drain(..) {
            self.tell_log(slot, number, sink);
        }
        for key in changes.keys.drain(..) {
            sink.keep(Fact::Dedup { key: &key, held: self.dedup.entry(&key) });
        }
        for seq in changes.outbox.drain(..) {
            sink.keep(Fact::Outbox { seq, entry: self.outbox.get(&seq) });
        }
        for at in changes.rollups.drain(..) {
            for hourly in [false, true] {
                if let Some(rollup) = self.history.span(at, hourly) {
                    sink.keep(Fact::Rollup { hourly, rollup });
                }
            }
        }
        for (id, whole) in changes.schedules.drain(..) {
            self.tell_schedule(&id, whole, sink);
        }
        for id in changes.defaults.drain(..) {
            let known = self.timetable.defaults.contains(&id);
            sink.keep(Fact::DefaultSchedule { id: &id, known });
        }
        if changes.rate
            && let Some((at, starts)) = self.rate.newest()
        {
            sink.keep(Fact::Rate { at, starts });
        }
        for member in self.ready.take_touched() {
            let group = self.ready.group(member.as_deref());
            sink.keep(Fact::Member {
                name: member.as_ref(),
                limited_until: group.map_or(0, |group| group.limited_until),
                ticket: group.and_then(|group| group.ticket),
            });
        }
        if changes.config {
            sink.keep(Fact::Config(&self.config));
        }
        // The queue's own numbers go with whatever else changed; that time has passed is no change.
        if changes.meta || sink.told {
            sink.keep(Fact::Meta(self.meta()));
        }
        changes.config = false;
        changes.meta = false;
        changes.rate = false;
        self.changes = changes;
    }

    /// Tells everything, slice by slice: at most `limit` things from the cursor on, fewer when the sink is full. Returns where to go
    /// on. What changes between two slices is told by its own facts, which must be kept after those of the export.
    pub fn export(
        &self,
        from: &ExportCursor,
        limit: usize,
        sink: &mut impl FactSink,
    ) -> Option<ExportCursor> {
        let mut told = 0;
        let mut is_over = |sink: &mut _| {
            told += 1;
            told >= limit || FactSink::is_full(sink)
        };
        let next = match &from.0 {
            Place::Jobs(from) => {
                let mut next = Place::Keys(None);
                for slot in *from..self.jobs.slots() {
                    self.export_job(slot, sink);
                    if is_over(sink) {
                        next = Place::Jobs(slot + 1);
                        break;
                    }
                }
                next
            }
            Place::Keys(after) => {
                let mut next = Place::Outbox(0);
                for (end, held) in self.dedup.timed(after.as_ref()) {
                    sink.keep(Fact::Dedup { key: &end.1, held: Some(held) });
                    if is_over(sink) {
                        next = Place::Keys(Some(end.clone()));
                        break;
                    }
                }
                next
            }
            Place::Outbox(from) => {
                let mut next = Place::Members(None);
                for (seq, entry) in self.outbox.range(from..) {
                    sink.keep(Fact::Outbox { seq: *seq, entry: Some(entry) });
                    if is_over(sink) {
                        next = Place::Outbox(seq + 1);
                        break;
                    }
                }
                next
            }
            Place::Members(after) => {
                let mut next = Place::Schedules(None);
                for (name, group) in self.ready.members_after(after.as_ref()) {
                    sink.keep(Fact::Member {
                        name,
                        limited_until: group.limited_until,
                        ticket: group.ticket,
                    });
                    if let Some(name) = name
                        && is_over(sink)
                    {
                        next = Place::Members(Some(name.clone()));
                        break;
                    }
                }
                next
            }
            Place::Schedules(after) => {
                let mut next = Place::Defaults(None);
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                for id in self.timetable.all.range((from, Bound::Unbounded)).map(|(id, _)| id) {
                    self.tell_schedule(id, true, sink);
                    if is_over(sink) {
                        next = Place::Schedules(Some(id.clone()));
                        break;
                    }
                }
                next
            }
            Place::Defaults(after) => {
                let mut next = Place::Rest;
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                for id in self.timetable.defaults.range((from, Bound::Unbounded)) {
                    sink.keep(Fact::DefaultSchedule { id, known: true });
                    if is_over(sink) {
                        next = Place::Defaults(Some(id.clone()));
                        break;
                    }
                }
                next
            }
            Place::Rest => {
                self.export_rest(sink);
                return None;
            }
        };
        Some(ExportCursor(next))
    }

    /// A job with all that belongs to it: payload, children, log lines, and its key where the key has no time of its own.
    fn export_job(&self, slot: u32, sink: &mut impl FactSink) {
        let Some(job) = self.jobs.at(slot) else { return };
        sink.keep(Fact::Data { serial: job.serial, data: &job.spec.data });
        self.tell_job(slot, sink);
        if let Some(family) = &job.family {
            (0..family.children.len()).for_each(|position| self.tell_child(slot, position, sink));
        }
        let first = job.status.log_lines - job.logs.len() as u32;
        (first..job.status.log_lines).for_each(|number| self.tell_log(slot, number, sink));
        if let Some(dedup) = &job.spec.dedup
            && let Some(held) = self.dedup.entry(&dedup.key)
            && held.until.is_none()
            && held.id == job.spec.id
        {
            sink.keep(Fact::Dedup { key: &dedup.key, held: Some(held) });
        }
    }

    /// What does not grow with the jobs.
    fn export_rest(&self, sink: &mut impl FactSink) {
        for (at, starts) in self.rate.entries() {
            sink.keep(Fact::Rate { at, starts });
        }
        for hourly in [false, true] {
            for rollup in &self.history.since(0, hourly) {
                sink.keep(Fact::Rollup { hourly, rollup });
            }
        }
        sink.keep(Fact::Config(&self.config));
        sink.keep(Fact::Meta(self.meta()));
    }

    fn tell_job(&self, slot: u32, sink: &mut impl FactSink) {
        let job = self.jobs.get(slot);
        let active = job.active.map(|active| Running {
            token: active.token,
            started: active.started,
            deadline: active.deadline,
            cancel: active.cancel,
            lines: active.lines,
        });
        let (serial, order, logs) = (job.serial, job.order, job.logs.len() as u32);
        sink.keep(Fact::Job { serial, order, active, logs, spec: &job.spec, status: &job.status });
    }

    fn tell_schedule(&self, id: &ScheduleId, whole: bool, sink: &mut impl FactSink) {
        let Some(schedule) = self.timetable.all.get(id) else {
            return sink.keep(Fact::Schedule { id, spec: None });
        };
        if whole {
            sink.keep(Fact::Schedule { id, spec: Some(&schedule.spec) });
        }
        let enabled = schedule.spec.enabled;
        sink.keep(Fact::ScheduleState { id, enabled, state: &schedule.state });
    }

    fn tell_child(&self, slot: u32, position: usize, sink: &mut impl FactSink) {
        let Some(job) = self.jobs.at(slot) else { return };
        let kin = job.family.as_ref().and_then(|family| family.children.get(position));
        if let Some(Kin { child, on_failure }) = kin {
            sink.keep(Fact::Child { serial: job.serial, position, child, on_failure: *on_failure });
        }
    }

    fn tell_log(&self, slot: u32, number: u32, sink: &mut impl FactSink) {
        let Some(job) = self.jobs.at(slot) else { return };
        let first = job.status.log_lines - job.logs.len() as u32;
        if let Some(line) = number.checked_sub(first).and_then(|at| job.logs.get(at as usize)) {
            sink.keep(Fact::Log { serial: job.serial, number, line });
        }
    }

    fn meta(&self) -> Meta {
        Meta {
            now: self.now,
            paused: self.paused,
            limited_until: self.limited_until,
            next_outbox: self.next_outbox,
            next_ticket: self.ready.next_ticket,
            turn: (self.ready.turn.ticket, self.ready.turn.left),
            last_event: self.events.last(),
            totals: self.totals,
        }
    }
}

/// Passes facts on and remembers whether there were any.
struct Telling<'a, S> {
    sink: &'a mut S,
    told: bool,
}

impl<S: FactSink> FactSink for Telling<'_, S> {
    fn keep(&mut self, fact: Fact<'_>) {
        self.told = true;
        self.sink.keep(fact);
    }
}

/// A held key, for stores that read one back.
impl Held {
    /// A holder with what it stands for and until when.
    pub fn new(id: JobId, fingerprint: Option<u64>, until: Option<Millis>) -> Self {
        Self { id, fingerprint, until }
    }
}
