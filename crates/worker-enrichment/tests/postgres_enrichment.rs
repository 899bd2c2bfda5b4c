//! Enrichment with its data on a PostgreSQL server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../../store/tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
mod postgres;

use bulrush::model::JobState;
use common::{SEATTLE, World};
use postgres::Postgres;
use sqlx::Executor as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_is_enriched_and_its_result_is_kept() {
    let database = Postgres::create().await;
    let world = World::on(&database.url, tempfile::tempdir().unwrap()).await;
    let workers = world.start();
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-12-31").await;
    let job = world.add("inn", SEATTLE, None).await;
    let result = world.completed(&job).await;
    assert_eq!((result.days_enriched, result.days_with_weather), (365, 365));
    assert_eq!(world.features("inn").await.len(), 365);
    let fourth = world.day("inn", "2015-07-04").await;
    assert!(fourth.public_holiday.as_deref().unwrap().contains("Independence Day"), "{fourth:?}");
    assert_eq!(world.document(&job).await.unwrap().document, serde_json::to_value(&result).unwrap());
    workers.shutdown().await;
    world.store.close().await;
}

/// The job waits and tries again; nothing of it is lost and nothing is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_meets_a_locked_table_is_tried_again_until_it_can_write() {
    let database = Postgres::create().await;
    let url = database.url_with("lock_timeout_ms=200");
    let world = World::on(&url, tempfile::tempdir().unwrap()).await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-31").await;
    let mut elsewhere = database.connect().await;
    elsewhere.execute("BEGIN").await.unwrap();
    elsewhere.execute("LOCK TABLE features IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let workers = world.start();
    let job = world.add("inn", SEATTLE, None).await;
    common::eventually("an attempt fails", async || {
        let view = world.queue().get(&job).await.unwrap().unwrap();
        assert!(!matches!(view.state(), JobState::Completed | JobState::Failed), "{view:?}");
        if view.status.attempts_made > 0 { Ok(()) } else { Err(format!("{:?}", view.state())) }
    })
    .await;
    elsewhere.execute("ROLLBACK").await.unwrap();
    let result = world.completed(&job).await;
    assert_eq!(result.days_enriched, 31);
    workers.shutdown().await;
    world.store.close().await;
}
