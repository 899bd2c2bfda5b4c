//! What a forecast is made of.

use jiff::civil::Date;

use crate::{Model, Step};

/// A forecast with all that is needed to judge it. Every number in it is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Distance of its points, as in the history.
    pub step: Step,
    /// The leading season's length, steps; none where none was found.
    pub season: Option<usize>,
    /// One for each step of the horizon, in order; the first is one step after the last value of the history.
    pub points: Vec<ForecastPoint>,
    /// One for each model that was asked for, in the order of [`Model::ALL`]. Their weights add up to 1.
    pub models: Vec<ModelReport>,
    /// How the whole of them did on parts of the history that they had not seen.
    pub accuracy: Accuracy,
    /// What was found and mended in the history before the models saw it.
    pub cleaning: Cleaning,
    /// What else a reader should know, a sentence each: older values that were not used, folds that were too few, and the like.
    pub notes: Vec<String>,
}

/// The forecast of one step: `low95 <= low80 <= mean <= high80 <= high95`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastPoint {
    /// Its day; for a month the day on which the history's months stand.
    pub day: Date,
    /// The forecast.
    pub mean: f64,
    /// Lower end of the interval that holds the value in 80 of 100 cases.
    pub low80: f64,
    /// Its upper end.
    pub high80: f64,
    /// Lower end of the interval that holds the value in 95 of 100 cases.
    pub low95: f64,
    /// Its upper end.
    pub high95: f64,
}

/// How one model did in the backtest, and what part it has in the forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelReport {
    /// Which.
    pub model: Model,
    /// Its part in the forecast, 0 to 1.
    pub weight: f64,
    /// As [`Accuracy::mape`]; none also where the model was not judged.
    pub mape: Option<f64>,
    /// As [`Accuracy::mase`]; none where the model was not judged.
    pub mase: Option<f64>,
    /// As [`Accuracy::smape`]; none where the model was not judged.
    pub smape: Option<f64>,
    /// What was fitted to the whole history, such as `ETS(A,Ad,M) and Theta`; empty where nothing was.
    pub fitted: String,
    /// Why it has no part in the forecast.
    pub left_out: Option<String>,
}

/// Errors on points that the models had not seen, over all folds of the backtest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Mean absolute percentage error, percent, over the points whose actual value is not zero; none where every one is zero.
    pub mape: Option<f64>,
    /// Mean absolute scaled error: 1 is as good as repeating the last season was within the history (Hyndman & Koehler 2006).
    pub mase: f64,
    /// Symmetric mean absolute percentage error, percent, 0 to 200.
    pub smape: f64,
    /// Share of points within the interval of 80 %, percent; each fold is judged by intervals that do not know it.
    pub coverage80: f64,
    /// Share of points within the interval of 95 %, percent.
    pub coverage95: f64,
    /// Over how many folds.
    pub folds: usize,
}

/// What was found in the history before the models saw it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cleaning {
    /// How many values there were.
    pub observed: usize,
    /// Steps without a value, which were filled in from their neighbours and the season.
    pub gaps: Vec<Gap>,
    /// Values far from what trend and season say, which the models saw replaced. Forecasts are judged by the values as they were.
    pub outliers: Vec<Outlier>,
}

/// Steps in a row without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: Date,
    /// The last of them.
    pub to: Date,
    /// How many.
    pub steps: usize,
}

/// A value far from what trend and season say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its day.
    pub day: Date,
    /// As it was.
    pub value: f64,
    /// As the models saw it.
    pub replaced: f64,
}
