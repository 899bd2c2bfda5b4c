//! What is measured.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bulrush::model::{Keep, NewJob, QueueConfig, Retention};
use bulrush::port::AdminCommand;
use bulrush::{Client, Handlers, Queue, Worker, WorkerOptions};
use bytes::Bytes;
use clap::ValueEnum;
use tokio::sync::Notify;

use super::measure::{Meter, Usage, directory_bytes, fdatasync_seconds, quantile, resident_bytes};
use super::{BenchArguments, Row};

/// Depths compared by [`Scenario::Depth`].
const DEPTHS: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Jobs added and processed at each depth.
const DEPTH_PROBE: usize = 50_000;
/// Jobs of the latency scenario, at most: they come one by one.
const LATENCY_JOBS_MAX: usize = 2_000;
/// Time between the start of one job and the add of the next in the latency scenario.
const LATENCY_PAUSE: Duration = Duration::from_millis(3);

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One producer, one job at a time, each acknowledged before the next.
    Add,
    /// One producer, a batch at a time.
    AddBulk,
    /// Many producers, one job at a time each.
    AddConcurrent,
    /// A backlog through a handler that does nothing.
    Process,
    /// From the add to the start of the handler, on an idle worker.
    Latency,
    /// Adds and processing with 10 k, 100 k and 1 M jobs waiting.
    Depth,
    /// Bytes of a waiting and of a completed job: as `process`, but every completed job is kept.
    Bytes,
}

/// A fresh backend, removed with everything in it when it is dropped.
struct Stage {
    client: Client,
    queue: Queue,
    directory: Option<PathBuf>,
}

impl Stage {
    async fn open(backend: &str, arguments: &BenchArguments, retention: Retention) -> anyhow::Result<Self> {
        let (url, directory) = match backend.strip_prefix("file:") {
            None => (backend.to_owned(), None),
            Some(parent) => {
                let directory =
                    Path::new(parent).join(format!("bulrush-bench-{}-{}", std::process::id(), next_number()));
                std::fs::create_dir_all(parent).with_context(|| format!("could not make {parent}"))?;
                (format!("file:{}", directory.display()), Some(directory))
            }
        };
        let client = Client::connect(&url).await?;
        // A server may hold what others left: the queue is ours alone.
        let queue = client.queue(&format!("bench-{}-{}", std::process::id(), next_number()))?;
        let events_max = if arguments.no_events { 0 } else { QueueConfig::default().events_max };
        queue.configure(QueueConfig { events_max, retention, ..QueueConfig::default() }).await?;
        Ok(Self { client, queue, directory })
    }

    fn job(&self, arguments: &BenchArguments, data: &Bytes) -> NewJob {
        let job = self.queue.job(name(), data.clone());
        if arguments.owner { job.owner("tenant", "user-1") } else { job }
    }

    async fn fill(&self, arguments: &BenchArguments, jobs: usize) -> anyhow::Result<()> {
        let data = payload(arguments.payload);
        let mut left = jobs;
        while left > 0 {
            let n = left.min(1_000);
            let batch = (0..n).map(|_| self.job(arguments, &data)).collect();
            let added = self.queue.add_bulk(batch).await?;
            ensure!(added.iter().all(bulrush::port::Added::is_new), "a job was not added");
            left -= n;
        }
        Ok(())
    }

    /// Fails unless so many jobs wait and nothing is under way or failed: a figure without that would be worth nothing.
    async fn check(&self, waiting: usize) -> anyhow::Result<()> {
        let counts = self.queue.info().await?.counts;
        ensure!(
            counts.waiting == waiting as u64 && counts.active == 0 && counts.failed == 0,
            "after the measurement {} jobs wait, {} are active and {} failed, but {waiting} should wait and nothing else",
            counts.waiting,
            counts.active,
            counts.failed
        );
        Ok(())
    }

    async fn meter(&self) -> anyhow::Result<Meter> {
        Ok(Meter::start(&**self.client.backend()).await?)
    }

    async fn read(&self, meter: &Meter) -> anyhow::Result<Usage> {
        Ok(meter.read(&**self.client.backend()).await?)
    }

    async fn close(self) -> anyhow::Result<()> {
        if self.directory.is_none() {
            while self.queue.admin(AdminCommand::Obliterate { force: true, limit: 1_000 }).await?.more {}
        }
        self.client.backend().close().await?;
        if let Some(directory) = &self.directory {
            std::fs::remove_dir_all(directory)?;
        }
        Ok(())
    }
}

