//! The record of a job, one for each in the hash `jobs`.
//!
//! Three readers share it. Scripts read the head at fixed places, and stamp state and times by putting new bytes before what a client
//! sent; they read the links only of jobs that have any, and carry the rest about unread. This module reads and writes all of it.
//!
//! ```text
//! head, 38 bytes   version u8 = 2 | state u8 | generation u32 | at u48 | created u48 | flags u16 | priority u24 | run u32 |
//!                  stalls u16 | time-out in seconds u32 (0 none) | length of the spec u24 | length of the data u16
//! if SETTLED       worker 8 | call u48: the token that settled it last, of which the run is that of the head or SETTLED_RUN
//! spec             links, each only with its flag, in this order
//!                    GROUP  name     OWNER  hash64 8, tenant, user     DEDUP  key, ttl u48 (0 none), has fingerprint u8, fingerprint 8
//!                    PARENT queue, id, policy u8
//!                  rest, LEB128: name, attempts, bits (time-out 1, back-off 2, tags 4, traceparent 8, slot of a schedule 16) and those
//! data             the payload; empty with BIG: then it is in the hash `data`
//! status           attempts made u16 | SETTLED_RUN: u32 | RUN_AT: u48 | PROCESSED: u48 | RESULT: length u32, bytes |
//!                  errors, oldest first, to the end:
//!                    each length u16 of what follows, attempt u16, worker 8, started u48, kind u8, message, ended u48
//! ```
//!
//! `state` is `w` waiting or active, `d`, `p`, `c`, `f` or `x`. Taking does not touch a record: an active job is one that has an entry in
//! the hash `act` (`active.rs`), and its run, its attempts and its start are one further than the record says. `at` is the moment from
//! which the job may run or, once it has ended, the moment of its end; RUN_AT is there only then, and only if it is not `created`.
//! SETTLED_RUN is there when later runs than the settled one were lost or given back: they are counted in the head.

use std::sync::Arc;

use bytes::Bytes;

use super::active::{Active, timeout_secs};
use super::packed::{Damaged, Unpack, put_nonce, put_text, put_u16, put_u24, put_u32, put_u48, put_u64};
use crate::model::codec::{
    Reader, Writer, child_failure, child_failure_code, decode_backoff, decode_slot, encode_backoff,
    encode_slot, error_kind, error_kind_code,
};
use crate::model::{
    Attempt, Dedup, ErrorKind, JobError, JobId, JobState, JobView, Millis, Owner, Parent, Progress,
    QueueName, Spec, Status, Taken, Token, WorkerId, no_tags,
};

/// Version of the record format, its first byte.
const VERSION: u8 = 2;
/// Longest payload that is kept in the record, bytes.
pub(super) const DATA_IN_RECORD: usize = 1_024;

/// One bit of the head's flags.
mod flag {
    pub const SETTLED: u16 = 1;
    pub const LIFO: u16 = 1 << 1;
    pub const GROUP: u16 = 1 << 2;
    pub const OWNER: u16 = 1 << 3;
    pub const DEDUP: u16 = 1 << 4;
    pub const PARENT: u16 = 1 << 5;
    pub const BIG: u16 = 1 << 6;
    pub const RUN_AT: u16 = 1 << 7;
    pub const PROCESSED: u16 = 1 << 8;
    pub const RESULT: u16 = 1 << 9;
    pub const SETTLED_RUN: u16 = 1 << 10;
    pub const KEY_TTL: u16 = 1 << 11;
    pub const FAMILY: u16 = 1 << 12;
}

/// One bit of the rest of the spec.
mod bit {
    pub const TIMEOUT: u8 = 1;
    pub const BACKOFF: u8 = 1 << 1;
    pub const TAGS: u8 = 1 << 2;
    pub const TRACE: u8 = 1 << 3;
    pub const SCHEDULE: u8 = 1 << 4;
}

/// Whether a job's payload is kept beside its record.
pub(super) fn is_big(spec: &Spec) -> bool {
    spec.data.len() > DATA_IN_RECORD
}

// ---------------------------------------------------------------------- writing

