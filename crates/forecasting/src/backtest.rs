//! What the models would have said at moments of the past: rolling origins (Tashman 2000). At each origin everything is done anew on what was
//! known then: gaps, seasons, outliers, transform and fit; only which of the ETS models is used, and where its search begins, may come from an older
//! origin. Forecasts are compared with the values as they were, gaps left out, outliers included.

use crate::models::{self, Memory};
use crate::prepare::Prepared;
use crate::watch::{Cancelled, Stop};
use crate::{Model, Step};

/// As many origins, if the history has room for them. Enough to tell models apart and to see how far errors reach; the time of a forecast is
/// nearly all spent here.
const ORIGINS_MAX: usize = 8;

/// With fewer than these, origins are added from which only a part of the horizon can be judged.
const ORIGINS_MIN: usize = 4;

/// The shortest history that is forecast from.
const TRAINING_MIN: usize = 6;

/// One origin.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    /// How many values were known.
    pub(crate) origin: usize,
    /// What came then, up to the horizon or to the end of the history.
    pub(crate) actual: Vec<Option<f64>>,
    /// What each model said; none where it could say nothing.
    pub(crate) ahead: Vec<Option<Vec<f64>>>,
    /// Mean error of repeating the season within what was known, by which errors are scaled.
    pub(crate) scale: f64,
    /// The level at the origin to the power with which errors follow it.
    pub(crate) level: f64,
}

/// Runs the models at each origin.
pub(crate) fn run(
    observed: &[Option<f64>],
    step: Step,
    horizon: usize,
    models: &[Model],
    floor: Option<f64>,
    stop: Stop<'_>,
) -> Result<Vec<Fold>, Cancelled> {
    let mut folds = Vec::with_capacity(ORIGINS_MAX);
    let mut memory = Memory::default();
    let usual = naive_error(observed, 1).unwrap_or(1.0);
    for origin in origins(observed, horizon) {
        stop.check()?;
        let known = &observed[..origin];
        let actual = &observed[origin..observed.len().min(origin + horizon)];
        if actual.iter().all(Option::is_none) {
            continue;
        }
        let prepared = Prepared::new(known, step);
        let mut ahead = Vec::with_capacity(models.len());
        for &model in models {
            let seen = models::run(model, &prepared, actual.len(), &mut memory, stop)?;
            ahead.push(seen.map(|seen| floored(seen.ahead, floor)));
        }
        let period = prepared.short().or(prepared.seasons.first().map(|season| season.steps())).unwrap_or(1);
        // A history that was constant until then has no error to scale by, nor has one whose changes are lost beside its largest value.
        let scale = |period| naive_error(known, period).filter(|scale| *scale > SCALE_MIN);
        let scale = scale(period).or_else(|| scale(1)).unwrap_or(usual);
        let level = spread_level(&prepared);
        folds.push(Fold { origin, actual: actual.to_vec(), ahead, scale, level });
    }
    Ok(folds)
}

/// The smallest error to scale others by, of values whose largest is 1: below it a difference is rounding.
const SCALE_MIN: f64 = 1e-12;

/// What errors at the end of a series are divided by before they are compared with errors elsewhere.
pub(crate) fn spread_level(prepared: &Prepared) -> f64 {
    prepared.level().max(1e-9).powf(prepared.transform.spread_power())
}

/// Values with a floor under them.
pub(crate) fn floored(mut values: Vec<f64>, floor: Option<f64>) -> Vec<f64> {
    if let Some(floor) = floor {
        for value in &mut values {
            *value = value.max(floor);
        }
    }
    values
}

/// Mean absolute difference of values one period apart; none where there is no such pair, or no difference.
fn naive_error(observed: &[Option<f64>], period: usize) -> Option<f64> {
    let pairs = observed.iter().zip(observed.iter().skip(period));
    let (sum, count) = pairs
        .filter_map(|(before, value)| Some((value.as_ref()? - before.as_ref()?).abs()))
        .fold((0.0, 0.0), |(sum, count), error| (sum + error, count + 1.0));
    (sum > 0.0).then(|| sum / count)
}

/// Where to stand: how many values are known at each origin, ascending. Each is behind a value.
fn origins(observed: &[Option<f64>], horizon: usize) -> Vec<usize> {
    let len = observed.len();
    // Three fifths of the history to learn from, so that the models of the past are nearly as good as those of the whole of it: errors of
    // models that knew much less would make intervals too wide.
    let least = TRAINING_MIN.max(len * 3 / 5);
    let full = len - horizon.min(len);
    let mut origins = Vec::with_capacity(ORIGINS_MAX + ORIGINS_MIN);
    if full >= least {
        let stride = ((full - least) / (ORIGINS_MAX - 1)).clamp(1, horizon);
        origins.extend(
            (0..ORIGINS_MAX).map_while(|back| full.checked_sub(back * stride)).filter(|at| *at >= least),
        );
    }
    if origins.len() < ORIGINS_MIN {
        let from = full.max(least.saturating_sub(1));
        let more = ORIGINS_MIN + 1;
        origins.extend(
            (1..more).map(|part| from + (len - from) * part / more).filter(|at| (least..len).contains(at)),
        );
    }
    for at in &mut origins {
        while *at > 1 && observed[*at - 1].is_none() {
            *at -= 1;
        }
    }
    origins.retain(|at| *at >= TRAINING_MIN.min(len - 1));
    origins.sort_unstable();
    origins.dedup();
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_bounded_leave_room_to_learn_and_reach_the_end() {
        for len in 10..400 {
            let observed = vec![Some(1.0); len];
            for horizon in [1, 2, 7, 30, len * 2 / 3] {
                let found = origins(&observed, horizon.min(len * 2 / 3));
                assert!((2..=ORIGINS_MAX).contains(&found.len()), "{len} {horizon}: {found:?}");
                assert!(
                    found.iter().all(|at| *at >= TRAINING_MIN && *at < len),
                    "{len} {horizon}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn what_comes_after_an_origin_changes_nothing_that_was_said_there() {
        let value = |t: usize| 20.0 + (t % 7) as f64 + 3.0 * ((t * 7919 % 13) as f64 / 13.0);
        let mut observed: Vec<Option<f64>> = (0..150).map(|t| Some(value(t))).collect();
        let say = |observed: &[Option<f64>]| {
            run(observed, Step::Day, 10, &Model::ALL, None, Stop(&crate::Unwatched)).unwrap()
        };
        let before = say(&observed);
        let newest = before.last().unwrap().origin;
        for (at, value) in observed.iter_mut().enumerate().skip(newest) {
            *value = Some(1_000.0 * (at % 3) as f64);
        }
        let after = say(&observed);
        for (one, other) in before.iter().zip(&after) {
            assert_eq!((one.origin, &one.ahead, one.scale), (other.origin, &other.ahead, other.scale));
        }
    }
}
