//! A property's own observations and features, made a table.

use std::collections::BTreeMap;

use bulrush_store::{DayFeatures, DayRange, EntityKind, Scope, Store};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::AnalyzeError;
use super::roles::Role;
use super::table::{Cells, Column, Table};

/// Most metrics of one analysis.
const METRICS_MAX: usize = 50;
/// Observations of one look.
const PAGE: u32 = 10_000;
/// Columns of features, with what they are.
type Feature = (&'static str, Role, fn(&DayFeatures) -> Option<f64>);

const NUMBERS: [Feature; 8] = [
    ("temperatureMeanC", Role::Temperature, |day| day.weather.temperature_mean_c),
    ("temperatureMaxC", Role::TemperatureMax, |day| day.weather.temperature_max_c),
    ("temperatureMinC", Role::TemperatureMin, |day| day.weather.temperature_min_c),
    ("precipitationMm", Role::Precipitation, |day| day.weather.precipitation_mm),
    ("windSpeedMaxKmh", Role::Wind, |day| day.weather.wind_speed_max_kmh),
    ("sunshineHours", Role::Sunshine, |day| day.weather.sunshine_s.map(|seconds| seconds / 3_600.0)),
    ("daysToHoliday", Role::AboutHolidays, |day| day.days_to_holiday.map(|days| days as f64)),
    ("daysSinceHoliday", Role::AboutHolidays, |day| day.days_since_holiday.map(|days| days as f64)),
];
const FLAGS: [Feature; 3] = [
    ("publicHoliday", Role::PublicHoliday, |day| Some(flag(day.public_holiday.is_some()))),
    ("schoolHoliday", Role::SchoolHoliday, |day| Some(flag(day.school_holiday.is_some()))),
    ("longWeekend", Role::AboutHolidays, |day| Some(flag(day.long_weekend))),
];

fn flag(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}

/// Reads what is known of a property: each day's latest value of every metric, a day being one of the property's time zone, and the day's
/// features.
pub(super) async fn read(store: &Store, scope: &Scope, id: &str) -> Result<Table, AnalyzeError> {
    let found = store.entities().get(scope, id).await?;
    let property = found.filter(|found| found.entity.kind == EntityKind::Property);
    let property = property.ok_or_else(|| AnalyzeError::PropertyNotFound { id: id.to_owned() })?.entity;
    // Without a zone of its own a property's days are those of UTC, as its upload's dates are.
    let zone = match property.time_zone.as_deref() {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name)
            .map_err(|_| AnalyzeError::TimeZone { seen: name.chars().take(64).collect() })?,
    };
    let metrics = store.observations().metrics(scope, id).await?;
    if metrics.len() > METRICS_MAX {
        return Err(AnalyzeError::TooManyMetrics { found: metrics.len(), most: METRICS_MAX });
    }
    let mut notes = Vec::new();
    let mut by_metric: Vec<(String, BTreeMap<Date, f64>)> = Vec::new();
    for (metric, _) in metrics {
        let mut days = BTreeMap::new();
        let (mut from_ms, mut repeated) = (i64::MIN, 0_u64);
        loop {
            let points = store.observations().range(scope, id, &metric, (from_ms, i64::MAX), PAGE).await?;
            for point in &points {
                if let Ok(at) = Timestamp::from_millisecond(point.ts_ms)
                    && days.insert(zone.to_datetime(at).date(), point.value).is_some()
                {
                    repeated += 1;
                }
            }
            let Some(last) = points.last().filter(|_| points.len() == PAGE as usize) else { break };
            from_ms = last.ts_ms.saturating_add(1);
        }
        if repeated > 0 {
            notes.push(format!(
                "of days with several values of {metric} the latest counts ({repeated} others)"
            ));
        }
        by_metric.push((metric, days));
    }
    let days: std::collections::BTreeSet<Date> =
        by_metric.iter().flat_map(|(_, days)| days.keys().copied()).collect();
    let (Some(first), Some(last)) = (days.first().copied(), days.last().copied()) else {
        return Err(AnalyzeError::NoObservations { id: id.to_owned() });
    };
    let features = store.features().range(scope, id, DayRange::new(first, last)).await?;
    let features: BTreeMap<Date, DayFeatures> = features.into_iter().map(|day| (day.day, day)).collect();
    if features.is_empty() {
        notes.push("the property has no features yet: enrich it to know its weather and holidays".to_owned());
    }
    let days: Vec<Date> = days.into_iter().collect();
    let mut columns: Vec<Column> = by_metric
        .into_iter()
        .map(|(name, values)| Column {
            name,
            role: Role::Figure,
            cells: Cells::Numbers(days.iter().map(|day| values.get(day).copied()).collect()),
        })
        .collect();
    let flags = FLAGS.iter().map(|feature| (feature, true));
    for ((name, role, value), is_flag) in NUMBERS.iter().map(|feature| (feature, false)).chain(flags) {
        let values: Vec<Option<f64>> = days.iter().map(|day| value(features.get(day)?)).collect();
        // A metric of that name is what the user means by it.
        if values.iter().any(Option::is_some) && !columns.iter().any(|column| column.name == *name) {
            let cells = if is_flag { Cells::Flags(values) } else { Cells::Numbers(values) };
            columns.push(Column { name: (*name).to_owned(), role: *role, cells });
        }
    }
    Ok(Table::new(days, columns, notes))
}
