//! Running all queues of a worker binary together.

use std::time::Duration;

use bulrush::model::QueueName;
use bulrush::{Client, Handlers, Hurry, Worker, WorkerOptions};
use bulrush_catalog::Catalog;

use crate::{Drained, Shutdown, Watched};

/// A queue and the handlers of its jobs.
pub struct Served {
    /// The queue's name in the catalogue.
    pub queue: &'static str,
    /// What runs its jobs.
    pub handlers: Handlers,
}

/// How workers run.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The queues' limits: slots, attempts, back-off.
    pub catalog: Catalog,
    /// For people, in lists of workers: host or binary.
    pub name: String,
    /// Slots of each queue, in place of what the catalogue says.
    pub concurrency: Option<usize>,
    /// How long running jobs may go on at a shutdown before they are asked to stop.
    pub drain: Duration,
}

impl WorkerSettings {
    /// The catalogue as it is shipped, and 30 s to drain.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            catalog: Catalog::default(),
            name: name.into(),
            concurrency: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// Running workers, one for each queue. Dropping it stops them without waiting.
#[must_use = "dropping the workers stops them"]
#[derive(Default)]
pub struct Workers {
    workers: Vec<(QueueName, usize, Worker)>,
}

impl Workers {
    /// Starts a worker for each of `queues`. To be called within a tokio runtime.
    ///
    /// The queues' settings in the engine (rate limit, retention) are the caller's to bring, with [`bulrush::Queue::configure`]: they are
    /// the same for all programs on one engine.
    ///
    /// # Panics
    /// If the catalogue has no queue of such a name: the list is a binary's own, and a test of it compares the two.
    pub fn start(client: &Client, queues: Vec<Served>, settings: &WorkerSettings) -> Self {
        let mut workers = Vec::new();
        for served in queues {
            let queue = settings
                .catalog
                .find(served.queue)
                .unwrap_or_else(|error| panic!("a worker's list of queues is wrong: {error}"));
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
            let slots = options.concurrency;
            workers.push((queue.name().clone(), slots, Worker::start(&handle, served.handlers, options)));
        }
        Self { workers }
    }

    /// Takes those of another binary along.
    pub fn and(mut self, others: Self) -> Self {
        self.workers.extend(others.workers);
        self
    }

    /// Each queue with its worker: what it runs now, what it settled, when it last heard from the engine.
    pub fn iter(&self) -> impl Iterator<Item = (&QueueName, &Worker)> {
        self.workers.iter().map(|(queue, _, worker)| (queue, worker))
    }

    /// The same for somebody who watches them.
    pub fn watched(&self) -> Vec<Watched> {
        let watched = |(queue, slots, worker): &(QueueName, usize, Worker)| Watched {
            queue: queue.clone(),
            slots: *slots,
            gauge: worker.gauge(),
        };
        self.workers.iter().map(watched).collect()
    }

    /// Handles that can hurry a shutdown that is under way: what a second signal does.
    pub fn hurries(&self) -> Vec<Hurry> {
        self.workers.iter().map(|(_, _, worker)| worker.hurry()).collect()
    }

    /// Takes nothing more, lets running jobs end within the drain time, asks the rest to stop, gives back what did not end,
    /// and joins every task. All queues at once.
    pub async fn shutdown(self) {
        let mut ends = tokio::task::JoinSet::new();
        for (_, _, worker) in self.workers {
            ends.spawn(worker.shutdown());
        }
        ends.join_all().await;
    }

    /// As [`shutdown`](Self::shutdown), and does not wait once the stop is forced.
    pub async fn drain(self, shutdown: &Shutdown) -> Drained {
        let hurries = self.hurries();
        let hurry = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                shutdown.forced().await;
                hurries.iter().for_each(Hurry::stop_now);
            }
        });
        self.shutdown().await;
        hurry.abort();
        if shutdown.is_forced() { Drained::CutShort } else { Drained::Whole }
    }
}

#[cfg(test)]
mod tests {
    use bulrush::model::JobState;

    use super::*;

    #[tokio::test]
    async fn the_queues_of_two_binaries_run_and_stop_together() {
        let client = Client::connect("memory:").await.unwrap();
        let settings = WorkerSettings::named("test");
        let served = |queue| Served { queue, handlers: Handlers::new().on_raw("x", |_| async { Ok(None) }) };
        let workers = Workers::start(&client, vec![served("sync")], &settings).and(Workers::start(
            &client,
            vec![served("metrics")],
            &settings,
        ));
        for name in ["sync", "metrics"] {
            let queue = settings.catalog.find(name).unwrap();
            let queue = client.queue_with(queue.name().clone(), queue.options());
            let id = queue.add(queue.job("x", "{}")).await.unwrap().id;
            let ended = queue.wait_finished(&id, Duration::from_mins(1)).await.unwrap().unwrap();
            assert_eq!(ended.state(), JobState::Completed);
        }
        let queues: Vec<String> = workers.iter().map(|(queue, _)| queue.to_string()).collect();
        assert_eq!(queues, ["sync", "metrics"]);
        assert_eq!(workers.drain(&Shutdown::new()).await, Drained::Whole);
    }
}
