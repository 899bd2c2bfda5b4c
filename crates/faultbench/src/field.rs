//! One run of a scenario: a server, workers, a producer and proxies between them, the faults, and the accounting.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::model::{JobId, JobState, Keep, PageRequest, QueueConfig, Retention};
use bulrush::{Client, Queue};
use rustix::process::Signal;

use crate::clock::now_us;
use crate::fleet::{Fleet, Place};
use crate::journal;
use crate::judge::{Rules, judge};
use crate::ledger::{Fault, Kept, Ledger, Stored};
use crate::producer::{Load, Producer};
use crate::proxy::Proxy;
use crate::report::Report;
use crate::schedule::Chance;
use crate::server::{Server, ServerOptions};
use crate::worker::{QUEUE, WorkerArguments};
use crate::wrong::Bug;

/// What is boxed when a scenario is called.
pub type Faults = for<'a> fn(&'a mut Field) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Who goes through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Nobody.
    Direct,
    /// All workers and the producer share one.
    Shared,
    /// Each worker has its own; the producer has none.
    EachWorker,
}

/// How a run is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The server.
    pub server: ServerOptions,
    /// Worker processes.
    pub workers: usize,
    /// Jobs at once, of each.
    pub concurrency: usize,
    /// Threads of each one's runtime.
    pub threads: usize,
    /// The queue's lease, ms.
    pub lease_ms: u64,
    /// The load.
    pub load: Load,
    /// Completed jobs that are kept.
    pub keep: Keep,
    /// Who goes through a proxy.
    pub link: Link,
    /// How long a drain may take, ms.
    pub drain_ms: u64,
    /// Address space of a worker, MiB.
    pub memory_mib: Option<u64>,
    /// Environment of the workers, by place.
    pub environment: fn(usize) -> Vec<(String, OsString)>,
    /// How long the load runs before the faults.
    pub warm: Duration,
    /// How long after the last one.
    pub after: Duration,
    /// How long the queue may take to come to rest when no more is added.
    pub rest_within: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            workers: 3,
            concurrency: 8,
            threads: 2,
            lease_ms: 2_500,
            load: Load::default(),
            keep: Keep::ALL,
            link: Link::Direct,
            drain_ms: 10_000,
            memory_mib: None,
            environment: |_| Vec::new(),
            warm: Duration::from_secs(2),
            after: Duration::from_secs(2),
            rest_within: Duration::from_mins(1),
        }
    }
}

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    /// What must hold besides what always must.
    pub holds: &'static str,
    /// It is among those that every change must pass.
    pub smoke: bool,
    /// Why it is known not to hold yet, where it does not.
    pub open: Option<&'static str>,
    /// Programs and files that it needs.
    pub needs: &'static [Need],
    /// How it is set up.
    pub setup: fn() -> Setup,
    /// What must hold.
    pub rules: fn(&Setup) -> Rules,
    /// The faults.
    pub faults: Faults,
}

/// What a scenario cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The program `strace`, and the right to trace.
    Strace,
    /// The library `libfaketime`.
    Faketime,
}

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// This program.
    pub program: PathBuf,
    /// From where all chance comes.
    pub seed: u64,
    /// A bug to seed.
    pub bug: Option<Bug>,
    /// Keep the folder of the run.
    pub keep_folder: bool,
}

/// A run under way.
pub struct Field {
    /// How it is set up.
    pub setup: Setup,
    /// What must hold; a scenario may add to it.
    pub rules: Rules,
    /// The bug that is seeded.
    pub bug: Option<Bug>,
    /// The faults' chance.
    pub chance: Chance,
    /// The server.
    pub server: Server,
    /// The workers.
    pub fleet: Fleet,
    /// Who adds.
    pub producer: Producer,
    /// Between whom [`Link`] says, in order.
    pub proxies: Vec<Proxy>,
    /// A client of the accounting's own.
    pub queue: Queue,
    /// What was done, so far.
    pub faults: Vec<Fault>,
    /// What a scenario has seen for itself that must not be.
    pub wrong: Vec<String>,
    /// What a scenario has seen for itself that is worth telling.
    pub notes: Vec<String>,
    /// Workers that cannot end by themselves.
    pub beyond_help: Vec<usize>,
    program: PathBuf,
    root: Chance,
    folder: tempfile::TempDir,
    loads: usize,
}

/// Moments that part a run, µs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Phases {
    /// The load begins.
    pub begin: u64,
    /// The faults begin.
    pub faults: u64,
    /// They have ended.
    pub healed: u64,
    /// The load has ended.
    pub end: u64,
    /// The queue has come to rest.
    pub rest: u64,
}

