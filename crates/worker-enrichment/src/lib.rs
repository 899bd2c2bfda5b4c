//! The worker that brings data in: it enriches the price history of a property with weather, holidays and the calendar.
//!
//! [`start`] runs all of its queues in the caller's process, so the binary beside this library, `bulrush serve` and the demo
//! run the same code. [`handlers`] is for whoever runs a worker of their own.
//!
//! # Invariants
//! - **All or nothing.** The features of all days and the result document are written in one transaction, behind the fence of
//!   the run. A job that is cancelled, fails or is overtaken leaves neither.
//! - **Twice is once.** Everything is an upsert by its natural key, so a job that runs again leaves what it left the first time.
//! - **Asked once.** What comes from outside goes through the store's caches, and whoever finds something missing claims it
//!   before asking: jobs of any number of processes fetch the same weather and the same holidays once.
//! - **Secrets stay sealed** until the one request that needs them, and are in no log line, error or result.

mod dependencies;
mod enrich;
mod jobs;
mod single_flight;

pub use dependencies::Dependencies;
pub use enrich::RESULT_KIND;
pub use jobs::handlers;

use bulrush::Client;
use bulrush_service::{WorkerSettings, Workers};

/// Starts a worker for each queue of this binary (see [`Workers::start`]).
pub fn start(client: &Client, deps: &Dependencies, settings: &WorkerSettings) -> Workers {
    Workers::start(client, jobs::all(deps), settings)
}
