//! What a command changed, as absolute facts for a store to keep, and the way back from facts to a queue.
//!
//! A fact replaces whatever was said before about the same thing, so facts may be told twice and a later one wins. That lets a store
//! write a checkpoint while the queue goes on: it copies the jobs slice by slice, and replays the facts told meanwhile over it.

use std::sync::Arc;

use bytes::Bytes;

use super::dedup::Held;
use super::slab::Kin;
use crate::model::{Child, ChildFailure, JobId, Millis, QueueConfig, Rollup, Spec, Status, Token};
use crate::port::{OutboxEntry, Totals};

/// Something a store must keep.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<'a> {
    /// A job without its payload.
    Job {
        /// The job's number.
        serial: u64,
        /// Place in its collection.
        order: i64,
        /// While active: token, start, deadline, cancel flag.
        active: Option<(Token, Millis, Option<Millis>, bool)>,
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
    /// Sums.
    pub totals: Totals,
}

/// Takes facts.
pub trait FactSink {
    /// Keeps one fact.
    fn keep(&mut self, fact: Fact<'_>);
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

    /// Tells everything about up to `limit` jobs from a slot on, and with the last of them everything else. Returns where to go on.
    pub fn export(&self, from: u32, limit: u32, sink: &mut impl FactSink) -> Option<u32> {
        let end = self.jobs.slots().min(from.saturating_add(limit));
        for slot in from..end {
            let Some(job) = self.jobs.at(slot) else { continue };
            sink.keep(Fact::Data { serial: job.serial, data: &job.spec.data });
            self.tell_job(slot, sink);
            if let Some(family) = &job.family {
                (0..family.children.len()).for_each(|position| self.tell_child(slot, position, sink));
            }
            let first = job.status.log_lines - job.logs.len() as u32;
            (first..job.status.log_lines).for_each(|number| self.tell_log(slot, number, sink));
        }
        if end < self.jobs.slots() {
            return Some(end);
        }
        for (key, held) in self.dedup.iter() {
            sink.keep(Fact::Dedup { key, held: Some(held) });
        }
        for (seq, entry) in &self.outbox {
            sink.keep(Fact::Outbox { seq: *seq, entry: Some(entry) });
        }
        for (at, starts) in self.rate.entries() {
            sink.keep(Fact::Rate { at, starts });
        }
        for hourly in [false, true] {
            for rollup in &self.history.since(0, hourly) {
                sink.keep(Fact::Rollup { hourly, rollup });
            }
        }
        for (name, group) in self.ready.members() {
            sink.keep(Fact::Member { name, limited_until: group.limited_until, ticket: group.ticket });
        }
        sink.keep(Fact::Config(&self.config));
        sink.keep(Fact::Meta(self.meta()));
        None
    }

    fn tell_job(&self, slot: u32, sink: &mut impl FactSink) {
        let job = self.jobs.get(slot);
        let active = job.active.map(|active| (active.token, active.started, active.deadline, active.cancel));
        let (serial, order) = (job.serial, job.order);
        sink.keep(Fact::Job { serial, order, active, spec: &job.spec, status: &job.status });
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
