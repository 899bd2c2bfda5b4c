//! Forecasts of regular series of days, weeks or months: a [`History`] in, a [`Forecast`] out. Pure mathematics: no clock, no threads, no
//! files, nothing of the platform.
//!
//! ```
//! use bulrush_forecasting::{History, Settings, Step, Unwatched, forecast};
//!
//! let sold = (0..120).map(|day| Some(40.0 + f64::from(day % 7) * 3.0 + f64::from(day) * 0.1)).collect();
//! let history = History::new(jiff::civil::date(2026, 1, 5), Step::Day, sold)?;
//! let settings = Settings { horizon: 14, non_negative: true, ..Settings::default() };
//! let forecast = forecast(&history, &settings, &Unwatched)?;
//! assert_eq!(forecast.points.len(), 14);
//! assert_eq!(forecast.season, Some(7));
//! # Ok::<(), bulrush_forecasting::ForecastError>(())
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::float_cmp,
        reason = "a test may fail; what it compares was not computed"
    )
)]

mod accuracy;
mod backtest;
mod ensemble;
mod error;
mod history;
mod intervals;
mod models;
#[cfg(test)]
mod noise;
mod outcome;
mod prepare;
mod regression;
mod run;
mod season;
mod settings;
mod simplex;
mod transform;
mod watch;

pub use error::ForecastError;
pub use history::{History, Step};
pub use outcome::{Accuracy, Cleaning, Forecast, ForecastPoint, Gap, ModelReport, Outlier};
pub use run::forecast;
pub use settings::{HORIZON_MAX, Model, Settings, UnknownModel};
pub use watch::{Stage, Unwatched, Watch};
