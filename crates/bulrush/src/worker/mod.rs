//! The worker: takes jobs, runs their handlers, settles what they return.
//!
//! One loop per queue and worker (`run_loop`) calls `step` for its free slots (`slots`); each job runs on a task of its own (`task`); the lease
//! is renewed from an OS thread (`renewal`). Everything that a worker writes carries the token of the take, so whatever goes wrong
//! here (a stall, a lost reply, a handler that cannot be stopped), the store refuses what comes too late.

mod context;
mod handler;
mod inline;
mod meter;
mod renewal;
mod run_loop;
mod slots;
mod task;
mod updates;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

pub use context::{Context, Stop};
pub use handler::Handlers;
pub(crate) use inline::run_inline;

use crate::clock::{Clock, SystemClock};
use crate::model::{Backoff, WorkerId};
use crate::port::WorkerInfo;
use crate::queue::Queue;
use crate::random;
use run_loop::RunLoop;

/// How a worker works.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Jobs run at once.
    pub concurrency: usize,
    /// For people: host, binary. The process id is added.
    pub name: String,
    /// How long running jobs may go on at a shutdown before they are asked to stop.
    pub drain: Duration,
    /// Between a request to stop and the dropping of the handler's future.
    pub stop_grace: Duration,
    /// Between the dropping and the verdict that the handler is stuck.
    pub stuck_after: Duration,
    /// When a failed attempt of a job without a back-off of its own is tried again.
    pub backoff: Backoff,
    /// Renew on the runtime, on this clock, and not on a thread: for simulations, whose time is not the machine's.
    pub renew_on_clock: Option<Arc<dyn Clock>>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 10,
            name: "bulrush".into(),
            drain: Duration::from_secs(30),
            stop_grace: Duration::from_secs(1),
            stuck_after: Duration::from_secs(1),
            backoff: Backoff::default(),
            renew_on_clock: None,
        }
    }
}

/// A running worker.
///
/// ```
/// # use bulrush::{Client, Handlers, Job, Worker, WorkerOptions};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Double(u64);
/// # impl Job for Double { const NAME: &'static str = "double"; type Output = u64; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("memory:").await?;
/// let queue = client.queue("numbers")?;
/// let handlers = Handlers::new().on(|Double(n), _ctx| async move { Ok(2 * n) });
/// let worker = Worker::start(&queue, handlers, WorkerOptions::default());
/// let added = queue.push(&Double(21)).await?;
/// let job = queue.wait_finished(&added.id, std::time::Duration::from_secs(10)).await?;
/// assert_eq!(job.ok_or("the job is gone")?.output::<u64>()?, Some(42));
/// worker.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    id: WorkerId,
    state: Arc<Gauge>,
    command: watch::Sender<Command>,
    task: tokio::task::JoinHandle<()>,
}

/// What a worker's owner asks of its loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Command {
    Run,
    Drain,
    Stop,
}

/// What a worker shows of itself, to whoever does not own it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerGauge(Arc<Gauge>);

impl WorkerGauge {
    /// As [`Worker::running`].
    pub fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    /// As [`Worker::settled`].
    pub fn settled(&self) -> u64 {
        self.0.settled.load(Ordering::Relaxed)
    }

    /// As [`Worker::heard_at`].
    pub fn heard_at(&self) -> u64 {
        self.0.heard_at.load(Ordering::Relaxed)
    }
}

/// The same, as the loop writes it.
#[derive(Debug, Default)]
struct Gauge {
    running: AtomicUsize,
    settled: AtomicU64,
    /// When the loop last heard from the backend, by the process's clock, ms.
    heard_at: AtomicU64,
}

impl Worker {
    /// Starts a worker on a queue. It runs until [`shutdown`](Self::shutdown) or [`stop`](Self::stop); dropping the handle stops it
    /// without waiting.
    pub fn start(queue: &Queue, handlers: Handlers, options: WorkerOptions) -> Self {
        let id = WorkerId(random::seed());
        let state = Arc::new(Gauge::default());
        state.heard_at.store(SystemClock.now(), Ordering::Relaxed);
        let (command, commands) = watch::channel(Command::Run);
        let info = WorkerInfo {
            id,
            name: format!("{}:{}", options.name, std::process::id()),
            slots: options.concurrency,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: SystemClock.now(),
        };
        let run_loop = RunLoop::new(queue.clone(), handlers, options, info, state.clone(), commands);
        let task = tokio::spawn(run_loop.run());
        Self { id, state, command, task }
    }

    /// Random for each start.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Jobs that run now.
    pub fn running(&self) -> usize {
        self.state.running.load(Ordering::Relaxed)
    }

    /// Jobs settled since the start.
    pub fn settled(&self) -> u64 {
        self.state.settled.load(Ordering::Relaxed)
    }

    /// When the taking loop last heard from the backend, ms since the epoch. An idle worker hears at least once a minute; a worker
    /// that has not for two is not alive, whatever its process does.
    pub fn heard_at(&self) -> u64 {
        self.state.heard_at.load(Ordering::Relaxed)
    }

    /// Takes nothing more, lets running jobs end within the drain time, asks the rest to stop, gives back what did not end with its
    /// attempt not counted, and joins every task.
    pub async fn shutdown(self) {
        self.finish(Command::Drain).await;
    }

    /// As [`shutdown`](Self::shutdown), without waiting for running jobs.
    pub async fn stop(self) {
        self.finish(Command::Stop).await;
    }

    /// How it is, for somebody who watches it.
    pub fn gauge(&self) -> WorkerGauge {
        WorkerGauge(self.state.clone())
    }

    /// A handle that can hurry a shutdown that is under way: what a second signal does.
    pub fn hurry(&self) -> Hurry {
        Hurry(self.command.clone())
    }

    async fn finish(mut self, command: Command) {
        raise(&self.command, command);
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            tracing::error!(worker = %self.id, "the worker's loop panicked; its jobs will be rescued when its lease has run out");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        raise(&self.command, Command::Stop);
    }
}

/// Hurries a worker's shutdown.
#[derive(Clone)]
pub struct Hurry(watch::Sender<Command>);

impl Hurry {
    /// Asks running jobs to stop now.
    pub fn stop_now(&self) {
        raise(&self.0, Command::Stop);
    }
}

fn raise(command: &watch::Sender<Command>, to: Command) {
    command.send_if_modified(|now| {
        let higher = to > *now;
        if higher {
            *now = to;
        }
        higher
    });
}
