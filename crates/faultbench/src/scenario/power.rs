//! A machine that loses its power: what the server had not flushed is gone with it.

use std::fs::File;
use std::time::Duration;

use anyhow::Result;

use super::trace::Trace;
use crate::clock::now_us;
use crate::field::{Field, Need, Scenario, Setup};
use crate::judge::{Duplicates, Rules};
use crate::producer::Load;
use crate::scenario::outage::standard;
use crate::server::Flush;

/// How much of what it has acknowledged a server of the class `standard` may forget, µs.
const MAY_FORGET_US: u64 = 2_000_000;

pub const R3: Scenario = Scenario {
    name: "R3",
    what: "power cut of the server's machine: killed, and its file cut to what was flushed, or somewhere behind that, and written anew at the start; appendfsync always; four times",
    holds: "nothing acknowledged is lost; duplicates at most the jobs in flight; no token is issued twice",
    smoke: false,
    open: None,
    needs: &[Need::Strace],
    setup: || Setup { load: Load { rate: 150, ..Load::default() }, ..Setup::default() },
    rules: |_| Rules { indeterminate: true, duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| Box::pin(cut_power(field, true)),
};

pub const R3_STANDARD: Scenario = Scenario {
    name: "R3-standard",
    what: "the same with appendfsync everysec",
    holds: "only what was acknowledged in the last 2 s may be forgotten; duplicates at most the jobs in flight and the completions forgotten; no token is issued twice",
    setup: || Setup { server: standard(), ..(R3.setup)() },
    ..R3
};

pub const R3_AGAIN: Scenario = Scenario {
    name: "R3-again",
    what: "as R3-standard, without writing the file anew after a cut",
    holds: "as R3-standard",
    open: Some(
        "Redis 7.0 cuts a file that ends within a transaction behind the last whole command of it and not before its MULTI: what it left \
         out at the first start is carried out, in part, at the next one",
    ),
    faults: |field| Box::pin(cut_power(field, false)),
    ..R3_STANDARD
};

/// Cuts the power again and again. A file that was cut is written anew before the next time, unless it is to be left as it is: see
/// [`R3_AGAIN`].
async fn cut_power(field: &mut Field, rewrite: bool) -> Result<()> {
    for round in 0..4 {
        let trace = Trace::start(field, round).await?;
        let powered = field.chance.pause_ms(1_500..=3_000);
        tokio::time::sleep(powered).await;
        let from = now_us();
        field.server.kill().await?;
        let gone = now_us();
        let (seen, durable) = trace.end().await?;
        let path = field.server.growing_file()?;
        let length = std::fs::metadata(&path)?.len();
        // A disk may have got a part of what was not flushed.
        let torn = if round % 2 == 0 { 0 } else { field.chance.within(0..=length.saturating_sub(durable)) };
        let kept = (durable + torn).min(length);
        File::options().write(true).open(&path)?.set_len(kept)?;
        field.notes.push(format!(
            "cut {round}: {} flushes seen, {} bytes written, {} of them not flushed; {} bytes cut off",
            seen.flushes,
            seen.written,
            seen.written - seen.durable,
            length - kept
        ));
        if seen.flushes == 0 {
            field.wrong.push(format!("cut {round}: no flush was seen: the run shows nothing"));
        }
        field.server.up().await?;
        if rewrite {
            field.server.rewrite().await?;
        }
        field.fault(format!("power cut {round}"), from, None, true);
        if field.setup.server.flush == Flush::EverySecond {
            field.rules.forgets.push((from.saturating_sub(MAY_FORGET_US), gone));
        }
        let pause = field.chance.pause_ms(1_500..=2_500);
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

pub const R4: Scenario = Scenario {
    name: "R4",
    what: "the server is followed for 6 s; appendfsync always; no fault",
    holds: "no answer leaves the server between a write to its file and the flush of it",
    smoke: false,
    open: None,
    needs: &[Need::Strace],
    setup: R3.setup,
    rules: |_| Rules { untouched: true, ..Rules::default() },
    faults: |field| Box::pin(prove_order(field)),
};

async fn prove_order(field: &mut Field) -> Result<()> {
    let trace = Trace::start(field, 0).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (seen, _) = trace.end().await?;
    field.notes.push(format!(
        "{} answers and {} flushes seen, {} answers early",
        seen.answers, seen.flushes, seen.early
    ));
    if seen.early > 0 || seen.answers == 0 || seen.flushes == 0 {
        field.wrong.push(format!(
            "{} of {} answers left between a write and its flush ({} flushes)",
            seen.early, seen.answers, seen.flushes
        ));
    }
    Ok(())
}
