//! Open-Meteo's JSON, and what must hold before we believe it.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use serde::Deserialize;

use super::{DailyWeather, WeatherSeries};
use crate::date_range::DateRange;
use crate::http::BadData;

/// The daily variables asked for, in the words of the API.
pub(super) const VARIABLES: &str = "temperature_2m_max,temperature_2m_min,temperature_2m_mean,precipitation_sum,\
    wind_speed_10m_max,weather_code,sunshine_duration";

// What the Earth's surface has ever had, with room for a record: outside of this a value is a mistake of the upstream
// (another unit, a fill value such as -999), and a mean built on it would be worse than none.
/// °C. Records: -89.2 and 56.7.
const TEMPERATURE_C: RangeInclusive<f64> = -95.0..=65.0;
/// mm a day. Record: 1825.
const PRECIPITATION_MM: RangeInclusive<f64> = 0.0..=2500.0;
/// km/h. Record: 408, outside of tornadoes.
const WIND_KMH: RangeInclusive<f64> = 0.0..=500.0;
/// Seconds in the longest day, which is the one on which summer time ends.
const SUNSHINE_S: RangeInclusive<f64> = 0.0..=90_000.0;
/// Table 4677.
const WEATHER_CODE_MAX: u8 = 99;
/// The mean of rounded hours may leave the range of the rounded extremes by this much, °C.
const MEAN_SLACK_C: f64 = 0.5;
/// Longest IANA name today: 32.
const TIME_ZONE_MAX: usize = 64;

#[derive(Deserialize)]
struct Answer {
    timezone: String,
    daily_units: Units,
    daily: Daily,
}

#[derive(Deserialize)]
struct Units {
    temperature_2m_max: String,
    temperature_2m_min: String,
    temperature_2m_mean: String,
    precipitation_sum: String,
    wind_speed_10m_max: String,
    #[serde(default)]
    sunshine_duration: Option<String>,
}

#[derive(Deserialize)]
struct Daily {
    time: Vec<Date>,
    temperature_2m_max: Vec<Option<f64>>,
    temperature_2m_min: Vec<Option<f64>>,
    temperature_2m_mean: Vec<Option<f64>>,
    precipitation_sum: Vec<Option<f64>>,
    wind_speed_10m_max: Vec<Option<f64>>,
    weather_code: Vec<Option<u8>>,
    /// Not every model has it.
    #[serde(default)]
    sunshine_duration: Option<Vec<Option<f64>>>,
}

/// Takes the answer for `range` apart.
pub(super) fn parse(body: &[u8], range: DateRange) -> Result<WeatherSeries, BadData> {
    let answer: Answer = crate::http::json(body)?;
    check_time_zone(&answer.timezone)?;
    answer.daily_units.check()?;
    answer.daily.check_alignment(range)?;

    let daily = &answer.daily;
    let mut days = Vec::with_capacity(daily.time.len());
    for (i, &date) in daily.time.iter().enumerate() {
        let sunshine = daily.sunshine_duration.as_ref().and_then(|values| values[i]);
        let day = DailyWeather {
            date,
            temperature_max_c: possible(
                date,
                "highest temperature",
                daily.temperature_2m_max[i],
                &TEMPERATURE_C,
            )?,
            temperature_min_c: possible(
                date,
                "lowest temperature",
                daily.temperature_2m_min[i],
                &TEMPERATURE_C,
            )?,
            temperature_mean_c: possible(
                date,
                "mean temperature",
                daily.temperature_2m_mean[i],
                &TEMPERATURE_C,
            )?,
            precipitation_mm: possible(date, "precipitation", daily.precipitation_sum[i], &PRECIPITATION_MM)?,
            wind_speed_max_kmh: possible(date, "wind speed", daily.wind_speed_10m_max[i], &WIND_KMH)?,
            weather_code: daily.weather_code[i],
            sunshine_s: possible(date, "sunshine", sunshine, &SUNSHINE_S)?,
        };
        check_day(&day)?;
        days.push(day);
    }
    Ok(WeatherSeries { time_zone: answer.timezone, days })
}

fn check_time_zone(name: &str) -> Result<(), BadData> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    if name.is_empty() || name.len() > TIME_ZONE_MAX || !name.chars().all(plain) {
        return Err(BadData(format!("{name:?} is no name of a time zone")));
    }
    Ok(())
}

