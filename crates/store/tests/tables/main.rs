//! What the tables do, on a file and on a memory database of SQLite. `postgres_tables` runs the same on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

/// Makes each case, an `async fn(&Store)`, a test on each kind of database that this program has.
macro_rules! on_each {
    ($($case:ident),+ $(,)?) => {
        mod on_a_file { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { let fixture = crate::common::file().await; super::$case(&fixture.store).await; }
        )+ }
        mod on_memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { let fixture = crate::common::memory().await; super::$case(&fixture.store).await; }
        )+ }
    };
}

/// The same for cases, `async fn(&Fixture)`, that look at a database from a second store, as another process does.
macro_rules! on_shared {
    ($($case:ident),+ $(,)?) => {
        mod on_a_shared_file { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&crate::common::file().await).await; }
        )+ }
    };
}

mod api_keys;
mod competitors;
mod concurrency;
mod declared_competitors;
mod fences;
mod forecasts;
mod outbox;
mod outputs;
mod ownership;
mod repositories;
mod rollups;
mod stream_tickets;
mod templates;
mod webhook_sending;
mod webhooks;
