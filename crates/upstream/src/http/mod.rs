//! The one way out: a GET that ends, whose answer is bounded, and whose failures are told apart.

mod cache;
mod request;
mod retry;
pub(crate) mod retry_after;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, redirect};
use serde::de::DeserializeOwned;

use crate::error::{TransportError, UpstreamError};

use cache::EtagCache;
pub(crate) use request::ApiRequest;
pub use retry::RetryPolicy;

/// Redirects followed within one host; providers use one to move from one version of a path to the next.
const REDIRECTS_MAX: usize = 3;
/// How much of a failed answer is read in search of a reason.
const REASON_BODY_MAX: usize = 64 * 1024;
/// Names the program to the people who run the upstreams, and tells them where to complain.
pub(crate) const USER_AGENT: &str =
    concat!("bulrush/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")");

/// Limits, retries and cache of the HTTP layer.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Longest time to connect, TLS included. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest time of one exchange from connecting to the last byte; each retry has it anew. Default 30 s.
    pub total_timeout: Duration,
    /// Longest body that is read, bytes. Default 8 MiB.
    pub body_max: usize,
    /// How often and after which delay a 5xx or a timeout is tried again within a call.
    pub retry: RetryPolicy,
    /// Most bodies kept with their ETag. 0 switches the cache off. Default 256.
    pub cache_entries_max: usize,
    /// Most bytes of bodies kept with their ETag. Default 32 MiB.
    pub cache_bytes_max: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(30),
            body_max: 8 * 1024 * 1024,
            retry: RetryPolicy::default(),
            cache_entries_max: 256,
            cache_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// The HTTP client could not be made: this machine's TLS set-up (its root certificates) cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the HTTP client could not be set up; check that this machine has root certificates (ca-certificates)"
)]
pub struct BuildError(#[source] pub(crate) TransportError);

/// One connection pool and one cache, shared by all clients made from it.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    inner: reqwest::Client,
    cache: Arc<EtagCache>,
    body_max: usize,
    total_timeout: Duration,
    retry: RetryPolicy,
}

/// What a client finds wrong with a body.
#[derive(Debug)]
pub(crate) struct BadData(pub String);

