//! Which seasons a series has.
//!
//! Asked of a period is whether the same phase of it is alike in every cycle. The trend is taken out by a running mean over one period (which
//! also takes out all that a random walk would bring into a lag of that period), what is left is explained by the means of the phases, or,
//! where the period is long, by its first waves, and the share explained is judged by an F-test. Neighbours that are alike make the phases'
//! waves look firmer than they are, so the test counts only as many values as are independent: n (1 - r) / (1 + r), r being the correlation
//! of neighbours in what is left unexplained (Bayley & Hammersley 1946).

use std::f64::consts::TAU;

use crate::Step;
use crate::regression::least_squares;

/// Seasons longer than this are described by waves instead of by a number for each phase.
pub(crate) const PHASES_MAX: usize = 24;

/// The most waves of a long season.
const WAVES_MAX: usize = 8;

/// How many cycles must have been seen: two of the calendar's periods, and four of those that are found in the values.
const CYCLES: f64 = 2.0;
const CYCLES_UNKNOWN: f64 = 4.0;

/// How far out a standard normal value must lie: 1 in 2,000 for the calendar's periods; for the best of all periods, of which there are
/// hundreds, 1 in 3 million.
const FAR: f64 = 3.3;
const FAR_UNKNOWN: f64 = 5.0;

/// A season of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Season {
    /// Its length, steps; a year of days is 365.25.
    pub(crate) period: f64,
    /// What share of the variation around the trend it explains, 0 to 1.
    pub(crate) strength: f64,
}

impl Season {
    /// Its length in whole steps.
    pub(crate) fn steps(self) -> usize {
        self.period.round() as usize
    }

    /// Whether each of its phases gets a number of its own.
    pub(crate) fn is_short(self) -> bool {
        self.steps() <= PHASES_MAX
    }
}

/// The seasons of a complete series: at most one short and one long one, the stronger one first.
pub(crate) fn find(values: &[f64], step: Step) -> Vec<Season> {
    let calendar: &[f64] = match step {
        Step::Day => &[7.0, 365.25],
        Step::Week => &[52.18],
        Step::Month => &[12.0],
    };
    let mut found: Vec<Season> = Vec::with_capacity(2);
    for &period in calendar {
        if values.len() as f64 >= CYCLES * period + 2.0 {
            found.extend(test(values, period, FAR));
        }
    }
    if found.is_empty() {
        found.extend(unknown(values));
    }
    found.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    found
}

/// The firmest season of any period, for series that keep a calendar of their own.
fn unknown(values: &[f64]) -> Option<Season> {
    let longest = ((values.len() as f64 / CYCLES_UNKNOWN) as usize).min(400);
    if longest < 3 {
        return None;
    }
    let rest = without_line(values);
    let lags = autocorrelation(&rest, longest + 1);
    let mut peaks: Vec<usize> = (3..=longest)
        .filter(|&lag| lags[lag] > 0.2 && lags[lag] >= lags[lag - 1] && lags[lag] >= lags[lag + 1])
        .collect();
    peaks.sort_by(|&a, &b| lags[b].total_cmp(&lags[a]).then(a.cmp(&b)));
    peaks.truncate(3);
    // Two cycles agree whenever one does: the shortest that holds.
    peaks.sort_unstable();
    peaks.into_iter().find_map(|period| test(values, period as f64, FAR_UNKNOWN))
}

/// Whether the series has a season of this period, and how strong it is.
fn test(values: &[f64], period: f64, far: f64) -> Option<Season> {
    let steps = period.round() as usize;
    let rest =
        if steps <= PHASES_MAX { around_running_mean(values, steps) } else { around_bends(values, period) };
    let columns = if steps <= PHASES_MAX { steps } else { 5 };
    if rest.len() < columns + 4 {
        return None;
    }
    let mean = rest.iter().sum::<f64>() / rest.len() as f64;
    let total: f64 = rest.iter().map(|value| (value - mean).powi(2)).sum();
    let scale: f64 = values.iter().map(|value| value.powi(2)).sum();
    if total <= scale * 1e-24 {
        return None;
    }
    let fit = least_squares(&rest, columns, |index, row| {
        if steps <= PHASES_MAX {
            row.fill(0.0);
            row[index % steps] = 1.0;
        } else {
            let angle = TAU * index as f64 / period;
            row.copy_from_slice(&[1.0, angle.cos(), angle.sin(), (2.0 * angle).cos(), (2.0 * angle).sin()]);
        }
    })?;
    let unexplained: f64 = fit.residuals.iter().map(|value| value.powi(2)).sum();
    let strength = 1.0 - unexplained / total;
    if strength <= 0.0 {
        return None;
    }
    let alike = autocorrelation(&fit.residuals, 1)[1].clamp(0.0, 0.999);
    let n = rest.len() as f64;
    let ((upper, lower), (upper_apart, lower_apart)) = if steps <= PHASES_MAX {
        // A phase's values are a whole period apart, so neighbours that are alike do not make their mean firmer; they do make the sums of
        // squares less certain, as if there were fewer.
        let (upper, lower) = ((columns - 1) as f64, n - columns as f64);
        let apart = (1.0 - alike * alike) / (1.0 + alike * alike);
        ((upper, lower), (upper * apart, lower * apart))
    } else {
        let (upper, lower) = ((columns - 1) as f64, n * (1.0 - alike) / (1.0 + alike) - columns as f64 - 1.0);
        ((upper, lower), (upper, lower))
    };
    if lower < 2.0 {
        return None;
    }
    let ratio = (strength / upper) / ((1.0 - strength).max(1e-12) / lower);
    (f_as_normal(ratio, upper_apart, lower_apart) > far).then_some(Season { period, strength })
}

