//! A figure by days.

use jiff::civil::Date;

use crate::StatisticsError;
use crate::error::check_figures;

/// One figure on consecutive days; a day without one is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct DailySeries {
    name: String,
    first: Date,
    values: Vec<Option<f64>>,
}

impl DailySeries {
    /// A series from `first` on, a value a day.
    ///
    /// # Errors
    /// [`StatisticsError::Empty`] without any value; [`StatisticsError::NotANumber`] for the first that is none.
    pub fn new(
        name: impl Into<String>,
        first: Date,
        values: Vec<Option<f64>>,
    ) -> Result<Self, StatisticsError> {
        let name = name.into();
        let known: Vec<f64> = values.iter().copied().flatten().collect();
        check_figures(&name, &known)?;
        if known.is_empty() {
            return Err(StatisticsError::Empty { name, needed: 1 });
        }
        Ok(Self { name, first, values })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first day.
    pub fn first(&self) -> Date {
        self.first
    }

    /// The values, one a day.
    pub fn values(&self) -> &[Option<f64>] {
        &self.values
    }

    /// The values that are there, each with its place and its day.
    pub(crate) fn known(&self) -> impl Iterator<Item = (usize, Date, f64)> {
        let days = std::iter::successors(Some(self.first), |day| day.tomorrow().ok());
        self.values.iter().zip(days).enumerate().filter_map(|(n, (value, day))| Some((n, day, (*value)?)))
    }
}
