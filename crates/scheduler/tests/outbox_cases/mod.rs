//! Jobs that were written down beside their data come to the engine, once each, whoever dies on the way.

#![allow(unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulrush::Client;
use bulrush::model::{JobState, PageRequest, QueueConfig, QueueName};
use bulrush::port::AdminCommand;
use bulrush_catalog::{Catalog, OutboxJob};
use bulrush_scheduler::{Dependencies, Pace, Scheduler, start};
use bulrush_store::{Store, StoreError, now_ms};
use serde_json::{Map, Value, json};

const DEADLINE: Duration = Duration::from_mins(1);

/// Polls until `probe` gives a value; fails with the last state seen.
async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => panic!("{what} did not happen; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A store, an engine and what a scheduler of a test is made of.
pub struct World {
    store: Store,
    client: Client,
    catalog: Arc<Catalog>,
}

impl World {
    pub async fn on(url: &str) -> Self {
        let store = Store::open(url).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, client: Client::connect("memory:").await.unwrap(), catalog: Arc::default() }
    }

    fn deps(&self) -> Dependencies {
        let pace =
            Pace { outbox: Duration::from_millis(5), trouble: Duration::from_millis(20), ..Pace::default() };
        Dependencies::new(self.client.backend().clone(), self.store.clone(), self.catalog.clone())
            .with_pace(pace)
    }

    fn start(&self) -> Scheduler {
        start(&self.deps())
    }

    /// Writes jobs down; returns the rows' identifiers.
    async fn write(&self, queue: &str, jobs: &[Value]) -> Vec<String> {
        let written: Result<Vec<String>, StoreError> = self
            .store
            .write(async |tx| {
                let mut rows = Vec::new();
                for job in jobs {
                    rows.push(self.store.outbox().put(tx, queue, job).await?);
                }
                Ok(rows)
            })
            .await;
        written.unwrap()
    }

    async fn unsent(&self) -> u64 {
        self.store.outbox().lag().await.unwrap().unsent
    }

    async fn all_are_sent(&self) {
        eventually("all rows are sent", async || match self.unsent().await {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        })
        .await;
    }

    /// The ids of a queue's jobs, in any state, sorted.
    async fn jobs(&self, queue: &str) -> Vec<String> {
        let queue = QueueName::new(queue).unwrap();
        let request = PageRequest { limit: 1_000, ..PageRequest::default() };
        let page = self.client.backend().page(&queue, request).await.unwrap();
        let mut ids: Vec<String> = page.jobs.iter().map(|job| job.id().to_string()).collect();
        ids.sort_unstable();
        ids
    }

    /// The ids of the jobs that come of rows, sorted.
    fn ids(&self, queue: &str, rows: &[String]) -> Vec<String> {
        let queue = self.catalog.find(queue).unwrap();
        let mut ids: Vec<String> = rows.iter().map(|row| OutboxJob::id(queue, row).to_string()).collect();
        ids.sort_unstable();
        ids
    }
}

fn job(n: u64) -> Value {
    let data: Map<String, Value> = [("n".to_owned(), json!(n))].into_iter().collect();
    let (name, tenant, user) = ("sync-account".to_owned(), "acme".to_owned(), "ada".to_owned());
    serde_json::to_value(OutboxJob { name, data, tenant, user, traceparent: None }).unwrap()
}

pub async fn each_row_becomes_one_job_of_its_owner_with_any_number_of_relays(world: World) {
    let relays = [world.start(), world.start(), world.start()];
    let mut rows = Vec::new();
    for batch in 0..5 {
        let jobs: Vec<Value> = (0..60).map(|n| job(batch * 60 + n)).collect();
        rows.extend(world.write("sync", &jobs).await);
    }
    world.all_are_sent().await;
    assert_eq!(world.jobs("sync").await, world.ids("sync", &rows));
    let queue = world.catalog.find("sync").unwrap();
    let queue = world.client.queue_with(queue.name().clone(), queue.options());
    let one =
        queue.get(&OutboxJob::id(world.catalog.find("sync").unwrap(), &rows[0])).await.unwrap().unwrap();
    assert_eq!((one.state(), &*one.spec.name), (JobState::Waiting, "sync-account"));
    let owner = one.spec.owner.as_ref().unwrap();
    assert_eq!((&*owner.tenant, &*owner.user, one.spec.attempts), ("acme", "ada", 3));
    for relay in relays {
        relay.shutdown().await;
    }
}

pub async fn a_relay_that_is_killed_after_it_added_leaves_no_second_job(world: World) {
    let rows = world.write("sync", &[job(1), job(2)]).await;
    // Whoever was before has added the first one's job, which has ended and is forgotten, and could not mark the row any more.
    let entry = world.catalog.find("sync").unwrap();
    let queue = world.client.queue_with(entry.name().clone(), entry.options());
    let written: OutboxJob = serde_json::from_value(job(1)).unwrap();
    let added = queue.add(written.into_job(entry, &rows[0])).await.unwrap();
    queue.cancel(&added.id).await.unwrap();
    queue.admin(AdminCommand::Remove(vec![added.id])).await.unwrap();
    assert_eq!(world.jobs("sync").await, [""; 0]);
    // And this one dies in the middle of it.
    for _ in 0..3 {
        drop(world.start());
    }
    let relay = world.start();
    world.all_are_sent().await;
    relay.shutdown().await;
    assert_eq!(world.jobs("sync").await, world.ids("sync", &rows[1..]), "the first ran already");
}