/// How far out a value of the F-distribution lies, as a standard normal one (Paulson 1942).
fn f_as_normal(ratio: f64, upper: f64, lower: f64) -> f64 {
    let (a, b, root) = (2.0 / (9.0 * upper), 2.0 / (9.0 * lower), ratio.cbrt());
    ((1.0 - b) * root - (1.0 - a)) / (a + b * root * root).sqrt()
}

/// What is left of a series around its running mean over one period; half a period at both ends is lost.
fn around_running_mean(values: &[f64], period: usize) -> Vec<f64> {
    let half = period / 2;
    let edge = if period.is_multiple_of(2) { 0.5 } else { 1.0 };
    if values.len() <= 2 * half {
        return Vec::new();
    }
    (half..values.len() - half)
        .map(|at| {
            let inner: f64 = values[at - half + 1..at + half].iter().sum();
            values[at] - (inner + edge * (values[at - half] + values[at + half])) / period as f64
        })
        .collect()
}

/// What is left of a series around its straight line.
fn without_line(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    least_squares(values, 2, |index, row| row.copy_from_slice(&[1.0, 2.0 * index as f64 / n - 1.0]))
        .map_or_else(|| values.to_vec(), |fit| fit.residuals)
}

/// What is left of a series around a trend that bends once a cycle, which cannot follow the cycle itself.
fn around_bends(values: &[f64], period: f64) -> Vec<f64> {
    let knots = (values.len() as f64 / period).ceil() as usize + 1;
    least_squares(values, knots, |index, row| {
        row[0] = 1.0;
        bends(index, values.len(), &mut row[1..]);
    })
    .map_or_else(|| values.to_vec(), |fit| fit.residuals)
}

/// Correlations of a series with itself at the lags 0 to `longest`.
pub(crate) fn autocorrelation(values: &[f64], longest: usize) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let around: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let at = |lag: usize| around.iter().zip(around.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
    let total = at(0);
    (0..=longest).map(|lag| if total > 0.0 { at(lag) / total } else { 0.0 }).collect()
}

/// The waves of a long season: sines and cosines whose weights are fitted beside a trend that bends once a cycle and beside the short season,
/// so that neither is taken for the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waves {
    period: f64,
    /// Weight of cosine and sine, for each wave.
    weights: Vec<(f64, f64)>,
}

