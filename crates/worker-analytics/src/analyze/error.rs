//! Why nothing was analysed, and what the engine is told to do about it.

use bulrush::Failure;
use bulrush_forecasting::ForecastError;
use bulrush_statistics::StatisticsError;
use bulrush_store::{FenceError, StoreError};
use jiff::civil::Date;

/// Why nothing was analysed. The texts are read by whoever owns the job: they name row, column and value, and what to do. Rows are counted
/// from 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnalyzeError {
    #[error(
        "the job has no owner, so no data is visible to it; add it through the API, which stamps the owner"
    )]
    NoOwner,
    #[error(
        "there is no property {id:?} among those of the user; check propertyId, and whether it was deleted"
    )]
    PropertyNotFound { id: String },
    #[error(
        "{seen:?} is no time zone; correct the property's time zone to an IANA name such as \"Europe/Berlin\""
    )]
    TimeZone { seen: String },
    #[error(
        "the property {id:?} has no observations, so there is nothing to analyse; upload a history first, or give rows in data"
    )]
    NoObservations { id: String },
    #[error(
        "the property has {found} metrics; an analysis takes at most {most}, so give rows of those that matter in data"
    )]
    TooManyMetrics { found: usize, most: usize },
    #[error("no day is within the chosen ones, {from} to {to}; the data are of {first} to {last}")]
    NoDays { from: String, to: String, first: Date, last: Date },
    #[error("row {row} of data is {seen}; each must be an object with a date and figures")]
    NotAnObject { row: usize, seen: String },
    #[error("data have more than {most} columns; leave out what is not to be analysed")]
    TooManyColumns { most: usize },
    #[error(
        "no column of data is called {looked_for}; name the column of the day in params.dateColumn, one of {there}"
    )]
    NoDateColumn { looked_for: String, there: String },
    #[error("row {row} of data has no day in {column:?}; give each row its day, such as \"2026-01-31\"")]
    NoDate { row: usize, column: String },
    #[error(
        "row {row} of data has {value} in {column:?}, which is no day of the years 1900 to 2200; write it as \"2026-01-31\""
    )]
    BadDate { row: usize, column: String, value: String },
    #[error("{day} is in row {first} and in row {second} of data; give each day one row")]
    DayTwice { day: Date, first: usize, second: usize },
    #[error(
        "row {row} of data has {value} in {column:?}, which {why}; correct it, or leave it out where it is not known"
    )]
    BadValue { row: usize, column: String, value: String, why: &'static str },
    #[error(
        "{column:?} holds {value} in row {row} of data and {other} in row {other_row}; let a column hold numbers, or flags, or texts"
    )]
    Mixed { column: String, row: usize, value: String, other_row: usize, other: String },
    #[error("there is no column of numbers to analyse; give each row one, such as \"price\": 129.0")]
    NoFigures,
    #[error("{what} names {name:?}, which is no column{}; columns are {there}", near.as_ref().map(|near| format!(", did you mean {near:?}?")).unwrap_or_default())]
    UnknownColumn { what: &'static str, name: String, near: Option<String>, there: String },
    #[error(
        "{what} names {name:?}, which holds no numbers (its first value is {value}); choose another column"
    )]
    NotNumbers { what: &'static str, name: String, value: String },
    #[error("it is not clear which figure is meant; name it in params.target: {there}")]
    WhichTarget { there: String },
    #[error(
        "{name:?} has no value from {from} to {to}, {days} days in a row, which is more than {most}; add them, or choose the days before or after with params.startDate and params.endDate"
    )]
    Gap { name: String, from: Date, to: Date, days: i64, most: i64 },
    #[error("{days} day{} {} too few for this analysis of {name:?}; at least {needed} are needed, so add days", if *days == 1 { "" } else { "s" }, if *days == 1 { "is" } else { "are" })]
    TooFewDays { name: String, days: usize, needed: usize },
    #[error(
        "no weather is known: there is no column called temperature, precipitation, wind or sunshine that has values; {advice}"
    )]
    NoWeather { advice: &'static str },
    #[error(transparent)]
    Statistics(StatisticsError),
    #[error(transparent)]
    Forecast(ForecastError),
    #[error("the store could not do its part: {0}")]
    Store(#[source] StoreError),
    #[error("another run of this job has written since; the result of this one was dropped")]
    Overtaken,
    #[error("the result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the job was asked to stop")]
    Stopped,
}

impl From<StoreError> for AnalyzeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FenceError> for AnalyzeError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Store(error) => Self::Store(error),
            // Whatever else a fence may say: this run may not write.
            _ => Self::Overtaken,
        }
    }
}

impl From<StatisticsError> for AnalyzeError {
    fn from(error: StatisticsError) -> Self {
        if error == StatisticsError::Cancelled { Self::Stopped } else { Self::Statistics(error) }
    }
}

impl From<ForecastError> for AnalyzeError {
    fn from(error: ForecastError) -> Self {
        if matches!(error, ForecastError::Cancelled) { Self::Stopped } else { Self::Forecast(error) }
    }
}

impl AnalyzeError {
    /// What the engine is told: data do not mend themselves, a store that is away comes back.
    pub fn into_failure(self) -> Failure {
        match &self {
            Self::Stopped => Failure::Cancelled,
            Self::Store(StoreError::Unreadable { .. }) => Failure::unrecoverable(self),
            Self::Store(_) | Self::Overtaken => Failure::retry(self),
            _ => Failure::unrecoverable(self),
        }
    }
}
