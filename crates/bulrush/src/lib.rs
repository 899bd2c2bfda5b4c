//! Background jobs.
pub mod backend;
pub mod clock;
pub mod core;
pub mod flow;
mod job;
pub mod model;
pub mod port;
mod queue;
mod random;
mod worker;

pub use job::{Failure, Job, JobResult};
pub use queue::{Client, Queue, QueueOptions};
pub use worker::{Context, Handlers, Hurry, Stop, Worker, WorkerOptions};