impl Waves {
    /// As many waves as Schwarz's criterion (1978) finds worth their weights.
    pub(crate) fn fit(values: &[f64], season: Season, short: Option<usize>) -> Option<Self> {
        let period = season.period;
        let cycles = (values.len() as f64 / period).ceil();
        let most = if cycles > 3.0 { WAVES_MAX } else { 5 };
        let knots = (cycles as usize).max(2);
        let phases = short.unwrap_or(1);
        let base = phases + knots;
        let mut best: Option<(f64, Self)> = None;
        for count in 1..=most {
            let columns = base + 2 * count;
            let fit = least_squares(values, columns, |index, row| {
                row.fill(0.0);
                row[index % phases] = 1.0;
                bends(index, values.len(), &mut row[phases..base]);
                waves(index, period, &mut row[base..]);
            })?;
            // The criterion counts independent values: neighbours that are alike would make every wave look worth it.
            let alike = autocorrelation(&fit.residuals, 1)[1].clamp(0.0, 0.98);
            let n = values.len() as f64 * (1.0 - alike) / (1.0 + alike);
            let square = fit.residuals.iter().map(|value| value * value).sum::<f64>().max(1e-300);
            let worth = n * (square / values.len() as f64).ln() + n.ln().max(0.0) * columns as f64;
            if best.as_ref().is_none_or(|best| worth < best.0) {
                let weights =
                    fit.coefficients[base..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                best = Some((worth, Self { period, weights }));
            }
        }
        best.map(|best| best.1)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.weights.len()
    }

    /// The season's part of the value at an index.
    pub(crate) fn at(&self, index: usize) -> f64 {
        let mut row = [0.0; 2 * WAVES_MAX];
        waves(index, self.period, &mut row);
        self.weights
            .iter()
            .zip(row.chunks_exact(2))
            .map(|((cosine, sine), at)| at[0] * cosine + at[1] * sine)
            .sum()
    }
}

/// A trend that bends at equal distances: each column rises from 0 to 1 over its own stretch.
fn bends(index: usize, len: usize, row: &mut [f64]) {
    let place = index as f64 / len as f64 * row.len() as f64;
    for (stretch, cell) in row.iter_mut().enumerate() {
        *cell = (place - stretch as f64).clamp(0.0, 1.0);
    }
}

/// Cosine and sine of each wave at an index.
pub(crate) fn waves(index: usize, period: f64, row: &mut [f64]) {
    let (first_sine, first_cosine) = (TAU * (index as f64 / period).fract()).sin_cos();
    let (mut sine, mut cosine) = (first_sine, first_cosine);
    for pair in row.chunks_exact_mut(2) {
        pair.copy_from_slice(&[cosine, sine]);
        // The next multiple of the angle, by the theorem of addition: a sine costs as much as all else here.
        (sine, cosine) =
            (sine * first_cosine + cosine * first_sine, cosine * first_cosine - sine * first_sine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn periods(values: &[f64], step: Step) -> Vec<usize> {
        find(values, step).iter().map(|season| season.steps()).collect()
    }

    #[test]
    fn the_calendar_s_seasons_are_found_through_noise_and_trend() {
        let mut noise = Noise::new(1);
        let wave = |t: usize, period: f64| (TAU * t as f64 / period).sin();
        let week: Vec<f64> =
            (0..140).map(|t| [0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 2.0][t % 7] + noise.normal()).collect();
        assert_eq!(periods(&week, Step::Day), [7]);
        let both: Vec<f64> = (0..1_095)
            .map(|t| t as f64 * 0.002 + f64::from(t % 7 > 4) * 2.0 + 3.0 * wave(t, 365.25) + noise.normal())
            .collect();
        assert_eq!(periods(&both, Step::Day), [365, 7]);
        let weeks: Vec<f64> = (0..160).map(|t| 2.0 * wave(t, 52.18) + noise.normal()).collect();
        assert_eq!(periods(&weeks, Step::Week), [52]);
        let growing: Vec<f64> = (0..72)
            .map(|t| (1.0 + t as f64 / 30.0) * (10.0 + 2.0 * wave(t, 12.0)) + noise.normal())
            .collect();
        assert_eq!(periods(&growing, Step::Month), [12]);
    }

    #[test]
    fn a_season_of_no_calendar_is_found_at_its_shortest_length() {
        let mut noise = Noise::new(2);
        let values: Vec<f64> = (0..200).map(|t| [5.0, 0.0, 2.0, 9.0, 1.0][t % 5] + noise.normal()).collect();
        assert_eq!(periods(&values, Step::Day), [5]);
    }

    #[test]
    fn noise_of_any_colour_rarely_has_a_season() {
        for (what, keep, most) in [("white", 0.0, 10), ("red", 0.7, 10), ("a random walk", 1.0, 30)] {
            let mut found = 0;
            for seed in 0..400 {
                let mut noise = Noise::new(seed + 100);
                let mut value = 0.0;
                let len = if seed % 2 == 0 { 120 } else { 760 };
                let values: Vec<f64> = (0..len)
                    .map(|_| {
                        value = keep * value + noise.normal();
                        value
                    })
                    .collect();
                let step = [Step::Day, Step::Week, Step::Month][seed as usize % 3];
                found += usize::from(!find(&values, step).is_empty());
            }
            assert!(found <= most, "{found} of 400 series of {what} noise have a season");
        }
    }

    #[test]
    fn waves_are_learned_beside_trend_and_week() {
        let mut noise = Noise::new(3);
        let year = |t: usize| 4.0 * (TAU * t as f64 / 365.25).cos();
        let values: Vec<f64> = (0..1_000)
            .map(|t| t as f64 * 0.01 + f64::from(t % 7 < 2) * 3.0 + year(t) + noise.normal())
            .collect();
        let waves = Waves::fit(&values, Season { period: 365.25, strength: 1.0 }, Some(7)).unwrap();
        for t in (0..1_400).step_by(50) {
            assert!((waves.at(t) - year(t)).abs() < 1.0, "{t}: {} for {}", waves.at(t), year(t));
        }
    }
}
