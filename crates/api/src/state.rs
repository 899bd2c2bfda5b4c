//! What the handlers share.

use std::sync::{Arc, OnceLock};

use actix_web::http::StatusCode;
use bulrush::port::{Backend, Enqueue, Inspect};
use bulrush_catalog::{Catalog, Sealer};
use bulrush_service::{Health, Metrics, QueueSnapshot, Sealing, Shutdown, StorePool, TokenKeys};
use bulrush_store::{Objects, Store};
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use crate::config::ApiConfig;
use crate::http::problem::Problem;

/// How long counts of queues are good for: `/metrics` is open, and asking must not become a load.
const SNAPSHOT_GOOD_FOR: Duration = Duration::from_millis(500);

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
    pub(crate) enqueue: Arc<dyn Enqueue>,
    pub(crate) inspect: Arc<dyn Inspect>,
    pub(crate) backend: &'static str,
    pub(crate) store: Store,
    pub(crate) objects: Objects,
}

impl Deps {
    /// The two sides of an engine that the API may use, its kind for reports, and the domain's data.
    pub fn new(
        enqueue: Arc<dyn Enqueue>,
        inspect: Arc<dyn Inspect>,
        backend: &'static str,
        store: Store,
        objects: Objects,
    ) -> Self {
        Self { enqueue, inspect, backend, store, objects }
    }

    /// The same from a backend; of its sides only those two are kept.
    pub fn of(backend: &Arc<dyn Backend>, store: Store, objects: Objects) -> Self {
        Self::new(backend.clone(), backend.clone(), backend.kind(), store, objects)
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
    deps: OnceLock<Deps>,
    snapshot: Mutex<Option<(Instant, Arc<QueueSnapshot>)>>,
}

impl State {
    pub fn new(config: ApiConfig, shared: Shared) -> Self {
        let cursor_key =
            ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &shared.tokens.derive("cursors of lists"));
        Self { config, shared, cursor_key, deps: OnceLock::new(), snapshot: Mutex::default() }
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
