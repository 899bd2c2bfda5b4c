//! Queues over HTTP: their numbers, and what administrators do to them.

pub mod control;
pub mod numbers;
