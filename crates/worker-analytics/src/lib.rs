//! The worker that computes from the data, and sends out what comes of it: analyses, exports, and messages for webhooks.
//!
//! [`start`] runs all of its queues in the caller's process, so the binary beside this library, `bulrush serve` and the demo run the
//! same code.
//!
//! # Invariants
//! - **A file appears whole or not at all.** An export is written beside its place and becomes its owner's in one transaction behind the
//!   fence of the run; what a run leaves that was cancelled, failed or overtaken is removed.
//! - **Twice is once.** An export's file and an analysis's document have the identifier of their job, so a job that runs again
//!   replaces them.
//! - **A message is the same at every attempt.** Its identifier and its bytes stand in the database before it is sent.
//! - **Mathematics holds nobody up.** It is done on threads that may block, and is over within a moment of a cancel.
//! - **Constant memory** of exports. Rows go from the store to the file in batches, whatever their number.

mod analyze;
mod dependencies;
mod export;
mod jobs;
mod webhook;

pub use analyze::RESULT_KIND as ANALYSIS_RESULT_KIND;
pub use dependencies::Dependencies;
pub use export::RESULT_KIND as EXPORT_RESULT_KIND;

use bulrush::Client;
use bulrush_service::{WorkerSettings, Workers};

/// Starts a worker for each queue of this binary (see [`Workers::start`]).
pub fn start(client: &Client, deps: &Dependencies, settings: &WorkerSettings) -> Workers {
    Workers::start(client, jobs::all(deps), settings)
}
