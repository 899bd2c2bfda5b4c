//! Queues that no worker lives for are kept in order all the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bulrush::Client;
use bulrush::model::{JobState, WorkerId};
use bulrush::port::{Resume, Step, WorkerInfo};
use bulrush_catalog::Catalog;
use bulrush_scheduler::{Dependencies, Pace, start};
use bulrush_store::Store;

const DEADLINE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn due_jobs_are_promoted_and_jobs_of_lost_workers_taken_back_without_a_worker() {
    let client = Client::connect("memory:").await.unwrap();
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    let catalog = Arc::new(Catalog::default());
    let queue = client.queue("sync").unwrap();
    let due = queue.add(queue.job("x", "{}").delay_ms(30)).await.unwrap().id;
    let lost = queue.add(queue.job("x", "{}")).await.unwrap().id;
    let worker = WorkerId(7);
    let info = WorkerInfo { id: worker, name: "test".into(), slots: 1, version: "0".into(), started: 0 };
    let hello = Resume { info, call: 1, running: Vec::new() };
    client.backend().resume(queue.name(), hello).await.unwrap();
    let taken = client.backend().step(queue.name(), Step::take(worker, 2, 1)).await.unwrap().taken;
    assert_eq!(taken.len(), 1);

    let pace = Pace { maintenance: Duration::from_millis(200), ..Pace::default() };
    let deps = Dependencies::new(client.backend().clone(), store.clone(), catalog).with_pace(pace);
    let scheduler = start(&deps);
    let waited = tokio::time::timeout(DEADLINE, async {
        for id in [&due, &lost] {
            while queue.get(id).await.unwrap().unwrap().state() != JobState::Waiting {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    assert!(waited.await.is_ok(), "the jobs do not wait for a worker");
    assert_eq!(queue.get(&lost).await.unwrap().unwrap().status.stalls, 1);
    scheduler.shutdown().await;
    store.close().await;
}
