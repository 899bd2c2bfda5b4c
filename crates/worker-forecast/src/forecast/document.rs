//! A forecast as it is kept.

use bulrush_forecasting::{Cleaning, Forecast, History, ModelReport, Step};
use bulrush_store::{ForecastAccuracy, ForecastPoint, ForecastStep, NewForecast};
use serde_json::{Value, json};

use crate::series::Thing;

/// Most gaps and outliers that are listed; their number is told in any case.
const LISTED_MAX: usize = 100;

/// What the store keeps of `forecast`.
pub(super) fn stored(thing: &Thing, metric: &str, history: &History, forecast: &Forecast) -> NewForecast {
    let accuracy = &forecast.accuracy;
    NewForecast {
        entity: thing.id().to_owned(),
        metric: metric.to_owned(),
        step: match forecast.step {
            Step::Day => ForecastStep::Day,
            Step::Week => ForecastStep::Week,
            Step::Month => ForecastStep::Month,
        },
        season: forecast.season.and_then(|season| i64::try_from(season).ok()),
        first_day: history.first(),
        last_day: history.last(),
        observed: i64::try_from(history.observed()).unwrap_or(i64::MAX),
        accuracy: ForecastAccuracy {
            mape: accuracy.mape,
            mase: accuracy.mase,
            smape: accuracy.smape,
            coverage80: accuracy.coverage80,
            coverage95: accuracy.coverage95,
        },
        details: json!({
            "models": forecast.models.iter().map(model).collect::<Vec<_>>(),
            "folds": accuracy.folds,
            "cleaning": cleaning(&forecast.cleaning),
            "notes": forecast.notes,
        }),
        points: forecast
            .points
            .iter()
            .map(|point| ForecastPoint {
                day: point.day,
                mean: point.mean,
                low80: point.low80,
                high80: point.high80,
                low95: point.low95,
                high95: point.high95,
            })
            .collect(),
    }
}

fn model(report: &ModelReport) -> Value {
    json!({
        "model": report.model.name(),
        "weight": report.weight,
        "fitted": report.fitted,
        "mape": report.mape,
        "mase": report.mase,
        "smape": report.smape,
        "leftOut": report.left_out,
    })
}

fn cleaning(cleaning: &Cleaning) -> Value {
    let gaps = cleaning.gaps.iter().take(LISTED_MAX);
    let outliers = cleaning.outliers.iter().take(LISTED_MAX);
    json!({
        "observed": cleaning.observed,
        "gapCount": cleaning.gaps.len(),
        "gaps": gaps
            .map(|gap| json!({"from": gap.from.to_string(), "to": gap.to.to_string(), "steps": gap.steps}))
            .collect::<Vec<_>>(),
        "outlierCount": cleaning.outliers.len(),
        "outliers": outliers
            .map(|outlier| json!({"day": outlier.day.to_string(), "value": outlier.value, "replaced": outlier.replaced}))
            .collect::<Vec<_>>(),
    })
}
