//! Everything in one process: the engine, the database, the API, the workers, the scheduler and, if asked, the sandbox. `serve` and `demo` are made of it,
//! and of the same libraries as the separate binaries.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bulrush::port::Backend;
use bulrush::{Client, backend};
use bulrush_api::{ApiConfig, Deps, Server, Shared};
use bulrush_catalog::Catalog;
use bulrush_catalog::schedules::DefaultSchedule;
use bulrush_outbound::{Exception, OutboundPolicy};
use bulrush_sandbox::{Sandbox, SandboxConfig};
use bulrush_scheduler::Scheduler;
use bulrush_service::{
    DataDir, Health, Metrics, OutboxMetrics, Sealing, Secret, Shutdown, TokenKeys, WorkerSettings, Workers,
    configure_queues, log_engine, log_place,
};
use bulrush_store::{Objects, Place, Store};
use bulrush_upstream::fetch::{FetchOptions, Fetcher};
use bulrush_upstream::webhook::WebhookClient;
use bulrush_upstream::{UpstreamConfig, Upstreams};
use bulrush_worker_competitor::CompetitorSettings;
use {
    bulrush_scheduler as scheduler, bulrush_worker_analytics as analytics,
    bulrush_worker_competitor as competitor, bulrush_worker_enrichment as enrichment,
    bulrush_worker_forecast as forecast,
};

/// How long running jobs may go on when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// What a process is made of.
pub struct Plan {
    /// Where everything is kept that is not said to be elsewhere.
    pub data: DataDir,
    /// The engine, if not in the data folder.
    pub engine: Option<Secret>,
    /// The database, if not in the data folder.
    pub database: Option<Secret>,
    /// The place of files, if not in the data folder.
    pub files: Option<Place>,
    /// The API's settings.
    pub api: ApiConfig,
    /// The queues.
    pub catalog: Catalog,
    /// Schedules that are put once ever.
    pub defaults: Vec<DefaultSchedule>,
    /// Makes and checks bearer tokens.
    pub tokens: TokenKeys,
    /// Seals secrets in payloads.
    pub sealing: Option<Sealing>,
    /// What may be called where users say what is called.
    pub outbound: OutboundPolicy,
    /// How competitors' pages are read.
    pub competitors: CompetitorSettings,
    /// A stand-in for the outside world instead of the real one.
    pub sandbox: bool,
}

/// All parts, running.
pub struct Platform {
    server: Server,
    workers: Workers,
    scheduler: Scheduler,
    sandbox: Option<Sandbox>,
    backend: Arc<dyn Backend>,
    store: Store,
    shutdown: Shutdown,
}

