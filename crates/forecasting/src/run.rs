//! The whole way from a history to its forecast.
//!
//! Everything is computed on values divided by the largest of them, so that no square overflows or vanishes, and multiplied back at the end.

use crate::accuracy::Measures;
use crate::backtest::{self, Fold, floored};
use crate::ensemble::{self, LeftOut};
use crate::intervals::{Miss, Spread};
use crate::models::{self, Memory, Seen};
use crate::prepare::Prepared;
use crate::settings::HORIZON_MAX;
use crate::watch::Stop;
use crate::{
    Accuracy, Cleaning, Forecast, ForecastError, ForecastPoint, Gap, History, Model, ModelReport, Outlier,
    Settings, Stage, Step, Watch,
};

/// How many steps a history must span for a horizon.
pub(crate) fn needed(horizon: usize) -> usize {
    10.max(horizon + horizon.div_ceil(2))
}

/// The newest values that are used: six years of days, twenty of weeks, fifty of months. Nothing older helps, and time and memory stay bounded.
fn newest(step: Step, horizon: usize) -> usize {
    let usual = match step {
        Step::Day => 2_192,
        Step::Week => 1_044,
        Step::Month => 600,
    };
    usual.max(2 * needed(horizon))
}

/// Forecasts a series.
///
/// The history is cleaned and its seasons are found, the models are judged by what they would have said in the past, and the forecast is their
/// mean, weighted by how well they did. Its intervals are as wide as the errors of that mean were.
///
/// # Errors
/// [`ForecastError`] says which value or setting is wrong and what to do; [`ForecastError::Cancelled`] as soon as `watch` says so.
pub fn forecast(
    history: &History,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Forecast, ForecastError> {
    let stop = Stop(watch);
    watch.stage(Stage::Preprocessing);
    stop.check()?;
    let horizon = settings.horizon;
    let models = check(history, settings)?;
    let step = history.step();
    let mut notes = Vec::new();

    let from = first_used(history, horizon);
    if from > 0 {
        notes.push(format!("values before {} were not used", history.day(from)));
    }
    let used = &history.values()[from..];
    let unit = used.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
    let observed: Vec<Option<f64>> = used.iter().map(|value| value.map(|value| value / unit)).collect();
    let constant = used.iter().flatten().all(|value| value.to_bits() == used[0].unwrap_or(0.0).to_bits());
    if constant || unit <= 0.0 {
        return Err(ForecastError::Constant {
            value: used[0].unwrap_or(0.0),
            count: used.iter().flatten().count(),
        });
    }
    let floor = settings.non_negative.then_some(0.0);
    let prepared = Prepared::new(&observed, step);
    if prepared.seasons.is_empty() && models == [Model::Seasonal] {
        return Err(ForecastError::NoSeason);
    }

    watch.stage(Stage::Models);
    let folds = backtest::run(&observed, step, horizon, &models, floor, stop)?;
    let mut memory = Memory::default();
    let mut seen: Vec<Option<Seen>> = Vec::with_capacity(models.len());
    for &model in &models {
        let found = models::run(model, &prepared, horizon, &mut memory, stop)?;
        seen.push(found.map(|found| Seen { ahead: floored(found.ahead, floor), ..found }));
    }

    watch.stage(Stage::Ensemble);
    stop.check()?;
    let mut weights = ensemble::weights(&folds, models.len(), |_| true);
    let silent = silence(&mut weights, &seen);
    if silent {
        notes.push(
            "no model could be judged on the history, so all that have a forecast weigh alike".to_owned(),
        );
    }
    let ahead: Vec<Option<Vec<f64>>> =
        seen.iter().map(|seen| seen.as_ref().map(|seen| seen.ahead.clone())).collect();
    let Some(mean) = ensemble::combine(&ahead, &weights) else { return Err(ForecastError::NoSeason) };

    watch.stage(Stage::Accuracy);
    stop.check()?;
    let judged = judge(&folds, models.len());
    let misses = misses(&judged);
    let level = backtest::spread_level(&prepared);
    let Some(spread) = Spread::fit(&misses) else { return Err(too_short(history, horizon)) };
    let mut points = Vec::with_capacity(horizon);
    for (at, mean) in mean.iter().enumerate() {
        let outside = ForecastError::Calendar { last: history.last(), horizon, step };
        let day = history.try_day(history.values().len() + at).ok_or(outside)?;
        let reach = spread.reach(at + 1).map(|reach| reach * level);
        points.push(point(day, *mean, reach, floor, unit)?);
    }
    if folds.len() < 4 {
        notes.push(format!(
            "the history is short: models were judged at {} moments only, and the intervals are wide for it",
            folds.len()
        ));
    }
    let outliers = prepared.outliers.iter().filter_map(|&at| {
        Some(Outlier { day: history.day(from + at), value: used[at]?, replaced: prepared.values[at] * unit })
    });
    let gaps = history.gaps().filter(|(at, _)| *at >= from).map(|(at, steps)| Gap {
        from: history.day(at),
        to: history.day(at + steps - 1),
        steps,
    });
    Ok(Forecast {
        step,
        season: prepared.seasons.first().map(|season| season.steps()),
        points,
        models: report(&models, &folds, &weights, &seen, &prepared),
        accuracy: accuracy(&judged, &misses),
        cleaning: Cleaning {
            observed: used.iter().flatten().count(),
            gaps: gaps.collect(),
            outliers: outliers.collect(),
        },
        notes,
    })
}

/// Checks what was asked for against the history; returns the models, each once, in their order.
fn check(history: &History, settings: &Settings) -> Result<Vec<Model>, ForecastError> {
    let horizon = settings.horizon;
    if horizon == 0 || horizon > HORIZON_MAX {
        return Err(ForecastError::Horizon { horizon, max: HORIZON_MAX });
    }
    let models: Vec<Model> = Model::ALL.into_iter().filter(|model| settings.models.contains(model)).collect();
    if models.is_empty() {
        return Err(ForecastError::NoModels);
    }
    if history.values().len() < needed(horizon) {
        return Err(too_short(history, horizon));
    }
    let outside = ForecastError::Calendar { last: history.last(), horizon, step: history.step() };
    history.try_day(history.values().len() + horizon - 1).ok_or(outside)?;
    Ok(models)
}

fn too_short(history: &History, horizon: usize) -> ForecastError {
    let found = history.values().len();
    let longest = (1..horizon).rev().find(|&shorter| needed(shorter) <= found).unwrap_or(0);
    ForecastError::TooShort { found, needed: needed(horizon), horizon, longest, step: history.step() }
}

/// Index of the first value that is used, which is no gap.
fn first_used(history: &History, horizon: usize) -> usize {
    let values = history.values();
    let from = values.len().saturating_sub(newest(history.step(), horizon));
    from + values[from..].iter().take_while(|value| value.is_none()).count()
}

/// Takes the weight from models without a forecast. If then none has any, all with a forecast share it, and the answer is yes.
fn silence(weights: &mut [Result<f64, LeftOut>], seen: &[Option<Seen>]) -> bool {
    for (weight, seen) in weights.iter_mut().zip(seen) {
        if seen.is_none() && weight.is_ok() {
            *weight = Err(LeftOut::Silent { folds: 0 });
        }
    }
    let total: f64 = weights.iter().flatten().sum();
    let alike = total <= 0.0;
    let speak = seen.iter().flatten().count().max(1) as f64;
    for (weight, seen) in weights.iter_mut().zip(seen) {
        match weight {
            Ok(part) if !alike => *part /= total,
            _ if alike && seen.is_some() => *weight = Ok(1.0 / speak),
            _ => {}
        }
    }
    alike
}

/// What the whole of the models would have said in each fold, each with the weights that the other folds give.
fn judge(folds: &[Fold], models: usize) -> Vec<(&Fold, Vec<f64>)> {
    let mut judged = Vec::with_capacity(folds.len());
    for (at, fold) in folds.iter().enumerate() {
        let weights = ensemble::weights(folds, models, |other| other != at || folds.len() == 1);
        let alike: Vec<_> = fold.ahead.iter().map(|_| Ok(1.0)).collect();
        let said =
            ensemble::combine(&fold.ahead, &weights).or_else(|| ensemble::combine(&fold.ahead, &alike));
        judged.extend(said.map(|said| (fold, said)));
    }
    judged
}

/// The errors of all folds.
fn misses(judged: &[(&Fold, Vec<f64>)]) -> Vec<Miss> {
    let mut misses = Vec::new();
    for (number, (fold, said)) in judged.iter().enumerate() {
        for (at, (actual, said)) in fold.actual.iter().zip(said).enumerate() {
            if let Some(actual) = actual {
                let error = (actual - said) / fold.level;
                misses.push(Miss { fold: number, at: fold.origin + at, ahead: at + 1, error });
            }
        }
    }
    misses
}

/// The measures of the whole, with each fold's intervals from the other folds.
fn accuracy(judged: &[(&Fold, Vec<f64>)], misses: &[Miss]) -> Accuracy {
    let mut measures = Measures::default();
    let (mut inside, mut count) = ([0.0; 2], 0.0);
    for (number, (fold, said)) in judged.iter().enumerate() {
        for (actual, said) in fold.actual.iter().zip(said) {
            if let Some(actual) = actual {
                measures.add(*actual, *said, fold.scale);
            }
        }
        let (own, others): (Vec<Miss>, Vec<Miss>) = misses.iter().partition(|miss| miss.fold == number);
        let Some(spread) = Spread::fit(&others).or_else(|| Spread::fit(&own)) else { continue };
        for miss in own {
            let reach = spread.reach(miss.ahead);
            count += 1.0;
            for (inside, reach) in inside.iter_mut().zip(reach) {
                // An interval of no width around a value that was hit holds it, rounding or not.
                *inside += if miss.error.abs() <= reach + 1e-12 { 1.0 } else { 0.0 };
            }
        }
    }
    let share = |inside: f64| 100.0 * inside / f64::max(count, 1.0);
    Accuracy {
        mape: measures.mape(),
        mase: measures.mase().unwrap_or(0.0),
        smape: measures.smape().unwrap_or(0.0),
        coverage80: share(inside[0]),
        coverage95: share(inside[1]),
        folds: judged.len(),
    }
}

/// A point in the history's own unit.
fn point(
    day: jiff::civil::Date,
    mean: f64,
    reach: [f64; 2],
    floor: Option<f64>,
    unit: f64,
) -> Result<ForecastPoint, ForecastError> {
    let at = |value: f64| floor.map_or(value, |floor| value.max(floor)) * unit;
    let point = ForecastPoint {
        day,
        mean: at(mean),
        low80: at(mean - reach[0]),
        high80: at(mean + reach[0]),
        low95: at(mean - reach[1]),
        high95: at(mean + reach[1]),
    };
    let ends = [point.mean, point.low80, point.high80, point.low95, point.high95];
    if ends.iter().all(|value| value.is_finite()) { Ok(point) } else { Err(ForecastError::Overflow { day }) }
}

/// One report for each model.
fn report(
    models: &[Model],
    folds: &[Fold],
    weights: &[Result<f64, LeftOut>],
    seen: &[Option<Seen>],
    prepared: &Prepared,
) -> Vec<ModelReport> {
    let mut reports = Vec::with_capacity(models.len());
    for (at, &model) in models.iter().enumerate() {
        let mut measures = Measures::default();
        for fold in folds {
            let Some(ahead) = &fold.ahead[at] else { continue };
            for (actual, said) in fold.actual.iter().zip(ahead) {
                if let Some(actual) = actual {
                    measures.add(*actual, *said, fold.scale);
                }
            }
        }
        let left_out = weights[at].err().map(|why| match why {
            LeftOut::Silent { .. } if model == Model::Seasonal && prepared.seasons.is_empty() => {
                "no season was found".to_owned()
            }
            LeftOut::Silent { folds: spoke } => {
                format!("it gave a usable forecast at {spoke} of {} moments of the past", folds.len())
            }
            LeftOut::Worse { times } => format!("its errors were {times:.1} times those of the best model"),
        });
        reports.push(ModelReport {
            model,
            weight: weights[at].unwrap_or(0.0),
            mape: measures.mape(),
            mase: measures.mase(),
            smape: measures.smape(),
            fitted: seen[at].as_ref().map(|seen| seen.fitted.clone()).unwrap_or_default(),
            left_out,
        });
    }
    reports
}
