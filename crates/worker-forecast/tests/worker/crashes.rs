//! Workers that die, jobs that are cancelled, runs that were overtaken: what is computed is there once and whole, or not at all.

use bulrush::Client;
use bulrush::model::{JobId, JobState};
use bulrush_catalog::jobs::{OptimizeResult, RunForecastResult};
use bulrush_service::Workers;
use bulrush_store::{EntityKind, FenceError, Scope, Store, StoreError};
use bulrush_worker_forecast::start;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::forecasts::forecast_of;
use crate::mute::Mute;
use crate::optimizations::stock_of;
use crate::world::{DEADLINE, World, YESTERDAY, ada, url, weekly};

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
        let deps = World::dependencies(Store::open(&url(&world.folder)).await.unwrap());
        let workers = {
            let _entered = runtime.enter();
            start(client, &deps, &World::settings())
        };
        Self { runtime, _workers: workers }
    }

    /// Every task ends where it stands, and nobody is told.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

async fn is_untouched(world: &World, job: &JobId) {
    assert_eq!(world.store.forecasts().latest(&Scope::All, "tea", None, 10).await.unwrap(), []);
    assert!(world.document(job).await.is_none(), "no result of a job that did not get to its end");
}

/// Another worker takes over, and there is one forecast: the same as of a job that ran undisturbed.
async fn is_done_by_the_next(world: &World, job: &JobId) {
    let workers = world.start();
    let result: RunForecastResult = world.completed("forecast", job).await;
    let stored = world.store.forecasts().latest(&Scope::All, "tea", None, 10).await.unwrap();
    assert_eq!(stored.len(), 1, "one forecast, however many runs there were");
    assert!(stored[0].run >= 2 && stored[0].id == result.forecast_id, "{stored:?}");
    let document = world.document(job).await.unwrap();
    assert_eq!((document.document, document.run), (serde_json::to_value(&result).unwrap(), stored[0].run));
    let left = world.store.forecasts().points(&stored[0]).await.unwrap();
    let undisturbed = world.add("forecast", &forecast_of("tea", 14)).await;
    let result: RunForecastResult = world.completed("forecast", &undisturbed).await;
    let again = world.store.forecasts().get(&Scope::All, &result.forecast_id).await.unwrap().unwrap();
    assert_eq!(world.store.forecasts().points(&again).await.unwrap(), left);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_before_its_write_leaves_nothing() {
    for percent in [30, 90] {
        let world = World::new().await;
        world.product("tea", 120).await;
        let doomed = Doomed::start(&world, &world.client).await;
        // There is one writer at a time, and it is the test: the worker comes no further than to its write.
        let writer = world.store.begin().await.unwrap();
        let job = world.add("forecast", &forecast_of("tea", 14)).await;
        world.comes_to("forecast", &job, percent).await;
        doomed.kill();
        drop(writer);
        is_untouched(&world, &job).await;
        is_done_by_the_next(&world, &job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_its_write_and_its_word_to_the_engine_is_repeated_without_a_trace() {
    let world = World::new().await;
    world.product("tea", 120).await;
    let mute = Mute::new(world.client.backend().clone());
    let doomed = Doomed::start(&world, &Client::new(mute.clone())).await;
    let job = world.add("forecast", &forecast_of("tea", 14)).await;
    let unheard = async {
        while mute.swallowed() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, unheard).await.expect("the job ends unheard");
    doomed.kill();
    let first = world.store.forecasts().latest(&Scope::All, "tea", None, 10).await.unwrap();
    assert_eq!((first.len(), first[0].run), (1, 1));
    is_done_by_the_next(&world, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_overtaken_is_refused() {
    let world = World::new().await;
    world.product("tea", 120).await;
    // Somebody has written as a much later run of the job when the job's own run arrives.
    let queue = world.queue("forecast");
    let id = queue.new_id();
    let later: Result<(), FenceError> =
        world.store.fenced(id.as_str(), 99, "the later run", async |_| Ok(())).await;
    later.unwrap();
    let mut new = queue.typed(&forecast_of("tea", 14)).unwrap().owner("acme", "ada").attempts(1);
    new.spec.id = id.clone();
    queue.add(new).await.unwrap();
    let workers = world.start();
    let reason = world.refused("forecast", &id).await;
    assert!(reason.contains("another run of this job has written"), "{reason}");
    is_untouched(&world, &id).await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_stops_wherever_it_is_and_leaves_nothing() {
    for percent in [30, 90] {
        let world = World::new().await;
        world.product("tea", 1_095).await;
        let writer = world.store.begin().await.unwrap();
        let workers = world.start();
        let job = world.add("forecast", &forecast_of("tea", 30)).await;
        world.comes_to("forecast", &job, percent).await;
        world.queue("forecast").cancel(&job).await.unwrap();
        assert_eq!(world.ended("forecast", &job).await.state(), JobState::Cancelled);
        drop(writer);
        // A write of the test's own has its turn after whatever was still in line.
        world.store.begin().await.unwrap().commit().await.unwrap();
        is_untouched(&world, &job).await;
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_that_is_deleted_meanwhile_fails_its_job_for_good() {
    let world = World::new().await;
    world.product("tea", 120).await;
    let mut writer = world.store.begin().await.unwrap();
    let workers = world.start();
    let job = world.add("forecast", &forecast_of("tea", 14)).await;
    world.comes_to("forecast", &job, 90).await;
    assert!(world.store.entities().delete(&mut writer, &Scope::All, "tea").await.unwrap());
    writer.commit().await.unwrap();
    let reason = world.refused("forecast", &job).await;
    assert!(reason.contains("\"tea\" was deleted while the job ran"), "{reason}");
    assert!(world.document(&job).await.is_none());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_is_optimized_once_by_the_next_worker_when_one_dies() {
    let world = World::new().await;
    world.thing("tea", &ada(), EntityKind::Product, json!({"unitCost": 12, "leadTimeDays": 7})).await;
    world.observe("tea", "demand", YESTERDAY, &weekly(200)).await;
    let doomed = Doomed::start(&world, &world.client).await;
    let writer = world.store.begin().await.unwrap();
    let job = world.add("optimization", &stock_of("tea")).await;
    world.comes_to("optimization", &job, 90).await;
    doomed.kill();
    drop(writer);
    assert!(world.document(&job).await.is_none(), "no result of a job that did not get to its end");
    let workers = world.start();
    let result: OptimizeResult = world.completed("optimization", &job).await;
    let document = world.document(&job).await.unwrap();
    assert!(document.run >= 2, "{document:?}");
    assert_eq!(document.document["eoq"], json!(result.eoq));
    // A job that waits to write and is cancelled leaves nothing.
    let writer = world.store.begin().await.unwrap();
    let other = world.add("optimization", &stock_of("tea")).await;
    world.comes_to("optimization", &other, 90).await;
    world.queue("optimization").cancel(&other).await.unwrap();
    assert_eq!(world.ended("optimization", &other).await.state(), JobState::Cancelled);
    drop(writer);
    let turn: Result<(), StoreError> = world.store.write(async |_| Ok(())).await;
    turn.unwrap();
    assert!(world.document(&other).await.is_none());
    workers.shutdown().await;
}
