//! What was really observed at Seattle-Tacoma; see `data/SOURCE.md`.

use jiff::civil::{Date, date};

use super::Day;

const CSV: &str = include_str!("../../data/seattle-weather.csv");
const HEADER: &str = "date,precipitation,temp_max,temp_min,wind,weather";
/// The station.
const LATITUDE: f64 = 47.45;
const LONGITUDE: f64 = -122.31;
/// How far from the station its weather is taken for the place's own, degrees.
const NEAR: f64 = 0.2;
const FIRST: Date = date(2012, 1, 1);

/// The observed days in order.
#[derive(Debug)]
pub(crate) struct SeattleRecord(Vec<Day>);

/// The built-in file is not what this module expects.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the record of Seattle's weather is not a day in order: {text:?}")]
pub struct RecordError {
    line: usize,
    text: String,
}

impl SeattleRecord {
    pub fn load() -> Result<Self, RecordError> {
        let mut lines = CSV.lines().enumerate();
        let mut days = Vec::new();
        let mut expected = FIRST;
        let error = |index: usize, text: &str| RecordError { line: index + 1, text: text.to_owned() };
        match lines.next() {
            Some((_, HEADER)) => {}
            other => return Err(error(0, other.map_or("", |(_, line)| line))),
        }
        for (index, line) in lines {
            let (date, day) = parse(line).ok_or_else(|| error(index, line))?;
            if date != expected {
                return Err(error(index, line));
            }
            expected = expected.tomorrow().map_err(|_| error(index, line))?;
            days.push(day);
        }
        Ok(Self(days))
    }

    /// The observed day, if the place is near the station and the day was observed.
    pub fn at(&self, latitude: f64, longitude: f64, date: Date) -> Option<Day> {
        // A little more than the distance itself, so that 0.2 written in decimals is within it.
        let near = |a: f64, b: f64| (a - b).abs() < NEAR + 1e-9;
        if !near(latitude, LATITUDE) || !near(longitude, LONGITUDE) {
            return None;
        }
        let index = usize::try_from(FIRST.duration_until(date).as_hours() / 24).ok()?;
        if date < FIRST { None } else { self.0.get(index).copied() }
    }
}

fn parse(line: &str) -> Option<(Date, Day)> {
    let mut fields = line.split(',');
    let date = fields.next()?.parse().ok()?;
    let mut number = || fields.next()?.parse::<f64>().ok();
    let (precipitation, temperature_max, temperature_min, wind_speed) =
        (number()?, number()?, number()?, number()?);
    let weather_code = weather_code(fields.next()?, precipitation)?;
    let day =
        Day { temperature_max, temperature_min, precipitation, wind_speed, weather_code, sunshine: None };
    fields.next().is_none().then_some((date, day))
}

/// The WMO code of a word, with the amount (mm) telling slight, moderate and heavy apart.
fn weather_code(word: &str, precipitation: f64) -> Option<u8> {
    let step = if precipitation < 5.0 {
        0
    } else if precipitation < 20.0 {
        2
    } else {
        4
    };
    Some(match word {
        "sun" => 0,
        "fog" => 45,
        "drizzle" => 51,
        "rain" => 61 + step,
        "snow" => 71 + step,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_every_day_of_its_four_years() {
        let record = SeattleRecord::load().unwrap();
        assert_eq!(record.0.len(), 1461);
        let day = record.at(LATITUDE, LONGITUDE, date(2012, 1, 2)).unwrap();
        assert_eq!(
            day,
            Day {
                temperature_max: 10.6,
                temperature_min: 2.8,
                precipitation: 10.9,
                wind_speed: 4.5,
                weather_code: 63,
                sunshine: None,
            }
        );
    }

    #[test]
    fn only_its_place_and_time_are_in_the_record() {
        let record = SeattleRecord::load().unwrap();
        let day = date(2015, 12, 31);
        assert!(record.at(47.65, -122.51, day).is_some());
        assert!(record.at(47.66, -122.31, day).is_none());
        assert!(record.at(47.45, 122.31, day).is_none());
        assert!(record.at(LATITUDE, LONGITUDE, date(2016, 1, 1)).is_none());
        assert!(record.at(LATITUDE, LONGITUDE, date(2011, 12, 31)).is_none());
        assert!(record.at(LATITUDE, LONGITUDE, date(1900, 1, 1)).is_none());
    }
}
