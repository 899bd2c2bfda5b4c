//! Why a property could not be enriched, and what the engine is told to do about it.

use bulrush::Failure;
use bulrush_catalog::SealError;
use bulrush_store::{FenceError, StoreError};
use bulrush_upstream::{CoordinatesError, DateRangeError, SecretError, UpstreamError};

/// Why a property could not be enriched. The texts are read by whoever owns the job: they name what to do, and hold neither
/// secrets nor words of the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrichError {
    #[error(
        "the job has no owner, so no property is visible to it; add it through the API, which stamps the owner"
    )]
    NoOwner,
    #[error(
        "there is no property {id:?} among those of the job's owner; check propertyId, and whether it was deleted"
    )]
    PropertyNotFound { id: String },
    #[error("the property {id:?} was deleted while it was enriched; nothing was written")]
    DeletedMeanwhile { id: String },
    #[error(
        "the property {id:?} has no pricing data, so there are no days to enrich; upload a price history first, then retry"
    )]
    NoPricingData { id: String },
    #[error("{0}; correct the location of the property, then add the job again")]
    Location(#[from] CoordinatesError),
    #[error(
        "{seen:?} is no country; give countryCode as two letters of ISO 3166-1, such as \"DE\", or correct the property's country"
    )]
    Country { seen: String },
    #[error(
        "{seen:?} is no time zone; correct the property's time zone to an IANA name such as \"Europe/Berlin\""
    )]
    TimeZone { seen: String },
    #[error("the pricing data cannot be one history: {0}; correct the dates of the upload, then retry")]
    Range(#[from] DateRangeError),
    #[error(
        "the job brings its own API key, but this worker has no key to open it with; set the BULRUSH_SEAL_KEY of the API on \
         the workers, then retry, or leave calendarificApiKey out"
    )]
    NoSealing,
    #[error("the API key that came with the job could not be opened: {0}")]
    Sealed(#[from] SealError),
    #[error("the API key that came with the job cannot be used: {0}; add the job again with another key")]
    Key(#[from] SecretError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the store could not do its part: {0}")]
    Store(#[source] StoreError),
    #[error("another run of this job has written since; the results of this one were dropped")]
    Overtaken,
    #[error("the result cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the job was asked to stop")]
    Stopped,
}

impl From<StoreError> for EnrichError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FenceError> for EnrichError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Store(error) => Self::Store(error),
            // Whatever else a fence may say: this run may not write.
            _ => Self::Overtaken,
        }
    }
}

impl EnrichError {
    /// What the engine is told.
    pub fn into_failure(self) -> Failure {
        match &self {
            Self::Stopped => Failure::Cancelled,
            Self::Upstream(error) => match error.retry_after() {
                Some(retry_after) => Failure::RateLimited { retry_after },
                None if error.is_transient() => Failure::retry(self),
                None => Failure::unrecoverable(self),
            },
            Self::Store(error) if is_about_the_data(error) => Failure::unrecoverable(self),
            // An overtaken run's word is refused by the engine too. It counts only where the engine lost its tail and numbers
            // its runs anew: then the next run has a higher number, and one of them passes the fence.
            Self::Store(_) | Self::Overtaken => Failure::retry(self),
            Self::NoOwner
            | Self::PropertyNotFound { .. }
            | Self::DeletedMeanwhile { .. }
            | Self::NoPricingData { .. }
            | Self::Location(_)
            | Self::Country { .. }
            | Self::TimeZone { .. }
            | Self::Range(_)
            | Self::NoSealing
            | Self::Sealed(_)
            | Self::Key(_)
            | Self::Json(_) => Failure::unrecoverable(self),
        }
    }
}

/// Whether the store refuses the data themselves. All else (a full disk, a file that somebody made read-only) passes when
/// somebody has mended it, and the job's attempts are bounded.
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
    use std::time::Duration;

    use bulrush_upstream::Service;

    use super::*;

    fn upstream(status: u16) -> EnrichError {
        let (service, url, reason) = (Service::OpenMeteo, "http://localhost".to_owned(), None);
        EnrichError::Upstream(if status >= 500 {
            UpstreamError::ServerFailed { service, url, status, reason }
        } else {
            UpstreamError::Refused { service, url, status, reason }
        })
    }

    #[test]
    fn what_passes_is_retried_what_stays_is_not_and_slow_down_waits() {
        assert!(matches!(upstream(503).into_failure(), Failure::Retry { after: None, .. }));
        assert!(matches!(upstream(400).into_failure(), Failure::Unrecoverable { .. }));
        let retry_after = Duration::from_secs(17);
        let limited = UpstreamError::RateLimited { service: Service::Nager, retry_after };
        assert_eq!(EnrichError::from(limited).into_failure(), Failure::RateLimited { retry_after });
        assert_eq!(EnrichError::Stopped.into_failure(), Failure::Cancelled);
        let stale = FenceError::Stale { job: "enr-1".into(), run: 1, current: 2 };
        assert!(matches!(EnrichError::from(stale).into_failure(), Failure::Retry { .. }));
    }

    #[test]
    fn trouble_of_the_store_is_retried_unless_the_data_are_the_trouble() {
        let bad = StoreError::NotANumber { index: 0, field: "value", value: f64::NAN };
        assert!(matches!(EnrichError::from(bad).into_failure(), Failure::Unrecoverable { .. }));
        let folder = std::io::Error::other("gone");
        let passes = StoreError::Folder { path: "/nowhere".into(), source: folder };
        assert!(matches!(EnrichError::from(passes).into_failure(), Failure::Retry { .. }));
    }
}