/// Appends the record of a job that is added, from its flags on: what comes before, the script stamps.
pub(super) fn put_new(out: &mut Vec<u8>, spec: &Spec, priority: u32, has_children: bool) {
    let family = if has_children { flag::FAMILY } else { 0 };
    let lengths = put_head(out, spec, flags_of(spec) | family, priority, 0, 0);
    put_body(out, spec, lengths);
    put_u16(out, 0);
}

/// What a job is once a run of it is over.
pub(super) struct Over<'a> {
    /// The job as it was taken.
    pub job: &'a Taken,
    /// Tries that count.
    pub attempts_made: u32,
    /// What the handler returned.
    pub result: Option<&'a Bytes>,
    /// Earlier failed attempts that are kept, oldest first.
    pub errors: &'a [Attempt],
    /// It has ended, so when it was to run is no longer told by `at`.
    pub ended: bool,
}

/// Appends the record of a job when a run of it is over, from `created` on: what comes before, the script stamps.
pub(super) fn put_over(out: &mut Vec<u8>, over: &Over<'_>) {
    let (job, spec) = (over.job, &*over.job.spec);
    let keeps_run_at = over.ended && job.run_at != job.created_at;
    let mut flags = flags_of(spec) | flag::SETTLED | flag::PROCESSED;
    if keeps_run_at {
        flags |= flag::RUN_AT;
    }
    if over.result.is_some() {
        flags |= flag::RESULT;
    }
    if job.is_parent {
        flags |= flag::FAMILY;
    }
    put_u48(out, job.created_at);
    let lengths = put_head(out, spec, flags, spec.priority, job.token.run, job.stalls);
    put_nonce(out, job.token.worker, job.token.take);
    put_body(out, spec, lengths);
    put_u16(out, narrow(over.attempts_made));
    if keeps_run_at {
        put_u48(out, job.run_at);
    }
    put_u48(out, job.started);
    if let Some(result) = over.result {
        put_u32(out, result.len() as u32);
        out.extend_from_slice(result);
    }
    for error in over.errors {
        put_error(out, error.attempt, error.worker, error.started, &error.error);
        put_u48(out, error.ended);
    }
}

/// Appends a failed attempt but for the moment at which it ended, which the script stamps.
pub(super) fn put_error(
    out: &mut Vec<u8>,
    attempt: u32,
    worker: WorkerId,
    started: Millis,
    error: &JobError,
) {
    // Attempt, worker, start and kind before the message, its end after it.
    const AROUND: usize = 2 + 8 + 6 + 1 + 6;
    let message = cut_to(&error.message, usize::from(u16::MAX) - AROUND);
    put_u16(out, (message.len() + AROUND) as u16);
    put_u16(out, narrow(attempt));
    put_u64(out, worker.0);
    put_u48(out, started);
    out.push(error_kind_code(error.kind));
    out.extend_from_slice(message.as_bytes());
}

