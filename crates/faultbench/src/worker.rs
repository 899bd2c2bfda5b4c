//! A worker process of a run: a client of the engine and a worker, whose handlers write what they do to the journal.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::{Client, Context, Failure, Handlers, JobResult, Worker, WorkerOptions};
use bytes::Bytes;
use clap::Args;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::door::Door;
use crate::journal::{How, Journal, What};
use crate::wrong::Bug;

/// The queue of a run.
pub const QUEUE: &str = "faults";

/// How a worker process works.
#[derive(Debug, Clone, Args)]
pub struct WorkerArguments {
    /// Address of the store.
    #[arg(long)]
    pub store: String,
    /// The journal to write to.
    #[arg(long)]
    pub journal: PathBuf,
    /// Jobs at once.
    #[arg(long)]
    pub concurrency: usize,
    /// Threads of the runtime.
    #[arg(long)]
    pub threads: usize,
    /// How long the server may take to answer, ms.
    #[arg(long)]
    pub answer_ms: u64,
    /// How long a drain may take, ms.
    #[arg(long)]
    pub drain_ms: u64,
    /// Address space that the process may have, MiB.
    #[arg(long)]
    pub memory_mib: Option<u64>,
    /// A bug to have.
    #[arg(long)]
    pub bug: Option<Bug>,
}

impl WorkerArguments {
    /// As a command line.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["worker".into()];
        let mut put = |name: &str, value: OsString| {
            words.push(name.into());
            words.push(value);
        };
        put("--store", self.store.clone().into());
        put("--journal", self.journal.clone().into());
        put("--concurrency", self.concurrency.to_string().into());
        put("--threads", self.threads.to_string().into());
        put("--answer-ms", self.answer_ms.to_string().into());
        put("--drain-ms", self.drain_ms.to_string().into());
        if let Some(memory) = self.memory_mib {
            put("--memory-mib", memory.to_string().into());
        }
        if let Some(bug) = self.bug {
            put("--bug", bug.name().into());
        }
        words
    }
}

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Takes its time, as something that waits for others does.
    Work,
    /// Keeps its thread busy and never awaits.
    Spin,
    /// Holds up every thread of the runtime for ever, at its first run; later ones work.
    Deadlock,
    /// Ends the process, always.
    Abort,
    /// Asks for memory until the process is ended for it, always.
    Allocate,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Work, Self::Spin, Self::Deadlock, Self::Abort, Self::Allocate];

    /// The name of its jobs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Spin => "spin",
            Self::Deadlock => "deadlock",
            Self::Abort => "abort",
            Self::Allocate => "allocate",
        }
    }
}

/// A job's payload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payload {
    /// How long its handler takes, ms.
    pub ms: u64,
    /// Weight.
    pub pad: String,
}

/// Runs a worker until it is asked to end.
pub fn run(arguments: &WorkerArguments) -> Result<()> {
    if let Some(mib) = arguments.memory_mib {
        let limit = Some(mib << 20);
        setrlimit(Resource::As, Rlimit { current: limit, maximum: limit })?;
    }
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.threads).enable_all().build()?;
    runtime.block_on(work(arguments))?;
    // A handler that is stuck must not hold up the end of the process.
    runtime.shutdown_background();
    Ok(())
}

async fn work(arguments: &WorkerArguments) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let journal = Journal::open(&arguments.journal)?;
    let options = RedisOptions {
        connect_within: Duration::from_millis(arguments.answer_ms),
        answer_within: Duration::from_millis(arguments.answer_ms),
        ..RedisOptions::default()
    };
    // The server may be away when the process comes up.
    let store = loop {
        match connect_redis_with(&arguments.store, options.clone()).await {
            Ok(store) => break store,
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error).context("the store cannot be opened"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            _ = term.recv() => return Ok(()),
        }
    };
    let client = Client::new(Arc::new(Door::new(store, journal.clone(), arguments.bug)));
    let queue = client.queue(QUEUE)?;
    let options = WorkerOptions {
        concurrency: arguments.concurrency,
        name: "faultbench".to_owned(),
        drain: Duration::from_millis(arguments.drain_ms),
        ..WorkerOptions::default()
    };
    let worker = Worker::start(&queue, handlers(&journal, arguments.threads), options);
    journal.write(What::Ready { worker: worker.id().to_string() });
    term.recv().await;
    let hurry = worker.hurry();
    let second = tokio::spawn(async move {
        term.recv().await;
        hurry.stop_now();
    });
    worker.shutdown().await;
    second.abort();
    client.backend().close().await?;
    Ok(())
}

fn handlers(journal: &Journal, threads: usize) -> Handlers {
    Kind::ALL.into_iter().fold(Handlers::new(), |handlers, kind| {
        let journal = journal.clone();
        handlers.on_raw(kind.name(), move |context| {
            let journal = journal.clone();
            async move { handle(kind, context, journal, threads).await }
        })
    })
}

/// A run in the journal. Its end is written however it comes.
struct Run {
    journal: Journal,
    job: String,
    token: String,
    ended: bool,
}

impl Run {
    fn begin(journal: Journal, context: &Context) -> Self {
        let (job, token) = (context.id().to_string(), context.token().to_string());
        journal.write(What::Begin { job: job.clone(), token: token.clone() });
        Self { journal, job, token, ended: false }
    }

    fn end(mut self, how: How) -> String {
        // Each run has an effect of its own, so that a result tells whose it is.
        let effect = format!("{{\"by\":\"{}\",\"of\":\"{}\"}}", self.token, self.job);
        self.write(how, effect.clone());
        effect
    }

    fn write(&mut self, how: How, effect: String) {
        self.ended = true;
        let (job, token) = (self.job.clone(), self.token.clone());
        self.journal.write(What::End { job, token, how, effect });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            self.write(How::Dropped, String::new());
        }
    }
}

async fn handle(kind: Kind, context: Context, journal: Journal, threads: usize) -> JobResult<Option<Bytes>> {
    let payload: Payload = context.payload()?;
    let run = Run::begin(journal, &context);
    let time = Duration::from_millis(payload.ms);
    match kind {
        Kind::Deadlock if context.token().run == 1 => {
            // One for each other thread, and more: the task that was spawned last stands where no other thread takes it from.
            for _ in 0..2 * threads {
                tokio::spawn(async { block_for_ever() });
            }
            block_for_ever();
        }
        Kind::Abort => std::process::abort(),
        Kind::Allocate => allocate_for_ever(),
        Kind::Spin => spin(time),
        Kind::Work | Kind::Deadlock => {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                _ = context.stopped() => {
                    run.end(How::Stopped);
                    return Err(Failure::Cancelled);
                }
            }
        }
    }
    Ok(Some(run.end(How::Done).into()))
}

fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn block_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

fn allocate_for_ever() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        // Filled, so that it is memory and not a promise of it.
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}