/// Runs a scenario.
pub async fn run(scenario: &Scenario, options: &Options) -> Result<Report> {
    let mut field = Field::set_up(scenario, options).await?;
    let done = field.play(scenario, options).await;
    let folder = field.folder.path().to_owned();
    if options.keep_folder {
        field.folder.disable_cleanup(true);
        eprintln!("the journals and logs of the run are kept in {}", folder.display());
    }
    done
}

impl Field {
    async fn set_up(scenario: &Scenario, options: &Options) -> Result<Self> {
        let setup = (scenario.setup)();
        let folder = tempfile::Builder::new().prefix("faultbench.").tempdir()?;
        let root = Chance::new(options.seed);
        let server = Server::start(&options.program, folder.path(), setup.server.clone()).await?;
        let mut proxies = Vec::new();
        let n = match setup.link {
            Link::Direct => 0,
            Link::Shared => 1,
            Link::EachWorker => setup.workers,
        };
        for place in 0..n {
            let chance = root.split(&format!("proxy {place}"));
            proxies.push(Proxy::start(&server.socket(), chance).await?);
        }
        // The accounting looks at the queue while faults are under way, and is more patient than anybody else.
        let store = connect_redis_with(&server.address(), RedisOptions::default()).await?;
        let queue = Client::new(store).queue(QUEUE)?;
        queue.configure(config(&setup)).await?;
        let answer = Duration::from_millis(setup.lease_ms / 2);
        let place = |n: usize| {
            let proxy = match setup.link {
                Link::Direct => None,
                Link::Shared => proxies.first(),
                Link::EachWorker => proxies.get(n),
            };
            let arguments = WorkerArguments {
                store: proxy.map_or_else(|| server.address(), Proxy::address),
                journal: PathBuf::new(),
                concurrency: setup.concurrency,
                threads: setup.threads,
                answer_ms: setup.lease_ms / 2,
                drain_ms: setup.drain_ms,
                memory_mib: setup.memory_mib,
                bug: options.bug.filter(|bug| !bug.is_producers() && !bug.is_servers() && !bug.is_tickers()),
            };
            Place { arguments, environment: (setup.environment)(n) }
        };
        let places = (0..setup.workers).map(place).collect();
        let fleet = Fleet::start(&options.program, folder.path(), places)?;
        let to_producer = if setup.link == Link::Shared { proxies.first() } else { None };
        let producer = Producer::connect(
            &to_producer.map_or_else(|| server.address(), Proxy::address),
            &folder.path().join("producer.journal"),
            answer,
            options.bug.filter(|bug| bug.is_producers()),
        )
        .await?;
        let field = Self {
            rules: (scenario.rules)(&setup),
            setup,
            bug: options.bug,
            chance: root.split("faults"),
            server,
            fleet,
            producer,
            proxies,
            queue,
            faults: Vec::new(),
            wrong: Vec::new(),
            notes: Vec::new(),
            beyond_help: Vec::new(),
            program: options.program.clone(),
            root,
            folder,
            loads: 0,
        };
        field.all_workers_live().await?;
        Ok(field)
    }

    async fn play(&mut self, scenario: &Scenario, options: &Options) -> Result<Report> {
        let started = Instant::now();
        let mut phases = Phases { begin: now_us(), ..Phases::default() };
        self.load();
        tokio::time::sleep(self.setup.warm).await;
        phases.faults = now_us();
        if let Err(error) = (scenario.faults)(self).await {
            self.wrong.push(format!("the faults could not be injected: {error:#}"));
            if self.server.up_if_ended().await? {
                self.wrong.push("the server had ended by itself and was started again".to_owned());
            }
        }
        phases.healed = now_us();
        tokio::time::sleep(self.setup.after).await;
        phases.end = now_us();
        if !self.producer.stop(Duration::from_secs(30)).await? {
            self.wrong.push("adds had no answer 30 s after the last one was sent".to_owned());
        }
        self.rest(self.setup.rest_within).await?;
        phases.rest = now_us();
        let kept = self.read_all().await?;
        let killed =
            self.fleet.stop(Duration::from_millis(self.setup.drain_ms) + Duration::from_secs(10)).await?;
        let stubborn = killed.iter().filter(|place| !self.beyond_help.contains(place)).count();
        if self.rules.clean_end && stubborn > 0 {
            self.wrong.push(format!("{stubborn} workers did not end when they were asked to"));
        }
        if let Some(trouble) = self.fleet.trouble() {
            bail!("the supervisor of the workers is in trouble: {trouble}");
        }
        self.queue.backend().close().await?;
        self.server.down().await?;

        let ledger = Ledger::read(journal::read_all(self.folder.path())?, self.fleet.died());
        let mut findings = ledger.classify(&kept, self.rules.trims);
        let mut judgement = judge(&self.rules, &ledger, &kept, &self.faults, &mut findings);
        judgement.violations.append(&mut self.wrong);
        Ok(Report::new(scenario, options, self, &ledger, findings, judgement, phases, started.elapsed()))
    }

