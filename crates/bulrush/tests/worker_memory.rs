//! The worker's tests on the backend in memory.

mod worker;

/// Address of the store under test, up to its path.
const STORE: &str = "memory:";
