//! What a night costs: by season, day of the week and guests, with some noise, the same at every time and on every machine.

use jiff::civil::Date;

use crate::hash;

/// Longest stay that is summed up, nights.
const NIGHTS_MAX: usize = 400;

/// The mean price of a stay's nights, rounded to hundredths.
pub(super) fn per_night(slug: &str, base: f64, (check_in, check_out): (Date, Date), adults: u32) -> f64 {
    let hotel = hash::of_bytes(slug.as_bytes()).cast_signed();
    let nights = std::iter::successors(Some(check_in), |day| day.tomorrow().ok());
    let prices: Vec<f64> = nights
        .take_while(|day| *day < check_out)
        .take(NIGHTS_MAX)
        .map(|day| night(hotel, base, day))
        .collect();
    let mean = prices.iter().sum::<f64>() / prices.len().max(1) as f64;
    // A third of a double for each further guest.
    let guests = 0.8 + 0.1 * f64::from(adults.min(2)) + 0.33 * f64::from(adults.saturating_sub(2));
    (mean * guests * 100.0).round() / 100.0
}

fn night(hotel: i64, base: f64, day: Date) -> f64 {
    // Summer and the weeks around New Year are dear.
    let year_turn = std::f64::consts::TAU * f64::from(day.day_of_year()) / 365.25;
    let season = 1.0 - 0.18 * (year_turn).cos() + 0.25 * (2.0 * year_turn).cos().max(0.0);
    let weekend = if matches!(day.weekday(), jiff::civil::Weekday::Friday | jiff::civil::Weekday::Saturday) {
        1.15
    } else {
        1.0
    };
    let noise = 0.94 + 0.12 * hash::unit(&[hotel, i64::from(day.year()), i64::from(day.day_of_year())]);
    base * season * weekend * noise
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn prices_are_plausible_and_stay_the_same() {
        let of = |day: i8, adults| {
            per_night("alpenblick", 118.0, (date(2026, 7, day), date(2026, 7, day + 2)), adults)
        };
        for day in 1..29 {
            let price = of(day, 2);
            assert!((80.0..260.0).contains(&price), "{price}");
            assert!(of(day, 1) < price && price < of(day, 3));
        }
        assert_eq!(of(3, 2).to_bits(), of(3, 2).to_bits());
        assert!(
            per_night("alpenblick", 118.0, (date(2026, 7, 3), date(2026, 7, 3)), 2) < 1.0,
            "no night, no price"
        );
    }
}