    /// Lets the load begin.
    fn load(&mut self) {
        let chance = self.root.split(&format!("load {}", self.loads));
        self.loads += 1;
        self.producer.start(self.setup.load.clone(), chance);
    }

    /// Ends the load, and lets it begin anew with a producer that is new.
    pub async fn renew_load(&mut self) -> Result<()> {
        self.stop_load().await?;
        let journal = self.folder.path().join(format!("producer-{}.journal", self.loads));
        let answer = Duration::from_millis(self.setup.lease_ms / 2);
        self.producer = Producer::connect(&self.server.address(), &journal, answer, None).await?;
        self.load();
        Ok(())
    }

    /// Ends the load.
    pub async fn stop_load(&mut self) -> Result<()> {
        if !self.producer.stop(Duration::from_secs(30)).await? {
            self.wrong.push("adds had no answer 30 s after the last one was sent".to_owned());
        }
        Ok(())
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// This program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Gives the queue its settings, once more: a server that lost everything has lost these too.
    pub async fn configure(&self) -> Result<()> {
        Ok(self.queue.configure(config(&self.setup)).await?)
    }

    /// Kills the worker in a place. It is started again.
    pub async fn kill_worker(&mut self, place: usize) -> Result<()> {
        let from = now_us();
        let pid = self.fleet.signal(place, Signal::KILL)?;
        if !self.fleet.ended(pid, Duration::from_secs(10)).await {
            bail!("worker {place} did not die of SIGKILL");
        }
        self.fault(format!("kill -9 of worker {place}"), from, Some(pid), false);
        Ok(())
    }

    /// Notes a fault that ends now.
    pub fn fault(&mut self, what: String, from: u64, pid: Option<u32>, heals: bool) {
        self.faults.push(Fault { what, from, to: now_us(), pids: pid.map(|pid| [pid].into()), heals });
    }

    /// Waits until the store counts all workers as live.
    pub async fn all_workers_live(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let live =
                self.queue.backend().workers(self.queue.name()).await.map_or(0, |workers| workers.len());
            if live >= self.fleet.len() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "{live} of {} workers are live after 30 s; see worker-*.log (--keep)",
                    self.fleet.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing waits and nothing runs, at most so long. What still does then is stuck, and found to be.
    pub async fn rest(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let counts = self.queue.info().await.map(|info| info.counts);
            match counts {
                Ok(counts) if counts.depth() + counts.active == 0 => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Ok(_) if Instant::now() >= deadline => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// All that the store says.
    async fn read_all(&self) -> Result<Kept> {
        let (backend, name) = (self.queue.backend(), self.queue.name());
        let mut kept = Kept::default();
        let mut found: BTreeMap<JobId, JobState> = BTreeMap::new();
        for state in JobState::ALL {
            let mut cursor = None;
            loop {
                let request =
                    PageRequest { state: Some(state), cursor, limit: 1_000, ..PageRequest::default() };
                let page = backend.page(name, request).await?;
                for job in &page.jobs {
                    if let Some(other) = found.insert(job.id().clone(), state)
                        && other != state
                    {
                        kept.findings.push(format!("{} is listed as {other} and as {state}", job.id()));
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        let ids: Vec<JobId> = found.into_keys().collect();
        for ids in ids.chunks(500) {
            for (id, job) in ids.iter().zip(backend.get(name, ids).await?) {
                let Some(job) = job else {
                    kept.findings.push(format!("{id} is listed, and has no record"));
                    continue;
                };
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let error = job.status.errors.last().map(|last| {
                    let kind = serde_json::to_value(last.error.kind).unwrap_or_default();
                    format!("{}: {}", kind.as_str().unwrap_or_default(), last.error.message)
                });
                let stored = Stored {
                    state: job.state(),
                    attempts: job.status.attempts_made,
                    stalls: job.status.stalls,
                    result: job.status.result.as_deref().map(text),
                    settled_by: job.status.settled_by.map(|token| token.to_string()),
                    error,
                };
                kept.jobs.insert(id.to_string(), stored);
            }
        }
        let mut cursor = 0;
        loop {
            let page = backend.verify(name, cursor, false).await?;
            kept.findings.extend(page.findings.into_iter().map(|finding| {
                let job = finding.job.map_or_else(String::new, |job| format!(" of {job}"));
                format!("invariant {}{job}: {}", finding.invariant, finding.text)
            }));
            match page.next {
                Some(next) => cursor = next,
                None => return Ok(kept),
            }
        }
    }
}

/// Settings of the queue.
fn config(setup: &Setup) -> QueueConfig {
    QueueConfig {
        lease_ms: setup.lease_ms,
        retention: Retention { completed: setup.keep, failed: Keep::ALL, cancelled: Keep::ALL },
        ..QueueConfig::default()
    }
}