pub async fn what_can_never_be_a_job_is_kept_with_the_reason_and_holds_up_no_other(world: World) {
    let odd = world.write("no-such-queue", &[job(1)]).await;
    let unreadable = world.write("sync", &[json!({"name": "sync-account"}), json!([1])]).await;
    let mut named = job(2);
    named["name"] = json!("a name");
    let named = world.write("sync", &[named]).await;
    let mut long = job(3);
    long["data"] = json!({"text": "x".repeat(3 << 20)});
    let long = world.write("sync", &[long]).await;
    let good = world.write("sync", &[job(4), job(5)]).await;
    let deps = world.deps();
    let relay = start(&deps);
    world.all_are_sent().await;
    assert_eq!(world.jobs("sync").await, world.ids("sync", &good));
    let refused = world.store.outbox().refused(100).await.unwrap();
    let reason = |row: &String| &refused.iter().find(|kept| kept.id == *row).expect(row).reason;
    assert!(reason(&odd[0]).contains("there is no queue \"no-such-queue\""), "{}", reason(&odd[0]));
    assert!(reason(&unreadable[0]).contains("missing field `data`"), "{}", reason(&unreadable[0]));
    assert!(reason(&unreadable[1]).contains("cannot be read"), "{}", reason(&unreadable[1]));
    assert!(reason(&named[0]).contains("its name must have"), "{}", reason(&named[0]));
    assert!(reason(&long[0]).contains("bytes"), "{}", reason(&long[0]));
    assert_eq!(refused.len(), 5);
    eventually("the numbers are told", async || {
        let seen = (deps.outbox.added(), deps.outbox.refused());
        if seen == (2, 5) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    relay.shutdown().await;
}

pub async fn a_full_queue_keeps_its_own_rows_waiting_and_no_others(world: World) {
    // The scheduler sets queues as the catalogue has them.
    let depth = [("BULRUSH_QUEUE_SYNC_DEPTH_MAX".to_owned(), "1".to_owned())];
    let world = World { catalog: Arc::new(Catalog::with_settings(depth).unwrap()), ..world };
    bulrush_service::configure_queues(&**world.client.backend(), &world.catalog).await.unwrap();
    let waiting = world.write("sync", &[job(1), job(2), job(3)]).await;
    let mut other = job(4);
    other["name"] = json!("calculate");
    let other = world.write("metrics", &[other]).await;
    let relay = world.start();
    eventually("the other queue has its job, and the full one as many as it takes", async || {
        let seen = (world.jobs("metrics").await, world.jobs("sync").await.len(), world.unsent().await);
        if seen == (world.ids("metrics", &other), 1, 2) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    let sync = QueueName::new("sync").unwrap();
    world.client.backend().configure(&sync, QueueConfig::default()).await.unwrap();
    world.all_are_sent().await;
    assert_eq!(world.jobs("sync").await, world.ids("sync", &waiting));
    relay.shutdown().await;
}

pub async fn what_is_done_is_forgotten_in_time(world: World) {
    let day_ms = 24 * 3_600 * 1_000;
    let rows = world.write("sync", &[job(1), job(2), job(3), job(4)]).await;
    let outbox = world.store.outbox();
    let mark = async |row: &String, days: i64| {
        let ids = [row.clone()];
        let at = now_ms() - days * day_ms;
        let marked: Result<u64, StoreError> =
            world.store.write(async |tx| outbox.mark(tx, &ids, at).await).await;
        assert_eq!(marked.unwrap(), 1);
    };
    mark(&rows[0], 8).await;
    mark(&rows[1], 6).await;
    assert!(outbox.refuse(&rows[2], "old", now_ms() - 31 * day_ms).await.unwrap());
    assert!(outbox.refuse(&rows[3], "new", now_ms() - 29 * day_ms).await.unwrap());
    let relay = world.start();
    eventually("old rows are forgotten", async || {
        let left: Vec<String> = outbox.refused(10).await.unwrap().into_iter().map(|row| row.reason).collect();
        if left == ["new"] { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    relay.shutdown().await;
    assert_eq!(outbox.forget(i64::MAX, 10).await.unwrap(), 1, "the one of six days ago");
}

/// Gives each case to `$each`, which makes a test of it.
macro_rules! cases {
    ($each:ident) => {
        $each!(
            each_row_becomes_one_job_of_its_owner_with_any_number_of_relays,
            a_relay_that_is_killed_after_it_added_leaves_no_second_job,
            what_can_never_be_a_job_is_kept_with_the_reason_and_holds_up_no_other,
            a_full_queue_keeps_its_own_rows_waiting_and_no_others,
            what_is_done_is_forgotten_in_time,
        );
    };
}
pub(crate) use cases;
