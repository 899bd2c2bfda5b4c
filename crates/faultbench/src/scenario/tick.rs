//! Tickers of schedules that die or stand still: each slot fires once, and none is lost.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::clock::now_us;
use crate::field::{Field, Scenario, Setup};
use crate::judge::Rules;
use crate::producer::Load;
use crate::slots::{Slots, TICKERS};

pub const K2: Scenario = Scenario {
    name: "K2",
    what: "kill -9 of one of two tickers, or of both, at random moments while 25 schedules fire each second; each started again",
    holds: "each slot fires exactly once, what was missed is made up for; workers notice nothing",
    smoke: true,
    open: None,
    needs: &[],
    setup: || Setup { workers: 2, load: Load::even(100, 5..=50), ..Setup::default() },
    rules: |_| Rules { untouched: true, spares_workers: true, resume_ms: None, ..Rules::default() },
    faults: |field| Box::pin(kill(field)),
};

async fn kill(field: &mut Field) -> Result<()> {
    let mut slots = Slots::start(field).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for round in 0..16 {
        let from = now_us();
        let n = field.chance.index(TICKERS);
        let pid = slots.kill(n).await?;
        // Now and then nobody is left, long enough for slots to be missed.
        let both = round % 5 == 4;
        if both {
            slots.kill(1 - n).await?;
            tokio::time::sleep(field.chance.pause_ms(1_200..=2_500)).await;
            slots.fill(field, 1 - n)?;
        }
        tokio::time::sleep(field.chance.pause_ms(0..=300)).await;
        slots.fill(field, n)?;
        let what = if both { "kill -9 of both tickers".to_owned() } else { format!("kill -9 of ticker {n}") };
        field.fault(what, from, Some(pid), false);
        tokio::time::sleep(field.chance.pause_ms(100..=900)).await;
    }
    slots.account(field).await
}

pub const Z2: Scenario = Scenario {
    name: "Z2",
    what: "SIGSTOP of one of two tickers, or of both, at random moments for up to 3 s, then SIGCONT",
    holds: "as K2; what a ticker sends late fires nothing",
    faults: |field| Box::pin(freeze(field)),
    ..K2
};

async fn freeze(field: &mut Field) -> Result<()> {
    let slots = Slots::start(field).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for round in 0..16 {
        let from = now_us();
        let n = field.chance.index(TICKERS);
        let pid = slots.signal(n, Signal::STOP)?;
        let both = round % 5 == 4;
        if both {
            tokio::time::sleep(field.chance.pause_ms(0..=200)).await;
            slots.signal(1 - n, Signal::STOP)?;
        }
        let still = if round % 4 == 0 { 1_000..=3_000 } else { 20..=700 };
        tokio::time::sleep(field.chance.pause_ms(still)).await;
        slots.signal(n, Signal::CONT)?;
        if both {
            tokio::time::sleep(field.chance.pause_ms(0..=500)).await;
            slots.signal(1 - n, Signal::CONT)?;
        }
        let what =
            if both { "both tickers stood still".to_owned() } else { format!("ticker {n} stood still") };
        field.fault(what, from, Some(pid), false);
        tokio::time::sleep(field.chance.pause_ms(20..=400)).await;
    }
    slots.account(field).await
}

/// Schedules that fire without a fault, for the bugs of tickers.
pub async fn quiet(field: &mut Field) -> Result<()> {
    let slots = Slots::start(field).await?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    slots.account(field).await
}
