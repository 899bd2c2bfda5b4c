//! Sums of a publisher's observations: what they are, that twice is once, and what is left when they fail, are cancelled or meet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../worker-enrichment/tests/common/mute.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is shared with others, which use all of it")]
mod mute;

use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::ManualClock;
use bulrush::model::{Backoff, JobId, JobState, JobView, QueueConfig};
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{Aggregate, AggregateResult, Granularity};
use bulrush_service::{WorkerSettings, Workers};
use bulrush_store::{
    EntityKind, NewEntity, Objects, Observation, Owner, Rollup, RollupsWanted, Saved, Scope, Store,
    StoreError,
};
use bulrush_worker_analytics::{Dependencies, start};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_mins(1);
/// Noon of 2026-03-20, UTC.
const NOW_MS: u64 = 1_774_008_000_000;

struct World {
    store: Store,
    client: Client,
    catalog: Catalog,
    deps: Dependencies,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite:{}", folder.path().join("store.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let objects = Objects::open(folder.path().join("files")).await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        let deps = Dependencies::new(store.clone(), objects).with_clock(Arc::new(ManualClock::at(NOW_MS)));
        let unlimited = [("BULRUSH_QUEUE_AGGREGATION_RATE_MAX".to_owned(), "off".to_owned())];
        let catalog = Catalog::with_settings(unlimited).unwrap();
        let world = Self { store, client, catalog, deps, _folder: folder };
        world.queue().configure(QueueConfig { lease_ms: 400, ..QueueConfig::default() }).await.unwrap();
        world.publisher("pub", &ada(), Some("Europe/Berlin")).await;
        world
    }

    fn start(&self) -> Workers {
        self.start_on(&self.client, "test")
    }

    fn start_on(&self, client: &Client, name: &str) -> Workers {
        let settings = WorkerSettings { catalog: self.catalog.clone(), ..WorkerSettings::named(name) };
        start(client, &self.deps, &settings)
    }

    fn queue(&self) -> Queue {
        let queue = self.catalog.find("aggregation").unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    async fn publisher(&self, id: &str, owner: &Owner, zone: Option<&str>) {
        let entity = NewEntity {
            id: id.into(),
            owner: owner.clone(),
            kind: EntityKind::Publisher,
            name: id.into(),
            location: None,
            country: None,
            time_zone: zone.map(Into::into),
            attributes: serde_json::Map::new(),
        };
        let saved: Result<Saved, StoreError> =
            self.store.write(async |tx| self.store.entities().save(tx, &entity).await).await;
        assert_eq!(saved.unwrap(), Saved::Yes);
    }

    async fn observe(&self, metric: &str, values: &[(&str, f64)]) {
        let rows: Vec<Observation> = values
            .iter()
            .map(|(at, value)| Observation { metric: metric.into(), ts_ms: ms(at), value: *value })
            .collect();
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.observations().upsert(tx, "pub", &rows).await).await;
        kept.unwrap();
    }

    async fn forget(&self) {
        // Observations have no removal of their own: the publisher goes with them, and its sums.
        let gone: Result<bool, StoreError> =
            self.store.write(async |tx| self.store.entities().delete(tx, &Scope::All, "pub").await).await;
        assert!(gone.unwrap());
    }

    async fn add(&self, payload: &Aggregate) -> JobId {
        let job = self.queue().typed(payload).unwrap();
        self.queue().add(job.owner("acme", "ada").backoff(Backoff::fixed(1))).await.unwrap().id
    }

    async fn ended(&self, job: &JobId) -> JobView {
        let view = self.queue().wait_finished(job, DEADLINE).await.unwrap().unwrap();
        assert!(view.state().is_terminal(), "{job} did not end: {view:?}");
        view
    }

    async fn aggregated(&self, payload: &Aggregate) -> AggregateResult {
        let job = self.add(payload).await;
        let view = self.ended(&job).await;
        assert_eq!(view.state(), JobState::Completed, "{:?}", view.failed_reason());
        let result: AggregateResult = view.output().unwrap().unwrap();
        let document = self.store.results().get(&ada().into(), job.as_str()).await.unwrap().unwrap();
        assert_eq!(document.document, serde_json::to_value(&result).unwrap());
        assert_eq!(document.kind, "aggregation/aggregate");
        result
    }

    async fn rollups(&self, granularity: Granularity) -> Vec<Rollup> {
        let wanted = RollupsWanted {
            granularity: granularity.as_str(),
            starts_ms: (i64::MIN, i64::MAX),
            metric: None,
        };
        self.store.rollups().list(&ada().into(), "pub", &wanted, None, 10_000).await.unwrap()
    }

    /// Metric, start, end and sum of each.
    async fn shown(&self, granularity: Granularity) -> Vec<(String, String, String, f64)> {
        let shown = |ms| Timestamp::from_millisecond(ms).unwrap().to_string();
        let rows = self.rollups(granularity).await;
        rows.iter()
            .map(|row| (row.metric.to_string(), shown(row.start_ms), shown(row.end_ms), row.sum))
            .collect()
    }
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn ada() -> Owner {
    Owner::new("acme", "ada")
}

