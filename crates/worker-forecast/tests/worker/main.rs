//! What the worker does: forecasts and stock, on good data and bad, with workers that die and jobs that are cancelled.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod binary;
mod crashes;
mod forecasts;
#[path = "../../../worker-enrichment/tests/common/mute.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is shared with others, which use all of it")]
mod mute;
mod optimizations;
mod world;
