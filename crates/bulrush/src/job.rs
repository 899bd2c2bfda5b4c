//! The typed face: a job's name, payload and output in one type, so that a producer and a worker cannot disagree.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of job. The value itself is the payload.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize { image: String, width: u32 }
///
/// impl bulrush::Job for Resize {
///     const NAME: &'static str = "resize";
///     type Output = u64;
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name under which a worker finds the handler.
    const NAME: &'static str;
    /// What the handler returns.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}

/// How a handler ends without success.
///
/// Any [`std::error::Error`] turns into [`Failure::Retry`] by `?`, with its whole chain of causes as the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try, after the job's back-off or after `after`.
    Retry {
        /// What went wrong.
        message: String,
        /// Instead of the back-off.
        after: Option<Duration>,
    },
    /// No retry can help: bad input, a missing record. The job fails at once.
    Unrecoverable {
        /// What is wrong, for whoever reads the dead letters.
        message: String,
    },
    /// The upstream asks for patience: the group (the queue where there is none) pauses, and no attempt is used.
    RateLimited {
        /// For how long.
        retry_after: Duration,
    },
    /// Not now: again later, and no attempt is used.
    Snooze {
        /// For how long.
        after: Duration,
    },
    /// The handler stopped because it was asked to.
    Cancelled,
}

/// What a handler returns.
pub type JobResult<T> = Result<T, Failure>;

impl Failure {
    /// Worth another try.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self::Retry { message: message.to_string(), after: None }
    }

    /// No retry can help.
    pub fn unrecoverable(message: impl fmt::Display) -> Self {
        Self::Unrecoverable { message: message.to_string() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::Retry { message, after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_brings_its_causes_along() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not fetch")]
        struct Outer(#[source] std::io::Error);
        let failure = Failure::from(Outer(std::io::Error::other("connection reset")));
        assert_eq!(failure, Failure::retry("could not fetch: connection reset"));
    }
}
