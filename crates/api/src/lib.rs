//! The HTTP API: takes jobs and files in and tells how they are.
//!
//! It adds and manages through [`Producer`](bulrush::Producer)s and reads through [`Reader`](bulrush::Reader)s, so it cannot take work
//! even by accident. [`Server::bind`] listens at once and says that it is not ready; [`Server::serve`] gives it the parts and
//! makes it ready.
//!
//! # Where things are
//! - `http`: what every request passes: identity, limits, bodies, errors, headers. Errors become responses in one place, `http::problem`.
//! - `http::route`: a route and its rule of access; `routes`: the list of all, from which server and document (`openapi`) are made.
//!   `/api/v1` and the seeds' unversioned `/api` are the same handlers.
//! - `jobs`: adding, reading, waiting, listing, managing, dead letters. `queues`: numbers and control. `live`: streams of events.
//! - `schedules`: jobs that are added again and again by the clock.
//! - `files`: uploads, price histories, enrichment and what came of it. `exports`: data as files. `webhooks`: addresses that are told.
//!
//! # Invariants
//! - What a caller may not see is absent: a foreign job, file or property gives the bytes that an unknown one gives. The caller's scope
//!   goes with each read and command to the engine, and with each query to the store, which decide.
//! - A route exists only with a rule of access, which is applied before anything of the request is read.
//! - Owner and tenant come from the token. Keys that clients choose (job ids, dedup and idempotency keys) are kept apart by owner.
//! - Every body has a bound and a deadline.

mod competitors;
mod config;
mod exports;
mod files;
mod health;
mod http;
mod jobs;
mod live;
mod metrics;
mod openapi;
mod outcomes;
mod queues;
mod reference;
mod rollups;
mod routes;
mod schedules;
mod server;
mod state;
mod things;
mod webhooks;
mod workers;

pub use config::{ApiArgs, ApiConfig, MetricsAccess};
pub use server::{Extra, Server, StartError};
pub use state::{Deps, Shared};
