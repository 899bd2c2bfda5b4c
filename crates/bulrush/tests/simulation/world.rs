//! The world: producers that add, workers that run, and somebody who breaks things, until it is calm and everything has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bulrush::model::{
    Backoff, ChildFailure, JobId, JobState, Keep, NewJob, PageRequest, QueueConfig, QueueName, Retention,
};
use bulrush::port::{Inspect, Maintain};
use bulrush::{Client, Context, Failure, Handlers, JobResult, Queue, Worker, WorkerOptions};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::ledger::{Class, Ledger, Verdict, Wanted};
use super::line::{Bug, LEASE_MS, Line, Odds, Store};
use super::process::Process;
use super::random::{Random, hash};

const QUEUES: [&str; 3] = ["alpha", "beta", "gamma"];
/// How long things go wrong, ms.
const STORM_MS: u64 = 12_000;
/// How long after the storm everything must have ended, ms.
const CALM_MS: u64 = 300_000;

/// What one seed gave.
#[derive(Debug, PartialEq)]
pub struct Report {
    pub seed: u64,
    pub verdict: Verdict,
    pub faults: BTreeMap<&'static str, u64>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.verdict.findings.is_empty()
    }

    pub fn has(&self, class: Class) -> bool {
        self.verdict.findings.contains_key(&class)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { jobs, runs, explained_duplicates, findings } = &self.verdict;
        writeln!(
            f,
            "seed {}: {jobs} jobs, {runs} runs, {explained_duplicates} duplicates explained; faults {:?}",
            self.seed, self.faults
        )?;
        findings.iter().try_for_each(|(class, texts)| writeln!(f, "  {class:?}: {texts:#?}"))
    }
}

/// What goes wrong under a seed.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    odds: Odds,
    kills: bool,
    stalls: bool,
    away: bool,
}

impl Weather {
    /// Some of everything: each seed has its own mix, a few are fair.
    fn of(random: &Random) -> Self {
        let some = |percent: u64| if random.percent(50) { random.below(percent) + 1 } else { 0 };
        let odds = Odds {
            lose_request: some(8),
            lose_answer: some(8),
            late_request: some(5),
            late_answer: some(4),
            twice: some(8),
        };
        Self { odds, kills: random.percent(50), stalls: random.percent(50), away: random.percent(50) }
    }
}

/// Plays one seed on a runtime and a clock of its own.
pub fn play(seed: u64, bug: Option<Bug>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be built");
    runtime.block_on(World::new(seed, bug).run())
}

