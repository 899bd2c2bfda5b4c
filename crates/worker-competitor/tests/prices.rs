//! What a job finds on the pages of competitors, and what it makes of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bulrush_catalog::jobs::CompetitorStatus;
use bulrush_store::{Declared, NewCompetitor};
use bulrush_worker_competitor::money::Rates;
use bulrush_worker_competitor::{Competitor, Manners};
use common::{World, ada, manners, of, payload, property, selected, status};
use serde_json::json;

fn unfresh() -> Manners {
    Manners { fresh: Duration::ZERO, ..manners() }
}

/// The amount that an outcome shows, and its currency.
fn shown(outcome: &bulrush_catalog::jobs::CompetitorOutcome) -> (f64, String) {
    let text = outcome.shown.clone().unwrap();
    let (amount, currency) = text.split_once(' ').unwrap();
    (amount.parse().unwrap(), currency.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_are_read_in_every_shape_changed_into_the_property_s_currency_and_compared() {
    let world = World::new().await;
    world.all_compete().await;
    world.compete("full", selected()).await;
    world.own_price(140.0).await;
    let workers = world.start();
    let job = world.add().await;
    let result = world.completed(&job).await;

    let rates = [("EUR", 1.0), ("CHF", 0.9412), ("USD", 1.0389)];
    let mut prices = Vec::new();
    for (hotel, currency, room) in [
        ("alpenblick", "EUR", Some("Double room")),
        ("seeufer", "CHF", Some("Double room")),
        ("stadtgarten", "EUR", Some("Studio")),
        ("grand-plaza", "USD", Some("Double room")),
        ("schlosshof", "EUR", Some("Double room")),
        ("edelweiss", "CHF", Some("Double room")),
        ("lumiere", "EUR", Some("Double room")),
    ] {
        let outcome = of(&result, hotel);
        assert_eq!(outcome.status, CompetitorStatus::Priced, "{outcome:?}");
        assert_eq!(outcome.room.as_deref(), room, "{hotel}");
        let (amount, seen) = shown(outcome);
        assert_eq!(seen, currency, "{hotel}");
        let rate = rates.iter().find(|(code, _)| *code == currency).unwrap().1;
        let price = outcome.price.unwrap();
        assert!((price - amount / rate).abs() < 0.01, "{hotel}: {price} is not {amount} / {rate}");
        assert!((60.0..2_500.0).contains(&price), "{hotel}: {price}");
        prices.push(price);
    }
    assert_eq!(of(&result, "full").status, CompetitorStatus::SoldOut);
    prices.sort_by(f64::total_cmp);
    assert_eq!((result.priced, result.currency.as_str()), (7, "EUR"));
    assert_eq!((result.min, result.median, result.max), (Some(prices[0]), Some(prices[3]), Some(prices[6])));
    let cheaper = prices.iter().filter(|price| **price < 140.0).count() as u64;
    assert_eq!((result.our_price, result.our_rank), (Some(140.0), Some(cheaper + 1)));
    assert_eq!(result.rates_day.unwrap().to_string(), "2024-12-31");
    assert!(result.notes.iter().any(|note| note.contains("rates of 2024-12-31")), "{:?}", result.notes);

    let document = world.document(&job).await.unwrap();
    assert_eq!(document.document, serde_json::to_value(&result).unwrap());
    let kept = world.prices().await;
    assert_eq!(kept.len(), 8);
    let francs = kept.iter().find(|price| price.competitor == "c-edelweiss").unwrap();
    let price = francs.price.as_ref().unwrap();
    assert_eq!((price.currency.as_str(), francs.currency.as_str()), ("CHF", "EUR"));
    assert!((price.rate.unwrap() - 1.0 / 0.9412).abs() < 1e-9);
    assert!(kept.iter().find(|price| price.competitor == "c-full").unwrap().price.is_none());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_twice_leaves_what_running_once_leaves() {
    let world = World::new().await;
    world.all_compete().await;
    let workers = world.start();
    world.compare().await;
    let once = world.prices().await;
    world.compare().await;
    let twice = world.prices().await;
    let without_time = |prices: Vec<bulrush_store::CompetitorPrice>| -> Vec<_> {
        prices.into_iter().map(|price| bulrush_store::CompetitorPrice { seen_at_ms: 0, ..price }).collect()
    };
    // Unless midnight came between: then it is a history of two days.
    if once[0].seen_on == twice[0].seen_on {
        assert_eq!(without_time(twice), without_time(once));
    }
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_read_a_moment_ago_is_not_asked_for_again() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    let workers = world.start();
    let first = world.compare().await;
    let job = world.add().await;
    assert_eq!(world.completed(&job).await, first);
    assert_eq!(world.asked("alpenblick"), 1);
    assert!(world.logs(&job).await.contains("read a moment ago"));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_want_the_same_page_at_once_ask_for_it_once() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    let jobs = [world.add().await, world.add().await];
    let workers = world.start();
    assert_eq!(world.completed(&jobs[0]).await, world.completed(&jobs[1]).await);
    assert_eq!(world.asked("alpenblick"), 1);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_did_not_change_is_not_sent_again() {
    let world = World::with(unfresh()).await;
    world.compete("alpenblick", json!({})).await;
    let workers = world.start();
    let first = world.compare().await;
    let job = world.add().await;
    assert_eq!(world.completed(&job).await, first);
    assert_eq!((world.asked("alpenblick"), world.sandbox.requests().not_modified), (2, 1));
    assert!(world.logs(&job).await.contains("unchanged since it was last read"));
    // Other rules read the page anew: what was read by the old ones says nothing.
    world.compete("alpenblick", json!({"currency": "EUR"})).await;
    world.compare().await;
    assert_eq!((world.asked("alpenblick"), world.sandbox.requests().not_modified), (3, 1));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_where_they_may_be() {
    let world = World::new().await;
    for hotel in ["alpenblick", "moved", "inward"] {
        world.compete(hotel, json!({})).await;
    }
    let workers = world.start();
    let result = world.compare().await;
    assert_eq!(of(&result, "moved").price, of(&result, "alpenblick").price);
    let (inward, reason) = status(&result, "inward");
    assert_eq!(inward, CompetitorStatus::Blocked);
    assert!(reason.contains("a cloud's metadata address"), "{reason}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_of_a_whole_stay_are_parted_by_its_nights() {
    let world = World::new().await;
    world.compete("alpenblick", json!({"priceFor": "stay"})).await;
    let workers = world.start();
    let result = world.compare().await;
    let outcome = of(&result, "alpenblick");
    let (amount, _) = shown(outcome);
    assert!((outcome.price.unwrap() - amount / 3.0).abs() < 0.01, "{outcome:?}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_property_without_currency_price_or_competitors_of_its_own_gets_what_is_configured() {
    let world = World::new().await;
    world.save(&property("inn", None)).await;
    let page = world.page("alpenblick", json!({}));
    let list = json!([{"id": "alpenblick", "name": "alpenblick", "page": page}]).to_string();
    let rates = r#"{"base": "CHF", "date": "2026-07-01", "rates": {"EUR": 2.0}}"#;
    let deps = world
        .deps
        .clone()
        .with_fallback(Competitor::list_from_json(&list).unwrap())
        .with_rates(Rates::from_json(rates).unwrap())
        .with_currency("CHF".parse().unwrap());
    let world = World { deps, ..world };
    let workers = world.start();
    let result = world.compare().await;
    assert_eq!((result.currency.as_str(), result.priced), ("CHF", 1));
    let (amount, _) = shown(of(&result, "alpenblick"));
    assert!((result.min.unwrap() - amount / 2.0).abs() < 0.01);
    assert_eq!((result.our_price, result.our_rank), (None, None));
    let notes = result.notes.join("\n");
    assert!(notes.contains("names no currency") && notes.contains("it has no rank"), "{notes}");
    // What is declared wins.
    world.compete("stadtgarten", json!({})).await;
    let result = world.compare().await;
    assert_eq!(result.competitors.len(), 1);
    assert_eq!(result.competitors[0].name, "stadtgarten");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn competitors_of_others_and_of_other_properties_are_nobody_s_here() {
    let world = World::new().await;
    world.compete("alpenblick", json!({})).await;
    let page = world.page("stadtgarten", json!({}));
    let bob = bulrush_store::Owner::new("acme", "bob");
    let mut inn = property("bobs-inn", Some("EUR"));
    inn.owner = bob.clone();
    world.save(&inn).await;
    let foreign = NewCompetitor { id: "foreign".into(), name: "foreign".into(), page: page.clone() };
    let declare =
        async |property: &str| world.store.competitors().declare(&bob, property, &foreign, 10).await.unwrap();
    assert_eq!((declare("inn").await, declare("bobs-inn").await), (Declared::NotYours, Declared::New));
    world.save(&property("castle", Some("EUR"))).await;
    world.declare_for("castle", "stadtgarten", page).await;
    let workers = world.start();
    let result = world.compare().await;
    assert_eq!(result.competitors.len(), 1);
    assert_eq!(world.asked("stadtgarten"), 0);
    let job = world.queue().typed(&payload()).unwrap().owner("acme", "bob");
    let job = world.queue().add(job).await.unwrap().id;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("there is no property \"inn\""), "{reason}");
    assert_eq!(world.document(&job).await, None, "and {:?} sees nothing of it", ada());
    workers.shutdown().await;
}
