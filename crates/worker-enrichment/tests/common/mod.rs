//! The outside world, a store, an engine and workers, as a test needs them.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulrush::clock::ManualClock;
use bulrush::model::{Backoff, JobId, JobState, JobView, NewJob, PageRequest, QueueConfig};
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{EnrichProperty, EnrichPropertyResult, GeoPoint};
use bulrush_sandbox::{Fault, FaultPlan, Sandbox, SandboxConfig};
use bulrush_service::{WorkerSettings, Workers};
use bulrush_store::{
    DayFeatures, DayRange, EntityKind, Location, NewEntity, Observation, Owner, Saved, Scope, Store,
    StoreError,
};
use bulrush_upstream::{HttpOptions, RetryPolicy, UpstreamConfig, Upstreams};
use bulrush_worker_enrichment::{Dependencies, start};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tempfile::TempDir;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// The lease of the tests' workers: short, so that cancels and rescues come soon.
pub const LEASE_MS: u64 = 400;
/// What the workers take for now: noon of 2026-03-20, UTC.
pub const NOW_MS: u64 = 1_774_008_000_000;

pub const SEATTLE: GeoPoint = GeoPoint { latitude: 47.45, longitude: -122.31 };
pub const MUNICH: GeoPoint = GeoPoint { latitude: 48.14, longitude: 11.58 };
pub const SYDNEY: GeoPoint = GeoPoint { latitude: -33.87, longitude: 151.21 };

/// Everything but the workers.
pub struct World {
    pub sandbox: Sandbox,
    pub store: Store,
    pub client: Client,
    pub clock: ManualClock,
    pub catalog: Catalog,
    pub deps: Dependencies,
    pub folder: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder);
        Self::on(&url, folder).await
    }

    /// On a database of the test's own.
    pub async fn on(url: &str, folder: TempDir) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
        let store = Store::open(url).await.unwrap();
        store.migrate().await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        // The first pause is short, and what is declared follows, whoever runs it.
        let settings =
            [("BULRUSH_QUEUE_ENRICHMENT_BACKOFF", "1"), ("BULRUSH_QUEUE_ENRICHMENT_FOLLOW_UPS", "on")];
        let catalog =
            Catalog::with_settings(settings.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let clock = ManualClock::at(NOW_MS);
        let deps = Dependencies::new(store.clone(), upstreams(&sandbox)).with_clock(Arc::new(clock.clone()));
        let world = Self { sandbox, store, client, clock, catalog, deps, folder };
        let config = QueueConfig { lease_ms: LEASE_MS, ..QueueConfig::default() };
        world.queue().configure(config).await.unwrap();
        world
    }

    /// With workers that run.
    pub async fn running() -> (Self, Workers) {
        let world = Self::new().await;
        let workers = world.start();
        (world, workers)
    }

    pub fn start(&self) -> Workers {
        start(&self.client, &self.deps, &self.settings())
    }

    pub fn settings(&self) -> WorkerSettings {
        WorkerSettings { catalog: self.catalog.clone(), ..WorkerSettings::named("test") }
    }

    pub fn queue(&self) -> Queue {
        let queue = self.catalog.find("enrichment").unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    /// Lets the next `count` requests to paths that begin so fail.
    pub fn fail(&self, path: &str, count: u32, fault: Fault) {
        self.sandbox.fail(FaultPlan { path: Some(path.to_owned()), count, fault }).unwrap();
    }

    // ------------------------------------------------------------------ the store

    pub async fn save(&self, entity: &NewEntity) {
        let saved: Result<Saved, StoreError> =
            self.store.write(async |tx| self.store.entities().save(tx, entity).await).await;
        assert_eq!(saved.unwrap(), Saved::Yes);
    }

    /// Prices at noon (UTC) of each day.
    pub async fn price(&self, id: &str, first: &str, last: &str) {
        let range = days(first, last);
        let rows: Vec<Observation> = range.days().map(|day| seen(day.at(12, 0, 0, 0))).collect();
        self.observe(id, &rows).await;
    }

    pub async fn observe(&self, id: &str, rows: &[Observation]) {
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.observations().upsert(tx, id, rows).await).await;
        kept.unwrap();
    }

    /// A property of Ada's with prices.
    pub async fn property(&self, id: &str, place: GeoPoint, country: Option<&str>, first: &str, last: &str) {
        self.save(&property(id, place, country)).await;
        self.price(id, first, last).await;
    }

    pub async fn features(&self, id: &str) -> Vec<DayFeatures> {
        let always = DayRange::new(Date::constant(1, 1, 1), Date::constant(9999, 12, 31));
        self.store.features().range(&Scope::All, id, always).await.unwrap()
    }

    /// The features of one day.
    pub async fn day(&self, id: &str, day: &str) -> DayFeatures {
        let range = days(day, day);
        let mut found = self.store.features().range(&Scope::All, id, range).await.unwrap();
        assert_eq!(found.len(), 1, "{id} has features on {day}");
        found.remove(0)
    }

    pub async fn document(&self, job: &JobId) -> Option<bulrush_store::JobResult> {
        self.store.results().get(&ada().into(), job.as_str()).await.unwrap()
    }

    /// The claim of `subject`, in somebody else's hands until [`World::open`].
    pub async fn close(&self, subject: &str) {
        let forever = i64::MAX;
        assert!(
            self.store.claims().take(subject, "the test", 0, forever).await.unwrap(),
            "{subject} is free"
        );
    }

    pub async fn open(&self, subject: &str) {
        self.store.claims().release(subject, "the test").await.unwrap();
    }

    // ------------------------------------------------------------------ jobs

    pub fn job(&self, payload: &EnrichProperty) -> NewJob {
        let job = self.queue().typed(payload).unwrap();
        job.owner("acme", "ada").backoff(Backoff::fixed(1))
    }

    pub async fn add(&self, id: &str, place: GeoPoint, country: Option<&str>) -> JobId {
        let job = self.job(&payload(id, place, country));
        self.queue().add(job).await.unwrap().id
    }

    pub async fn add_raw(&self, data: &Value) -> JobId {
        let job = self.queue().job("enrich-property", data.to_string()).owner("acme", "ada");
        self.queue().add(job).await.unwrap().id
    }

    /// The job when it has ended.
    pub async fn ended(&self, job: &JobId) -> JobView {
        let view = self.queue().wait_finished(job, DEADLINE).await.unwrap().unwrap();
        assert!(view.state().is_terminal(), "{job} did not end: {view:?}");
        view
    }

    /// What the job returned; it must have completed.
    pub async fn completed(&self, job: &JobId) -> EnrichPropertyResult {
        let view = self.ended(job).await;
        assert_eq!(view.state(), JobState::Completed, "{:?}", view.failed_reason());
        view.output().unwrap().unwrap()
    }

    /// Why the job failed; it must have failed, at this attempt.
    pub async fn failed(&self, job: &JobId, attempt: u32) -> String {
        let view = self.ended(job).await;
        assert_eq!(view.state(), JobState::Failed, "{view:?}");
        assert_eq!(view.status.attempts_made, attempt, "{:?}", view.failed_reason());
        view.failed_reason().unwrap().to_owned()
    }

    /// Enriches a property of Ada's and returns what came of it.
    pub async fn enrich(&self, id: &str, place: GeoPoint, country: Option<&str>) -> EnrichPropertyResult {
        let job = self.add(id, place, country).await;
        self.completed(&job).await
    }

    pub async fn logs(&self, job: &JobId) -> Vec<String> {
        let queue = self.queue();
        let lines = queue.backend().logs(queue.name(), job, 0, 1_000).await.unwrap();
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// Waits until the job's progress says so.
    pub async fn says(&self, job: &JobId, words: &str) {
        eventually(&format!("{job} says {words:?}"), async || {
            let view = self.queue().get(job).await.unwrap().unwrap();
            let message = view.status.progress.as_ref().and_then(|progress| progress.message.clone());
            match message {
                Some(message) if message.contains(words) => Ok(()),
                other => Err(format!("{:?} {other:?}", view.state())),
            }
        })
        .await;
    }

    /// The summaries of a property that wait in the queue of heavy analytics, when there are any.
    pub async fn summaries(&self, property: &str) -> Vec<JobView> {
        let queue = self.catalog.find("analytics-heavy").unwrap();
        let queue = self.client.queue_with(queue.name().clone(), queue.options());
        eventually("a summary waits", async || {
            let request =
                PageRequest { state: Some(JobState::Waiting), limit: 100, ..PageRequest::default() };
            let mut jobs = queue.backend().page(queue.name(), request).await.unwrap().jobs;
            jobs.retain(|job| {
                let data: Value = serde_json::from_slice(&job.spec.data).unwrap();
                data["propertyId"] == property
            });
            if jobs.is_empty() { Err("none".to_owned()) } else { Ok(jobs) }
        })
        .await
    }
}

