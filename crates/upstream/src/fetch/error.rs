//! Why there was no answer.

use std::error::Error;
use std::time::Duration;

use bulrush_outbound::Refusal;

use crate::error::TransportError;

/// Why there was no whole answer. Texts name scheme, host and port, never a path or a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It may not be called, and was not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No connection, no such name, or it broke before the whole answer was there. Transient.
    #[error("{origin} could not be reached or broke off; try again later")]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// What the transport says.
        #[source]
        source: TransportError,
    },
    /// Its certificate is expired, another's, or of nobody who is trusted; or it speaks no TLS that we do.
    #[error("{origin} cannot be trusted: {problem}; its operator must correct its certificate or its TLS")]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// No whole answer within the limits. Transient.
    #[error("{origin} did not answer within {limit_ms} ms, or fell silent; try again later")]
    TimedOut {
        /// Scheme, host and port.
        origin: String,
        /// The limit on the whole exchange, ms.
        limit_ms: u64,
    },
    /// Redirects without end.
    #[error("{origin} still redirects after {max} redirects; give the address where they lead")]
    Redirects {
        /// Scheme, host and port of the last.
        origin: String,
        /// How many are followed.
        max: usize,
    },
    /// Packed, although that was not asked for.
    #[error(
        "{origin} answers in the encoding {encoding:?} although none was asked for; such answers are not unpacked"
    )]
    Encoded {
        /// Scheme, host and port.
        origin: String,
        /// What the answer says of itself.
        encoding: String,
    },
}

impl FetchError {
    /// The same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Refused(_) | Self::Tls { .. } | Self::Redirects { .. } | Self::Encoded { .. } => false,
        }
    }

    /// A stable word for programs: `blocked_address`, `invalid_url`, `tls`, `timeout`, `unreachable`, `redirect`, `encoded`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::TimedOut { .. } => "timeout",
            Self::Redirects { .. } => "redirect",
            Self::Encoded { .. } => "encoded",
        }
    }

    pub(crate) fn timed_out(origin: String, limit: Duration) -> Self {
        Self::TimedOut { origin, limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Tells the ways apart in which an exchange breaks off.
    pub(crate) fn from_transport(origin: String, limit: Duration, error: reqwest::Error) -> Self {
        if let Some(refusal) = causes(&error).find_map(|cause| cause.downcast_ref::<Refusal>()) {
            return Self::Refused(refusal.clone());
        }
        if let Some(tls) = causes(&error).find_map(tls) {
            return Self::Tls { origin, problem: tls.to_string() };
        }
        if error.is_timeout() {
            return Self::timed_out(origin, limit);
        }
        Self::Unreachable { origin, source: TransportError::new(error) }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The trouble with TLS that an error is, or that a failed read or write holds.
fn tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<rustls::Error>().or_else(|| {
        let held = error.downcast_ref::<std::io::Error>()?.get_ref()?;
        held.downcast_ref::<rustls::Error>().or_else(|| tls(held))
    })
}
