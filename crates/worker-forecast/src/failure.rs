//! Why a job of this worker could not do its work, and what the engine is told to do about it.

use bulrush::Failure;
use bulrush_forecasting::ForecastError;
use bulrush_store::{FenceError, StoreError};
use jiff::civil::Date;

/// Why there is no result. The texts are read by whoever owns the job: they say what is wrong and what to do, and hold no words of the
/// database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(
        "the job has no owner, so no product is visible to it; add it through the API, which stamps the owner"
    )]
    NoOwner,
    #[error(
        "there is no product or property {id:?} among those of the job's owner; check productId, and whether it was deleted"
    )]
    NotFound { id: String },
    #[error("{id:?} was deleted while the job ran; nothing was written")]
    DeletedMeanwhile { id: String },
    #[error(
        "{seen:?} is no time zone; correct the time zone of {id:?} to an IANA name such as \"Europe/Berlin\""
    )]
    TimeZone { id: String, seen: String },
    #[error(
        "{id:?} has no values of {metric:?}{}; upload them first, then retry",
        if has.is_empty() { String::new() } else { format!(" (it has {})", has.join(", ")) }
    )]
    NoValues { id: String, metric: String, has: Vec<String> },
    #[error("the history of {metric:?} of {id:?} cannot be forecast: {source}")]
    Forecast { id: String, metric: String, source: ForecastError },
    #[error("the product {id:?} has no {field}; give constraints.{field}, or upload the product with it")]
    Missing { id: String, field: &'static str },
    #[error(
        "the attribute {field} of the product {id:?} is {seen}, and must be a number {wanted}; correct it, or give constraints.{field}"
    )]
    Attribute { id: String, field: &'static str, seen: String, wanted: &'static str },
    #[error(
        "only {days} of the days from {from} to {to} have a value of {metric:?}, and 2 are needed to tell how much it varies; upload more, \
         or give a longer windowDays"
    )]
    FewDays { metric: String, days: usize, from: Date, to: Date },
    #[error(
        "the values of {metric:?} are {days} days apart at least, and stock is computed from what is sold a day; upload a value for each day (0 \
         where nothing was sold)"
    )]
    NotDaily { metric: String, days: i32 },
    #[error(
        "the mean of {metric:?} from {from} to {to} is {mean} a day; with no demand there is nothing to order"
    )]
    NoDemand { metric: String, mean: f64, from: Date, to: Date },
    #[error(
        "{what} is beyond the range of numbers; check the values of {metric:?} and the constraints, or use larger units"
    )]
    TooLarge { what: &'static str, metric: String },
    #[error("the store could not do its part: {0}")]
    Store(#[source] StoreError),
    #[error("another run of this job has written since; the results of this one were dropped")]
    Overtaken,
    #[error("the computation ended by a fault of the program, which its log tells; it is worth a report")]
    Fault,
    #[error("the result cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the job was asked to stop")]
    Stopped,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FenceError> for Trouble {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Store(error) => Self::Store(error),
            // Whatever else a fence may say: this run may not write.
            _ => Self::Overtaken,
        }
    }
}

impl Trouble {
    /// What the engine is told.
    pub fn into_failure(self) -> Failure {
        match &self {
            Self::Stopped => Failure::Cancelled,
            Self::Store(error) if is_about_the_data(error) => Failure::unrecoverable(self),
            // A fault may lie in what the machine had at that moment; the job's attempts are bounded.
            Self::Store(_) | Self::Overtaken | Self::Fault => Failure::retry(self),
            _ => Failure::unrecoverable(self),
        }
    }
}

/// Whether the store refuses the data themselves. All else passes when somebody has mended it.
fn is_about_the_data(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Refused { .. }
            | StoreError::MissingReference(_)
            | StoreError::NotANumber { .. }
            | StoreError::NotAPlace { .. }
            | StoreError::Unreadable { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_data_is_not_tried_again_and_trouble_of_the_moment_is() {
        let empty = Trouble::Forecast {
            id: "p".into(),
            metric: "demand".into(),
            source: ForecastError::Constant { value: 3.0, count: 40 },
        };
        assert!(matches!(empty.into_failure(), Failure::Unrecoverable { .. }));
        let folder = StoreError::Folder { path: "/nowhere".into(), source: std::io::Error::other("gone") };
        assert!(matches!(Trouble::from(folder).into_failure(), Failure::Retry { .. }));
        let bad = StoreError::NotANumber { index: 0, field: "mean", value: f64::NAN };
        assert!(matches!(Trouble::from(bad).into_failure(), Failure::Unrecoverable { .. }));
        let stale = FenceError::Stale { job: "for-1".into(), run: 1, current: 2 };
        assert!(matches!(Trouble::from(stale).into_failure(), Failure::Retry { .. }));
        assert_eq!(Trouble::Stopped.into_failure(), Failure::Cancelled);
    }
}
