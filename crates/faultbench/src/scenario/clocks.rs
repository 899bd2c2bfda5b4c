//! Clocks that are wrong, or jump.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;

use super::faketime;
use crate::clock::now_us;
use crate::field::{Field, Need, Scenario, Setup};
use crate::judge::{Duplicates, Rules};
use crate::server::{CLOCK, FOLDER, ServerOptions};

pub const C1: Scenario = Scenario {
    name: "C1",
    what: "the workers' clocks are wrong: one 10 minutes ahead, one 10 minutes behind, one 90 s ahead; one worker is killed",
    holds: "as K1: leases and due times are the server's",
    smoke: false,
    open: None,
    needs: &[Need::Faketime],
    setup: || Setup {
        environment: |place| fake(["+600", "-600", "+90"][place % 3].into(), None),
        ..Setup::default()
    },
    rules: |setup| Rules {
        duplicates: Duplicates::InFlight,
        rescue_ms: Some(setup.lease_ms + 5_000),
        ..Rules::default()
    },
    faults: |field| Box::pin(kill_one(field)),
};

/// An environment in which the time of day is wrong by so much, or by what a file says. Time that only goes on is left alone.
fn fake(by: OsString, file: Option<String>) -> Vec<(String, OsString)> {
    let mut library = faketime().unwrap_or_default().into_os_string();
    // A server that brings an allocator of its own asks for the time before the library can tell it: the C library's comes first.
    library.push(":libc.so.6");
    let mut environment = vec![
        ("LD_PRELOAD".to_owned(), library),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
        ("DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
        ("FAKETIME_NO_CACHE".to_owned(), "1".into()),
    ];
    environment.push(match file {
        Some(file) => ("FAKETIME_TIMESTAMP_FILE".to_owned(), file.into()),
        None => ("FAKETIME".to_owned(), by),
    });
    environment
}

async fn kill_one(field: &mut Field) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let place = field.chance.index(field.fleet.len());
    field.kill_worker(place).await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    Ok(())
}

pub const C2: Scenario = Scenario {
    name: "C2",
    what: "the server's clock jumps an hour ahead, and 5 s later back again",
    holds: "nobody hangs: taking goes on within 5 s of each jump; duplicates at most the jobs in flight",
    smoke: false,
    open: None,
    needs: &[Need::Faketime],
    setup: || Setup {
        server: ServerOptions {
            environment: fake(OsString::new(), Some(format!("{FOLDER}/{CLOCK}"))),
            ..ServerOptions::default()
        },
        ..Setup::default()
    },
    rules: |_| Rules { duplicates: Duplicates::InFlight, ..Rules::default() },
    faults: |field| Box::pin(jump(field)),
};

pub const C2_KILL: Scenario = Scenario {
    name: "C2-kill",
    what: "the same, and then one worker is killed",
    holds: "as C2; interrupted jobs begin again within two leases + 5 s, although leases were given by the clock that was ahead",
    open: Some(
        "a lease given by the clock that was ahead runs out only when the clock gets there, and nothing is rescued until then",
    ),
    rules: |setup| Rules {
        duplicates: Duplicates::InFlight,
        rescue_ms: Some(2 * setup.lease_ms + 5_000),
        ..Rules::default()
    },
    faults: |field| {
        Box::pin(async {
            jump(field).await?;
            kill_one(field).await
        })
    },
    ..C2
};

async fn jump(field: &mut Field) -> Result<()> {
    for by in ["+3600", "+0"] {
        let from = now_us();
        std::fs::write(field.folder().join(CLOCK), format!("{by}\n"))?;
        field.fault(format!("the server's clock at {by} s"), from, None, true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let time: (u64, u64) = field.server.ask(&crate::server::command(&["TIME"])).await?;
        let ours = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        field.notes.push(format!("the server's clock is {} s ahead", time.0 as i64 - ours as i64));
    }
    Ok(())
}
