//! A real server on loopback, with a memory engine and a database of its own, and what the tests ask it with.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../store/tests/common/postgres.rs"]
pub mod postgres;
pub mod redis;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use bulrush::model::{Finished, JobId, Outcome, QueueName, Taken, WorkerId};
use bulrush::port::{Backend, Resume, Step, WorkerInfo};
use bulrush_api::{ApiConfig, Deps, Server, Shared};
use bulrush_catalog::Catalog;
use bulrush_service::{Claims, Health, Metrics, Role, Sealing, Secret, Shutdown, TokenKeys, TokenOptions};
use bulrush_store::{Objects, Place, Store};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_mins(1);

pub const SECRET: &str = "a-secret-of-the-tests-0123456789-abcdef";

/// A server and everything behind it.
pub struct Fixture {
    pub server: Option<Server>,
    pub base: String,
    pub backend: Arc<dyn Backend>,
    pub store: Store,
    pub objects: Objects,
    pub tokens: TokenKeys,
    pub shutdown: Shutdown,
    pub catalog: Arc<Catalog>,
    pub folder: TempDir,
    pub client: reqwest::Client,
}

/// A server with defaults.
pub async fn start() -> Fixture {
    start_with(ApiConfig::default(), Catalog::default()).await
}

pub async fn start_with(config: ApiConfig, catalog: Catalog) -> Fixture {
    let fixture = bind(config, catalog).await;
    fixture.serve();
    fixture
}

/// A server that listens and is not ready.
pub async fn bind(config: ApiConfig, catalog: Catalog) -> Fixture {
    bind_on(bulrush::backend::connect("memory:").await.unwrap(), config, catalog).await
}

/// A server that takes tokens up to their end and not a moment longer.
pub async fn start_without_leeway(config: ApiConfig) -> Fixture {
    let backend = bulrush::backend::connect("memory:").await.unwrap();
    let options = TokenOptions { leeway_s: Some(0), ..TokenOptions::default() };
    let fixture = bind_with(backend, config, Catalog::default(), options).await;
    fixture.serve();
    fixture
}

/// A server in front of an engine of the test's own.
pub async fn bind_on(backend: Arc<dyn Backend>, config: ApiConfig, catalog: Catalog) -> Fixture {
    bind_with(backend, config, catalog, TokenOptions::default()).await
}

/// A server with defaults that keeps files at `place`.
pub async fn start_at(place: &Place) -> Fixture {
    let backend = bulrush::backend::connect("memory:").await.unwrap();
    let options = TokenOptions::default();
    let where_to = Kept { place: Some(place), database: None };
    let fixture = bind_at(where_to, backend, ApiConfig::default(), Catalog::default(), options).await;
    fixture.serve();
    fixture
}

/// A server with defaults on a database of the test's own.
pub async fn start_on_database(url: &str) -> Fixture {
    let backend = bulrush::backend::connect("memory:").await.unwrap();
    let options = TokenOptions::default();
    let where_to = Kept { place: None, database: Some(url) };
    let fixture = bind_at(where_to, backend, ApiConfig::default(), Catalog::default(), options).await;
    fixture.serve();
    fixture
}

/// Where a server keeps what is not in its own folder.
struct Kept<'a> {
    place: Option<&'a Place>,
    database: Option<&'a str>,
}

async fn bind_with(
    backend: Arc<dyn Backend>,
    config: ApiConfig,
    catalog: Catalog,
    options: TokenOptions,
) -> Fixture {
    bind_at(Kept { place: None, database: None }, backend, config, catalog, options).await
}

