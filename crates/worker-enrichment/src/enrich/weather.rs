//! The weather of the property's days, through the cache that all jobs share.

use std::collections::BTreeMap;

use bulrush::Context;
use bulrush_store::{DailyWeather, DayRange, GridCell, WeatherDay};
use bulrush_upstream::{Coordinates, DateRange};
use jiff::civil::{Date, date};
use jiff::{Span, ToSpan as _};

use super::property::Property;
use super::{EnrichError, Progress};
use crate::Dependencies;
use crate::single_flight::{self, Fill};

/// The archive of past weather begins here.
const ARCHIVE_FIRST: Date = date(1940, 1, 1);
/// The forecast reaches so many days beyond today.
const FORECAST_DAYS: i64 = 15;
/// A day is final when it is so old that the archive has it for certain; later ones may still be corrected.
const FINAL_AFTER_DAYS: i64 = 8;
/// What is not final is asked for again after this long: forecasts are made anew every six hours.
const STALE_AFTER_MS: i64 = 6 * 3_600 * 1_000;
/// Days of one request. Ten years are a short answer, and a stop is noticed between two requests.
const REQUEST_DAYS: i64 = 3_653;

/// What is known of the weather, and what is not.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// The days that have any value.
    pub days: BTreeMap<Date, DailyWeather>,
    /// What is missing and why.
    pub notes: Vec<String>,
}

/// Brings the weather of the property's days into the cache and reads it from there.
pub(super) async fn of(
    deps: &Dependencies,
    ctx: &Context,
    progress: &Progress<'_>,
    property: &Property,
    today: Date,
) -> Result<Weather, EnrichError> {
    let cell = GridCell::around(property.place);
    let forecast_last = today.saturating_add(FORECAST_DAYS.days());
    let known =
        DayRange::new(property.range.first.max(ARCHIVE_FIRST), property.range.last.min(forecast_last));
    let mut weather = Weather { days: BTreeMap::new(), notes: outside(property.range, known) };
    if known.first > known.last {
        return Ok(weather);
    }
    progress.part((0, 1), "looking up the weather".to_owned());
    let part = Part { deps, ctx, progress, cell, range: known, today };
    let requests = single_flight::fill(deps, &super::holder(ctx), &part).await?;
    let cached = deps.store.weather().range(cell, known).await?;
    let has_value = |day: &WeatherDay| day.weather != DailyWeather::default();
    weather.days = cached.into_iter().filter(has_value).map(|day| (day.day, day.weather)).collect();
    let without = known.days().filter(|day| !weather.days.contains_key(day)).count();
    if without > 0 {
        let noun = super::days(without);
        weather.notes.push(format!("Open-Meteo has no weather for {noun} of the range at this place."));
    }
    ctx.log(format!(
        "weather: {} with values, from Open-Meteo in {requests} request{}, the rest cached",
        super::days(weather.days.len()),
        if requests == 1 { "" } else { "s" }
    ));
    Ok(weather)
}

/// The days of `all` that nobody has weather for, in words.
fn outside(all: DayRange, known: DayRange) -> Vec<String> {
    let mut notes = Vec::new();
    if all.first < ARCHIVE_FIRST {
        notes.push(format!("Days before {ARCHIVE_FIRST} have no weather: the archive begins there."));
    }
    if all.last > known.last {
        let beyond = all.first.max(known.last.saturating_add(1.day()));
        notes.push(format!(
            "The weather of {beyond} to {} is not known yet: the forecast reaches {FORECAST_DAYS} days ahead.",
            all.last
        ));
    }
    notes
}

/// The days of a cell that a job needs.
struct Part<'a> {
    deps: &'a Dependencies,
    ctx: &'a Context,
    progress: &'a Progress<'a>,
    cell: GridCell,
    range: DayRange,
    today: Date,
}

