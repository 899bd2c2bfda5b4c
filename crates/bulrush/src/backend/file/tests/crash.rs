//! The power is cut after every operation on the disk, and what is found is compared with the core.
//!
//! One thread plays producers, workers, the committer and the checkpoint in a random order, so that every interleaving of the real
//! threads is in reach, and each run can be repeated by its seed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::observe::{assert_same, observe};
use super::random::{Random, seeds};
use super::sim::{Image, SimDisk, Unsynced};
use super::workload::{Sent, Workload};
use crate::backend::embedded::{Cell, Queues};
use crate::backend::file::checkpoint::Checkpoint;
use crate::backend::file::files::Files;
use crate::backend::file::journal::{Shared, Task};
use crate::backend::file::log::Log;
use crate::backend::file::recover::recover;
use crate::backend::file::{Revived, revive};
use crate::core::Core;
use crate::model::{Millis, QueueConfig, QueueName};

pub fn files(disk: &SimDisk) -> Files {
    Files::new(PathBuf::from("/store"), Arc::new(disk.clone()))
}

/// A store in use.
struct Store {
    disk: SimDisk,
    files: Files,
    queues: Queues,
    log: Log,
    shared: Shared,
    checkpoint: Option<Checkpoint>,
    /// Every slice is copied; published once the log is durable up to this block.
    publish_after: Option<u64>,
    last_commit: u64,
}

impl Store {
    fn open(disk: SimDisk, now: Millis) -> Self {
        let files = files(&disk);
        let Revived { queues, log, .. } = revive(&files, now).unwrap();
        let shared = Shared::new(log.next_seq - 1);
        let last_commit = log.next_seq - 1;
        Self { disk, files, queues, log, shared, checkpoint: None, publish_after: None, last_commit }
    }

    fn cell(&self, queue: &QueueName, now: Millis) -> Arc<Cell> {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let cell = queues.entry(queue.clone()).or_insert_with(|| {
            let mut core = Core::new(queue.clone(), QueueConfig::default(), now);
            core.note_changes();
            Arc::new(Cell::new(core))
        });
        cell.clone()
    }

    /// What the committer's thread would do next. Says whether a block was made durable.
    fn commit(&mut self) -> bool {
        if let Task::Write(mut batch) = self.shared.next_task(false) {
            self.log.commit(&mut batch.block).unwrap();
            self.shared.publish(batch);
            true
        } else {
            self.log.seal().unwrap();
            false
        }
    }

    /// What the checkpoint's thread would do next.
    fn advance_checkpoint(&mut self) {
        if let Some(last) = self.publish_after {
            if self.shared.durable() >= last
                && let Some(checkpoint) = self.checkpoint.take()
            {
                checkpoint.publish().unwrap();
                self.publish_after = None;
            }
        } else if let Some(checkpoint) = &mut self.checkpoint {
            if !checkpoint.step().unwrap() {
                self.publish_after = Some(self.last_commit);
            }
        } else if self.log.rotate().unwrap() {
            let begun = Checkpoint::begin(&self.files, &self.queues, self.log.segment, self.log.next_seq);
            self.checkpoint = Some(begun.unwrap());
        }
    }
}

/// What was asked, and when which of it was acknowledged.
struct Run {
    seed: u64,
    disk: SimDisk,
    queues: Vec<QueueName>,
    /// Each command, and the last block that holds anything when it was carried out.
    sent: Vec<(Sent, u64)>,
    /// Operations on the disk so far, and the block that was durable then.
    acknowledged: Vec<(usize, u64)>,
    now: Millis,
    models: HashMap<usize, Vec<String>>,
}

