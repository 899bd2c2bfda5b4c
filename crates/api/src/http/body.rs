//! Bodies: of the right type, within a bound, before a deadline.

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::http::problem::Problem;
use crate::state::State;

/// Memory of all JSON bodies together is counted in pieces of so many bytes.
const PIECE: usize = 4 << 10;

/// How much memory the bodies of requests may take together.
#[derive(Debug, Clone)]
pub struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PIECE).clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Memory for what has arrived; what a client only announces takes none from others.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        self.0.clone().try_acquire_many_owned(pieces).map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Too many large requests are being answered; try again in a moment.",
            )
            .retry_after(1)
            .close()
        })
    }
}

/// A body, and the memory that it counts for as long as it is looked at.
#[derive(Default)]
pub struct Body {
    bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// Whether it says nothing.
    pub fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

impl Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a JSON body.
///
/// What is too large is refused by its announced length, before it is read. A body is never decompressed: a small one that swells
/// could not be bounded by its length.
pub async fn read_json(
    request: &HttpRequest,
    mut payload: web::Payload,
    state: &State,
    limit: usize,
) -> Result<Body, Problem> {
    check_encoding(request)?;
    if !is_json(request) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as Content-Type: application/json, in UTF-8.",
        )
        .close());
    }
    check_length(request, limit as u64)?;
    let deadline = Instant::now() + state.config.body_timeout;
    let mut body = BytesMut::new();
    let mut memory: Option<OwnedSemaphorePermit> = None;
    loop {
        match timeout_at(deadline, payload.next()).await {
            Err(_) => return Err(too_slow()),
            Ok(None) => return Ok(Body { bytes: body.freeze(), _memory: memory }),
            Ok(Some(Err(_))) => {
                return Err(Problem::bad_request("body_cut_off", "The body ended before its end.").close());
            }
            Ok(Some(Ok(chunk))) => {
                if body.len() + chunk.len() > limit {
                    return Err(too_large(limit as u64));
                }
                let counted = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) * PIECE;
                if body.len() + chunk.len() > counted {
                    let more = state.body_memory.take(body.len() + chunk.len() - counted)?;
                    match &mut memory {
                        Some(memory) => memory.merge(more),
                        None => memory = Some(more),
                    }
                }
                body.extend_from_slice(&chunk);
            }
        }
    }
}

/// Reads a JSON body that may be left out, and its type with it.
pub async fn read_optional_json(
    request: &HttpRequest,
    payload: web::Payload,
    state: &State,
) -> Result<Body, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    if !is_chunked && length.is_none_or(|length| length == "0") {
        return Ok(Body::default());
    }
    read_json(request, payload, state, state.config.json_max).await
}

/// Refuses a compressed body.
pub fn check_encoding(request: &HttpRequest) -> Result<(), Problem> {
    match request.headers().get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Send the body as it is, without Content-Encoding.",
        )
        .close()),
        _ => Ok(()),
    }
}

/// Refuses a body that is announced as larger than `limit`.
pub fn check_length(request: &HttpRequest, limit: u64) -> Result<(), Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let length =
        announced.and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) { Err(too_large(limit)) } else { Ok(()) }
}

fn is_json(request: &HttpRequest) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, set)) if name.trim().eq_ignore_ascii_case("charset") => {
                set.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

pub fn too_large(limit: u64) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("The body may have {limit} bytes."))
        .close()
}

pub fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body came too slowly; send it again.")
        .close()
}

/// Whether a paced body was cut off.
#[derive(Clone, Default)]
pub struct Pace(Rc<Cell<bool>>);

impl Pace {
    pub fn was_cut(&self) -> bool {
        self.0.get()
    }

    /// The body of an upload, cut off once it is slower than it may be: it has `grace`, and a second more for each `rate` bytes it
    /// has brought.
    pub fn hold(
        &self,
        payload: web::Payload,
        grace: Duration,
        rate: u64,
    ) -> impl Stream<Item = Result<Bytes, PayloadError>> + 'static {
        let cut = self.0.clone();
        let started = Instant::now();
        stream::unfold((payload, 0_u64), move |(mut payload, received)| {
            let cut = cut.clone();
            async move {
                let earned = Duration::from_millis(received.saturating_mul(1_000) / rate.max(1));
                match timeout_at(started + grace + earned, payload.next()).await {
                    Ok(None) => None,
                    Ok(Some(chunk)) => {
                        let received = received + chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                        Some((chunk, (payload, received)))
                    }
                    Err(_) => {
                        cut.set(true);
                        let error = io::Error::new(io::ErrorKind::TimedOut, "the body came too slowly");
                        Some((Err(PayloadError::Io(error)), (payload, received)))
                    }
                }
            }
        })
        // The reader of the form asks again after the end.
        .fuse()
    }
}