async fn bind_at(
    kept: Kept<'_>,
    backend: Arc<dyn Backend>,
    config: ApiConfig,
    catalog: Catalog,
    options: TokenOptions,
) -> Fixture {
    static RING: Once = Once::new();
    RING.call_once(|| {
        // Another test of the process may have been faster with the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let folder = tempfile::tempdir().unwrap();
    bulrush_service::configure_queues(&*backend, &catalog).await.unwrap();
    let own = format!("sqlite:{}", folder.path().join("store.db").display());
    let store = Store::open(kept.database.unwrap_or(&own)).await.unwrap();
    store.migrate().await.unwrap();
    let own = Place::Folder(folder.path().join("files"));
    let objects = Objects::open_at(kept.place.unwrap_or(&own)).await.unwrap();
    let tokens = TokenKeys::new(&Secret::new(SECRET), options).unwrap();
    let shutdown = Shutdown::new();
    let catalog = Arc::new(catalog);
    let shared = Shared {
        catalog: catalog.clone(),
        tokens: Arc::new(tokens.clone()),
        sealing: Some(Arc::new(Sealing::new(&Secret::new("k".repeat(32))).unwrap())),
        metrics: Arc::new(Metrics::new().unwrap()),
        health: Health::new(),
        shutdown: shutdown.clone(),
    };
    let config = ApiConfig { workers: Some(2), ..config };
    let server = Server::bind(config, shared, Vec::new()).unwrap();
    let base = server.base_url();
    let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
    Fixture { server: Some(server), base, backend, store, objects, tokens, shutdown, catalog, folder, client }
}

/// Who asks.
#[derive(Clone, Copy)]
pub enum Who {
    /// A user of tenant `acme`.
    Ada,
    /// Another user of `acme`.
    Bob,
    /// A user of tenant `other`, called as the first one is.
    OtherAda,
    /// Reads all of `acme`.
    Viewer,
    Admin,
}

impl Who {
    pub fn claims(self) -> Claims {
        let (sub, tenant, role) = match self {
            Self::Ada => ("ada", "acme", Role::User),
            Self::Bob => ("bob", "acme", Role::User),
            Self::OtherAda => ("ada", "other", Role::User),
            Self::Viewer => ("vera", "acme", Role::Viewer),
            Self::Admin => ("root", "acme", Role::Admin),
        };
        Claims { sub: sub.into(), tenant: tenant.into(), role, tier: None }
    }
}

/// An answer, read.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The body, of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The code of a problem, which is checked to be one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!((&body["success"], &body["status"]), (&json!(false), &json!(status)));
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("urn:bulrush:problem:{code}"));
        assert!(!self.header("x-request-id").is_empty());
        code
    }

    /// The fields that a problem names.
    #[track_caller]
    pub fn fields(&self) -> Vec<String> {
        let body = self.expect(422);
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {body}"));
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

impl Fixture {
    pub fn serve(&self) {
        let deps = Deps::of(&self.backend, &self.catalog, self.store.clone(), self.objects.clone());
        self.server.as_ref().unwrap().serve(deps);
    }

    pub fn token(&self, who: Who) -> String {
        self.tokens.mint(&who.claims(), Duration::from_hours(1)).unwrap()
    }

    /// A request without a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub fn as_who(&self, who: Who, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(self.token(who))
    }

    pub async fn get(&self, who: Who, path: &str) -> Answer {
        Answer::of(self.as_who(who, Method::GET, path).send().await.unwrap()).await
    }

    pub async fn post(&self, who: Who, path: &str, body: &Value) -> Answer {
        let request = self.as_who(who, Method::POST, path).header("content-type", "application/json");
        Answer::of(request.body(body.to_string()).send().await.unwrap()).await
    }

    /// Adds a job as `who` and returns its id.
    pub async fn add(&self, who: Who, queue: &str, body: &Value) -> String {
        let answer = self.post(who, &format!("/api/v1/queues/{queue}/jobs"), body).await;
        answer.expect(202)["data"]["jobId"].as_str().unwrap().to_owned()
    }

    /// Uploads a file with text fields.
    pub async fn upload(&self, who: Who, fields: &[(&str, &str)], name: &str, content: &[u8]) -> Answer {
        let (content_type, body) = form(fields, name, content);
        let request = self.as_who(who, Method::POST, "/api/v1/files").header("content-type", content_type);
        Answer::of(request.body(body).send().await.unwrap()).await
    }

    /// Takes one job of a queue, as a worker does.
    pub async fn take(&self, queue: &str) -> (WorkerId, Arc<Taken>) {
        let queue = QueueName::new(queue).unwrap();
        let worker = WorkerId(7);
        let info = WorkerInfo { id: worker, name: "test".into(), slots: 1, version: "0".into(), started: 0 };
        let hello = Resume { info, call: next_call(), running: Vec::new() };
        self.backend.resume(&queue, hello).await.unwrap();
        let reply = self.backend.step(&queue, Step::take(worker, next_call(), 1)).await.unwrap();
        (worker, reply.taken.into_iter().next().expect("a job to take"))
    }

    /// Settles a taken job.
    pub async fn settle(&self, queue: &str, worker: WorkerId, job: Arc<Taken>, outcome: Outcome) {
        let step = Step::settle(worker, next_call(), vec![Finished { job, outcome }]);
        let queue = QueueName::new(queue).unwrap();
        let reply = self.backend.step(&queue, step).await.unwrap();
        bulrush::flow::deliver(&*self.backend, &queue, reply.outbox).await.unwrap();
    }

    /// Takes one job of a queue and completes it.
    pub async fn complete(&self, queue: &str, result: &Value) {
        let (worker, job) = self.take(queue).await;
        let outcome = Outcome::Complete { result: Some(result.to_string().into()), follow_ups: Vec::new() };
        self.settle(queue, worker, job, outcome).await;
    }

    /// How many jobs a queue holds.
    pub async fn depth(&self, queue: &str) -> u64 {
        self.backend.info(&QueueName::new(queue).unwrap()).await.unwrap().counts.total()
    }

    /// How many objects are stored.
    pub fn stored_objects(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            std::fs::read_dir(folder)
                .map(|entries| {
                    entries
                        .flatten()
                        .map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 })
                        .sum()
                })
                .unwrap_or_default()
        }
        count(&self.folder.path().join("files"))
    }

    pub fn job_id(id: &str) -> JobId {
        JobId::new(id).unwrap()
    }
}

/// A form with text fields and a file: its content type and body.
pub fn form(fields: &[(&str, &str)], name: &str, content: &[u8]) -> (String, Vec<u8>) {
    let boundary = "bulrush-test-boundary";
    let mut body = Vec::new();
    for (field, text) in fields {
        body.extend(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{text}\r\n")
                .into_bytes(),
        );
    }
    body.extend(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/csv\r\n\r\n"
        )
        .into_bytes(),
    );
    body.extend_from_slice(content);
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

pub fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

/// An enrichment of a property.
pub fn enrichment(property: &str) -> Value {
    json!({"data": {"propertyId": property, "location": {"latitude": 47.6, "longitude": -122.3}}})
}

/// A number for a worker's call, growing.
fn next_call() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    CALLS.fetch_add(1, Ordering::Relaxed)
}
