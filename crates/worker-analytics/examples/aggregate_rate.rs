//! Measures how fast observations are summed: `cargo run --release -p bulrush-worker-analytics --example aggregate_rate -- [N]`.
//!
//! N values (10 million unless told otherwise) of two years are summed in memory by hour, day, week and month of Berlin's clock; then
//! a million, as four metrics of one publisher, by the job, from a SQLite file and into it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulrush::Client;
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{Aggregate, Granularity};
use bulrush_service::WorkerSettings;
use bulrush_store::{EntityKind, NewEntity, Objects, Observation, Owner, Store, StoreError};
use bulrush_worker_analytics::rollup::{fold, spans};
use bulrush_worker_analytics::{Dependencies, start};
use jiff::civil::date;
use jiff::tz::TimeZone;

type Failure = Box<dyn std::error::Error>;

const METRICS: [&str; 4] = ["clicks", "impressions", "requests", "revenue"];
/// Observations of the job.
const STORED: i64 = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let count: i64 = std::env::args().nth(1).map_or(Ok(10_000_000), |text| text.parse())?;
    in_memory(count)?;
    let folder = tempfile::tempdir()?;
    by_the_job(folder.path()).await
}

fn in_memory(count: i64) -> Result<(), Failure> {
    let zone = TimeZone::get("Europe/Berlin")?;
    let (first, last) = (date(2024, 1, 1), date(2025, 12, 31));
    for (granularity, name) in Granularity::ALL {
        let begun = Instant::now();
        let laid_out = spans(&zone, granularity, first, last)?;
        let (begin, end) = (laid_out[0].start_ms, laid_out[laid_out.len() - 1].end_ms);
        let series = (0..count).map(|n| {
            // No order in the values, so that percentiles have something to do.
            let value = (n.wrapping_mul(2_654_435_761) & 0xffff) as f64 / 64.0;
            (begin + (end - begin) / count * n, value)
        });
        let buckets = fold(series, &laid_out, usize::MAX)?;
        let took = begun.elapsed();
        let summed: u64 = buckets.iter().map(|bucket| bucket.figures.count).sum();
        let rate = summed as f64 / took.as_secs_f64() / 1e6;
        println!(
            "{name:5} {summed} values in {} buckets: {took:.2?}, {rate:.1} million a second",
            buckets.len()
        );
    }
    Ok(())
}

async fn by_the_job(folder: &std::path::Path) -> Result<(), Failure> {
    let store = Store::open(&format!("sqlite:{}", folder.join("store.db").display())).await?;
    store.migrate().await?;
    let publisher = NewEntity {
        id: "pub".into(),
        owner: Owner::new("bench", "bench"),
        kind: EntityKind::Publisher,
        name: "bench".into(),
        location: None,
        country: None,
        time_zone: Some("Europe/Berlin".into()),
        attributes: serde_json::Map::new(),
    };
    let _: bulrush_store::Saved =
        store.write::<_, StoreError, _>(async |tx| store.entities().save(tx, &publisher).await).await?;
    let each = STORED / METRICS.len() as i64;
    let begin_ms = 1_704_067_200_000;
    for metric in METRICS {
        for batch in (0..each).collect::<Vec<_>>().chunks(10_000) {
            let rows: Vec<Observation> = batch
                .iter()
                .map(|n| Observation {
                    metric: metric.into(),
                    ts_ms: begin_ms + n * 120_000,
                    value: (n % 977) as f64,
                })
                .collect();
            store
                .write::<_, StoreError, _>(async |tx| store.observations().upsert(tx, "pub", &rows).await)
                .await?;
        }
    }
    let client = Client::connect("memory:").await?;
    let deps = Dependencies::new(store.clone(), Objects::open(folder.join("files")).await?);
    let catalog = Arc::new(Catalog::with_settings([(
        "BULRUSH_QUEUE_AGGREGATION_RATE_MAX".to_owned(),
        "off".to_owned(),
    )])?);
    let settings = WorkerSettings { catalog: (*catalog).clone(), ..WorkerSettings::named("bench") };
    let workers = start(&client, &deps, &settings);
    let queue = catalog.find("aggregation")?;
    let queue = client.queue_with(queue.name().clone(), queue.options());
    for (granularity, name) in Granularity::ALL {
        let payload = Aggregate {
            publisher_id: "pub".into(),
            start_date: Some(date(2024, 1, 1)),
            end_date: Some(date(2024, 12, 31)),
            granularity,
            user_id: "bench".into(),
        };
        let begun = Instant::now();
        let job = queue.typed(&payload)?.owner("bench", "bench");
        let id = queue.add(job).await?.id;
        let view = queue.wait_finished(&id, Duration::from_mins(5)).await?.ok_or("the job is gone")?;
        let result: Option<bulrush_catalog::jobs::AggregateResult> = view.output()?;
        let result = result.ok_or_else(|| format!("{name}: {:?}", view.failed_reason()))?;
        let took = begun.elapsed();
        let rate = result.observations as f64 / took.as_secs_f64() / 1e6;
        println!(
            "{name:5} of a SQLite file: {} observations into {} rows: {took:.2?}, {rate:.2} million a second",
            result.observations, result.rows
        );
    }
    workers.shutdown().await;
    store.close().await;
    Ok(())
}
