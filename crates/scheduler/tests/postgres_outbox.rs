//! The relay of the outbox, on a PostgreSQL server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod outbox_cases;
#[path = "../../store/tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
mod postgres;

macro_rules! on_a_server {
    ($($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let database = postgres::Postgres::create().await;
            outbox_cases::$case(outbox_cases::World::on(&database.url).await).await;
        }
    )+ };
}

outbox_cases::cases!(on_a_server);
