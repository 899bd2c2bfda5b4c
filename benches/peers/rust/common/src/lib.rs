//! What every peer's program shares: its arguments, the stages it goes through with the driver, and the line of figures it prints.
//!
//! A program prints `{"stage":"NAME"}` and goes on when the driver, having read what it needs from the server, sends a line. The stages
//! are `connected`, `filled` (of `process` alone), then the line of figures, and last `checked` with the number of jobs that the peer
//! itself counts as added or completed.

use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Longest time that a peer may take for one scenario before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// Shortest pause before a timed add: long enough for a worker to be idle again. `bulrush bench` waits as long.
const SHORTEST_PAUSE_MS: u64 = 3;

/// What a job carries: the same for every system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Data {
    /// Any number.
    pub n: u32,
    /// Filler.
    pub text: String,
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// One caller, a batch at a time.
    AddBulk,
    /// Many producers, one job at a time each.
    AddConcurrent,
    /// A backlog through a handler that does nothing.
    Process,
    /// From the add to the start of the handler, on an idle worker.
    Latency,
}

/// The arguments, in this order: URL SCENARIO JOBS BATCH CONCURRENCY PAYLOAD PAUSE-MS.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Address of the server.
    pub url: String,
    /// What to measure.
    pub scenario: Scenario,
    /// Jobs added, processed, or timed.
    pub jobs: usize,
    /// Jobs of one bulk add.
    pub batch: usize,
    /// Jobs processed at once; producers.
    pub concurrency: usize,
    /// Bytes of a job's payload.
    pub payload: usize,
    /// Longest pause before a timed add, ms; the pauses are spread evenly from [`SHORTEST_PAUSE_MS`] up to it.
    pub pause_ms: u64,
}

impl Arguments {
    /// Reads the arguments of this program.
    pub fn read() -> anyhow::Result<Self> {
        let all: Vec<String> = std::env::args().skip(1).collect();
        let [url, scenario, jobs, batch, concurrency, payload, pause_ms] = all.as_slice() else {
            bail!(
                "{} arguments given, wanted are URL SCENARIO JOBS BATCH CONCURRENCY PAYLOAD PAUSE-MS",
                all.len()
            );
        };
        let scenario = match scenario.as_str() {
            "add-bulk" => Scenario::AddBulk,
            "add-concurrent" => Scenario::AddConcurrent,
            "process" => Scenario::Process,
            "latency" => Scenario::Latency,
            other => bail!("{other} is no scenario: it must be add-bulk, add-concurrent, process or latency"),
        };
        let number = |name: &str, text: &str| {
            let n: usize = text.parse().with_context(|| format!("{name} is {text}, it must be a number"))?;
            ensure!(n > 0, "{name} is 0, it must be at least 1");
            Ok(n)
        };
        Ok(Self {
            url: url.clone(),
            scenario,
            jobs: number("JOBS", jobs)?,
            batch: number("BATCH", batch)?,
            concurrency: number("CONCURRENCY", concurrency)?,
            payload: number("PAYLOAD", payload)?,
            pause_ms: number("PAUSE-MS", pause_ms)? as u64,
        })
    }

    /// A payload of about the wanted size as JSON.
    pub fn data(&self) -> Data {
        Data { n: 1, text: "x".repeat(self.payload.saturating_sub(17)) }
    }

    /// Sizes of the bulk adds that make up all jobs.
    pub fn batches(&self) -> impl Iterator<Item = usize> + use<> {
        let (jobs, batch) = (self.jobs, self.batch);
        (0..jobs.div_ceil(batch)).map(move |at| batch.min(jobs - at * batch))
    }

    /// How long to wait before sample `at` of the latency: spread over the whole range, so that a peer that polls is met at every
    /// point of its period.
    pub fn pause(&self, at: usize) -> Duration {
        // The golden ratio spreads any number of points evenly.
        let share = (at as f64 * 0.618_033_988_749_895 + 0.5).fract();
        let range = self.pause_ms.saturating_sub(SHORTEST_PAUSE_MS) as f64;
        Duration::from_millis(SHORTEST_PAUSE_MS) + Duration::from_secs_f64(share * range / 1e3)
    }

    /// Jobs that each producer of [`Scenario::AddConcurrent`] adds.
    pub fn each(&self) -> usize {
        self.jobs.div_ceil(self.concurrency)
    }
}

/// Tells the driver that a stage is reached, and waits for its word.
pub fn stage(name: &str) -> anyhow::Result<()> {
    say(&json!({ "stage": name }))?;
    wait()
}

/// Tells how many jobs the peer itself counts, and that is the end.
pub fn checked(count: usize) -> anyhow::Result<()> {
    say(&json!({ "stage": "checked", "count": count }))
}

