//! Sites of competitors, a store, an engine and workers, as a test needs them.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use bulrush::model::{Backoff, JobId, JobState, JobView, NewJob, QueueConfig};
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{CompetitorOutcome, CompetitorStatus, ScrapePrices, ScrapePricesResult};
use bulrush_outbound::OutboundPolicy;
use bulrush_sandbox::{Fault, FaultPlan, Sandbox, SandboxConfig};
use bulrush_service::{WorkerSettings, Workers};
use bulrush_store::{
    CompetitorPrice, Declared, EntityKind, NewCompetitor, NewEntity, Observation, Owner, Saved, Scope, Store,
    StoreError,
};
use bulrush_upstream::fetch::{FetchOptions, Fetcher};
use bulrush_worker_competitor::{Dependencies, Manners, start};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_mins(1);
/// The lease of the tests' workers: short, so that cancels and rescues come soon.
pub const LEASE_MS: u64 = 400;

/// The stay of the tests: three nights.
pub const CHECK_IN: Date = date(2026, 7, 10);
pub const CHECK_OUT: Date = date(2026, 7, 13);

/// Everything but the workers.
pub struct World {
    pub sandbox: Sandbox,
    pub store: Store,
    pub client: Client,
    pub catalog: Catalog,
    pub deps: Dependencies,
    pub folder: TempDir,
}

impl World {
    /// A property of Ada's without competitors, and a site whose robots.txt asks for no pause.
    pub async fn new() -> Self {
        Self::with(manners()).await
    }

    pub async fn with(manners: Manners) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&url(&folder)).await.unwrap();
        store.migrate().await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        let deps = Dependencies::new(store.clone(), fetcher(&sandbox)).with_manners(manners);
        let world = Self { sandbox, store, client, catalog: Catalog::default(), deps, folder };
        let config = QueueConfig { lease_ms: LEASE_MS, ..QueueConfig::default() };
        world.queue().configure(config).await.unwrap();
        world.robots("User-agent: *\nDisallow: /hotels/private/\n");
        world.save(&property("inn", Some("EUR"))).await;
        world
    }

    pub fn start(&self) -> Workers {
        start(&self.client, &self.deps, &self.settings())
    }

    pub fn settings(&self) -> WorkerSettings {
        WorkerSettings { catalog: self.catalog.clone(), ..WorkerSettings::named("test") }
    }

    pub fn queue(&self) -> Queue {
        let queue = self.catalog.find("competitor").unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    /// Lets the next `count` requests to paths that begin so fail.
    pub fn fail(&self, path: &str, count: u32, fault: Fault) {
        self.sandbox.fail(FaultPlan { path: Some(path.to_owned()), count, fault }).unwrap();
    }

    /// The site's robots.txt says so from now on.
    pub fn robots(&self, text: &str) {
        self.fail("/robots.txt", 10_000, Fault::Body { body: text.to_owned() });
    }

    /// How often a page of this hotel was asked for.
    pub fn asked(&self, hotel: &str) -> u64 {
        self.sandbox.requests().of(&format!("/hotels/{hotel}"))
    }

    // ------------------------------------------------------------------ the store

    pub async fn save(&self, entity: &NewEntity) {
        let saved: Result<Saved, StoreError> =
            self.store.write(async |tx| self.store.entities().save(tx, entity).await).await;
        assert_eq!(saved.unwrap(), Saved::Yes);
    }

    /// Declares a competitor of the inn.
    pub async fn declare(&self, hotel: &str, page: Value) {
        self.declare_for("inn", hotel, page).await;
    }

    /// Declares a competitor of another property of Ada's.
    pub async fn declare_for(&self, property: &str, hotel: &str, page: Value) {
        let new = NewCompetitor { id: format!("c-{hotel}"), name: hotel.to_owned(), page };
        let declared = self.store.competitors().declare(&ada(), property, &new, 100).await.unwrap();
        assert!(matches!(declared, Declared::New | Declared::Replaced), "{declared:?}");
    }

    /// Declares a hotel of the sandbox as a competitor of the inn.
    pub async fn compete(&self, hotel: &str, page: Value) {
        self.declare(hotel, self.page(hotel, page)).await;
    }

    /// The same, on a site of its own: the sandbox by another name.
    pub async fn compete_elsewhere(&self, hotel: &str) {
        let mut page = self.page(hotel, json!({}));
        let url = page["url"].as_str().unwrap().replace("127.0.0.1", "localhost");
        page["url"] = url.into();
        self.declare(hotel, page).await;
    }

    /// What is declared of a hotel's page, with its address.
    pub fn page(&self, hotel: &str, mut page: Value) -> Value {
        let base = self.sandbox.base_url();
        page["url"] =
            format!("{base}/hotels/{hotel}?checkin={{checkIn}}&checkout={{checkOut}}&adults={{adults}}")
                .into();
        page
    }

    /// Every hotel that has a price, each declared as its page needs it.
    pub async fn all_compete(&self) {
        for hotel in ["alpenblick", "seeufer", "stadtgarten"] {
            self.compete(hotel, json!({})).await;
        }
        for hotel in ["grand-plaza", "schlosshof", "edelweiss", "lumiere"] {
            self.compete(hotel, selected()).await;
        }
    }

    /// The inn's own price of each night, at noon.
    pub async fn own_price(&self, price: f64) {
        let nights = (10..13).map(|day| date(2026, 7, day).at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap());
        let rows: Vec<Observation> = nights
            .map(|at| Observation {
                metric: "price".into(),
                ts_ms: at.timestamp().as_millisecond(),
                value: price,
            })
            .collect();
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.observations().upsert(tx, "inn", &rows).await).await;
        kept.unwrap();
    }

    pub async fn prices(&self) -> Vec<CompetitorPrice> {
        self.store.competitor_prices().of_property(&ada().into(), "inn", CHECK_IN, 1_000).await.unwrap()
    }

    pub async fn document(&self, job: &JobId) -> Option<bulrush_store::JobResult> {
        self.store.results().get(&Scope::from(ada()), job.as_str()).await.unwrap()
    }

    // ------------------------------------------------------------------ jobs

    pub fn job(&self, payload: &ScrapePrices) -> NewJob {
        let job = self.queue().typed(payload).unwrap();
        job.owner("acme", "ada").backoff(Backoff::fixed(1))
    }

    pub async fn add(&self) -> JobId {
        self.queue().add(self.job(&payload())).await.unwrap().id
    }

    /// The job when it has ended.
    pub async fn ended(&self, job: &JobId) -> JobView {
        let view = self.queue().wait_finished(job, DEADLINE).await.unwrap().unwrap();
        assert!(view.state().is_terminal(), "{job} did not end: {view:?}");
        view
    }

    /// What the job returned; it must have completed.
    pub async fn completed(&self, job: &JobId) -> ScrapePricesResult {
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

    /// Compares the inn and returns what came of it.
    pub async fn compare(&self) -> ScrapePricesResult {
        let job = self.add().await;
        self.completed(&job).await
    }

    pub async fn logs(&self, job: &JobId) -> String {
        let queue = self.queue();
        let lines = queue.backend().logs(queue.name(), job, 0, 1_000).await.unwrap();
        lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n")
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

/// No pauses, and patience for whoever is slow.
pub fn manners() -> Manners {
    Manners { pause: Duration::ZERO, patience: DEADLINE, unread: Duration::ZERO, ..Manners::default() }
}

/// A way to the sandbox and nowhere else within.
pub fn fetcher(sandbox: &Sandbox) -> Fetcher {
    let by_name = format!("localhost:{}", sandbox.address().port());
    let policy = [sandbox.address().to_string(), by_name]
        .iter()
        .fold(OutboundPolicy::default(), |policy, place| policy.with_exception(place.parse().unwrap()));
    let options = FetchOptions {
        connect_timeout: DEADLINE,
        idle_timeout: DEADLINE * 20,
        total_timeout: DEADLINE * 20,
        ..FetchOptions::default()
    };
    Fetcher::new(policy, options).unwrap()
}

pub fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("store.db").display())
}

