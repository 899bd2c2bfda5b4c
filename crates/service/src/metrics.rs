//! What Prometheus reads.
//!
//! Queue gauges are what the engine says at the moment of the scrape, under the seeds' names (`bullmq_queue_…_jobs`) and our own
//! (`bulrush_…`). Labels are queues of the catalogue, route patterns and codes of ours: their number does not grow with what clients
//! send.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bulrush::model::{Millis, QueueName};
use bulrush::port::{Inspect, QueueInfo};
use bulrush_catalog::Catalog;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Upper bounds of the buckets of request durations, s.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// All queues at one moment.
#[derive(Debug, Clone)]
pub struct QueueSnapshot {
    /// When, by the engine's clock.
    pub at: Millis,
    /// Each queue of the catalogue.
    pub queues: BTreeMap<QueueName, QueueInfo>,
}

impl QueueSnapshot {
    /// Asks the engine about every queue of the catalogue.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn read(engine: &dyn Inspect, catalog: &Catalog) -> bulrush::port::Result<Self> {
        let at = engine.now().await?;
        let infos = catalog
            .queues()
            .iter()
            .map(|queue| async { engine.info(queue.name()).await.map(|info| (queue.name().clone(), info)) });
        Ok(Self { at, queues: futures_util::future::try_join_all(infos).await?.into_iter().collect() })
    }
}

/// How busy the database's connections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorePool {
    /// Connections that read now.
    pub readers_busy: u32,
    /// The most that can.
    pub readers_max: u32,
    /// Whether somebody writes.
    pub writer_busy: bool,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct HttpObservation<'a> {
    /// Its method.
    pub method: &'a str,
    /// The pattern of its route, not its path.
    pub route: &'a str,
    /// The answer's status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

/// The process's metrics.
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    http_refused: IntCounterVec,
    /// Requests being answered.
    pub http_in_flight: IntGauge,
    queues: Mutex<QueueMetrics>,
}

/// What is set anew at each scrape, as a whole.
struct QueueMetrics {
    jobs: [(&'static str, IntGaugeVec); 5],
    other_jobs: IntGaugeVec,
    oldest_waiting: GaugeVec,
    paused: IntGaugeVec,
    totals: [IntCounterVec; 6],
    store: IntGaugeVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics of a new registry.
    ///
    /// # Errors
    /// Never with the names below; a test makes them.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let state = |state: &'static str, help: &str| {
            gauges(&format!("bullmq_queue_{state}_jobs"), help, &["queue"]).map(|vec| (state, vec))
        };
        let total =
            |what: &str, help: &str| counters(&format!("bulrush_jobs_{what}_total"), help, &["queue"]);
        let oldest_waiting = GaugeVec::new(
            Opts::new(
                "bulrush_queue_oldest_waiting_seconds",
                "Age of the job that has waited longest, 0 without one",
            ),
            &["queue"],
        )?;
        registry.register(Box::new(oldest_waiting.clone()))?;
        let queues = QueueMetrics {
            jobs: [
                state("waiting", "Number of jobs waiting in queue")?,
                state("active", "Jobs currently processing")?,
                state("completed", "Completed jobs that are kept")?,
                state("failed", "Failed jobs that are kept: the dead letters")?,
                state("delayed", "Jobs delayed by a schedule, a back-off or a rate limit")?,
            ],
            other_jobs: gauges(
                "bulrush_queue_jobs",
                "Jobs in the states that the other gauges do not have",
                &["queue", "state"],
            )?,
            oldest_waiting,
            paused: gauges("bulrush_queue_paused", "1 while the queue starts nothing", &["queue"])?,
            totals: [
                total("added", "Jobs added since the queue was made")?,
                total("completed", "Jobs that ended well")?,
                total("failed", "Jobs that ended badly")?,
                total("retried", "Failed attempts that were tried again")?,
                total("cancelled", "Jobs that ended on request")?,
                total("stalled", "Jobs that lost their worker")?,
            ],
            store: gauges("bulrush_store_connections", "Connections to the database", &["state"])?,
        };
        let http_seconds = HistogramVec::new(
            HistogramOpts::new("bulrush_http_request_seconds", "Time to answer a request")
                .buckets(SECONDS.to_vec()),
            &["method", "route"],
        )?;
        registry.register(Box::new(http_seconds.clone()))?;
        let http_in_flight = IntGauge::new("bulrush_http_requests_in_flight", "Requests being answered")?;
        registry.register(Box::new(http_in_flight.clone()))?;
        Ok(Self {
            http_requests: counters(
                "bulrush_http_requests_total",
                "Requests that were answered",
                &["method", "route", "status"],
            )?,
            http_seconds,
            http_refused: counters(
                "bulrush_http_refused_total",
                "Requests that were refused, by error code",
                &["code"],
            )?,
            http_in_flight,
            queues: Mutex::new(queues),
            registry,
        })
    }

    /// The registry, for metrics of a binary's own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts a request that was answered.
    pub fn observe_http(&self, request: HttpObservation<'_>) {
        let mut digits = [0_u8; 3];
        let status = status_text(request.status, &mut digits);
        self.http_requests.with_label_values(&[request.method, request.route, status]).inc();
        self.http_seconds
            .with_label_values(&[request.method, request.route])
            .observe(request.took.as_secs_f64());
    }

