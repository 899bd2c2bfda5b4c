//! Jobs that need the same from outside fetch it once between them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use bulrush_sandbox::Fault;
use bulrush_store::Store;
use bulrush_worker_enrichment::{Dependencies, start};
use common::{SEATTLE, World, upstreams, url};

/// Three properties of one place and range.
async fn neighbours(world: &World) {
    for id in ["a", "b", "c"] {
        world.property(id, SEATTLE, Some("US"), "2015-01-01", "2015-12-31").await;
    }
}

/// Enriches all three at once and checks what was asked outside.
async fn all_at_once(world: &World) {
    let mut jobs = Vec::new();
    for id in ["a", "b", "c"] {
        jobs.push(world.add(id, SEATTLE, None).await);
    }
    for job in &jobs {
        assert_eq!(world.completed(job).await.days_with_weather, 365);
    }
    let requests = world.sandbox.requests();
    assert_eq!(requests.repeated(), Vec::<String>::new());
    // Three years of public holidays (that of the prices and its neighbours), in as many requests; school holidays in one or two.
    assert_eq!((requests.of("/v1/archive"), requests.of("/api/v3")), (1, 3));
    assert!(requests.of("/SchoolHolidays") <= 2, "{requests:?}");
    assert_eq!(world.features("a").await, world.features("b").await);
    assert_eq!(world.features("a").await, world.features("c").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_jobs_of_one_place_fetch_each_range_once() {
    let (world, workers) = World::running().await;
    neighbours(&world).await;
    all_at_once(&world).await;
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_do_workers_of_several_processes() {
    let world = World::new().await;
    neighbours(&world).await;
    let mut settings = world.settings();
    settings.concurrency = Some(1);
    let mut workers = Vec::new();
    for _ in 0..3 {
        // A store and clients of its own, as another process has.
        let store = Store::open(&url(&world.folder)).await.unwrap();
        let deps =
            Dependencies::new(store, upstreams(&world.sandbox)).with_clock(Arc::new(world.clock.clone()));
        workers.push(start(&world.client, &deps, &settings));
    }
    all_at_once(&world).await;
    for workers in workers {
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_one_that_fetches_fails_another_one_does_it() {
    let (world, workers) = World::running().await;
    neighbours(&world).await;
    world.fail("/v1/archive", 1, Fault::Truncated);
    let mut jobs = Vec::new();
    for id in ["a", "b", "c"] {
        jobs.push(world.add(id, SEATTLE, None).await);
    }
    for job in &jobs {
        assert_eq!(world.completed(job).await.days_with_weather, 365);
    }
    assert_eq!(world.sandbox.requests().of("/v1/archive"), 2, "the one that failed and the one that did not");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_days_that_are_not_known_are_fetched() {
    let (world, workers) = World::running().await;
    world.property("spring", SEATTLE, Some("US"), "2015-03-01", "2015-05-31").await;
    world.enrich("spring", SEATTLE, None).await;
    world.property("year", SEATTLE, Some("US"), "2015-01-01", "2015-12-31").await;
    world.enrich("year", SEATTLE, None).await;
    let requests = world.sandbox.requests();
    let archive = requests.paths.iter().find(|path| path.path == "/v1/archive").unwrap();
    let asked = |range: &str| archive.queries.iter().any(|query| query.query.contains(range));
    assert_eq!(archive.count, 3);
    assert!(asked("start_date=2015-01-01&end_date=2015-02-28"), "{archive:?}");
    assert!(asked("start_date=2015-06-01&end_date=2015-12-31"), "{archive:?}");
    assert_eq!(requests.repeated(), Vec::<String>::new());
    workers.shutdown().await;
}