/// Runs one scenario on a fresh backend.
pub async fn measure(
    scenario: Scenario,
    backend: &str,
    arguments: &BenchArguments,
) -> anyhow::Result<Vec<Row>> {
    if scenario == Scenario::Depth {
        let mut rows = Vec::new();
        for depth in DEPTHS {
            rows.extend(at_depth(backend, arguments, depth).await?);
        }
        return Ok(rows);
    }
    let retention = match scenario {
        Scenario::Bytes => {
            Retention { completed: Keep { age_ms: None, count: None }, ..Retention::default() }
        }
        _ => Retention::default(),
    };
    let stage = Stage::open(backend, arguments, retention).await?;
    let rows = match scenario {
        Scenario::Add => vec![add(&stage, backend, arguments).await?],
        Scenario::AddBulk => {
            vec![add_bulk(&stage, backend, arguments, arguments.jobs, scenario.to_string()).await?]
        }
        Scenario::AddConcurrent => vec![add_concurrent(&stage, backend, arguments).await?],
        Scenario::Process => {
            stage.fill(arguments, arguments.jobs).await?;
            let row = process(&stage, backend, arguments, arguments.jobs, scenario.to_string()).await?;
            stage.check(0).await?;
            vec![row]
        }
        Scenario::Bytes => vec![bytes(&stage, backend, arguments).await?],
        Scenario::Latency | Scenario::Depth => vec![latency(&stage, backend, arguments).await?],
    };
    stage.close().await?;
    Ok(rows)
}

