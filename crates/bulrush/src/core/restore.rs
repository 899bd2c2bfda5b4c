//! From facts back to a queue, and the rebuilding of every index from the records alone, which is also how `verify` repairs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use super::Core;
use super::add::OWNER_INDEX_MAX;
use super::changes::Meta;
use super::dedup::Held;
use super::lane::{Entry, Lane};
use super::slab::{Active, Family, Kin, Slot};
use crate::model::{
    Child, ChildFailure, Counts, JobState, Millis, QueueConfig, QueueName, Rollup, Spec, Status, Token,
};
use crate::port::OutboxEntry;

/// Collects facts until the queue can be built. A later fact about the same thing replaces an earlier one.
#[derive(Debug, Default)]
pub struct Restore {
    /// By serial: told mostly in that order, which a tree takes in faster than a table that grows by doubling.
    jobs: BTreeMap<u64, Draft>,
    /// Names of jobs, each kept once however many jobs bear it.
    names: HashSet<Arc<str>>,
    keys: HashMap<Arc<str>, Held>,
    outbox: BTreeMap<u64, OutboxEntry>,
    members: BTreeMap<Option<Arc<str>>, (Millis, Option<u64>)>,
    rate: BTreeMap<Millis, u32>,
    rollups: BTreeMap<(bool, Millis), Rollup>,
    config: QueueConfig,
    meta: Meta,
}

/// What is known of a job.
#[derive(Debug, Default)]
struct Draft {
    record: Option<Box<Record>>,
    data: Bytes,
    attached: Option<Box<Attached>>,
}

#[derive(Debug)]
struct Record {
    spec: Spec,
    status: Status,
    order: i64,
    active: Option<Active>,
    /// Log lines from this number on are kept.
    first_log: u32,
}

#[derive(Debug, Default)]
struct Attached {
    children: BTreeMap<usize, Kin>,
    logs: BTreeMap<u32, Arc<str>>,
}

impl Restore {
    /// A job without its payload; `logs` is how many of its log lines are kept.
    pub fn job(
        &mut self,
        serial: u64,
        order: i64,
        active: Option<(Token, Millis, Option<Millis>, bool)>,
        logs: u32,
        mut spec: Spec,
        status: Status,
    ) {
        spec.name = self.names.get_or_insert_with(&spec.name, Arc::clone).clone();
        let active = active.map(|(token, started, deadline, cancel)| Active {
            token,
            started,
            deadline,
            cancel,
            position: 0,
        });
        let draft = self.jobs.entry(serial).or_default();
        let first_log = status.log_lines.saturating_sub(logs);
        if let Some(attached) = &mut draft.attached
            && attached.logs.first_key_value().is_some_and(|(number, _)| *number < first_log)
        {
            attached.logs = attached.logs.split_off(&first_log);
        }
        let record = Record { spec, status, order, active, first_log };
        match &mut draft.record {
            Some(old) => **old = record,
            none => *none = Some(Box::new(record)),
        }
    }
    /// A job's payload.
    pub fn data(&mut self, serial: u64, data: Bytes) {
        self.jobs.entry(serial).or_default().data = data;
    }
    /// A job is gone.
    pub fn gone(&mut self, serial: u64) {
        self.jobs.remove(&serial);
    }
    /// A parent's child.
    pub fn child(&mut self, serial: u64, position: usize, child: Child, on_failure: ChildFailure) {
        self.attached(serial).children.insert(position, Kin { child, on_failure });
    }
    /// A log line.
    pub fn log(&mut self, serial: u64, number: u32, line: &str) {
        self.attached(serial).logs.insert(number, line.into());
    }
    fn attached(&mut self, serial: u64) -> &mut Attached {
        self.jobs.entry(serial).or_default().attached.get_or_insert_default()
    }
    /// Who holds a key now.
    pub fn dedup(&mut self, key: &str, held: Option<Held>) {
        match held {
            Some(held) => self.keys.insert(key.into(), held),
            None => self.keys.remove(key),
        };
    }
    /// What waits for delivery.
    pub fn outbox(&mut self, seq: u64, entry: Option<OutboxEntry>) {
        match entry {
            Some(entry) => self.outbox.insert(seq, entry),
            None => self.outbox.remove(&seq),
        };
    }
    /// A member of the rotation.
    pub fn member(&mut self, name: Option<&str>, limited_until: Millis, ticket: Option<u64>) {
        self.members.insert(name.map(Arc::from), (limited_until, ticket));
    }
    /// Starts counted by the rate limit.
    pub fn rate(&mut self, at: Millis, starts: u32) {
        self.rate.insert(at, starts);
    }
    /// What happened in a span of time.
    pub fn rollup(&mut self, hourly: bool, rollup: Rollup) {
        self.rollups.insert((hourly, rollup.at), rollup);
    }
    /// Settings.
    pub fn config(&mut self, config: QueueConfig) {
        self.config = config;
    }
    /// The queue's own numbers.
    pub fn meta(&mut self, meta: Meta) {
        self.meta = meta;
    }

