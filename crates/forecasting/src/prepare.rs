//! From a history with gaps and slips to a complete series that a model can learn from.

use crate::Step;
use crate::season::{self, Season, Waves};
use crate::transform::Transform;

/// How far from the middle half of the remainders a value is an outlier, in widths of that half: as far as `tsoutliers` of the R package
/// `forecast` (Hyndman 2021). 1 in 400,000 of normal values.
const FENCE: f64 = 3.0;

/// The largest share of values that can be outliers. Where there are more, the series is of that kind.
const OUTLIERS_MAX: f64 = 0.05;

/// As many values far out on the same side in a row are a new level, no slips.
const RUN_MAX: usize = 3;

/// A complete series, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// Values, gaps filled in and outliers replaced.
    pub(crate) values: Vec<f64>,
    /// The seasons, the strongest first.
    pub(crate) seasons: Vec<Season>,
    /// What makes its variation even.
    pub(crate) transform: Transform,
    /// The waves of the long season, of the transformed values.
    pub(crate) waves: Option<Waves>,
    /// Which values were replaced.
    pub(crate) outliers: Vec<usize>,
}

impl Prepared {
    /// Prepares values of which the first and the last are there.
    pub(crate) fn new(observed: &[Option<f64>], step: Step) -> Self {
        let mut values = interpolated(observed);
        let mut seasons = season::find(&values, step);
        if observed.iter().any(Option::is_none) && !seasons.is_empty() {
            let short = short_of(&seasons);
            let (_, season) = median_parts(&values, short);
            let without: Vec<Option<f64>> = observed
                .iter()
                .enumerate()
                .map(|(at, value)| value.map(|value| value - season[at]))
                .collect();
            let filled = interpolated(&without);
            let floor = least(&values);
            for (at, value) in values.iter_mut().enumerate() {
                if observed[at].is_none() {
                    *value = (filled[at] + season[at]).max(floor.min(*value));
                }
            }
        }
        // An outlier can hide the season, and what has a season looks full of outliers without it: the second look has what the first found.
        let (mut transform, mut outliers) = (Transform::None, Vec::new());
        let raw = values.clone();
        for _ in 0..2 {
            let block = short_of(&seasons).or(seasons.first().map(|season| season.steps()));
            transform = block.map_or(Transform::None, |block| Transform::choose(&values, block));
            outliers = find_outliers(&raw, observed, short_of(&seasons), transform);
            values.clone_from(&raw);
            for &(at, replaced) in &outliers {
                values[at] = replaced;
            }
            let before = short_of(&seasons);
            if !outliers.is_empty() {
                seasons = season::find(&values, step);
            }
            if short_of(&seasons) == before {
                break;
            }
        }
        let mut prepared = Self {
            values,
            seasons,
            transform,
            waves: None,
            outliers: outliers.into_iter().map(|found| found.0).collect(),
        };
        if let Some(long) = prepared.seasons.iter().find(|season| !season.is_short()) {
            prepared.waves = Waves::fit(&prepared.transformed(), *long, prepared.short());
        }
        prepared
    }

    /// Length of the short season, steps.
    pub(crate) fn short(&self) -> Option<usize> {
        short_of(&self.seasons)
    }

    /// The values as an additive model wants them.
    pub(crate) fn transformed(&self) -> Vec<f64> {
        self.values.iter().map(|value| self.transform.apply(*value)).collect()
    }

    /// The transformed values without the long season.
    pub(crate) fn without_waves(&self) -> Vec<f64> {
        let mut values = self.transformed();
        if let Some(waves) = &self.waves {
            for (at, value) in values.iter_mut().enumerate() {
                *value -= waves.at(at);
            }
        }
        values
    }

    /// Puts the long season back on forecasts that begin behind the last value, and undoes the transform.
    pub(crate) fn restore(&self, mut ahead: Vec<f64>) -> Vec<f64> {
        for (step, value) in ahead.iter_mut().enumerate() {
            if let Some(waves) = &self.waves {
                *value += waves.at(self.values.len() + step);
            }
            *value = self.transform.invert(*value);
        }
        ahead
    }

    /// The level at the end: mean size of the last season's values, or of the last ten.
    pub(crate) fn level(&self) -> f64 {
        let count = self.short().unwrap_or(10).min(self.values.len());
        self.values[self.values.len() - count..].iter().map(|value| value.abs()).sum::<f64>() / count as f64
    }
}

