//! Running all queues of this worker together.

use std::time::Duration;

use bulrush::model::QueueName;
use bulrush::{Client, Hurry, Worker, WorkerOptions};
use bulrush_catalog::Catalog;

use crate::Dependencies;
use crate::jobs;

/// How the workers run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The queues' limits: slots, attempts, back-off.
    pub catalog: Catalog,
    /// For people, in lists of workers: host or binary.
    pub name: String,
    /// Slots of each queue, in place of what the catalogue says.
    pub concurrency: Option<usize>,
    /// How long running jobs may go on at a shutdown before they are asked to stop.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            catalog: Catalog::default(),
            name: "bulrush-worker-competitor".to_owned(),
            concurrency: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// The running workers, one for each queue. Dropping it stops them without waiting.
#[must_use = "dropping the workers stops them"]
pub struct Workers {
    workers: Vec<(QueueName, Worker)>,
}

/// Starts a worker for each queue of this binary. To be called within a tokio runtime.
///
/// The queues' settings in the engine (rate limit, retention) are the caller's to bring, with
/// [`bulrush::Queue::configure`]: they are the same for all programs on one engine.
pub fn start(client: &Client, deps: &Dependencies, settings: &Settings) -> Workers {
    let mut workers = Vec::new();
    for served in jobs::all(deps) {
        let queue = settings
            .catalog
            .find(served.queue)
            .unwrap_or_else(|error| unreachable!("a test checks every queue of the list: {error}"));
        let options = WorkerOptions {
            concurrency: settings
                .concurrency
                .unwrap_or_else(|| usize::try_from(queue.limits().concurrency).unwrap_or(usize::MAX)),
            name: settings.name.clone(),
            drain: settings.drain,
            backoff: queue.limits().backoff.backoff(),
            ..WorkerOptions::default()
        };
        tracing::info!(queue = %queue.name(), slots = options.concurrency, "worker started");
        let handle = client.queue_with(queue.name().clone(), queue.options());
        workers.push((queue.name().clone(), Worker::start(&handle, served.handlers, options)));
    }
    Workers { workers }
}

impl Workers {
    /// Each queue with its worker: what it runs now, what it settled, when it last heard from the engine.
    pub fn iter(&self) -> impl Iterator<Item = (&QueueName, &Worker)> {
        self.workers.iter().map(|(queue, worker)| (queue, worker))
    }

    /// Handles that can hurry a shutdown that is under way: what a second signal does.
    pub fn hurries(&self) -> Vec<Hurry> {
        self.workers.iter().map(|(_, worker)| worker.hurry()).collect()
    }

    /// Takes nothing more, lets running jobs end within the drain time, asks the rest to stop, gives back what did not end,
    /// and joins every task. All queues at once.
    pub async fn shutdown(self) {
        let mut ends = tokio::task::JoinSet::new();
        for (_, worker) in self.workers {
            ends.spawn(worker.shutdown());
        }
        ends.join_all().await;
    }
}
