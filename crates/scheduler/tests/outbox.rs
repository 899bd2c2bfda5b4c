//! The relay of the outbox, on files of SQLite. `postgres_outbox` runs the same on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod outbox_cases;

macro_rules! on_a_file {
    ($($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", folder.path().join("store.db").display());
            outbox_cases::$case(outbox_cases::World::on(&url).await).await;
        }
    )+ };
}

outbox_cases::cases!(on_a_file);
