//! Weather that could be: a climate by latitude and season, with spells of some days and noise from day to day.
//!
//! It is plausible, not accurate: temperate coasts and deserts at one latitude get the same.

use std::f64::consts::{PI, TAU};

use jiff::civil::Date;

use super::Day;
use crate::hash;

/// Length of a spell of weather, days.
const SPELL_DAYS: i64 = 5;
/// Days between the solstice and the hottest day.
const THERMAL_LAG_DAYS: f64 = 29.0;
/// Places closer than a tenth of a degree have the same weather.
const CELLS_PER_DEGREE: f64 = 10.0;

/// Kinds of noise, so that wind and rain do not go the same way.
#[derive(Clone, Copy)]
enum Noise {
    Warmth = 1,
    Clouds = 2,
    Rain = 3,
    Wind = 4,
    Range = 5,
}

/// The weather of a day at a place.
pub(super) fn day(latitude: f64, longitude: f64, date: Date) -> Day {
    let cell = Cell {
        row: (latitude * CELLS_PER_DEGREE).round() as i64,
        column: (longitude * CELLS_PER_DEGREE).round() as i64,
        day: i64::from(date.year()) * 366 + i64::from(date.day_of_year()),
    };
    let season = season(latitude, date);
    let clouds = (0.55 + 0.9 * cell.spell(Noise::Clouds) + 0.25 * cell.daily(Noise::Clouds)).clamp(0.0, 1.0);

    let mean = 27.5 - 0.0075 * latitude.powi(2)
        + season * (1.5 + 0.21 * latitude.abs())
        + 7.0 * cell.spell(Noise::Warmth)
        + 2.0 * cell.daily(Noise::Warmth);
    // Clear days have warm afternoons and cold nights.
    let half_range = 2.0 + 4.0 * (1.0 - clouds) + 1.0 * (1.0 + cell.daily(Noise::Range));

    let precipitation = precipitation(latitude, clouds, cell);
    let wind_speed = (4.0 + 5.0 * cell.spell(Noise::Wind) + 2.0 * cell.daily(Noise::Wind) + 2.5 * clouds
        - season * 0.8)
        .max(0.5);
    let day_length = day_length(latitude, date);
    Day {
        temperature_max: mean + half_range,
        temperature_min: mean - half_range,
        precipitation,
        wind_speed,
        weather_code: weather_code(clouds, precipitation, mean),
        sunshine: Some(day_length * (1.0 - clouds).powf(0.7) * 0.95),
    }
}

/// A place on one day, as the source of its noise.
#[derive(Clone, Copy)]
struct Cell {
    row: i64,
    column: i64,
    day: i64,
}

impl Cell {
    /// -0.5 to 0.5, changing smoothly over the days of a spell.
    fn spell(self, noise: Noise) -> f64 {
        let knot = self.day.div_euclid(SPELL_DAYS);
        let at = |knot: i64| hash::unit(&[self.row, self.column, knot, -(noise as i64)]) - 0.5;
        let along = self.day.rem_euclid(SPELL_DAYS) as f64 / SPELL_DAYS as f64;
        let eased = (1.0 - (along * PI).cos()) / 2.0;
        at(knot) * (1.0 - eased) + at(knot + 1) * eased
    }

    /// -1 to 1, anew each day.
    fn daily(self, noise: Noise) -> f64 {
        hash::unit(&[self.row, self.column, self.day, noise as i64]) * 2.0 - 1.0
    }
}

/// -1 in the depth of winter to 1 in the height of summer, on either half of the globe.
fn season(latitude: f64, date: Date) -> f64 {
    let since_solstice = f64::from(date.day_of_year()) - 172.0 - THERMAL_LAG_DAYS;
    let north = (TAU * since_solstice / 365.25).cos();
    if latitude < 0.0 { -north } else { north }
}

/// mm. Wet at the equator and in the middle latitudes, dry in between and at the poles.
fn precipitation(latitude: f64, clouds: f64, cell: Cell) -> f64 {
    let wetness = match latitude.abs() {
        lat if lat < 12.0 => 1.5,
        lat if lat < 35.0 => 0.5,
        lat if lat < 62.0 => 1.0,
        _ => 0.4,
    };
    let chance = ((clouds - 0.35) * 1.3 * wetness).clamp(0.0, 0.95);
    // The place of the day's number below the chance tells how hard it rains, so a day at the edge gets a drizzle.
    let drawn = f64::midpoint(cell.daily(Noise::Rain), 1.0);
    if drawn >= chance {
        return 0.0;
    }
    // Exponential: many days of little rain, few of much. The clamp keeps the logarithm finite.
    -(drawn / chance).max(1e-4).ln() * 5.0 * wetness.sqrt()
}

