//! The worker that reads what competitors ask: it visits their pages politely, finds the price of a stay on each, and compares.
//!
//! [`start`] runs all of its queues in the caller's process, so the binary beside this library, `bulrush serve` and the demo
//! run the same code. [`handlers`] is for whoever runs a worker of their own.
//!
//! # Invariants
//! - **Only what may be called.** Every address comes from a user, so every request goes through
//!   [`bulrush_upstream::fetch::Fetcher`], which reaches checked addresses only, redirects included.
//! - **A guest's manners.** Nothing is read that a site's robots.txt does not allow; a site has one request at a time and a pause
//!   between two, kept by all processes on one database; one that asks for patience is left alone by all of them.
//! - **All or nothing.** Prices and result are written in one transaction, behind the fence of the run.
//! - **Twice is once.** A job that runs again replaces what it left the first time.
//! - **A stranger's page costs what a page costs**: its bytes, its elements and its depth are bounded before anything is looked for.

mod args;
mod competitor;
mod dependencies;
mod jobs;
pub mod money;
mod page;
mod scrape;
mod site;

pub use args::{CompetitorArgs, CompetitorSettings};
pub use competitor::{Competitor, CompetitorsError};
pub use dependencies::Dependencies;
pub use jobs::handlers;
pub use scrape::RESULT_KIND;
pub use site::Manners;

use bulrush::Client;
use bulrush_service::{WorkerSettings, Workers};

/// Starts a worker for each queue of this binary (see [`Workers::start`]).
pub fn start(client: &Client, deps: &Dependencies, settings: &WorkerSettings) -> Workers {
    Workers::start(client, jobs::all(deps), settings)
}
