//! ChasquiMQ, with its defaults. It needs Redis 8.6 or newer.

use std::sync::Arc;
use std::time::Instant;

use chasquimq::producer::stream_key;
use chasquimq::{Bytes, Consumer, ConsumerConfig, Job, Producer, ProducerConfig};
use peer_common::{
    Arguments, Data, Handled, Meter, Scenario, checked, ms_since, produce, stage, time_each, until,
};
use redis::aio::MultiplexedConnection;
use tokio_util::sync::CancellationToken;

const QUEUE: &str = "bench";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::read()?;
    let config = ProducerConfig { queue_name: QUEUE.to_owned(), ..ProducerConfig::default() };
    let producer: Arc<Producer<Data>> = Arc::new(Producer::connect(&arguments.url, config).await?);
    let connection = redis::Client::open(arguments.url.as_str())?.get_multiplexed_async_connection().await?;
    // What is done is deleted from the stream.
    let left = async || length(&connection).await;
    let done = async || Ok(arguments.jobs.saturating_sub(left().await?));
    match arguments.scenario {
        Scenario::AddBulk => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = fill(&producer, &arguments).await?;
            meter.finish(arguments.jobs, samples)?;
            checked(left().await?)
        }
        Scenario::AddConcurrent => {
            stage("connected")?;
            let meter = Meter::start()?;
            let samples = produce(&arguments, || {
                let (producer, data, each) = (producer.clone(), arguments.data(), arguments.each());
                async move {
                    let mut samples = Vec::with_capacity(each);
                    for _ in 0..each {
                        let started = Instant::now();
                        producer.add(data.clone()).await?;
                        samples.push(ms_since(started));
                    }
                    Ok(samples)
                }
            })
            .await?;
            let jobs = samples.len();
            meter.finish(jobs, samples)?;
            checked(left().await?)
        }
        Scenario::Process => {
            stage("connected")?;
            fill(&producer, &arguments).await?;
            stage("filled")?;
            let handled = Arc::new(Handled::default());
            handled.want(arguments.jobs);
            let meter = Meter::start()?;
            let worker = work(&arguments, arguments.concurrency, handled.clone());
            handled.all().await?;
            until(arguments.jobs, done).await?;
            meter.finish(arguments.jobs, Vec::new())?;
            checked(done().await?)?;
            worker.abort();
            Ok(())
        }
        Scenario::Latency => {
            let handled = Arc::new(Handled::default());
            let worker = work(&arguments, 1, handled.clone());
            stage("connected")?;
            let data = arguments.data();
            let meter = Meter::start()?;
            let samples = time_each(&arguments, &handled, async || {
                producer.add(data.clone()).await?;
                Ok(())
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

async fn length(connection: &MultiplexedConnection) -> anyhow::Result<usize> {
    Ok(redis::cmd("XLEN").arg(stream_key(QUEUE)).query_async(&mut connection.clone()).await?)
}

/// Adds all jobs in batches; the times of the batches, ms.
async fn fill(producer: &Producer<Data>, arguments: &Arguments) -> anyhow::Result<Vec<f64>> {
    let data = arguments.data();
    let mut samples = Vec::new();
    for n in arguments.batches() {
        let batch = vec![data.clone(); n];
        let started = Instant::now();
        producer.add_bulk(batch).await?;
        samples.push(ms_since(started));
    }
    Ok(samples)
}

fn work(
    arguments: &Arguments,
    concurrency: usize,
    handled: Arc<Handled>,
) -> tokio::task::JoinHandle<chasquimq::Result<()>> {
    let config = ConsumerConfig { queue_name: QUEUE.to_owned(), concurrency, ..ConsumerConfig::default() };
    let consumer: Consumer<Data> = Consumer::new(arguments.url.clone(), config);
    let handler = move |_: Job<Data>| {
        handled.run();
        std::future::ready(Ok(Bytes::new()))
    };
    tokio::spawn(consumer.run(handler, CancellationToken::new()))
}
