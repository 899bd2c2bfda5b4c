//! A network that cuts, swallows and slows.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::clock::now_us;
use crate::field::{Field, Link, Scenario, Setup};
use crate::judge::{Duplicates, Rules};
use crate::producer::Load;
use crate::proxy::{Mode, Way};

pub const N1: Scenario = Scenario {
    name: "N1",
    what: "connections of workers and producer are cut at a random byte of a request or a reply, every 50 to 250 ms for 10 s",
    holds: "each add and each completion counts once: no duplicate, no attempt burnt",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup { link: Link::Shared, ..Setup::default() },
    rules: |_| Rules { indeterminate: true, untouched: true, ..Rules::default() },
    faults: |field| Box::pin(cut(field)),
};

async fn cut(field: &mut Field) -> Result<()> {
    let (from, end) = (now_us(), Instant::now() + Duration::from_secs(10));
    while Instant::now() < end {
        let way = if field.chance.one_in(2) { Way::Request } else { Way::Reply };
        let after = field.chance.within(0..=400);
        if let Some(proxy) = field.proxies.first() {
            proxy.cut(way, after);
        }
        let pause = field.chance.pause_ms(50..=250);
        tokio::time::sleep(pause).await;
    }
    let cuts = field.proxies.iter().map(crate::proxy::Proxy::cuts).sum::<u64>();
    field.fault(format!("{cuts} connections cut"), from, None, true);
    field.notes.push(format!("{cuts} connections were cut"));
    if cuts == 0 {
        field.wrong.push("no connection was cut: the run shows nothing".to_owned());
    }
    Ok(())
}

pub const N2: Scenario = Scenario {
    name: "N2",
    what: "requests arrive and their replies are dropped, of workers (steps) and producer (adds): half of them with the connection, half into silence, every 50 to 250 ms for 8 s",
    holds: "each add and each completion counts once: no duplicate, no attempt burnt",
    smoke: true,
    open: None,
    needs: &[],
    setup: || Setup { link: Link::Shared, ..Setup::default() },
    rules: |_| Rules { indeterminate: true, untouched: true, ..Rules::default() },
    faults: |field| Box::pin(drop_replies(field)),
};

async fn drop_replies(field: &mut Field) -> Result<()> {
    let (from, end) = (now_us(), Instant::now() + Duration::from_secs(8));
    while Instant::now() < end {
        let hold = field.chance.one_in(2);
        if let Some(proxy) = field.proxies.first() {
            proxy.drop_reply(hold);
        }
        let pause = field.chance.pause_ms(50..=250);
        tokio::time::sleep(pause).await;
    }
    let dropped = field.proxies.iter().map(crate::proxy::Proxy::dropped).sum::<u64>();
    field.fault(format!("{dropped} replies dropped"), from, None, true);
    field.notes.push(format!("{dropped} replies were dropped"));
    if dropped == 0 {
        field.wrong.push("no reply was dropped: the run shows nothing".to_owned());
    }
    Ok(())
}

pub const N3: Scenario = Scenario {
    name: "N3",
    what: "nothing comes through between one worker and the server for more than two leases; then what was held back arrives late",
    holds: "others run its jobs within a lease + 5 s; what it writes late is refused; it takes work again within 5 s",
    smoke: false,
    open: None,
    needs: &[],
    // Jobs that are still running when the worker learns of its loss, beside short ones.
    setup: || Setup { link: Link::EachWorker, load: Load::even(20, 5..=2_000), ..Setup::default() },
    rules: |setup| Rules {
        duplicates: Duplicates::InFlight,
        rescue_ms: Some(setup.lease_ms + 5_000),
        ..Rules::default()
    },
    faults: |field| Box::pin(black_hole(field)),
};

async fn black_hole(field: &mut Field) -> Result<()> {
    let place = field.chance.index(field.fleet.len());
    let pid = field.fleet.pid(place);
    let over = field.chance.within(2_100..=2_600);
    let ms = field.setup.lease_ms * over / 1_000;
    let from = now_us();
    field.proxies[place].set(Mode::BlackHole).await?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    field.proxies[place].set(Mode::Pass).await?;
    field.fault(format!("worker {place} was cut off for {ms} ms"), from, pid, true);
    tokio::time::sleep(Duration::from_secs(4)).await;
    Ok(())
}

pub const N4: Scenario = Scenario {
    name: "N4",
    what: "300 ms there and back between workers, producer and server, for 10 s",
    holds: "no lease is lost: no duplicate, no attempt burnt, every add is acknowledged",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup { link: Link::Shared, load: Load::even(30, 5..=50), ..Setup::default() },
    rules: |_| Rules { untouched: true, ..Rules::default() },
    faults: |field| Box::pin(slow(field)),
};

async fn slow(field: &mut Field) -> Result<()> {
    let from = now_us();
    field.proxies[0].set(Mode::Slow { latency_ms: 150, jitter_ms: 20 }).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    field.proxies[0].set(Mode::Pass).await?;
    field.fault("300 ms there and back".to_owned(), from, None, true);
    Ok(())
}
