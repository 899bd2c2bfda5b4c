//! Failures on request, and the list of those still to come.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Plans waiting at most; a test has a handful.
const PLANS_MAX: usize = 1000;
/// Longest delay, ms: longer than any client's patience.
const DELAY_MS_MAX: u64 = 600_000;

/// A way to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// The right answer, late.
    Delay {
        /// How late, ms.
        delay_ms: u64,
    },
    /// 429.
    RateLimited {
        /// The `Retry-After` header, word for word; left out if `None`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// A 5xx.
    ServerError {
        /// Which one, 500 to 599.
        #[serde(default = "internal_server_error")]
        status: u16,
    },
    /// A 4xx whose text repeats the whole query, keys included, as careless upstreams do.
    Refused {
        /// Which one, 400 to 499.
        #[serde(default = "unauthorized")]
        status: u16,
    },
    /// The first half of the right answer, then the connection breaks.
    Truncated,
    /// The first half of the right answer, as if it were whole.
    Malformed,
    /// 200 with a page of HTML, as captive portals and proxies send it.
    Html,
    /// 200 with a body that does not end for so many bytes.
    Huge {
        /// Size of the body, bytes.
        bytes: u64,
    },
    /// 302.
    Redirect {
        /// Where to, word for word.
        location: String,
    },
    /// 200 with any JSON (or what claims to be).
    Body {
        /// The body, word for word.
        body: String,
    },
}

/// A fault for the next requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultPlan {
    /// Only for paths that start so; all upstream paths if left out.
    #[serde(default)]
    pub path: Option<String>,
    /// For how many requests. Default 1.
    #[serde(default = "once")]
    pub count: u32,
    /// How to fail.
    pub fault: Fault,
}

/// Why a fault cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The short form does not read `kind` or `kind=value`.
    #[error(
        "{0:?} is no fault; write delay=MS, rate-limited[=RETRY_AFTER], server-error[=STATUS], refused[=STATUS], truncated, \
         malformed, html, huge=BYTES, redirect=LOCATION or body=TEXT"
    )]
    Unknown(String),
    /// A status of the wrong class.
    #[error("status {status} is not between {min} and {max}")]
    Status {
        /// Seen.
        status: u16,
        /// Lowest of the class.
        min: u16,
        /// Highest of the class.
        max: u16,
    },
    /// Longer than any client waits.
    #[error("a delay of {0} ms is too long; at most {DELAY_MS_MAX}")]
    Delay(u64),
    /// A plan for no request.
    #[error("a plan for 0 requests does nothing; give a count of at least 1")]
    Never,
    /// Somebody adds and never uses them up.
    #[error("{PLANS_MAX} plans are waiting already; clear them with DELETE /sandbox/faults")]
    TooMany,
}

fn internal_server_error() -> u16 {
    500
}

fn unauthorized() -> u16 {
    401
}

fn once() -> u32 {
    1
}

impl Fault {
    fn check(&self) -> Result<(), FaultError> {
        let status_in = |status: u16, min: u16, max: u16| {
            if (min..=max).contains(&status) { Ok(()) } else { Err(FaultError::Status { status, min, max }) }
        };
        match self {
            Self::Delay { delay_ms } if *delay_ms > DELAY_MS_MAX => Err(FaultError::Delay(*delay_ms)),
            Self::ServerError { status } => status_in(*status, 500, 599),
            Self::Refused { status } => status_in(*status, 400, 499),
            _ => Ok(()),
        }
    }
}

/// The short form for headers and queries: `kind` or `kind=value`.
impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || FaultError::Unknown(text.chars().take(80).collect());
        let (kind, value) = match text.split_once('=') {
            Some((kind, value)) => (kind, Some(value)),
            None => (text, None),
        };
        let number = |value: &str| value.parse::<u64>().map_err(|_| unknown());
        let status = |value: &str| value.parse::<u16>().map_err(|_| unknown());
        let fault = match (kind, value) {
            ("delay", Some(value)) => Self::Delay { delay_ms: number(value)? },
            ("rate-limited", value) => Self::RateLimited { retry_after: value.map(str::to_owned) },
            ("server-error", value) => {
                Self::ServerError { status: value.map_or(Ok(internal_server_error()), status)? }
            }
            ("refused", value) => Self::Refused { status: value.map_or(Ok(unauthorized()), status)? },
            ("truncated", None) => Self::Truncated,
            ("malformed", None) => Self::Malformed,
            ("html", None) => Self::Html,
            ("huge", Some(value)) => Self::Huge { bytes: number(value)? },
            ("redirect", Some(value)) => Self::Redirect { location: value.to_owned() },
            ("body", Some(value)) => Self::Body { body: value.to_owned() },
            _ => return Err(unknown()),
        };
        fault.check()?;
        Ok(fault)
    }
}

