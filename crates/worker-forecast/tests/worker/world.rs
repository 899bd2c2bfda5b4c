//! A database, an engine and a clock that stands still.

use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::ManualClock;
use bulrush::model::{Backoff, JobId, JobState, JobView, QueueConfig};
use bulrush::{Client, Job, Queue};
use bulrush_catalog::Catalog;
use bulrush_service::{WorkerSettings, Workers};
use bulrush_store::{EntityKind, JobResult, NewEntity, Observation, Owner, Saved, Scope, Store, StoreError};
use bulrush_worker_forecast::{Dependencies, start};
use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const DEADLINE: Duration = Duration::from_mins(1);
/// Noon of 2026-03-20, UTC.
const NOW_MS: u64 = 1_774_008_000_000;
/// The last whole day.
pub const YESTERDAY: Date = date(2026, 3, 19);

pub struct World {
    pub store: Store,
    pub client: Client,
    pub catalog: Catalog,
    pub folder: TempDir,
    pub deps: Dependencies,
}

pub fn ada() -> Owner {
    Owner::new("acme", "ada")
}

pub fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("store.db").display())
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&url(&folder)).await.unwrap();
        store.migrate().await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        let deps = Self::dependencies(store.clone());
        let world = Self { store, client, catalog: Catalog::default(), folder, deps };
        for queue in ["forecast", "optimization"] {
            let config = QueueConfig { lease_ms: 400, ..QueueConfig::default() };
            world.queue(queue).configure(config).await.unwrap();
        }
        world
    }

    pub fn dependencies(store: Store) -> Dependencies {
        Dependencies::new(store).with_clock(Arc::new(ManualClock::at(NOW_MS)))
    }

    pub fn settings() -> WorkerSettings {
        WorkerSettings::named("test")
    }

    pub fn start(&self) -> Workers {
        start(&self.client, &self.deps, &Self::settings())
    }

    pub fn queue(&self, name: &str) -> Queue {
        let queue = self.catalog.find(name).unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    pub async fn thing(&self, id: &str, owner: &Owner, kind: EntityKind, attributes: Value) {
        let Value::Object(attributes) = attributes else { unreachable!("the tests give objects") };
        let entity = NewEntity {
            id: id.into(),
            owner: owner.clone(),
            kind,
            name: id.to_uppercase(),
            location: None,
            country: None,
            time_zone: Some("America/Los_Angeles".into()),
            attributes,
        };
        let saved: Result<Saved, StoreError> =
            self.store.write(async |tx| self.store.entities().save(tx, &entity).await).await;
        assert_eq!(saved.unwrap(), Saved::Yes);
    }

    /// Values of consecutive days that end with `last`, at noon of the place; none is a gap.
    pub async fn observe(&self, id: &str, metric: &str, last: Date, values: &[Option<f64>]) {
        let zone = TimeZone::get("America/Los_Angeles").unwrap();
        let first = last.checked_sub((values.len() as i64 - 1).days()).unwrap();
        let mut rows = Vec::new();
        for (n, value) in values.iter().enumerate() {
            let day = first.checked_add((n as i64).days()).unwrap();
            let ts_ms = day.at(12, 0, 0, 0).to_zoned(zone.clone()).unwrap().timestamp().as_millisecond();
            rows.extend(value.map(|value| Observation { metric: metric.into(), ts_ms, value }));
        }
        self.keep(id, &rows).await;
    }

    pub async fn keep(&self, id: &str, rows: &[Observation]) {
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.observations().upsert(tx, id, rows).await).await;
        kept.unwrap();
    }

    /// A product of Ada's that sells more at the end of the week, with `days` of history.
    pub async fn product(&self, id: &str, days: usize) {
        self.thing(id, &ada(), EntityKind::Product, json!({"unitCost": 12, "leadTimeDays": 7})).await;
        self.observe(id, "demand", YESTERDAY, &weekly(days)).await;
    }

    pub async fn add<J: Job>(&self, queue: &str, payload: &J) -> JobId {
        let queue = self.queue(queue);
        let job = queue.typed(payload).unwrap().owner("acme", "ada").backoff(Backoff::fixed(1));
        queue.add(job).await.unwrap().id
    }

    pub async fn ended(&self, queue: &str, job: &JobId) -> JobView {
        let view = self.queue(queue).wait_finished(job, DEADLINE).await.unwrap().unwrap();
        assert!(view.state().is_terminal(), "{job} did not end: {view:?}");
        view
    }

    /// The result of a job that completed.
    pub async fn completed<T: DeserializeOwned>(&self, queue: &str, job: &JobId) -> T {
        let view = self.ended(queue, job).await;
        assert_eq!(view.state(), JobState::Completed, "{:?}", view.failed_reason());
        view.output().unwrap().unwrap()
    }

    /// Why a job failed for good at its first attempt.
    pub async fn refused(&self, queue: &str, job: &JobId) -> String {
        let view = self.ended(queue, job).await;
        assert_eq!((view.state(), view.status.attempts_made), (JobState::Failed, 1), "{view:?}");
        view.failed_reason().unwrap().to_owned()
    }

    pub async fn document(&self, job: &JobId) -> Option<JobResult> {
        self.store.results().get(&Scope::from(ada()), job.as_str()).await.unwrap()
    }

    /// Waits until the job has come at least so far, percent.
    pub async fn comes_to(&self, queue: &str, job: &JobId, percent: u8) {
        let reached = async {
            loop {
                let view = self.queue(queue).get(job).await.unwrap().unwrap();
                if view.status.progress.as_ref().is_some_and(|progress| progress.percent >= percent) {
                    return;
                }
                assert!(!view.state().is_terminal(), "it ended before: {view:?}");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.expect("the job comes so far");
    }
}

/// Days that sell 20, more towards the end of the week, with a little that cannot be foreseen.
pub fn weekly(days: usize) -> Vec<Option<f64>> {
    let mut noise = 7_u64;
    (0..days)
        .map(|n| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unforeseen = (noise >> 33) as f64 / f64::from(1_u32 << 31) - 0.5;
            Some((20.0 + [0.0, 0.0, 1.0, 2.0, 6.0, 9.0, 4.0][n % 7] + 4.0 * unforeseen).round())
        })
        .collect()
}