fn short_of(seasons: &[Season]) -> Option<usize> {
    seasons.iter().find(|season| season.is_short()).map(|season| season.steps())
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Fills each gap by the line between its neighbours.
fn interpolated(observed: &[Option<f64>]) -> Vec<f64> {
    let mut values = Vec::with_capacity(observed.len());
    let mut before = observed.iter().flatten().next().copied().unwrap_or(0.0);
    for (at, value) in observed.iter().enumerate() {
        if let Some(value) = value {
            before = *value;
            values.push(before);
        } else {
            let next = observed[at..]
                .iter()
                .enumerate()
                .find_map(|(steps, value)| value.map(|value| (steps, value)));
            let (steps, after) = next.unwrap_or((1, before));
            before += (after - before) / (steps + 1) as f64;
            values.push(before);
        }
    }
    values
}

/// Trend and season by medians, which no outlier moves.
fn median_parts(values: &[f64], short: Option<usize>) -> (Vec<f64>, Vec<f64>) {
    let period = short.unwrap_or(1);
    let half = if period > 1 { period } else { 5 };
    let mut window = Vec::with_capacity(2 * half + 1);
    let trend: Vec<f64> = (0..values.len())
        .map(|at| {
            // The same number of values on both sides, or a rise at an end would look like an outlier.
            let inside = usize::from(at > 0 && at + 1 < values.len());
            let reach = half.min(at).min(values.len() - 1 - at).max(inside);
            window.clear();
            window.extend_from_slice(&values[at.saturating_sub(reach)..=(at + reach).min(values.len() - 1)]);
            median(&mut window)
        })
        .collect();
    let mut phases = vec![0.0; period];
    if period > 1 {
        for (phase, middle) in phases.iter_mut().enumerate() {
            let mut rest: Vec<f64> = (phase..values.len())
                .step_by(period)
                .filter(|&at| at >= half && at + half < values.len())
                .map(|at| values[at] - trend[at])
                .collect();
            *middle = median(&mut rest);
        }
        let mean = phases.iter().sum::<f64>() / period as f64;
        for phase in &mut phases {
            *phase -= mean;
        }
    }
    let season = (0..values.len()).map(|at| phases[at % period]).collect();
    (trend, season)
}

/// Middle of some values; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// Quantile of some values, between two of them if need be; 0 of none.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    values[low] + part * (values[(low + 1).min(last)] - values[low])
}

/// Values far from trend and season, with what stands there instead.
fn find_outliers(
    values: &[f64],
    observed: &[Option<f64>],
    short: Option<usize>,
    transform: Transform,
) -> Vec<(usize, f64)> {
    let changed: Vec<f64> = values.iter().map(|value| transform.apply(*value)).collect();
    if changed.len() < 12 {
        return Vec::new();
    }
    // The season first from all values, then the trend once more without it, so that a short window does not follow the season.
    let (_, season) = median_parts(&changed, short);
    let without: Vec<f64> = changed.iter().zip(&season).map(|(value, season)| value - season).collect();
    let (trend, _) = median_parts(&without, None);
    let rest: Vec<f64> = without.iter().zip(&trend).map(|(value, trend)| value - trend).collect();
    let mut inner = rest.clone();
    let (low, high) = (quantile(&mut inner, 0.25), quantile(&mut inner, 0.75));
    let reach = FENCE * (high - low);
    // Half of the values lie on the trend itself: there is no width to measure others by.
    if reach <= 1e-9 * changed.iter().fold(0.0_f64, |most, value| most.max(value.abs())) {
        return Vec::new();
    }
    let side = |at: usize| if rest[at] > high + reach { 1 } else { -i8::from(rest[at] < low - reach) };
    let mut found = Vec::new();
    let mut at = 0;
    while at < rest.len() {
        let here = side(at);
        let run = (at..rest.len()).take_while(|&at| side(at) == here).count();
        if here != 0 && run <= RUN_MAX {
            // The last value has no neighbour behind it that could tell a slip from a new level.
            let inside = (at..at + run).filter(|&at| observed[at].is_some() && at + 1 < rest.len());
            found.extend(inside.map(|at| (at, transform.invert(trend[at] + season[at]))));
        }
        at += run;
    }
    if found.len() as f64 > OUTLIERS_MAX * values.len() as f64 { Vec::new() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn weekly(len: usize, seed: u64) -> Vec<f64> {
        let mut noise = Noise::new(seed);
        (0..len).map(|t| 50.0 + [0.0, 1.0, 0.0, 2.0, 5.0, 20.0, 15.0][t % 7] + noise.normal()).collect()
    }

    #[test]
    fn gaps_are_filled_as_the_season_says() {
        let whole = weekly(140, 1);
        let mut observed: Vec<Option<f64>> = whole.iter().copied().map(Some).collect();
        // A whole weekend and a run over one.
        for at in [61, 62, 96, 97, 98, 99] {
            observed[at] = None;
        }
        let prepared = Prepared::new(&observed, Step::Day);
        for at in [61, 62, 96, 97, 98, 99] {
            assert!(
                (prepared.values[at] - whole[at]).abs() < 5.0,
                "{at}: {} for {}",
                prepared.values[at],
                whole[at]
            );
        }
        assert_eq!(prepared.short(), Some(7));
    }

    #[test]
    fn slips_are_replaced_and_weekends_new_levels_and_ends_are_not() {
        let mut values = weekly(140, 2);
        values[50] += 80.0;
        values[90] = 0.0;
        values[139] += 80.0;
        let observed: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        let prepared = Prepared::new(&observed, Step::Day);
        assert_eq!(prepared.outliers, [50, 90]);
        assert!((prepared.values[50] - weekly(140, 2)[50]).abs() < 5.0, "{}", prepared.values[50]);
        let risen: Vec<Option<f64>> = weekly(140, 3)
            .iter()
            .enumerate()
            .map(|(at, value)| Some(value + if at < 100 { 0.0 } else { 60.0 }))
            .collect();
        let risen = Prepared::new(&risen, Step::Day);
        assert!(risen.values[100..].iter().all(|value| *value > 90.0), "{:?}", &risen.values[95..]);
    }

    #[test]
    fn demand_that_is_mostly_nothing_is_left_as_it_is() {
        let mut noise = Noise::new(4);
        let observed: Vec<Option<f64>> = (0..200)
            .map(|_| Some(if noise.uniform() < 0.9 { 0.0 } else { (noise.uniform() * 9.0).ceil() }))
            .collect();
        assert!(Prepared::new(&observed, Step::Day).outliers.is_empty());
    }
}
