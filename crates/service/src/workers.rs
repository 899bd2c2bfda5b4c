//! Running all queues of a worker binary together.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bulrush::model::QueueName;
use bulrush::{Client, Context, Handlers, Hurry, Job, JobResult, Worker, WorkerOptions};
use bulrush_catalog::Catalog;

use crate::chains::Chain;
use crate::{Drained, Shutdown, Watched};

/// A queue and the handlers of its jobs. What the catalogue says follows a job ([`bulrush_catalog::FollowUp`]) is added together with its
/// completion.
pub struct Served {
    queue: &'static str,
    handlers: Handlers,
    chain: Chain,
}

impl Served {
    /// A queue of the catalogue, without handlers yet.
    pub fn new(queue: &'static str) -> Self {
        Self { queue, handlers: Handlers::new(), chain: Chain::default() }
    }

    /// The same with handlers of one's own: nothing follows their jobs but what they add themselves.
    pub fn by(queue: &'static str, handlers: Handlers) -> Self {
        Self { handlers, ..Self::new(queue) }
    }

    /// Runs jobs of a type.
    #[must_use]
    pub fn on<J, F, Fut>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = JobResult<J::Output>> + Send + 'static,
    {
        self.handlers = self.handlers.on::<J, _, _>(chained(self.chain.clone(), handler));
        self
    }

    /// Runs jobs of a type, under whatever name they were added: for a queue with one kind of job.
    #[must_use]
    pub fn under_any_name<J, F, Fut>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(J, Context) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = JobResult<J::Output>> + Send + 'static,
    {
        let other = chained(self.chain.clone(), handler.clone());
        self = self.on::<J, _, _>(handler);
        self.handlers = self.handlers.otherwise::<J, _, _>(other);
        self
    }

    /// Its name in the catalogue.
    pub fn queue(&self) -> &'static str {
        self.queue
    }

    /// What runs its jobs. Nothing follows them until [`Workers::start`] has been given the queue.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }
}

/// A handler under way.
type Running<T> = Pin<Box<dyn Future<Output = JobResult<T>> + Send>>;

/// A handler after which follows what is declared.
fn chained<J, F, Fut>(
    chain: Chain,
    handler: F,
) -> impl Fn(J, Context) -> Running<J::Output> + Send + Sync + 'static
where
    J: Job,
    F: Fn(J, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = JobResult<J::Output>> + Send + 'static,
{
    move |payload, context| {
        let (chain, run) = (chain.clone(), handler(payload, context.clone()));
        Box::pin(async move {
            let result = run.await?;
            chain.follow::<J>(&context, &result);
            Ok(result)
        })
    }
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
            served.chain.fill(client, &settings.catalog, queue);
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
    use bulrush_catalog::jobs::{EnrichProperty, EnrichPropertyResult, GeoPoint};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Serialize, Deserialize)]
    struct Nothing {}

    impl Job for Nothing {
        const NAME: &'static str = "nothing";
        type Output = ();
    }

    fn enriched(days_enriched: u64) -> EnrichPropertyResult {
        EnrichPropertyResult {
            success: true,
            property_id: "inn".into(),
            days_enriched,
            first_day: None,
            last_day: None,
            days_with_weather: 0,
            public_holidays: 0,
            school_holidays: 0,
            notes: Vec::new(),
        }
    }

    /// Runs enrichments that end as told, and returns what follows.
    async fn what_follows(setting: Option<&str>, result: JobResult<EnrichPropertyResult>) -> Vec<String> {
        let client = Client::connect("memory:").await.unwrap();
        let name = "BULRUSH_QUEUE_ENRICHMENT_FOLLOW_UPS".to_owned();
        let catalog = Catalog::with_settings(setting.map(|value| (name, value.to_owned()))).unwrap();
        let settings = WorkerSettings { catalog, ..WorkerSettings::named("test") };
        let served = Served::new("enrichment").under_any_name(move |_: EnrichProperty, _| {
            let result = result.clone();
            async move { result }
        });
        let workers = Workers::start(&client, vec![served], &settings);
        let queue = |name: &str| {
            let queue = settings.catalog.find(name).unwrap();
            client.queue_with(queue.name().clone(), queue.options())
        };
        let location = GeoPoint { latitude: 47.0, longitude: 11.0 };
        let (property_id, user_id) = ("inn".to_owned(), "ada".to_owned());
        let payload =
            EnrichProperty { property_id, user_id, location, country_code: None, calendarific_api_key: None };
        let job = queue("enrichment").typed(&payload).unwrap().owner("acme", "ada").attempts(1);
        let id = queue("enrichment").add(job).await.unwrap().id;
        queue("enrichment").wait_finished(&id, Duration::from_mins(1)).await.unwrap().unwrap();
        workers.shutdown().await;
        let request = bulrush::model::PageRequest { limit: 10, ..Default::default() };
        let page = client.backend().page(queue("analytics-heavy").name(), request).await.unwrap();
        let said = |job: &bulrush::model::JobView| {
            let owner = job.spec.owner.as_ref().unwrap();
            format!("{} {} {}", job.spec.name, owner.user, String::from_utf8_lossy(&job.spec.data))
        };
        page.jobs.iter().map(said).collect()
    }

    #[tokio::test]
    async fn what_the_catalogue_declares_follows_a_completion_if_it_is_switched_on() {
        let summary = r#"summary ada {"propertyId":"inn","userId":"ada","analysisType":"summary"}"#;
        assert_eq!(what_follows(Some("on"), Ok(enriched(3))).await, [summary]);
        assert_eq!(
            what_follows(Some("on"), Ok(enriched(0))).await,
            [""; 0],
            "there is nothing to be said of it"
        );
        assert_eq!(what_follows(Some("off"), Ok(enriched(3))).await, [""; 0]);
        let failed = Err(bulrush::Failure::unrecoverable("no such property"));
        assert_eq!(what_follows(Some("on"), failed).await, [""; 0]);
    }

    #[tokio::test]
    async fn the_queues_of_two_binaries_run_and_stop_together() {
        let client = Client::connect("memory:").await.unwrap();
        let settings = WorkerSettings::named("test");
        let served = |queue| Served::new(queue).under_any_name(|Nothing {}, _| async { Ok(()) });
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
