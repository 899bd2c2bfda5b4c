//! Worker processes that end: killed, asked to, or by the jobs they run.

use std::time::Duration;

use anyhow::{Result, bail};
use bulrush::model::JobState;
use rustix::process::Signal;

use crate::clock::{ms_between, now_us};
use crate::field::{Field, Scenario, Setup};
use crate::judge::{Duplicates, Rules};
use crate::producer::Load;
use crate::worker::Kind;

/// After a lease has run out, a pass of maintenance comes within this, ms.
const PASS_MS: u64 = 5_000;

pub const K1: Scenario = Scenario {
    name: "K1",
    what: "kill -9 of one worker every 2 to 3 s, each started again at once",
    holds: "duplicates at most the jobs in flight at the kills; interrupted jobs begin again within a lease + 5 s",
    smoke: true,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |setup| Rules {
        duplicates: Duplicates::InFlight,
        rescue_ms: Some(setup.lease_ms + PASS_MS),
        ..Rules::default()
    },
    faults: |field| Box::pin(kill_now_and_then(field)),
};

async fn kill_now_and_then(field: &mut Field) -> Result<()> {
    for _ in 0..4 {
        let place = field.chance.index(field.fleet.len());
        field.kill_worker(place).await?;
        let pause = field.chance.pause_ms(2_000..=3_000);
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

pub const K4: Scenario = Scenario {
    name: "K4",
    what: "SIGTERM to one worker after the other, each drains, ends, and is replaced; two rounds",
    holds: "no duplicate, no attempt burnt, no job loses its worker, every worker ends by itself",
    smoke: false,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |_| Rules { untouched: true, resume_ms: None, ..Rules::default() },
    faults: |field| Box::pin(roll(field)),
};

async fn roll(field: &mut Field) -> Result<()> {
    for _ in 0..2 {
        for place in 0..field.fleet.len() {
            let from = now_us();
            let pid = field.fleet.signal(place, Signal::TERM)?;
            if !field.fleet.ended(pid, Duration::from_millis(field.setup.drain_ms + 5_000)).await {
                bail!("worker {place} did not end within its drain time and 5 s");
            }
            field.fault(format!("SIGTERM to worker {place}"), from, Some(pid), false);
            field
                .notes
                .push(format!("worker {place} drained and ended in {} ms", ms_between(from, now_us())));
            let pause = field.chance.pause_ms(300..=900);
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

pub const K5: Scenario = Scenario {
    name: "K5",
    what: "SIGTERM to a worker whose jobs take seconds, SIGKILL before its drain ends; four times",
    holds: "as K1",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup { load: Load::even(8, 1_000..=3_000), ..Setup::default() },
    rules: K1.rules,
    faults: |field| Box::pin(cut_drains_short(field)),
};

async fn cut_drains_short(field: &mut Field) -> Result<()> {
    for _ in 0..4 {
        let place = field.chance.index(field.fleet.len());
        field.fleet.signal(place, Signal::TERM)?;
        let drained = field.chance.pause_ms(100..=900);
        tokio::time::sleep(drained).await;
        // One that had nothing to drain is gone by now.
        if field.fleet.pid(place).is_some() {
            field.kill_worker(place).await?;
        }
        let pause = field.chance.pause_ms(1_500..=2_500);
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

pub const O3: Scenario = Scenario {
    name: "O3",
    what: "two jobs whose handler ends its process every time (abort)",
    holds: "after the crash limit they fail as crashed; all other jobs complete",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup { rest_within: Duration::from_secs(90), ..Setup::default() },
    rules: |_| Rules { duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| Box::pin(poison(field, Kind::Abort)),
};

pub const O3_MEMORY: Scenario = Scenario {
    name: "O3-memory",
    what: "two jobs whose handler asks for memory until the process is ended for it, every time; address space limited to 512 MiB",
    setup: || Setup { memory_mib: Some(512), ..(O3.setup)() },
    faults: |field| Box::pin(poison(field, Kind::Allocate)),
    ..O3
};

async fn poison(field: &mut Field, kind: Kind) -> Result<()> {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let job = field.producer.job(kind, 0, 0, None);
        ids.push(job.spec.id.clone());
        field.rules.crash.insert(job.spec.id.to_string());
        field.producer.clone().add(job).await;
    }
    let added = now_us();
    // Each run takes a lease, a pass, and the start of a process.
    let deadline = added + 6 * (field.setup.lease_ms + PASS_MS) * 1_000;
    loop {
        let jobs = field.queue.backend().get(field.queue.name(), &ids).await?;
        let failed = |job: &Option<bulrush::model::JobView>| {
            job.as_ref().is_some_and(|job| job.state() == JobState::Failed)
        };
        if jobs.iter().all(failed) {
            break;
        }
        if now_us() >= deadline {
            field
                .wrong
                .push("a job that ends its process every time is not among the failed ones".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let died = field.fleet.died();
    field.notes.push(format!(
        "the poison was among the failed after {:.1} s and {} dead workers",
        ms_between(added, now_us()) as f64 / 1e3,
        died.len()
    ));
    for (pid, at) in died {
        // The fault is the end of the process, whenever it was noticed.
        let (from, to) = (at.saturating_sub(50_000), at);
        let pids = Some([pid].into());
        let what = "a worker ended by its job".to_owned();
        field.faults.push(crate::ledger::Fault { what, from, to, pids, heals: false });
    }
    Ok(())
}
