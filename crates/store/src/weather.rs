//! Weather that was already fetched, shared by every job.
//!
//! Weather is the same for neighbours, so it is kept by cells of a grid. A job asks for a cell's weather, never for an exact
//! place's: then what is stored does not depend on who asked first.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::bulk::{Bulk, Kind, last_of_each};
use crate::db::{DbRow, query};
use crate::{DayRange, Location, Store, StoreError, WriteTx, day};

/// The weather of one day at one place. A value that the source does not have is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DailyWeather {
    /// Highest temperature at 2 m, °C.
    pub temperature_max_c: Option<f64>,
    /// Lowest temperature at 2 m, °C.
    pub temperature_min_c: Option<f64>,
    /// Mean temperature at 2 m, °C.
    pub temperature_mean_c: Option<f64>,
    /// Rain, showers and melted snow, mm.
    pub precipitation_mm: Option<f64>,
    /// Highest wind speed at 10 m, km/h.
    pub wind_speed_max_kmh: Option<f64>,
    /// Sunshine, seconds.
    pub sunshine_s: Option<f64>,
    /// The day's worst weather, WMO code 4677.
    pub weather_code: Option<i64>,
}

/// The columns of [`DailyWeather`], in the order of [`DailyWeather::bind`].
pub(crate) const WEATHER_COLUMNS: &str = "temperature_max_c, temperature_min_c, temperature_mean_c, precipitation_mm, \
                                          wind_speed_max_kmh, sunshine_s, weather_code";
/// How many they are.
/// The same with what they hold.
pub(crate) const WEATHER_KINDS: [(&str, Kind); 7] = [
    ("temperature_max_c", Kind::Real),
    ("temperature_min_c", Kind::Real),
    ("temperature_mean_c", Kind::Real),
    ("precipitation_mm", Kind::Real),
    ("wind_speed_max_kmh", Kind::Real),
    ("sunshine_s", Kind::Real),
    ("weather_code", Kind::Int),
];
/// The part of an upsert that replaces them.
pub(crate) const WEATHER_REPLACED: &str = "temperature_max_c = excluded.temperature_max_c, temperature_min_c = excluded.temperature_min_c, \
     temperature_mean_c = excluded.temperature_mean_c, precipitation_mm = excluded.precipitation_mm, \
     wind_speed_max_kmh = excluded.wind_speed_max_kmh, \
     sunshine_s = excluded.sunshine_s, weather_code = excluded.weather_code";

impl DailyWeather {
    /// The first value that is not a number.
    pub(crate) fn not_a_number(&self) -> Option<(&'static str, f64)> {
        [
            ("temperature_max_c", self.temperature_max_c),
            ("temperature_min_c", self.temperature_min_c),
            ("temperature_mean_c", self.temperature_mean_c),
            ("precipitation_mm", self.precipitation_mm),
            ("wind_speed_max_kmh", self.wind_speed_max_kmh),
            ("sunshine_s", self.sunshine_s),
        ]
        .into_iter()
        .find_map(|(field, value)| value.filter(|value| !value.is_finite()).map(|value| (field, value)))
    }

    /// Writes the values of [`WEATHER_KINDS`].
    pub(crate) fn push(self, bulk: &mut Bulk<'_>) {
        bulk.push(self.temperature_max_c);
        bulk.push(self.temperature_min_c);
        bulk.push(self.temperature_mean_c);
        bulk.push(self.precipitation_mm);
        bulk.push(self.wind_speed_max_kmh);
        bulk.push(self.sunshine_s);
        bulk.push(self.weather_code);
    }

    /// Reads the values of [`WEATHER_COLUMNS`].
    pub(crate) fn read(row: &DbRow) -> Result<Self, StoreError> {
        Ok(Self {
            temperature_max_c: row.try_get("temperature_max_c")?,
            temperature_min_c: row.try_get("temperature_min_c")?,
            temperature_mean_c: row.try_get("temperature_mean_c")?,
            precipitation_mm: row.try_get("precipitation_mm")?,
            wind_speed_max_kmh: row.try_get("wind_speed_max_kmh")?,
            sunshine_s: row.try_get("sunshine_s")?,
            weather_code: row.try_get("weather_code")?,
        })
    }
}

/// A cell of the grid: a tenth of a degree each way, about 11 km, which is as fine as the archives of past weather are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GridCell {
    latitude_tenths: i64,
    longitude_tenths: i64,
}

impl GridCell {
    /// The cell around `place`.
    pub fn around(place: Location) -> Self {
        let longitude_tenths = (place.longitude * 10.0).round() as i64;
        Self {
            latitude_tenths: (place.latitude * 10.0).round() as i64,
            // 180° east and 180° west are one line.
            longitude_tenths: if longitude_tenths == -1_800 { 1_800 } else { longitude_tenths },
        }
    }

