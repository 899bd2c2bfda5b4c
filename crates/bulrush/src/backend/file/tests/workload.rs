//! Random commands to a few queues: legal ones mostly, as workers, producers and administrators would send them.

use std::sync::Arc;

use bytes::Bytes;

use super::random::Random;
use crate::core::{Command, Reply};
use crate::model::{
    Backoff, ChildFailure, Dedup, ErrorKind, Finished, GroupConfig, JobError, JobId, JobState, Keep, Millis,
    NewJob, Outcome, Owner, Progress, QueueConfig, QueueName, RateLimit, Retention, Rollup, Taken, When,
    WorkerId,
};
use crate::port::{
    AdminCommand, Delivery, OutboxEntry, Renew, Resume, Step, Update, UpdateChange, WorkerInfo,
};

/// Window of every rate limit: settings change its maximum only.
pub const RATE_PER_MS: u64 = 10_000;
/// Keys that jobs may hold.
pub const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];
const GROUPS: [&str; 4] = ["red", "green", "blue", "grey"];
const USERS: [&str; 2] = ["ada", "bob"];
const WORKERS: usize = 3;

/// A command and where it goes.
#[derive(Debug, Clone)]
pub struct Sent {
    pub queue: usize,
    pub command: Command,
    pub now: Millis,
}

struct Worker {
    id: WorkerId,
    call: u64,
    said_hello: bool,
    held: Vec<Arc<Taken>>,
}

/// Where commands come from.
pub struct Workload {
    random: Random,
    pub queues: Vec<QueueName>,
    /// By queue.
    workers: Vec<Vec<Worker>>,
    ids: Vec<Vec<JobId>>,
    /// What must still be delivered: from which queue.
    outbox: Vec<(usize, OutboxEntry)>,
    acknowledge: Vec<(usize, u64)>,
    next_id: u64,
    pub now: Millis,
    /// Longest payload, bytes.
    data_max: usize,
    /// Whether all jobs of a queue may be removed at once. In which order that is done, and so what other queues are told first, is
    /// nobody's promise, and differs after a restart.
    pub obliterates: bool,
}

impl Workload {
    pub fn new(seed: u64, data_max: usize) -> Self {
        let queues = ["mail", "report"].map(|name| QueueName::new(name).unwrap()).to_vec();
        let worker =
            |n: usize| Worker { id: WorkerId(n as u64 + 1), call: 0, said_hello: false, held: Vec::new() };
        Self {
            random: Random::new(seed),
            workers: queues.iter().map(|_| (0..WORKERS).map(worker).collect()).collect(),
            ids: queues.iter().map(|_| Vec::new()).collect(),
            queues,
            outbox: Vec::new(),
            acknowledge: Vec::new(),
            next_id: 0,
            now: 1_700_000_000_000,
            data_max,
            obliterates: true,
        }
    }

    /// The next command.
    pub fn next(&mut self) -> Sent {
        self.now += [0, 1, 50, 700, 4_000][self.random.below(5)];
        let queue = self.random.below(self.queues.len());
        let (queue, command) = match self.random.below(100) {
            0..30 => (queue, Command::Add(self.jobs(1))),
            30..55 => (queue, self.step(queue)),
            55..63 => (queue, self.update(queue)),
            63..66 => (queue, Command::Maintain),
            66..70 => (queue, self.renew(queue)),
            70..73 => (queue, self.resume(queue)),
            73..77 => (queue, Command::Configure(Box::new(self.config()))),
            77..86 => (queue, Command::Admin(self.admin(queue))),
            86..94 => self.deliver(queue),
            _ => self.acknowledge(queue),
        };
        Sent { queue, command, now: self.now }
    }

    /// Learns from an answer.
    pub fn learn(&mut self, sent: &Sent, reply: &Reply) {
        let queue = sent.queue;
        let mut outbox: &[OutboxEntry] = &[];
        match (&sent.command, reply) {
            (Command::Add(jobs), Reply::Add(reply)) => {
                self.ids[queue].extend(jobs.iter().map(|job| job.spec.id.clone()));
                outbox = &reply.outbox;
            }
            (Command::Step(step), Reply::Step(reply)) => {
                if let Some(worker) = self.workers[queue].iter_mut().find(|worker| worker.id == step.worker) {
                    worker.held.extend(reply.taken.iter().cloned());
                    worker.said_hello = reply.known;
                }
                outbox = &reply.outbox;
            }
            (_, Reply::Maintain(reply)) => outbox = &reply.outbox,
            (_, Reply::Renew(reply)) => outbox = &reply.maintained.outbox,
            (_, Reply::Admin(reply)) => outbox = &reply.outbox,
            (_, Reply::Deliver(entries)) => outbox = entries,
            _ => {}
        }
        self.outbox.extend(outbox.iter().map(|entry| (queue, entry.clone())));
    }

    fn jobs(&mut self, depth: usize) -> Vec<NewJob> {
        let n = 1 + self.random.below(if depth == 1 { 4 } else { 2 });
        (0..n).map(|_| self.job(depth)).collect()
    }

