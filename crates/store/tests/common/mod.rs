//! What the tests of the store share: databases of both kinds, and rows that say only what a test is about.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod postgres;
pub mod proxy;

use std::time::Duration;

use bulrush_store::{
    DailyWeather, DayFeatures, EntityKind, Location, NewEntity, NewFile, Observation, Owner, Saved, Season,
    Store, StoreError,
};
use jiff::civil::Date;
use tempfile::TempDir;

use postgres::Postgres;

/// How long a test waits for what must happen.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A migrated database.
pub struct Fixture {
    pub store: Store,
    /// Where a second store finds it.
    pub url: String,
    keep: Keep,
}

/// What goes when a fixture goes.
enum Keep {
    Folder(TempDir),
    Server(Postgres),
}

impl Fixture {
    async fn new(url: String, keep: Keep) -> Self {
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, url, keep }
    }

    /// A second store on the same database, as another process has it.
    pub async fn again(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }

    /// Runs SQL past the store.
    pub async fn run(&self, sql: &'static str) {
        use sqlx::Connection as _;
        match &self.keep {
            Keep::Folder(_) => {
                let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
            Keep::Server(database) => {
                sqlx::query(sql).execute(&mut database.connect().await).await.unwrap();
            }
        }
    }

    /// The first column of all rows of a query past the store, on a server.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        let Keep::Server(database) = &self.keep else { panic!("a file is no server") };
        sqlx::query_scalar(sql).fetch_all(&mut database.connect().await).await.unwrap()
    }

    pub fn folder(&self) -> &TempDir {
        match &self.keep {
            Keep::Folder(folder) => folder,
            Keep::Server(_) => panic!("a database on a server has no folder"),
        }
    }
}

/// A database in a file.
pub async fn file() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    Fixture::new(url(&folder), Keep::Folder(folder)).await
}

/// A database that goes with the store.
pub async fn memory() -> Fixture {
    Fixture::new("sqlite::memory:".to_owned(), Keep::Folder(tempfile::tempdir().unwrap())).await
}

/// A database on the server of the tests.
pub async fn postgres() -> Fixture {
    let database = Postgres::create().await;
    Fixture::new(database.url.clone(), Keep::Server(database)).await
}

/// The URL of the database file in `folder`.
pub fn url(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("store.db").display())
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
