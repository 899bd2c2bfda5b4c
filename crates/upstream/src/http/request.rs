//! One request to one upstream, and the errors about it: everything that is said of it goes through [`ApiRequest::scrub`].

use std::fmt;

use reqwest::Url;
use serde::Deserialize;

use crate::config::BaseUrl;
use crate::error::{Service, TransportError, UpstreamError};
use crate::secret::{MASK, Secret};

/// Longest text from outside that goes into an error, in characters.
const TEXT_MAX: usize = 300;

/// A GET in the making, with two URLs: the one that is sent, and the one that people may see.
pub(crate) struct ApiRequest {
    service: Service,
    url: Url,
    public: Url,
    secrets: Vec<Secret>,
}

impl ApiRequest {
    /// A request for a path, its segments given unescaped.
    pub fn new(service: Service, base: &BaseUrl, segments: &[&str]) -> Self {
        let url = base.join(segments);
        Self { service, public: url.clone(), url, secrets: Vec::new() }
    }

    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self.public.query_pairs_mut().append_pair(name, value);
        self
    }

    pub fn secret_query(mut self, name: &str, value: &Secret) -> Self {
        self.url.query_pairs_mut().append_pair(name, value.expose());
        self.public.query_pairs_mut().append_pair(name, MASK);
        self.secrets.push(value.clone());
        self
    }

    pub fn service(&self) -> Service {
        self.service
    }

    /// The URL that is sent. Not for any text.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The URL for texts.
    pub fn public_url(&self) -> &str {
        self.public.as_str()
    }

    /// Makes a text from outside fit for an error: keys masked (as they are, and as a URL writes them), control characters
    /// replaced, length bounded. Masking comes first, or the cut could leave half a key.
    fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose(), MASK);
            text = text.replace(&percent_encoded(secret.expose()), MASK);
        }
        let mut kept: String =
            text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.chars().nth(TEXT_MAX).is_some() {
            kept.push('…');
        }
        kept
    }

    /// The upstream's own words in a failed answer.
    pub fn reason(&self, body: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(body);
        let words = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => body.words()?,
            // A page of HTML says nothing in its first line.
            Err(_) if text.trim_start().starts_with(['<', '{', '[']) => return None,
            Err(_) => text.trim().to_owned(),
        };
        let words = self.scrub(&words);
        (!words.trim().is_empty()).then_some(words)
    }

    pub fn bad_data(&self, problem: &str) -> UpstreamError {
        UpstreamError::BadData {
            service: self.service,
            url: self.public_url().to_owned(),
            problem: self.scrub(problem),
        }
    }

    /// `reason` comes from [`Self::reason`] or is our own.
    pub fn refused(&self, status: u16, reason: Option<String>) -> UpstreamError {
        UpstreamError::Refused { service: self.service, url: self.public_url().to_owned(), status, reason }
    }

    /// `reason` comes from [`Self::reason`].
    pub fn server_failed(&self, status: u16, reason: Option<String>) -> UpstreamError {
        UpstreamError::ServerFailed {
            service: self.service,
            url: self.public_url().to_owned(),
            status,
            reason,
        }
    }

    pub fn timed_out(&self, limit_ms: u64) -> UpstreamError {
        UpstreamError::TimedOut { service: self.service, url: self.public_url().to_owned(), limit_ms }
    }

    pub fn unreachable(&self, source: TransportError) -> UpstreamError {
        UpstreamError::Unreachable { service: self.service, url: self.public_url().to_owned(), source }
    }
}

/// Without the URL that is sent.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequest")
            .field("service", &self.service)
            .field("url", &self.public_url())
            .finish_non_exhaustive()
    }
}

/// A secret as the query of a URL writes it.
fn percent_encoded(secret: &str) -> String {
    let mut url = Url::parse("http://localhost").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().append_key_only(secret);
    }
    url.as_ref().and_then(Url::query).unwrap_or(secret).to_owned()
}

/// The places where the upstreams (and problem+json) put an explanation.
#[derive(Deserialize)]
struct ErrorBody {
    reason: Option<String>,
    detail: Option<String>,
    title: Option<String>,
    message: Option<String>,
    meta: Option<ErrorMeta>,
}

#[derive(Deserialize)]
struct ErrorMeta {
    error_detail: Option<String>,
}

impl ErrorBody {
    fn words(self) -> Option<String> {
        let of_meta = self.meta.and_then(|meta| meta.error_detail);
        self.reason.or(of_meta).or(self.detail).or(self.title).or(self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "canary+key/=1";

    fn request() -> ApiRequest {
        let base: BaseUrl = "http://localhost:1".parse().unwrap();
        ApiRequest::new(Service::Calendarific, &base, &["holidays"])
            .secret_query("api_key", &Secret::new(KEY).unwrap())
            .query("country", "DE")
    }

    #[test]
    fn the_key_is_sent_but_not_shown() {
        let request = request();
        assert!(request.url().as_str().contains("api_key=canary%2Bkey%2F%3D1&country=DE"));
        assert_eq!(request.public_url(), "http://localhost:1/holidays?api_key=***&country=DE");
        assert!(!format!("{request:?}").contains("canary"));
    }

    #[test]
    fn an_echoed_key_is_masked_in_both_spellings_even_where_the_text_is_cut() {
        let request = request();
        assert_eq!(request.scrub("key canary+key/=1 and canary%2Bkey%2F%3D1"), "key *** and ***");
        let long = format!("{}{KEY}", "x".repeat(TEXT_MAX - 4));
        assert!(!request.scrub(&long).contains("cana"));
    }

    #[test]
    fn reasons_are_found_in_the_formats_of_all_upstreams() {
        let reason = |body: &str| request().reason(body.as_bytes());
        assert_eq!(reason(r#"{"error":true,"reason":"bad latitude"}"#).as_deref(), Some("bad latitude"));
        assert_eq!(
            reason(r#"{"meta":{"code":401,"error_detail":"no canary+key/=1"},"response":[]}"#).as_deref(),
            Some("no ***")
        );
        assert_eq!(reason(r#"{"title":"Bad Request","status":400}"#).as_deref(), Some("Bad Request"));
        assert_eq!(reason("plain\r\nwords").as_deref(), Some("plain  words"));
        assert_eq!(reason("<html>502</html>"), None);
        assert_eq!(reason(r#"{"reason":17}"#), None);
        assert_eq!(reason(""), None);
    }
}
