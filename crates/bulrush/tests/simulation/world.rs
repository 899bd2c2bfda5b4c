//! The world: producers that add, administrators that cancel, workers that run, and somebody who breaks things, until it is calm and
//! everything has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bulrush::model::{Backoff, JobState, PageRequest};
use bulrush::{Client, Handlers, Worker, WorkerOptions};
use tokio::time::{Instant, sleep};

use super::bug::Bug;
use super::desk::Desk;
use super::ledger::{Class, Ledger, STOP_GRACE_MS, Verdict};
use super::line::{Line, Odds};
use super::load::{Administrator, Producer, QUEUES, queue_name, some_config};
use super::process::Process;
use super::random::Random;
use super::store::{LEASE_MS, Store};

/// How long things go wrong, ms.
const STORM_MS: u64 = 12_000;
/// How long after the storm everything must have ended, ms.
const CALM_MS: u64 = 300_000;
/// A process that stands still for less keeps its lease, even if a renewal is lost before: it misses one at most.
const HICCUP_MS: u64 = LEASE_MS * 3 / 10;

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
        let Verdict { jobs, runs, duplicates, in_flight_at_faults, clashes, cancels, findings } =
            &self.verdict;
        writeln!(
            f,
            "seed {}: {jobs} jobs, {runs} runs, {clashes} clashes, {cancels} cancels, {duplicates} duplicates of \
             {in_flight_at_faults} jobs in flight at faults; faults {:?}",
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
    hiccups: bool,
    away: bool,
    /// When the store comes back it has forgotten who works and until when.
    forgets: bool,
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
        let half = || random.percent(50);
        Self { odds, kills: half(), stalls: half(), hiccups: half(), away: half(), forgets: half() }
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
        let ledger = Arc::default();
        let store = Store::new(&ledger, bug, weather.forgets);
        Self { seed, random, weather, store, ledger, workers: Vec::new() }
    }

    async fn run(mut self) -> Report {
        for name in QUEUES {
            let config = some_config(&self.random);
            self.store.backend.configure(&queue_name(name), config).await.expect("good settings");
        }
        for queue in 0..QUEUES.len() {
            self.start_worker(queue);
            self.start_worker(queue);
        }
        let mut users: Vec<_> =
            (0..3).map(|number| tokio::spawn(self.producer(number).run(STORM_MS))).collect();
        users.push(tokio::spawn(self.administrator().run(STORM_MS)));
        self.storm().await;
        self.store.calm_down();
        for user in users {
            user.await.expect("producers and administrators do not panic");
        }
        self.settle_down().await;
        for (_, _, worker) in std::mem::take(&mut self.workers) {
            worker.shutdown().await;
        }
        self.judge().await
    }

    fn process(&self) -> Arc<Process> {
        Arc::new(Process::new(self.random.next()))
    }

    fn client(&self, process: &Arc<Process>) -> Client {
        let line = Line::new(self.store.clone(), process.clone(), self.random.fork(), self.weather.odds);
        Client::new(line)
    }

    fn producer(&self, number: u64) -> Producer {
        let client = self.client(&self.process());
        let (random, ledger) = (self.random.fork(), self.ledger.clone());
        Producer { number, seed: self.seed, client, random, ledger }
    }

    fn administrator(&self) -> Administrator {
        let client = self.client(&self.process());
        Administrator { client, random: self.random.fork(), ledger: self.ledger.clone() }
    }

    fn start_worker(&mut self, queue: usize) {
        let process = self.process();
        let client = self.client(&process);
        let desk = Desk {
            seed: self.seed,
            ledger: self.ledger.clone(),
            process: process.clone(),
            client: client.clone(),
        };
        let handlers = Handlers::new().otherwise_raw(move |ctx| {
            let desk = desk.clone();
            async move { desk.handle(ctx).await }
        });
        let options = WorkerOptions {
            concurrency: 1 + self.random.below(4) as usize,
            backoff: Backoff::fixed(200),
            stop_grace: Duration::from_millis(STOP_GRACE_MS),
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
            sleep(Duration::from_millis(200 + self.random.below(1_300))).await;
            let victim = self.random.below(self.workers.len() as u64) as usize;
            match self.random.below(4) {
                0 if self.weather.kills => self.kill(victim).await,
                1 if self.weather.stalls => {
                    self.store.note("worker stalled");
                    let span = LEASE_MS + self.random.below(3 * LEASE_MS);
                    self.stall(victim, span);
                    self.ledger.flights().strike(self.workers[victim].1.id);
                }
                2 if self.weather.hiccups => {
                    self.store.note("worker hiccuped");
                    self.stall(victim, self.random.below(HICCUP_MS));
                }
                3 if self.weather.away => {
                    self.store.note("store away");
                    self.store.tell(|| "store away".into());
                    self.store.go_away(Duration::from_millis(self.random.below(3 * LEASE_MS)));
                    // Whether leases are forgotten is no fault that explains anything: grace must cover it.
                    if self.random.percent(60) && self.store.forget_leases() {
                        self.store.note("leases forgotten");
                    }
                }
                _ => {}
            }
        }
    }

    async fn kill(&mut self, victim: usize) {
        self.store.note("worker killed");
        let (queue, process, worker) = self.workers.swap_remove(victim);
        self.store.tell(|| format!("{} killed", process.id));
        process.kill();
        self.ledger.flights().strike(process.id);
        drop(worker);
        sleep(Duration::from_millis(self.random.below(LEASE_MS))).await;
        self.start_worker(queue);
    }

    fn stall(&self, victim: usize, span_ms: u64) {
        let process = &self.workers[victim].1;
        self.store.tell(|| format!("{} stands still for {span_ms}", process.id));
        process.stall(Duration::from_millis(span_ms));
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
        Report { seed: self.seed, verdict: self.ledger.judge(&jobs, broken), faults: self.store.faults() }
    }
}
