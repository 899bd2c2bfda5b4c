//! Workers that die, jobs that are cancelled, runs that were overtaken: the features are there once and whole, or not at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/mute.rs"]
mod mute;

use std::sync::Arc;
use std::time::Duration;

use bulrush::Client;
use bulrush::model::{JobId, JobState};
use bulrush_sandbox::Fault;
use bulrush_service::Workers;
use bulrush_store::{FenceError, Store, StoreError};
use bulrush_worker_enrichment::{Dependencies, start};
use common::{SEATTLE, World, eventually, upstreams, url};
use mute::Mute;
use tokio::runtime::Runtime;

const WEATHER: &str = "weather:47.5:-122.3";
const HOLIDAYS: &str = "holidays:public:US";

/// A worker that is going to die: on a runtime, a store and clients of its own, as in a process of its own.
struct Doomed {
    runtime: Runtime,
    /// Held, as the process would hold it.
    _workers: Workers,
}

impl Doomed {
    async fn start(world: &World, client: &Client) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = Store::open(&url(&world.folder)).await.unwrap();
        let deps =
            Dependencies::new(store, upstreams(&world.sandbox)).with_clock(Arc::new(world.clock.clone()));
        let workers = {
            let _entered = runtime.enter();
            start(client, &deps, &world.settings())
        };
        Self { runtime, _workers: workers }
    }

    /// Every task ends where it stands, and nobody is told.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// A world with a property to enrich, and what the enriched days look like.
async fn prepared(cached: bool) -> World {
    let world = World::new().await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-03-31").await;
    if cached {
        world.property("twin", SEATTLE, Some("US"), "2015-01-01", "2015-03-31").await;
        let workers = world.start();
        world.enrich("twin", SEATTLE, None).await;
        workers.shutdown().await;
        world.sandbox.reset();
    }
    world
}

async fn is_untouched(world: &World, job: &JobId) {
    assert_eq!(world.features("inn").await, [], "no feature of a job that did not get to its end");
    assert!(world.document(job).await.is_none(), "and no result");
}

