//! What every binary of the platform shares.
//!
//! - [`args`]: the pieces of configuration that several binaries have, for clap; [`Problems`] gathers all that is wrong with them.
//! - [`FilesArgs`]: where files are kept; [`open_store`], [`open_objects`]: parts that may come up later than the program.
//! - [`Secret`], [`KeyFile`], [`DataDir`]: secrets and where a single server keeps its own.
//! - [`TokenKeys`]: bearer tokens, made and checked; [`Sealing`]: secrets in payloads, sealed and opened.
//! - [`telemetry`], [`Metrics`], [`Health`]: what an operator sees.
//! - [`Shutdown`]: how a process is asked to stop.
//! - [`ops`]: the port of a process without an API, for health and metrics.
//! - [`Workers`]: the queues of a worker binary, running; [`WorkerArgs`]: what every such binary is told.
//!
//! # Invariants
//! - A secret's `Debug` and `Display` are `***`; its text leaves the type by [`Secret::expose`] alone.
//! - A token is accepted for one algorithm, which is its key's, before one end, with one meaning: whatever is odd about it is refused.

pub mod args;
mod chains;
mod data_dir;
mod engine;
mod files_args;
mod health;
mod hex;
mod jwks;
mod jwt_crypto;
mod key_file;
mod metrics;
pub mod ops;
mod outbox_metrics;
mod problems;
mod sealing;
mod secret;
mod shutdown;
pub mod telemetry;
mod tokens;
mod waiting;
mod worker_args;
mod worker_ops;
mod worker_process;
mod workers;

pub use data_dir::{DataDir, DataDirError};
pub use engine::{configure_queues, log_engine};
pub use files_args::{BucketStyle, FilesArgs, log_place};
pub use health::{Check, Health, Phase, Report};
pub use key_file::{KEY_BYTES_MIN, KeyFile, KeyFileError};
pub use metrics::{HttpObservation, Metrics, QueueSnapshot, StorePool};
pub use outbox_metrics::OutboxMetrics;
pub use problems::{ConfigError, Problem, Problems};
pub use sealing::Sealing;
pub use secret::Secret;
pub use shutdown::{Drained, Shutdown};
pub use tokens::{Claims, LEEWAY_MAX_S, Role, TokenError, TokenKeys, TokenOptions, TokenSources, is_name};
pub use waiting::{open_engine, open_objects, open_store};
pub use worker_args::{WorkerArgs, WorkerConfig};
pub use worker_ops::Watched;
pub use worker_process::{WorkerParts, run_worker};
pub use workers::{Served, WorkerSettings, Workers};
