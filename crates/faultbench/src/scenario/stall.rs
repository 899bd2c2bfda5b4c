//! Worker processes that stand still, wholly or in part.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::clock::now_us;
use crate::field::{Field, Scenario, Setup};
use crate::judge::{Duplicates, Rules};
use crate::producer::Load;
use crate::worker::Kind;

pub const Z1: Scenario = Scenario {
    name: "Z1",
    what: "SIGSTOP of a worker for more than two leases, then SIGCONT",
    holds: "others run its jobs within a lease + 5 s; what it writes late is refused; it takes work again within 5 s",
    smoke: true,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |setup| Rules {
        duplicates: Duplicates::InFlight,
        rescue_ms: Some(setup.lease_ms + 5_000),
        ..Rules::default()
    },
    faults: |field| Box::pin(stop_and_go_on(field)),
};

async fn stop_and_go_on(field: &mut Field) -> Result<()> {
    let place = field.chance.index(field.fleet.len());
    let over = field.chance.within(2_100..=2_600);
    let from = now_us();
    let pid = field.fleet.signal(place, Signal::STOP)?;
    tokio::time::sleep(Duration::from_millis(field.setup.lease_ms * over / 1_000)).await;
    field.fleet.signal(place, Signal::CONT)?;
    field.fault(format!("worker {place} stood still"), from, Some(pid), true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

pub const Z3: Scenario = Scenario {
    name: "Z3",
    what: "handlers that burn every thread of every worker's runtime for three leases",
    holds: "no job is taken from a worker that lives",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup { workers: 2, load: Load::even(100, 5..=50), ..Setup::default() },
    rules: |_| Rules { untouched: true, resume_ms: None, ..Rules::default() },
    faults: |field| Box::pin(burn(field)),
};

async fn burn(field: &mut Field) -> Result<()> {
    let from = now_us();
    let ms = 3 * field.setup.lease_ms;
    let mut last = Vec::new();
    // Twice as many as there are threads: whichever worker takes them, none has a thread left for long.
    for _ in 0..field.setup.workers * field.setup.threads {
        let job = field.producer.job(Kind::Spin, ms, 0, None);
        last.push(job.spec.id.clone());
        field.producer.clone().add(job).await;
    }
    let deadline = now_us() + 10 * ms * 1_000;
    loop {
        let jobs = field.queue.backend().get(field.queue.name(), &last).await?;
        if jobs.iter().flatten().all(bulrush::model::JobView::has_ended) {
            break;
        }
        if now_us() >= deadline {
            field.wrong.push("handlers that burn their thread did not come to an end".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    field.fault("every runtime thread burnt".to_owned(), from, None, false);
    Ok(())
}

pub const DEADLOCK: Scenario = Scenario {
    name: "deadlock",
    what: "a handler blocks every thread of its worker's runtime for ever while the worker's lease is still renewed; jobs have a time-out of 1 s",
    holds: "others run its jobs within the time-out + 30 s + 5 s",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup {
        load: Load { timeout_ms: Some(TIMEOUT_MS), ..Load::even(100, 5..=50) },
        after: Duration::from_secs(1),
        ..Setup::default()
    },
    rules: |_| Rules {
        duplicates: Duplicates::InFlight,
        rescue_ms: Some(TIMEOUT_MS + 30_000 + 5_000),
        resume_ms: None,
        ..Rules::default()
    },
    faults: |field| Box::pin(deadlock(field)),
};

const TIMEOUT_MS: u64 = 1_000;

async fn deadlock(field: &mut Field) -> Result<()> {
    let from = now_us();
    let job = field.producer.job(Kind::Deadlock, 20, 0, Some(TIMEOUT_MS));
    let id = job.spec.id.clone();
    field.producer.clone().add(job).await;
    let deadline = now_us() + (TIMEOUT_MS + 45_000) * 1_000;
    let mut holder = None;
    loop {
        let job = field.queue.get(&id).await?;
        holder = holder.or(job.as_ref().and_then(|job| job.active).map(|run| run.token.worker));
        if job.is_some_and(|job| job.has_ended()) {
            break;
        }
        if now_us() >= deadline {
            field.wrong.push("the job that blocked its worker was not rescued".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let workers = field.queue.backend().workers(field.queue.name()).await?;
    let held = workers.iter().find(|worker| Some(worker.info.id) == holder);
    match held {
        Some(held) => {
            // The name of a worker ends with its process's number.
            let pid = held.info.name.rsplit(':').next().and_then(|pid| pid.parse::<u32>().ok());
            let place = (0..field.fleet.len()).find(|place| field.fleet.pid(*place) == pid);
            field.beyond_help.extend(place);
            field.fault("a runtime blocked for ever".to_owned(), from, pid, false);
        }
        None => field
            .wrong
            .push("the blocked worker does not count as live: its lease was not renewed".to_owned()),
    }
    Ok(())
}
