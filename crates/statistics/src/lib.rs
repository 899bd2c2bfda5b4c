//! Statistics of days and figures: what a series looks like, what moves it, and which columns matter.
//!
//! Pure mathematics: no IO, no clock, no threads of its own, and of randomness only what a seed says. Whoever calls it from a server runs it
//! on a thread that may block, and hands in a [`Watch`], which is asked many times a second whether to go on.
//!
//! ```
//! use bulrush_statistics::{Column, Errors, OlsSettings, ols};
//!
//! let rain = Column::new("rain", vec![0.0, 4.0, 0.0, 9.0, 2.0, 0.0, 5.0, 1.0]);
//! let price = [110.0, 96.5, 108.0, 84.0, 102.5, 111.0, 93.0, 107.5];
//! let settings = OlsSettings { errors: Errors::Hc3, ..OlsSettings::default() };
//! let found = ols("price", &price, &[rain], &settings, &())?;
//! assert!(found.coefficients[1].estimate < -2.5 && found.coefficients[1].p.is_some_and(|p| p < 0.001));
//! # Ok::<(), bulrush_statistics::StatisticsError>(())
//! ```
//!
//! # Invariants
//! - **No figure is NaN or infinite.** What has no value for some data is `None` (a skewness of equal values, the p-value of a fit without
//!   residuals); input that is not a number is an error that names the value.
//! - **The same input gives the same output**, bit for bit, on the same machine: seeds are given, sums have an order.
//! - **A cancel ends any function** within the time of one pass over one column.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::float_cmp,
        reason = "a test may fail; what it compares was not computed"
    )
)]

mod boost;
mod correlation;
mod daily;
mod describe;
mod distributions;
mod error;
mod importance;
mod orthogonal;
mod outliers;
mod random;
mod regression;
mod season;
mod watch;

pub use boost::{Boosted, Boosting, Fitted};
pub use correlation::{Correlation, correlate};
pub use daily::DailySeries;
pub use describe::{Description, describe, quantile};
pub use error::StatisticsError;
pub use importance::{
    FeatureGroup, Importance, ImportanceData, ImportanceReport, ImportanceSettings, Score, feature_importance,
};
pub use outliers::{Outlier, Outliers, outliers};
pub use regression::{
    Coefficient, Column, Dropped, Errors, ErrorsUsed, FTest, OlsSettings, Regression, bartlett_lags, ols,
};
pub use season::{
    Anova, GroupFigures, Season, Trend, autocorrelation, by_month, by_weekday, trend, weekly, yearly,
};
pub use watch::Watch;

/// Largest magnitude of a figure: beyond it squares of sums leave what a double can hold.
pub const MAGNITUDE_MAX: f64 = 1e100;
