//! Webhooks from a job's end to a receiver: real HTTP on loopback, the scheduler, and the worker that sends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod receiver;

use std::sync::Arc;
use std::time::Duration;

use bulrush::model::JobId;
use bulrush::{Client, Failure, Handlers, Queue};
use bulrush_catalog::jobs::{DeliverWebhook, deliver_webhook};
use bulrush_catalog::{Catalog, Sealer as _};
use bulrush_outbound::{Exception, OutboundPolicy};
use bulrush_scheduler::{Dependencies, Pace, Scheduler, start};
use bulrush_service::{Sealing, Secret, Served, WorkerSettings, Workers};
use bulrush_store::{
    Delivery, DeliveryStatus, NewDelivery, NewWebhook, Objects, Owner, Scope, Store, StoreError, Webhook,
    WebhookChange, WebhookPosition, now_ms,
};
use bulrush_upstream::fetch::FetchOptions;
use bulrush_upstream::webhook::{WebhookClient, WebhookSecret, verify};
use bulrush_worker_analytics as analytics;
use receiver::{Message, Receiver};
use serde_json::{Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_mins(1);

struct World {
    store: Store,
    client: Client,
    catalog: Arc<Catalog>,
    receiver: Receiver,
    sealing: Arc<Sealing>,
    secret: WebhookSecret,
    deps: Dependencies,
    _folder: TempDir,
    workers: Option<Workers>,
}

/// Waits for what must happen.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: it did not happen");
}

