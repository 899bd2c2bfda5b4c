//! Measures the bulk paths on SQLite: `cargo run --release -p bulrush-store --example bulk_upsert [ROWS]`.
//!
//! It upserts a price history into a new file (100,000 observations unless told otherwise) in transactions of 10,000, twice:
//! the second time every row is there already. Then ten years of features. The file is as durable as in production.

use std::time::Instant;

use bulrush_store::{
    DailyWeather, DayFeatures, DayRange, EntityKind, NewEntity, Observation, Owner, Saved, Scope, Season,
    Store, StoreError, new_id,
};
use jiff::civil::date;

/// Rows in one transaction.
const BATCH: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(&format!("sqlite:{}", folder.path().join("bench.db").display())).await?;
    store.migrate().await?;
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

    let metrics = ["price", "occupancy", "bookings"];
    let history: Vec<Observation> = (0..rows)
        .map(|n| Observation {
            metric: metrics[n % 3].into(),
            ts_ms: 1_262_304_000_000 + (n / 3) as i64 * 3_600_000,
            value: n as f64 / 7.0,
        })
        .collect();
    for pass in ["insert", "replace"] {
        let started = Instant::now();
        for batch in history.chunks(BATCH) {
            store
                .write::<_, StoreError, _>(async |tx| store.observations().upsert(tx, &id, batch).await)
                .await?;
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
    store.write::<_, StoreError, _>(async |tx| store.features().upsert(tx, &id, &days).await).await?;
    report("features, insert", days.len(), started);
    let started = Instant::now();
    let read = store.features().range(&Scope::All, &id, range).await?;
    report("features, read", read.len(), started);
    store.close().await;
    Ok(())
}

/// Prints what was done and how fast.
fn report(what: &str, rows: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    println!("{what}: {rows} rows in {seconds:.3} s, {:.0} rows/s", rows as f64 / seconds);
}
