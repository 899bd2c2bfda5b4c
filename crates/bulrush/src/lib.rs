//! Background jobs: a queue engine with one meaning and several places to keep it.
//!
//! A [`Client`] opens a backend by its address: `memory:` (this process, for tests) or `file:PATH` (this process, durable: an
//! acknowledged job survives kill -9). A [`Queue`] adds jobs, a [`Worker`] runs them.
//!
//! ```
//! use std::time::Duration;
//!
//! use bulrush::{Client, Handlers, Job, Worker, WorkerOptions};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Resize {
//!     image: String,
//!     width: u32,
//! }
//!
//! impl Job for Resize {
//!     const NAME: &'static str = "resize";
//!     type Output = String;
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("memory:").await?;
//! let images = client.queue("images")?;
//!
//! let handlers = Handlers::new().on(|job: Resize, ctx| async move {
//!     ctx.progress(50, "half way");
//!     Ok(format!("{}-{}.png", job.image, job.width))
//! });
//! let worker = Worker::start(&images, handlers, WorkerOptions::default());
//!
//! let added = images.push(&Resize { image: "cat".into(), width: 640 }).await?;
//! let job = images.wait_finished(&added.id, Duration::from_secs(10)).await?.ok_or("the job is gone")?;
//! assert_eq!(job.output::<String>()?.as_deref(), Some("cat-640.png"));
//!
//! worker.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - A job whose add was acknowledged ends as completed, failed or cancelled; nothing acknowledged is lost.
//! - A job may run more than once (its worker died, its lease ran out), never with two runs that may both write: each take of a job
//!   has a [`Token`](model::Token), and a stale one is refused. [`Context::token`] lets a handler fence its own writes the same way.
//! - Every call may be repeated: ids, call numbers and tokens make the repeat harmless.
//!
//! # Where to look
//! - [`model`]: the words: jobs, states, limits.
//! - [`core`]: what a queue means, as a deterministic state machine without IO. Lost jobs are rescued in `core/lease.rs`.
//! - [`port`]: what a backend does; [`backend`]: the backends.
//! - [`flow`]: how queues tell each other things.
//! - [`clock`]: the only place that reads the time.
//! - [`testing`]: queues and handlers in tests of your own.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!(
    "the feature `mutants` lets the environment change what Redis scripts do: no release may have it"
);

pub mod backend;
pub mod clock;
mod coalesce;
pub mod core;
pub mod flow;
mod job;
pub mod model;
pub mod port;
mod producer;
mod queue;
mod random;
mod reader;
mod schedules;
mod slots;
pub mod testing;
mod ticker;
mod worker;

pub use job::{Failure, Job, JobResult};
pub use producer::Producer;
pub use queue::{Client, Queue, QueueOptions};
pub use reader::Reader;
pub use schedules::Schedules;
pub use ticker::{Ticker, TickerOptions, TickerStats, fires_of};
pub use worker::{Context, Handlers, Hurry, Stop, Worker, WorkerGauge, WorkerOptions};