/// Seconds from sunrise to sunset.
fn day_length(latitude: f64, date: Date) -> f64 {
    let declination = -23.44_f64.to_radians() * (TAU * (f64::from(date.day_of_year()) + 10.0) / 365.25).cos();
    let cosine = -latitude.to_radians().tan() * declination.tan();
    cosine.clamp(-1.0, 1.0).acos() / PI * 86_400.0
}

/// WMO code 4677 as Open-Meteo uses it.
fn weather_code(clouds: f64, precipitation: f64, mean: f64) -> u8 {
    let amount = |light: u8, moderate: u8, heavy: u8| match precipitation {
        p if p < 3.0 => light,
        p if p < 12.0 => moderate,
        _ => heavy,
    };
    if precipitation >= 0.1 {
        return match mean {
            t if t < 0.5 => amount(71, 73, 75),
            t if t > 22.0 && precipitation > 15.0 => 95,
            _ if precipitation < 1.0 => 51,
            _ => amount(61, 63, 65),
        };
    }
    match clouds {
        c if c < 0.15 => 0,
        c if c < 0.35 => 1,
        c if c < 0.65 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;
    use jiff::civil::date;

    fn month(latitude: f64, month: i8) -> Vec<Day> {
        date(2023, month, 1).series(1.day()).take(28).map(|d| day(latitude, 10.0, d)).collect()
    }

    fn mean_temperature(latitude: f64, month_: i8) -> f64 {
        month(latitude, month_).iter().map(Day::temperature_mean).sum::<f64>() / 28.0
    }

    #[test]
    fn seasons_are_turned_around_south_of_the_equator() {
        assert!(mean_temperature(50.0, 7) > mean_temperature(50.0, 1) + 12.0);
        assert!(mean_temperature(-50.0, 1) > mean_temperature(-50.0, 7) + 12.0);
        assert!((mean_temperature(0.0, 1) - mean_temperature(0.0, 7)).abs() < 6.0);
        assert!(mean_temperature(0.0, 3) > mean_temperature(70.0, 3) + 20.0);
    }

    #[test]
    fn every_place_and_day_is_possible() {
        for latitude in (-90..=90).step_by(15) {
            for date in date(2024, 1, 1).series(3.days()).take(122) {
                let day = day(f64::from(latitude), 33.3, date);
                assert!((-80.0..50.0).contains(&day.temperature_min), "{latitude} {date} {day:?}");
                assert!((-80.0..55.0).contains(&day.temperature_max), "{latitude} {date} {day:?}");
                assert!(day.temperature_min < day.temperature_max);
                assert!((0.0..150.0).contains(&day.precipitation), "{latitude} {date} {day:?}");
                assert!((0.5..30.0).contains(&day.wind_speed), "{latitude} {date} {day:?}");
                assert!((0.0..=86_400.0).contains(&day.sunshine.unwrap()), "{latitude} {date} {day:?}");
            }
        }
    }

    #[test]
    fn rain_falls_on_some_days_only_and_days_differ() {
        let days: Vec<_> = (1..=12).flat_map(|m| month(50.0, m)).collect();
        let wet = days.iter().filter(|day| day.precipitation >= 0.1).count();
        assert!((60..250).contains(&wet), "{wet} of {} days are wet", days.len());
        let codes: std::collections::BTreeSet<_> = days.iter().map(|day| day.weather_code).collect();
        assert!(codes.len() >= 6, "{codes:?}");
        assert!(days.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn one_day_at_one_place_is_always_the_same() {
        // Fixed figures: whoever changes the climate changes what demos and tests show, and should know it.
        let day = day(52.52, 13.41, date(2024, 7, 1));
        let again = super::day(52.52, 13.41, date(2024, 7, 1));
        assert_eq!(day, again);
        assert_ne!(day, super::day(48.14, 11.58, date(2024, 7, 1)));
    }
}