fn wait() -> anyhow::Result<()> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).context("the driver's word could not be read")?;
    ensure!(read > 0, "the driver went away");
    Ok(())
}

fn say(line: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A running measurement.
pub struct Meter {
    started: Instant,
    cpu: f64,
}

impl Meter {
    /// Starts measuring.
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self { started: Instant::now(), cpu: cpu_seconds()? })
    }

    /// Ends measuring and prints the figures; waits for the driver's word. `samples` are in ms.
    pub fn finish(self, jobs: usize, mut samples: Vec<f64>) -> anyhow::Result<()> {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = cpu_seconds()? - self.cpu;
        samples.sort_by(f64::total_cmp);
        say(&json!({
            "jobs": jobs,
            "seconds": seconds,
            "jobs_per_s": jobs as f64 / seconds.max(f64::EPSILON),
            "p50_ms": quantile(&samples, 0.5),
            "p99_ms": quantile(&samples, 0.99),
            "client_cpu_us_per_job": cpu * 1e6 / jobs as f64,
        }))?;
        wait()
    }
}

/// The value below which a share `q` of the sorted samples lies.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = ((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied()
}

/// Processor time of this process, all threads, in units of 10 ms.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat could not be read")?;
    // The name in parentheses may hold anything, so fields are counted from its end; utime and stime are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("/proc/self/stat has no times")?;
    Ok((user + system) / 100.0)
}

/// Milliseconds since a moment.
pub fn ms_since(moment: Instant) -> f64 {
    moment.elapsed().as_secs_f64() * 1e3
}

/// Runs so many producers at once, each adding its share one by one; the times of all adds, ms.
pub async fn produce<F, Fut>(arguments: &Arguments, add: F) -> anyhow::Result<Vec<f64>>
where
    F: Fn() -> Fut,
    Fut: Future<Output = anyhow::Result<Vec<f64>>> + Send + 'static,
{
    let tasks: Vec<_> = (0..arguments.concurrency).map(|_| tokio::spawn(add())).collect();
    let mut samples = Vec::new();
    for task in tasks {
        samples.extend(task.await??);
    }
    Ok(samples)
}

/// Waits until `count` says so many.
pub async fn until<F, Fut>(wanted: usize, mut count: F) -> anyhow::Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<usize>>,
{
    let started = Instant::now();
    loop {
        let seen = count().await?;
        if seen >= wanted {
            return Ok(());
        }
        ensure!(
            started.elapsed() < STUCK_AFTER,
            "stuck at {seen} of {wanted} for {} s",
            STUCK_AFTER.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for the handlers' word, but not for ever.
pub async fn told(notify: &tokio::sync::Notify) -> anyhow::Result<()> {
    tokio::time::timeout(STUCK_AFTER, notify.notified())
        .await
        .with_context(|| format!("no word from the handler within {} s", STUCK_AFTER.as_secs()))
}

/// Counts the runs of the handler, tells of the last, and remembers when one started.
#[derive(Default)]
pub struct Handled {
    ended: std::sync::atomic::AtomicUsize,
    wanted: std::sync::atomic::AtomicUsize,
    started_at: std::sync::Mutex<Option<Instant>>,
    word: tokio::sync::Notify,
}

impl Handled {
    /// Waits for so many runs from now on.
    pub fn want(&self, runs: usize) {
        use std::sync::atomic::Ordering::SeqCst;
        self.ended.store(0, SeqCst);
        self.wanted.store(runs, SeqCst);
    }

    /// The whole work of the handler.
    pub fn run(&self) {
        use std::sync::atomic::Ordering::SeqCst;
        let wanted = self.wanted.load(SeqCst);
        if wanted == 1 {
            *self.started_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        }
        if self.ended.fetch_add(1, SeqCst) + 1 == wanted {
            self.word.notify_one();
        }
    }

    /// Waits for the last wanted run.
    pub async fn all(&self) -> anyhow::Result<()> {
        told(&self.word).await
    }

    /// When the one wanted run started.
    pub async fn start(&self) -> anyhow::Result<Instant> {
        self.all().await?;
        let at = self.started_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        at.context("the job told no start")
    }
}

/// Times one job after the other on an idle worker, from before the add to the start of the handler; ms.
pub async fn time_each<F, Fut>(
    arguments: &Arguments,
    handled: &Handled,
    mut add: F,
) -> anyhow::Result<Vec<f64>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let mut samples = Vec::with_capacity(arguments.jobs);
    for at in 0..arguments.jobs {
        handled.want(1);
        tokio::time::sleep(arguments.pause(at)).await;
        let added = Instant::now();
        add().await?;
        samples.push(handled.start().await?.saturating_duration_since(added).as_secs_f64() * 1e3);
    }
    Ok(samples)
}
