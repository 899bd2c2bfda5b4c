//! Jobs that add a job for each of many things.
//!
//! A schedule whose job is about every property, account, publisher or user fires one job here. It goes through the things page by page and
//! adds a job for each, in the name of the thing's owner, under an id that follows from its own, which in turn follows from schedule and
//! slot; after each page it notes how far it has come. A run that ends in the middle is continued there by the next; what of the last page
//! was added already is found by its id, or by a key that outlives the record, and is not added again.

mod aggregates;
mod each;
mod prices;

use std::sync::Arc;

use bulrush::model::{Dedup, NewJob};
use bulrush::port::AddOutcome;
use bulrush::{Client, Context, Failure, JobResult, Queue};
use bulrush_catalog::jobs::{FanOutAggregates, FanOutPrices};
use bulrush_catalog::schedules::FAN_OUT;
use bulrush_service::{Served, WorkerSettings, Workers};
use tokio::time::Duration;

use crate::Dependencies;

/// How long it is remembered that a job was added, ms: longer than all tries of a fan-out take.
const KEY_MS: u64 = 24 * 3_600 * 1_000;
/// Jobs of fan-outs come after those that somebody has asked for.
const PRIORITY: u32 = 10;
/// How long a queue that is full is left to be worked off.
const FULL: Duration = Duration::from_secs(30);
/// How long jobs may go on at a shutdown: the next run goes on where they were.
const DRAIN: Duration = Duration::from_secs(5);

/// Starts the worker of these jobs. To be called within a tokio runtime.
pub(crate) fn start(deps: &Dependencies) -> Workers {
    let client = Client::new(deps.backend.clone());
    let settings = WorkerSettings {
        catalog: (*deps.catalog).clone(),
        drain: DRAIN,
        ..WorkerSettings::named("bulrush-scheduler")
    };
    Workers::start(&client, vec![served(&client, deps)], &settings)
}

fn served(client: &Client, deps: &Dependencies) -> Served {
    let of_prices = (client.clone(), deps.clone());
    let of_aggregates = of_prices.clone();
    Served::new(FAN_OUT)
        .on::<FanOutPrices, _, _>(move |payload, ctx| {
            let (client, deps) = of_prices.clone();
            async move {
                tokio::select! {
                    biased;
                    _ = ctx.stopped() => Err(Failure::Cancelled),
                    done = prices::run(&client, &deps, payload, &ctx) => done,
                }
            }
        })
        .on::<FanOutAggregates, _, _>(move |payload, ctx| {
            let (client, deps) = of_aggregates.clone();
            async move {
                tokio::select! {
                    biased;
                    _ = ctx.stopped() => Err(Failure::Cancelled),
                    done = aggregates::run(&client, &deps, payload, &ctx) => done,
                }
            }
        })
}

/// The queue to which a fan-out adds.
fn target(client: &Client, deps: &Dependencies, name: &str) -> JobResult<Queue> {
    let queue = deps.catalog.find(name).map_err(Failure::unrecoverable)?;
    Ok(client.queue_with(queue.name().clone(), queue.options()))
}

/// Makes a job the one of a thing: by its id there is one for each fan-out and thing.
fn one_of(ctx: &Context, queue: &Queue, thing: &str, mut job: NewJob) -> NewJob {
    let id = queue.derived_id(ctx.id(), thing);
    let key = format!("fan-out:{id}");
    job.spec.id = id;
    job.spec.dedup = Some(Arc::new(Dedup { key: key.into(), ttl_ms: Some(KEY_MS), fingerprint: None }));
    job.spec.traceparent.clone_from(&ctx.spec().traceparent);
    job.priority(PRIORITY)
}

/// Adds a page's jobs. A queue that is full is no reason to lose one: the page is tried again when it has been worked off.
async fn add(queue: &Queue, jobs: Vec<NewJob>) -> JobResult<u64> {
    let added = queue.add_bulk(jobs).await?;
    if added.iter().any(|added| matches!(added.outcome, AddOutcome::Full { .. })) {
        return Err(Failure::Snooze { after: FULL });
    }
    Ok(added.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bulrush_catalog::{Binary, Catalog};
    use bulrush_store::Store;

    use super::*;

    #[tokio::test]
    async fn each_kind_of_the_scheduler_s_queues_is_run() {
        let client = Client::connect("memory:").await.unwrap();
        let store = Store::open("sqlite::memory:").await.unwrap();
        let catalog = Arc::new(Catalog::default());
        let deps = Dependencies::new(client.backend().clone(), store, catalog.clone());
        let served = served(&client, &deps);
        let names: HashSet<_> = served.handlers().names().collect();
        let queues: Vec<_> = catalog.of_binary(Binary::Scheduler).collect();
        assert_eq!(queues.iter().map(|queue| queue.name().as_str()).collect::<Vec<_>>(), [FAN_OUT]);
        let kinds: HashSet<_> = queues[0].entry().jobs.iter().map(|kind| kind.name).collect();
        assert_eq!(names, kinds);
    }
}
