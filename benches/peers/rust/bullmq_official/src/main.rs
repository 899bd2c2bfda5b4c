//! The official Rust port of BullMQ, with its defaults.

use std::sync::Arc;
use std::time::Instant;

use bullmq::options::RedisConnectionOptions;
use bullmq::worker::CancellationToken;
use bullmq::{BulkJob, Job, Queue, QueueOptions, Worker, WorkerOptions};
use peer_common::{Arguments, Handled, Meter, Scenario, checked, ms_since, produce, stage, time_each, until};

const QUEUE: &str = "bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let connection = RedisConnectionOptions::new().url(&arguments.url);
    let queue = Queue::with_options(QUEUE, QueueOptions::new().connection(connection)).await?;
    // The connection is made by its first use.
    queue.count().await?;
    match arguments.scenario {
        Scenario::AddBulk => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = fill(&queue, &arguments).await?;
            meter.finish(arguments.jobs, samples)?;
            checked(queue.get_waiting_count().await? as usize)
        }
        Scenario::AddConcurrent => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = produce(&arguments, || {
                let (queue, data, each) = (queue.clone(), arguments.data(), arguments.each());
                async move {
                    let mut samples = Vec::with_capacity(each);
                    for _ in 0..each {
                        let started = Instant::now();
                        queue.add("bench", &data).await?;
                        samples.push(ms_since(started));
                    }
                    Ok(samples)
                }
            })
            .await?;
            let jobs = samples.len();
            meter.finish(jobs, samples)?;
            checked(queue.get_waiting_count().await? as usize)
        }
        Scenario::Process => {
            stage("connected")?;
            fill(&queue, &arguments).await?;
            stage("filled")?;
            let handled = Arc::new(Handled::default());
            handled.want(arguments.jobs);
            let meter = Meter::start()?;
            let worker = work(&arguments, arguments.concurrency, handled.clone()).await?;
            handled.all().await?;
            until(arguments.jobs, async || Ok(queue.get_completed_count().await? as usize)).await?;
            meter.finish(arguments.jobs, Vec::new())?;
            checked(queue.get_completed_count().await? as usize)?;
            Ok(worker.close(1_000).await?)
        }
        Scenario::Latency => {
            let handled = Arc::new(Handled::default());
            let worker = work(&arguments, 1, handled.clone()).await?;
            stage("connected")?;
            let data = arguments.data();
            let meter = Meter::start()?;
            let samples = time_each(&arguments, &handled, async || {
                queue.add("bench", &data).await?;
                Ok(())
            })
            .await?;
            meter.finish(arguments.jobs, samples)?;
            until(arguments.jobs, async || Ok(queue.get_completed_count().await? as usize)).await?;
            checked(queue.get_completed_count().await? as usize)?;
            Ok(worker.close(1_000).await?)
        }
    }
}

/// Adds all jobs in batches; the times of the batches, ms.
async fn fill(queue: &Queue, arguments: &Arguments) -> anyhow::Result<Vec<f64>> {
    let data = arguments.data();
    let mut samples = Vec::new();
    for n in arguments.batches() {
        let batch = (0..n).map(|_| BulkJob::new("bench", &data)).collect();
        let started = Instant::now();
        queue.add_bulk(batch).await?;
        samples.push(ms_since(started));
    }
    Ok(samples)
}

async fn work(arguments: &Arguments, concurrency: usize, handled: Arc<Handled>) -> anyhow::Result<Worker> {
    let connection = RedisConnectionOptions::new().url(&arguments.url);
    let options = WorkerOptions { connection, concurrency, ..WorkerOptions::default() };
    let processor = move |_: Job, _: CancellationToken| {
        handled.run();
        std::future::ready(Ok(serde_json::Value::Null))
    };
    Ok(Worker::with_options(QUEUE, processor, options).await?)
}
