//! What the handlers share.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use actix_web::http::StatusCode;
use bulrush::model::QueueName;
use bulrush::port::{Backend, Inspect, Schedules, WorkerState};
use bulrush::{Producer, Reader};
use bulrush_catalog::{Catalog, Queue, Sealer};
use bulrush_service::{Health, Metrics, QueueSnapshot, Sealing, Shutdown, StorePool, TokenKeys};
use bulrush_store::{Objects, Store};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use crate::config::ApiConfig;
use crate::http::body::BodyMemory;
use crate::http::keys::Keys;
use crate::http::limits::Limits;
use crate::http::problem::Problem;
use crate::http::reads::Reads;
use crate::live::hub::Hub;
use crate::live::sse::Streams;

/// How long counts of queues are good for: `/metrics` is open, and asking must not become a load.
const SNAPSHOT_GOOD_FOR: Duration = Duration::from_millis(500);

/// How long after its first try an add is tried again while its answer gets lost: whoever waits for it over HTTP is told soon.
const ADD_PATIENCE: Duration = Duration::from_secs(2);

/// What the API has from its first moment.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The queues.
    pub catalog: Arc<Catalog>,
    /// Checks bearer tokens.
    pub tokens: Arc<TokenKeys>,
    /// Seals secrets in payloads; without it they are refused.
    pub sealing: Option<Arc<Sealing>>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// What is told of the process. The API adds its own parts and moves its phase.
    pub health: Health,
    /// When requests that wait give up.
    pub shutdown: Shutdown,
}

/// What it needs to be ready.
#[derive(Clone)]
pub struct Deps {
    desks: Arc<HashMap<QueueName, Desk>>,
    pub(crate) inspect: Arc<dyn Inspect>,
    pub(crate) schedules: Arc<dyn Schedules>,
    pub(crate) backend: &'static str,
    pub(crate) store: Store,
    pub(crate) objects: Objects,
}

/// What the API does with a queue: it adds, manages and reads, and cannot take.
#[derive(Clone)]
pub(crate) struct Desk {
    pub producer: Producer,
    pub reader: Reader,
}

impl Deps {
    /// The sides of an engine that the API may use, its kind for reports, and the domain's data. The engine's worker's side is not
    /// kept, so the API cannot take work even by accident.
    pub fn of(backend: &Arc<dyn Backend>, catalog: &Catalog, store: Store, objects: Objects) -> Self {
        let desk = |queue: &Queue| {
            let name = queue.name();
            let producer = Producer::impatient(backend, name.clone(), ADD_PATIENCE);
            (name.clone(), Desk { producer, reader: Reader::new(backend.clone(), name.clone()) })
        };
        let desks = Arc::new(catalog.queues().iter().map(desk).collect());
        let (inspect, schedules) = (backend.clone(), backend.clone());
        Self { desks, inspect, schedules, backend: backend.kind(), store, objects }
    }

    /// The desk of a queue of the catalogue.
    pub(crate) fn desk(&self, queue: &Queue) -> &Desk {
        self.desks.get(queue.name()).unwrap_or_else(|| unreachable!("there is a desk for every queue"))
    }
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// All of it, behind actix's `Data`.
pub(crate) struct State {
    pub config: ApiConfig,
    pub shared: Shared,
    pub cursor_key: ring::hmac::Key,
    pub limits: Limits,
    pub body_memory: BodyMemory,
    pub streams: Streams,
    pub keys: Keys,
    pub reads: Reads,
    hub: OnceLock<Arc<Hub>>,
    runtime: Handle,
    deps: OnceLock<Deps>,
    snapshot: Mutex<Option<(Instant, Arc<QueueSnapshot>)>>,
    workers: Mutex<Option<(Instant, Arc<Workers>)>>,
}

/// The live workers of each queue that has any.
pub(crate) type Workers = Vec<(QueueName, Vec<WorkerState>)>;

impl State {
    /// To be called within the runtime that outlives the server's threads.
    pub fn new(config: ApiConfig, shared: Shared) -> Self {
        let cursor_key =
            ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &shared.tokens.derive("cursors of lists"));
        let limits = Limits::new(config.rate_user, config.rate_tenant);
        let reads = Reads::new(config.read_cache);
        let body_memory = BodyMemory::new(config.body_memory);
        Self {
            config,
            shared,
            cursor_key,
            limits,
            body_memory,
            streams: Streams::default(),
            keys: Keys::default(),
            reads,
            hub: OnceLock::new(),
            runtime: Handle::current(),
            deps: OnceLock::new(),
            snapshot: Mutex::default(),
            workers: Mutex::default(),
        }
    }

    /// Gives it what it needs; a second time changes nothing.
    pub fn supply(&self, deps: Deps) -> bool {
        self.deps.set(deps).is_ok()
    }

    /// What it needs, once it is there.
    pub fn deps(&self) -> Result<&Deps, Problem> {
        self.deps.get().ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "starting",
                "The service is starting; try again in a moment.",
            )
            .retry_after(1)
        })
    }

    pub fn sealer(&self) -> Option<&dyn Sealer> {
        self.shared.sealing.as_deref().map(|sealing| sealing as &dyn Sealer)
    }

    /// All queues, at most half a second old.
    pub async fn snapshot(&self) -> Result<Arc<QueueSnapshot>, Problem> {
        let deps = self.deps()?;
        let mut last = self.snapshot.lock().await;
        if let Some((at, snapshot)) = &*last
            && at.elapsed() < SNAPSHOT_GOOD_FOR
        {
            return Ok(snapshot.clone());
        }
        let snapshot = Arc::new(QueueSnapshot::read(&*deps.inspect, &self.shared.catalog).await?);
        *last = Some((Instant::now(), snapshot.clone()));
        Ok(snapshot)
    }

    /// Whoever reads the numbers next gets new ones.
    pub async fn forget_snapshot(&self) {
        *self.snapshot.lock().await = None;
    }

    /// All workers, at most half a second old.
    pub async fn workers(&self, deps: &Deps) -> Result<Arc<Workers>, Problem> {
        let mut last = self.workers.lock().await;
        if let Some((at, workers)) = &*last
            && at.elapsed() < SNAPSHOT_GOOD_FOR
        {
            return Ok(workers.clone());
        }
        let reads = self.shared.catalog.queues().iter().map(|queue| async {
            deps.inspect.workers(queue.name()).await.map(|workers| (queue.name().clone(), workers))
        });
        let all = futures_util::future::try_join_all(reads).await?;
        let workers =
            Arc::new(all.into_iter().filter(|(_, workers)| !workers.is_empty()).collect::<Workers>());
        *last = Some((Instant::now(), workers.clone()));
        Ok(workers)
    }

    /// What happens, for those who listen.
    pub fn hub(&self, deps: &Deps) -> Arc<Hub> {
        self.hub
            .get_or_init(|| Hub::new(deps.clone(), self.shared.catalog.clone(), self.runtime.clone()))
            .clone()
    }

    /// How busy the database is.
    pub fn store_pool(&self) -> Option<StorePool> {
        let status = self.deps.get()?.store.pool_status();
        Some(StorePool {
            readers_busy: status.readers_busy,
            readers_max: status.readers_max,
            writer_busy: status.writer_busy,
        })
    }
}
