//! What the tables do, on PostgreSQL: the same cases as `tables` runs on SQLite, and those that only a server can show.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod collation;

/// Makes each case, an `async fn(&Store)`, a test on a database of its own.
macro_rules! on_each {
    ($($case:ident),+ $(,)?) => {
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { let fixture = crate::common::postgres().await; super::$case(&fixture.store).await; }
        )+ }
    };
}

/// The same for cases, `async fn(&Fixture)`, that look at a database from a second store, as another process does.
macro_rules! on_shared {
    ($($case:ident),+ $(,)?) => {
        mod on_shared_postgres { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&crate::common::postgres().await).await; }
        )+ }
    };
}

#[path = "../tables/api_keys.rs"]
mod api_keys;
#[path = "../tables/competitors.rs"]
mod competitors;
#[path = "../tables/concurrency.rs"]
mod concurrency;
#[path = "../tables/declared_competitors.rs"]
mod declared_competitors;
#[path = "../tables/fences.rs"]
mod fences;
#[path = "../tables/forecasts.rs"]
mod forecasts;
#[path = "../tables/outbox.rs"]
mod outbox;
#[path = "../tables/outputs.rs"]
mod outputs;
#[path = "../tables/ownership.rs"]
mod ownership;
#[path = "../tables/repositories.rs"]
mod repositories;
#[path = "../tables/rollups.rs"]
mod rollups;
#[path = "../tables/stream_tickets.rs"]
mod stream_tickets;
#[path = "../tables/templates.rs"]
mod templates;
#[path = "../tables/webhook_sending.rs"]
mod webhook_sending;
#[path = "../tables/webhooks.rs"]
mod webhooks;