/// Another worker takes over, and the work is done once and whole.
async fn is_done_by_the_next(world: &World, job: &JobId) {
    let workers = world.start();
    let result = world.completed(job).await;
    assert_eq!((result.days_enriched, result.days_with_weather), (90, 90));
    assert_eq!(world.features("inn").await.len(), 90);
    let document = world.document(job).await.unwrap();
    assert_eq!(document.document, serde_json::to_value(&result).unwrap());
    assert!(document.run >= 2, "written by a later run: {document:?}");
    // The same as a job that ran undisturbed leaves.
    let left = world.features("inn").await;
    world.property("undisturbed", SEATTLE, Some("US"), "2015-01-01", "2015-03-31").await;
    world.enrich("undisturbed", SEATTLE, None).await;
    assert_eq!(world.features("undisturbed").await, left);
    workers.shutdown().await;
    // Whatever follows has been delivered by now.
    assert_eq!(world.summaries("inn").await.len(), 1, "one summary, however many runs there were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_before_it_fetched_anything_is_replaced() {
    let world = prepared(false).await;
    let doomed = Doomed::start(&world, &world.client).await;
    world.close(WEATHER).await;
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "looking up the weather").await;
    doomed.kill();
    is_untouched(&world, &job).await;
    world.open(WEATHER).await;
    is_done_by_the_next(&world, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_while_it_fetches_leaves_a_claim_that_ends_by_itself() {
    let world = prepared(false).await;
    world.fail("/v1/archive", 1, Fault::Delay { delay_ms: 600_000 });
    let doomed = Doomed::start(&world, &world.client).await;
    let job = world.add("inn", SEATTLE, None).await;
    eventually("the weather is asked for", async || {
        if world.sandbox.requests().of("/v1/archive") == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    doomed.kill();
    is_untouched(&world, &job).await;
    // By the workers' clock the claim's time is up.
    world.clock.advance(Duration::from_secs(11));
    is_done_by_the_next(&world, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_weather_and_holidays_leaves_the_weather_to_the_next() {
    let world = prepared(false).await;
    let doomed = Doomed::start(&world, &world.client).await;
    world.close(HOLIDAYS).await;
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "looking up the holidays").await;
    doomed.kill();
    is_untouched(&world, &job).await;
    world.open(HOLIDAYS).await;
    is_done_by_the_next(&world, &job).await;
    assert_eq!(world.sandbox.requests().repeated(), Vec::<String>::new(), "the cache outlived the worker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_at_its_write_leaves_nothing() {
    let world = prepared(true).await;
    let doomed = Doomed::start(&world, &world.client).await;
    // There is one writer at a time, and it is the test.
    let writer = world.store.begin().await.unwrap();
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "writing").await;
    doomed.kill();
    drop(writer);
    is_untouched(&world, &job).await;
    is_done_by_the_next(&world, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_its_write_and_its_word_to_the_engine_is_repeated_without_a_trace() {
    let world = prepared(false).await;
    let mute = Mute::new(world.client.backend().clone());
    let doomed = Doomed::start(&world, &Client::new(mute.clone())).await;
    let job = world.add("inn", SEATTLE, None).await;
    eventually("the job ends unheard", async || {
        if mute.swallowed() == 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    doomed.kill();
    let written = world.features("inn").await;
    assert_eq!((written.len(), world.document(&job).await.unwrap().run), (90, 1));
    is_done_by_the_next(&world, &job).await;
    assert_eq!(world.features("inn").await, written);
    assert_eq!(world.sandbox.requests().repeated(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_overtaken_while_it_waited_to_write_is_refused() {
    let world = prepared(true).await;
    let workers = world.start();
    // Somebody holds the fence of a much later run of the job when the job's own run arrives.
    let ours = world.queue().new_id();
    let later = world.store.begin_fenced(ours.as_str(), 99, "the later run").await.unwrap();
    let mut new = world.job(&common::payload("inn", SEATTLE, None));
    new.spec.id = ours.clone();
    let job = world.queue().add(new).await.unwrap().id;
    world.says(&job, "writing").await;
    later.commit().await.unwrap();

    let reason = world.failed(&job, 5).await;
    assert!(reason.contains("another run of this job has written"), "{reason}");
    is_untouched(&world, &job).await;
    let late: Result<(), FenceError> = world.store.fenced(job.as_str(), 1, "zombie", async |_| Ok(())).await;
    assert!(matches!(late, Err(FenceError::Stale { current: 99, .. })), "{late:?}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_stops_wherever_it_is_and_leaves_nothing() {
    for (gate, words) in [(WEATHER, "looking up the weather"), (HOLIDAYS, "looking up the holidays")] {
        let world = prepared(false).await;
        let workers = world.start();
        world.close(gate).await;
        let job = world.add("inn", SEATTLE, None).await;
        world.says(&job, words).await;
        world.queue().cancel(&job).await.unwrap();
        assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
        world.open(gate).await;
        is_untouched(&world, &job).await;
        // Whoever comes next is not held up by what the cancelled job held.
        world.enrich("inn", SEATTLE, None).await;
        assert_eq!(world.features("inn").await.len(), 90);
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_cancelled_while_it_waits_to_write_leaves_nothing() {
    let world = prepared(true).await;
    let workers = world.start();
    let writer = world.store.begin().await.unwrap();
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "writing").await;
    world.queue().cancel(&job).await.unwrap();
    assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
    drop(writer);
    // A write of the test's own has its turn after whatever was still in line.
    world.store.begin().await.unwrap().commit().await.unwrap();
    is_untouched(&world, &job).await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_cancelled_while_it_fetches_gives_its_claim_back() {
    let world = prepared(false).await;
    let workers = world.start();
    world.fail("/v1/archive", 1, Fault::Delay { delay_ms: 600_000 });
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "fetching the weather").await;
    world.queue().cancel(&job).await.unwrap();
    assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
    is_untouched(&world, &job).await;
    // The workers' clock stands still, so the claim does not run out: it was given back.
    world.sandbox.reset();
    world.enrich("inn", SEATTLE, None).await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_gives_the_job_back_and_the_attempt_does_not_count() {
    let world = prepared(false).await;
    let mut settings = world.settings();
    settings.drain = Duration::ZERO;
    let workers = start(&world.client, &world.deps, &settings);
    world.close(WEATHER).await;
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "looking up the weather").await;
    workers.shutdown().await;
    let view = world.queue().get(&job).await.unwrap().unwrap();
    assert_eq!((view.state(), view.status.attempts_made), (JobState::Waiting, 0));
    world.open(WEATHER).await;
    is_done_by_the_next(&world, &job).await;
    assert_eq!(world.ended(&job).await.status.attempts_made, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_that_is_deleted_meanwhile_fails_its_job_for_good() {
    let world = prepared(false).await;
    let workers = world.start();
    world.close(HOLIDAYS).await;
    let job = world.add("inn", SEATTLE, None).await;
    world.says(&job, "looking up the holidays").await;
    let gone: Result<bool, StoreError> = world
        .store
        .write(async |tx| world.store.entities().delete(tx, &common::ada().into(), "inn").await)
        .await;
    assert!(gone.unwrap());
    world.open(HOLIDAYS).await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("was deleted while it was enriched"), "{reason}");
    is_untouched(&world, &job).await;
    workers.shutdown().await;
}
