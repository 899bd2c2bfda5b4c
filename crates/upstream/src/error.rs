//! What can go wrong when asking the outside world.

use std::fmt;
use std::time::Duration;

/// The upstreams, by the name that people know them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Weather.
    OpenMeteo,
    /// Public holidays.
    Nager,
    /// Public holidays, with a key.
    Calendarific,
    /// School holidays.
    OpenHolidays,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMeteo => "Open-Meteo",
            Self::Nager => "Nager.Date",
            Self::Calendarific => "Calendarific",
            Self::OpenHolidays => "OpenHolidays",
        })
    }
}

/// Why a call gave no value. `url` and every text from outside are free of API keys, of control characters, and short.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// No connection, or it broke before the whole answer was there. Transient.
    #[error("{service} could not be reached or broke off ({url}); try again later")]
    Unreachable {
        /// Who was asked.
        service: Service,
        /// What was asked for.
        url: String,
        /// What the transport says.
        #[source]
        source: TransportError,
    },
    /// No whole answer within the limits. Transient.
    #[error("{service} did not answer within {limit_ms} ms ({url}); try again later")]
    TimedOut {
        /// Who was asked.
        service: Service,
        /// What was asked for.
        url: String,
        /// The limit on the whole exchange, ms.
        limit_ms: u64,
    },
    /// A 5xx (or 408), still there after the retries. Transient.
    #[error("{service} failed with status {status}{} ({url}); try again later", Explained(reason))]
    ServerFailed {
        /// Who was asked.
        service: Service,
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// The upstream's own words, if it gave any.
        reason: Option<String>,
    },
    /// A 429, or a 503 that says when to come back. Transient, but not before `retry_after`.
    #[error("{service} asks to slow down; try again in {} s", retry_after.as_secs())]
    RateLimited {
        /// Who was asked.
        service: Service,
        /// How long to wait: the upstream's Retry-After between one second and one hour, or a minute if it gave none.
        retry_after: Duration,
    },
    /// An answer that cannot be used. Asking again gives the same, so this is for a person.
    #[error("{service} sent data that cannot be used: {problem} ({url}); nothing was taken from it")]
    BadData {
        /// Who was asked.
        service: Service,
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A 4xx or a redirect that is not followed. Asking again gives the same.
    #[error(
        "{service} refused the request with status {status}{} ({url}); correct the request or the API key",
        Explained(reason)
    )]
    Refused {
        /// Who was asked.
        service: Service,
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// The upstream's own words, if it gave any.
        reason: Option<String>,
    },
    /// The request makes no sense and was not sent.
    #[error("nothing was asked of {service}: {problem}")]
    InvalidRequest {
        /// Who would have been asked.
        service: Service,
        /// What is wrong with the request.
        problem: String,
    },
}

impl UpstreamError {
    /// The same call may succeed later. Otherwise the request, the key or the upstream's data must change first.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::ServerFailed { .. }
            | Self::RateLimited { .. } => true,
            Self::BadData { .. } | Self::Refused { .. } | Self::InvalidRequest { .. } => false,
        }
    }

    /// How long to hold back, where the upstream asks for it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The HTTP status, where the upstream's status is what went wrong: 404 from Nager.Date is a country it does not know.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::ServerFailed { status, .. } | Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Who was asked.
    pub fn service(&self) -> Service {
        match self {
            Self::Unreachable { service, .. }
            | Self::TimedOut { service, .. }
            | Self::ServerFailed { service, .. }
            | Self::RateLimited { service, .. }
            | Self::BadData { service, .. }
            | Self::Refused { service, .. }
            | Self::InvalidRequest { service, .. } => *service,
        }
    }
}

/// A trouble below HTTP: name resolution, connection, TLS, or a body that ended too soon. Holds no URL.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransportError(reqwest::Error);

impl TransportError {
    pub(crate) fn new(error: reqwest::Error) -> Self {
        // The URL may hold an API key.
        Self(error.without_url())
    }
}

/// `: reason`, or nothing.
struct Explained<'a>(&'a Option<String>);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}
