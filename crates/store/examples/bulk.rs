//! Measures the bulk paths: `cargo run --release -p bulrush-store --example bulk -- [URL] [--rows N] [--import BYTES]`.
//!
//! It upserts a price history (100,000 observations unless told otherwise) in transactions of 10,000, twice: the second time every row is
//! there already; then ten years of features. `--import` streams a made-up history of so many bytes of CSV through the same path instead,
//! and tells how the program's memory went meanwhile. Without a URL it makes a SQLite file of its own; a database that is given gets an
//! entity of the measurement's own, which is removed at the end.

use std::time::Instant;

use bulrush_store::{
    DailyWeather, DayFeatures, DayRange, EntityKind, NewEntity, Observation, Owner, Saved, Scope, Season,
    Store, StoreError, new_id,
};
use jiff::civil::date;

type Failure = Box<dyn std::error::Error>;

/// Rows in one transaction.
const BATCH: usize = 10_000;
const METRICS: [&str; 3] = ["price", "occupancy", "bookings"];

struct Arguments {
    url: Option<String>,
    rows: usize,
    import_bytes: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = arguments()?;
    let folder = tempfile::tempdir()?;
    let own = || format!("sqlite:{}", folder.path().join("bench.db").display());
    let store = Store::open(&arguments.url.unwrap_or_else(own)).await?;
    store.migrate().await?;
    let look = store.look().await?;
    println!("{} {}", look.kind, look.version);
    let id = new_id()?;
    let entity = NewEntity {
        id: id.clone(),
        owner: Owner::new("bench", "bench"),
        kind: EntityKind::Property,
        name: "bench".into(),
        location: None,
        country: None,
        time_zone: None,
        attributes: serde_json::Map::new(),
    };
    let saved: Saved = store.write(async |tx| store.entities().save(tx, &entity).await).await?;
    assert_eq!(saved, Saved::Yes);
    let measured = match arguments.import_bytes {
        Some(bytes) => import(&store, &id, bytes).await,
        None => upsert(&store, &id, arguments.rows).await,
    };
    let removed: Result<bool, StoreError> =
        store.write(async |tx| store.entities().delete(tx, &Scope::All, &id).await).await;
    store.close().await;
    if let Err(error) = removed {
        // So many rows take longer than one statement may.
        println!("the entity {id} of the measurement is left behind: {error}");
    }
    measured
}

fn arguments() -> Result<Arguments, Failure> {
    let mut parsed = Arguments { url: None, rows: 100_000, import_bytes: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().ok_or_else(|| format!("{argument} needs a number"));
        match argument.as_str() {
            "--rows" => parsed.rows = number()?.parse()?,
            "--import" => parsed.import_bytes = Some(number()?.parse()?),
            _ => parsed.url = Some(argument),
        }
    }
    Ok(parsed)
}

/// The `n`th observation of a history.
fn observation(n: usize) -> Observation {
    Observation {
        metric: METRICS[n % METRICS.len()].into(),
        ts_ms: 1_262_304_000_000 + (n / METRICS.len()) as i64 * 60_000,
        value: n as f64 / 7.0,
    }
}

async fn upsert(store: &Store, id: &str, rows: usize) -> Result<(), Failure> {
    let history: Vec<Observation> = (0..rows).map(observation).collect();
    for pass in ["insert", "replace"] {
        let started = Instant::now();
        for batch in history.chunks(BATCH) {
            write(store, id, batch).await?;
        }
        report(&format!("observations, {pass}"), rows, started);
    }
    let range = DayRange::new(date(2014, 1, 1), date(2023, 12, 31));
    let days: Vec<DayFeatures> = range
        .days()
        .map(|day| DayFeatures {
            day,
            weather: DailyWeather {
                temperature_max_c: Some(20.5),
                precipitation_mm: Some(0.0),
                ..DailyWeather::default()
            },
            public_holiday: None,
            school_holiday: None,
            days_to_holiday: Some(10),
            days_since_holiday: Some(3),
            long_weekend: false,
            weekday: 1,
            weekend: false,
            month: 1,
            season: Season::Winter,
            iso_week: 1,
        })
        .collect();
    let started = Instant::now();
    store.write::<_, StoreError, _>(async |tx| store.features().upsert(tx, id, &days).await).await?;
    report("features, insert", days.len(), started);
    let started = Instant::now();
    let read = store.features().range(&Scope::All, id, range).await?;
    report("features, read", read.len(), started);
    Ok(())
}

/// Streams lines of CSV of so many bytes, as an import does: a batch is read, written and forgotten.
async fn import(store: &Store, id: &str, bytes: u64) -> Result<(), Failure> {
    let started = Instant::now();
    let (mut read, mut rows, mut batch) = (0_u64, 0_usize, Vec::with_capacity(BATCH));
    let mut marks = vec![resident_kib()];
    while read < bytes {
        let row = observation(rows);
        read += format!("{},{},{}\n", row.metric, row.ts_ms, row.value).len() as u64;
        batch.push(row);
        rows += 1;
        if batch.len() == BATCH {
            write(store, id, &batch).await?;
            batch.clear();
            if read * 10 / bytes >= marks.len() as u64 {
                marks.push(resident_kib());
            }
        }
    }
    write(store, id, &batch).await?;
    report(&format!("import of {} MB", read / 1_000_000), rows, started);
    let marks: Vec<String> = marks.into_iter().map(|kib| format!("{}", kib / 1024)).collect();
    println!("resident memory by tenths of it, MiB: {}", marks.join(" "));
    Ok(())
}

async fn write(store: &Store, id: &str, batch: &[Observation]) -> Result<(), StoreError> {
    store.write(async |tx| store.observations().upsert(tx, id, batch).await).await
}

/// What the program holds in memory, where the system tells it.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Prints what was done and how fast.
fn report(what: &str, rows: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {rows} rows in {seconds:.3} s, {:.0} rows/s", rows as f64 / seconds);
}
