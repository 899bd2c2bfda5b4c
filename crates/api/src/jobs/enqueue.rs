//! Handing a job to the engine, and what came of it.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{Dedup, JobId, JobState, NewJob, When};
use bulrush::port::AddOutcome;
use bulrush_catalog::Queue;
use bytes::Bytes;

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::jobs::keys::{self, KeyKind};
use crate::jobs::options::{DedupOption, Options};
use crate::state::Deps;

/// How long an idempotency key is held.
const IDEMPOTENCY_MS: u64 = 24 * 3_600 * 1_000;

/// A request's `Idempotency-Key` and what the request stands for.
pub struct Idempotency {
    key: String,
    fingerprint: u64,
}

impl Idempotency {
    /// The key of a request, if it has one. `place` and `body` are what it stands for.
    pub fn of(request: &HttpRequest, place: &str, body: &[u8]) -> Result<Option<Self>, Problem> {
        let mut given = request.headers().get_all("idempotency-key");
        let Some(value) = given.next() else { return Ok(None) };
        let plain =
            |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7f).contains(&b));
        match value.to_str().ok().filter(plain) {
            Some(key) if given.next().is_none() => {
                Ok(Some(Self { key: key.to_owned(), fingerprint: keys::fingerprint(place, body) }))
            }
            _ => Err(Problem::bad_request(
                "invalid_idempotency_key",
                "Send one Idempotency-Key of 1 to 255 visible ASCII characters.",
            )),
        }
    }
}

/// A job on its way to the engine.
pub struct Draft<'a> {
    pub queue: &'a Queue,
    pub name: &'a str,
    pub data: Bytes,
    pub options: Options,
    pub idempotency: Option<Idempotency>,
    pub traceparent: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Enqueued {
    pub id: JobId,
    pub is_new: bool,
    /// Its state; none for a job that has ended and is not kept any more.
    pub state: Option<JobState>,
}

/// Adds a job in the name of whoever calls.
pub async fn enqueue(deps: &Deps, principal: &Principal, draft: Draft<'_>) -> Result<Enqueued, Problem> {
    let queue = draft.queue;
    let job = build(principal, draft)?;
    let is_delayed = match job.when {
        When::Now => false,
        When::After(_) => true,
        When::At(at) => at > SystemClock.now(),
    };
    let mut reply = deps.enqueue.add(queue.name(), vec![job]).await?;
    let Some(added) = reply.added.pop() else {
        return Err(Problem::internal(&std::io::Error::other("the engine answered nothing for a job")));
    };
    let id = added.id;
    match added.outcome {
        AddOutcome::New => {
            let state = if is_delayed { JobState::Delayed } else { JobState::Waiting };
            tracing::debug!(queue = %queue.name(), job = %id, "job added");
            Ok(Enqueued { id, is_new: true, state: Some(state) })
        }
        AddOutcome::SameId { state } => Ok(Enqueued { id, is_new: false, state: Some(state) }),
        AddOutcome::SameKey => {
            let found = deps.inspect.get(queue.name(), std::slice::from_ref(&id)).await?.pop().flatten();
            Ok(Enqueued { id, is_new: false, state: found.map(|job| job.state()) })
        }
        AddOutcome::KeyConflict => Err(Problem::new(
            StatusCode::CONFLICT,
            "idempotency_conflict",
            "This Idempotency-Key was used for another request in the last 24 hours; use a new key for a new request.",
        )),
        AddOutcome::Full { depth_max } => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "queue_full",
            format!(
                "The queue holds {depth_max} jobs that have not started, as many as it may; try again later."
            ),
        )
        .retry_after(5)),
    }
}

fn build(principal: &Principal, draft: Draft<'_>) -> Result<NewJob, Problem> {
    let Draft { queue, name, data, options, idempotency, traceparent } = draft;
    let prefix = queue.entry().prefix;
    let id = match &options.job_id {
        Some(name) => keys::client_job_id(prefix, &principal.owner, name),
        None => JobId::generate(prefix, SystemClock.now(), random()?),
    };
    let limits = queue.limits();
    let mut job = NewJob::new(id, name, data)
        .owner(principal.owner.tenant.clone(), principal.owner.user.clone())
        .attempts(options.attempts.unwrap_or(limits.attempts))
        .backoff(options.backoff.unwrap_or_else(|| limits.backoff.backoff()))
        .timeout_ms(options.timeout_ms.unwrap_or(limits.timeout_ms))
        .tags(options.tags);
    job.when = options.when;
    job.spec.lifo = options.lifo;
    if let Some(priority) = options.priority {
        job = job.priority(priority);
    }
    if let Some(group) = &options.group {
        job = job.group(keys::group(principal, group));
    }
    job.spec.traceparent = traceparent.map(Into::into);
    let owner = &principal.owner;
    job.spec.dedup = match (options.dedup, idempotency) {
        (Some(_), Some(_)) => {
            return Err(Problem::field(
                "options.dedup",
                "cannot be given together with an Idempotency-Key, which is one; keep one of them",
            ));
        }
        (Some(DedupOption { key, ttl_ms }), None) => Some(Arc::new(Dedup {
            key: keys::dedup_key(KeyKind::Dedup, owner, &key).into(),
            ttl_ms,
            fingerprint: None,
        })),
        (None, Some(Idempotency { key, fingerprint })) => Some(Arc::new(Dedup {
            key: keys::dedup_key(KeyKind::Idempotency, owner, &key).into(),
            ttl_ms: Some(IDEMPOTENCY_MS),
            fingerprint: Some(fingerprint),
        })),
        (None, None) => None,
    };
    Ok(job)
}

fn random() -> Result<u128, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Problem::unavailable(&error))?;
    Ok(u128::from_ne_bytes(bytes))
}

/// The request's W3C trace context, if it has a whole one.
pub fn traceparent(request: &HttpRequest) -> Option<String> {
    let text = request.headers().get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match parts[..] {
        ["00", trace, span, flags] if is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2) => {
            Some(text.to_owned())
        }
        _ => None,
    }
}
