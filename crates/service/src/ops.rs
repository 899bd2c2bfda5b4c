//! The port on which a process without an API tells how it is: health for whoever restarts and routes, metrics for Prometheus.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use clap::{Args, Subcommand};
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::{Health, Phase};

/// How long a process may take to say how it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where a process tells how it is.
#[derive(Debug, Clone, Args)]
pub struct OpsArgs {
    /// Where health and metrics are told: HOST:PORT, such as 127.0.0.1:9464 (0.0.0.0:9464 in a container). Nowhere without it.
    #[arg(long = "ops", env = "BULRUSH_OPS", value_name = "HOST:PORT")]
    pub ops: Option<SocketAddr>,
}

/// What a binary can be asked instead of being started.
#[derive(Debug, Clone, Subcommand)]
pub enum OpsCommand {
    /// Ask the process that runs with the same settings whether it is ready; ends with 0 if it is. For container health checks.
    Healthcheck,
}

impl OpsArgs {
    /// Answers `healthcheck`.
    pub fn healthcheck(&self) -> ExitCode {
        let Some(address) = self.ops else {
            eprintln!(
                "BULRUSH_OPS is not set, so there is nothing to ask; set it as for the running process"
            );
            return ExitCode::FAILURE;
        };
        healthcheck(address)
    }
}

/// Asks the process that tells at `address` whether it is ready.
pub fn healthcheck(address: SocketAddr) -> ExitCode {
    match ask(address) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("not ready: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("no answer from {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The status of `/health/ready`. So little is asked that a client library would be most of the binary.
fn ask(mut address: SocketAddr) -> io::Result<u16> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let status =
        std::str::from_utf8(&head).ok().and_then(|head| head.strip_prefix("HTTP/1.1 ")?.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

/// Says whether the process gets on: an error tells what stands still.
pub type Alive = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
/// The process's metrics as Prometheus reads them.
pub type Scrape = Arc<dyn Fn() -> String + Send + Sync>;

/// What is told.
#[derive(Clone)]
pub struct Ops {
    /// Whether the process is ready, by its parts.
    pub health: Health,
    /// Whether it gets on.
    pub alive: Alive,
    /// Its metrics.
    pub metrics: Scrape,
}

impl Ops {
    /// What a process tells that still waits for its parts: it is alive, not ready, and has no metrics. Once it has them, what it tells
    /// instead is put into the cell.
    pub fn starting(health: Health) -> (Self, Arc<OnceLock<Ops>>) {
        let cell: Arc<OnceLock<Self>> = Arc::default();
        let (for_alive, for_metrics) = (cell.clone(), cell.clone());
        let alive: Alive = Arc::new(move || match for_alive.get() {
            Some(ops) => (ops.alive)(),
            None => Box::pin(async { Ok(()) }),
        });
        let metrics: Scrape =
            Arc::new(move || for_metrics.get().map_or_else(String::new, |ops| (ops.metrics)()));
        (Self { health, alive, metrics }, cell)
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops").field("health", &self.health).finish_non_exhaustive()
    }
}

/// The port, open until it is dropped or stopped.
pub struct OpsPort {
    address: SocketAddr,
    server: ServerHandle,
}

impl OpsPort {
    /// Opens the port. To be called within a tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be listened at; the text names it.
    pub fn open(address: SocketAddr, ops: Ops) -> io::Result<Self> {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(ops.clone()))
                .route("/health", web::get().to(ready))
                .route("/health/live", web::get().to(live))
                .route("/health/ready", web::get().to(ready))
                .route("/metrics", web::get().to(metrics))
        })
        .workers(1)
        .max_connections(64)
        .client_request_timeout(ANSWER_WITHIN)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(address)
        .map_err(|error| {
            io::Error::new(error.kind(), format!("BULRUSH_OPS: {address} cannot be listened at: {error}"))
        })?;
        let address = server.addrs().first().copied().unwrap_or(address);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        tracing::info!(%address, "health and metrics are told");
        Ok(Self { address, server: handle })
    }

    /// Where it is; the port that was found, where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port: the last thing that a process does.
    pub async fn close(self) {
        self.server.stop(false).await;
    }
}

async fn live(ops: web::Data<Ops>) -> HttpResponse {
    match (ops.alive)().await {
        Ok(()) => HttpResponse::Ok().json(json!({"status": "alive"})),
        Err(problem) => {
            tracing::warn!(problem, "not alive");
            HttpResponse::ServiceUnavailable().json(json!({"status": "stuck"}))
        }
    }
}

async fn ready(ops: web::Data<Ops>) -> HttpResponse {
    let report = ops.health.report().await;
    let parts: serde_json::Map<String, serde_json::Value> = report
        .parts
        .iter()
        .map(|(name, up)| ((*name).to_owned(), if *up { "up".into() } else { "down".into() }))
        .collect();
    let (mut response, status) = match (report.is_well(), report.phase) {
        (true, _) => (HttpResponse::Ok(), "ready"),
        (false, Phase::Starting) => (HttpResponse::ServiceUnavailable(), "starting"),
        (false, Phase::Stopping) => (HttpResponse::ServiceUnavailable(), "stopping"),
        (false, Phase::Ready) => (HttpResponse::ServiceUnavailable(), "unhealthy"),
    };
    response.json(json!({"status": status, "parts": parts}))
}

async fn metrics(ops: web::Data<Ops>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body((ops.metrics)())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(address: SocketAddr) -> io::Result<u16> {
        tokio::task::spawn_blocking(move || ask(address)).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_tells_whether_it_is_ready_and_a_health_check_hears_it() {
        let health = Health::new();
        let ops = Ops {
            health: health.clone(),
            alive: Arc::new(|| Box::pin(async { Ok(()) })),
            metrics: Arc::new(|| "bulrush_up 1\n".to_owned()),
        };
        let port = OpsPort::open("127.0.0.1:0".parse().unwrap(), ops).unwrap();
        let address = port.address();
        assert_eq!(status(address).await.unwrap(), 503);
        health.set_phase(Phase::Ready);
        // A report is good for half a second, unless the phase has changed.
        assert_eq!(status(address).await.unwrap(), 200);
        health.set_phase(Phase::Stopping);
        assert_eq!(status(address).await.unwrap(), 503);
        port.close().await;
        assert!(status(address).await.is_err());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let ops = Ops {
            health: Health::new(),
            alive: Arc::new(|| Box::pin(async { Ok(()) })),
            metrics: Arc::new(String::new),
        };
        let error = OpsPort::open(address, ops).err().unwrap().to_string();
        assert!(error.contains("BULRUSH_OPS") && error.contains(&address.to_string()), "{error}");
    }
}
