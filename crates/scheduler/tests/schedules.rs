//! Schedules in a running scheduler: fired, there from the first start, and about each of many things.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bulrush::model::{JobFilter, JobState, JobView, PageRequest, ScheduleId, ScheduleSpec};
use bulrush::port::{AdminCommand, PutOutcome};
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{Aggregate, FanOutPrices, FanOutResult, Granularity, ScrapePrices};
use bulrush_scheduler::{Dependencies, start};
use bulrush_service::configure_queues;
use bulrush_store::{Declared, EntityKind, NewCompetitor, NewEntity, Owner, Saved, Store};
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::json;

const DEADLINE: Duration = Duration::from_mins(1);

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not happen");
}

async fn parts() -> (Client, Store, Dependencies) {
    let client = Client::connect("memory:").await.unwrap();
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    let deps = Dependencies::new(client.backend().clone(), store.clone(), Arc::new(Catalog::default()));
    (client, store, deps)
}

fn queue(client: &Client, deps: &Dependencies, name: &str) -> Queue {
    let queue = deps.catalog.find(name).unwrap();
    client.queue_with(queue.name().clone(), queue.options())
}

#[tokio::test]
async fn schedules_of_any_queue_fire_and_are_counted() {
    let (client, store, deps) = parts().await;
    let deps = deps.with_defaults(Vec::new());
    let scheduler = start(&deps);
    let registry = Registry::new();
    registry.register(Box::new(scheduler.schedule_metrics())).unwrap();
    let forecast = queue(&client, &deps, "forecast");
    let job = forecast.job("run-forecast", "{}");
    let spec = ScheduleSpec::every(ScheduleId::new("often").unwrap(), 1_000, &job).unwrap().limit(1);
    assert_eq!(forecast.schedules().put(spec).await.unwrap().outcome, PutOutcome::New);
    eventually("a job of the schedule", async || forecast.info().await.unwrap().counts.waiting == 1).await;
    let scrape = || {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    eventually("the count", async || scrape().contains("bulrush_schedule_fired_total{queue=\"forecast\"} 1"))
        .await;
    let text = scrape();
    for line in [
        "# TYPE bulrush_schedule_fired_total counter",
        "# TYPE bulrush_schedule_lateness_seconds histogram",
        "bulrush_schedule_lateness_seconds_count{queue=\"forecast\"} 1",
        "bulrush_schedule_fired_total{queue=\"export\"} 0",
        "bulrush_schedule_missed_total{queue=\"forecast\"} 0",
        "bulrush_schedule_unable{queue=\"forecast\"} 0",
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} is missing in\n{text}");
    }
    let even = text
        .lines()
        .find_map(|line| line.strip_prefix("bulrush_schedule_even_timestamp_seconds{queue=\"forecast\"} "));
    assert!(even.unwrap().parse::<f64>().unwrap() > 1.6e9, "it was even after the slot");
    scheduler.shutdown().await;
    assert!(
        scrape().contains("bulrush_schedule_fired_total{queue=\"forecast\"} 1"),
        "what it did is still told"
    );
    store.close().await;
}

#[tokio::test]
async fn a_default_that_was_edited_or_removed_stays_so_over_restarts_and_deployments() {
    let (client, store, deps) = parts().await;
    let fan_out = queue(&client, &deps, "fan-out").schedules();
    let ids: BTreeSet<String> = deps.defaults.iter().map(|default| default.spec.id.to_string()).collect();
    assert!(ids.contains("competitor-prices"));
    let run = async |deps: &Dependencies| {
        let scheduler = start(deps);
        // Put after all others, it tells that they were.
        eventually("the last default", async || {
            let last = deps.defaults.last().unwrap();
            let queue = queue(&client, deps, last.queue);
            queue.schedules().put_once(last.spec.clone()).await.unwrap().outcome == PutOutcome::Known
        })
        .await;
        scheduler.shutdown().await;
    };
    run(&deps).await;
    let first = fan_out.get("competitor-prices").await.unwrap().unwrap();
    assert!(first.spec.enabled && first.spec.owner.is_none());

    let edited = ScheduleSpec { enabled: false, ..(*first.spec).clone() }.zone("Europe/Berlin");
    fan_out.put(edited.clone()).await.unwrap();
    run(&deps).await;
    // A later version has another idea of it.
    let mut later = deps.defaults.to_vec();
    for default in &mut later {
        default.spec = default.spec.clone().jitter_ms(1_000);
    }
    let later = deps.clone().with_defaults(later);
    run(&later).await;
    assert_eq!(*fan_out.get("competitor-prices").await.unwrap().unwrap().spec, edited, "an edit stays");

    assert!(fan_out.remove("competitor-prices").await.unwrap());
    run(&deps).await;
    run(&later).await;
    assert!(fan_out.get("competitor-prices").await.unwrap().is_none(), "a removal stays");
    store.close().await;
}

