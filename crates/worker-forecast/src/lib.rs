//! The worker that looks ahead: it forecasts what will be sold, and computes how much to keep and to order for it.
//!
//! [`start`] runs all of its queues in the caller's process, so the binary beside this library, `bulrush serve` and the demo run the
//! same code. The mathematics of forecasts is in `bulrush-forecasting`, which knows nothing of jobs.
//!
//! # Invariants
//! - **Nothing holds up the others.** What computes runs on a thread of its own, and looks every few milliseconds whether it is still
//!   wanted.
//! - **All or nothing.** A forecast, its points and the job's result are written in one transaction, behind the fence of the run.
//! - **Twice is once.** A forecast has an id made from its job's, so a job that runs again replaces what it left the first time.
//! - **Every number is one.** What cannot be computed is an error that says what is missing, never NaN or infinity.

mod dependencies;
mod failure;
mod forecast;
mod jobs;
mod optimize;
mod series;

pub use dependencies::Dependencies;
pub use forecast::RESULT_KIND as FORECAST_RESULT_KIND;
pub use optimize::RESULT_KIND as OPTIMIZATION_RESULT_KIND;

use bulrush::Client;
use bulrush_service::{WorkerSettings, Workers};

/// Starts a worker for each queue of this binary (see [`Workers::start`]).
pub fn start(client: &Client, deps: &Dependencies, settings: &WorkerSettings) -> Workers {
    Workers::start(client, jobs::all(deps), settings)
}