impl Units {
    fn check(&self) -> Result<(), BadData> {
        let sunshine = self.sunshine_duration.as_deref().unwrap_or("s");
        for (name, seen, expected) in [
            ("temperature_2m_max", self.temperature_2m_max.as_str(), "°C"),
            ("temperature_2m_min", &self.temperature_2m_min, "°C"),
            ("temperature_2m_mean", &self.temperature_2m_mean, "°C"),
            ("precipitation_sum", &self.precipitation_sum, "mm"),
            ("wind_speed_10m_max", &self.wind_speed_10m_max, "km/h"),
            ("sunshine_duration", sunshine, "s"),
        ] {
            if seen != expected {
                return Err(BadData(format!("{name} comes in {seen:?}, not in {expected:?}")));
            }
        }
        Ok(())
    }
}

impl Daily {
    /// The days are exactly those of the range, and each array has a value (or null) for each of them.
    fn check_alignment(&self, range: DateRange) -> Result<(), BadData> {
        let expected = range.days_count();
        if self.time.len() != expected {
            return Err(BadData(format!("{} days came, {expected} were asked for", self.time.len())));
        }
        if let Some((seen, asked)) = self.time.iter().zip(range.days()).find(|(seen, asked)| *seen != asked) {
            return Err(BadData(format!("the day {seen} came in the place of {asked}")));
        }
        let sunshine = self.sunshine_duration.as_ref().map_or(expected, Vec::len);
        for (name, length) in [
            ("temperature_2m_max", self.temperature_2m_max.len()),
            ("temperature_2m_min", self.temperature_2m_min.len()),
            ("temperature_2m_mean", self.temperature_2m_mean.len()),
            ("precipitation_sum", self.precipitation_sum.len()),
            ("wind_speed_10m_max", self.wind_speed_10m_max.len()),
            ("weather_code", self.weather_code.len()),
            ("sunshine_duration", sunshine),
        ] {
            if length != expected {
                return Err(BadData(format!("{name} has {length} values for {expected} days")));
            }
        }
        Ok(())
    }
}

fn possible(
    date: Date,
    what: &str,
    value: Option<f64>,
    range: &RangeInclusive<f64>,
) -> Result<Option<f64>, BadData> {
    match value {
        Some(value) if !range.contains(&value) => {
            Err(BadData(format!("{what} of {date} is {value}, outside {} to {}", range.start(), range.end())))
        }
        value => Ok(value),
    }
}

