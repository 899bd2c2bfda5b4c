//! From facts back to a queue, and the rebuilding of every index from the records alone, which is also how `verify` repairs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use super::Core;
use super::add::OWNER_INDEX_MAX;
use super::changes::{Meta, Running};
use super::clean::Rounds;
use super::dedup::Held;
use super::lane::{Entry, Lane};
use super::schedule::Schedule;
use super::slab::{Active, Family, Kin, Slot};
use crate::model::{
    Child, ChildFailure, Counts, JobState, Millis, QueueConfig, QueueName, Rollup, ScheduleId, ScheduleSpec,
    ScheduleState, Spec, Status,
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
    schedules: BTreeMap<ScheduleId, ScheduleDraft>,
    defaults: BTreeSet<ScheduleId>,
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

/// What is known of a schedule.
#[derive(Debug, Default)]
struct ScheduleDraft {
    spec: Option<ScheduleSpec>,
    state: Option<(bool, ScheduleState)>,
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
        active: Option<Running>,
        logs: u32,
        mut spec: Spec,
        status: Status,
    ) {
        spec.name = self.names.get_or_insert_with(&spec.name, Arc::clone).clone();
        let active = active.map(|run| Active {
            token: run.token,
            started: run.started,
            deadline: run.deadline,
            cancel: run.cancel,
            lines: run.lines,
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
    /// What is asked for by a schedule; none once it is gone.
    pub fn schedule(&mut self, id: &ScheduleId, spec: Option<ScheduleSpec>) {
        match spec {
            Some(spec) => self.schedules.entry(id.clone()).or_default().spec = Some(spec),
            None => drop(self.schedules.remove(id)),
        }
    }
    /// How a schedule stands.
    pub fn schedule_state(&mut self, id: &ScheduleId, enabled: bool, state: ScheduleState) {
        self.schedules.entry(id.clone()).or_default().state = Some((enabled, state));
    }
    /// Whether a default schedule was asked for.
    pub fn default_schedule(&mut self, id: &ScheduleId, known: bool) {
        if known {
            self.defaults.insert(id.clone());
        } else {
            self.defaults.remove(id);
        }
    }
    /// Settings.
    pub fn config(&mut self, config: QueueConfig) {
        self.config = config;
    }
    /// The queue's own numbers.
    pub fn meta(&mut self, meta: Meta) {
        self.meta = meta;
    }

    /// Builds the queue, which notes its changes from then on. Drafts of which only parts were told (a payload without a record, say)
    /// were removed before their record was written, and are dropped.
    pub fn build(self, queue: QueueName, now: Millis) -> Core {
        let Self { jobs, names: _, keys, outbox, members, rate, rollups, schedules, defaults, config, meta } =
            self;
        let mut core = Core::new(queue, config, now.max(meta.now));
        core.events.follow(meta.last_event);
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
        for (member, (limited_until, ticket)) in members {
            core.ready.restore_member(&member, limited_until, ticket);
        }
        for (id, draft) in schedules {
            let (Some(mut spec), Some((enabled, state))) = (draft.spec, draft.state) else { continue };
            spec.enabled = enabled;
            core.timetable.all.insert(id, Schedule { spec: Arc::new(spec), state });
        }
        core.timetable.defaults = defaults;
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
        self.rounds = Rounds::default();
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
                    self.delayed.insert((job.status.run_at, job.spec.id.clone()), slot);
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
        self.timetable.rebuild();
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::{Fact, FactSink};
    use crate::model::{Finished, JobId, NewJob, Outcome, WorkerId};
    use crate::port::{Resume, Step, WorkerInfo};

    const WORKER: WorkerId = WorkerId(1);

    type Tell = Box<dyn Fn(&mut Restore)>;

    /// Keeps facts as a store does, to be told again.
    #[derive(Default)]
    struct Facts(Vec<Tell>);

    impl Facts {
        fn restore(&self) -> Restore {
            let mut restore = Restore::default();
            self.0.iter().for_each(|tell| tell(&mut restore));
            restore
        }
    }

    impl FactSink for Facts {
        fn keep(&mut self, fact: Fact<'_>) {
            self.0.push(match fact {
                Fact::Job { serial, order, active, logs, spec, status } => {
                    let (spec, status) = (spec.clone(), status.clone());
                    Box::new(move |to| to.job(serial, order, active, logs, spec.clone(), status.clone()))
                }
                Fact::Data { serial, data } => {
                    let data = data.clone();
                    Box::new(move |to| to.data(serial, data.clone()))
                }
                Fact::Log { serial, number, line } => {
                    let line = line.clone();
                    Box::new(move |to| to.log(serial, number, &line))
                }
                Fact::Member { name, limited_until, ticket } => {
                    let name = name.cloned();
                    Box::new(move |to| to.member(name.as_deref(), limited_until, ticket))
                }
                Fact::Config(config) => {
                    let config = config.clone();
                    Box::new(move |to| to.config(config.clone()))
                }
                Fact::Meta(meta) => Box::new(move |to| to.meta(meta)),
                other => unreachable!("these tests tell no {other:?}"),
            });
        }
    }

    fn queue() -> Core {
        let mut core = Core::new(QueueName::new("mail").unwrap(), QueueConfig::default(), 0);
        core.note_changes();
        core
    }

    fn job(id: &str) -> NewJob {
        NewJob::new(JobId::new(id).unwrap(), "work", Bytes::new())
    }

    fn take(core: &mut Core, call: u64, want: usize, now: Millis) -> Vec<Finished> {
        let info =
            WorkerInfo { id: WORKER, name: String::new(), slots: 9, version: String::new(), started: 0 };
        if call == 1 {
            core.resume(&Resume { info, call: 0, running: Vec::new() }, now).unwrap();
        }
        let taken = core.step(Step::take(WORKER, call, want), now).unwrap().taken;
        taken.into_iter().map(|job| Finished { job, outcome: Outcome::Release }).collect()
    }

    fn ids(taken: &[Finished]) -> Vec<&str> {
        taken.iter().map(|finished| finished.id().as_str()).collect()
    }

    #[test]
    fn jobs_of_a_dead_process_go_to_the_head_in_the_order_in_which_they_had_waited() {
        let mut core = queue();
        core.add(["a", "b", "c", "d", "e"].map(job).to_vec(), 1).unwrap();
        let mut running = take(&mut core, 1, 4, 2);
        // Settling one moves another into its place in the worker's list.
        running[0].outcome = Outcome::Complete { result: None, follow_ups: Vec::new() };
        running.truncate(1);
        core.step(Step::settle(WORKER, 2, running), 3).unwrap();
        assert_eq!(core.rescue_all(4), 3);
        assert_eq!(ids(&take(&mut core, 1, 9, 5)), ["b", "c", "d", "e"]);
    }

    #[test]
    fn groups_whose_pauses_ended_while_nobody_looked_take_turns_as_they_would_have() {
        let mut core = queue();
        for (id, group) in [("a", "amber"), ("b", "blue")] {
            core.add(vec![job(id).group(group)], 1).unwrap();
        }
        let mut running = take(&mut core, 1, 2, 2);
        running[0].outcome = Outcome::RateLimited { retry_after_ms: 600 };
        running[1].outcome = Outcome::RateLimited { retry_after_ms: 500 };
        core.step(Step::settle(WORKER, 2, running), 3).unwrap();
        let mut facts = Facts::default();
        core.drain_changes(&mut facts);

        // In the next life both pauses are over; then a third group comes, and then a third life.
        let mut core = facts.restore().build(QueueName::new("mail").unwrap(), 1_000);
        core.add(vec![job("c").group("cyan")], 1_001).unwrap();
        core.drain_changes(&mut facts);
        for mut core in [facts.restore().build(QueueName::new("mail").unwrap(), 1_002), core] {
            assert_eq!(ids(&take(&mut core, 1, 9, 1_002)), ["b", "a", "c"]);
        }
    }

    #[test]
    fn a_restored_job_has_the_log_lines_that_it_had_and_no_older_ones() {
        use crate::port::{Update, UpdateChange};
        let mut core = queue();
        let mut facts = Facts::default();
        let mut config = QueueConfig::default();
        config.bounds.log_lines = 2;
        core.configure(config.clone(), 1).unwrap();
        core.add(vec![job("a")], 1).unwrap();
        let held = take(&mut core, 1, 1, 2).remove(0);
        let mut written = 0;
        let mut log = |core: &mut Core, lines: &[&str]| {
            let change =
                UpdateChange::Log { from: written, lines: lines.iter().map(ToString::to_string).collect() };
            written += lines.len() as u32;
            let update = Update { id: held.id().clone(), token: held.job.token, change };
            core.update(vec![update], 3).unwrap();
            core.drain_changes(&mut facts);
        };
        log(&mut core, &["one", "two"]);
        log(&mut core, &["three"]);
        // A bound that is raised later brings nothing back.
        config.bounds.log_lines = 10;
        core.configure(config, 4).unwrap();
        log(&mut core, &["four"]);
        let kept = core.logs(held.id(), 0, 9);
        assert_eq!(kept.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
        let restored = facts.restore().build(QueueName::new("mail").unwrap(), 5);
        assert_eq!(restored.logs(held.id(), 0, 9), kept);
    }
}