async fn add(stage: &Stage, backend: &str, arguments: &BenchArguments) -> anyhow::Result<Row> {
    let data = payload(arguments.payload);
    let mut samples = Vec::with_capacity(arguments.jobs);
    let meter = stage.meter().await?;
    for _ in 0..arguments.jobs {
        let started = Instant::now();
        stage.queue.add(stage.job(arguments, &data)).await?;
        samples.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let row = Row::timed(backend, "add", arguments.jobs, &stage.read(&meter).await?);
    Ok(with_quantiles(row, samples))
}

async fn add_bulk(
    stage: &Stage,
    backend: &str,
    arguments: &BenchArguments,
    jobs: usize,
    scenario: String,
) -> anyhow::Result<Row> {
    let data = payload(arguments.payload);
    let footprint = Footprint::take(stage);
    let waiting = stage.queue.info().await?.counts.waiting as usize;
    let mut samples = Vec::with_capacity(jobs / arguments.batch + 1);
    let meter = stage.meter().await?;
    let mut left = jobs;
    while left > 0 {
        let n = left.min(arguments.batch);
        let batch = (0..n).map(|_| stage.job(arguments, &data)).collect();
        let started = Instant::now();
        stage.queue.add_bulk(batch).await?;
        samples.push(started.elapsed().as_secs_f64() * 1e3);
        left -= n;
    }
    let usage = stage.read(&meter).await?;
    let mut row = Row::timed(backend, &scenario, jobs, &usage);
    row.bytes_per_waiting_job = footprint.grown(stage, &usage).map(|bytes| bytes / jobs as f64);
    stage.check(waiting + jobs).await?;
    Ok(with_quantiles(row, samples))
}

/// How large a stage is, where it keeps its jobs.
struct Footprint {
    memory: Option<f64>,
    disk: Option<f64>,
}

impl Footprint {
    fn take(stage: &Stage) -> Self {
        Self { memory: resident_bytes(), disk: stage.directory.as_deref().map(directory_bytes) }
    }

    /// How much it has grown since. What a server grew by is in the usage.
    fn grown(&self, stage: &Stage, usage: &Usage) -> Option<f64> {
        match (&stage.directory, self.disk, usage.server) {
            (Some(directory), Some(before), _) => Some(directory_bytes(directory) - before),
            (_, _, Some((_, bytes))) => Some(bytes),
            _ => resident_bytes().zip(self.memory).map(|(after, before)| after - before),
        }
    }
}

/// Adds and processes all jobs and keeps them all.
async fn bytes(stage: &Stage, backend: &str, arguments: &BenchArguments) -> anyhow::Result<Row> {
    let jobs = arguments.jobs;
    let (footprint, meter) = (Footprint::take(stage), stage.meter().await?);
    stage.fill(arguments, jobs).await?;
    let waiting = footprint.grown(stage, &stage.read(&meter).await?);
    let mut row = process(stage, backend, arguments, jobs, Scenario::Bytes.to_string()).await?;
    let finished = footprint.grown(stage, &stage.read(&meter).await?);
    stage.check(0).await?;
    let kept = stage.queue.info().await?.counts.completed;
    ensure!(kept == jobs as u64, "{kept} of {jobs} completed jobs are there, all should be kept");
    row.bytes_per_waiting_job = waiting.map(|bytes| bytes / jobs as f64);
    row.bytes_per_finished_job = finished.map(|bytes| bytes / jobs as f64);
    Ok(row)
}

async fn add_concurrent(stage: &Stage, backend: &str, arguments: &BenchArguments) -> anyhow::Result<Row> {
    let data = payload(arguments.payload);
    let producers = arguments.concurrency;
    let each = arguments.jobs.div_ceil(producers);
    let meter = stage.meter().await?;
    let tasks = (0..producers).map(|_| {
        let jobs: Vec<NewJob> = (0..each).map(|_| stage.job(arguments, &data)).collect();
        let queue = stage.queue.clone();
        tokio::spawn(async move {
            let mut samples = Vec::with_capacity(each);
            for job in jobs {
                let started = Instant::now();
                queue.add(job).await?;
                samples.push(started.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, bulrush::port::Error>(samples)
        })
    });
    let mut samples = Vec::with_capacity(each * producers);
    for task in tasks.collect::<Vec<_>>() {
        samples.extend(task.await??);
    }
    let mut row = Row::timed(backend, "add-concurrent", each * producers, &stage.read(&meter).await?);
    stage.check(each * producers).await?;
    row.note = Some(format!("{producers} producers"));
    Ok(with_quantiles(row, samples))
}

/// Processes what waits, `jobs` of it.
async fn process(
    stage: &Stage,
    backend: &str,
    arguments: &BenchArguments,
    jobs: usize,
    scenario: String,
) -> anyhow::Result<Row> {
    let ended = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(Notify::new());
    let result = arguments.results.then(|| Bytes::from_static(b"{\"ok\":true}"));
    let handlers = {
        let (ended, done) = (ended.clone(), done.clone());
        Handlers::new().on_raw(NAME, move |_| {
            if ended.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
                done.notify_one();
            }
            std::future::ready(Ok(result.clone()))
        })
    };
    let options = WorkerOptions { concurrency: arguments.concurrency, ..WorkerOptions::default() };
    let meter = stage.meter().await?;
    let worker = Worker::start(&stage.queue, handlers, options);
    done.notified().await;
    // The last settle counts too.
    worker.shutdown().await;
    let mut row = Row::timed(backend, &scenario, jobs, &stage.read(&meter).await?);
    row.note = Some(format!("{} at once", arguments.concurrency));
    let sync = stage.directory.as_deref().and_then(fdatasync_seconds);
    if let Some(sync) = sync {
        let bound = 0.8 * arguments.concurrency as f64 / sync;
        row.note = Some(format!(
            "{} at once; fdatasync {:.2} ms, so 0.8 × in flight ÷ fdatasync = {bound:.0}/s",
            arguments.concurrency,
            sync * 1e3
        ));
    }
    Ok(row)
}

/// One job at a time on an idle worker, with pauses in between.
async fn latency(stage: &Stage, backend: &str, arguments: &BenchArguments) -> anyhow::Result<Row> {
    let started_at = Arc::new(Mutex::new(None::<Instant>));
    let started = Arc::new(Notify::new());
    let handlers = {
        let (started_at, started) = (started_at.clone(), started.clone());
        Handlers::new().on_raw(NAME, move |_| {
            *started_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            started.notify_one();
            std::future::ready(Ok(None))
        })
    };
    let worker = Worker::start(&stage.queue, handlers, WorkerOptions::default());
    let data = payload(arguments.payload);
    let jobs = arguments.jobs.min(LATENCY_JOBS_MAX);
    let mut samples = Vec::with_capacity(jobs);
    let meter = stage.meter().await?;
    for _ in 0..jobs {
        // The worker is idle again when the next job comes: that is what is measured.
        tokio::time::sleep(LATENCY_PAUSE).await;
        let job = stage.job(arguments, &data);
        let added = Instant::now();
        stage.queue.add(job).await?;
        started.notified().await;
        let at = started_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .context("the job told no start")?;
        samples.push(at.saturating_duration_since(added).as_secs_f64() * 1e3);
    }
    let row = Row::timed(backend, "latency", jobs, &stage.read(&meter).await?);
    worker.shutdown().await;
    Ok(with_quantiles(row, samples))
}

async fn at_depth(backend: &str, arguments: &BenchArguments, depth: usize) -> anyhow::Result<Vec<Row>> {
    let stage = Stage::open(backend, arguments, Retention::default()).await?;
    stage.fill(arguments, depth).await?;
    let add = add_bulk(&stage, backend, arguments, DEPTH_PROBE, format!("add-bulk at {depth}")).await?;
    let process = process_some(&stage, backend, arguments, depth).await?;
    stage.close().await?;
    Ok(vec![Row { bytes_per_waiting_job: None, ..add }, process])
}

/// Processes as many as were added for the probe, so that the depth goes back to what it was.
async fn process_some(
    stage: &Stage,
    backend: &str,
    arguments: &BenchArguments,
    depth: usize,
) -> anyhow::Result<Row> {
    process(stage, backend, arguments, DEPTH_PROBE, format!("process at {depth}"))
        .await
        .map(|row| Row { note: Some(format!("{} at once", arguments.concurrency)), ..row })
}

fn with_quantiles(row: Row, mut samples: Vec<f64>) -> Row {
    samples.sort_by(f64::total_cmp);
    Row { p50_ms: quantile(&samples, 0.5), p99_ms: quantile(&samples, 0.99), ..row }
}

const NAME: &str = "bench";

fn name() -> Arc<str> {
    static SHARED: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| NAME.into()).clone()
}

/// JSON of about so many bytes.
fn payload(bytes: usize) -> Bytes {
    format!("{{\"n\":1,\"text\":\"{}\"}}", "x".repeat(bytes.saturating_sub(17))).into()
}

fn next_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
