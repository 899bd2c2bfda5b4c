//! The packed form of schedules: what is asked for in two parts, and how it stands.
//!
//! The parts are JSON, the form that grows best, with back-off (a number that must keep its every bit) and payload as they are behind it. The same words of a schedule give the same bytes, in
//! every version that knows no more of it, so that a store can tell by the bytes alone whether anything has changed, and whether its slots
//! have. What is new in a version is left out where it is not used.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DecodeError, Reader, Writer, decode_backoff, encode_backoff};
use crate::model::{
    JobTemplate, Millis, Missed, Overlap, Owner, Recurrence, ScheduleId, ScheduleSpec, ScheduleState,
};

/// What is asked for, as bytes; whether it is enabled goes with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduleParts {
    /// What decides its slots.
    pub timing: Vec<u8>,
    /// Everything else.
    pub rest: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Timing<R> {
    recurrence: R,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    #[serde(default, skip_serializing_if = "is_zero")]
    jitter: u64,
    missed: Missed,
    overlap: Overlap,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Arc<Owner>>,
    prefix: String,
    name: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    attempts: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lifo: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Arc<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl ScheduleParts {
    /// The parts of a schedule.
    pub fn of(spec: &ScheduleSpec) -> Self {
        let ScheduleSpec {
            id: _,
            recurrence,
            job,
            start,
            end,
            limit,
            jitter_ms,
            missed,
            overlap,
            enabled: _,
            owner,
        } = spec;
        let timing = Timing { recurrence, start: *start, end: *end, limit: *limit };
        let json = Rest {
            jitter: *jitter_ms,
            missed: *missed,
            overlap: *overlap,
            owner: owner.clone(),
            prefix: job.prefix.clone(),
            name: job.name.clone(),
            priority: job.priority,
            attempts: job.attempts,
            lifo: job.lifo,
            timeout: job.timeout_ms,
            group: job.group.clone(),
            tags: job.tags.to_vec(),
        };
        let mut rest = Vec::with_capacity(256 + job.data.len());
        let mut w = Writer(&mut rest);
        // Whole numbers and texts, which JSON can always say.
        w.bytes(&serde_json::to_vec(&json).unwrap_or_default());
        w.opt(job.backoff.as_deref(), encode_backoff);
        rest.extend_from_slice(&job.data);
        Self { timing: serde_json::to_vec(&timing).unwrap_or_default(), rest }
    }
}

/// Reads what [`ScheduleParts::of`] wrote.
pub(crate) fn decode_schedule(
    id: ScheduleId,
    timing: &[u8],
    rest: &[u8],
    enabled: bool,
) -> Result<ScheduleSpec, DecodeError> {
    let damaged = |_| DecodeError::Invalid("schedule");
    let timing: Timing<Recurrence> = serde_json::from_slice(timing).map_err(damaged)?;
    let mut r = Reader::new(rest);
    let json: Rest = serde_json::from_slice(r.bytes()?).map_err(damaged)?;
    let backoff = r.opt(decode_backoff)?.map(Arc::new);
    let data = Bytes::copy_from_slice(r.rest());
    Ok(ScheduleSpec {
        id,
        recurrence: timing.recurrence,
        job: JobTemplate {
            prefix: json.prefix,
            name: json.name,
            data,
            priority: json.priority,
            attempts: json.attempts,
            lifo: json.lifo,
            timeout_ms: json.timeout,
            backoff,
            group: json.group,
            tags: json.tags.into(),
        },
        start: timing.start,
        end: timing.end,
        limit: timing.limit,
        jitter_ms: json.jitter,
        missed: json.missed,
        overlap: json.overlap,
        enabled,
        owner: json.owner,
    })
}

/// Appends how a schedule stands.
pub(crate) fn encode_schedule_state(w: &mut Writer<'_>, enabled: bool, state: &ScheduleState) {
    let ScheduleState {
        revision,
        next,
        anchor,
        fired,
        skipped,
        missed,
        last_slot,
        last_job,
        created_at,
        updated_at,
    } = state;
    w.u8(u8::from(enabled));
    for n in [revision, anchor, fired, skipped, missed, created_at, updated_at] {
        w.u64(*n);
    }
    w.opt(*next, Writer::u64);
    w.opt(*last_slot, Writer::u64);
    w.opt(last_job.as_ref(), |w, id| w.bytes(id.as_bytes()));
}

/// Reads what [`encode_schedule_state`] wrote.
pub(crate) fn decode_schedule_state(r: &mut Reader<'_>) -> Result<(bool, ScheduleState), DecodeError> {
    let enabled = r.u8()? != 0;
    let state = ScheduleState {
        revision: r.u64()?,
        anchor: r.u64()?,
        fired: r.u64()?,
        skipped: r.u64()?,
        missed: r.u64()?,
        created_at: r.u64()?,
        updated_at: r.u64()?,
        next: r.opt(Reader::u64)?,
        last_slot: r.opt(Reader::u64)?,
        last_job: r.opt(Reader::job_id)?,
    };
    Ok((enabled, state))
}
