//! What a day was like for an entity: its weather, its holidays and its place in the calendar.

use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::bulk::{Bulk, Kind, last_of_each};
use crate::db::{DbRow, query};
use crate::ids::now_ms;
use crate::weather::{WEATHER_COLUMNS, WEATHER_KINDS, WEATHER_REPLACED};
use crate::{DailyWeather, DayRange, Scope, Store, StoreError, WriteTx, day};

/// A quarter of the year as the weather has it, at the entity's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Season {
    /// December to February in the north, June to August in the south.
    Winter,
    /// March to May, September to November.
    Spring,
    /// June to August, December to February.
    Summer,
    /// September to November, March to May.
    Autumn,
}

impl Season {
    /// The name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Winter => "winter",
            Self::Spring => "spring",
            Self::Summer => "summer",
            Self::Autumn => "autumn",
        }
    }
}

/// A name that is no season.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no season; seasons are winter, spring, summer and autumn")]
pub struct UnknownSeason(pub String);

impl FromStr for Season {
    type Err = UnknownSeason;

    fn from_str(name: &str) -> Result<Self, UnknownSeason> {
        [Self::Winter, Self::Spring, Self::Summer, Self::Autumn]
            .into_iter()
            .find(|season| season.as_str() == name)
            .ok_or_else(|| UnknownSeason(name.chars().take(100).collect()))
    }
}

/// One day of an entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DayFeatures {
    /// The day, in the entity's time zone.
    pub day: Date,
    /// Its weather; all `None` where it is not known.
    pub weather: DailyWeather,
    /// The public holiday on it, by name; several are joined by the writer.
    pub public_holiday: Option<String>,
    /// The school holidays it belongs to, by name.
    pub school_holiday: Option<String>,
    /// Days until the next public holiday, 0 on one; `None` where none is known.
    pub days_to_holiday: Option<i64>,
    /// Days since the last public holiday, 0 on one; `None` where none is known.
    pub days_since_holiday: Option<i64>,
    /// Whether it is part of three or more days off in a row that a public holiday makes.
    pub long_weekend: bool,
    /// 1 is Monday, 7 is Sunday.
    pub weekday: u8,
    /// Saturday or Sunday.
    pub weekend: bool,
    /// 1 is January.
    pub month: u8,
    /// The season at the entity's place.
    pub season: Season,
    /// The week of the year, ISO 8601: 1 to 53.
    pub iso_week: u8,
}

/// The table of features.
#[derive(Debug, Clone, Copy)]
pub struct Features<'s> {
    store: &'s Store,
}

const CALENDAR_COLUMNS: &str = "day, public_holiday, school_holiday, days_to_holiday, days_since_holiday, long_weekend, \
                                weekday, weekend, month, season, iso_week";
const CALENDAR_KINDS: [(&str, Kind); 11] = [
    ("day", Kind::Text),
    ("public_holiday", Kind::Text),
    ("school_holiday", Kind::Text),
    ("days_to_holiday", Kind::Int),
    ("days_since_holiday", Kind::Int),
    ("long_weekend", Kind::Bool),
    ("weekday", Kind::Int),
    ("weekend", Kind::Bool),
    ("month", Kind::Int),
    ("season", Kind::Text),
    ("iso_week", Kind::Int),
];

