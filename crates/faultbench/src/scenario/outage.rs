//! A server that is away, dies, forgets, or does not answer.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::clock::now_us;
use crate::field::{Field, Scenario, Setup};
use crate::judge::{Duplicates, Rules};
use crate::server::{Flush, ServerOptions, command};

pub const R1: Scenario = Scenario {
    name: "R1",
    what: "the server is shut down and comes back after 1.5 s, which is less than a lease; three times",
    holds: "no duplicate; taking goes on within 5 s, every time",
    smoke: true,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |_| Rules { indeterminate: true, untouched: true, ..Rules::default() },
    faults: |field| Box::pin(away(field, 3, 1_500)),
};

pub const R1_LONG: Scenario = Scenario {
    name: "R1-long",
    what: "the server is shut down and comes back after two leases; twice",
    holds: "duplicates at most the jobs in flight (the grace lets live workers renew first); taking goes on within 5 s, every time",
    smoke: false,
    rules: |_| Rules { indeterminate: true, duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| {
        let lease = field.setup.lease_ms;
        Box::pin(away(field, 2, 2 * lease))
    },
    ..R1
};

async fn away(field: &mut Field, times: usize, ms: u64) -> Result<()> {
    for _ in 0..times {
        let from = now_us();
        field.server.down().await?;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        field.server.up().await?;
        field.fault(format!("the server was away for {ms} ms"), from, None, true);
        let pause = field.chance.pause_ms(3_000..=4_000);
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

pub const R2: Scenario = Scenario {
    name: "R2",
    what: "kill -9 of the server, which is started again at once; appendfsync always; four times",
    holds: "nothing acknowledged is lost; duplicates at most the jobs in flight; taking goes on within 5 s, every time",
    smoke: true,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |_| Rules { indeterminate: true, duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| Box::pin(kill_server(field)),
};

pub const R2_STANDARD: Scenario = Scenario {
    name: "R2-standard",
    what: "kill -9 of the server, which is started again at once; appendfsync everysec; four times",
    holds: "nothing acknowledged is lost either: what was written and not flushed survives the process in the page cache",
    smoke: false,
    setup: || Setup { server: standard(), ..Setup::default() },
    ..R2
};

/// A server of the class `standard`.
pub fn standard() -> ServerOptions {
    ServerOptions { flush: Flush::EverySecond, ..ServerOptions::default() }
}

async fn kill_server(field: &mut Field) -> Result<()> {
    for _ in 0..4 {
        let from = now_us();
        field.server.kill().await?;
        field.server.up().await?;
        field.fault("kill -9 of the server".to_owned(), from, None, true);
        let pause = field.chance.pause_ms(1_500..=2_500);
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

pub const R5: Scenario = Scenario {
    name: "R5",
    what: "the server does not answer: CLIENT PAUSE ALL, DEBUG SLEEP, SIGSTOP, each for longer than a lease",
    holds: "duplicates at most the jobs in flight; taking goes on within 5 s, every time",
    smoke: false,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |_| Rules { indeterminate: true, duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| Box::pin(hold_up(field)),
};

async fn hold_up(field: &mut Field) -> Result<()> {
    let ms = field.setup.lease_ms + 500;
    let pause = Duration::from_millis(ms);
    hold_clients(field, ms, "ALL").await?;
    let seconds = format!("{:.1}", ms as f64 / 1e3);
    let from = now_us();
    let sleep = command(&["DEBUG", "SLEEP", &seconds]);
    let _: String = field.server.ask_within(&sleep, 2 * pause).await?;
    field.fault(format!("DEBUG SLEEP {seconds}"), from, None, true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let from = now_us();
    field.server.signal(Signal::STOP)?;
    tokio::time::sleep(pause).await;
    field.server.signal(Signal::CONT)?;
    field.server.answers().await?;
    field.fault("SIGSTOP of the server".to_owned(), from, None, true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// Holds up what clients ask for, all of it or what writes.
async fn hold_clients(field: &mut Field, ms: u64, mode: &str) -> Result<()> {
    let from = now_us();
    let _: String = field.server.ask(&command(&["CLIENT", "PAUSE", &ms.to_string(), mode])).await?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    field.server.answers().await?;
    field.fault(format!("CLIENT PAUSE {ms} {mode}"), from, None, true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(())
}

pub const R5_WRITE: Scenario = Scenario {
    name: "R5-write",
    what: "CLIENT PAUSE WRITE for longer than a lease, as at an orderly failover; four times",
    holds: "as R5",
    open: None,
    faults: |field| {
        Box::pin(async {
            for _ in 0..4 {
                let ms = field.setup.lease_ms + 500;
                hold_clients(field, ms, "WRITE").await?;
            }
            Ok(())
        })
    },
    ..R5
};

pub const R6: Scenario = Scenario {
    name: "R6",
    what: "SCRIPT FLUSH every second and CLIENT KILL TYPE normal every 200 ms, for 10 s",
    holds: "nothing is to be seen of it: every add is acknowledged, no duplicate, no attempt burnt",
    smoke: false,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |_| Rules { untouched: true, ..Rules::default() },
    faults: |field| Box::pin(harass(field)),
};

async fn harass(field: &mut Field) -> Result<()> {
    let from = now_us();
    let end = Instant::now() + Duration::from_secs(10);
    let (mut rounds, mut killed) = (0_u32, 0_u64);
    while Instant::now() < end {
        if rounds % 5 == 0 {
            let _: String = field.server.ask(&command(&["SCRIPT", "FLUSH", "SYNC"])).await?;
        }
        killed +=
            field.server.ask::<u64>(&command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])).await?;
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    field.fault(
        format!("{killed} connections killed, scripts flushed {} times", rounds.div_ceil(5)),
        from,
        None,
        true,
    );
    field.notes.push(format!("{killed} connections were killed in {rounds} rounds"));
    Ok(())
}

pub const R7: Scenario = Scenario {
    name: "R7",
    what: "kill -9 of the server, which comes back empty",
    holds: "workers say hello anew and run new jobs; what was acknowledged before is gone with the server, what comes after is not",
    smoke: false,
    open: None,
    needs: &[],
    setup: Setup::default,
    rules: |_| Rules { indeterminate: true, duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| Box::pin(come_back_empty(field)),
};

async fn come_back_empty(field: &mut Field) -> Result<()> {
    let from = now_us();
    field.server.kill().await?;
    let gone = now_us();
    field.server.wipe()?;
    field.server.up().await?;
    field.configure().await?;
    field.fault("the server came back empty".to_owned(), from, None, true);
    field.rules.forgets.push((0, gone));
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ok(())
}
