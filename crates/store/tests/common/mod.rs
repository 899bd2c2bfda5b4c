//! What the tests of the store share: databases of both kinds, and rows that say only what a test is about.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bulrush_store::{
    DailyWeather, DayFeatures, EntityKind, Location, NewEntity, NewFile, Observation, Owner, Saved, Season,
    Store, StoreError,
};
use jiff::civil::Date;
use tempfile::TempDir;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A migrated database and the folder it lives in.
pub struct Fixture {
    pub store: Store,
    pub folder: TempDir,
}

/// A database in a file.
pub async fn file() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&folder)).await.unwrap();
    store.migrate().await.unwrap();
    Fixture { store, folder }
}

/// A database that goes with the store.
pub async fn memory() -> Fixture {
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    Fixture { store, folder: tempfile::tempdir().unwrap() }
}

/// The URL of the database file in `folder`.
pub fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("store.db").display())
}

/// Makes each case, an `async fn(&Store)`, a test on a file and one on a memory database.
#[macro_export]
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod on_a_file { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { let fixture = $crate::common::file().await; super::$case(&fixture.store).await; }
        )+ }
        mod on_memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { let fixture = $crate::common::memory().await; super::$case(&fixture.store).await; }
        )+ }
    };
}

pub fn ada() -> Owner {
    Owner::new("acme", "ada")
}

/// A property in Seattle.
pub fn property(id: &str, owner: Owner) -> NewEntity {
    NewEntity {
        id: id.into(),
        owner,
        kind: EntityKind::Property,
        name: "Pike Street Inn".into(),
        location: Some(Location::new(47.61, -122.34).unwrap()),
        country: Some("US".into()),
        time_zone: Some("America/Los_Angeles".into()),
        attributes: serde_json::Map::new(),
    }
}

/// Saves `entity`, which nobody else has.
pub async fn save(store: &Store, entity: &NewEntity) {
    let saved: Result<Saved, StoreError> =
        store.write(async |tx| store.entities().save(tx, entity).await).await;
    assert_eq!(saved.unwrap(), Saved::Yes);
}

pub fn seen(metric: &str, ts_ms: i64, value: f64) -> Observation {
    Observation { metric: metric.into(), ts_ms, value }
}

pub fn features_of(day: Date) -> DayFeatures {
    DayFeatures {
        day,
        weather: DailyWeather {
            temperature_max_c: Some(12.8),
            precipitation_mm: Some(0.0),
            ..DailyWeather::default()
        },
        public_holiday: None,
        school_holiday: None,
        days_to_holiday: Some(4),
        days_since_holiday: None,
        long_weekend: false,
        weekday: day.weekday().to_monday_one_offset().unsigned_abs(),
        weekend: false,
        month: day.month().unsigned_abs(),
        season: Season::Winter,
        iso_week: day.iso_week_date().week().unsigned_abs(),
    }
}

pub fn upload(owner: Owner, object_key: &str) -> NewFile {
    NewFile {
        owner,
        client_name: "../prices 2024.csv".into(),
        size: 12,
        sha256: "0".repeat(64),
        content_type: "text/csv".into(),
        object_key: object_key.into(),
        entity: None,
    }
}
