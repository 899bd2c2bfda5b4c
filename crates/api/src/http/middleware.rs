//! Around every request: an id, bounds of its head, headers of the answer, counting and one line of log.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, ResponseError as _, web};
use bulrush_service::HttpObservation;
use tokio::time::Instant;

use crate::http::problem::{Problem, RefusalCode};
use crate::http::unread::Unread;
use crate::state::State;

/// Name of the header that carries the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest path and query, bytes.
const URI_MAX: usize = 8 << 10;
/// Most bytes of headers. A token may have 8 KiB; one that is larger is refused as a token, with 401.
const HEADERS_MAX: usize = 120 << 10;
/// What every answer carries unless a handler says otherwise. An API has no page of its own, so nothing may be loaded or framed.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "interest-cohort=()"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Counts a request for as long as it is answered, also when it is dropped.
struct InFlight(web::Data<State>);

impl InFlight {
    fn enter(state: web::Data<State>) -> Self {
        state.shared.metrics.http_in_flight.inc();
        Self(state)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.shared.metrics.http_in_flight.dec();
    }
}

pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let _in_flight = InFlight::enter(state.clone());
    let started = Instant::now();
    let id = request_id(&request);
    let unread = Unread::watch(&mut request);
    let mut response = match check_head(&request) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => request.into_response(problem.error_response()),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    record(&state, &response, &id, started);
    Ok(match unread {
        Some(unread) => unread.keep(response),
        None => response,
    })
}

/// The client's own id of the request if it is plain, else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain);
    given.map_or_else(new_id, str::to_owned)
}

/// An id that no other request of this process has, and hardly one of another process.
fn new_id() -> String {
    static PROCESS: LazyLock<u32> = LazyLock::new(|| getrandom::u32().unwrap_or_default());
    static REQUESTS: AtomicU32 = AtomicU32::new(0);
    format!("{:08x}{:08x}", *PROCESS, REQUESTS.fetch_add(1, Ordering::Relaxed))
}

fn check_head(request: &ServiceRequest) -> Result<(), Problem> {
    if request.uri().path().len() + request.uri().query().map_or(0, str::len) > URI_MAX {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "The address is longer than 8 KiB.",
        )
        .close());
    }
    let size: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS_MAX {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            "The headers are too large.",
        )
        .close());
    }
    let hosts = request.headers().get_all(header::HOST).count();
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        return Err(Problem::bad_request("invalid_host", "Exactly one Host header is needed.").close());
    }
    Ok(())
}

/// Counts and logs. The path's pattern is told, not the path, and never the query: both may hold what is private.
fn record(state: &State, response: &ServiceResponse<BoxBody>, id: &str, started: Instant) {
    let route = response.request().match_pattern();
    let route = route.as_deref().unwrap_or("unmatched");
    let method = match response.request().method().as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => known,
        _ => "other",
    };
    let took = started.elapsed();
    let status = response.status();
    state.shared.metrics.observe_http(HttpObservation { method, route, status: status.as_u16(), took });
    let code = response.response().extensions().get::<RefusalCode>().map(|code| code.0);
    if let Some(code) = code {
        state.shared.metrics.count_refusal(code);
    }
    let tenant = response.request().extensions().get::<Tenant>().map(|tenant| tenant.0.clone());
    let took_ms = took.as_secs_f64() * 1_000.0;
    if status.is_client_error() || status.is_server_error() {
        tracing::info!(
            request_id = id,
            method,
            route,
            status = status.as_u16(),
            code,
            tenant,
            took_ms,
            "request refused"
        );
    } else {
        tracing::debug!(
            request_id = id,
            method,
            route,
            status = status.as_u16(),
            tenant,
            took_ms,
            "request answered"
        );
    }
}

/// Whose request it is, for the log.
#[derive(Debug, Clone)]
pub struct Tenant(pub String);
