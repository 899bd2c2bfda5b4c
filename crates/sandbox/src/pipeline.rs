//! What every request goes through: it is counted, fails if it is to fail, and is spared the body if the client has it.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::faults::{Fault, FaultError};
use crate::hash;
use crate::server::Shared;

/// A request that names its own fault does it here.
const FAULT_HEADER: &str = "x-sandbox-fault";
/// Or here.
const FAULT_PARAMETER: &str = "sandbox_fault";
/// The huge body is sent in pieces of this size, from one buffer.
const CHUNK: usize = 64 * 1024;
const PAGE: &str = "<!doctype html><html><head><title>Sign in</title></head><body><h1>Welcome to our network</h1></body></html>";

pub(crate) async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.path().starts_with("/sandbox/") {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let shared = request.app_data::<web::Data<Shared>>().cloned();
    if let Some(shared) = &shared {
        shared.requests.count(request.path(), request.query_string());
    }
    let fault = match own_fault(&request) {
        Ok(Some(fault)) => Some(fault),
        Ok(None) => shared.and_then(|shared| shared.faults.take(request.path())),
        Err(error) => {
            let response = HttpResponse::BadRequest().body(error.to_string());
            return Ok(request.into_response(response));
        }
    };
    tracing::debug!(path = request.path(), ?fault, "request");
    let response = match fault {
        None => next.call(request).await?.map_into_boxed_body(),
        Some(Fault::Delay { delay_ms }) => {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            next.call(request).await?.map_into_boxed_body()
        }
        Some(Fault::Truncated) => half(next.call(request).await?, broken_off).await?,
        Some(Fault::Malformed) => {
            half(next.call(request).await?, |kind, half| HttpResponse::Ok().content_type(kind).body(half))
                .await?
        }
        Some(fault) => {
            let response = failed(request.request(), &fault);
            return Ok(request.into_response(response));
        }
    };
    with_etag(response).await
}

/// The fault that the request itself asks for.
fn own_fault(request: &ServiceRequest) -> Result<Option<Fault>, FaultError> {
    if let Some(value) = request.headers().get(FAULT_HEADER) {
        let text = value.to_str().map_err(|_| FaultError::Unknown(format!("{value:?}")))?;
        return text.parse().map(Some);
    }
    match web::Query::<Vec<(String, String)>>::from_query(request.query_string()) {
        Ok(query) => {
            query.iter().find(|(name, _)| name == FAULT_PARAMETER).map(|(_, value)| value.parse()).transpose()
        }
        Err(_) => Ok(None),
    }
}

/// The faults that need no right answer.
fn failed(request: &HttpRequest, fault: &Fault) -> HttpResponse {
    let status = |code: u16| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match fault {
        Fault::RateLimited { retry_after } => {
            let mut response = HttpResponse::TooManyRequests();
            if let Some(value) = retry_after {
                response.insert_header((header::RETRY_AFTER, value.as_str()));
            }
            let reason = "Minutely API request limit exceeded. Please try again in one minute.";
            response.json(serde_json::json!({"error": true, "reason": reason}))
        }
        Fault::ServerError { status: code } => HttpResponse::build(status(*code))
            .body("upstream connect error or disconnect/reset before headers"),
        Fault::Refused { status: code } => HttpResponse::build(status(*code))
            .body(format!("the request was refused, its parameters were {}", request.query_string())),
        Fault::Html => HttpResponse::Ok().content_type("text/html; charset=utf-8").body(PAGE),
        Fault::Huge { bytes } => huge(*bytes),
        Fault::Redirect { location } => {
            HttpResponse::Found().insert_header((header::LOCATION, location.as_str())).finish()
        }
        Fault::Body { body } => HttpResponse::Ok().content_type("application/json").body(body.clone()),
        // These keep the right answer, and are dealt with where that is.
        Fault::Delay { .. } | Fault::Truncated | Fault::Malformed => {
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Sends the piece, and breaks the connection where the rest would come.
fn broken_off(kind: HeaderValue, piece: Bytes) -> HttpResponse {
    let rest = async {
        // The server writes out what it has only when the body makes it wait; an error at once would take the piece with it.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("broken off on request"))
    };
    let body = stream::once(async { Ok(piece) }).chain(stream::once(rest));
    HttpResponse::Ok().content_type(kind).streaming(body)
}

/// White space without a declared length that goes on for `bytes` bytes, made as it is read.
fn huge(bytes: u64) -> HttpResponse {
    let chunk = Bytes::from(vec![b' '; CHUNK]);
    let body = stream::unfold(bytes, move |left| {
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let piece = chunk.slice(..size);
        async move { (size > 0).then(|| (Ok::<_, std::io::Error>(piece), left - size as u64)) }
    });
    HttpResponse::Ok().content_type("application/json").streaming(body)
}

/// Replaces the response by what `make` does with its media type and the first half of its body.
async fn half(
    response: ServiceResponse<impl MessageBody>,
    make: impl FnOnce(HeaderValue, Bytes) -> HttpResponse,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, response) = response.into_parts();
    let kind = response.headers().get(header::CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
    let body = whole(response.into_body()).await?;
    let response = make(kind, body.slice(..body.len() / 2));
    Ok(ServiceResponse::new(request, response))
}

/// Adds an ETag to a success, or says that the client has it already.
async fn with_etag(response: ServiceResponse<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    use actix_web::body::BodySize;

    let is_whole = matches!(response.response().body().size(), BodySize::Sized(_));
    if response.status() != StatusCode::OK || !is_whole {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let body = whole(body).await?;
    let etag = format!("\"{:016x}\"", hash::of_bytes(&body));
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known == Some(etag.as_str()) {
        if let Some(shared) = request.app_data::<web::Data<Shared>>() {
            shared.requests.count_not_modified();
        }
        HttpResponse::NotModified().finish()
    } else {
        head.set_body(BoxBody::new(body))
    };
    if let Ok(value) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    Ok(ServiceResponse::new(request, response))
}

async fn whole(body: impl MessageBody) -> Result<Bytes, Error> {
    to_bytes(body).await.map_err(|error| actix_web::error::ErrorInternalServerError(error.into()))
}
