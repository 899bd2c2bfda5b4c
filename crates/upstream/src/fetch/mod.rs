//! Fetching what somebody else names: pages, webhooks. The one way out to an address that is not from our configuration.
//!
//! What it promises beyond the clients of known upstreams:
//! - **Only checked addresses.** The host of each URL, and every address that it stands for, is checked against the
//!   [`OutboundPolicy`] by the resolver that the connection itself uses. There is no second look-up that could answer otherwise,
//!   and a host with one forbidden address among good ones is not called at all.
//! - **Redirects by hand.** Each hop is a URL of its own, checked like the first; their number is bounded.
//! - **Bounded everything.** Connecting, silence and the whole exchange have time limits, bodies are read up to a bound and then
//!   cut off, an answer has at most [`HEADERS_MAX`] headers.
//! - **Nothing is unpacked.** No encoding is asked for, and an answer that comes in one all the same is refused, so there is no
//!   small body that grows large.
//! - **No detours.** Proxies of the environment are not used: they would connect to addresses that nobody checked.

mod error;
mod lookup;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulrush_outbound::{OutboundPolicy, Refusal, TargetUrl};
use bytes::{Bytes, BytesMut};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, redirect};
use tokio::time::Instant;

use crate::error::TransportError;
use crate::http::{self, BuildError, USER_AGENT};

pub use error::FetchError;
use lookup::CheckedResolver;
pub use lookup::{Looking, Lookup, SystemLookup};

/// Most headers of an answer; one with more is no answer.
pub const HEADERS_MAX: usize = 100;
/// Longest validator that is kept, bytes. Longer ones are not worth keeping.
const VALIDATOR_MAX: usize = 512;

/// How patient a [`Fetcher`] is, and how it calls itself.
#[derive(Clone)]
pub struct FetchOptions {
    /// What it calls itself. The default names the program and where to complain.
    pub user_agent: String,
    /// Longest time to connect, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest silence while an answer is awaited or read. Default 10 s.
    pub idle_timeout: Duration,
    /// Longest time of one call from connecting to the last byte, redirects included. Default 30 s.
    pub total_timeout: Duration,
    /// An authority to trust beside those of the system, as PEM: for exceptions within one's own network.
    pub authority_pem: Option<Vec<u8>>,
    /// Who resolves names. The system, but in tests.
    pub lookup: Arc<dyn Lookup>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            user_agent: USER_AGENT.to_owned(),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(30),
            authority_pem: None,
            lookup: Arc::new(SystemLookup),
        }
    }
}

impl std::fmt::Debug for FetchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchOptions")
            .field("user_agent", &self.user_agent)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("total_timeout", &self.total_timeout)
            .finish_non_exhaustive()
    }
}

/// What tells one state of a page from another, for asking whether it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// The `ETag` of an answer, word for word.
    pub etag: Option<String>,
    /// Its `Last-Modified`, word for word.
    pub last_modified: Option<String>,
}

/// What a GET wants.
#[derive(Debug, Clone)]
pub struct Get<'a> {
    /// The kinds of content that are of use, as the `Accept` header has them.
    pub accept: &'static str,
    /// What is known already; an answer of 304 says that it still stands.
    pub known: Option<&'a Validators>,
    /// Longest body, bytes. What comes beyond is not read.
    pub body_max: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What answered: after redirects not what was asked for.
    pub url: TargetUrl,
    /// HTTP status.
    pub status: u16,
    /// Media type, in lower case and without its parameters.
    pub content_type: Option<String>,
    /// The character encoding that the media type names, in lower case.
    pub charset: Option<String>,
    /// For the next time.
    pub validators: Validators,
    /// How long to stay away, if the answer is 429, or a 503 that says so: between a second and an hour.
    pub retry_after: Option<Duration>,
    /// Where a redirect that was not followed leads to, checked.
    pub location: Option<Result<TargetUrl, Refusal>>,
    /// The body, up to the bound.
    pub body: Bytes,
    /// Whether there was more.
    pub cut: bool,
}

