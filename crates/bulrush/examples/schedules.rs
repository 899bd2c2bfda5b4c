//! How long it takes to fire many schedules that are due in the same second.
//!
//! `cargo run --release -p bulrush --example schedules -- ADDRESS [SCHEDULES] [TICKERS] [SECONDS AHEAD]`, where the address is one of a backend that is empty.

use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::connect;
use bulrush::model::{JobId, NewJob, QueueName, ScheduleId, ScheduleSpec, Scope};
use bulrush::port::{Backend, Put};
use bulrush::{Ticker, TickerOptions, TickerStats};
use futures_util::{StreamExt, TryStreamExt, stream};

/// Puts under way at once.
const AT_ONCE: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "memory:".to_owned());
    let schedules: u64 = arguments.next().map_or(Ok(100_000), |n| n.parse())?;
    let tickers: usize = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let backend = connect(&address).await?;
    let queue = QueueName::new("schedules")?;

    // A year's period, so that each has one slot here, far enough ahead to have put all of them by then.
    let ahead: u64 = arguments.next().map_or(Ok(60), |n| n.parse())?;
    let slot = backend.now().await? + ahead * 1_000;
    let started = tokio::time::Instant::now();
    put(&backend, &queue, schedules, slot).await?;
    println!("{schedules} schedules put in {:.1} s", started.elapsed().as_secs_f64());
    let now = backend.now().await?;
    if now >= slot {
        return Err(format!("they were not put within {ahead} s; give more").into());
    }
    tokio::time::sleep(Duration::from_millis(slot - now)).await;

    let started = tokio::time::Instant::now();
    let tickers: Vec<Ticker> =
        (0..tickers).map(|_| Ticker::start(&backend, [queue.clone()], TickerOptions::default())).collect();
    let fired = || tickers.iter().map(|ticker| ticker.stats().fired).sum::<u64>();
    while fired() < schedules {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let waiting = backend.info(&queue).await?.counts.waiting;
    let mut stale = 0;
    for ticker in tickers {
        let stats: TickerStats = ticker.shutdown().await;
        stale += stats.stale;
    }
    println!(
        "{}: {schedules} slots of one moment fired in {seconds:.2} s, {:.0} a second; {waiting} jobs wait, {stale} slots were another ticker's",
        backend.kind(),
        schedules as f64 / seconds
    );
    backend.close().await?;
    Ok(())
}

async fn put(
    backend: &Arc<dyn Backend>,
    queue: &QueueName,
    schedules: u64,
    slot: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let job = NewJob::new(JobId::new("sch-0")?, "tick", vec![b'x'; 100]);
    stream::iter(0..schedules)
        .map(|n| {
            let (backend, job) = (backend.clone(), job.clone());
            async move {
                let id = ScheduleId::new(&format!("schedule-{n:06}"))?;
                let spec = ScheduleSpec::every(id, 365 * 24 * 3_600_000, &job)?.anchor(slot);
                backend.put_schedule(queue, &Scope::All, spec, Put::Always).await
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(())
}
