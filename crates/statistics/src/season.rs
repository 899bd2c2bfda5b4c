//! Trend, and what comes back each week and year.

use jiff::civil::Date;
use serde::Serialize;

use crate::describe::{is_flat, mean, moments};
use crate::distributions::f_upper;
use crate::regression::{Column, Errors, OlsSettings, bartlett_lags, ols};
use crate::watch::Watch;
use crate::{DailySeries, StatisticsError};

/// Fewest values for a trend to be told: with fewer, errors that allow for alike neighbours mean nothing.
const TREND_MIN: usize = 14;
/// Days of a week and of a year: rounded, so that a year later is nearly the same weekday.
const WEEK: usize = 7;
const YEAR: usize = 365;

/// What the days of one weekday or month have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupFigures {
    /// 1 is Monday, or January.
    pub key: u8,
    /// Days with a value.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub sd: Option<f64>,
}

/// A line through the series.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// How much it rises in a year of 365.25 days.
    pub per_year: f64,
    /// The 95 % interval's lower end.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// How likely such a slope is by chance; errors of Newey and West, as neighbouring days are alike.
    pub p: Option<f64>,
    /// The share of the variance that the line explains.
    pub r2: f64,
}

/// Whether groups differ (one-way analysis of variance).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Anova {
    /// η²: the share of the variance that lies between groups, 0 to 1.
    pub eta_squared: f64,
    /// The statistic; none where nothing varies within groups.
    pub f: Option<f64>,
    /// Groups less one.
    pub df1: usize,
    /// Values less groups.
    pub df2: usize,
    /// How likely it is by chance, were days independent.
    pub p: Option<f64>,
}

/// How strongly something comes back, of the series less its trend.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Season {
    /// Days after which it comes back.
    pub period_days: usize,
    /// Whether weekdays, or months, differ.
    #[serde(flatten)]
    pub anova: Anova,
    /// How alike days one period apart are, -1 to 1; none where the series is shorter than two periods.
    pub autocorrelation: Option<f64>,
}

/// Figures of each weekday.
pub fn by_weekday(series: &DailySeries) -> Vec<GroupFigures> {
    figures(series, weekday)
}

/// Figures of each month of the year.
pub fn by_month(series: &DailySeries) -> Vec<GroupFigures> {
    figures(series, month)
}

fn weekday(day: Date) -> u8 {
    day.weekday().to_monday_one_offset().unsigned_abs()
}

fn month(day: Date) -> u8 {
    day.month().unsigned_abs()
}

fn figures(series: &DailySeries, key: fn(Date) -> u8) -> Vec<GroupFigures> {
    let groups = grouped(series.known().map(|(_, day, value)| (key(day), value)));
    let figures = groups.into_iter().map(|(key, values)| {
        let (mean, squares) = moments(&values);
        let sd = (values.len() > 1).then(|| (squares / (values.len() as f64 - 1.0)).sqrt());
        GroupFigures { key, count: values.len(), mean, sd }
    });
    figures.collect()
}

fn grouped(values: impl Iterator<Item = (u8, f64)>) -> std::collections::BTreeMap<u8, Vec<f64>> {
    let mut groups = std::collections::BTreeMap::<u8, Vec<f64>>::new();
    for (key, value) in values {
        groups.entry(key).or_default().push(value);
    }
    groups
}

