//! Handing jobs to the engine, and what came of it.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{Dedup, JobId, JobState, NewJob, Owner, When};
use bulrush::port::{AddOutcome, Added};
use bulrush_catalog::Queue;

use crate::http::problem::Problem;
use crate::jobs::keys::{self, KeyKind};
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

    /// The same for the `n`th job of a request that adds several.
    pub fn nth(&self, n: usize) -> Self {
        // A line break cannot stand in a key, so no other request's key is like it.
        Self { key: format!("{}\n{n}", self.key), fingerprint: self.fingerprint }
    }

    /// The engine's dedup key for it.
    pub fn dedup(&self, owner: &Owner) -> Dedup {
        Dedup {
            key: keys::dedup_key(KeyKind::Idempotency, owner, &self.key).into(),
            ttl_ms: Some(IDEMPOTENCY_MS),
            fingerprint: Some(self.fingerprint),
        }
    }
}

/// What came of a job that was to be added.
#[derive(Debug, Clone)]
pub struct Enqueued {
    pub id: JobId,
    pub is_new: bool,
    /// Its state; none for a job that has ended and is not kept any more.
    pub state: Option<JobState>,
}

/// Adds a job.
pub async fn enqueue(deps: &Deps, queue: &Queue, job: NewJob) -> Result<Enqueued, Problem> {
    let starts = starts_as(&job);
    let added = deps.desk(queue).producer.add(job).await?;
    let (enqueued, unknown) = outcome(added, starts)?;
    if unknown { with_state(deps, queue, enqueued).await } else { Ok(enqueued) }
}

/// The state in which a new job begins.
pub fn starts_as(job: &NewJob) -> JobState {
    let is_delayed = match job.when {
        When::Now => false,
        When::After(_) => true,
        When::At(at) => at > SystemClock.now(),
    };
    match (job.children.is_empty(), is_delayed) {
        (false, _) => JobState::WaitingChildren,
        (true, true) => JobState::Delayed,
        (true, false) => JobState::Waiting,
    }
}

/// What the engine says of an add; also whether the state of the job that stands for it is still to be found out.
pub fn outcome(added: Added, starts: JobState) -> Result<(Enqueued, bool), Problem> {
    let id = added.id;
    match added.outcome {
        AddOutcome::New => Ok((Enqueued { id, is_new: true, state: Some(starts) }, false)),
        AddOutcome::SameId { state } => Ok((Enqueued { id, is_new: false, state: Some(state) }, false)),
        AddOutcome::SameKey => Ok((Enqueued { id, is_new: false, state: None }, true)),
        AddOutcome::KeyConflict => Err(Problem::new(
            StatusCode::CONFLICT,
            "idempotency_conflict",
            "This Idempotency-Key was used for another request in the last 24 hours; use a new key for a new request.",
        )),
        AddOutcome::Full { depth_max } => Err(queue_full(depth_max)),
    }
}

pub fn queue_full(depth_max: u64) -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "queue_full",
        format!(
            "The queue holds {depth_max} jobs that have not started, as many as it may; try again later."
        ),
    )
    .retry_after(5)
}

/// The same with the job's state as it is now.
pub async fn with_state(deps: &Deps, queue: &Queue, enqueued: Enqueued) -> Result<Enqueued, Problem> {
    // Whose job it is needs no check: the key that led to it is the owner's.
    let ids = vec![enqueued.id.clone()];
    let found = deps.desk(queue).reader.get(bulrush::model::Scope::All, ids).await?.pop().flatten();
    Ok(Enqueued { state: found.map(|job| job.state()), ..enqueued })
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
