//! oxana, with its defaults.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use oxana::{FromContext, Job, JobContext, Queue, QueueConfig, Storage, Worker};
use peer_common::{
    Arguments, Data, Handled, Meter, Scenario, checked, ms_since, produce, stage, time_each, until,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct BenchJob(Data);

impl Job for BenchJob {}

struct BenchWorker(Arc<Handled>);

impl FromContext<Arc<Handled>> for BenchWorker {
    fn from_context(handled: &Arc<Handled>) -> Self {
        Self(handled.clone())
    }
}

#[async_trait::async_trait]
impl Worker<BenchJob> for BenchWorker {
    type Error = Infallible;

    async fn process(&self, _: BenchJob, _: &JobContext) -> Result<(), Infallible> {
        self.0.run();
        Ok(())
    }
}

#[derive(Serialize)]
struct Bench;

impl Queue for Bench {
    fn to_config() -> QueueConfig {
        QueueConfig::as_static("bench")
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let storage = Storage::from_url(&arguments.url)?;
    // The connection is made by its first use.
    storage.jobs_count().await?;
    match arguments.scenario {
        Scenario::AddBulk => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = fill(&storage, &arguments).await?;
            meter.finish(arguments.jobs, samples)?;
            checked(storage.enqueued_count(Bench).await?)
        }
        Scenario::AddConcurrent => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = produce(&arguments, || {
                let (storage, job, each) = (storage.clone(), BenchJob(arguments.data()), arguments.each());
                async move {
                    let mut samples = Vec::with_capacity(each);
                    for _ in 0..each {
                        let started = Instant::now();
                        storage.enqueue(Bench, job.clone()).await?;
                        samples.push(ms_since(started));
                    }
                    Ok(samples)
                }
            })
            .await?;
            let jobs = samples.len();
            meter.finish(jobs, samples)?;
            checked(storage.enqueued_count(Bench).await?)
        }
        Scenario::Process => {
            stage("connected")?;
            fill(&storage, &arguments).await?;
            stage("filled")?;
            let handled = Arc::new(Handled::default());
            handled.want(arguments.jobs);
            let meter = Meter::start()?;
            let worker = work(&storage, arguments.concurrency, handled.clone());
            handled.all().await?;
            // A job that succeeded is not kept: none left means that all are done.
            let done = async || Ok(arguments.jobs.saturating_sub(storage.jobs_count().await?));
            until(arguments.jobs, done).await?;
            meter.finish(arguments.jobs, Vec::new())?;
            checked(arguments.jobs - storage.jobs_count().await? - storage.dead_count().await?)?;
            worker.abort();
            Ok(())
        }
        Scenario::Latency => {
            let handled = Arc::new(Handled::default());
            let worker = work(&storage, 1, handled.clone());
            stage("connected")?;
            let job = BenchJob(arguments.data());
            let meter = Meter::start()?;
            let samples = time_each(&arguments, &handled, async || {
                storage.enqueue(Bench, job.clone()).await?;
                Ok(())
            })
            .await?;
            meter.finish(arguments.jobs, samples)?;
            let done = async || Ok(arguments.jobs.saturating_sub(storage.jobs_count().await?));
            until(arguments.jobs, done).await?;
            checked(arguments.jobs - storage.jobs_count().await? - storage.dead_count().await?)?;
            worker.abort();
            Ok(())
        }
    }
}

/// Adds all jobs in batches; the times of the batches, ms.
async fn fill(storage: &Storage, arguments: &Arguments) -> anyhow::Result<Vec<f64>> {
    let job = BenchJob(arguments.data());
    let mut samples = Vec::new();
    for n in arguments.batches() {
        let batch = vec![job.clone(); n];
        let started = Instant::now();
        storage.enqueue_list(Bench, batch).await?;
        samples.push(ms_since(started));
    }
    Ok(samples)
}

fn work(
    storage: &Storage,
    concurrency: usize,
    handled: Arc<Handled>,
) -> tokio::task::JoinHandle<Result<(), oxana::OxanaError>> {
    let runtime = storage
        .runtime(handled)
        .queue_with_concurrency::<Bench>(concurrency)
        .worker::<BenchWorker, BenchJob>();
    tokio::spawn(async move { runtime.run().await.map(|_| ()) })
}