/// The plans that wait for requests, first come first served.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue(Mutex<VecDeque<FaultPlan>>);

impl FaultQueue {
    pub fn add(&self, plan: FaultPlan) -> Result<(), FaultError> {
        plan.fault.check()?;
        if plan.count == 0 {
            return Err(FaultError::Never);
        }
        let mut plans = self.lock();
        if plans.len() == PLANS_MAX {
            return Err(FaultError::TooMany);
        }
        plans.push_back(plan);
        Ok(())
    }

    /// The fault for a request to this path, used up once.
    pub fn take(&self, path: &str) -> Option<Fault> {
        let mut plans = self.lock();
        let index =
            plans.iter().position(|plan| plan.path.as_ref().is_none_or(|prefix| path.starts_with(prefix)))?;
        let plan = plans.get_mut(index)?;
        plan.count -= 1;
        let fault = plan.fault.clone();
        if plan.count == 0 {
            plans.remove(index);
        }
        Some(fault)
    }

    pub fn list(&self) -> Vec<FaultPlan> {
        self.lock().iter().cloned().collect()
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<FaultPlan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_names_every_fault() {
        let fault = |text: &str| text.parse::<Fault>();
        assert_eq!(fault("delay=5"), Ok(Fault::Delay { delay_ms: 5 }));
        assert_eq!(fault("rate-limited=30"), Ok(Fault::RateLimited { retry_after: Some("30".to_owned()) }));
        assert_eq!(fault("rate-limited"), Ok(Fault::RateLimited { retry_after: None }));
        assert_eq!(fault("server-error"), Ok(Fault::ServerError { status: 500 }));
        assert_eq!(fault("refused=403"), Ok(Fault::Refused { status: 403 }));
        assert_eq!(fault("truncated"), Ok(Fault::Truncated));
        assert_eq!(fault("malformed"), Ok(Fault::Malformed));
        assert_eq!(fault("html"), Ok(Fault::Html));
        assert_eq!(fault("huge=9"), Ok(Fault::Huge { bytes: 9 }));
        assert_eq!(fault("redirect=/a?b=c"), Ok(Fault::Redirect { location: "/a?b=c".to_owned() }));
        assert_eq!(fault("body=[]"), Ok(Fault::Body { body: "[]".to_owned() }));
        assert_eq!(fault("server-error=200"), Err(FaultError::Status { status: 200, min: 500, max: 599 }));
        for bad in ["", "delay", "delay=x", "huge=-1", "explode", "truncated=1"] {
            assert!(fault(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_plan_is_used_up_by_requests_to_its_path_only() {
        let queue = FaultQueue::default();
        let plan = FaultPlan { path: Some("/v1/archive".to_owned()), count: 2, fault: Fault::Html };
        queue.add(plan.clone()).unwrap();
        queue.add(FaultPlan { path: None, count: 1, fault: Fault::Truncated }).unwrap();
        assert_eq!(queue.take("/v1/forecast"), Some(Fault::Truncated));
        assert_eq!(queue.take("/v1/forecast"), None);
        assert_eq!(queue.take("/v1/archive"), Some(Fault::Html));
        assert_eq!(queue.list(), [FaultPlan { count: 1, ..plan }]);
        assert_eq!(queue.take("/v1/archive"), Some(Fault::Html));
        assert_eq!(queue.take("/v1/archive"), None);
    }

    #[test]
    fn plans_that_do_nothing_or_pile_up_are_refused() {
        let queue = FaultQueue::default();
        let plan = FaultPlan { path: None, count: 1, fault: Fault::Html };
        assert_eq!(queue.add(FaultPlan { count: 0, ..plan.clone() }), Err(FaultError::Never));
        for _ in 0..PLANS_MAX {
            queue.add(plan.clone()).unwrap();
        }
        assert_eq!(queue.add(plan), Err(FaultError::TooMany));
    }
}
