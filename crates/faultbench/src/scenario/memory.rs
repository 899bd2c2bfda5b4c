//! A server whose memory is full.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bulrush::model::Keep;
use tokio::time::Instant;

use crate::clock::now_us;
use crate::field::{Field, Scenario, Setup};
use crate::judge::Rules;
use crate::producer::Load;
use crate::server::command;

/// What the server may use besides what it has in use when the scenario begins, bytes.
const ROOM: u64 = 4 << 20;

pub const O1: Scenario = Scenario {
    name: "O1",
    what: "adds until the server's memory is full (noeviction) while workers go on; then no more adds; then adds again",
    holds: "adds are refused by the error that names the memory; workers drain the queue to nothing without a restart; then adds are taken again",
    smoke: true,
    open: None,
    needs: &[],
    setup: || Setup {
        // More comes in than goes out.
        load: Load { pad: 4_000, ..Load::even(500, 100..=200) },
        // What is finished makes room.
        keep: Keep::NOTHING,
        ..Setup::default()
    },
    rules: |_| Rules { fills_up: true, trims: true, untouched: true, ..Rules::default() },
    faults: |field| Box::pin(fill_up(field)),
};

async fn fill_up(field: &mut Field) -> Result<()> {
    let from = now_us();
    let limit = used(field).await? + ROOM;
    let _: String = field.server.ask(&command(&["CONFIG", "SET", "maxmemory", &limit.to_string()])).await?;
    let deadline = Instant::now() + Duration::from_secs(40);
    while field.producer.counts().refused.load(Ordering::Relaxed) < 200 {
        if Instant::now() >= deadline {
            field.wrong.push("the server's memory did not fill up within 40 s".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    field.stop_load().await?;
    let waiting = field.queue.info().await?.counts.depth();
    let emptying = now_us();
    field.rest(Duration::from_mins(1)).await?;
    let counts = field.queue.info().await?.counts;
    if counts.depth() + counts.active > 0 {
        field
            .wrong
            .push(format!("{} jobs were left 60 s after the last add", counts.depth() + counts.active));
    }
    field.notes.push(format!(
        "at {} KiB the server was full with {waiting} jobs waiting; they were done {:.1} s later, at {} KiB",
        limit >> 10,
        (now_us() - emptying) as f64 / 1e6,
        used(field).await? >> 10,
    ));
    field.fault("the server's memory was full".to_owned(), from, None, true);

    field.setup.load.rate = 100;
    field.renew_load().await?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while field.producer.counts().acknowledged.load(Ordering::Relaxed) < 100 {
        if Instant::now() >= deadline {
            field.wrong.push("adds were not taken again when there was room".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Memory in use, bytes.
async fn used(field: &Field) -> Result<u64> {
    let info: String = field.server.ask(&command(&["INFO", "memory"])).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).context("the server does not tell what it uses")
}
