//! From facts back to a queue, and the rebuilding of every index from the records alone, which is also how `verify` repairs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::Core;
use super::changes::Meta;
use super::dedup::Held;
use super::lane::{Entry, Lane};
use super::slab::{Active, Family, Kin, Slot};
use crate::model::{
    Child, ChildFailure, Counts, JobState, Millis, QueueConfig, QueueName, Rollup, Spec, Status, Token,
    WorkerId,
};
use crate::port::OutboxEntry;

/// Collects facts until the queue can be built. A later fact about the same thing replaces an earlier one.
#[derive(Debug, Default)]
pub struct Restore {
    jobs: HashMap<u64, Draft>,
    keys: HashMap<Arc<str>, Held>,
    outbox: BTreeMap<u64, OutboxEntry>,
    members: BTreeMap<Option<Arc<str>>, (Millis, Option<u64>)>,
    rate: BTreeMap<Millis, u32>,
    rollups: BTreeMap<(bool, Millis), Rollup>,
    config: QueueConfig,
    meta: Meta,
}

#[derive(Debug, Default)]
struct Draft {
    record: Option<(Spec, Status, i64, Option<Active>)>,
    data: Option<Bytes>,
    children: BTreeMap<usize, Kin>,
    logs: BTreeMap<u32, Arc<str>>,
}

impl Restore {
    /// A job without its payload.
    pub fn job(
        &mut self,
        serial: u64,
        order: i64,
        active: Option<(Token, Millis, Option<Millis>, bool)>,
        spec: Spec,
        status: Status,
    ) {
        let active = active.map(|(token, started, deadline, cancel)| Active {
            token,
            started,
            deadline,
            cancel,
            position: 0,
        });
        self.jobs.entry(serial).or_default().record = Some((spec, status, order, active));
    }
    /// A job's payload.
    pub fn data(&mut self, serial: u64, data: Bytes) {
        self.jobs.entry(serial).or_default().data = Some(data);
    }
    /// A job is gone.
    pub fn gone(&mut self, serial: u64) {
        self.jobs.remove(&serial);
    }
    /// A parent's child.
    pub fn child(&mut self, serial: u64, position: usize, child: Child, on_failure: ChildFailure) {
        self.jobs.entry(serial).or_default().children.insert(position, Kin { child, on_failure });
    }
    /// A log line.
    pub fn log(&mut self, serial: u64, number: u32, line: &str) {
        self.jobs.entry(serial).or_default().logs.insert(number, line.into());
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

    /// Builds the queue. Drafts of which only parts were told (a payload without a record, say) were removed before their record
    /// was written, and are dropped.
    pub fn build(self, queue: QueueName, now: Millis) -> Core {
        let Self { jobs, keys, outbox, members, rate, rollups, config, meta } = self;
        let mut core = Core::new(queue, config, now.max(meta.now));
        core.paused = meta.paused;
        core.limited_until = meta.limited_until;
        core.next_outbox = meta.next_outbox.max(1);
        core.totals = meta.totals;
        core.ready.next_ticket = meta.next_ticket;
        core.ready.turn.ticket = meta.turn.0;
        core.ready.turn.left = meta.turn.1;
        let mut drafts: Vec<(u64, Draft)> =
            jobs.into_iter().filter(|(_, draft)| draft.record.is_some()).collect();
        drafts.sort_unstable_by_key(|(serial, _)| *serial);
        for (serial, draft) in drafts {
            let Some((mut spec, status, order, active)) = draft.record else { continue };
            spec.data = draft.data.unwrap_or_default();
            core.next_serial = core.next_serial.max(serial + 1);
            let family = (!draft.children.is_empty()).then(|| {
                let mut family = Family::default();
                draft.children.into_values().for_each(|kin| family.push(kin));
                Box::new(family)
            });
            let lines_max = core.config.bounds.log_lines;
            let skip = draft.logs.len().saturating_sub(lines_max);
            let logs: VecDeque<Arc<str>> = draft.logs.into_values().skip(skip).collect();
            core.jobs.insert(Slot {
                spec: Arc::new(spec),
                status,
                order,
                serial,
                active,
                family,
                logs,
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
        for (member, (limited_until, ticket)) in members {
            core.ready.restore_member(&member, limited_until, ticket);
        }
        core.rebuild();
        core
    }
}

impl Core {
    /// Takes back everything that workers of an earlier life of this process held, as a rescue would: they are dead, for the store
    /// was locked to us. Returns how many.
    pub fn rescue_all(&mut self, now: Millis) -> usize {
        self.advance(now);
        let mut workers: Vec<WorkerId> = self.active.workers.keys().copied().collect();
        workers.sort_unstable();
        let mut rescued = 0;
        let mut outbox = Vec::new();
        for id in workers {
            while let Some(slot) =
                self.active.workers.get(&id).and_then(|worker| worker.running.last().copied())
            {
                self.rescue_one(slot, &mut outbox);
                rescued += 1;
            }
            self.active.workers.remove(&id);
        }
        rescued
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
                self.owners.entry(owner).or_default().push_back((slot, serial));
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