struct World {
    seed: u64,
    bug: Option<Bug>,
    random: Random,
    weather: Weather,
    store: Arc<Store>,
    ledger: Arc<Ledger>,
    workers: Vec<(usize, Arc<Process>, Worker)>,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let random = Random::new(seed);
        let weather = Weather::of(&random);
        let (store, ledger) = (Store::new(), Arc::default());
        Self { seed, bug, random, weather, store, ledger, workers: Vec::new() }
    }

    async fn run(mut self) -> Report {
        let keep = Retention { completed: Keep::ALL, failed: Keep::ALL, cancelled: Keep::ALL };
        for name in QUEUES {
            let config = QueueConfig { lease_ms: LEASE_MS, retention: keep, ..QueueConfig::default() };
            self.store.backend.configure(&queue_name(name), config).await.expect("good settings");
        }
        for queue in 0..QUEUES.len() {
            self.start_worker(queue);
            self.start_worker(queue);
        }
        let producers: Vec<_> = (0..3).map(|number| tokio::spawn(self.producer(number))).collect();
        self.storm().await;
        self.store.calm_down();
        for producer in producers {
            producer.await.expect("producers do not panic");
        }
        self.settle_down().await;
        for (_, _, worker) in std::mem::take(&mut self.workers) {
            worker.shutdown().await;
        }
        self.judge().await
    }

    fn line(&self, process: &Arc<Process>) -> Arc<Line> {
        Line::new(self.store.clone(), process.clone(), self.random.fork(), self.weather.odds, self.bug)
    }

    fn start_worker(&mut self, queue: usize) {
        let process = Arc::new(Process::default());
        let client = Client::new(self.line(&process));
        let desk = Desk {
            seed: self.seed,
            ledger: self.ledger.clone(),
            process: process.clone(),
            client: client.clone(),
        };
        let handlers = Handlers::new().otherwise_raw(move |ctx| desk.clone().handle(ctx));
        let options = WorkerOptions {
            concurrency: 1 + self.random.below(4) as usize,
            backoff: Backoff::fixed(200),
            renew_on_clock: Some(self.store.clock()),
            ..WorkerOptions::default()
        };
        let queue_handle = client.queue(QUEUES[queue]).expect("a good name");
        let worker = Worker::start(&queue_handle, handlers, options);
        self.workers.push((queue, process, worker));
    }

    /// Breaks things for a while.
    async fn storm(&mut self) {
        let end = Instant::now() + Duration::from_millis(STORM_MS);
        while Instant::now() < end {
            sleep(Duration::from_millis(200 + self.random.below(1_500))).await;
            let victim = self.random.below(self.workers.len() as u64) as usize;
            match self.random.below(3) {
                0 if self.weather.kills => {
                    self.store.note("worker killed");
                    let (queue, process, worker) = self.workers.swap_remove(victim);
                    process.kill();
                    drop(worker);
                    sleep(Duration::from_millis(self.random.below(LEASE_MS))).await;
                    self.start_worker(queue);
                }
                1 if self.weather.stalls => {
                    self.store.note("worker stalled");
                    let span = LEASE_MS + self.random.below(3 * LEASE_MS);
                    self.workers[victim].1.stall(Duration::from_millis(span));
                }
                2 if self.weather.away => {
                    self.store.note("store away");
                    self.store.go_away(Duration::from_millis(self.random.below(3 * LEASE_MS)));
                }
                _ => {}
            }
        }
    }

    /// Waits until nothing is left to do and nothing late can arrive any more, or until that takes too long.
    async fn settle_down(&self) {
        // The longest that a request can be late, and a stall.
        sleep(Duration::from_millis(6 * LEASE_MS)).await;
        let end = Instant::now() + Duration::from_millis(CALM_MS);
        while Instant::now() < end {
            let mut left = 0;
            for name in QUEUES {
                let info = self.store.backend.info(&queue_name(name)).await.expect("the store is there");
                left += info.counts.depth() + info.counts.active + info.outbox as u64;
            }
            if left == 0 {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn judge(self) -> Report {
        let (mut jobs, mut broken) = (Vec::new(), Vec::new());
        for name in QUEUES.map(queue_name) {
            let backend = &self.store.backend;
            let page = backend.verify(&name, 0, false).await.expect("the store is there");
            broken.extend(page.findings.iter().map(|finding| format!("{name}: {finding:?}")));
            let info = backend.info(&name).await.expect("the store is there");
            if info.outbox > 0 {
                broken.push(format!("{name}: {} outbox entries are left", info.outbox));
            }
            for state in JobState::ALL {
                let mut request = PageRequest { state: Some(state), limit: 1_000, ..PageRequest::default() };
                loop {
                    let page = backend.page(&name, request.clone()).await.expect("the store is there");
                    jobs.extend(page.jobs);
                    request.cursor = page.next;
                    if request.cursor.is_none() {
                        break;
                    }
                }
            }
        }
        let faults = self.store.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report { seed: self.seed, verdict: self.ledger.judge(&jobs, broken), faults }
    }

    /// Adds jobs of all sorts for a while.
    fn producer(&self, number: u64) -> impl Future<Output = ()> + Send + 'static {
        let process = Arc::new(Process::default());
        let client = Client::new(self.line(&process));
        let (random, ledger, seed) = (self.random.fork(), self.ledger.clone(), self.seed);
        async move {
            for n in 0..25 {
                sleep(Duration::from_millis(random.below(STORM_MS / 25))).await;
                let queue = client.queue(QUEUES[random.below(3) as usize]).expect("a good name");
                let job = some_job(&client, &queue, &random, &format!("p{number}-{n}"), 0);
                let mut ids = Vec::new();
                enter(&ledger, &client, seed, &queue, &job, &mut ids);
                // Who has no answer asks again, or gives up and does not know.
                for _ in 0..=random.below(4) {
                    if queue.add(job.clone()).await.is_ok() {
                        ledger.acknowledged(&ids);
                        break;
                    }
                }
            }
        }
    }
}

fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).expect("a good name")
}