    fn job(&mut self, depth: usize) -> NewJob {
        let random = &mut self.random;
        // Now and then an id that is, or was, somebody's.
        let id =
            if random.chance(10) { random.below(self.next_id as usize + 1) as u64 } else { self.next_id };
        self.next_id += 1;
        let longest = if random.chance(10) { self.data_max } else { 60 };
        let mut data = vec![b'x'; random.below(longest + 1)];
        data.iter_mut().step_by(7).for_each(|byte| *byte = random.next() as u8);
        let mut job = NewJob::new(JobId::new(&format!("job-{id}")).unwrap(), "work", data);
        if random.chance(25) {
            job = job.group(*random.pick(&GROUPS).unwrap());
        } else if random.chance(20) {
            job = job.priority(random.below(8) as u32);
        }
        match random.below(10) {
            0 => job = job.delay_ms(random.below(20_000) as u64),
            1 => job = job.run_at(self.now + random.below(3_000) as u64),
            2 => job = job.lifo(),
            _ => {}
        }
        if random.chance(30) {
            job = job.owner("acme", *random.pick(&USERS).unwrap());
        }
        if random.chance(15) {
            job = job.tags(["urgent", "nightly"]).traceparent("00-ab-cd-01").timeout_ms(1_000);
        }
        if random.chance(15) {
            let ttl_ms = random.chance(50).then(|| random.below(150_000) as u64 + 1);
            let fingerprint = random.chance(50).then(|| random.below(2) as u64);
            job = job.dedup_with(Dedup { key: (*random.pick(&KEYS).unwrap()).into(), ttl_ms, fingerprint });
        }
        if random.chance(10) {
            job = job.backoff(Backoff::exponential(100, 2.0)).attempts(1 + random.below(3) as u32);
        }
        if depth < 3 && random.chance(12) {
            let policies = [ChildFailure::Fail, ChildFailure::Ignore, ChildFailure::Continue];
            for _ in 0..=self.random.below(3) {
                let queue = self.queues[self.random.below(self.queues.len())].clone();
                let policy = policies[self.random.below(3)];
                let child = self.job(depth + 1);
                job = job.child(queue, child, policy);
            }
        }
        job
    }

    fn step(&mut self, queue: usize) -> Command {
        let at = self.random.below(WORKERS);
        if !self.workers[queue][at].said_hello {
            return self.resume(queue);
        }
        let mut finished = Vec::new();
        for _ in 0..self.random.below(4) {
            let held = &mut self.workers[queue][at].held;
            if held.is_empty() {
                break;
            }
            let job = held.swap_remove(self.random.below(held.len()));
            finished.push(Finished { job, outcome: self.outcome() });
        }
        let worker = &mut self.workers[queue][at];
        // Now and then a call is sent twice.
        worker.call += u64::from(!self.random.chance(5));
        let want = self.random.below(6);
        Command::Step(Step { worker: worker.id, call: worker.call, finished, want })
    }

    fn outcome(&mut self) -> Outcome {
        let error =
            |kind| JobError { kind, message: "no answer from the service, and none expected".to_owned() };
        match self.random.below(12) {
            0..6 => {
                let result = self.random.chance(60).then(|| Bytes::from(vec![b'r'; self.random.below(200)]));
                let mut follow_ups = Vec::new();
                if self.random.chance(15) {
                    let queue = self.queues[self.random.below(self.queues.len())].clone();
                    follow_ups.push((queue, self.job(3)));
                }
                Outcome::Complete { result, follow_ups }
            }
            6 | 7 => {
                let after_ms = self.random.below(3_000) as u64;
                Outcome::Retry { after_ms, error: error(ErrorKind::Retryable) }
            }
            8 => Outcome::Fail { error: error(ErrorKind::Unrecoverable) },
            9 => Outcome::Snooze { after_ms: self.random.below(2_000) as u64 },
            10 => Outcome::RateLimited { retry_after_ms: self.random.below(6_000) as u64 },
            _ => Outcome::Release,
        }
    }

    fn info(&self, queue: usize, at: usize) -> WorkerInfo {
        let id = self.workers[queue][at].id;
        WorkerInfo { id, name: format!("worker {at}"), slots: 4, version: "1".into(), started: 5 }
    }

    fn resume(&mut self, queue: usize) -> Command {
        let at = self.random.below(WORKERS);
        let info = self.info(queue, at);
        let worker = &mut self.workers[queue][at];
        worker.call += 1;
        worker.said_hello = true;
        let keep = if self.random.chance(50) { worker.held.len() } else { 0 };
        worker.held.truncate(keep);
        let running = worker.held.iter().map(|job| (job.spec.id.clone(), job.token)).collect();
        Command::Resume(Resume { info, call: worker.call, running })
    }

    fn renew(&mut self, queue: usize) -> Command {
        let at = self.random.below(WORKERS);
        let mut rollup = Rollup { at: self.now, completed: self.random.below(9) as u64, ..Rollup::default() };
        rollup.run.record(self.random.below(5_000) as u64);
        let rollups = if self.random.chance(50) { vec![rollup] } else { Vec::new() };
        Command::Renew(Renew { info: self.info(queue, at), rollup_seq: self.now, rollups })
    }