    /// Counts a request that was refused, by the code of the error.
    pub fn count_refusal(&self, code: &str) {
        self.http_refused.with_label_values(&[code]).inc();
    }

    /// Everything in Prometheus' text format, with the queues and the store's connections as they are now; what is not known now is
    /// left out rather than told as it was.
    ///
    /// # Errors
    /// Metrics that cannot be written as text.
    pub fn render(
        &self,
        snapshot: Option<&QueueSnapshot>,
        store: Option<StorePool>,
    ) -> prometheus::Result<String> {
        // Held until the text is made, so that a second scrape does not see half of this one.
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.set(snapshot, store);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

impl QueueMetrics {
    fn set(&self, snapshot: Option<&QueueSnapshot>, store: Option<StorePool>) {
        for (_, vec) in &self.jobs {
            vec.reset();
        }
        for vec in &self.totals {
            vec.reset();
        }
        self.other_jobs.reset();
        self.oldest_waiting.reset();
        self.paused.reset();
        self.store.reset();
        if let Some(store) = store {
            let set = |state, n: u32| self.store.with_label_values(&[state]).set(i64::from(n));
            set("readers_busy", store.readers_busy);
            set("readers_max", store.readers_max);
            set("writers_busy", u32::from(store.writer_busy));
        }
        let Some(snapshot) = snapshot else { return };
        for (name, info) in &snapshot.queues {
            let queue = [name.as_str()];
            let counts = &info.counts;
            for (state, vec) in &self.jobs {
                let n = match *state {
                    "waiting" => counts.waiting,
                    "active" => counts.active,
                    "completed" => counts.completed,
                    "failed" => counts.failed,
                    _ => counts.delayed,
                };
                vec.with_label_values(&queue).set(signed(n));
            }
            for (state, n) in [("waiting-children", counts.waiting_children), ("cancelled", counts.cancelled)]
            {
                self.other_jobs.with_label_values(&[name.as_str(), state]).set(signed(n));
            }
            let waited_ms = info.oldest_waiting.map_or(0, |since| snapshot.at.saturating_sub(since));
            self.oldest_waiting.with_label_values(&queue).set(waited_ms as f64 / 1_000.0);
            self.paused.with_label_values(&queue).set(i64::from(info.paused));
            let totals = &info.totals;
            let sums = [
                totals.added,
                totals.completed,
                totals.failed,
                totals.retried,
                totals.cancelled,
                totals.stalled,
            ];
            for (vec, sum) in self.totals.iter().zip(sums) {
                vec.with_label_values(&queue).inc_by(sum);
            }
        }
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A status as text without an allocation for each request.
fn status_text(status: u16, digits: &mut [u8; 3]) -> &str {
    let status = status.min(999);
    *digits = [(status / 100) as u8, (status / 10 % 10) as u8, (status % 10) as u8].map(|digit| b'0' + digit);
    std::str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bulrush::model::{JobId, NewJob};

    use super::*;

    #[tokio::test]
    async fn the_seeds_gauges_and_our_own_tell_what_the_engine_says() {
        let engine = bulrush::backend::connect("memory:").await.unwrap();
        let catalog = Catalog::default();
        let queue = catalog.find("enrichment").unwrap().name();
        let jobs =
            (0..3).map(|n| NewJob::new(JobId::generate("enr", 1, n), "enrich-property", "{}")).collect();
        engine.add(queue, jobs).await.unwrap();
        let metrics = Metrics::new().unwrap();
        let snapshot = QueueSnapshot::read(&*engine, &catalog).await.unwrap();
        let pool = StorePool { readers_busy: 1, readers_max: 8, writer_busy: false };
        // Twice, as totals must not add up over scrapes.
        metrics.render(Some(&snapshot), Some(pool)).unwrap();
        let text = metrics.render(Some(&snapshot), Some(pool)).unwrap();
        for line in [
            "# HELP bullmq_queue_waiting_jobs Number of jobs waiting in queue",
            "# TYPE bullmq_queue_waiting_jobs gauge",
            "bullmq_queue_waiting_jobs{queue=\"enrichment\"} 3",
            "bullmq_queue_active_jobs{queue=\"forecast\"} 0",
            "bulrush_jobs_added_total{queue=\"enrichment\"} 3",
            "bulrush_store_connections{state=\"readers_max\"} 8",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert_eq!(text.lines().filter(|l| l.starts_with("bullmq_queue_failed_jobs{")).count(), 22);
        let unknown = metrics.render(None, None).unwrap();
        assert!(!unknown.contains("bullmq_queue_waiting_jobs{"), "what is not known is not told");
    }

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let metrics = Metrics::new().unwrap();
        let request = HttpObservation {
            method: "GET",
            route: "/api/v1/jobs/{id}",
            status: 404,
            took: Duration::from_millis(3),
        };
        metrics.observe_http(request);
        metrics.count_refusal("unknown_job");
        let text = metrics.render(None, None).unwrap();
        let line = "bulrush_http_requests_total{method=\"GET\",route=\"/api/v1/jobs/{id}\",status=\"404\"} 1";
        assert!(
            text.contains(line) && text.contains("bulrush_http_refused_total{code=\"unknown_job\"} 1"),
            "{text}"
        );
    }
}
