//! The server: listens, becomes ready, stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, web};
use bulrush_service::{Drained, Phase, Shutdown};
use tokio::task::JoinHandle;

use crate::config::ApiConfig;
use crate::http::{cors, middleware};
use crate::state::{Deps, Shared, State};
use crate::{health, routes};

/// More routes on the same server: the dashboard, say.
pub type Extra = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Connections of one thread that wait to be accepted or are being served.
const CONNECTIONS_MAX: usize = 10_000;

/// The API could not start or went down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be had.
    #[error("cannot listen on {address}; choose another port (0 takes a free one) or address")]
    Bind {
        /// Asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It stopped by itself.
    #[error("the API stopped by itself")]
    Down(#[source] io::Error),
}

/// A listening API. Dropping it stops it too, without waiting for the end.
pub struct Server {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    state: web::Data<State>,
    handle: ServerHandle,
    task: Option<JoinHandle<io::Result<()>>>,
    metrics: Option<ServerHandle>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Starts to listen: it answers from now on, that it is not ready. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError::Bind`] if the address cannot be had.
    pub fn bind(config: ApiConfig, shared: Shared, extras: Vec<Extra>) -> Result<Self, StartError> {
        let address = SocketAddr::new(config.host, config.port);
        let bind_error = |source| StartError::Bind { address, source };
        let state = web::Data::new(State::new(config, shared));
        let config = &state.config;
        let (metrics_address, metrics) = match state.config.metrics_port {
            None => (None, None),
            Some(port) => bind_metrics(SocketAddr::new(address.ip(), port), &state)?,
        };
        let for_app = state.clone();
        let mut server = HttpServer::new(move || {
            let mut app = App::new()
                .app_data(for_app.clone())
                .wrap(cors::rule(&for_app.config.cors_origins))
                .wrap(from_fn(middleware::around));
            for extra in &extras {
                app = app.configure(|config| extra(config));
            }
            app.configure(routes::configure)
        })
        .keep_alive(config.keep_alive)
        .client_request_timeout(config.header_timeout)
        .client_disconnect_timeout(std::time::Duration::from_secs(2))
        .max_connections(CONNECTIONS_MAX)
        .shutdown_timeout(config.shutdown_timeout.as_secs().max(1))
        // The program around it decides about signals.
        .disable_signals();
        if let Some(workers) = config.workers {
            server = server.workers(workers);
        }
        let server = server.bind(address).map_err(bind_error)?;
        let bound = server.addrs().first().copied().unwrap_or(address);
        let server = server.run();
        let handle = server.handle();
        let task = Some(tokio::spawn(server));
        tracing::info!(address = %bound, "API listening");
        Ok(Self { address: bound, metrics_address, state, handle, task, metrics })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are, if they have a port of their own.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Its address as a URL, such as `http://127.0.0.1:3001`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives it what it needs; from now on it is ready. A second time changes nothing.
    pub fn serve(&self, deps: Deps) {
        let health = &self.state.shared.health;
        health::watch(health, &deps, &self.state.shared.catalog);
        if self.state.supply(deps) {
            health.set_phase(Phase::Ready);
            tracing::info!(address = %self.address, "API ready");
        }
    }

    /// Stops: accepts nothing more, answers what it has begun, at most as long as configured and no longer once `shutdown` is forced.
    pub async fn stop(mut self, shutdown: &Shutdown) -> Drained {
        self.state.shared.health.set_phase(Phase::Stopping);
        let drained = shutdown.drain(self.state.config.shutdown_timeout, self.handle.stop(true)).await;
        if drained == Drained::CutShort {
            // Not waited for: the graceful stop may hold the server's attention.
            drop(self.handle.stop(false));
        }
        if let Some(metrics) = self.metrics.take() {
            metrics.stop(false).await;
        }
        if let Some(task) = self.task.take() {
            if drained == Drained::CutShort {
                task.abort();
            }
            match task.await {
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the API ended with an error");
                }
                Err(error) if error.is_panic() => tracing::error!("the API ended with a panic"),
                _ => {}
            }
        }
        drained
    }

    /// Resolves if the server goes down by itself.
    pub async fn down(&mut self) -> StartError {
        let Some(task) = self.task.as_mut() else { return std::future::pending().await };
        let ended = task.await;
        self.task = None;
        StartError::Down(match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => io::Error::other("it was stopped"),
            Err(error) => io::Error::other(error),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.task.is_some() {
            // The command is sent by the call itself; the future only waits for its effect.
            drop(self.handle.stop(false));
        }
        if let Some(metrics) = &self.metrics {
            drop(metrics.stop(false));
        }
    }
}

/// The listener of metrics and health alone.
fn bind_metrics(
    address: SocketAddr,
    state: &web::Data<State>,
) -> Result<(Option<SocketAddr>, Option<ServerHandle>), StartError> {
    let for_app = state.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(for_app.clone())
            .wrap(from_fn(middleware::around))
            .configure(routes::configure_own_port)
    })
    .workers(1)
    .client_request_timeout(state.config.header_timeout)
    .disable_signals()
    .bind(address)
    .map_err(|source| StartError::Bind { address, source })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    let server = server.run();
    let handle = server.handle();
    drop(tokio::spawn(server));
    tracing::info!(address = %bound, "metrics listening");
    Ok((Some(bound), Some(handle)))
}