fn asked(granularity: Granularity, first: Date, last: Date) -> Aggregate {
    Aggregate {
        publisher_id: "pub".into(),
        start_date: Some(first),
        end_date: Some(last),
        granularity,
        user_id: "ada".into(),
    }
}

fn row(metric: &str, start: &str, end: &str, sum: f64) -> (String, String, String, f64) {
    (metric.into(), start.into(), end.into(), sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_summed_on_the_publisher_s_clock_with_what_its_metrics_make_of_each_other() {
    let world = World::new().await;
    let workers = world.start();
    // The 31st of March 2024 has 23 hours in Berlin: from 23:00 to 22:00 UTC.
    world
        .observe(
            "impressions",
            &[
                ("2024-03-30T22:59:59Z", 1_000.0),
                ("2024-03-30T23:00:00Z", 100.0),
                ("2024-03-31T12:00:00Z", 300.0),
                ("2024-03-31T21:59:59.999Z", 600.0),
                ("2024-03-31T22:00:00Z", 5_000.0),
            ],
        )
        .await;
    world.observe("clicks", &[("2024-03-31T12:00:00Z", 10.0), ("2024-03-31T22:00:00Z", 1.0)]).await;
    world.observe("revenue", &[("2024-03-31T12:00:00Z", 2.5)]).await;
    world.observe("requests", &[("2024-03-31T12:00:00Z", 2_000.0)]).await;
    world.observe("viewability", &[("2024-03-31T12:00:00Z", 0.7)]).await;
    let day = date(2024, 3, 31);
    let result = world.aggregated(&asked(Granularity::Day, day, day)).await;
    assert_eq!((result.observations, result.buckets, result.rows), (7, 1, 5));
    assert_eq!(result.metrics, ["clicks", "impressions", "requests", "revenue", "viewability"]);
    assert_eq!((result.start_date, result.end_date, result.time_zone.as_str()), (day, day, "Europe/Berlin"));
    assert_eq!(result.notes, [""; 0]);
    let rows = world.rollups(Granularity::Day).await;
    assert_eq!((rows[0].start_ms, rows[0].end_ms), (ms("2024-03-30T23:00Z"), ms("2024-03-31T22:00Z")));
    let figures = &rows[1];
    assert_eq!(
        (figures.count, figures.sum, figures.min, figures.max, figures.p50),
        (3, 1_000.0, 100.0, 600.0, 300.0)
    );
    assert!((figures.p90 - 540.0).abs() < 1e-9, "{figures:?}");
    let derived: Vec<String> = rows.iter().map(|row| format!("{:?}", row.derived)).collect();
    assert_eq!(derived, [r#"{"ctr": 0.01}"#, r#"{"fillRate": 0.5}"#, "{}", r#"{"ecpm": 2.5}"#, "{}"]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hour_that_comes_twice_is_two_rows_and_weeks_and_months_are_summed_whole() {
    let world = World::new().await;
    let workers = world.start();
    let values = [
        ("2024-10-26T23:30:00Z", 1.0),
        ("2024-10-27T00:30:00Z", 2.0),
        ("2024-10-27T01:30:00Z", 4.0),
        ("2024-10-27T02:30:00Z", 8.0),
    ];
    world.observe("clicks", &values).await;
    let day = date(2024, 10, 27);
    world.aggregated(&asked(Granularity::Hour, day, day)).await;
    assert_eq!(
        world.shown(Granularity::Hour).await,
        [
            row("clicks", "2024-10-26T23:00:00Z", "2024-10-27T00:00:00Z", 1.0),
            // 02:00 by summer time, and 02:00 again.
            row("clicks", "2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z", 2.0),
            row("clicks", "2024-10-27T01:00:00Z", "2024-10-27T02:00:00Z", 4.0),
            row("clicks", "2024-10-27T02:00:00Z", "2024-10-27T03:00:00Z", 8.0),
        ]
    );
    let week = world.aggregated(&asked(Granularity::Week, day, day)).await;
    assert_eq!((week.start_date, week.end_date), (date(2024, 10, 21), date(2024, 10, 27)));
    assert!(week.notes[0].contains("whole weeks"), "{:?}", week.notes);
    let month = world.aggregated(&asked(Granularity::Month, day, day)).await;
    assert_eq!((month.start_date, month.end_date), (date(2024, 10, 1), date(2024, 10, 31)));
    assert_eq!(
        world.shown(Granularity::Week).await,
        [row("clicks", "2024-10-20T22:00:00Z", "2024-10-27T23:00:00Z", 15.0)]
    );
    assert_eq!(
        world.shown(Granularity::Month).await,
        [row("clicks", "2024-09-30T22:00:00Z", "2024-10-31T23:00:00Z", 15.0)]
    );
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_replaced_and_never_added_to() {
    let world = World::new().await;
    let workers = world.start();
    let (first, last) = (date(2024, 1, 1), date(2024, 1, 3));
    world.observe("clicks", &[("2024-01-01T12:00Z", 1.0), ("2024-01-02T12:00Z", 2.0)]).await;
    world.aggregated(&asked(Granularity::Day, first, last)).await;
    let before = world.shown(Granularity::Day).await;
    world.aggregated(&asked(Granularity::Day, first, last)).await;
    assert_eq!(world.shown(Granularity::Day).await, before, "twice is once");
    world.observe("clicks", &[("2024-01-02T12:00Z", 5.0), ("2024-01-03T12:00Z", 7.0)]).await;
    world.aggregated(&asked(Granularity::Day, date(2024, 1, 2), last)).await;
    let sums: Vec<f64> = world.rollups(Granularity::Day).await.iter().map(|row| row.sum).collect();
    assert_eq!(sums, [1.0, 5.0, 7.0]);

    // What was observed is gone, and so are the sums of it, in the days that are summed again.
    let kept = world.rollups(Granularity::Day).await;
    world.forget().await;
    world.publisher("pub", &ada(), Some("Europe/Berlin")).await;
    let put = world.store.fenced::<_, bulrush_store::FenceError, _>("by-hand", 1, "n", async |tx| {
        let span_ms = (kept[0].start_ms, kept[2].end_ms);
        Ok(world.store.rollups().replace(tx, ("pub", "day"), span_ms, 0, &kept).await?)
    });
    assert_eq!(put.await.unwrap(), bulrush_store::Replaced::Yes);
    let result = world.aggregated(&asked(Granularity::Day, date(2024, 1, 2), last)).await;
    assert_eq!((result.rows, result.observations), (0, 0));
    assert!(result.notes[0].contains("nothing was observed"), "{:?}", result.notes);
    assert_eq!(world.rollups(Granularity::Day).await, kept[..1]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_days_the_two_days_before_are_summed() {
    let world = World::new().await;
    let workers = world.start();
    world
        .observe(
            "clicks",
            &[("2026-03-18T23:00Z", 1.0), ("2026-03-19T22:59Z", 2.0), ("2026-03-19T23:00Z", 4.0)],
        )
        .await;
    let payload =
        Aggregate { start_date: None, end_date: None, ..asked(Granularity::Day, Date::MIN, Date::MIN) };
    let result = world.aggregated(&payload).await;
    assert_eq!((result.start_date, result.end_date), (date(2026, 3, 18), date(2026, 3, 19)));
    let found = world.shown(Granularity::Day).await;
    assert_eq!(found, [row("clicks", "2026-03-18T23:00:00Z", "2026-03-19T23:00:00Z", 3.0)]);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_summed_fails_at_once_and_says_why() {
    let world = World::new().await;
    let workers = world.start();
    world.publisher("theirs", &Owner::new("globex", "ada"), None).await;
    world.publisher("nowhere", &ada(), Some("Mars/Base")).await;
    world.observe("revenue", &[("2024-01-01T12:00Z", f64::MAX), ("2024-01-01T13:00Z", f64::MAX)]).await;
    let day = date(2024, 1, 1);
    for (id, text) in [
        ("theirs", "no publisher \"theirs\""),
        ("gone", "no publisher \"gone\""),
        ("nowhere", "\"Mars/Base\" is no time zone"),
        ("pub", "the sum of \"revenue\""),
    ] {
        let payload = Aggregate { publisher_id: id.into(), ..asked(Granularity::Day, day, day) };
        let view = world.ended(&world.add(&payload).await).await;
        assert_eq!((view.state(), view.status.attempts_made), (JobState::Failed, 1), "{id}");
        assert!(view.failed_reason().unwrap().contains(text), "{:?}", view.failed_reason());
    }
    assert_eq!(world.rollups(Granularity::Day).await, []);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_values_than_a_page_holds_are_all_summed() {
    let world = World::new().await;
    let workers = world.start();
    let begin = ms("2024-01-01T00:00Z");
    let rows: Vec<Observation> = (0..25_001)
        .map(|n| Observation { metric: "clicks".into(), ts_ms: begin + n * 60_000, value: 1.0 })
        .collect();
    for batch in rows.chunks(10_000) {
        let kept: Result<(), StoreError> =
            world.store.write(async |tx| world.store.observations().upsert(tx, "pub", batch).await).await;
        kept.unwrap();
    }
    let result = world.aggregated(&asked(Granularity::Hour, date(2023, 12, 31), date(2024, 1, 31))).await;
    assert_eq!((result.observations, result.buckets), (25_001, 417));
    workers.shutdown().await;
}

async fn until_active(world: &World, job: &JobId) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let view = world.queue().get(job).await.unwrap().unwrap();
        if view.state() == JobState::Active {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{job} is not taken; last seen: {view:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The store's one writer is the test, so that the job stands before its last write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_leaves_nothing() {
    let world = World::new().await;
    world.observe("clicks", &[("2024-01-01T12:00Z", 1.0)]).await;
    let day = date(2024, 1, 1);
    let job = world.add(&asked(Granularity::Day, day, day)).await;
    let writer = world.store.begin().await.unwrap();
    let workers = world.start();
    until_active(&world, &job).await;
    world.queue().cancel(&job).await.unwrap();
    assert_eq!(world.ended(&job).await.state(), JobState::Cancelled);
    drop(writer);
    workers.shutdown().await;
    assert_eq!(world.rollups(Granularity::Day).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_died_after_its_last_write_has_done_no_harm() {
    let world = World::new().await;
    world.observe("clicks", &[("2024-01-01T12:00Z", 1.0)]).await;
    let day = date(2024, 1, 1);
    let job = world.add(&asked(Granularity::Day, day, day)).await;
    // It wrote the sums and died before it could say so.
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mute = Client::new(mute::Mute::new(world.client.backend().clone()));
    let doomed = {
        let _entered = dying.enter();
        world.start_on(&mute, "doomed")
    };
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while world.rollups(Granularity::Day).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the sums are not made");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    dying.shutdown_background();
    world.observe("clicks", &[("2024-01-01T13:00Z", 2.0)]).await;
    let workers = world.start();
    let view = world.ended(&job).await;
    assert_eq!((view.state(), view.status.stalls), (JobState::Completed, 1), "{view:?}");
    let rows = world.rollups(Granularity::Day).await;
    assert_eq!((rows.len(), rows[0].sum, rows[0].count), (1, 3.0, 2), "the second run's sums");
    workers.shutdown().await;
    drop(doomed);
}

/// While the job waits for its turn to write, somebody observes more, sums it, and is done before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_jobs_at_once_the_one_that_writes_last_has_read_last() {
    let world = World::new().await;
    world.observe("clicks", &[("2024-01-01T12:00Z", 1.0)]).await;
    let day = date(2024, 1, 1);
    let job = world.add(&asked(Granularity::Day, day, day)).await;
    let mut writer = world.store.begin_fenced("another", 1, "n").await.unwrap();
    let workers = world.start();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let view = world.queue().get(&job).await.unwrap().unwrap();
        let message = view.status.progress.as_ref().and_then(|progress| progress.message.clone());
        if message.is_some_and(|text| text.starts_with("keeping")) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{job} does not come to write; last seen: {view:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = [Observation { metric: "clicks".into(), ts_ms: ms("2024-01-01T13:00Z"), value: 2.0 }];
    world.store.observations().upsert(&mut writer, "pub", &seen).await.unwrap();
    let span_ms = (ms("2023-12-31T23:00Z"), ms("2024-01-01T23:00Z"));
    let done = world.store.rollups().replace(&mut writer, ("pub", "day"), span_ms, 0, &[]).await.unwrap();
    assert_eq!(done, bulrush_store::Replaced::Yes);
    writer.commit().await.unwrap();
    let view = world.ended(&job).await;
    assert_eq!((view.state(), view.status.attempts_made), (JobState::Completed, 1), "{view:?}");
    let sums: Vec<f64> = world.rollups(Granularity::Day).await.iter().map(|row| row.sum).collect();
    assert_eq!(sums, [3.0], "what was observed meanwhile is in it");
    workers.shutdown().await;
}