fn entity(id: String, user: &str, kind: EntityKind, attributes: &serde_json::Value) -> NewEntity {
    NewEntity {
        name: format!("name of {id}"),
        id,
        owner: Owner::new(format!("tenant of {user}"), user),
        kind,
        location: None,
        country: None,
        time_zone: None,
        attributes: attributes.as_object().unwrap().clone(),
    }
}

async fn save(store: &Store, entities: Vec<NewEntity>) {
    store
        .write::<_, bulrush_store::StoreError, _>(async |tx| {
            for entity in &entities {
                assert_eq!(store.entities().save(tx, entity).await?, Saved::Yes);
            }
            Ok(())
        })
        .await
        .unwrap();
}

async fn competes(store: &Store, competitor: &str, user: &str, with: &str) {
    let owner = Owner::new(format!("tenant of {user}"), user);
    let new = NewCompetitor { id: competitor.into(), name: competitor.into(), page: json!({}) };
    let declared = store.competitors().declare(&owner, with, &new, 50).await.unwrap();
    assert_eq!(declared, Declared::New);
}

/// All jobs of a queue.
async fn jobs(queue: &Queue) -> Vec<JobView> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let request =
            PageRequest { cursor, limit: 500, filter: JobFilter::default(), ..PageRequest::default() };
        let page = queue.backend().page(queue.name(), request).await.unwrap();
        all.extend(page.jobs);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn a_fan_out_adds_one_job_for_each_property_in_its_owner_s_name() {
    let (client, store, deps) = parts().await;
    let property =
        |id: &str, user| entity(id.into(), user, EntityKind::Property, &json!({"city": "Innsbruck"}));
    save(
        &store,
        vec![property("p1", "ada"), property("p2", "ada"), property("p3", "bob"), property("alone", "bob")],
    )
    .await;
    for (competitor, user, with) in
        [("c1", "ada", "p1"), ("c1", "ada", "p2"), ("c2", "ada", "p1"), ("c3", "bob", "p3")]
    {
        competes(&store, competitor, user, with).await;
    }
    let scheduler = start(&deps);
    let fan_out = queue(&client, &deps, "fan-out");
    eventually("the default", async || fan_out.schedules().get("competitor-prices").await.unwrap().is_some())
        .await;
    let asked = fan_out.schedules().run_now("competitor-prices").await.unwrap().unwrap();
    let ended = fan_out.wait_finished(&asked.id, DEADLINE).await.unwrap().unwrap();
    assert_eq!(ended.state(), JobState::Completed, "{:?}", ended.status.errors);
    let result: FanOutResult = ended.output().unwrap().unwrap();
    assert_eq!(result, FanOutResult { jobs: 3, looked_at: 3, absent: 0 });
    let competitor = queue(&client, &deps, "competitor");
    let found: BTreeMap<String, (String, String)> = jobs(&competitor)
        .await
        .into_iter()
        .map(|job| {
            let payload: ScrapePrices = serde_json::from_slice(&job.spec.data).unwrap();
            assert_eq!((payload.location.as_str(), payload.adults, job.spec.priority), ("Innsbruck", 2, 10));
            let owner = job.spec.owner.as_deref().unwrap();
            assert_eq!(owner.user, payload.user_id);
            (payload.property_id, (owner.tenant.clone(), owner.user.clone()))
        })
        .collect();
    let of = |user: &str| (format!("tenant of {user}"), user.to_owned());
    let expected = [("p1", "ada"), ("p2", "ada"), ("p3", "bob")];
    assert_eq!(found, expected.into_iter().map(|(id, user)| (id.to_owned(), of(user))).collect());
    scheduler.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn the_day_before_is_summed_for_each_publisher_in_its_owner_s_name() {
    let (client, store, deps) = parts().await;
    let publisher = |id: &str, user| entity(id.into(), user, EntityKind::Publisher, &json!({}));
    save(
        &store,
        vec![
            publisher("pub-1", "ada"),
            publisher("pub-2", "bob"),
            entity("inn".into(), "ada", EntityKind::Property, &json!({})),
        ],
    )
    .await;
    let scheduler = start(&deps);
    let fan_out = queue(&client, &deps, "fan-out");
    eventually("the default", async || fan_out.schedules().get("daily-aggregation").await.unwrap().is_some())
        .await;
    let asked = fan_out.schedules().run_now("daily-aggregation").await.unwrap().unwrap();
    let ended = fan_out.wait_finished(&asked.id, DEADLINE).await.unwrap().unwrap();
    assert_eq!(ended.state(), JobState::Completed, "{:?}", ended.status.errors);
    let result: FanOutResult = ended.output().unwrap().unwrap();
    assert_eq!(result, FanOutResult { jobs: 2, looked_at: 2, absent: 0 });
    let mut found = Vec::new();
    for job in jobs(&queue(&client, &deps, "aggregation")).await {
        let payload: Aggregate = serde_json::from_slice(&job.spec.data).unwrap();
        let owner = job.spec.owner.as_deref().unwrap();
        assert_eq!((&owner.user, payload.granularity), (&payload.user_id, Granularity::Day));
        assert_eq!(payload.start_date.map(|day| day.tomorrow().unwrap()), payload.end_date);
        found.push((payload.publisher_id, owner.tenant.clone()));
    }
    found.sort();
    let of = |id: &str, user: &str| (id.to_owned(), format!("tenant of {user}"));
    assert_eq!(found, [of("pub-1", "ada"), of("pub-2", "bob")]);
    scheduler.shutdown().await;
    store.close().await;
}

#[tokio::test]
async fn a_fan_out_that_stopped_in_the_middle_goes_on_there_and_adds_nothing_twice() {
    const MANY: usize = 450;
    let (client, store, deps) = parts().await;
    let deps = deps.with_defaults(Vec::new());
    let mut all = Vec::new();
    for n in 0..MANY {
        all.push(entity(format!("p{n:04}"), "ada", EntityKind::Property, &json!({})));
    }
    save(&store, all).await;
    for n in 0..MANY {
        competes(&store, "c", "ada", &format!("p{n:04}")).await;
    }
    let competitor = queue(&client, &deps, "competitor");
    // The second page does not fit.
    let small = [("BULRUSH_QUEUE_COMPETITOR_DEPTH_MAX".to_owned(), "250".to_owned())];
    let tight = Dependencies { catalog: Arc::new(Catalog::with_settings(small).unwrap()), ..deps.clone() };
    configure_queues(&*deps.backend, &tight.catalog).await.unwrap();
    let fan_out = queue(&client, &deps, "fan-out");
    let asked = FanOutPrices { days_ahead: 7, nights: 1, adults: 2, come_to: None };
    let id = fan_out.push(&asked).await.unwrap().id;
    let scheduler = start(&tight);
    eventually("a full queue", async || {
        let is_back = fan_out.get(&id).await.unwrap().unwrap().state() == JobState::Delayed;
        is_back && competitor.info().await.unwrap().counts.waiting == 250
    })
    .await;
    scheduler.shutdown().await;
    let there = fan_out.get(&id).await.unwrap().unwrap();
    assert_eq!(there.status.attempts_made, 0, "a full queue is no failure");
    let come: FanOutPrices = serde_json::from_slice(&there.spec.data).unwrap();
    assert_eq!(come.come_to.unwrap().after, "p0199");

    // What was added is done and forgotten meanwhile, and still not added again.
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut note = async || {
        for job in jobs(&competitor).await {
            let payload: ScrapePrices = serde_json::from_slice(&job.spec.data).unwrap();
            *seen.entry(payload.property_id).or_default() += 1;
        }
    };
    note().await;
    competitor.admin(AdminCommand::Drain { delayed: true, limit: 1_000 }).await.unwrap();
    configure_queues(&*deps.backend, &deps.catalog).await.unwrap();
    fan_out.admin(AdminCommand::Promote(vec![id.clone()])).await.unwrap();
    let scheduler = start(&deps);
    let ended = fan_out.wait_finished(&id, DEADLINE).await.unwrap().unwrap();
    assert_eq!(ended.state(), JobState::Completed, "{:?}", ended.status.errors);
    let result: FanOutResult = ended.output().unwrap().unwrap();
    assert_eq!(result, FanOutResult { jobs: MANY as u64, looked_at: MANY as u64, absent: 0 });
    note().await;
    assert_eq!(seen.len(), MANY);
    assert!(seen.values().all(|times| *times == 1), "a property has two jobs");
    scheduler.shutdown().await;
    store.close().await;
}
