//! What producers add and administrators cancel.

use std::sync::Arc;
use std::time::Duration;

use bulrush::model::{
    ChildFailure, Dedup, GroupConfig, JobId, Keep, NewJob, QueueConfig, QueueName, RateLimit, Retention,
};
use bulrush::port::AddOutcome;
use bulrush::{Client, Queue};
use tokio::time::sleep;

use super::ledger::{Ledger, Wanted};
use super::random::{Random, hash};
use super::store::LEASE_MS;

pub const QUEUES: [&str; 3] = ["alpha", "beta", "gamma"];
/// Jobs of one producer, those that come with them not counted.
const JOBS: u64 = 25;
/// Cancels of one administrator.
const CANCELS: u64 = 15;

pub fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).expect("a good name")
}

/// Settings of a queue: all jobs are kept, and each limit is there or not.
pub fn some_config(random: &Random) -> QueueConfig {
    let keep = Retention { completed: Keep::ALL, failed: Keep::ALL, cancelled: Keep::ALL };
    let mut config = QueueConfig { lease_ms: LEASE_MS, retention: keep, ..QueueConfig::default() };
    if random.percent(30) {
        let (max, per_ms) = (2 + random.below(5) as u32, 300 + random.below(1_200));
        config.rate = Some(RateLimit { max, per_ms });
    }
    if random.percent(30) {
        config.concurrency = Some(2 + random.below(4) as u32);
    }
    if random.percent(40) {
        config.group_default.concurrency = Some(1 + random.below(3) as u32);
        let red = GroupConfig { weight: 1 + random.below(3) as u32, concurrency: Some(1) };
        config.groups.insert("red".into(), red);
    }
    config
}

/// Adds jobs of all sorts for a while.
pub struct Producer {
    pub number: u64,
    pub seed: u64,
    pub client: Client,
    pub random: Random,
    pub ledger: Arc<Ledger>,
}

impl Producer {
    pub async fn run(self, storm_ms: u64) {
        let Self { number, seed, client, random, ledger } = &self;
        for n in 0..JOBS {
            sleep(Duration::from_millis(random.below(storm_ms / JOBS))).await;
            let queue = client.queue(QUEUES[random.below(3) as usize]).expect("a good name");
            let job = some_job(client, &queue, random, &format!("p{number}-{n}"), 0);
            enter(ledger, client, *seed, &queue, &job, None);
            // Who has no answer asks again, or gives up and does not know.
            for _ in 0..=random.below(4) {
                let Ok(added) = queue.add(job.clone()).await else { continue };
                match added.outcome {
                    AddOutcome::New | AddOutcome::SameId { .. } => ledger.acknowledged(&job.spec.id),
                    _ => ledger.stands_for(&added.id, &job.spec.id),
                }
                break;
            }
        }
    }
}

/// Cancels jobs, most of them while they run.
pub struct Administrator {
    pub client: Client,
    pub random: Random,
    pub ledger: Arc<Ledger>,
}

impl Administrator {
    pub async fn run(self, storm_ms: u64) {
        for _ in 0..CANCELS {
            sleep(Duration::from_millis(self.random.below(2 * storm_ms / CANCELS))).await;
            let wanted =
                if self.random.percent(50) { self.ledger.flights().open() } else { self.ledger.wanted() };
            let die = self.random.below(wanted.len() as u64) as usize;
            let Some((queue, id)) = wanted.get(die) else { continue };
            let queue = self.client.queue(queue.as_str()).expect("a good name");
            for _ in 0..=self.random.below(3) {
                if queue.cancel(id).await.is_ok() {
                    break;
                }
            }
        }
    }
}

fn job_id(text: &str) -> JobId {
    JobId::new(text).expect("a good id")
}

/// A job with some of what a job can have; its data says how many jobs it stands after.
fn some_job(client: &Client, queue: &Queue, random: &Random, id: &str, depth: u32) -> NewJob {
    let mut job = queue.job_with_id(job_id(id), "work", "0").attempts(1 + random.below(5) as u32);
    match random.below(6) {
        0 => job = job.delay_ms(random.below(3_000)),
        1 => job = job.priority(random.below(10) as u32),
        2 | 3 => job = job.group(["red", "green"][random.below(2) as usize]),
        4 => job = job.timeout_ms(200 + random.below(1_000)),
        _ => {}
    }
    if random.percent(if depth == 0 { 35 } else { 15 }) {
        job = job.dedup_with(some_key(random));
    }
    if depth < 2 && random.percent(20) {
        for n in 0..=random.below(2) {
            let target = client.queue(QUEUES[random.below(3) as usize]).expect("a good name");
            let child = some_job(client, &target, random, &format!("{id}-{n}"), depth + 1);
            let policy =
                [ChildFailure::Fail, ChildFailure::Ignore, ChildFailure::Continue][random.below(3) as usize];
            job = job.child(target.name().clone(), child, policy);
        }
    }
    job
}

/// One of a few keys, so that many are asked for while they are held.
fn some_key(random: &Random) -> Dedup {
    let key = format!("key-{}", random.below(4)).into();
    let ttl_ms = random.percent(50).then(|| 200 + random.below(4_000));
    let fingerprint = random.percent(50).then(|| random.below(2));
    Dedup { key, ttl_ms, fingerprint }
}

/// Enters a job, its children and what follows from them into the ledger.
fn enter(ledger: &Ledger, client: &Client, seed: u64, queue: &Queue, job: &NewJob, parent: Option<&JobId>) {
    let id = &job.spec.id;
    // A child whose failure lets the parent go on leaves it free to complete.
    let only_strict = job.children.iter().all(|child| child.on_failure == ChildFailure::Fail);
    let strict = job.children.iter().filter(|_| only_strict).map(|child| child.job.spec.id.clone());
    let wanted = Wanted {
        parent: parent.cloned(),
        strict_children: strict.collect(),
        dedup: job.spec.dedup.clone(),
        ..Wanted::new(queue.name())
    };
    ledger.want(id, wanted);
    let mut last = (queue.clone(), id.clone());
    for depth in 0.. {
        let Some(target) = follow_up_of(seed, &last.1, depth) else { break };
        let target = client.queue(target).expect("a good name");
        let next = target.derived_id(&last.1, "next");
        ledger.want(&next, Wanted { follows: Some(last.1), ..Wanted::new(target.name()) });
        last = (target, next);
    }
    for child in &job.children {
        let target = client.queue(child.queue.as_str()).expect("a good name");
        enter(ledger, client, seed, &target, &child.job, Some(id));
    }
}

/// Where a job's follow-up goes, if it has one.
pub fn follow_up_of(seed: u64, id: &JobId, depth: u32) -> Option<&'static str> {
    let die = hash(seed, id.as_str());
    (depth < 2 && die.is_multiple_of(5)).then(|| QUEUES[(die / 5 % 3) as usize])
}