/// What must hold between the values of one day.
fn check_day(day: &DailyWeather) -> Result<(), BadData> {
    let date = day.date;
    if let Some(code) = day.weather_code.filter(|code| *code > WEATHER_CODE_MAX) {
        return Err(BadData(format!("weather code of {date} is {code}, above {WEATHER_CODE_MAX}")));
    }
    if let (Some(min), Some(max)) = (day.temperature_min_c, day.temperature_max_c) {
        if min > max {
            return Err(BadData(format!("lowest temperature of {date} is {min}, above the highest, {max}")));
        }
        if let Some(mean) = day.temperature_mean_c
            && !(min - MEAN_SLACK_C..=max + MEAN_SLACK_C).contains(&mean)
        {
            return Err(BadData(format!("mean temperature of {date} is {mean}, outside {min} to {max}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use serde_json::{Value, json};

    fn range() -> DateRange {
        DateRange::new(date(2024, 1, 1), date(2024, 1, 2)).unwrap()
    }

    fn answer() -> Value {
        json!({
            "latitude": 52.5, "longitude": 13.4, "elevation": 38.0, "utc_offset_seconds": 3600,
            "timezone": "Europe/Berlin",
            "daily_units": {
                "time": "iso8601", "temperature_2m_max": "°C", "temperature_2m_min": "°C",
                "temperature_2m_mean": "°C", "precipitation_sum": "mm", "wind_speed_10m_max": "km/h",
                "weather_code": "wmo code", "sunshine_duration": "s"
            },
            "daily": {
                "time": ["2024-01-01", "2024-01-02"],
                "temperature_2m_max": [5.1, -3.2], "temperature_2m_min": [1.0, -17.5],
                "temperature_2m_mean": [3.0, -9.9], "precipitation_sum": [0.0, 12.3],
                "wind_speed_10m_max": [20.5, 31.0], "weather_code": [3, 75],
                "sunshine_duration": [1800.5, 0.0]
            }
        })
    }

    /// The problem found in the answer with the value at `pointer` replaced.
    fn problem(pointer: &str, value: Value) -> String {
        let mut answer = answer();
        *answer.pointer_mut(pointer).unwrap() = value;
        parse(answer.to_string().as_bytes(), range()).unwrap_err().0
    }

    #[test]
    fn frost_and_missing_values_are_weather_too() {
        let mut answer = answer();
        answer["daily"]["precipitation_sum"] = json!([null, 1.5]);
        answer["daily"]["weather_code"] = json!([null, null]);
        answer["daily"].as_object_mut().unwrap().remove("sunshine_duration");
        answer["daily_units"].as_object_mut().unwrap().remove("sunshine_duration");
        let series = parse(answer.to_string().as_bytes(), range()).unwrap();
        assert_eq!(series.time_zone, "Europe/Berlin");
        assert_eq!(series.days[0].precipitation_mm, None);
        assert_eq!(
            series.days[1],
            DailyWeather {
                date: date(2024, 1, 2),
                temperature_max_c: Some(-3.2),
                temperature_min_c: Some(-17.5),
                temperature_mean_c: Some(-9.9),
                precipitation_mm: Some(1.5),
                wind_speed_max_kmh: Some(31.0),
                weather_code: None,
                sunshine_s: None,
            }
        );
    }

    #[test]
    fn days_that_were_not_asked_for_are_refused() {
        assert_eq!(
            problem("/daily/time", json!(["2023-01-01", "2023-01-02"])),
            "the day 2023-01-01 came in the place of 2024-01-01"
        );
        assert_eq!(problem("/daily/time", json!(["2024-01-01"])), "1 days came, 2 were asked for");
        assert!(problem("/daily/time", json!(["2024-01-01", "2024-02-30"])).contains("not the JSON"));
    }

    #[test]
    fn misaligned_arrays_are_refused_by_name() {
        for name in wire_names() {
            assert_eq!(
                problem(&format!("/daily/{name}"), json!([1])),
                format!("{name} has 1 values for 2 days")
            );
        }
    }

    fn wire_names() -> impl Iterator<Item = &'static str> {
        VARIABLES.split(',')
    }

    #[test]
    fn impossible_values_are_refused_with_their_day() {
        assert_eq!(
            problem("/daily/temperature_2m_max/1", json!(-999.0)),
            "highest temperature of 2024-01-02 is -999, outside -95 to 65"
        );
        assert!(
            problem("/daily/precipitation_sum/0", json!(-0.1)).starts_with("precipitation of 2024-01-01")
        );
        assert!(problem("/daily/wind_speed_10m_max/0", json!(1e308)).starts_with("wind speed"));
        assert!(problem("/daily/sunshine_duration/0", json!(90_001)).starts_with("sunshine"));
        assert!(problem("/daily/weather_code/0", json!(100)).starts_with("weather code"));
        assert!(problem("/daily/temperature_2m_min/0", json!(6.0)).contains("above the highest"));
        assert!(problem("/daily/temperature_2m_mean/0", json!(9.0)).starts_with("mean temperature"));
    }

    #[test]
    fn other_units_types_and_time_zones_are_refused() {
        assert_eq!(
            problem("/daily_units/wind_speed_10m_max", json!("mp/h")),
            "wind_speed_10m_max comes in \"mp/h\", not in \"km/h\""
        );
        assert!(problem("/daily/weather_code/0", json!(-1)).contains("not the JSON"));
        assert!(problem("/daily/temperature_2m_max/0", json!("NaN")).contains("not the JSON"));
        assert!(problem("/timezone", json!("<script>")).contains("no name of a time zone"));
    }

    #[test]
    fn what_is_no_json_is_named() {
        let problem = |body: &str| parse(body.as_bytes(), range()).unwrap_err().0;
        assert_eq!(problem(""), "the body is empty");
        assert_eq!(problem("  <!doctype html><p>Sign in</p>"), "it is a page of HTML or XML, not JSON");
        let nan = answer().to_string().replace("5.1", "NaN");
        assert!(problem(&nan).contains("not the JSON"));
        let deep = "[".repeat(100_000);
        assert!(problem(&deep).contains("not the JSON"));
    }
}