impl Run {
    fn record(seed: u64, actions: usize, data_max: usize) -> Self {
        let mut random = Random::new(seed ^ 0xabcd);
        let mut workload = Workload::new(seed, data_max);
        let mut store = Store::open(SimDisk::default(), workload.now);
        let mut sent = Vec::new();
        let mut acknowledged = vec![(0, 0)];
        for _ in 0..actions {
            match random.below(100) {
                0..45 => {
                    let next = workload.next();
                    let cell = store.cell(&workload.queues[next.queue], next.now);
                    let mut core = cell.lock();
                    if let Ok(reply) = core.apply(next.command.clone(), next.now) {
                        workload.learn(&next, &reply);
                    }
                    let commit = store.shared.append(&mut core).unwrap();
                    store.last_commit = store.last_commit.max(commit.unwrap_or(0));
                    sent.push((next, store.last_commit));
                }
                45..64 => {
                    if store.commit() {
                        acknowledged.push((store.disk.ops(), store.shared.durable()));
                    }
                }
                64 => drop(store.log.rotate().unwrap()),
                _ => store.advance_checkpoint(),
            }
        }
        let queues = workload.queues.clone();
        let now = workload.now + 500;
        Self { seed, disk: store.disk, queues, sent, acknowledged, now, models: HashMap::new() }
    }

    /// The queues after the commands of the first so many blocks, in a new life.
    fn model(&mut self, blocks: u64) -> &[String] {
        let prefix = self.sent.iter().take_while(|(_, commit)| *commit <= blocks).count();
        let Self { models, sent, queues, now, .. } = self;
        models.entry(prefix).or_insert_with(|| {
            let first = sent.first().map_or(*now, |(sent, _)| sent.now);
            let mut cores: Vec<Core> =
                queues.iter().map(|name| Core::new(name.clone(), QueueConfig::default(), first)).collect();
            for (sent, _) in &sent[..prefix] {
                // What was refused has changed nothing.
                let _ = cores[sent.queue].apply(sent.command.clone(), sent.now);
            }
            let revived = cores.into_iter().map(|mut core| {
                core.rescue_all(*now);
                observe(core, *now)
            });
            revived.collect()
        })
    }

    /// Opens what a cut has left, and compares it. Returns the disk after opening, and the last block that was found.
    fn check(&mut self, found: &Image, acknowledged: u64, context: &str) -> (SimDisk, u64) {
        let context = format!("seed {} {context}", self.seed);
        let peeked = recover(&files(&SimDisk::holding(found.clone())));
        let blocks = match peeked {
            Ok(recovered) => recovered.log.next_seq - 1,
            Err(error) => panic!("{context}: {error} {:?}", found.names()),
        };
        assert!(blocks >= acknowledged, "{context}: found {blocks} blocks, {acknowledged} were acknowledged");
        let disk = SimDisk::holding(found.clone());
        let revived = revive(&files(&disk), self.now).unwrap_or_else(|error| panic!("{context}: {error}"));
        let mut queues = revived.queues.write().unwrap_or_else(PoisonError::into_inner);
        let (names, now) = (self.queues.clone(), self.now);
        let model = self.model(blocks);
        for (name, expected) in names.iter().zip(model) {
            let found = queues.remove(name).map(|cell| Arc::into_inner(cell).unwrap().into_core());
            let found = found.unwrap_or_else(|| Core::new(name.clone(), QueueConfig::default(), now));
            assert_same(&observe(found, now), expected, &format!("{context}, queue {name}, {blocks} blocks"));
        }
        (disk, blocks)
    }

    fn acknowledged_after(&self, ops: usize) -> u64 {
        self.acknowledged.iter().take_while(|(at, _)| *at <= ops).map(|(_, block)| *block).last().unwrap_or(0)
    }
}