impl Fill for Part<'_> {
    type Missing = Vec<DayRange>;
    /// Requests made.
    type Report = usize;

    fn subject(&self) -> String {
        let center = self.cell.center();
        format!("weather:{:.1}:{:.1}", center.latitude, center.longitude)
    }

    async fn missing(&self) -> Result<Option<Vec<DayRange>>, EnrichError> {
        let stale_before_ms = self.deps.now_ms().saturating_sub(STALE_AFTER_MS);
        let missing = self.deps.store.weather().missing(self.cell, self.range, stale_before_ms).await?;
        Ok(Some(missing).filter(|missing| !missing.is_empty()))
    }

    async fn fetch(&self, missing: Vec<DayRange>) -> Result<usize, EnrichError> {
        let center = self.cell.center();
        let place = Coordinates::new(center.latitude, center.longitude)?;
        let requests: Vec<DayRange> = missing.into_iter().flat_map(in_requests).collect();
        for (done, range) in requests.iter().enumerate() {
            let DayRange { first, last } = *range;
            self.progress.part((done, requests.len()), format!("fetching the weather of {first} to {last}"));
            let asked_ms = self.deps.now_ms();
            let asked = DateRange::new(first, last)?;
            let answer = self.deps.upstreams.weather.daily(place, asked, self.today).await?;
            let days: Vec<WeatherDay> = answer
                .map(|series| series.days.iter().map(|day| self.weather_day(day)).collect())
                .unwrap_or_default();
            let mut tx = self.deps.store.begin().await?;
            self.deps.store.weather().upsert(&mut tx, self.cell, &days, asked_ms).await?;
            tx.commit().await?;
            self.ctx.check().map_err(|_| EnrichError::Stopped)?;
        }
        Ok(requests.len())
    }
}

impl Part<'_> {
    fn weather_day(&self, day: &bulrush_upstream::weather::DailyWeather) -> WeatherDay {
        let weather = DailyWeather {
            temperature_max_c: day.temperature_max_c,
            temperature_min_c: day.temperature_min_c,
            temperature_mean_c: day.temperature_mean_c,
            precipitation_mm: day.precipitation_mm,
            wind_speed_max_kmh: day.wind_speed_max_kmh,
            sunshine_s: day.sunshine_s,
            weather_code: day.weather_code.map(i64::from),
        };
        let old = day.date <= self.today.saturating_sub(FINAL_AFTER_DAYS.days());
        WeatherDay { day: day.date, weather, observed: old && weather != DailyWeather::default() }
    }
}

/// A range as ranges that one request asks for.
fn in_requests(range: DayRange) -> impl Iterator<Item = DayRange> {
    let length = Span::new().days(REQUEST_DAYS - 1);
    let mut next = Some(range.first);
    std::iter::from_fn(move || {
        let first = next.filter(|first| *first <= range.last)?;
        let last = first.saturating_add(length).min(range.last);
        next = last.tomorrow().ok();
        Some(DayRange::new(first, last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_cover_a_long_range_once() {
        let range = DayRange::new(date(1990, 1, 1), date(2015, 12, 31));
        let parts: Vec<DayRange> = in_requests(range).collect();
        assert_eq!(parts.len(), 3);
        let days: Vec<Date> = parts.iter().flat_map(|part| part.days()).collect();
        assert!(days.into_iter().eq(range.days()));
    }

    #[test]
    fn what_nobody_has_weather_for_is_said_with_its_reason() {
        let all = DayRange::new(date(1939, 12, 30), date(2030, 1, 1));
        let notes = outside(all, DayRange::new(ARCHIVE_FIRST, date(2026, 1, 15)));
        assert_eq!(notes.len(), 2);
        assert!(notes[0].contains("the archive begins"), "{notes:?}");
        assert!(notes[1].contains("2026-01-16 to 2030-01-01"), "{notes:?}");
        let future = DayRange::new(date(2029, 12, 31), date(2030, 1, 1));
        let notes = outside(future, DayRange::new(future.first, date(2026, 1, 15)));
        assert!(notes[0].contains("2029-12-31 to 2030-01-01"), "{notes:?}");
        let inside = DayRange::new(date(2020, 1, 1), date(2020, 1, 2));
        assert_eq!(outside(inside, inside), Vec::<String>::new());
    }
}