/// The line through the series; none with fewer than 14 values, or where they never change.
///
/// # Errors
/// [`StatisticsError::Cancelled`].
pub fn trend(series: &DailySeries, watch: &dyn Watch) -> Result<Option<Trend>, StatisticsError> {
    let (places, values): (Vec<i64>, Vec<f64>) =
        series.known().map(|(place, _, value)| (place as i64, value)).unzip();
    if values.len() < TREND_MIN {
        return Ok(None);
    }
    let years = Column::new("years", places.iter().map(|place| *place as f64 / 365.25).collect());
    let errors = Errors::Hac { lags: bartlett_lags(values.len(), WEEK), positions: Some(places) };
    let settings = OlsSettings { errors, ..OlsSettings::default() };
    match ols(series.name(), &values, &[years], &settings, watch) {
        Ok(fit) => Ok(fit.coefficient("years").map(|slope| Trend {
            per_year: slope.estimate,
            low: slope.low,
            high: slope.high,
            p: slope.p,
            r2: fit.r2,
        })),
        Err(StatisticsError::Constant { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How strongly the week comes back; none with less than two weeks of days.
pub fn weekly(series: &DailySeries) -> Option<Season> {
    season(series, WEEK, weekday)
}

/// How strongly the year comes back, by months; none with less than a year of days.
pub fn yearly(series: &DailySeries) -> Option<Season> {
    if series.values().len() < YEAR {
        return None;
    }
    season(series, YEAR, month)
}

fn season(series: &DailySeries, period: usize, key: fn(Date) -> u8) -> Option<Season> {
    if series.values().len() < 2 * WEEK {
        return None;
    }
    let flat = detrended(series);
    let keyed = series.known().filter_map(|(place, day, _)| Some((key(day), flat[place]?)));
    let anova = one_way(grouped(keyed).into_values())?;
    let autocorrelation = (flat.len() >= 2 * period).then(|| autocorrelation(&flat, period)).flatten();
    Some(Season { period_days: period, anova, autocorrelation })
}

/// The series less the line through it.
fn detrended(series: &DailySeries) -> Vec<Option<f64>> {
    let (places, values): (Vec<f64>, Vec<f64>) =
        series.known().map(|(place, _, value)| (place as f64, value)).unzip();
    let ((at, spread), (level, _)) = (moments(&places), moments(&values));
    let together: f64 = places.iter().zip(&values).map(|(place, value)| (place - at) * (value - level)).sum();
    let slope = if spread > 0.0 { together / spread } else { 0.0 };
    let off: Vec<f64> =
        places.iter().zip(&values).map(|(place, value)| value - level - slope * (place - at)).collect();
    let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    // What is left of a line is rounding, which has patterns of its own.
    let is_rounding = is_flat(largest, moments(&off).1, off.len());
    let mut left = off.into_iter().map(|off| if is_rounding { 0.0 } else { off });
    series.values().iter().map(|value| value.and_then(|_| left.next())).collect()
}

/// Whether groups differ; none with fewer than two of them, no more values than groups, or values that are all equal.
fn one_way(groups: impl Iterator<Item = Vec<f64>>) -> Option<Anova> {
    let groups: Vec<Vec<f64>> = groups.collect();
    let all: Vec<f64> = groups.iter().flatten().copied().collect();
    let (level, squares) = moments(&all);
    let (df1, df2) = (groups.len().checked_sub(1)?, all.len().checked_sub(groups.len())?);
    if df1 == 0 || df2 == 0 || is_flat(level, squares, all.len()) {
        return None;
    }
    let between: f64 = groups.iter().map(|group| group.len() as f64 * (mean(group) - level).powi(2)).sum();
    let within = (squares - between).max(0.0);
    let f = Some(between / df1 as f64 / (within / df2 as f64)).filter(|f| f.is_finite());
    Some(Anova {
        eta_squared: (between / squares).clamp(0.0, 1.0),
        f,
        df1,
        df2,
        p: f.and_then(|f| f_upper(f, df1 as f64, df2 as f64)),
    })
}

/// How alike values `lag` apart are, -1 to 1, over the pairs where both are known; none without a pair, or where nothing changes.
pub fn autocorrelation(values: &[Option<f64>], lag: usize) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let (level, squares) = moments(&known);
    if is_flat(level, squares, known.len()) {
        return None;
    }
    let later = values.get(lag..)?;
    let pairs = || values.iter().zip(later).filter_map(|(early, late)| early.zip(*late));
    pairs().next()?;
    let products: f64 = pairs().map(|(early, late)| (early - level) * (late - level)).sum();
    Some((products / squares).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn series(days: usize, value: impl Fn(usize) -> f64) -> DailySeries {
        DailySeries::new("price", date(2024, 1, 1), (0..days).map(|n| Some(value(n))).collect()).unwrap()
    }

    /// Between -1 and 1, without a pattern that a test would see.
    fn noise(n: usize) -> f64 {
        ((n as f64 * 12.9898).sin() * 43_758.545_3).fract()
    }

    #[test]
    fn a_week_is_found_under_a_trend_and_noise() {
        // 2024-01-01 is a Monday; Saturdays and Sundays are dearer.
        let dearer = |n: usize| if n % 7 >= 5 { 20.0 } else { 0.0 };
        let seen = series(730, |n| 100.0 + n as f64 * 0.1 + dearer(n) + noise(n));
        let weekly = weekly(&seen).unwrap();
        assert!(weekly.anova.eta_squared > 0.98 && weekly.anova.p.unwrap() < 1e-30, "{weekly:?}");
        assert!(weekly.autocorrelation.unwrap() > 0.95, "{weekly:?}");
        let line = trend(&seen, &()).unwrap().unwrap();
        assert!((line.per_year - 36.5).abs() < 0.5 && line.p.unwrap() < 1e-20, "{line:?}");
        let groups = by_weekday(&seen);
        assert_eq!(groups.iter().map(|group| group.key).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        assert!(groups[5].mean - groups[4].mean > 18.0);
        let yearly = yearly(&seen).unwrap();
        assert!(yearly.anova.eta_squared < 0.05, "there is no year in it: {yearly:?}");
    }

    #[test]
    fn a_year_is_found_and_needs_two_to_be_compared_with_itself() {
        let year = |n: usize| (n as f64 / 365.25 * std::f64::consts::TAU).sin() * 10.0;
        let one = yearly(&series(400, |n| year(n) + noise(n))).unwrap();
        assert!(one.anova.eta_squared > 0.6 && one.autocorrelation.is_none(), "{one:?}");
        let two = yearly(&series(1_000, |n| year(n) + noise(n))).unwrap();
        assert!(two.autocorrelation.unwrap() > 0.5, "{two:?}");
        assert_eq!(yearly(&series(364, year)), None);
    }

    #[test]
    fn what_never_changes_has_neither_trend_nor_season() {
        let flat = series(800, |_| 0.1);
        assert_eq!(trend(&flat, &()).unwrap(), None);
        assert_eq!((weekly(&flat), yearly(&flat)), (None, None));
        let line = series(800, |n| n as f64 * 0.3);
        assert_eq!(weekly(&line), None, "nothing is left of a line less itself");
        assert_eq!(weekly(&series(13, noise)), None);
        let one = DailySeries::new("x", date(2024, 1, 1), vec![Some(1.0)]).unwrap();
        assert_eq!((trend(&one, &()).unwrap(), weekly(&one)), (None, None));
    }

    #[test]
    fn autocorrelation_is_the_textbook_s_and_leaves_out_what_is_missing() {
        let known: Vec<Option<f64>> = [1.0, 2.0, 3.0, 4.0, 5.0].map(Some).to_vec();
        assert!((autocorrelation(&known, 1).unwrap() - 0.4).abs() < 1e-15);
        assert_eq!(autocorrelation(&known, 5), None);
        let with_gap = [Some(1.0), None, Some(3.0), Some(2.0)];
        // Mean 2, squares 2; the one pair of neighbours is (1, 0).
        assert!(autocorrelation(&with_gap, 1).unwrap().abs() < 1e-15);
    }
}
