//! How a figure goes on.

use std::collections::BTreeMap;

use bulrush_catalog::jobs::{AnalyzeParams, ForecastModel};
use bulrush_forecasting::{Forecast, History, Model, Settings, Step, forecast};
use jiff::civil::Date;
use serde_json::{Value, json};

use super::halt::Halt;
use super::table::Table;
use super::words::figure;
use super::{AnalyzeError, Finding};

const USUAL: [&str; 4] = ["bookings", "demand", "occupancy", "price"];
const HORIZON: usize = 30;
/// Most gaps and outliers that are listed; their number is told in any case.
const LISTED_MAX: usize = 100;

pub(super) fn find(table: &Table, params: &AnalyzeParams, halt: &Halt) -> Result<Finding, AnalyzeError> {
    let (column, numbers) = table.target(params.target.as_deref(), &USUAL)?;
    let points: Vec<(Date, f64)> =
        table.days().iter().zip(numbers).filter_map(|(day, value)| Some((*day, (*value)?))).collect();
    let history = History::from_points(&points)?;
    let settings = Settings {
        horizon: params.horizon.unwrap_or(HORIZON),
        models: models(&params.models),
        non_negative: points.iter().all(|(_, value)| *value >= 0.0),
    };
    let found = forecast(&history, &settings, halt)?;
    let name = &column.name;
    let mut figures = BTreeMap::from([
        ("horizon".to_owned(), settings.horizon as f64),
        ("mase".to_owned(), found.accuracy.mase),
        ("smape".to_owned(), found.accuracy.smape),
        ("coverage95".to_owned(), found.accuracy.coverage95),
    ]);
    if let Some(mape) = found.accuracy.mape {
        figures.insert("mape".to_owned(), mape);
    }
    let mut summary = Vec::new();
    if let (Some(first), Some(last)) = (found.points.first(), found.points.last()) {
        let mean = found.points.iter().map(|point| point.mean).sum::<f64>() / found.points.len() as f64;
        figures.insert("mean".to_owned(), mean);
        summary.push(format!(
            "From {} to {} {name} is expected to be {} on average, {} ({} to {} at 95 %) on the last day.",
            first.day,
            last.day,
            figure(mean),
            figure(last.mean),
            figure(last.low95),
            figure(last.high95)
        ));
    }
    summary.push(match found.accuracy.mape {
        Some(mape) => format!(
            "Forecasts of the past were off by {} % on average.",
            figure((mape * 10.0).round() / 10.0)
        ),
        None => format!(
            "Forecasts of the past were off by {} of what repeating the last season is.",
            figure(found.accuracy.mase)
        ),
    });
    let notes = found.notes.clone();
    Ok(Finding { document: document(name, &settings, &history, &found), summary, figures, notes })
}

fn models(asked: &[ForecastModel]) -> Vec<Model> {
    if asked.is_empty() {
        return Model::ALL.to_vec();
    }
    let one = |model: &ForecastModel| match model {
        ForecastModel::MovingAverage => Model::MovingAverage,
        ForecastModel::Linear => Model::Linear,
        ForecastModel::ExponentialSmoothing => Model::ExponentialSmoothing,
        ForecastModel::Seasonal => Model::Seasonal,
    };
    asked.iter().map(one).collect()
}

/// The same members as a forecast that is kept by a forecast job.
fn document(target: &str, settings: &Settings, history: &History, found: &Forecast) -> Value {
    let points = found.points.iter().map(|point| {
        json!({
            "day": point.day,
            "mean": point.mean,
            "low80": point.low80,
            "high80": point.high80,
            "low95": point.low95,
            "high95": point.high95,
        })
    });
    let models = found.models.iter().map(|report| {
        json!({
            "model": report.model.name(),
            "weight": report.weight,
            "fitted": report.fitted,
            "mape": report.mape,
            "mase": report.mase,
            "smape": report.smape,
            "leftOut": report.left_out,
        })
    });
    let accuracy = &found.accuracy;
    let (gaps, outliers) = (&found.cleaning.gaps, &found.cleaning.outliers);
    let of_gaps = gaps.iter().take(LISTED_MAX);
    let of_outliers = outliers.iter().take(LISTED_MAX);
    json!({
        "metric": target,
        "horizon": settings.horizon,
        "step": match found.step {
            Step::Day => "day",
            Step::Week => "week",
            Step::Month => "month",
        },
        "season": found.season,
        "history": {
            "firstDay": history.first(),
            "lastDay": history.last(),
            "observed": found.cleaning.observed,
        },
        "accuracy": {
            "mape": accuracy.mape,
            "mase": accuracy.mase,
            "smape": accuracy.smape,
            "coverage80": accuracy.coverage80,
            "coverage95": accuracy.coverage95,
        },
        "details": {
            "models": models.collect::<Vec<_>>(),
            "folds": accuracy.folds,
            "cleaning": {
                "observed": found.cleaning.observed,
                "gapCount": gaps.len(),
                "gaps": of_gaps
                    .map(|gap| json!({"from": gap.from, "to": gap.to, "steps": gap.steps}))
                    .collect::<Vec<_>>(),
                "outlierCount": outliers.len(),
                "outliers": of_outliers
                    .map(|one| json!({"day": one.day, "value": one.value, "replaced": one.replaced}))
                    .collect::<Vec<_>>(),
            },
            "notes": found.notes,
        },
        "points": points.collect::<Vec<_>>(),
    })
}
