//! How long it takes to put many schedules, and to fire them when they are due in the same second.
//!
//! `cargo run --release -p bulrush --example schedules -- ADDRESS [SCHEDULES] [TICKERS] [SECONDS AHEAD] [every|cron]`, where the address is one
//! of a backend that is empty.

use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::connect;
use bulrush::model::{JobId, NewJob, QueueName, ScheduleId, ScheduleSpec, Scope};
use bulrush::port::{Backend, Put};
use bulrush::{Ticker, TickerOptions, TickerStats};

/// Schedules put in one call.
const AT_ONCE: u64 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "memory:".to_owned());
    let schedules: u64 = arguments.next().map_or(Ok(100_000), |n| n.parse())?;
    let tickers: usize = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let ahead: u64 = arguments.next().map_or(Ok(30), |n| n.parse())?;
    let by_cron = arguments.next().is_some_and(|word| word == "cron");
    let backend = connect(&address).await?;
    let queue = QueueName::new("schedules")?;

    // Slots a year apart, so that each has one here, far enough ahead to have put all of them by then.
    let slot = (backend.now().await? / 1_000 + ahead) * 1_000;
    let started = tokio::time::Instant::now();
    put(&backend, &queue, schedules, slot, by_cron).await?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{}: {schedules} schedules put in {seconds:.2} s, {:.0} a second",
        backend.kind(),
        schedules as f64 / seconds
    );
    let now = backend.now().await?;
    if now >= slot {
        return Err(format!("they were not put within {ahead} s; give more").into());
    }
    tokio::time::sleep(Duration::from_millis(slot - now)).await;

    let (server, own) = (server_us(&backend).await, own_us());
    let started = tokio::time::Instant::now();
    let tickers: Vec<Ticker> =
        (0..tickers).map(|_| Ticker::start(&backend, [queue.clone()], TickerOptions::default())).collect();
    let fired = || tickers.iter().map(|ticker| ticker.stats().fired).sum::<u64>();
    while fired() < schedules {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (server, own) = (server_us(&backend).await - server, own_us() - own);
    let waiting = backend.info(&queue).await?.counts.waiting;
    let mut stale = 0;
    for ticker in tickers {
        let stats: TickerStats = ticker.shutdown().await;
        stale += stats.stale;
    }
    println!(
        "{}: {schedules} slots of one moment fired in {seconds:.2} s, {:.0} a second; processor time a slot: {:.1} µs here, {:.1} µs of the \
         server; {waiting} jobs wait, {stale} slots were another ticker's",
        backend.kind(),
        schedules as f64 / seconds,
        own / schedules as f64,
        server / schedules as f64,
    );
    backend.close().await?;
    Ok(())
}

async fn put(
    backend: &Arc<dyn Backend>,
    queue: &QueueName,
    schedules: u64,
    slot: u64,
    by_cron: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let job = NewJob::new(JobId::new("sch-0")?, "tick", vec![b'x'; 100]);
    let expression =
        jiff::Timestamp::from_millisecond(slot.cast_signed())?.strftime("%S %M %H %d %m *").to_string();
    let spec = |n: u64| -> Result<ScheduleSpec, Box<dyn std::error::Error>> {
        let id = ScheduleId::new(&format!("schedule-{n:06}"))?;
        Ok(if by_cron {
            ScheduleSpec::cron(id, expression.clone(), &job)?
        } else {
            ScheduleSpec::every(id, 365 * 24 * 3_600_000, &job)?.anchor(slot)
        })
    };
    for first in (0..schedules).step_by(AT_ONCE as usize) {
        let specs = (first..schedules.min(first + AT_ONCE)).map(spec).collect::<Result<_, _>>()?;
        backend.put_schedules(queue, &Scope::All, specs, Put::Always).await?;
    }
    Ok(())
}

/// Processor time of the server, if there is one, µs.
async fn server_us(backend: &Arc<dyn Backend>) -> f64 {
    backend.server_usage().await.ok().flatten().map_or(0.0, |usage| usage.cpu_us as f64)
}

/// Processor time of this process, µs, where the system tells: in hundredths of a second.
fn own_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    // User and system time are the 14th and 15th field; the name is the second.
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() * 10_000.0
}