/// Fetches from checked addresses only. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    policy: Arc<OutboundPolicy>,
    options: FetchOptions,
    /// A client for each port: the resolver is not told the port, and whether an address may be called depends on it. Their
    /// number is bounded by the ports of the policy, as no URL with another port gets here.
    clients: Mutex<HashMap<u16, reqwest::Client>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("policy", &self.policy)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Makes the fetcher; nothing is sent yet.
    ///
    /// # Errors
    /// [`BuildError`] if the TLS set-up of this machine, or the authority that was given, cannot be used.
    pub fn new(policy: OutboundPolicy, options: FetchOptions) -> Result<Self, BuildError> {
        // Fails only if the process has a provider already, and then that one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let inner = Inner { policy: Arc::new(policy), options, clients: Mutex::default() };
        inner.client(443)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// When a call that begins now must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.inner.options.total_timeout
    }

    /// What may be called.
    pub fn policy(&self) -> &OutboundPolicy {
        &self.inner.policy
    }

    /// Reads and checks a URL.
    ///
    /// # Errors
    /// [`Refusal`] with what is wrong with it.
    pub fn target(&self, text: &str) -> Result<TargetUrl, Refusal> {
        TargetUrl::parse(text, &self.inner.policy)
    }

    /// GETs a page and follows no redirect: [`Fetched::location`] tells where it leads.
    ///
    /// # Errors
    /// [`FetchError`] if there was no whole answer. An answer with any status is one.
    pub async fn get(&self, target: &TargetUrl, get: &Get<'_>) -> Result<Fetched, FetchError> {
        let deadline = self.deadline();
        self.exchange(target, get, deadline).await
    }

    /// GETs a page and follows up to `redirects_max` redirects, wherever they lead that may be called.
    ///
    /// # Errors
    /// [`FetchError`], also where a redirect leads to what may not be called, or there are too many.
    pub async fn get_following(
        &self,
        target: &TargetUrl,
        get: &Get<'_>,
        redirects_max: usize,
    ) -> Result<Fetched, FetchError> {
        let deadline = self.deadline();
        let mut target = target.clone();
        for _ in 0..=redirects_max {
            let mut fetched = self.exchange(&target, get, deadline).await?;
            match fetched.location.take() {
                None => return Ok(fetched),
                Some(Ok(next)) => target = next,
                Some(Err(refusal)) => return Err(refusal.into()),
            }
        }
        Err(FetchError::Redirects { origin: target.origin(), max: redirects_max })
    }

    async fn exchange(
        &self,
        target: &TargetUrl,
        get: &Get<'_>,
        deadline: Instant,
    ) -> Result<Fetched, FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(get.accept));
        if let Some(known) = get.known {
            for (name, value) in
                [(header::IF_NONE_MATCH, &known.etag), (header::IF_MODIFIED_SINCE, &known.last_modified)]
            {
                // A validator that is no header came from somewhere else than an answer: then the whole page comes.
                if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
                    headers.insert(name, value);
                }
            }
        }
        let mut answer = self.send(Method::GET, target, headers, Bytes::new(), deadline).await?;
        answer.refuse_encodings()?;
        let (body, cut) = answer.read(get.body_max).await?;
        Ok(answer.fetched(&self.inner.policy, body, cut))
    }

    /// Sends one request, without redirects.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &TargetUrl,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, FetchError> {
        let origin = target.origin();
        let limit = self.inner.options.total_timeout;
        let client = self
            .inner
            .client(target.port())
            .map_err(|BuildError(source)| FetchError::Unreachable { origin: origin.clone(), source })?;
        let mut request = client.request(method, target.url().clone()).headers(headers);
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = match tokio::time::timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(FetchError::from_transport(origin, limit, error)),
            Err(_) => return Err(FetchError::timed_out(origin, limit)),
        };
        tracing::debug!(%origin, status = response.status().as_u16(), "answered");
        Ok(Answer { target: target.clone(), response, deadline, limit })
    }
}

