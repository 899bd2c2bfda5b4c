//! What a job makes of an outside world that fails, and of properties that cannot be enriched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bulrush::model::ErrorKind;
use bulrush_sandbox::Fault;
use bulrush_store::{EntityKind, Owner};
use common::{MUNICH, SEATTLE, World, payload, property, seen};
use jiff::civil::date;
use serde_json::json;

async fn with_prices() -> (World, bulrush_service::Workers) {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-31").await;
    (world, workers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_down_is_obeyed_costs_no_attempt_and_the_job_completes_later() {
    let (world, workers) = with_prices().await;
    let limited = || Fault::RateLimited { retry_after: Some("1".to_owned()) };
    world.fail("/v1/archive", 1, limited());
    world.fail("/api/v3", 1, limited());
    let job = world.add("inn", SEATTLE, None).await;
    assert_eq!(world.completed(&job).await.days_enriched, 31);
    let view = world.ended(&job).await;
    assert_eq!((view.status.attempts_made, view.status.run), (1, 3));
    let log = world.logs(&job).await.join("\n");
    assert!(log.contains("Open-Meteo asks to slow down; try again in 1 s"), "{log}");
    assert!(log.contains("Nager.Date asks to slow down"), "{log}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_errors_and_broken_connections_are_tried_again() {
    for (path, fault, count) in [
        // The client asks three times before it tells the job.
        ("/v1/archive", Fault::ServerError { status: 500 }, 3),
        ("/SchoolHolidays", Fault::ServerError { status: 503 }, 3),
        ("/v1/archive", Fault::Truncated, 1),
        ("/api/v3", Fault::Truncated, 1),
    ] {
        let (world, workers) = with_prices().await;
        world.fail(path, count, fault.clone());
        let job = world.add("inn", SEATTLE, None).await;
        assert_eq!(world.completed(&job).await.days_enriched, 31);
        let status = world.ended(&job).await.status;
        assert_eq!(status.attempts_made, 2, "{fault:?}");
        assert_eq!(status.errors[0].error.kind, ErrorKind::Retryable);
        workers.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outside_world_that_stays_away_fails_the_job_after_its_last_attempt() {
    let (world, workers) = with_prices().await;
    world.fail("/v1/archive", 100, Fault::ServerError { status: 502 });
    let job = world.add("inn", SEATTLE, None).await;
    let reason = world.failed(&job, 5).await;
    assert!(reason.contains("Open-Meteo failed with status 502"), "{reason}");
    assert_eq!(world.features("inn").await, []);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_cannot_be_used_fail_the_job_at_once_and_nothing_is_taken_from_them() {
    let (world, workers) = with_prices().await;
    let day = "2015-01-01";
    let wrong_year = json!([{"date": "2019-07-04", "name": "Old", "countryCode": "US", "types": ["Public"]}]);
    let script =
        json!([{"date": day, "name": "<script>alert(1)</script>", "countryCode": "US", "types": []}]);
    for (path, fault, words) in [
        ("/v1/archive", Fault::Html, "HTML"),
        ("/v1/archive", Fault::Malformed, "not the JSON"),
        ("/v1/archive", Fault::Body { body: r#"{"daily": NaN}"#.to_owned() }, "not the JSON"),
        ("/v1/archive", Fault::Huge { bytes: 1 << 30 }, "longer than the limit"),
        ("/v1/archive", Fault::Refused { status: 400 }, "refused the request with status 400"),
        ("/api/v3", Fault::Html, "HTML"),
        ("/api/v3", Fault::Body { body: wrong_year.to_string() }, "not in 2014"),
        ("/api/v3", Fault::Body { body: script.to_string() }, "Nager.Date sent data that cannot be used"),
        ("/SchoolHolidays", Fault::Malformed, "not the JSON"),
    ] {
        world.sandbox.reset();
        world.fail(path, 1, fault.clone());
        let job = world.add("inn", SEATTLE, None).await;
        let reason = world.failed(&job, 1).await;
        assert!(reason.contains(words), "{fault:?}: {reason}");
        assert_eq!(world.ended(&job).await.status.errors[0].error.kind, ErrorKind::Unrecoverable);
        assert_eq!(world.features("inn").await, [], "{fault:?}");
        assert!(world.document(&job).await.is_none());
    }
    // What was good of the failed tries is in the cache, and what was not is not.
    assert_eq!(world.enrich("inn", SEATTLE, None).await.days_with_weather, 31);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_of_somebody_else_is_as_unknown_as_one_that_is_not_there() {
    let (world, workers) = World::running().await;
    let mut foreign = property("foreign", SEATTLE, Some("US"));
    foreign.owner = Owner::new("acme", "eve");
    let mut product = property("product", SEATTLE, Some("US"));
    product.kind = EntityKind::Product;
    for entity in [foreign, product] {
        world.save(&entity).await;
        world.price(&entity.id, "2015-01-01", "2015-01-02").await;
    }
    let mut reasons = Vec::new();
    for id in ["foreign", "product", "absent"] {
        let job = world.add(id, SEATTLE, None).await;
        reasons.push(world.failed(&job, 1).await.replace(id, "ID"));
        assert_eq!(world.features(id).await, []);
    }
    assert!(reasons[0].contains("no property \"ID\""), "{reasons:?}");
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
    assert_eq!(world.sandbox.requests().total, 0, "nothing is fetched for what cannot be enriched");

    let mut nobodys = world.job(&payload("foreign", SEATTLE, None));
    nobodys.spec.owner = None;
    let job = world.queue().add(nobodys).await.unwrap().id;
    assert!(world.failed(&job, 1).await.contains("no owner"));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_without_prices_fails_and_says_what_to_do() {
    let (world, workers) = World::running().await;
    world.save(&property("inn", SEATTLE, Some("US"))).await;
    let job = world.add("inn", SEATTLE, None).await;
    let reason = world.failed(&job, 1).await;
    assert!(
        reason.contains("no pricing data") && reason.contains("upload a price history first"),
        "{reason}"
    );
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_that_slipped_past_the_api_fail_at_once_with_the_reason() {
    let (world, workers) = with_prices().await;
    let data = |location: serde_json::Value, country: &str| json!({"propertyId": "inn", "userId": "ada", "location": location, "countryCode": country});
    let seattle = json!({"latitude": 47.45, "longitude": -122.31});
    for (payload, words) in [
        (data(json!({"latitude": 91, "longitude": 0}), "US"), "latitude 91 is not between"),
        (data(json!({"latitude": 0, "longitude": -180.5}), "US"), "longitude -180.5"),
        (data(json!({"latitude": "0x5A", "longitude": 0}), "US"), "does not fit enrich-property"),
        (data(seattle.clone(), "USA"), "\"USA\" is no country"),
        (data(seattle.clone(), "'; DROP"), "is no country"),
        (json!({"propertyId": "inn"}), "does not fit enrich-property"),
        (json!([]), "does not fit enrich-property"),
    ] {
        let job = world.add_raw(&payload).await;
        let reason = world.failed(&job, 1).await;
        assert!(reason.contains(words), "{payload}: {reason}");
    }
    let mut odd = property("odd", SEATTLE, Some("US"));
    odd.time_zone = Some("Mars/Olympus".into());
    world.save(&odd).await;
    let job = world.add("odd", SEATTLE, None).await;
    assert!(world.failed(&job, 1).await.contains("\"Mars/Olympus\" is no time zone"));
    assert_eq!(world.sandbox.requests().total, 0);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_over_ages_is_a_mistake_in_its_dates() {
    let (world, workers) = World::running().await;
    world.save(&property("inn", MUNICH, Some("DE"))).await;
    let rows = [seen(date(215, 1, 1).at(0, 0, 0, 0)), seen(date(2015, 1, 1).at(0, 0, 0, 0))];
    world.observe("inn", &rows).await;
    let job = world.add("inn", MUNICH, None).await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("0215-01-01 to 2015-01-01") && reason.contains("correct the dates"), "{reason}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_far_in_the_future_has_neither_weather_nor_holidays_and_is_no_failure() {
    let (world, workers) = World::running().await;
    world.property("inn", MUNICH, Some("DE"), "2300-01-01", "2300-01-03").await;
    let result = world.enrich("inn", MUNICH, None).await;
    assert_eq!((result.days_enriched, result.days_with_weather, result.public_holidays), (3, 0, 0));
    assert_eq!(result.notes.len(), 2, "{result:?}");
    workers.shutdown().await;
}
