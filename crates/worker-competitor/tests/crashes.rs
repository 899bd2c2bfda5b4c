//! Workers that die, jobs that are cancelled, runs that were overtaken: the prices are there once and whole, or not at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bulrush::model::{JobId, JobState};
use bulrush_sandbox::Fault;
use bulrush_service::Workers;
use bulrush_store::{FenceError, Store};
use bulrush_worker_competitor::{Dependencies, start};
use common::{World, eventually, fetcher, manners, url};
use serde_json::json;
use tokio::runtime::Runtime;

const HOTEL: &str = "/hotels/stadtgarten";

/// A worker that is going to die: on a runtime, a store and clients of its own, as in a process of its own.
struct Doomed {
    runtime: Runtime,
    /// Held, as the process would hold it.
    _workers: Workers,
}

impl Doomed {
    async fn start(world: &World) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = Store::open(&url(&world.folder)).await.unwrap();
        let deps = Dependencies::new(store, fetcher(&world.sandbox)).with_manners(manners());
        let workers = {
            let _entered = runtime.enter();
            start(&world.client, &deps, &world.settings())
        };
        Self { runtime, _workers: workers }
    }

    /// Every task ends where it stands, and nobody is told.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

async fn prepared() -> World {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    world.compete_elsewhere("stadtgarten").await;
    world
}

async fn is_untouched(world: &World, job: &JobId) {
    assert_eq!(world.prices().await, [], "no price of a job that did not get to its end");
    assert!(world.document(job).await.is_none(), "and no result");
}

/// Another worker takes over, and the work is done once and whole.
async fn is_done_by_the_next(world: &World, job: &JobId) {
    let workers = world.start();
    let result = world.completed(job).await;
    assert_eq!((result.priced, world.prices().await.len()), (2, 2));
    let document = world.document(job).await.unwrap();
    assert_eq!(document.document, serde_json::to_value(&result).unwrap());
    assert!(document.run >= 2, "written by a later run: {document:?}");
    workers.shutdown().await;
}

/// Waits until a page is being asked for, which will not be answered.
async fn is_asked(world: &World, times: u64) {
    eventually("the page is asked for", async || {
        let asked = world.asked("stadtgarten");
        if asked >= times { Ok(()) } else { Err(format!("{asked} times")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_while_it_reads_a_page_is_replaced_and_nothing_is_read_twice() {
    let world = prepared().await;
    world.fail(HOTEL, 1, Fault::Delay { delay_ms: 600_000 });
    let doomed = Doomed::start(&world).await;
    let job = world.add().await;
    is_asked(&world, 1).await;
    world.says(&job, "1 of 2 competitors visited").await;
    doomed.kill();
    is_untouched(&world, &job).await;
    is_done_by_the_next(&world, &job).await;
    assert_eq!((world.asked("alpenblick"), world.asked("stadtgarten")), (1, 2), "what was read was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_at_its_write_leaves_nothing() {
    let world = prepared().await;
    // What is read is in the store before, so that the test can be the one writer.
    let workers = world.start();
    let first = world.add().await;
    world.completed(&first).await;
    workers.shutdown().await;
    let before = world.prices().await;
    let doomed = Doomed::start(&world).await;
    let writer = world.store.begin().await.unwrap();
    let job = world.add().await;
    world.says(&job, "writing").await;
    doomed.kill();
    drop(writer);
    assert_eq!(world.prices().await, before);
    assert!(world.document(&job).await.is_none());
    is_done_by_the_next(&world, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_overtaken_cannot_write_over_the_later_one() {
    let world = prepared().await;
    let job = world.add().await;
    // A later run of the same job has written: nothing of an earlier one may come after it.
    let passed: Result<(), FenceError> = world.store.fenced(job.as_str(), 9, "later", async |_| Ok(())).await;
    passed.unwrap();
    let workers = world.start();
    let reason = world.failed(&job, 3).await;
    assert!(reason.contains("another run of this job has written since"), "{reason}");
    is_untouched(&world, &job).await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_cancelled_while_it_reads_stops_at_once_and_leaves_nothing() {
    let world = prepared().await;
    world.fail(HOTEL, 1, Fault::Delay { delay_ms: 600_000 });
    let workers = world.start();
    let job = world.add().await;
    is_asked(&world, 1).await;
    world.queue().cancel(&job).await.unwrap();
    assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
    is_untouched(&world, &job).await;
    // Whoever comes next finds the gate of the site open.
    assert_eq!(world.compare().await.priced, 2);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_waits_for_its_turn_stops_at_once_when_it_is_cancelled() {
    let world = prepared().await;
    let now = bulrush_store::now_ms();
    world.store.site_turns().hold(&world.sandbox.base_url(), now, now + 50_000).await.unwrap();
    let workers = world.start();
    let job = world.add().await;
    world.says(&job, "1 of 2 competitors visited").await;
    world.queue().cancel(&job).await.unwrap();
    assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
    assert_eq!(world.asked("alpenblick"), 0);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_gives_the_job_back_and_the_attempt_does_not_count() {
    let world = prepared().await;
    world.fail(HOTEL, 1, Fault::Delay { delay_ms: 600_000 });
    let mut settings = world.settings();
    settings.drain = Duration::ZERO;
    let workers = start(&world.client, &world.deps, &settings);
    let job = world.add().await;
    is_asked(&world, 1).await;
    workers.shutdown().await;
    let view = world.queue().get(&job).await.unwrap().unwrap();
    assert_eq!((view.state(), view.status.attempts_made), (JobState::Waiting, 0));
    is_done_by_the_next(&world, &job).await;
    assert_eq!(world.ended(&job).await.status.attempts_made, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_is_deleted_meanwhile_fails_its_job_for_good() {
    let world = prepared().await;
    let workers = world.start();
    // What is read is in the store before, so that the test can be the one writer.
    world.compare().await;
    let mut writer = world.store.begin().await.unwrap();
    let job = world.add().await;
    world.says(&job, "writing").await;
    assert!(world.store.entities().delete(&mut writer, &common::ada().into(), "inn").await.unwrap());
    writer.commit().await.unwrap();
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("was deleted while its competitors were read"), "{reason}");
    workers.shutdown().await;
}
