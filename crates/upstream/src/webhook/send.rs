//! Sending: one attempt, and what it means for the next.

use std::time::Duration;

use bulrush_outbound::OutboundPolicy;
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::signature::{HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP};
use super::{WebhookSecret, sign};
use crate::fetch::{FetchError, FetchOptions, Fetcher};
use crate::http::{BuildError, retry_after};

/// Most of an answer that is read, bytes. What it says beyond is nobody's business.
pub const ANSWER_MAX: usize = 64 * 1024;
/// Longest message, bytes. The specification advises 20 KB; who has more to say sends where it can be had.
pub const BODY_MAX: usize = 256 * 1024;
/// Longest time of one attempt, from connecting to the last byte of the answer.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest start of an answer that is handed on for people, in characters.
const EXCERPT_MAX: usize = 300;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// By which the receiver tells a repeat: the same at every attempt.
    pub id: String,
    /// When this attempt is made, seconds since 1970.
    pub timestamp_s: i64,
    /// JSON, the same bytes at every attempt.
    pub body: Bytes,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it says whether and when to send again"]
pub enum Outcome {
    /// The receiver has it: any 2xx.
    Delivered {
        /// HTTP status.
        status: u16,
    },
    /// Send again, by the schedule of retries, and not before `after` where the receiver named a time.
    Retry {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// The receiver's Retry-After, between a second and an hour.
        after: Option<Duration>,
        /// What happened, for people.
        reason: String,
    },
    /// 410: the receiver wants nothing more, ever. Disable the webhook.
    Gone,
    /// Sending again as it is gives the same.
    Failed {
        /// A stable word: `blocked_address`, `invalid_url`, `tls`, `redirect`, `refused`, `too_large`, `unsigned`.
        code: &'static str,
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// What happened and what to do, for people.
        reason: String,
    },
}

/// Sends webhooks. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct WebhookClient {
    fetcher: Fetcher,
}

impl WebhookClient {
    /// Makes the client; nothing is sent yet. The total time is at most
    /// [`TOTAL_TIMEOUT`].
    ///
    /// # Errors
    /// [`BuildError`] if the TLS set-up of this machine cannot be used.
    pub fn new(policy: OutboundPolicy, mut options: FetchOptions) -> Result<Self, BuildError> {
        options.total_timeout = options.total_timeout.min(TOTAL_TIMEOUT);
        Ok(Self { fetcher: Fetcher::new(policy, options)? })
    }

    /// Sends a message to `url`, signed with all of `secrets`, once. There is no error beside the outcome: whatever happens to
    /// an attempt says what to do next.
    pub async fn send(&self, url: &str, secrets: &[WebhookSecret], message: &Message) -> Outcome {
        let failed = |code, reason: String| Outcome::Failed { code, status: None, reason };
        if message.body.len() > BODY_MAX {
            let length = message.body.len();
            return failed(
                "too_large",
                format!("the message has {length} bytes; at most {BODY_MAX} are sent"),
            );
        }
        let target = match self.fetcher.target(url) {
            Ok(target) => target,
            Err(refusal) => return failed(refusal.code(), refusal.to_string()),
        };
        let signature = match sign(secrets, &message.id, message.timestamp_s, &message.body) {
            Ok(signature) => signature,
            Err(error) => return failed("unsigned", error.to_string()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            (HEADER_ID, message.id.as_str()),
            (HEADER_TIMESTAMP, &message.timestamp_s.to_string()),
            (HEADER_SIGNATURE, &signature),
        ] {
            // All three are visible ASCII: the identifier by the check of `sign`.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let (body, deadline) = (message.body.clone(), self.fetcher.deadline());
        let sent = self.fetcher.send(Method::POST, &target, headers, body, deadline).await;
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(error) => return of_error(&error),
        };
        let status = answer.status();
        let after = named_wait(answer.headers());
        // The status has said what matters. The body is read so that the connection can be used again, and for people: that it
        // is cut off, slow or broken changes nothing.
        let excerpt = match answer.read(ANSWER_MAX).await {
            Ok((body, _)) => excerpt(&body),
            Err(_) => String::new(),
        };
        of_status(status, after, &excerpt)
    }
}

fn of_error(error: &FetchError) -> Outcome {
    let reason = error.to_string();
    if error.is_transient() {
        Outcome::Retry { status: None, after: None, reason }
    } else {
        Outcome::Failed { code: error.code(), status: None, reason }
    }
}

fn of_status(status: StatusCode, after: Option<Duration>, excerpt: &str) -> Outcome {
    let code = status.as_u16();
    let said = if excerpt.is_empty() { String::new() } else { format!(": {excerpt}") };
    match code {
        200..=299 => Outcome::Delivered { status: code },
        410 => Outcome::Gone,
        408 | 425 | 429 | 500..=599 => {
            let reason = format!("the receiver answered {code}{said}");
            Outcome::Retry { status: Some(code), after, reason }
        }
        300..=399 => Outcome::Failed {
            code: "redirect",
            status: Some(code),
            reason: format!(
                "the receiver answered {code}, a redirect, which is not followed; give the address where it leads"
            ),
        },
        _ => Outcome::Failed {
            code: "refused",
            status: Some(code),
            reason: format!("the receiver refused the message with {code}{said}"),
        },
    }
}

/// The wait that an answer names, whatever its status.
fn named_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    retry_after::parse(text, jiff::Timestamp::now())
}

/// The start of an answer, fit for a line of text.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.trim().chars().take(EXCERPT_MAX).map(|c| if c.is_control() { ' ' } else { c });
    line.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_says_what_to_do_next() {
        let of = |code| of_status(StatusCode::from_u16(code).unwrap(), None, "");
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(of(code), Outcome::Delivered { status: code });
        }
        assert_eq!(of(410), Outcome::Gone);
        for code in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(of(code), Outcome::Retry { status: Some(seen), .. } if seen == code), "{code}");
        }
        for code in [301, 302, 303, 304, 307, 308] {
            assert!(matches!(of(code), Outcome::Failed { code: "redirect", .. }), "{code}");
        }
        for code in [400, 401, 403, 404, 405, 413, 415, 422, 600, 999] {
            assert!(matches!(of(code), Outcome::Failed { code: "refused", .. }), "{code}");
        }
    }
}
