//! Days that do not fit.

use jiff::civil::Date;
use serde::Serialize;

use crate::describe::median;
use crate::watch::{Watch, check};
use crate::{DailySeries, StatisticsError};

/// Days around a day of which its level is the median: two weeks on each side, so that no weekday weighs more than another.
const AROUND: usize = 14;
/// Makes the median absolute deviation, and the mean one, a standard deviation where values are normal.
const MEDIAN_TO_SD: f64 = 1.482_602_218_505_602;
const MEAN_TO_SD: f64 = 1.253_314_137_315_5;

/// A day that does not fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlier {
    /// The day.
    pub day: Date,
    /// Its value.
    pub value: f64,
    /// What its neighbours and its weekday let expect.
    pub expected: f64,
    /// How far off, in robust standard deviations.
    pub score: f64,
}

/// The days that do not fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outliers {
    /// From which score on a day counts.
    pub threshold: f64,
    /// One robust standard deviation of the days about what is expected.
    pub spread: f64,
    /// How many.
    pub count: usize,
    /// The farthest off, at most as many as were asked for, in the order of days.
    pub days: Vec<Outlier>,
}

/// Finds days farther than `threshold` robust standard deviations from what is expected: the median of the days around, and what the
/// weekday usually adds. Medians throughout, so that the outliers do not hide themselves. At most `most` are listed.
///
/// # Errors
/// [`StatisticsError::Cancelled`].
pub fn outliers(
    series: &DailySeries,
    threshold: f64,
    most: usize,
    watch: &dyn Watch,
) -> Result<Outliers, StatisticsError> {
    let values = series.values();
    let mut levels = vec![0.0; values.len()];
    for (place, level) in levels.iter_mut().enumerate() {
        if place % 1_024 == 0 {
            check(watch)?;
        }
        // As many days before as after, also near the ends: a lopsided window would see a trend as an offset.
        let reach = AROUND.min(place).min(values.len() - 1 - place);
        let reach = if reach < HALF_WEEK { AROUND } else { reach };
        let from = place.saturating_sub(reach);
        let mut around: Vec<f64> =
            values[from..values.len().min(place + reach + 1)].iter().copied().flatten().collect();
        *level = median(&mut around).unwrap_or(0.0);
    }
    continue_to_the_ends(&mut levels);
    let off: Vec<(usize, Date, f64)> =
        series.known().map(|(place, day, value)| (place, day, value - levels[place])).collect();
    let mut usual = [0.0; 7];
    for (weekday, usual) in usual.iter_mut().enumerate() {
        let mut same: Vec<f64> =
            off.iter().filter(|(place, _, _)| place % 7 == weekday).map(|(_, _, off)| *off).collect();
        *usual = median(&mut same).unwrap_or(0.0);
    }
    let left: Vec<f64> = off.iter().map(|(place, _, off)| off - usual[place % 7]).collect();
    let spread = spread(&left, series);
    let mut found: Vec<Outlier> = Vec::new();
    if spread > 0.0 {
        for ((place, day, _), left) in off.iter().zip(&left) {
            let score = left.abs() / spread;
            if let (true, Some(value)) = (score > threshold, values[*place]) {
                found.push(Outlier { day: *day, value, expected: value - left, score });
            }
        }
    }
    let count = found.len();
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.day.cmp(&b.day)));
    found.truncate(most);
    found.sort_by_key(|outlier| outlier.day);
    Ok(Outliers { threshold, spread, count, days: found })
}

/// Fewer days than this on each side are no window.
const HALF_WEEK: usize = 3;

/// The levels of the first and the last three days go on as those of the next week rise or fall.
fn continue_to_the_ends(levels: &mut [f64]) {
    let inner = HALF_WEEK + 7;
    if levels.len() <= 2 * inner {
        return;
    }
    let last = levels.len() - 1;
    let slopes =
        ((levels[HALF_WEEK] - levels[inner]) / 7.0, (levels[last - HALF_WEEK] - levels[last - inner]) / 7.0);
    for place in 0..HALF_WEEK {
        let away = (HALF_WEEK - place) as f64;
        levels[place] = levels[HALF_WEEK] + slopes.0 * away;
        levels[last - place] = levels[last - HALF_WEEK] + slopes.1 * away;
    }
}

/// A robust standard deviation: by the median; where more than half fit exactly, by the mean; nothing where that is rounding.
fn spread(left: &[f64], series: &DailySeries) -> f64 {
    let mut sizes: Vec<f64> = left.iter().map(|left| left.abs()).collect();
    let mean = sizes.iter().sum::<f64>() / sizes.len().max(1) as f64;
    let middle = median(&mut sizes).unwrap_or(0.0);
    let largest = series.known().map(|(_, _, value)| value.abs()).fold(0.0, f64::max);
    let rounding = 1e-12 * largest;
    if middle > rounding {
        middle * MEDIAN_TO_SD
    } else if mean > rounding {
        mean * MEAN_TO_SD
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn series(days: usize, value: impl Fn(usize) -> f64) -> DailySeries {
        DailySeries::new("price", date(2024, 1, 1), (0..days).map(|n| Some(value(n))).collect()).unwrap()
    }

    fn noise(n: usize) -> f64 {
        ((n as f64 * 12.9898).sin() * 43_758.545_3).fract()
    }

    #[test]
    fn strange_days_are_found_in_a_week_on_a_slope_and_ordinary_weekends_are_not() {
        let dearer = |n: usize| if n % 7 >= 5 { 40.0 } else { 0.0 };
        let strange = |n: usize| match n {
            0 => -30.0,
            100 => 60.0,
            101 => 55.0,
            250 => -80.0,
            _ => 0.0,
        };
        let seen = series(400, |n| 100.0 + 0.2 * n as f64 + dearer(n) + 3.0 * noise(n) + strange(n));
        let seen = outliers(&seen, 5.0, 10, &()).unwrap();
        let days: Vec<Date> = seen.days.iter().map(|outlier| outlier.day).collect();
        assert_eq!(
            days,
            [date(2024, 1, 1), date(2024, 4, 10), date(2024, 4, 11), date(2024, 9, 7)],
            "{seen:?}"
        );
        assert!((seen.days[3].expected - seen.days[3].value - 80.0).abs() < 8.0, "{seen:?}");
    }

    #[test]
    fn the_farthest_are_kept_where_there_are_too_many_and_all_are_counted() {
        let seen = series(300, |n| if n % 30 == 15 { 50.0 + n as f64 } else { noise(n) });
        let seen = outliers(&seen, 6.0, 3, &()).unwrap();
        assert_eq!((seen.count, seen.days.len()), (10, 3));
        assert_eq!(seen.days[2].day, date(2024, 1, 1).checked_add(jiff::Span::new().days(285)).unwrap());
    }

    #[test]
    fn equal_days_and_lines_have_no_outliers_and_one_odd_day_among_equal_ones_is_one() {
        for days in [1, 2, 5, 40] {
            assert_eq!(outliers(&series(days, |_| 0.3), 3.5, 9, &()).unwrap().count, 0);
        }
        assert_eq!(outliers(&series(100, |n| n as f64), 8.0, 9, &()).unwrap().count, 0);
        let odd = outliers(&series(100, |n| if n == 50 { 9.0 } else { 1.0 }), 3.5, 9, &()).unwrap();
        assert_eq!((odd.count, odd.days[0].expected), (1, 1.0));
    }
}