impl HttpClient {
    pub fn new(options: &HttpOptions) -> Result<Self, BuildError> {
        // Fails only if the process has a provider already, and then that one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let inner = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(options.connect_timeout)
            .timeout(options.total_timeout)
            .redirect(redirect::Policy::custom(|attempt| {
                let first = attempt.previous().first().map(reqwest::Url::origin);
                if first == Some(attempt.url().origin()) && attempt.previous().len() <= REDIRECTS_MAX {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }))
            // A Referer would carry the query, and with it the API key.
            .referer(false)
            .build()
            .map_err(|error| BuildError(TransportError::new(error)))?;
        Ok(Self {
            inner,
            cache: Arc::new(EtagCache::new(options.cache_entries_max, options.cache_bytes_max)),
            body_max: options.body_max,
            total_timeout: options.total_timeout,
            retry: options.retry.clone(),
        })
    }

    /// Sends the request, and again after 5xx and timeouts, and gives the body to `parse`.
    ///
    /// A body is kept with its ETag only after `parse` took it, so an answer that cannot be used is never served from the cache.
    pub async fn get<T>(
        &self,
        request: &ApiRequest,
        parse: impl Fn(&[u8]) -> Result<T, BadData>,
    ) -> Result<T, UpstreamError> {
        let mut retries = 0;
        loop {
            let error = match self.exchange(request, &parse).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let worth_it =
                matches!(error, UpstreamError::ServerFailed { .. } | UpstreamError::TimedOut { .. });
            if !worth_it || retries == self.retry.retries_max {
                return Err(error);
            }
            let delay = self.retry.delay(retries);
            retries += 1;
            tracing::debug!(
                service = %request.service(), retry = retries, delay_ms = delay.as_millis() as u64, %error,
                "asking again"
            );
            tokio::time::sleep(delay).await;
        }
    }

    async fn exchange<T>(
        &self,
        request: &ApiRequest,
        parse: impl Fn(&[u8]) -> Result<T, BadData>,
    ) -> Result<T, UpstreamError> {
        let started = Instant::now();
        let kept = self.cache.get(request.url().as_str());
        let mut builder = self.inner.get(request.url().clone()).header(header::ACCEPT, "application/json");
        if let Some((etag, _)) = &kept {
            builder = builder.header(header::IF_NONE_MATCH, etag.clone());
        }
        let response = builder.send().await.map_err(|error| self.transport(request, error))?;
        let status = response.status();
        tracing::debug!(
            service = %request.service(), url = request.public_url(), status = status.as_u16(),
            elapsed_ms = started.elapsed().as_millis() as u64, "upstream answered"
        );
        let bad_data = |BadData(problem)| request.bad_data(&problem);

        if let (StatusCode::NOT_MODIFIED, Some((_, body))) = (status, &kept) {
            return parse(body).map_err(bad_data);
        }
        if status.is_success() {
            let etag = response.headers().get(header::ETAG).cloned();
            let body = self.whole_body(request, response).await?;
            let value = parse(&body).map_err(bad_data)?;
            if let Some(etag) = etag {
                self.cache.put(request.url().as_str(), etag, body);
            }
            return Ok(value);
        }
        Err(self.failure(request, response).await)
    }

    /// Tells the ways apart in which an answer is not a success.
    async fn failure(&self, request: &ApiRequest, response: Response) -> UpstreamError {
        let status = response.status();
        if let Some(retry_after) = asked_to_wait(status, response.headers()) {
            return UpstreamError::RateLimited { service: request.service(), retry_after };
        }
        let status_code = status.as_u16();
        if status.is_redirection() {
            let reason = "it redirects to another place, which is not followed".to_owned();
            return request.refused(status_code, Some(reason));
        }
        // The status has said what matters; a reason that cannot be read is no second failure.
        let reason = match bounded_body(response, REASON_BODY_MAX).await {
            Ok(Some(body)) => request.reason(&body),
            Ok(None) | Err(_) => None,
        };
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            request.server_failed(status_code, reason)
        } else {
            request.refused(status_code, reason)
        }
    }

    async fn whole_body(&self, request: &ApiRequest, response: Response) -> Result<Bytes, UpstreamError> {
        match bounded_body(response, self.body_max).await {
            Ok(Some(body)) => Ok(body),
            Ok(None) => {
                Err(request
                    .bad_data(&format!("the body is longer than the limit of {} bytes", self.body_max)))
            }
            Err(error) => Err(self.transport(request, error)),
        }
    }

    fn transport(&self, request: &ApiRequest, error: reqwest::Error) -> UpstreamError {
        if error.is_timeout() {
            let limit_ms = u64::try_from(self.total_timeout.as_millis()).unwrap_or(u64::MAX);
            return request.timed_out(limit_ms);
        }
        request.unreachable(TransportError::new(error))
    }
}

/// Reads JSON of the shape `T`, and says in a person's words what came instead.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadData> {
    match body.trim_ascii_start().first() {
        None => Err(BadData("the body is empty".to_owned())),
        Some(b'<') => Err(BadData("it is a page of HTML or XML, not JSON".to_owned())),
        Some(_) => serde_json::from_slice(body)
            .map_err(|error| BadData(format!("it is not the JSON that was expected: {error}"))),
    }
}

/// Reads a body up to `limit` bytes; `None` if there is more. What comes beyond the limit is never read.
async fn bounded_body(mut response: Response, limit: usize) -> Result<Option<Bytes>, reqwest::Error> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// How long the upstream wants to be left alone: any 429, and a 503 that names a time.
pub(crate) fn asked_to_wait(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let named = headers.get(header::RETRY_AFTER).map(HeaderValue::to_str);
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let text = named.and_then(Result::ok).unwrap_or_default();
            Some(retry_after::parse(text, Timestamp::now()).unwrap_or(retry_after::DEFAULT))
        }
        StatusCode::SERVICE_UNAVAILABLE => retry_after::parse(named?.ok()?, Timestamp::now()),
        _ => None,
    }
}
