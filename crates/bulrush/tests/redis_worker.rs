//! The worker's tests on a Redis server.
#![cfg(feature = "redis")]

mod worker;

/// The store under test.
const STORE: &str = "redis";
