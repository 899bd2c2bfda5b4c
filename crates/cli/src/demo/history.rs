//! The demo's price history: a year of a hotel in Seattle, made up with seasons, weekends and a little chance, the same every time.

use std::fmt::Write as _;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};
use serde_json::{Value, json};

/// Where the hotel is; the sandbox has real weather for the place and the year.
pub const LATITUDE: f64 = 47.45;
/// As [`LATITUDE`].
pub const LONGITUDE: f64 = -122.31;
/// Whose holidays count.
pub const COUNTRY: &str = "US";

const FIRST: Date = date(2015, 1, 1);
const LAST: Date = date(2015, 12, 31);

/// The history as a CSV file.
pub fn csv() -> String {
    let mut text = String::from("date,price,occupancy,bookings\n");
    let mut day = FIRST;
    while day <= LAST {
        let (price, occupancy) = (price(day), occupancy(day));
        let bookings = (occupancy * 120.0).round();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{day},{price:.2},{occupancy:.3},{bookings:.0}");
        day = day.saturating_add(1.day());
    }
    text
}

/// A summer weekend of the history, as a job about competitors' prices takes it.
pub fn stay(property: &str) -> Value {
    json!({
        "propertyId": property, "location": "Seattle",
        "checkIn": "2015-07-03", "checkOut": "2015-07-05", "adults": 2,
    })
}

/// 1 at the height of summer, 0 in midwinter.
fn season(day: Date) -> f64 {
    let angle = (f64::from(day.day_of_year()) - 196.0) / 365.25 * std::f64::consts::TAU;
    f64::midpoint(angle.cos(), 1.0)
}

fn is_weekend_night(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Friday | Weekday::Saturday)
}

fn price(day: Date) -> f64 {
    let weekend = if is_weekend_night(day) { 24.0 } else { 0.0 };
    118.0 + 82.0 * season(day) + weekend + 9.0 * chance(day, 1)
}

fn occupancy(day: Date) -> f64 {
    let weekend = if is_weekend_night(day) { 0.12 } else { 0.0 };
    (0.48 + 0.34 * season(day) + weekend + 0.05 * chance(day, 2)).clamp(0.05, 0.99)
}

/// A number between -1 and 1 that the day alone decides.
fn chance(day: Date, salt: u64) -> f64 {
    let mut z = (u64::from(day.day_of_year().unsigned_abs()) << 8 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 27;
    (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_a_whole_year_of_believable_days() {
        let csv = csv();
        assert_eq!(csv.lines().count(), 366);
        for line in csv.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let price: f64 = fields[1].parse().expect("a price");
            let occupancy: f64 = fields[2].parse().expect("an occupancy");
            assert!((80.0..260.0).contains(&price) && (0.0..1.0).contains(&occupancy), "{line}");
        }
        assert_eq!(csv, super::csv());
    }
}
