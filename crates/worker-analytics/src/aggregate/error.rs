//! Why nothing was summed, and what the engine is told to do about it.

use std::error::Error as _;

use bulrush::Failure;
use bulrush_store::{FenceError, StoreError};

use crate::rollup::NoSuchTime;

/// Why nothing was summed. The texts are read by whoever owns the job: they name what to do, and hold no words of the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AggregateError {
    #[error(
        "the job has no owner, so no data is visible to it; add it through the API, which stamps the owner"
    )]
    NoOwner,
    #[error("there is no publisher {id:?} among those of the user; was it deleted?")]
    NotFound { id: String },
    #[error(
        "{seen:?} is no time zone; correct the time zone of {id:?} to an IANA name such as \"Europe/Berlin\""
    )]
    TimeZone { id: String, seen: String },
    #[error(transparent)]
    Days(#[from] NoSuchTime),
    #[error(
        "the publisher has more than {most} metrics, as many as are summed; is a metric's name made up for each value?"
    )]
    TooManyMetrics { most: usize },
    #[error(
        "the sums have more than {most} rows, as many as one job keeps; choose fewer days or longer buckets"
    )]
    TooManyRows { most: usize },
    #[error(
        "the bucket of {metric:?} from {from} on has more than {most} values, as many as its percentiles are made of; choose shorter buckets"
    )]
    TooManyValues { metric: String, from: String, most: usize },
    #[error(
        "the sum of {metric:?} from {from} on is larger than any number that can be kept; correct the values of that time"
    )]
    TooLarge { metric: String, from: String },
    #[error("other jobs have summed the same publisher again and again meanwhile; this one comes again")]
    Crowded,
    #[error("the store could not do its part: {0}")]
    Store(#[source] StoreError),
    #[error("another run of this job has written since; the sums of this one were dropped")]
    Overtaken,
    #[error("the sums could not be made: {0}")]
    Broken(String),
    #[error("the job was asked to stop")]
    Stopped,
}

impl From<StoreError> for AggregateError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FenceError> for AggregateError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Store(error) => Self::Store(error),
            // Whatever else a fence may say: this run may not write.
            _ => Self::Overtaken,
        }
    }
}

impl AggregateError {
    /// What the engine is told.
    pub fn into_failure(self) -> Failure {
        match &self {
            Self::Stopped => Failure::Cancelled,
            Self::NoOwner
            | Self::NotFound { .. }
            | Self::TimeZone { .. }
            | Self::Days(_)
            | Self::TooManyMetrics { .. }
            | Self::TooManyRows { .. }
            | Self::TooManyValues { .. }
            | Self::TooLarge { .. }
            | Self::Store(StoreError::Unreadable { .. } | StoreError::NotANumber { .. }) => {
                Failure::unrecoverable(self)
            }
            // All else passes when somebody has mended it, and the job's attempts are bounded.
            Self::Crowded | Self::Store(_) | Self::Overtaken | Self::Broken(_) => Failure::retry(self),
        }
    }

    /// The innermost cause, for the log of the operators.
    pub fn root_cause(&self) -> String {
        let mut cause = self.source();
        while let Some(deeper) = cause.and_then(|cause| cause.source()) {
            cause = Some(deeper);
        }
        cause.map(ToString::to_string).unwrap_or_default()
    }
}