fn ada() -> Owner {
    Owner::new("acme", "ada")
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("store.db").display());
        let store = Store::open(&database).await.unwrap();
        store.migrate().await.unwrap();
        let objects = Objects::open(folder.path().join("files")).await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        let receiver = Receiver::start().await;
        let address = receiver.address();
        let policy =
            OutboundPolicy::default().with_exception(Exception::address(address.ip(), address.port()));
        let sealing = Arc::new(Sealing::new(&Secret::new("k".repeat(32))).unwrap());
        let catalog = Arc::new(Catalog::default());
        let pace = Pace {
            claim: Duration::from_millis(600),
            wait: Duration::from_millis(200),
            tail: Duration::from_millis(50),
            sweep: Duration::from_millis(50),
            overdue: Duration::from_millis(500),
            trouble: Duration::from_millis(500),
            ..Pace::default()
        };
        let deps =
            Dependencies::new(client.backend().clone(), store.clone(), catalog.clone()).with_pace(pace);
        let hooks = WebhookClient::new(policy, FetchOptions::default()).unwrap();
        let sender =
            analytics::Dependencies::new(store.clone(), objects).with_webhooks(hooks, Some(sealing.clone()));
        bulrush_service::configure_queues(&**client.backend(), &catalog).await.unwrap();
        let settings = WorkerSettings::named("test");
        let forecasts = Handlers::new().otherwise_raw(|ctx| async move {
            let asked: Value = ctx.payload()?;
            match asked["fail"].as_str() {
                Some(why) => Err(Failure::unrecoverable(why)),
                None => Ok(Some(asked["result"].to_string().into())),
            }
        });
        let workers = analytics::start(&client, &sender, &settings).and(Workers::start(
            &client,
            vec![Served::by("forecast", forecasts)],
            &settings,
        ));
        let secret = WebhookSecret::generate().unwrap();
        let workers = Some(workers);
        Self { store, client, catalog, receiver, sealing, secret, deps, _folder: folder, workers }
    }

    fn schedule(&self) -> Scheduler {
        start(&self.deps)
    }

    async fn end(mut self, schedulers: Vec<Scheduler>) {
        for scheduler in schedulers {
            scheduler.shutdown().await;
        }
        if let Some(workers) = self.workers.take() {
            workers.shutdown().await;
        }
        self.store.close().await;
    }

    fn queue(&self, name: &str) -> Queue {
        let queue = self.catalog.find(name).unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    async fn webhook(&self, owner: Owner, url: &str, events: &[&str]) -> Webhook {
        let new = NewWebhook {
            owner,
            url: url.to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            secret: self.sealing.seal(self.secret.expose()).unwrap().as_str().to_owned(),
        };
        self.store.webhooks().create(&new, 100).await.unwrap().unwrap()
    }

    /// A webhook of Ada's that is told everything.
    async fn hook(&self) -> Webhook {
        let url = self.receiver.url("/hook");
        self.webhook(ada(), &url, &["job.completed", "job.failed", "job.cancelled"]).await
    }

    /// Adds a job and waits for its end.
    async fn job(&self, owner: &Owner, data: Value) -> JobId {
        let queue = self.queue("forecast");
        let job = queue.job("run-forecast", data.to_string()).owner(&owner.tenant, &owner.user);
        let id = queue.add(job).await.unwrap().id;
        let ended = queue.wait_finished(&id, DEADLINE).await.unwrap().unwrap();
        assert!(ended.state().is_terminal());
        id
    }

    async fn deliveries(&self, webhook: &Webhook) -> Vec<Delivery> {
        self.store.webhook_deliveries().list(&Scope::All, &webhook.id, None, 1_000).await.unwrap()
    }

    async fn received(&self, count: usize) -> Vec<Message> {
        until(&format!("{count} messages are received"), async || self.receiver.seen().len() >= count).await;
        self.receiver.seen()
    }

    /// The one delivery of a webhook, once it stands so.
    async fn settled(&self, webhook: &Webhook, status: DeliveryStatus) -> Delivery {
        until(&format!("a delivery is {}", status.as_str()), async || {
            self.deliveries(webhook).await.iter().any(|row| row.status == status)
        })
        .await;
        let rows = self.deliveries(webhook).await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows[0].clone()
    }

    #[track_caller]
    fn check(&self, message: &Message) -> Value {
        let headers = (
            message.header("webhook-id"),
            message.header("webhook-timestamp"),
            message.header("webhook-signature"),
        );
        let now_s = now_ms() / 1_000;
        verify(std::slice::from_ref(&self.secret), headers, &message.body, now_s).unwrap();
        serde_json::from_slice(&message.body).unwrap()
    }

    /// A delivery that a relay kept and then died over.
    async fn keep(&self, webhook: &Webhook, id: &str) {
        let new = NewDelivery {
            id: id.into(),
            webhook: webhook.id.clone(),
            event: "job.completed".into(),
            job: None,
            payload: json!({"type": "job.completed", "n": 1.0}).to_string(),
            next_at_ms: now_ms(),
        };
        let kept: Result<bool, StoreError> =
            self.store.write(async |tx| self.store.webhook_deliveries().insert(tx, &new).await).await;
        assert!(kept.unwrap());
    }

    /// Adds the job of a delivery, as the API does.
    async fn send(&self, webhook: &Webhook, delivery_id: &str, round: i64) {
        let queue = self.catalog.find(deliver_webhook::QUEUE).unwrap();
        let job = DeliverWebhook { delivery_id: delivery_id.into(), round }.job(queue, &webhook.id);
        self.queue(deliver_webhook::QUEUE).add(job).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_job_is_told_once_signed_to_its_owner_s_webhook_alone() {
    let world = World::new().await;
    let scheduler = world.schedule();
    let hook = world.hook().await;
    let failures = world.webhook(ada(), &world.receiver.url("/failures"), &["job.failed"]).await;
    let bobs =
        world.webhook(Owner::new("acme", "bob"), &world.receiver.url("/bob"), &["job.completed"]).await;
    let others =
        world.webhook(Owner::new("other", "ada"), &world.receiver.url("/other"), &["job.completed"]).await;

    let id = world.job(&ada(), json!({"result": {"n": 1.50, "text": "é"}})).await;
    let told = world.check(&world.received(1).await[0]);
    assert_eq!(told["type"], "job.completed");
    assert_eq!(told["data"]["jobId"], id.as_str());
    assert_eq!(
        (&told["data"]["queue"], &told["data"]["name"], &told["data"]["status"], &told["data"]["attempts"]),
        (&json!("forecast"), &json!("run-forecast"), &json!("completed"), &json!(1))
    );
    assert_eq!(
        (&told["data"]["result"]["n"], &told["timestamp"]),
        (&json!(1.5), &told["data"]["finishedAt"])
    );
    assert_eq!(told["data"].get("failedReason"), None);

    world.job(&ada(), json!({"fail": "no data"})).await;
    world.job(&ada(), json!({"result": "x".repeat(20_000)})).await;
    let messages = world.received(4).await;
    let paths = |path: &str| messages.iter().filter(|message| message.path == path).count();
    assert_eq!((paths("/hook"), paths("/failures")), (3, 1), "{messages:?}");
    let bodies: Vec<Value> = messages.iter().map(|message| world.check(message)).collect();
    assert!(
        bodies.iter().any(|body| body["data"]["failedReason"] == "no data" && body["type"] == "job.failed")
    );
    assert!(
        bodies
            .iter()
            .any(|body| body["data"]["resultOmitted"] == true && body["data"].get("result").is_none())
    );
    let mut ids: Vec<&str> = messages.iter().map(|message| message.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each has an id of its own");
    until("all are noted", async || {
        world.deliveries(&hook).await.iter().all(|row| row.status == DeliveryStatus::Delivered)
    })
    .await;
    assert_eq!((world.deliveries(&hook).await.len(), world.deliveries(&failures).await.len()), (3, 1));
    assert!(world.deliveries(&bobs).await.is_empty() && world.deliveries(&others).await.is_empty());
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_e17_a_receiver_that_fails_gets_the_same_message_again() {
    let world = World::new().await;
    world.receiver.answer("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops");
    let scheduler = world.schedule();
    let hook = world.hook().await;
    world.job(&ada(), json!({"result": 1})).await;
    let messages = world.received(2).await;
    assert_eq!(messages[0].body, messages[1].body);
    assert_eq!(messages[0].header("webhook-id"), messages[1].header("webhook-id"));
    for message in &messages {
        world.check(message);
    }
    let row = world.settled(&hook, DeliveryStatus::Delivered).await;
    assert_eq!((row.attempt, row.response_status, row.error), (2, Some(204), None));
    assert_eq!(row.id, messages[0].header("webhook-id"));
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_a_receiver_that_is_gone_disables_its_webhook() {
    let world = World::new().await;
    world.receiver.answer("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
    let scheduler = world.schedule();
    let hook = world.hook().await;
    world.job(&ada(), json!({"result": 1})).await;
    let row = world.settled(&hook, DeliveryStatus::Failed).await;
    assert_eq!(row.response_status, Some(410));
    let kept = world.store.webhooks().get(&Scope::All, &hook.id).await.unwrap().unwrap();
    assert!(!kept.enabled && kept.disabled_reason.unwrap().contains("410"));
    world.job(&ada(), json!({"result": 2})).await;
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_a_redirect_is_not_followed_and_says_so() {
    let world = World::new().await;
    world
        .receiver
        .answer("HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    let scheduler = world.schedule();
    let hook = world.hook().await;
    world.job(&ada(), json!({"result": 1})).await;
    let row = world.settled(&hook, DeliveryStatus::Failed).await;
    assert!(row.error.as_deref().unwrap().starts_with("redirect: "), "{row:?}");
    assert_eq!((row.attempt, world.receiver.seen().len()), (1, 1));
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e13_an_answer_without_end_is_cut_off_and_its_status_counts() {
    let world = World::new().await;
    world.receiver.answer_without_end();
    let scheduler = world.schedule();
    let hook = world.hook().await;
    world.job(&ada(), json!({"result": 1})).await;
    let row = world.settled(&hook, DeliveryStatus::Delivered).await;
    assert_eq!((row.attempt, row.response_status), (1, Some(200)));
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_rows_an_address_that_may_not_be_called_fails_without_a_call() {
    let world = World::new().await;
    let scheduler = world.schedule();
    // As if the rules had become stricter since it was made.
    let hook = world.webhook(ada(), "http://169.254.169.254/latest/meta-data/", &["job.completed"]).await;
    world.job(&ada(), json!({"result": 1})).await;
    let row = world.settled(&hook, DeliveryStatus::Failed).await;
    assert!(row.error.as_deref().unwrap().starts_with("blocked_address: "), "{row:?}");
    assert_eq!((row.attempt, row.response_status), (1, None));
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_was_left_without_a_job_gets_one() {
    let world = World::new().await;
    let hook = world.hook().await;
    world.keep(&hook, "left-lying").await;
    let scheduler = world.schedule();
    let messages = world.received(1).await;
    assert_eq!(messages[0].header("webhook-id"), "left-lying");
    let row = world.settled(&hook, DeliveryStatus::Delivered).await;
    assert_eq!((row.attempt, world.receiver.seen().len()), (1, 1));
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_make_one_delivery_of_each_end() {
    let world = World::new().await;
    let schedulers = vec![world.schedule(), world.schedule()];
    let hook = world.hook().await;
    for n in 0..30 {
        world.job(&ada(), json!({"result": n})).await;
    }
    let messages = world.received(30).await;
    let mut ids: Vec<&str> = messages.iter().map(|message| message.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((messages.len(), ids.len()), (30, 30));
    until("all are noted", async || {
        world.deliveries(&hook).await.iter().filter(|row| row.status == DeliveryStatus::Delivered).count()
            == 30
    })
    .await;
    assert_eq!(world.deliveries(&hook).await.len(), 30);
    assert_eq!(world.receiver.seen().len(), 30);
    world.end(schedulers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_while_nobody_read_is_told_though_its_events_are_gone() {
    let world = World::new().await;
    let hook = world.hook().await;
    let scheduler = world.schedule();
    world.job(&ada(), json!({"result": 1})).await;
    world.received(1).await;
    scheduler.shutdown().await;
    let before_ms = now_ms();
    world.job(&ada(), json!({"fail": "while nobody looked"})).await;
    world.job(&ada(), json!({"result": 2})).await;
    // A place that has fallen out of the stream, or is of an earlier life of it.
    let positions = world.store.webhook_positions();
    let at = positions.get("forecast").await.unwrap().unwrap();
    let gone = WebhookPosition { position: i64::MAX / 4, at_ms: before_ms };
    let moved: Result<bool, StoreError> =
        world.store.write(async |tx| positions.advance(tx, "forecast", Some(at.position), gone).await).await;
    assert!(moved.unwrap());
    let scheduler = world.schedule();
    let messages = world.received(3).await;
    let kinds: Vec<Value> = messages.iter().map(|message| world.check(message)["type"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "job.failed").count(), 1, "{kinds:?}");
    let last = world.job(&ada(), json!({"result": 3})).await;
    let messages = world.received(4).await;
    assert_eq!(world.check(&messages[3])["data"]["jobId"], last.as_str());
    until("all are noted", async || {
        world.deliveries(&hook).await.iter().filter(|row| row.status == DeliveryStatus::Delivered).count()
            == 4
    })
    .await;
    assert_eq!(world.receiver.seen().len(), 4, "and nothing twice");
    world.end(vec![scheduler]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_anew_has_the_id_it_had_and_older_jobs_of_it_end_quietly() {
    let world = World::new().await;
    let hook = world.hook().await;
    world.keep(&hook, "again").await;
    world.send(&hook, "again", 0).await;
    world.received(1).await;
    world.settled(&hook, DeliveryStatus::Delivered).await;
    let round = world.store.webhook_deliveries().requeue(&Scope::All, "again", now_ms()).await.unwrap();
    assert_eq!(round, Some(1));
    world.send(&hook, "again", 0).await;
    world.send(&hook, "again", 1).await;
    let messages = world.received(2).await;
    assert_eq!(messages[0].header("webhook-id"), messages[1].header("webhook-id"));
    assert_eq!(messages[0].body, messages[1].body);
    let row = world.settled(&hook, DeliveryStatus::Delivered).await;
    assert_eq!((row.round, row.attempt, world.receiver.seen().len()), (1, 1, 2));
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_was_disabled_or_removed_meanwhile_is_sent_nothing() {
    let world = World::new().await;
    let (disabled, removed) = (world.hook().await, world.hook().await);
    world.keep(&disabled, "d").await;
    world.keep(&removed, "r").await;
    let off = WebhookChange { enabled: Some(false), ..WebhookChange::default() };
    world.store.webhooks().update(&Scope::All, &disabled.id, &off).await.unwrap();
    assert!(world.store.webhooks().delete(&Scope::All, &removed.id).await.unwrap());
    let queue = world.queue(deliver_webhook::QUEUE);
    for (hook, id) in [(&disabled, "d"), (&removed, "r"), (&removed, "never-was")] {
        world.send(hook, id, 0).await;
        let catalogued = world.catalog.find(deliver_webhook::QUEUE).unwrap();
        let job = DeliverWebhook { delivery_id: id.into(), round: 0 }.job_id(catalogued);
        let ended = queue.wait_finished(&job, DEADLINE).await.unwrap().unwrap();
        assert_eq!(ended.state(), bulrush::model::JobState::Completed, "{id}: {:?}", ended.failed_reason());
    }
    assert_eq!(world.settled(&disabled, DeliveryStatus::Failed).await.response_status, None);
    assert!(world.receiver.seen().is_empty());
    world.end(Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_secret_is_replaced_both_fit() {
    let world = World::new().await;
    let hook = world.hook().await;
    let new = WebhookSecret::generate().unwrap();
    let sealed = world.sealing.seal(new.expose()).unwrap();
    let webhooks = world.store.webhooks();
    webhooks.rotate(&Scope::All, &hook.id, sealed.as_str(), now_ms() + 60_000).await.unwrap().unwrap();
    world.keep(&hook, "both").await;
    world.send(&hook, "both", 0).await;
    let message = world.received(1).await.remove(0);
    world.check(&message);
    let signature = message.header("webhook-signature").to_owned();
    assert_eq!(signature.split(' ').count(), 2);
    let headers = (message.header("webhook-id"), message.header("webhook-timestamp"), signature.as_str());
    verify(&[new], headers, &message.body, now_ms() / 1_000).unwrap();
    world.end(Vec::new()).await;
}
