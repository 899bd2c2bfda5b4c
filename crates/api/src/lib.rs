//! The HTTP API: takes jobs and files in and tells how they are.
//!
//! It holds the engine's [`Enqueue`](bulrush::port::Enqueue) and [`Inspect`](bulrush::port::Inspect) sides only, so it cannot take
//! work even by accident. [`Server::bind`] listens at once and says that it is not ready; [`Server::serve`] gives it the parts and
//! makes it ready; [`run`] does both and waits for the end.
//!
//! # Where things are
//! - `http`: what every request passes: identity, bodies, errors, headers. Errors become responses in one place, `http::problem`.
//! - `jobs`: adding, reading, waiting, listing. `files`: uploads, price histories, enrichment and what came of it.
//! - `routes`: the table of all routes. `/api/v1` and the seeds' unversioned `/api` are the same handlers.
//!
//! # Invariants
//! - What a caller may not see is absent: a foreign job, file or property gives the bytes that an unknown one gives. Jobs are read
//!   through `jobs::lookup` alone, rows through the store's scopes.
//! - Owner and tenant come from the token. Keys that clients choose (job ids, dedup and idempotency keys) are kept apart by owner.
//! - Every body has a bound and a deadline.

mod config;
mod files;
mod health;
mod http;
mod jobs;
mod live;
mod metrics;
mod openapi;
mod queues;
mod reference;
mod routes;
mod server;
mod state;
mod workers;

pub use config::{ApiArgs, ApiConfig, MetricsAccess};
pub use server::{Extra, Server, StartError, run};
pub use state::{Deps, Shared};