impl Platform {
    /// Starts everything. The engine comes first: its lock tells a second process off before anything is touched.
    pub async fn start(plan: Plan, shutdown: Shutdown) -> anyhow::Result<Self> {
        let engine_url =
            plan.engine.as_ref().map_or_else(|| plan.data.engine_url(), |url| url.expose().to_owned());
        let backend = backend::connect(&engine_url).await.context("the engine could not be opened")?;
        log_engine(&*backend);
        let database_url =
            plan.database.as_ref().map_or_else(|| plan.data.database_url(), |url| url.expose().to_owned());
        let store = Store::open(&database_url).await.context("the database could not be opened")?;
        store.migrate().await.context("the database could not be brought up to date")?;
        let files = plan.files.unwrap_or_else(|| Place::Folder(plan.data.files()));
        log_place(&files);
        let objects = Objects::open_at(&files).await.context("the place of files could not be opened")?;
        configure_queues(&*backend, &plan.catalog).await?;

        let sandbox = if plan.sandbox { Some(Sandbox::start(SandboxConfig::default())?) } else { None };
        let upstream_config = match &sandbox {
            Some(sandbox) => UpstreamConfig::all_at(&sandbox.base_url().parse()?),
            None => UpstreamConfig::default(),
        };
        let client = Client::new(backend.clone());
        let sealing = plan.sealing.map(Arc::new);
        let upstreams = Upstreams::new(upstream_config)?;
        let mut dependencies = enrichment::Dependencies::new(store.clone(), upstreams);
        if let Some(sealing) = &sealing {
            dependencies = dependencies.with_sealing(sealing.clone());
        }
        let settings = WorkerSettings {
            catalog: plan.catalog.clone(),
            drain: DRAIN,
            ..WorkerSettings::named("bulrush")
        };
        let hooks = WebhookClient::new(plan.outbound.clone(), FetchOptions::default())?;
        let computing = analytics::Dependencies::new(store.clone(), objects.clone())
            .with_webhooks(hooks, sealing.clone());
        let mut api = plan.api;
        api.outbound = plan.outbound.clone();
        // Its hotels may be declared as competitors.
        api.outbound_pages = sandbox.as_ref().map(|sandbox| reaching(plan.outbound.clone(), sandbox));
        let workers = enrichment::start(&client, &dependencies, &settings)
            .and(analytics::start(&client, &computing, &settings))
            .and(forecast::start(&client, &forecast::Dependencies::new(store.clone()), &settings))
            .and(competitor::start(
                &client,
                &pages(&store, plan.outbound, plan.competitors, sandbox.as_ref())?,
                &settings,
            ));

        let catalog = Arc::new(plan.catalog);
        let metrics = Arc::new(Metrics::new().context("the metrics cannot be set up")?);
        let outbox = OutboxMetrics::new(metrics.registry()).context("the metrics cannot be set up")?;
        let scheduler = scheduler::start(
            &scheduler::Dependencies::new(backend.clone(), store.clone(), catalog.clone())
                .with_defaults(plan.defaults)
                .with_outbox_metrics(outbox),
        );
        metrics.registry().register(Box::new(scheduler.schedule_metrics()))?;
        let shared = Shared {
            catalog: catalog.clone(),
            tokens: Arc::new(plan.tokens),
            sealing,
            metrics,
            health: Health::new(),
            shutdown: shutdown.clone(),
        };
        let server = Server::bind(api, shared, Vec::new())?;
        server.serve(Deps::of(&backend, &catalog, store.clone(), objects));
        Ok(Self { server, workers, scheduler, sandbox, backend, store, shutdown })
    }

    /// Where the API is.
    pub fn base_url(&self) -> String {
        self.server.base_url()
    }

    /// The sandbox's hotels, as competitors are declared; none without it.
    pub fn competitors(&self) -> Vec<serde_json::Value> {
        let hotels = self.sandbox.as_ref().map(Sandbox::competitors);
        hotels.as_ref().and_then(serde_json::Value::as_array).cloned().unwrap_or_default()
    }

    /// Stops everything in the order in which it needs each other: no more requests, then nothing more that is told,
    /// then no more jobs, then the stores. A second
    /// signal does not wait.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.stop(&self.shutdown).await;
        self.scheduler.shutdown().await;
        self.workers.drain(&self.shutdown).await;
        if let Some(sandbox) = self.sandbox {
            sandbox.shutdown().await;
        }
        self.backend.close().await?;
        self.store.close().await;
        Ok(())
    }
}

/// What may be called, and the sandbox.
fn reaching(policy: OutboundPolicy, sandbox: &Sandbox) -> OutboundPolicy {
    let address = sandbox.address();
    policy.with_exception(Exception::address(address.ip(), address.port()))
}

/// The way to pages of competitors. With the sandbox, its hotels are the competitors of whoever has none.
fn pages(
    store: &Store,
    mut policy: OutboundPolicy,
    mut settings: CompetitorSettings,
    sandbox: Option<&Sandbox>,
) -> anyhow::Result<competitor::Dependencies> {
    if let Some(sandbox) = sandbox {
        policy = reaching(policy, sandbox);
        if settings.fallback.is_empty() {
            settings.fallback = competitor::Competitor::list_from_json(&sandbox.competitors().to_string())?;
        }
        // Its robots.txt asks for the pause that it wants.
        settings.pause = settings.pause.or(Some(Duration::ZERO));
    }
    let fetcher = Fetcher::new(policy, settings.fetch.clone())?;
    Ok(competitor::Dependencies::new(store.clone(), fetcher).with_settings(settings))
}

/// The catalogue as the environment sets it. With the sandbox, enrichment is not held to the ten starts a minute that real weather
/// services ask for, unless the environment says so itself.
pub fn settings(sandbox: bool) -> impl Iterator<Item = (String, String)> {
    const LIFTED: &str = "BULRUSH_QUEUE_ENRICHMENT_RATE_MAX";
    let lift = sandbox && std::env::var_os(LIFTED).is_none();
    let lifted = lift.then(|| (LIFTED.to_owned(), "off".to_owned()));
    bulrush_service::args::environment().chain(lifted)
}
