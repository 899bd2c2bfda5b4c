//! apalis with apalis-redis, with their defaults but the name of the queue.

use std::sync::Arc;
use std::time::Instant;

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::*;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use peer_common::{
    Arguments, Data, Handled, Meter, Scenario, checked, ms_since, produce, stage, time_each, until,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let connection = apalis_redis::connect(arguments.url.as_str()).await?;
    let config = Config::default().queue("bench");
    let storage: RedisStorage<Data> = RedisStorage::new(connection.clone()).with_config(config.clone());
    // Every job is put among the scheduled ones first, due at once; a worker's fetch moves all that are due.
    let waiting = async || {
        let scheduled = count(&connection, "ZCARD", &config.scheduled_jobs_set()).await?;
        Ok::<_, anyhow::Error>(scheduled + count(&connection, "LLEN", &config.active_jobs_list()).await?)
    };
    let done = async || count(&connection, "SCARD", &config.done_jobs_set()).await;
    match arguments.scenario {
        Scenario::AddBulk => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = fill(storage, &arguments).await?;
            meter.finish(arguments.jobs, samples)?;
            checked(waiting().await?)
        }
        Scenario::AddConcurrent => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = produce(&arguments, || {
                let (mut storage, data, each) = (storage.clone(), arguments.data(), arguments.each());
                async move {
                    let mut samples = Vec::with_capacity(each);
                    for _ in 0..each {
                        let started = Instant::now();
                        storage.push(data.clone()).await?;
                        samples.push(ms_since(started));
                    }
                    Ok(samples)
                }
            })
            .await?;
            let jobs = samples.len();
            meter.finish(jobs, samples)?;
            checked(waiting().await?)
        }
        Scenario::Process => {
            stage("connected")?;
            fill(storage.clone(), &arguments).await?;
            stage("filled")?;
            let handled = Arc::new(Handled::default());
            handled.want(arguments.jobs);
            let meter = Meter::start()?;
            let worker = work(storage, arguments.concurrency, handled.clone());
            handled.all().await?;
            until(arguments.jobs, done).await?;
            meter.finish(arguments.jobs, Vec::new())?;
            checked(done().await?)?;
            worker.abort();
            Ok(())
        }
        Scenario::Latency => {
            let handled = Arc::new(Handled::default());
            let worker = work(storage.clone(), 1, handled.clone());
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = time_each(&arguments, &handled, || {
                let (mut storage, data) = (storage.clone(), arguments.data());
                async move { Ok(storage.push(data).await?) }
            })
            .await?;
            meter.finish(arguments.jobs, samples)?;
            until(arguments.jobs, done).await?;
            checked(done().await?)?;
            worker.abort();
            Ok(())
        }
    }
}

async fn count(connection: &ConnectionManager, command: &str, key: &str) -> anyhow::Result<usize> {
    Ok(redis::cmd(command).arg(key).query_async(&mut connection.clone()).await?)
}

/// Adds all jobs in batches; the times of the batches, ms.
async fn fill(mut storage: RedisStorage<Data>, arguments: &Arguments) -> anyhow::Result<Vec<f64>> {
    let data = arguments.data();
    let mut samples = Vec::new();
    for n in arguments.batches() {
        let batch = vec![data.clone(); n];
        let started = Instant::now();
        storage.push_bulk(batch).await?;
        samples.push(ms_since(started));
    }
    Ok(samples)
}

fn work(
    storage: RedisStorage<Data>,
    concurrency: usize,
    handled: Arc<Handled>,
) -> tokio::task::JoinHandle<Result<(), WorkerError>> {
    let worker =
        WorkerBuilder::new("bench").backend(storage).concurrency(concurrency).build(move |_: Data| {
            handled.run();
            std::future::ready(())
        });
    tokio::spawn(async move { worker.run().await })
}