    /// The middle of the cell: the place to ask a source about.
    pub fn center(self) -> Location {
        Location {
            latitude: self.latitude_tenths as f64 / 10.0,
            longitude: self.longitude_tenths as f64 / 10.0,
        }
    }
}

/// The weather of one day in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeatherDay {
    /// The day.
    pub day: Date,
    /// Its weather. All `None` says that the source was asked and has nothing.
    pub weather: DailyWeather,
    /// Whether the values are final. A forecast, or a day that the archive does not have yet, is not, and is asked for again.
    pub observed: bool,
}

/// The cache of weather.
#[derive(Debug, Clone, Copy)]
pub struct Weather<'s> {
    store: &'s Store,
}

impl<'s> Weather<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// The days of `range` that are to be fetched for `cell`, as few ranges as possible: those that are not here, and those
    /// that are not final and were fetched before `stale_before_ms`.
    pub async fn missing(
        &self,
        cell: GridCell,
        range: DayRange,
        stale_before_ms: i64,
    ) -> Result<Vec<DayRange>, StoreError> {
        let known = query(
            "SELECT day FROM weather_days WHERE cell_latitude = $1 AND cell_longitude = $2 AND day >= $3 AND day <= $4 \
             AND (observed OR fetched_at >= $5)",
        )
        .bind(cell.latitude_tenths)
        .bind(cell.longitude_tenths)
        .bind(day::text(range.first))
        .bind(day::text(range.last))
        .bind(stale_before_ms)
        .fetch_all(self.store.readers())
        .await?;
        let known = known
            .iter()
            .map(|row| day::parse("weather_days", row.first()?))
            .collect::<Result<BTreeSet<_>, _>>()?;
        Ok(range.without(&known))
    }

    /// What is known of the days of `range` in `cell`, in order.
    pub async fn range(&self, cell: GridCell, range: DayRange) -> Result<Vec<WeatherDay>, StoreError> {
        let sql = format!(
            "SELECT day, observed, {WEATHER_COLUMNS} FROM weather_days \
             WHERE cell_latitude = $1 AND cell_longitude = $2 AND day >= $3 AND day <= $4 ORDER BY day"
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(cell.latitude_tenths)
            .bind(cell.longitude_tenths)
            .bind(day::text(range.first))
            .bind(day::text(range.last))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(|row| {
                Ok(WeatherDay {
                    day: day::parse("weather_days", row.try_get("day")?)?,
                    weather: DailyWeather::read(row)?,
                    observed: row.try_get("observed")?,
                })
            })
            .collect()
    }

    /// Keeps what was fetched for `cell` at `fetched_at_ms`. What is final is replaced only by what is final.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] for the first value that is none.
    pub async fn upsert(
        &self,
        tx: &mut WriteTx,
        cell: GridCell,
        days: &[WeatherDay],
        fetched_at_ms: i64,
    ) -> Result<(), StoreError> {
        for (index, row) in days.iter().enumerate() {
            if let Some((field, value)) = row.weather.not_a_number() {
                return Err(StoreError::NotANumber { index, field, value });
            }
        }
        let conflict = format!(
            "ON CONFLICT (cell_latitude, cell_longitude, day) DO UPDATE SET {WEATHER_REPLACED}, observed = excluded.observed, \
             fetched_at = excluded.fetched_at WHERE excluded.observed OR NOT weather_days.observed"
        );
        let shared = vec![
            ("cell_latitude", cell.latitude_tenths.into()),
            ("cell_longitude", cell.longitude_tenths.into()),
            ("fetched_at", fetched_at_ms.into()),
        ];
        let mut own = vec![("day", Kind::Text), ("observed", Kind::Bool)];
        own.extend(WEATHER_KINDS);
        let mut bulk = Bulk::new("weather_days", shared, own, &conflict);
        for row in last_of_each(days, |row| row.day) {
            bulk.push(day::text(row.day));
            bulk.push(row.observed);
            row.weather.push(&mut bulk);
        }
        bulk.run(tx.connection()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_cell_and_the_date_line_is_one_line() {
        let at = |latitude, longitude| GridCell::around(Location::new(latitude, longitude).unwrap());
        assert_eq!(at(47.46, -122.31), at(47.54, -122.28));
        assert_ne!(at(47.46, -122.31), at(47.46, -122.41));
        assert_eq!(at(10.0, -180.0), at(10.0, 180.0));
        let center = at(47.46, -122.31).center();
        assert_eq!((center.latitude, center.longitude), (47.5, -122.3));
    }
}
