//! Where the API listens and what it lets pass.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bulrush_catalog::parse_span_ms;
use bulrush_outbound::OutboundPolicy;
use bulrush_service::Problems;
use clap::{Args, ValueEnum};

use crate::http::cors::is_origin;

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Threads that answer; as many as the machine has processors where none is given.
    pub workers: Option<usize>,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long a body may take; an upload gets more as it brings more ([`upload_rate_min`](Self::upload_rate_min)).
    pub body_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Largest JSON body, bytes. A job's data may have 1 MiB; the rest is for its options.
    pub json_max: usize,
    /// Largest JSON body of a bulk add or a flow, bytes.
    pub bulk_max: usize,
    /// What all JSON bodies that are being answered may take together, bytes; beyond it, requests are told to come back.
    pub body_memory: usize,
    /// Largest upload, bytes.
    pub upload_max: u64,
    /// Slowest upload, bytes/s: below it, a client holds a connection for nothing.
    pub upload_rate_min: u64,
    /// Longest `?wait=`.
    pub wait_max: Duration,
    /// How long requests may go on after the stop.
    pub shutdown_timeout: Duration,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// A port of its own for metrics and health, at the same address: `/metrics` is then not on the public port.
    pub metrics_port: Option<u16>,
    /// Origins whose pages may call the API from a browser, as browsers send them: `https://app.example.com`.
    pub cors_origins: Vec<String>,
    /// Requests a second of one user, with a burst of twice as many; 0 is no limit.
    pub rate_user: u32,
    /// The same for all users of one tenant together.
    pub rate_tenant: u32,
    /// Schedules that one user may have.
    pub schedules_user: usize,
    /// How close two slots of a user's schedule may be; administrators go as far as the engine does.
    pub schedule_interval: Duration,
    /// Streams of events that one user may have open.
    pub streams_user: usize,
    /// Streams of events of this process.
    pub streams_max: usize,
    /// How old an answer to a read of the domain's data may be; zero for no cache.
    pub read_cache: Duration,
    /// Pause between the signs that a stream is alive; its credentials are looked at again with each.
    pub heartbeat: Duration,
    /// Which addresses a webhook or a competitor's page may have. Those who call them look again.
    pub outbound: OutboundPolicy,
    /// The same for competitors' pages alone, where they may have others.
    pub outbound_pages: Option<OutboundPolicy>,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MetricsAccess {
    /// Anybody who reaches the port, as Prometheus usually does.
    Open,
    /// Administrators, with a token.
    Admin,
    /// Nobody: the route does not exist.
    Closed,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            workers: None,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            json_max: (1 << 20) + (64 << 10),
            bulk_max: 16 << 20,
            body_memory: 256 << 20,
            upload_max: 100 << 20,
            upload_rate_min: 1_024,
            wait_max: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(30),
            metrics: MetricsAccess::Open,
            metrics_port: None,
            cors_origins: Vec::new(),
            rate_user: 200,
            rate_tenant: 1_000,
            schedules_user: 1_000,
            schedule_interval: Duration::from_mins(1),
            streams_user: 20,
            streams_max: 5_000,
            read_cache: Duration::ZERO,
            heartbeat: Duration::from_secs(15),
            outbound: OutboundPolicy::default(),
            outbound_pages: None,
        }
    }
}

