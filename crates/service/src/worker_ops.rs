//! What a worker process tells of itself.

use std::sync::Arc;
use std::time::Duration;

use bulrush::WorkerGauge;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::QueueName;
use bulrush::port::Inspect;
use bulrush_store::Store;
use prometheus::{Encoder as _, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::ops::{Alive, Ops, Scrape};
use crate::{Check, Health};

/// An idle worker hears from the engine once a minute: one that has not for so long stands still.
const STILL_AFTER: Duration = Duration::from_mins(2);
/// How long the engine may take to show that it is there.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);

/// One worker of the process.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its queue.
    pub queue: QueueName,
    /// Jobs that it runs at once, at most.
    pub slots: usize,
    /// How it is.
    pub gauge: WorkerGauge,
}

impl Ops {
    /// What a process tells that runs `workers` on `engine` and `store`: it is ready while both answer. It is alive unless a worker has
    /// not heard from the engine for two minutes while the engine answers: an engine that is away is no reason to start anew.
    pub fn of_workers(
        health: Health,
        engine: Arc<dyn Inspect>,
        store: Store,
        workers: Vec<Watched>,
    ) -> prometheus::Result<Self> {
        let asked = engine.clone();
        let check: Check = Arc::new(move || {
            let engine = asked.clone();
            Box::pin(async move { engine.now().await.map(drop).map_err(|error| error.to_string()) })
        });
        health.watch("engine", check);
        let check: Check = Arc::new(move || {
            let store = store.clone();
            Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
        });
        health.watch("database", check);
        let metrics = scrape(workers.clone())?;
        let alive: Alive = Arc::new(move || {
            let still = workers.iter().find(|worker| age(worker) >= STILL_AFTER).cloned();
            let engine = engine.clone();
            Box::pin(async move {
                let Some(still) = still else { return Ok(()) };
                match tokio::time::timeout(ENGINE_PATIENCE, engine.now()).await {
                    Ok(Ok(_)) => Err(format!(
                        "the worker of {} has not heard from the engine for {} s, and the engine answers",
                        still.queue,
                        age(&still).as_secs()
                    )),
                    _ => Ok(()),
                }
            })
        });
        Ok(Self { health, alive, metrics })
    }

    /// Tells the numbers of `registry`, too.
    pub fn telling(self, registry: Registry) -> Self {
        let of_workers = self.metrics;
        let metrics: Scrape = Arc::new(move || of_workers() + &text_of(&registry));
        Self { metrics, ..self }
    }
}

/// How long ago a worker last heard from the engine.
fn age(worker: &Watched) -> Duration {
    Duration::from_millis(SystemClock.now().saturating_sub(worker.gauge.heard_at()))
}

/// Metrics of workers: labels are the queues of the catalogue.
fn scrape(workers: Vec<Watched>) -> prometheus::Result<Scrape> {
    let registry = Registry::new();
    let slots = IntGaugeVec::new(
        Opts::new("bulrush_worker_slots", "Jobs that this process runs at once, at most"),
        &["queue"],
    )?;
    let running = IntGaugeVec::new(
        Opts::new("bulrush_worker_running_jobs", "Jobs that this process runs now"),
        &["queue"],
    )?;
    let settled = IntCounterVec::new(
        Opts::new("bulrush_worker_settled_total", "Jobs whose end this process has told the engine"),
        &["queue"],
    )?;
    let heard = GaugeVec::new(
        Opts::new("bulrush_worker_heard_age_seconds", "Time since the worker last heard from the engine"),
        &["queue"],
    )?;
    registry.register(Box::new(slots.clone()))?;
    registry.register(Box::new(running.clone()))?;
    registry.register(Box::new(settled.clone()))?;
    registry.register(Box::new(heard.clone()))?;
    Ok(Arc::new(move || {
        for worker in &workers {
            let labels = [worker.queue.as_str()];
            slots.with_label_values(&labels).set(i64::try_from(worker.slots).unwrap_or(i64::MAX));
            running.with_label_values(&labels).set(i64::try_from(worker.gauge.running()).unwrap_or(i64::MAX));
            let counter = settled.with_label_values(&labels);
            counter.inc_by(worker.gauge.settled().saturating_sub(counter.get()));
            heard.with_label_values(&labels).set(age(worker).as_secs_f64());
        }
        text_of(&registry)
    }))
}

fn text_of(registry: &Registry) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail, and what was gathered has names that Prometheus takes.
    let _ = TextEncoder::new().encode(&registry.gather(), &mut text);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bulrush::{Client, Handlers, Worker, WorkerOptions};

    use super::*;
    use crate::Phase;

    #[tokio::test]
    async fn a_worker_process_tells_what_it_runs_and_that_its_parts_are_there() {
        let client = Client::connect("memory:").await.unwrap();
        let store = Store::open("sqlite::memory:").await.unwrap();
        let queue = client.queue("export").unwrap();
        let handlers = Handlers::new().on_raw("x", |_| async { Ok(None) });
        let worker = Worker::start(&queue, handlers, WorkerOptions::default());
        let id = queue.add(queue.job("x", "{}")).await.unwrap().id;
        queue.wait_finished(&id, Duration::from_mins(1)).await.unwrap().unwrap();
        let watched = Watched { queue: queue.name().clone(), slots: 3, gauge: worker.gauge() };
        let health = Health::new();
        health.set_phase(Phase::Ready);
        let engine: Arc<dyn Inspect> = client.backend().clone();
        let ops = Ops::of_workers(health.clone(), engine, store.clone(), vec![watched]).unwrap();
        assert!((ops.alive)().await.is_ok());
        assert!(health.report().await.is_well());
        for _ in 0..2 {
            let text = (ops.metrics)();
            assert!(text.contains("bulrush_worker_slots{queue=\"export\"} 3"), "{text}");
            assert!(text.contains("bulrush_worker_settled_total{queue=\"export\"} 1"), "{text}");
        }
        worker.shutdown().await;
        store.close().await;
    }
}
