//! Why no prices were read, and what the engine is told to do about it.

use std::time::Duration;

use bulrush::Failure;
use bulrush_store::{FenceError, StoreError};

use crate::money::CurrencyError;

/// Reasons that are told in full; the log has the rest.
const REASONS_MAX: usize = 5;

/// Why no prices were read. The texts are read by whoever owns the job: they name what to do, and hold no words of the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    #[error(
        "the job has no owner, so no property is visible to it; add it through the API, which stamps the owner"
    )]
    NoOwner,
    #[error(
        "there is no property {id:?} among those of the job's owner; check propertyId, and whether it was deleted"
    )]
    PropertyNotFound { id: String },
    #[error("the property {id:?} was deleted while its competitors were read; nothing was written")]
    DeletedMeanwhile { id: String },
    #[error(
        "the property {id:?} has no competitors; declare some (POST /properties/{id}/competitors), or name a file of them for all \
         properties (BULRUSH_COMPETITORS_FILE)"
    )]
    NoCompetitors { id: String },
    #[error("the property's attribute currency: {0}")]
    Currency(#[from] CurrencyError),
    #[error(
        "{seen:?} is no time zone; correct the property's time zone to an IANA name such as \"Europe/Berlin\""
    )]
    TimeZone { seen: String },
    /// Some page is down, or none could be read.
    #[error("{}", reasons.join("; "))]
    NothingRead { reasons: Vec<String>, retry: Option<Retry> },
    #[error("a site is to be left alone for a while; the job comes again in {} s", after.as_secs())]
    Wait { after: Duration },
    #[error("the store could not do its part: {0}")]
    Store(#[source] StoreError),
    #[error("the store could not do its part while pages were read; try again")]
    StoreAway,
    #[error("another run of this job has written since; the results of this one were dropped")]
    Overtaken,
    #[error("the result cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the job was asked to stop")]
    Stopped,
}

/// That a retry may help; when, if not after the job's own back-off.
pub(crate) type Retry = Option<Duration>;

impl From<StoreError> for ScrapeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FenceError> for ScrapeError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Store(error) => Self::Store(error),
            // Whatever else a fence may say: this run may not write.
            _ => Self::Overtaken,
        }
    }
}

impl ScrapeError {
    /// The first few reasons, and how many more there are.
    pub fn nothing_read(reasons: impl Iterator<Item = String>, retry: Option<Retry>) -> Self {
        let mut reasons: Vec<String> = reasons.collect();
        let more = reasons.len().saturating_sub(REASONS_MAX);
        reasons.truncate(REASONS_MAX);
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        Self::NothingRead { reasons, retry }
    }

    /// What the engine is told.
    pub fn into_failure(self) -> Failure {
        match &self {
            Self::Stopped => Failure::Cancelled,
            // One site's wait is no reason to hold up the whole queue, which "rate limited" would.
            Self::Wait { after } => Failure::Snooze { after: *after },
            Self::Store(error) if is_about_the_data(error) => Failure::unrecoverable(self),
            Self::NothingRead { retry: Some(after), .. } => {
                Failure::Retry { message: self.to_string(), after: *after }
            }
            // As in the enrichment: an overtaken run's word is refused by the engine too.
            Self::Store(_) | Self::StoreAway | Self::Overtaken => Failure::retry(self),
            Self::NoOwner
            | Self::PropertyNotFound { .. }
            | Self::DeletedMeanwhile { .. }
            | Self::NoCompetitors { .. }
            | Self::Currency(_)
            | Self::TimeZone { .. }
            | Self::NothingRead { retry: None, .. }
            | Self::Json(_) => Failure::unrecoverable(self),
        }
    }
}

/// Whether the store refuses the data themselves. All else passes when somebody has mended it, and attempts are bounded.
fn is_about_the_data(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Refused { .. } | StoreError::MissingReference(_) | StoreError::Unreadable { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_retried_what_stays_is_not_and_a_wait_costs_nothing() {
        let read = |retry| ScrapeError::nothing_read(["a: down".to_owned()].into_iter(), retry);
        assert_eq!(read(Some(None)).into_failure(), Failure::retry("a: down"));
        assert_eq!(read(None).into_failure(), Failure::unrecoverable("a: down"));
        let after = Duration::from_secs(17);
        let later = read(Some(Some(after))).into_failure();
        assert_eq!(later, Failure::Retry { message: "a: down".to_owned(), after: Some(after) });
        assert_eq!(ScrapeError::Wait { after }.into_failure(), Failure::Snooze { after });
        assert_eq!(ScrapeError::Stopped.into_failure(), Failure::Cancelled);
        let stale = FenceError::Stale { job: "com-1".into(), run: 1, current: 2 };
        assert!(matches!(ScrapeError::from(stale).into_failure(), Failure::Retry { .. }));
    }

    #[test]
    fn many_reasons_are_told_in_part() {
        let many = ScrapeError::nothing_read((0..50).map(|n| format!("r{n}")), None).to_string();
        assert_eq!(many, "r0; r1; r2; r3; r4; and 45 more");
    }
}