/// The settings for clap. Lengths of time are milliseconds, or have a unit (10s).
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    /// Address to listen on; 0.0.0.0 in a container.
    #[arg(long, env = "BULRUSH_API_HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, env = "BULRUSH_API_PORT", default_value_t = 3001)]
    pub port: u16,
    /// Threads that answer; as many as there are processors by default.
    #[arg(long, env = "BULRUSH_API_WORKERS")]
    pub api_workers: Option<usize>,
    /// How long the head of a request may take.
    #[arg(long, env = "BULRUSH_API_HEADER_TIMEOUT", default_value = "5s")]
    pub header_timeout: String,
    /// How long a body may take; uploads get more as they bring more.
    #[arg(long, env = "BULRUSH_API_BODY_TIMEOUT", default_value = "10s")]
    pub body_timeout: String,
    /// How old an answer to a read of the domain's data (features, analytics, forecasts) may be; 0 for no cache.
    #[arg(long, env = "BULRUSH_API_READ_CACHE", default_value = "2s")]
    pub read_cache: String,
    /// Largest upload, bytes.
    #[arg(long, env = "BULRUSH_API_UPLOAD_MAX", default_value_t = 100 << 20)]
    pub upload_max: u64,
    /// How long requests may go on after the stop.
    #[arg(long, env = "BULRUSH_API_SHUTDOWN_TIMEOUT", default_value = "30s")]
    pub shutdown_timeout: String,
    /// Who may read /metrics.
    #[arg(long, env = "BULRUSH_API_METRICS", value_enum, default_value_t = MetricsAccess::Open)]
    pub metrics: MetricsAccess,
    /// A port of its own for metrics and health: /metrics is then not on the public port. 0 takes a free one.
    #[arg(long, env = "BULRUSH_API_METRICS_PORT")]
    pub metrics_port: Option<u16>,
    /// Origins whose pages may call the API from a browser, separated by commas: scheme and host, as in `https://app.example.com`.
    #[arg(long, env = "BULRUSH_API_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Vec<String>,
    /// Requests a second that one user may send, with bursts of twice as many; 0 for no limit. Each process counts by itself.
    #[arg(long, env = "BULRUSH_API_RATE_USER", default_value_t = 200)]
    pub rate_user: u32,
    /// The same for all users of a tenant together.
    #[arg(long, env = "BULRUSH_API_RATE_TENANT", default_value_t = 1_000)]
    pub rate_tenant: u32,
    /// Schedules that one user may have.
    #[arg(long, env = "BULRUSH_API_SCHEDULES_USER", default_value_t = 1_000)]
    pub schedules_user: usize,
    /// How close two slots of a user's schedule may be; administrators are held to a second.
    #[arg(long, env = "BULRUSH_API_SCHEDULE_INTERVAL", default_value = "1m")]
    pub schedule_interval: String,
    /// Streams of events that one user may have open.
    #[arg(long, env = "BULRUSH_API_STREAMS_USER", default_value_t = 20)]
    pub streams_user: usize,
    /// Streams of events that this process serves.
    #[arg(long, env = "BULRUSH_API_STREAMS_MAX", default_value_t = 5_000)]
    pub streams_max: usize,
}

impl ApiArgs {
    /// The settings; what is wrong is noted, with the default in its place.
    pub fn config(&self, problems: &mut Problems) -> ApiConfig {
        let defaults = ApiConfig::default();
        let mut span = |name: &str, text: &str, default: Duration| match parse_span_ms(text) {
            Ok(ms) if (1..=3_600_000).contains(&ms) => Duration::from_millis(ms),
            Ok(ms) => {
                problems.push(name, format!("is {ms} ms; 1 ms to 1 h are accepted"));
                default
            }
            Err(error) => {
                problems.push(name, error.to_string());
                default
            }
        };
        let header_timeout =
            span("BULRUSH_API_HEADER_TIMEOUT", &self.header_timeout, defaults.header_timeout);
        let body_timeout = span("BULRUSH_API_BODY_TIMEOUT", &self.body_timeout, defaults.body_timeout);
        let read_cache = match self.read_cache.as_str() {
            "0" => Duration::ZERO,
            text => span("BULRUSH_API_READ_CACHE", text, Duration::ZERO),
        };
        let schedule_interval =
            span("BULRUSH_API_SCHEDULE_INTERVAL", &self.schedule_interval, defaults.schedule_interval);
        let shutdown_timeout =
            span("BULRUSH_API_SHUTDOWN_TIMEOUT", &self.shutdown_timeout, defaults.shutdown_timeout);
        if self.upload_max == 0 {
            problems
                .push("BULRUSH_API_UPLOAD_MAX", "is 0, so no file could be uploaded; give bytes (104857600)");
        }
        if self.api_workers.is_some_and(|workers| !(1..=1_024).contains(&workers)) {
            problems.push("BULRUSH_API_WORKERS", "must be 1 to 1024; leave it out for one per processor");
        }
        for origin in self.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            problems.push(
                "BULRUSH_API_CORS_ORIGINS",
                format!(
                    "has {origin:?}, which is no origin; write https://app.example.com, without a path or *"
                ),
            );
        }
        ApiConfig {
            host: self.host,
            port: self.port,
            workers: self.api_workers,
            header_timeout,
            body_timeout,
            upload_max: self.upload_max,
            shutdown_timeout,
            read_cache,
            metrics: self.metrics,
            metrics_port: self.metrics_port,
            cors_origins: self.cors_origins.clone(),
            rate_user: self.rate_user,
            rate_tenant: self.rate_tenant,
            schedules_user: self.schedules_user,
            schedule_interval,
            streams_user: self.streams_user,
            streams_max: self.streams_max,
            ..defaults
        }
    }
}
