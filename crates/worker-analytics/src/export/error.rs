//! Why nothing was exported, and what the engine is told to do about it.

use std::error::Error as _;

use bulrush::Failure;
use bulrush_store::{FenceError, ObjectError, StoreError};

/// Why nothing was exported. The texts are read by whoever owns the job: they name what to do, and hold no words of the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(
        "the job has no owner, so no data is visible to it; add it through the API, which stamps the owner"
    )]
    NoOwner,
    #[error("there is no {what} {id:?} among those of the user; was it deleted?")]
    NotFound { what: &'static str, id: String },
    #[error(
        "{seen:?} is no time zone; correct the time zone of {id:?} to an IANA name such as \"Europe/Berlin\""
    )]
    TimeZone { id: String, seen: String },
    #[error("the export was removed while it was made; add it again if it is still wanted")]
    Removed,
    #[error(
        "the export is larger than {limit} bytes, as large as one may be; choose fewer days, one metric or one thing"
    )]
    TooLarge { limit: u64 },
    #[error("the store could not do its part: {0}")]
    Store(#[source] StoreError),
    #[error("the file could not be kept: {0}")]
    Objects(#[source] ObjectError),
    #[error("another run of this job has written since; the file of this one was dropped")]
    Overtaken,
    #[error("the file could not be written: {0}")]
    Write(String),
    #[error("the rows stopped coming before their end")]
    CutOff,
    #[error("the job was asked to stop")]
    Stopped,
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FenceError> for ExportError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Store(error) => Self::Store(error),
            // Whatever else a fence may say: this run may not write.
            _ => Self::Overtaken,
        }
    }
}

impl From<ObjectError> for ExportError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::TooLarge { limit } => Self::TooLarge { limit },
            error => Self::Objects(error),
        }
    }
}

impl ExportError {
    /// What the engine is told.
    pub fn into_failure(self) -> Failure {
        match &self {
            Self::Stopped => Failure::Cancelled,
            Self::NoOwner
            | Self::NotFound { .. }
            | Self::TimeZone { .. }
            | Self::Removed
            | Self::TooLarge { .. }
            | Self::Store(StoreError::Unreadable { .. }) => Failure::unrecoverable(self),
            // All else passes when somebody has mended it, and the job's attempts are bounded.
            Self::Store(_) | Self::Objects(_) | Self::Overtaken | Self::Write(_) | Self::CutOff => {
                Failure::retry(self)
            }
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