/// Text of at most `max` bytes, cut at a character's edge.
pub(super) fn cut_to(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn narrow(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn flags_of(spec: &Spec) -> u16 {
    let on = |set: bool, flag: u16| if set { flag } else { 0 };
    on(spec.lifo, flag::LIFO)
        | on(spec.group.is_some(), flag::GROUP)
        | on(spec.owner.is_some(), flag::OWNER)
        | on(spec.dedup.is_some(), flag::DEDUP)
        | on(spec.dedup.as_ref().is_some_and(|dedup| dedup.ttl_ms.is_some()), flag::KEY_TTL)
        | on(spec.parent.is_some(), flag::PARENT)
        | on(is_big(spec), flag::BIG)
}

/// Appends the head from its flags on. Returns where the lengths are to be put.
fn put_head(out: &mut Vec<u8>, spec: &Spec, flags: u16, priority: u32, run: u32, stalls: u32) -> usize {
    put_u16(out, flags);
    put_u24(out, priority);
    put_u32(out, run);
    put_u16(out, narrow(stalls));
    put_u32(out, timeout_secs(spec));
    let lengths = out.len();
    out.extend_from_slice(&[0; 5]);
    lengths
}

/// Appends spec and data, and puts their lengths into the head.
fn put_body(out: &mut Vec<u8>, spec: &Spec, lengths: usize) {
    let from = out.len();
    put_spec(out, spec);
    let spec_len = (out.len() - from) as u32;
    let data: &[u8] = if is_big(spec) { &[] } else { &spec.data };
    out.extend_from_slice(data);
    out[lengths..lengths + 3].copy_from_slice(&spec_len.to_be_bytes()[1..]);
    out[lengths + 3..lengths + 5].copy_from_slice(&(data.len() as u16).to_be_bytes());
}

fn put_spec(out: &mut Vec<u8>, spec: &Spec) {
    if let Some(group) = &spec.group {
        put_text(out, group.as_bytes());
    }
    if let Some(owner) = &spec.owner {
        put_u64(out, owner.hash64());
        put_text(out, owner.tenant.as_bytes());
        put_text(out, owner.user.as_bytes());
    }
    if let Some(dedup) = &spec.dedup {
        put_text(out, dedup.key.as_bytes());
        put_u48(out, dedup.ttl_ms.map_or(0, |ttl| ttl.max(1)));
        out.push(u8::from(dedup.fingerprint.is_some()));
        put_u64(out, dedup.fingerprint.unwrap_or(0));
    }
    if let Some(parent) = &spec.parent {
        put_text(out, parent.queue.as_str().as_bytes());
        put_text(out, parent.id.as_bytes());
        out.push(child_failure_code(parent.on_failure));
    }
    let mut w = Writer(out);
    w.str(&spec.name);
    w.u32(spec.attempts);
    let on = |set: bool, bit: u8| if set { bit } else { 0 };
    w.u8(on(spec.timeout_ms.is_some(), bit::TIMEOUT)
        | on(spec.backoff.is_some(), bit::BACKOFF)
        | on(!spec.tags.is_empty(), bit::TAGS)
        | on(spec.traceparent.is_some(), bit::TRACE)
        | on(spec.schedule.is_some(), bit::SCHEDULE));
    if let Some(timeout_ms) = spec.timeout_ms {
        w.u64(timeout_ms);
    }
    if let Some(backoff) = &spec.backoff {
        encode_backoff(&mut w, backoff);
    }
    if !spec.tags.is_empty() {
        w.u64(spec.tags.len() as u64);
        spec.tags.iter().for_each(|tag| w.str(tag));
    }
    if let Some(traceparent) = &spec.traceparent {
        w.str(traceparent);
    }
    if let Some(slot) = &spec.schedule {
        encode_slot(&mut w, slot);
    }
}

// ---------------------------------------------------------------------- reading

/// A record that was read, as it stands: without what an active entry adds to it.
#[derive(Debug)]
pub(super) struct Record {
    /// What was asked for.
    pub spec: Spec,
    /// How the job stood when nobody ran it. Progress and log lines are kept elsewhere.
    pub status: Status,
    /// It is the parent of a flow.
    pub is_parent: bool,
}

impl Record {
    /// Reads a record. `big` is the payload kept beside it, if one is.
    pub fn decode(id: JobId, bytes: Vec<u8>, big: Option<Vec<u8>>) -> Result<Self, Damaged> {
        // Payload and result are parts of the record's own memory, not copies of it.
        let whole = Bytes::from(bytes);
        let mut u = Unpack::new(&whole);
        let version = u.u8()?;
        if version != VERSION {
            return Err(Damaged::Format(version));
        }
        // An active job is one that has an entry; no record says so.
        let state = JobState::from_code(u.u8()?).filter(|state| *state != JobState::Active);
        let state = state.ok_or(Damaged::Bad("state"))?;
        let _generation = u.u32()?;
        let (at, created_at) = (u.moment()?, u.u48()?);
        let flags = u.u16()?;
        let has = |flag: u16| flags & flag != 0;
        let (priority, run, stalls) = (u.u24()?, u.u32()?, u32::from(u.u16()?));
        let _timeout_secs = u.u32()?;
        let (spec_len, data_len) = (u.u24()? as usize, usize::from(u.u16()?));
        let mut settled_by = has(flag::SETTLED)
            .then(|| Ok::<_, Damaged>(Token { run, worker: WorkerId(u.u64()?), take: u.u48()? }))
            .transpose()?;
        let spec_bytes = u.take(spec_len)?;
        let data_at = u.position();
        u.take(data_len)?;
        let data = match big {
            Some(big) if has(flag::BIG) => Bytes::from(big),
            None if has(flag::BIG) => return Err(Damaged::Bad("payload: it is not where it should be")),
            _ => whole.slice(data_at..data_at + data_len),
        };
        let spec = read_spec(id, spec_bytes, &has, priority, data)?;
        let attempts_made = u32::from(u.u16()?);
        if has(flag::SETTLED_RUN) {
            let run = u.u32()?;
            settled_by = settled_by.map(|token| Token { run, ..token });
        }
        let former = has(flag::RUN_AT).then(|| u.moment()).transpose()?;
        let processed_on = has(flag::PROCESSED).then(|| u.u48()).transpose()?;
        let result = if has(flag::RESULT) {
            let len = u.u32()? as usize;
            let from = u.position();
            u.take(len)?;
            Some(whole.slice(from..from + len))
        } else {
            None
        };
        let mut errors = Vec::new();
        while !u.is_at_end() {
            errors.push(read_error(&mut u)?);
        }
        let ended = state.is_terminal();
        let status = Status {
            state,
            created_at,
            run_at: if ended { former.unwrap_or(created_at) } else { at },
            attempts_made,
            stalls,
            run,
            processed_on,
            finished_on: ended.then_some(at),
            progress: None,
            result,
            errors,
            log_lines: 0,
            settled_by,
        };
        Ok(Self { spec, status, is_parent: has(flag::FAMILY) })
    }

    /// The job in the hands of who has just taken it.
    pub fn taken(self, worker: WorkerId, take: u64, started: Millis) -> Taken {
        let status = self.status;
        Taken {
            token: Token { run: status.run.wrapping_add(1), worker, take },
            attempt: status.attempts_made + 1,
            stalls: status.stalls,
            created_at: status.created_at,
            run_at: status.run_at,
            started,
            errors: status.errors,
            is_parent: self.is_parent,
            spec: Arc::new(self.spec),
        }
    }
}

/// All that is kept of a job, in as many places.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub record: Vec<u8>,
    pub active: Option<Vec<u8>>,
    pub big: Option<Vec<u8>>,
    pub progress: Option<Vec<u8>>,
    /// Log lines in all, of the run under way, and that run.
    pub lines: Option<Vec<u8>>,
    pub children_pending: u32,
}

impl Kept {
    /// The job as anybody may read it.
    pub fn view(self, queue: &QueueName, id: JobId) -> Result<JobView, Damaged> {
        let Record { spec, mut status, .. } = Record::decode(id, self.record, self.big)?;
        if let Some(progress) = &self.progress {
            status.progress = Some(Arc::new(read_progress(progress)?));
        }
        if let Some(lines) = &self.lines {
            status.log_lines = Unpack::new(lines).u32()?;
        }
        let mut active = None;
        if let Some(entry) = &self.active {
            let entry = Active::decode(entry)?;
            let run = entry.run(status.run.wrapping_add(1));
            status.state = JobState::Active;
            status.run = run.token.run;
            status.attempts_made += 1;
            status.processed_on = Some(entry.started);
            active = Some(run);
        }
        Ok(JobView {
            queue: queue.clone(),
            spec: Arc::new(spec),
            status,
            active,
            children_pending: self.children_pending,
        })
    }
}

fn read_spec(
    id: JobId,
    bytes: &[u8],
    has: &impl Fn(u16) -> bool,
    priority: u32,
    data: Bytes,
) -> Result<Spec, Damaged> {
    let mut u = Unpack::new(bytes);
    let group = has(flag::GROUP).then(|| u.text().map(Arc::from)).transpose()?;
    let owner = if has(flag::OWNER) {
        let _hash = u.u64()?;
        Some(Arc::new(Owner { tenant: u.text()?.to_owned(), user: u.text()?.to_owned() }))
    } else {
        None
    };
    let dedup = if has(flag::DEDUP) {
        let key = u.text()?.into();
        let ttl_ms = Some(u.u48()?).filter(|ttl| *ttl > 0);
        let (has_fingerprint, fingerprint) = (u.u8()? != 0, u.u64()?);
        Some(Arc::new(Dedup { key, ttl_ms, fingerprint: has_fingerprint.then_some(fingerprint) }))
    } else {
        None
    };
    let parent = if has(flag::PARENT) {
        let queue = QueueName::new(u.text()?).map_err(|_| Damaged::Bad("queue name"))?;
        let id = JobId::new(u.text()?).map_err(|_| Damaged::Bad("job id"))?;
        Some(Arc::new(Parent { queue, id, on_failure: child_failure(u.u8()?)? }))
    } else {
        None
    };
    let mut r = Reader::new(u.rest());
    let name = r.str()?.into();
    let attempts = r.u32()?;
    let bits = r.u8()?;
    let timeout_ms = (bits & bit::TIMEOUT != 0).then(|| r.u64()).transpose()?;
    let backoff = (bits & bit::BACKOFF != 0).then(|| decode_backoff(&mut r)).transpose()?.map(Arc::new);
    let tags = if bits & bit::TAGS != 0 {
        (0..r.u64()?).map(|_| r.str().map(Arc::from)).collect::<Result<_, _>>()?
    } else {
        no_tags()
    };
    let traceparent = (bits & bit::TRACE != 0).then(|| r.str().map(Arc::from)).transpose()?;
    let schedule = (bits & bit::SCHEDULE != 0).then(|| decode_slot(&mut r)).transpose()?.map(Arc::new);
    if !r.is_at_end() {
        return Err(Damaged::Bad("end of the spec"));
    }
    let lifo = has(flag::LIFO);
    Ok(Spec {
        id,
        name,
        data,
        priority,
        attempts,
        lifo,
        timeout_ms,
        backoff,
        group,
        owner,
        tags,
        dedup,
        parent,
        traceparent,
        schedule,
    })
}

fn read_error(u: &mut Unpack<'_>) -> Result<Attempt, Damaged> {
    let len = usize::from(u.u16()?);
    let mut error = Unpack::new(u.take(len)?);
    let attempt = u32::from(error.u16()?);
    let (worker, started) = (WorkerId(error.u64()?), error.u48()?);
    let kind: ErrorKind = error_kind(error.u8()?)?;
    let rest = error.rest();
    let at = rest.len().checked_sub(6).ok_or(Damaged::Short)?;
    let (message, ended) = rest.split_at(at);
    // A message that a script has cut may end within a character.
    let message = String::from_utf8_lossy(message).into_owned();
    let ended = Unpack::new(ended).u48()?;
    Ok(Attempt { attempt, worker, started, ended, error: JobError { kind, message } })
}

/// Appends a progress report: percent, has message u8, message, has data u8, data to the end.
pub(super) fn put_progress(out: &mut Vec<u8>, progress: &Progress, message_max: usize) {
    out.push(progress.percent.min(100));
    let message = progress.message.as_deref();
    out.push(u8::from(message.is_some()));
    put_text(out, cut_to(message.unwrap_or_default(), message_max.min(usize::from(u16::MAX))).as_bytes());
    out.push(u8::from(progress.data.is_some()));
    out.extend_from_slice(progress.data.as_deref().unwrap_or_default());
}

fn read_progress(bytes: &[u8]) -> Result<Progress, Damaged> {
    let mut u = Unpack::new(bytes);
    let percent = u.u8()?;
    let has_message = u.u8()? != 0;
    let message = u.text()?;
    let message = has_message.then(|| message.to_owned());
    let data = (u.u8()? != 0).then(|| Bytes::copy_from_slice(u.rest()));
    Ok(Progress { percent, message, data })
}

#[cfg(test)]
mod tests;