fn job_id(text: &str) -> JobId {
    JobId::new(text).expect("a good id")
}

/// A job with some of what a job can have; its data says how many jobs it stands after.
fn some_job(client: &Client, queue: &Queue, random: &Random, id: &str, depth: u32) -> NewJob {
    let mut job = queue.job_with_id(job_id(id), "work", "0").attempts(1 + random.below(5) as u32);
    match random.below(5) {
        0 => job = job.delay_ms(random.below(3_000)),
        1 => job = job.priority(random.below(10) as u32),
        2 => job = job.group(["red", "green"][random.below(2) as usize]),
        3 => job = job.timeout_ms(200 + random.below(1_000)),
        _ => {}
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

/// Enters a job, its children and what follows from them into the ledger.
fn enter(ledger: &Ledger, client: &Client, seed: u64, queue: &Queue, job: &NewJob, ids: &mut Vec<JobId>) {
    let id = &job.spec.id;
    ids.push(id.clone());
    // A child whose failure lets the parent go on leaves it free to complete.
    let only_strict = job.children.iter().all(|child| child.on_failure == ChildFailure::Fail);
    let strict = job.children.iter().filter(|_| only_strict).map(|child| child.job.spec.id.clone());
    ledger.want(id, Wanted { strict_children: strict.collect(), ..Wanted::default() });
    let mut last = (queue.clone(), id.clone());
    for depth in 0.. {
        let Some(target) = follow_up_of(seed, &last.1, depth) else { break };
        let target = client.queue(target).expect("a good name");
        let next = target.derived_id(&last.1, "next");
        ledger.want(&next, Wanted { follows: Some(last.1), ..Wanted::default() });
        last = (target, next);
    }
    for child in &job.children {
        let target = client.queue(child.queue.as_str()).expect("a good name");
        enter(ledger, client, seed, &target, &child.job, ids);
    }
}

/// Where a job's follow-up goes, if it has one.
fn follow_up_of(seed: u64, id: &JobId, depth: u32) -> Option<&'static str> {
    let die = hash(seed, id.as_str());
    (depth < 2 && die.is_multiple_of(5)).then(|| QUEUES[(die / 5 % 3) as usize])
}

/// What the handlers of a process have at hand.
#[derive(Clone)]
struct Desk {
    seed: u64,
    ledger: Arc<Ledger>,
    process: Arc<Process>,
    client: Client,
}

impl Desk {
    /// Takes some time, writes its effect, and ends in one of all ways; job and run decide, so that a repeat is the same.
    async fn handle(self, ctx: Context) -> JobResult<Option<Bytes>> {
        let token = ctx.token();
        let running = self.ledger.start(ctx.id(), token, &self.process);
        let dice = Random::new(hash(self.seed, &format!("{} {}", ctx.id(), token.run)));
        let steps = dice.below(4);
        for step in 0..steps {
            let long = if dice.percent(5) { 2 * LEASE_MS } else { 200 };
            sleep(Duration::from_millis(dice.below(long))).await;
            self.process.runs().await;
            if dice.percent(30) {
                ctx.progress((step * 25) as u8, "on");
                ctx.log("a step");
            }
        }
        match dice.below(100) {
            0..10 => return Err(Failure::retry("bad luck")),
            10..12 => return Err(Failure::unrecoverable("worse luck")),
            12..16 => panic!("simulated"),
            16..22 => return Err(Failure::Snooze { after: Duration::from_millis(dice.below(1_000)) }),
            22..24 => {
                return Err(Failure::RateLimited { retry_after: Duration::from_millis(dice.below(500)) });
            }
            _ => {}
        }
        if !self.ledger.write_effect(ctx.id(), token) {
            return Err(Failure::retry("a later run has written"));
        }
        let depth: u32 = ctx.payload()?;
        if let Some(target) = follow_up_of(self.seed, ctx.id(), depth) {
            let target = self.client.queue(target)?;
            let data = (depth + 1).to_string();
            ctx.follow_up(&target, "next", target.job("work", data).attempts(4));
        }
        running.succeeded();
        Ok(Some(format!("\"{token}\"").into()))
    }
}