#[test]
fn whenever_the_power_is_cut_what_was_acknowledged_is_found_and_nothing_half_done() {
    for seed in seeds(0..4) {
        let mut random = Random::new(seed);
        let mut run = Run::record(seed, 320, 20_000);
        for (ops, image) in run.disk.clone().history().enumerate() {
            let acknowledged = run.acknowledged_after(ops);
            for unsynced in [Unsynced::Lost, Unsynced::Lands, Unsynced::Torn, Unsynced::Torn] {
                let found = image.cut(unsynced, &mut random);
                let context = format!("cut after {ops} operations, {unsynced:?}");
                let (opened, blocks) = run.check(&found, acknowledged, &context);
                // And again while it is being opened.
                let opening = random.below(opened.ops() + 1);
                let found = opened.history().nth(opening).unwrap().cut(Unsynced::Torn, &mut random);
                let again = SimDisk::holding(found);
                let recovered = recover(&files(&again)).unwrap_or_else(|error| panic!("{context}: {error}"));
                assert!(recovered.log.next_seq > acknowledged, "{context}, and again while it was opened");
                // What an opened store has shown stays, even if nothing but what it synced does.
                let found = opened.image().cut(Unsynced::Lost, &mut random);
                let recovered = recover(&files(&SimDisk::holding(found))).unwrap();
                assert!(recovered.log.next_seq > blocks, "{context}: opening made nothing durable");
            }
        }
    }
}

#[test]
fn what_a_store_showed_after_a_kill_stays_when_the_power_fails_then() {
    for seed in seeds(100..103) {
        let mut random = Random::new(seed);
        let mut run = Run::record(seed, 150, 500);
        for (ops, image) in run.disk.clone().history().enumerate() {
            let found = image.cut(Unsynced::Stays, &mut random);
            let acknowledged = run.acknowledged_after(ops);
            let (opened, blocks) = run.check(&found, acknowledged, &format!("killed after {ops} operations"));
            for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Torn, Unsynced::Torn] {
                let found = opened.image().cut(unsynced, &mut random);
                run.check_later(&found, blocks, ops);
            }
        }
    }
}

impl Run {
    /// A rescue may have followed the blocks that were found, so only their number and the invariants are compared.
    fn check_later(&self, found: &Image, blocks: u64, ops: usize) {
        let context = format!("seed {} killed after {ops} operations, then the power failed", self.seed);
        let disk = SimDisk::holding(found.clone());
        let recovered = recover(&files(&disk)).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(recovered.log.next_seq > blocks, "{context}: {blocks} blocks had been shown");
    }
}

#[test]
fn a_store_lives_many_lives() {
    for seed in seeds(200..206) {
        let mut random = Random::new(seed);
        let mut workload = Workload::new(seed, 300);
        workload.obliterates = false;
        let names = workload.queues.clone();
        let first = workload.now;
        let mut models: Vec<Core> =
            names.iter().map(|name| Core::new(name.clone(), QueueConfig::default(), first)).collect();
        let mut disk = SimDisk::default();
        for life in 0..8 {
            let mut store = Store::open(disk, workload.now);
            for model in &mut models {
                model.rescue_all(workload.now);
            }
            for _ in 0..80 + random.below(80) {
                match random.below(10) {
                    0..5 => {
                        let next = workload.next();
                        let cell = store.cell(&names[next.queue], next.now);
                        let mut core = cell.lock();
                        let reply = core.apply(next.command.clone(), next.now);
                        let expected = models[next.queue].apply(next.command.clone(), next.now);
                        let context = format!("seed {seed} life {life}: {next:?}");
                        assert_same(&format!("{reply:?}"), &format!("{expected:?}"), &context);
                        if let Ok(reply) = reply {
                            workload.learn(&next, &reply);
                        }
                        let commit = store.shared.append(&mut core).unwrap();
                        store.last_commit = store.last_commit.max(commit.unwrap_or(0));
                    }
                    5 | 6 => drop(store.commit()),
                    _ => store.advance_checkpoint(),
                }
            }
            while store.commit() {}
            disk = SimDisk::holding(store.disk.image().cut(Unsynced::Lost, &mut random));
        }
        let store = Store::open(disk, workload.now);
        for (name, mut model) in names.iter().zip(models) {
            model.rescue_all(workload.now);
            let mut queues = store.queues.write().unwrap_or_else(PoisonError::into_inner);
            let Some(cell) = queues.remove(name) else { continue };
            let found = observe(Arc::into_inner(cell).unwrap().into_core(), workload.now);
            assert_same(&found, &observe(model, workload.now), &format!("seed {seed} queue {name}"));
        }
    }
}