pub fn ada() -> Owner {
    Owner::new("acme", "ada")
}

pub fn property(id: &str, currency: Option<&str>) -> NewEntity {
    let mut attributes = Map::new();
    if let Some(currency) = currency {
        attributes.insert("currency".to_owned(), currency.into());
    }
    entity(id, EntityKind::Property, "The Inn", attributes)
}

fn entity(id: &str, kind: EntityKind, name: &str, attributes: Map<String, Value>) -> NewEntity {
    NewEntity {
        id: id.into(),
        owner: ada(),
        kind,
        name: name.into(),
        location: None,
        country: None,
        time_zone: None,
        attributes,
    }
}

/// The selectors of hotels that say nothing to machines.
pub fn selected() -> Value {
    json!({"selectors": {"offer": ".room", "price": ".rate .amount", "room": ".room-name", "soldOut": ".sold-out"}})
}

pub fn payload() -> ScrapePrices {
    ScrapePrices {
        property_id: "inn".into(),
        user_id: "ada".into(),
        location: "Innsbruck".into(),
        check_in: CHECK_IN,
        check_out: CHECK_OUT,
        adults: 2,
    }
}

/// What is said of a competitor.
pub fn of<'a>(result: &'a ScrapePricesResult, hotel: &str) -> &'a CompetitorOutcome {
    result.competitors.iter().find(|one| one.name == hotel).unwrap_or_else(|| panic!("{hotel}: {result:?}"))
}

pub fn status(result: &ScrapePricesResult, hotel: &str) -> (CompetitorStatus, String) {
    let outcome = of(result, hotel);
    (outcome.status, outcome.reason.clone().unwrap_or_default())
}
