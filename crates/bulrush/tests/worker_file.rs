//! The worker's tests on a store in files.

mod worker;

/// Address of the store under test, up to its path.
const STORE: &str = "file:";
