//! A store in a few maps: it keeps the facts of a queue and gives them back to build the queue anew.

use std::collections::{BTreeMap, BTreeSet};

use bulrush::core::{Core, Fact, FactSink, Held, Meta, Restore, Running};
use bulrush::model::{
    Child, ChildFailure, Millis, QueueConfig, QueueName, Rollup, ScheduleId, ScheduleSpec, ScheduleState,
    Spec, Status,
};
use bulrush::port::OutboxEntry;
use bytes::Bytes;

/// The last word on everything.
#[derive(Debug, Default)]
pub struct Store {
    jobs: BTreeMap<u64, (i64, Option<Running>, u32, Spec, Status)>,
    data: BTreeMap<u64, Bytes>,
    children: BTreeMap<(u64, usize), (Child, ChildFailure)>,
    logs: BTreeMap<(u64, u32), String>,
    keys: BTreeMap<String, Option<Held>>,
    outbox: BTreeMap<u64, Option<OutboxEntry>>,
    members: BTreeMap<Option<String>, (Millis, Option<u64>)>,
    rate: BTreeMap<Millis, u32>,
    rollups: BTreeMap<(bool, Millis), Rollup>,
    schedules: BTreeMap<ScheduleId, ScheduleSpec>,
    schedule_states: BTreeMap<ScheduleId, (bool, ScheduleState)>,
    defaults: BTreeSet<ScheduleId>,
    config: QueueConfig,
    meta: Meta,
}

impl FactSink for Store {
    fn keep(&mut self, fact: Fact<'_>) {
        match fact {
            Fact::Job { serial, order, active, logs, spec, status } => {
                // The payload has a fact of its own.
                let spec = Spec { data: Bytes::new(), ..spec.clone() };
                self.jobs.insert(serial, (order, active, logs, spec, status.clone()));
            }
            Fact::Data { serial, data } => drop(self.data.insert(serial, data.clone())),
            Fact::Gone { serial } => {
                self.jobs.remove(&serial);
                self.data.remove(&serial);
                self.children.retain(|(of, _), _| *of != serial);
                self.logs.retain(|(of, _), _| *of != serial);
            }
            Fact::Child { serial, position, child, on_failure } => {
                self.children.insert((serial, position), (child.clone(), on_failure));
            }
            Fact::Log { serial, number, line } => drop(self.logs.insert((serial, number), line.to_string())),
            Fact::Dedup { key, held } => drop(self.keys.insert(key.to_string(), held.cloned())),
            Fact::Outbox { seq, entry } => drop(self.outbox.insert(seq, entry.cloned())),
            Fact::Member { name, limited_until, ticket } => {
                self.members.insert(name.map(ToString::to_string), (limited_until, ticket));
            }
            Fact::Rate { at, starts } => drop(self.rate.insert(at, starts)),
            Fact::Rollup { hourly, rollup } => drop(self.rollups.insert((hourly, rollup.at), rollup.clone())),
            Fact::Schedule { id, spec: Some(spec) } => {
                // Whether it is enabled has a fact of its own.
                let spec = ScheduleSpec { enabled: true, ..spec.clone() };
                self.schedules.insert(id.clone(), spec);
            }
            Fact::Schedule { id, spec: None } => {
                self.schedules.remove(id);
                self.schedule_states.remove(id);
            }
            Fact::ScheduleState { id, enabled, state } => {
                self.schedule_states.insert(id.clone(), (enabled, state.clone()));
            }
            Fact::DefaultSchedule { id, known: true } => drop(self.defaults.insert(id.clone())),
            Fact::DefaultSchedule { id, known: false } => drop(self.defaults.remove(id)),
            Fact::Config(config) => self.config = config.clone(),
            Fact::Meta(meta) => self.meta = meta,
        }
    }
}

impl Store {
    /// The queue as it was when the last fact was told.
    pub fn rebuild(&self, queue: &QueueName, now: Millis) -> Core {
        let mut restore = Restore::default();
        for (serial, data) in &self.data {
            restore.data(*serial, data.clone());
        }
        for (serial, (order, active, logs, spec, status)) in &self.jobs {
            restore.job(*serial, *order, *active, *logs, spec.clone(), status.clone());
        }
        for ((serial, position), (child, on_failure)) in &self.children {
            restore.child(*serial, *position, child.clone(), *on_failure);
        }
        for ((serial, number), line) in &self.logs {
            restore.log(*serial, *number, line);
        }
        for (key, held) in &self.keys {
            restore.dedup(key, held.clone());
        }
        for (seq, entry) in &self.outbox {
            restore.outbox(*seq, entry.clone());
        }
        for (name, (limited_until, ticket)) in &self.members {
            restore.member(name.as_deref(), *limited_until, *ticket);
        }
        for (at, starts) in &self.rate {
            restore.rate(*at, *starts);
        }
        for ((hourly, _), rollup) in &self.rollups {
            restore.rollup(*hourly, rollup.clone());
        }
        for (id, spec) in &self.schedules {
            restore.schedule(id, Some(spec.clone()));
        }
        for (id, (enabled, state)) in &self.schedule_states {
            restore.schedule_state(id, *enabled, state.clone());
        }
        for id in &self.defaults {
            restore.default_schedule(id, true);
        }
        restore.config(self.config.clone());
        restore.meta(self.meta);
        restore.build(queue.clone(), now)
    }
}
