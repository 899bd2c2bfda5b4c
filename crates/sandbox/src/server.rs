//! The server: starts, tells where it is, and stops.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::task::JoinHandle;

use crate::faults::{FaultError, FaultPlan, FaultQueue};
use crate::requests::{RequestCounts, RequestLog};
use crate::weather::{RecordError, SeattleRecord};
use crate::{admin, holidays, hotels, pipeline, weather};

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Address. Default 127.0.0.1.
    pub host: IpAddr,
    /// Port; 0, the default, takes a free one.
    pub port: u16,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { host: Ipv4Addr::LOCALHOST.into(), port: 0 }
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}; choose another port (0 takes a free one) or address")]
    Bind {
        /// Asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The recorded weather that was built in is damaged.
    #[error("the recorded weather cannot be read; the build is damaged")]
    Record(#[from] RecordError),
}

/// What all handlers share.
pub(crate) struct Shared {
    pub faults: FaultQueue,
    pub requests: RequestLog,
    pub seattle: SeattleRecord,
}

/// A running sandbox. Dropping it stops it too, without waiting for the end.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    shared: web::Data<Shared>,
    handle: ServerHandle,
    task: Option<JoinHandle<std::io::Result<()>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts to listen; it answers from now on. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] if the address cannot be had.
    pub fn start(config: SandboxConfig) -> Result<Self, StartError> {
        let address = SocketAddr::new(config.host, config.port);
        let bind_error = |source| StartError::Bind { address, source };
        let shared = web::Data::new(Shared {
            faults: FaultQueue::default(),
            requests: RequestLog::default(),
            seattle: SeattleRecord::load()?,
        });
        let for_app = shared.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(for_app.clone())
                .wrap(from_fn(pipeline::answer))
                .configure(weather::routes)
                .configure(holidays::routes)
                .configure(hotels::routes)
                .configure(admin::routes)
        })
        .workers(1)
        // The program around it decides about signals.
        .disable_signals()
        .bind(address)
        .map_err(bind_error)?;
        let bound = server.addrs().first().copied().unwrap_or(address);
        if !bound.ip().is_loopback() {
            tracing::warn!(address = %bound, "the sandbox has no access control and is not on loopback");
        }
        let server = server.run();
        let handle = server.handle();
        let task = Some(tokio::spawn(server));
        tracing::info!(address = %bound, "sandbox listening");
        Ok(Self { address: bound, shared, handle, task })
    }

    /// Where it listens, such as `http://127.0.0.1:8090`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hotels that have a price, as a list of `{id, name, page: {url, selectors?}}` with placeholders for the stay.
    pub fn competitors(&self) -> serde_json::Value {
        hotels::competitors(&self.base_url())
    }

    /// Lets the next requests fail.
    ///
    /// # Errors
    /// [`FaultError`] for a plan that makes no sense.
    pub fn fail(&self, plan: FaultPlan) -> Result<(), FaultError> {
        self.shared.faults.add(plan)
    }

    /// The plans that no request has used up yet.
    pub fn faults(&self) -> Vec<FaultPlan> {
        self.shared.faults.list()
    }

    /// What was asked so far.
    pub fn requests(&self) -> RequestCounts {
        self.shared.requests.counts()
    }

    /// Forgets the faults still to come and the requests so far.
    pub fn reset(&self) {
        self.shared.faults.clear();
        self.shared.requests.clear();
    }

    /// Stops at once and waits until the port is free. Requests in flight are cut off.
    pub async fn shutdown(mut self) {
        self.handle.stop(false).await;
        if let Some(task) = self.task.take()
            && let Ok(Err(error)) = task.await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the sandbox ended with an error");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.task.is_some() {
            // The command is sent by the call itself; the future only waits for its effect.
            drop(self.handle.stop(false));
        }
    }
}