/// Polls until `probe` gives a value; fails with the last state seen.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => panic!("{what} did not happen; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

pub fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("store.db").display())
}

pub fn upstreams(sandbox: &Sandbox) -> Upstreams {
    let base = sandbox.base_url().parse().unwrap();
    let mut config = UpstreamConfig::all_at(&base);
    config.http = HttpOptions {
        retry: RetryPolicy::without_delay(2),
        total_timeout: DEADLINE,
        // What is asked twice is to be seen at the sandbox as such.
        cache_entries_max: 0,
        ..HttpOptions::default()
    };
    Upstreams::new(config).unwrap()
}

pub fn ada() -> Owner {
    Owner::new("acme", "ada")
}

pub fn property(id: &str, place: GeoPoint, country: Option<&str>) -> NewEntity {
    NewEntity {
        id: id.into(),
        owner: ada(),
        kind: EntityKind::Property,
        name: "The Inn".into(),
        location: Some(Location::new(place.latitude, place.longitude).unwrap()),
        country: country.map(str::to_owned),
        time_zone: None,
        attributes: Map::new(),
    }
}

pub fn payload(id: &str, place: GeoPoint, country: Option<&str>) -> EnrichProperty {
    EnrichProperty {
        property_id: id.into(),
        user_id: "ada".into(),
        location: place,
        country_code: country.map(str::to_owned),
        calendarific_api_key: None,
    }
}

pub fn seen(at: jiff::civil::DateTime) -> Observation {
    let ts_ms = at.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond();
    Observation { metric: "price".into(), ts_ms, value: 100.0 }
}

pub fn days(first: &str, last: &str) -> DayRange {
    DayRange::new(first.parse().unwrap(), last.parse().unwrap())
}