    fn update(&mut self, queue: usize) -> Command {
        let held: Vec<_> = self.workers[queue].iter().flat_map(|worker| &worker.held).collect();
        let Some(job) = self.random.pick(&held).map(|job| (*job).clone()) else { return self.step(queue) };
        let change = match self.random.below(4) {
            0 => UpdateChange::Data(Bytes::from(vec![b'd'; self.random.below(300)])),
            1 => UpdateChange::Progress(Progress {
                percent: self.random.below(101) as u8,
                message: self.random.chance(50).then(|| "half way".to_owned()),
                data: None,
            }),
            _ => UpdateChange::Log {
                from: self.random.below(20) as u32,
                lines: (0..self.random.below(9)).map(|n| format!("line {n} at {}", self.now)).collect(),
            },
        };
        Command::Update(vec![Update { id: job.spec.id.clone(), token: job.token, change }])
    }

    fn config(&mut self) -> QueueConfig {
        let random = &mut self.random;
        let mut config = QueueConfig {
            lease_ms: 5_000,
            group_default: GroupConfig { weight: 1, concurrency: None },
            ..QueueConfig::default()
        };
        config.bounds.log_lines = 1 + random.below(8);
        config.bounds.errors = 1 + random.below(3);
        if random.chance(30) {
            config.rate = Some(RateLimit { max: 1 + random.below(12) as u32, per_ms: RATE_PER_MS });
        }
        if random.chance(30) {
            config.concurrency = Some(1 + random.below(6) as u32);
        }
        if random.chance(20) {
            config.depth_max = Some(random.below(40) as u64);
        }
        for name in GROUPS {
            if random.chance(40) {
                let weight = 1 + random.below(3) as u32;
                let concurrency = random.chance(40).then(|| 1 + random.below(2) as u32);
                config.groups.insert(name.into(), GroupConfig { weight, concurrency });
            }
        }
        let keep = |random: &mut Random| match random.below(4) {
            0 => Keep::NOTHING,
            1 => Keep { age_ms: Some(20_000), count: Some(5) },
            _ => Keep::ALL,
        };
        config.retention =
            Retention { completed: keep(random), failed: keep(random), cancelled: keep(random) };
        config
    }

    fn id(&mut self, queue: usize) -> JobId {
        let known = self.random.pick(&self.ids[queue]).cloned();
        known.unwrap_or_else(|| JobId::new("nobody").unwrap())
    }

    fn admin(&mut self, queue: usize) -> AdminCommand {
        let ids = vec![self.id(queue), self.id(queue)];
        let id = ids[0].clone();
        let limit = 1 + self.random.below(5);
        match self.random.below(15) {
            1 | 2 => AdminCommand::Unpause,
            3 => AdminCommand::Cancel(ids),
            4 | 5 => AdminCommand::Remove(ids),
            6 => {
                let data = self.random.chance(50).then(|| Bytes::from_static(b"{\"again\":true}"));
                AdminCommand::Retry { ids, data }
            }
            7 => AdminCommand::RetryFailed { limit },
            8 => AdminCommand::Promote(ids),
            9 => AdminCommand::Reschedule { id, when: When::After(self.random.below(5_000) as u64) },
            10 => AdminCommand::SetPriority { id, priority: self.random.below(9) as u32 },
            11 => AdminCommand::SetData { id, data: Bytes::from_static(b"{\"edited\":1}") },
            12 => {
                let states = [JobState::Completed, JobState::Failed, JobState::Waiting, JobState::Delayed];
                let state = states[self.random.below(states.len())];
                AdminCommand::Clean { state, older_ms: self.random.below(5_000) as u64, limit }
            }
            13 => AdminCommand::Drain { delayed: self.random.chance(50), limit },
            14 if self.obliterates => {
                AdminCommand::Obliterate { force: self.random.chance(30), limit: 1_000 }
            }
            // Pauses are rarer than their ends, or nothing would run.
            _ => AdminCommand::Pause,
        }
    }

    fn deliver(&mut self, queue: usize) -> (usize, Command) {
        let Some((source, entry)) = self.random.pick(&self.outbox).cloned() else {
            return (queue, self.step(queue));
        };
        let target = self.queues.iter().position(|name| *name == entry.target).unwrap_or_default();
        self.acknowledge.push((source, entry.seq));
        if let Delivery::Add(job) = &entry.delivery {
            self.ids[target].push(job.spec.id.clone());
        }
        (target, Command::Deliver(self.queues[source].clone(), vec![entry]))
    }

    fn acknowledge(&mut self, queue: usize) -> (usize, Command) {
        let Some((source, seq)) = self.acknowledge.pop() else { return (queue, self.step(queue)) };
        self.outbox.retain(|(from, entry)| (*from, entry.seq) != (source, seq));
        (source, Command::Acknowledge(vec![seq]))
    }
}

/// Owners that jobs may have.
pub fn owners() -> Vec<Owner> {
    USERS.iter().map(|user| Owner { tenant: "acme".into(), user: (*user).into() }).collect()
}