    /// Builds the queue, which notes its changes from then on. Drafts of which only parts were told (a payload without a record, say) were removed before their record
    /// was written, and are dropped.
    pub fn build(self, queue: QueueName, now: Millis) -> Core {
        let Self { jobs, names: _, keys, outbox, members, rate, rollups, config, meta } = self;
        let mut core = Core::new(queue, config, now.max(meta.now));
        core.paused = meta.paused;
        core.limited_until = meta.limited_until;
        core.next_outbox = meta.next_outbox.max(1);
        core.totals = meta.totals;
        core.ready.next_ticket = meta.next_ticket;
        core.ready.turn.ticket = meta.turn.0;
        core.ready.turn.left = meta.turn.1;
        core.jobs.reserve(jobs.len());
        for (serial, draft) in jobs {
            let Some(record) = draft.record else { continue };
            let Record { mut spec, status, order, active, first_log } = *record;
            spec.data = draft.data;
            core.next_serial = core.next_serial.max(serial + 1);
            let Attached { children, mut logs } = draft.attached.map_or_else(Attached::default, |it| *it);
            let family = (!children.is_empty()).then(|| {
                let mut family = Family::default();
                for kin in children.into_values() {
                    family.push(kin);
                }
                Box::new(family)
            });
            core.jobs.insert(Slot {
                spec: Arc::new(spec),
                status,
                order,
                serial,
                active,
                family,
                logs: logs.split_off(&first_log).into_values().collect(),
                noted: false,
            });
        }
        for (key, held) in keys {
            core.dedup.set(&key, Some(held));
        }
        core.outbox = outbox;
        for (at, starts) in rate {
            core.rate.restore(at, starts);
        }
        for ((hourly, _), rollup) in rollups {
            core.history.restore(hourly, rollup);
        }
        // What no window can see any more may have been told long ago; the queue had forgotten it.
        if let Some(limit) = core.config.rate {
            core.rate.room(limit, core.now);
        }
        for (member, (limited_until, ticket)) in members {
            core.ready.restore_member(&member, limited_until, ticket);
        }
        // Noting begins before the ring is made: a member that finds its pause over takes a ticket, and the next life must know it.
        core.note_changes();
        core.rebuild();
        core
    }
}

impl Core {
    /// Takes back everything that workers of an earlier life of this process held, as a rescue would: they are dead, for the store
    /// was locked to us. The jobs go to the head in the order in which they had waited. Returns how many.
    pub fn rescue_all(&mut self, now: Millis) -> usize {
        self.advance(now);
        self.ready.release_limited(&self.config, self.now);
        let mut running: Vec<(i64, u32)> = self
            .active
            .workers
            .values()
            .flat_map(|worker| &worker.running)
            .map(|slot| (self.jobs.get(*slot).order, *slot))
            .collect();
        running.sort_unstable();
        // Each goes before all others, so the last comes first.
        for (_, slot) in running.iter().rev() {
            self.rescue_one(*slot, &mut Vec::new());
        }
        // Nobody is left whose lease a gap in maintenance could have run out.
        self.active.workers.clear();
        self.maintained_at = None;
        self.grace_until = 0;
        running.len()
    }

    /// Makes every collection, count and index anew from the records.
    pub(super) fn rebuild(&mut self) {
        self.ready.clear_for_rebuild();
        self.delayed.clear();
        self.parents = Lane::default();
        self.completed = Lane::default();
        self.failed = Lane::default();
        self.cancelled = Lane::default();
        for worker in self.active.workers.values_mut() {
            worker.clear();
        }
        self.active.deadlines.clear();
        self.owners.clear();
        self.counts = Counts::default();
        let mut slots: Vec<(i64, u64, u32)> =
            self.jobs.iter().map(|(slot, job)| (job.order, job.serial, slot)).collect();
        slots.sort_unstable();
        self.head = slots.first().map_or(0, |(order, _, _)| *order).min(0);
        self.tail = slots.last().map_or(0, |(order, _, _)| *order).max(0);
        for &(order, _, slot) in &slots {
            self.jobs.move_on(slot);
            let entry = Entry { order, slot, generation: self.jobs.generation(slot) };
            let job = self.jobs.get(slot);
            *self.counts.of_mut(job.status.state) += 1;
            match job.status.state {
                JobState::Waiting => {
                    let (member, priority) = (job.spec.group.clone(), job.spec.priority);
                    self.ready.append(&member, priority, entry);
                }
                JobState::Delayed => {
                    self.delayed.insert((job.status.run_at, order), slot);
                }
                JobState::Active => self.relist_active(slot),
                JobState::WaitingChildren => self.parents.push_back(entry),
                JobState::Completed => self.completed.push_back(entry),
                JobState::Failed => self.failed.push_back(entry),
                JobState::Cancelled => self.cancelled.push_back(entry),
            }
        }
        let mut by_age: Vec<(u64, u32)> = slots.iter().map(|(_, serial, slot)| (*serial, *slot)).collect();
        by_age.sort_unstable();
        for (serial, slot) in by_age {
            if let Some(owner) = self.jobs.get(slot).spec.owner.clone() {
                let index = self.owners.entry(owner).or_default();
                index.push_back((slot, serial));
                if index.len() > OWNER_INDEX_MAX {
                    index.pop_front();
                }
            }
        }
        self.ready.rebuild_ring(&self.config, self.now);
    }

    fn relist_active(&mut self, slot: u32) {
        let job = self.jobs.get(slot);
        let (active, member) = (job.active, job.spec.group.clone());
        if let Some(mut active) = active {
            active.position = self.position_for(active.token.worker);
            self.jobs.get_mut(slot).active = Some(active);
            self.enter_active(slot, active);
        }
        self.ready.count_active(&member);
    }
}