impl Inner {
    fn client(&self, port: u16) -> Result<reqwest::Client, BuildError> {
        // No code under the lock panics half way through a change.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let failed = |error| BuildError(TransportError::new(error));
        let resolver =
            CheckedResolver { policy: self.policy.clone(), lookup: self.options.lookup.clone(), port };
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.options.user_agent)
            .connect_timeout(self.options.connect_timeout)
            .read_timeout(self.options.idle_timeout)
            .timeout(self.options.total_timeout)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .http1_max_headers(HEADERS_MAX)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .dns_resolver(Arc::new(resolver));
        if let Some(pem) = &self.options.authority_pem {
            let authorities = reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?;
            builder = builder.tls_certs_merge(authorities);
        }
        let client = builder.build().map_err(failed)?;
        clients.insert(port, client.clone());
        Ok(client)
    }
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    target: TargetUrl,
    response: Response,
    deadline: Instant,
    limit: Duration,
}

impl Answer {
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Nothing was asked to be encoded, and nothing is unpacked.
    fn refuse_encodings(&self) -> Result<(), FetchError> {
        let Some(encoding) = self.headers().get(header::CONTENT_ENCODING) else { return Ok(()) };
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).trim().to_ascii_lowercase();
        if matches!(encoding.as_str(), "" | "identity") {
            return Ok(());
        }
        let encoding = encoding.chars().take(32).collect();
        Err(FetchError::Encoded { origin: self.target.origin(), encoding })
    }

    /// Reads up to `max` bytes of the body; whether there was more. What comes beyond is never read.
    pub async fn read(&mut self, max: usize) -> Result<(Bytes, bool), FetchError> {
        let mut body = BytesMut::new();
        loop {
            let chunk = match tokio::time::timeout_at(self.deadline, self.response.chunk()).await {
                Ok(Ok(chunk)) => chunk,
                Ok(Err(error)) => {
                    return Err(FetchError::from_transport(self.target.origin(), self.limit, error));
                }
                Err(_) => return Err(FetchError::timed_out(self.target.origin(), self.limit)),
            };
            let Some(chunk) = chunk else { return Ok((body.freeze(), false)) };
            let room = max - body.len();
            if chunk.len() > room {
                body.extend_from_slice(chunk.get(..room).unwrap_or_default());
                return Ok((body.freeze(), true));
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn fetched(self, policy: &OutboundPolicy, body: Bytes, cut: bool) -> Fetched {
        let status = self.status();
        let headers = self.response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let kept = |name| text(name).filter(|value| value.len() <= VALIDATOR_MAX).map(str::to_owned);
        let (content_type, charset) = media_type(text(header::CONTENT_TYPE).unwrap_or_default());
        let location = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
            .then(|| headers.get(header::LOCATION))
            .flatten()
            .map(|location| {
                let location = String::from_utf8_lossy(location.as_bytes());
                self.target.join(&location, policy)
            });
        Fetched {
            status: status.as_u16(),
            content_type,
            charset,
            validators: Validators { etag: kept(header::ETAG), last_modified: kept(header::LAST_MODIFIED) },
            retry_after: http::asked_to_wait(status, headers),
            location,
            url: self.target,
            body,
            cut,
        }
    }
}

/// A media type and the character encoding that it names.
fn media_type(text: &str) -> (Option<String>, Option<String>) {
    let mut parts = text.split(';');
    let tidy =
        |text: &str| Some(text.trim().trim_matches('"').to_ascii_lowercase()).filter(|text| !text.is_empty());
    let media = parts.next().and_then(tidy);
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| tidy(value))?
    });
    (media, charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_in_all_their_spellings() {
        let read = |text| {
            let (media, charset) = media_type(text);
            (media.unwrap_or_default(), charset.unwrap_or_default())
        };
        let pair = |media: &str, charset: &str| (media.to_owned(), charset.to_owned());
        assert_eq!(read("text/html; charset=UTF-8"), pair("text/html", "utf-8"));
        assert_eq!(read("Text/HTML;boundary=x ; Charset=\"ISO-8859-1\""), pair("text/html", "iso-8859-1"));
        assert_eq!(read("text/html"), pair("text/html", ""));
        assert_eq!(read(" ; charset"), pair("", ""));
        assert_eq!(read(""), pair("", ""));
    }
}
