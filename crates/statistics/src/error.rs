//! Why nothing was computed.

use crate::MAGNITUDE_MAX;

/// What is wrong with the input: which column, which value, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// No value at all.
    #[error("{name:?} has no value; give at least {needed}")]
    Empty {
        /// The column.
        name: String,
        /// The fewest that can be computed with.
        needed: usize,
    },
    /// A value that is NaN, infinite or beyond [`MAGNITUDE_MAX`].
    #[error("value {} of {name:?} is {value}, which is no figure to compute with (at most {MAGNITUDE_MAX:e}); leave it out", index + 1)]
    NotANumber {
        /// The column.
        name: String,
        /// Its place, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A column that is longer or shorter than the target.
    #[error("{name:?} has {found} values where the target has {expected}; each row needs one")]
    Length {
        /// The column.
        name: String,
        /// Its values.
        found: usize,
        /// The target's.
        expected: usize,
    },
    /// A target that never changes.
    #[error(
        "{name:?} is {value} in all of the {count} rows, so nothing moves it; choose another target, or days on which it changes"
    )]
    Constant {
        /// The target.
        name: String,
        /// Its one value.
        value: f64,
        /// How often.
        count: usize,
    },
    /// A target that does not change in the rows held out for the score.
    #[error(
        "{name:?} is {value} in all of the {count} rows that are held out, the last ones, so no score can be computed on them; give more days or hold out a larger share"
    )]
    ConstantHoldout {
        /// The target.
        name: String,
        /// Its one value.
        value: f64,
        /// How many are held out.
        count: usize,
    },
    /// Fewer rows than can be computed with.
    #[error(
        "{rows} rows in which {name:?} and all columns have a value are too few for {columns} columns: at least {needed} are needed; give more days or choose fewer columns"
    )]
    TooFewRows {
        /// The target.
        name: String,
        /// Complete rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// The fewest that would do.
        needed: usize,
    },
    /// Nothing to explain the target by.
    #[error(
        "there is no column that changes, so nothing can explain {name:?}; give columns with more than one value"
    )]
    NoColumns {
        /// The target.
        name: String,
    },
    /// A setting out of its range.
    #[error("{name} is {value}; it must be {accepted}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        accepted: &'static str,
    },
    /// Somebody asked to stop.
    #[error("the computation was asked to stop")]
    Cancelled,
}

/// Refuses what is not a number, and what is too large to be squared.
pub(crate) fn check_figures(name: &str, values: &[f64]) -> Result<(), StatisticsError> {
    match values.iter().position(|value| value.is_nan() || value.abs() > MAGNITUDE_MAX) {
        None => Ok(()),
        Some(index) => {
            Err(StatisticsError::NotANumber { name: name.to_owned(), index, value: values[index] })
        }
    }
}
