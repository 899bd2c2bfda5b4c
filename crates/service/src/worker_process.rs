//! A worker binary from its start to its end: the same for all of them but for what their jobs work with.

use std::io;

use bulrush::Client;
use bulrush::port;
use bulrush_catalog::Binary;
use bulrush_store::{Store, StoreError};

use crate::ops::{Ops, OpsPort};
use crate::{
    Health, Phase, Shutdown, WorkerConfig, WorkerSettings, Workers, log_engine, open_engine, open_store,
};

/// What every worker works with.
pub struct WorkerParts {
    /// The engine.
    pub client: Client,
    /// The domain's tables, up to date.
    pub store: Store,
    /// How the workers are to run.
    pub settings: WorkerSettings,
}

/// Waits for database and engine, brings the queues of `binary` their settings, starts the workers that `start` makes, and drains them
/// when the process is asked to stop: by SIGTERM or Ctrl-C, also while it still waits. To be called within a tokio runtime.
///
/// # Errors
/// What does not pass by itself: signals that cannot be watched, a database or an engine that cannot be used, a port that is taken, and
/// what `start` says.
pub async fn run_worker<E>(
    config: WorkerConfig,
    binary: Binary,
    start: impl AsyncFnOnce(&WorkerParts) -> Result<Workers, E>,
) -> Result<(), E>
where
    E: From<io::Error> + From<StoreError> + From<port::Error>,
{
    let shutdown = Shutdown::on_signals()?;
    // Open from the first moment: whoever looks after the process is told that it waits, and a port that is taken ends it before it has
    // taken a job.
    let health = Health::new();
    let (ops, told) = Ops::starting(health.clone());
    let port = config.ops.map(|address| OpsPort::open(address, ops)).transpose()?;
    let started = async {
        let store = open_store(&config.database).await?;
        let backend = open_engine(&config.engine).await?;
        log_engine(&*backend);
        for queue in config.settings.catalog.of_binary(binary) {
            backend.configure(queue.name(), queue.config()).await?;
        }
        let parts = WorkerParts { client: Client::new(backend), store, settings: config.settings };
        let workers = start(&parts).await?;
        Ok::<_, E>((parts, workers))
    };
    let (parts, workers) = tokio::select! {
        started = started => started?,
        () = shutdown.begun() => return Ok(()),
    };
    let backend = parts.client.backend().clone();
    let of_workers = Ops::of_workers(health.clone(), backend.clone(), parts.store.clone(), workers.watched());
    drop(told.set(of_workers.map_err(io::Error::other)?));
    health.set_phase(Phase::Ready);

    shutdown.begun().await;
    health.set_phase(Phase::Stopping);
    let drained = workers.drain(&shutdown).await;
    if let Some(port) = port {
        port.close().await;
    }
    backend.close().await?;
    parts.store.close().await;
    tracing::info!(?drained, "stopped");
    Ok(())
}