impl<'s> Features<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Stores `days` of `entity`; a day that is there already is replaced as a whole, and so is an earlier row of the batch by
    /// a later one.
    ///
    /// The caller has checked that the entity belongs to whom it works for.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] for the first value that is none; [`StoreError::MissingReference`] if the entity is gone;
    /// [`StoreError::Refused`] for a weekday, month or week that does not exist.
    pub async fn upsert(
        &self,
        tx: &mut WriteTx,
        entity: &str,
        days: &[DayFeatures],
    ) -> Result<(), StoreError> {
        for (index, row) in days.iter().enumerate() {
            if let Some((field, value)) = row.weather.not_a_number() {
                return Err(StoreError::NotANumber { index, field, value });
            }
        }
        let conflict = format!(
            "ON CONFLICT (entity, day) DO UPDATE SET {WEATHER_REPLACED}, public_holiday = excluded.public_holiday, \
             school_holiday = excluded.school_holiday, days_to_holiday = excluded.days_to_holiday, \
             days_since_holiday = excluded.days_since_holiday, long_weekend = excluded.long_weekend, \
             weekday = excluded.weekday, weekend = excluded.weekend, month = excluded.month, season = excluded.season, \
             iso_week = excluded.iso_week, updated_at = excluded.updated_at"
        );
        let shared = vec![("entity", entity.into()), ("updated_at", now_ms().into())];
        let own = CALENDAR_KINDS.into_iter().chain(WEATHER_KINDS).collect();
        let mut bulk = Bulk::new("features", shared, own, &conflict);
        for row in last_of_each(days, |row| row.day) {
            bulk.push(day::text(row.day));
            bulk.push(&row.public_holiday);
            bulk.push(&row.school_holiday);
            bulk.push(row.days_to_holiday);
            bulk.push(row.days_since_holiday);
            bulk.push(row.long_weekend);
            bulk.push(i64::from(row.weekday));
            bulk.push(row.weekend);
            bulk.push(i64::from(row.month));
            bulk.push(row.season.as_str());
            bulk.push(i64::from(row.iso_week));
            row.weather.push(&mut bulk);
        }
        bulk.run(tx.connection()).await
    }

    /// The days of `range` that are stored for `entity`, in order. Empty where `scope` may not see the entity.
    pub async fn range(
        &self,
        scope: &Scope,
        entity: &str,
        range: DayRange,
    ) -> Result<Vec<DayFeatures>, StoreError> {
        let sql = format!(
            "SELECT {CALENDAR_COLUMNS}, {WEATHER_COLUMNS} FROM features f JOIN entities e ON e.id = f.entity \
             WHERE {} AND f.entity = $3 AND f.day >= $4 AND f.day <= $5 ORDER BY f.day",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .bind(day::text(range.first))
            .bind(day::text(range.last))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// The first and the last day that is stored for `entity`, and how many are; `None` where there is none, or where `scope`
    /// may not see the entity.
    pub async fn extent(&self, scope: &Scope, entity: &str) -> Result<Option<(DayRange, u64)>, StoreError> {
        let sql = format!(
            "SELECT min(f.day) AS first, max(f.day) AS last, count(*) AS days \
             FROM features f JOIN entities e ON e.id = f.entity WHERE {} AND f.entity = $3",
            scope.condition()
        );
        let row = query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .fetch_one(self.store.readers())
            .await?;
        let ends: (Option<String>, Option<String>) = (row.try_get("first")?, row.try_get("last")?);
        let (Some(first), Some(last)) = ends else { return Ok(None) };
        let days: i64 = row.try_get("days")?;
        let range = DayRange::new(day::parse("features", &first)?, day::parse("features", &last)?);
        Ok(Some((range, days.unsigned_abs())))
    }
}

fn read(row: &DbRow) -> Result<DayFeatures, StoreError> {
    // The table's rules keep these within a byte.
    let small = |column: &'static str| -> Result<u8, StoreError> {
        let value: i64 = row.try_get(column)?;
        u8::try_from(value).map_err(|_| StoreError::unreadable("features", column, &value.to_string()))
    };
    let season: &str = row.try_get("season")?;
    Ok(DayFeatures {
        day: day::parse("features", row.try_get("day")?)?,
        weather: DailyWeather::read(row)?,
        public_holiday: row.try_get("public_holiday")?,
        school_holiday: row.try_get("school_holiday")?,
        days_to_holiday: row.try_get("days_to_holiday")?,
        days_since_holiday: row.try_get("days_since_holiday")?,
        long_weekend: row.try_get("long_weekend")?,
        weekday: small("weekday")?,
        weekend: row.try_get("weekend")?,
        month: small("month")?,
        season: season.parse().map_err(|_| StoreError::unreadable("features", "season", season))?,
        iso_week: small("iso_week")?,
    })
}
