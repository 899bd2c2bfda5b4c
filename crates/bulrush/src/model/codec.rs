//! The packed form of jobs, for stores that keep bytes: a few dozen bytes beside name, id and payload.
//!
//! A record is `version, state, flags, flags, name, numbers…, optional parts…, payload`. Numbers are LEB128; times are deltas from
//! the creation. The first two bytes stand at fixed places, so a script can read and change the state without parsing. Payloads are
//! copied byte for byte and never looked into. A reader refuses what it does not know; see [`DecodeError`].
//!
//! Version 2 is version 1 with the slot of a schedule at its end. Jobs of no schedule are written as version 1, which older readers know.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Attempt, Backoff, ChildFailure, Curve, Dedup, ErrorKind, Jitter, JobError, JobId, JobState, NewChild,
    NewJob, Owner, Parent, Progress, QueueName, ScheduleId, ScheduleSlot, Spec, Status, Token, When,
    WorkerId, no_tags,
};

/// Version of the record format, its first byte, of a job that no schedule has added.
const VERSION: u8 = 1;
/// Version of the record format of a schedule's job.
const VERSION_SCHEDULED: u8 = 2;

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the record does.
    #[error("the record ends early, at byte {0}")]
    Truncated(usize),
    /// Something stands where it cannot.
    #[error("the record is damaged: bad {0}")]
    Invalid(&'static str),
    /// It was written by a newer version.
    #[error(
        "the record has format {0}, this version reads formats up to {VERSION_SCHEDULED}; upgrade before you open this store"
    )]
    Version(u8),
}

/// Appends packed values to a buffer.
pub(crate) struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    pub fn u32(&mut self, value: u32) {
        self.u64(u64::from(value));
    }
    pub fn i64(&mut self, value: i64) {
        self.u64((value.wrapping_shl(1) ^ (value >> 63)) as u64);
    }
    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.0.extend_from_slice(value);
    }
    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
    pub fn opt<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
    pub fn token(&mut self, token: Token) {
        self.u32(token.run);
        self.0.extend_from_slice(&token.worker.0.to_be_bytes());
        self.u64(token.take);
    }
}

/// Takes packed values from a buffer.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(DecodeError::Truncated(self.bytes.len()))?;
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }
    /// What has not been read, which is then.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid("number"))
    }
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.u64()?).map_err(|_| DecodeError::Invalid("number"))
    }
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let value = self.u64()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.u64()?).map_err(|_| DecodeError::Invalid("length"))?;
        self.take(len)
    }
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Invalid("text"))
    }
    pub fn opt<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(DecodeError::Invalid("option")),
        }
    }
    pub fn token(&mut self) -> Result<Token, DecodeError> {
        let run = self.u32()?;
        let mut worker = [0; 8];
        worker.copy_from_slice(self.take(8)?);
        Ok(Token { run, worker: WorkerId(u64::from_be_bytes(worker)), take: self.u64()? })
    }
    pub fn job_id(&mut self) -> Result<JobId, DecodeError> {
        JobId::new(self.str()?).map_err(|_| DecodeError::Invalid("job id"))
    }
    pub fn schedule_id(&mut self) -> Result<ScheduleId, DecodeError> {
        ScheduleId::new(self.str()?).map_err(|_| DecodeError::Invalid("schedule id"))
    }
    pub fn queue(&mut self) -> Result<QueueName, DecodeError> {
        QueueName::new(self.str()?).map_err(|_| DecodeError::Invalid("queue name"))
    }
}

/// One bit of the flags that say which optional parts follow.
mod flag {
    pub const LIFO: u64 = 1;
    pub const TIMEOUT: u64 = 1 << 1;
    pub const BACKOFF: u64 = 1 << 2;
    pub const GROUP: u64 = 1 << 3;
    pub const OWNER: u64 = 1 << 4;
    pub const TAGS: u64 = 1 << 5;
    pub const DEDUP: u64 = 1 << 6;
    pub const PARENT: u64 = 1 << 7;
    pub const TRACE: u64 = 1 << 8;
    pub const PROCESSED: u64 = 1 << 9;
    pub const FINISHED: u64 = 1 << 10;
    pub const PROGRESS: u64 = 1 << 11;
    pub const RESULT: u64 = 1 << 12;
    pub const ERRORS: u64 = 1 << 13;
    pub const SETTLED: u64 = 1 << 14;
    pub const LOGS: u64 = 1 << 15;
}

/// Appends the record of a job, without id and payload.
pub(crate) fn encode_record(out: &mut Vec<u8>, spec: &Spec, status: &Status) {
    let bit = |set: bool, flag: u64| if set { flag } else { 0 };
    let flags = bit(spec.lifo, flag::LIFO)
        | bit(spec.timeout_ms.is_some(), flag::TIMEOUT)
        | bit(spec.backoff.is_some(), flag::BACKOFF)
        | bit(spec.group.is_some(), flag::GROUP)
        | bit(spec.owner.is_some(), flag::OWNER)
        | bit(!spec.tags.is_empty(), flag::TAGS)
        | bit(spec.dedup.is_some(), flag::DEDUP)
        | bit(spec.parent.is_some(), flag::PARENT)
        | bit(spec.traceparent.is_some(), flag::TRACE)
        | bit(status.processed_on.is_some(), flag::PROCESSED)
        | bit(status.finished_on.is_some(), flag::FINISHED)
        | bit(status.progress.is_some(), flag::PROGRESS)
        | bit(status.result.is_some(), flag::RESULT)
        | bit(!status.errors.is_empty(), flag::ERRORS)
        | bit(status.settled_by.is_some(), flag::SETTLED)
        | bit(status.log_lines > 0, flag::LOGS);
    let version = if spec.schedule.is_some() { VERSION_SCHEDULED } else { VERSION };
    out.extend_from_slice(&[version, status.state.code(), flags as u8, (flags >> 8) as u8]);
    let mut w = Writer(out);
    w.str(&spec.name);
    w.u32(spec.priority);
    w.u32(spec.attempts);
    w.u32(status.attempts_made);
    w.u32(status.stalls);
    w.u32(status.run);
    w.u64(status.created_at);
    let since_created = |at: u64| at.wrapping_sub(status.created_at) as i64;
    w.i64(since_created(status.run_at));
    if let Some(timeout_ms) = spec.timeout_ms {
        w.u64(timeout_ms);
    }
    if let Some(backoff) = &spec.backoff {
        encode_backoff(&mut w, backoff);
    }
    if let Some(group) = &spec.group {
        w.str(group);
    }
    if let Some(owner) = &spec.owner {
        w.str(&owner.tenant);
        w.str(&owner.user);
    }
    if !spec.tags.is_empty() {
        w.u64(spec.tags.len() as u64);
        spec.tags.iter().for_each(|tag| w.str(tag));
    }
    if let Some(dedup) = &spec.dedup {
        encode_dedup(&mut w, dedup);
    }
    if let Some(parent) = &spec.parent {
        w.str(parent.queue.as_str());
        w.bytes(parent.id.as_bytes());
        w.u8(child_failure_code(parent.on_failure));
    }
    if let Some(traceparent) = &spec.traceparent {
        w.str(traceparent);
    }
    if let Some(at) = status.processed_on {
        w.i64(since_created(at));
    }
    if let Some(at) = status.finished_on {
        w.i64(since_created(at));
    }
    if let Some(progress) = &status.progress {
        w.u8(progress.percent);
        w.opt(progress.message.as_deref(), Writer::str);
        w.opt(progress.data.as_deref(), Writer::bytes);
    }
    if let Some(result) = &status.result {
        w.bytes(result);
    }
    if !status.errors.is_empty() {
        w.u64(status.errors.len() as u64);
        for attempt in &status.errors {
            w.u32(attempt.attempt);
            w.u64(attempt.worker.0);
            w.i64(since_created(attempt.started));
            w.i64(since_created(attempt.ended));
            w.u8(error_kind_code(attempt.error.kind));
            w.str(&attempt.error.message);
        }
    }
    if let Some(token) = status.settled_by {
        w.token(token);
    }
    if status.log_lines > 0 {
        w.u32(status.log_lines);
    }
    if let Some(slot) = &spec.schedule {
        encode_slot(&mut w, slot);
    }
}

/// Reads what [`encode_record`] wrote; what follows it in the reader is left there.
pub(crate) fn decode_record(
    r: &mut Reader<'_>,
    id: JobId,
    data: Bytes,
) -> Result<(Spec, Status), DecodeError> {
    let version = r.u8()?;
    if !matches!(version, VERSION | VERSION_SCHEDULED) {
        return Err(DecodeError::Version(version));
    }
    let state = JobState::from_code(r.u8()?).ok_or(DecodeError::Invalid("state"))?;
    let flags = u64::from(r.u8()?) | (u64::from(r.u8()?) << 8);
    let has = |flag| flags & flag != 0;
    let name: Arc<str> = r.str()?.into();
    let priority = r.u32()?;
    let attempts = r.u32()?;
    let attempts_made = r.u32()?;
    let stalls = r.u32()?;
    let run = r.u32()?;
    let created_at = r.u64()?;
    let after_created = |delta: i64| created_at.wrapping_add(delta as u64);
    let run_at = after_created(r.i64()?);
    let timeout_ms = has(flag::TIMEOUT).then(|| r.u64()).transpose()?;
    let backoff = has(flag::BACKOFF).then(|| decode_backoff(r)).transpose()?.map(Arc::new);
    let group = has(flag::GROUP).then(|| r.str().map(Arc::from)).transpose()?;
    let owner = has(flag::OWNER)
        .then(|| Ok(Arc::new(Owner { tenant: r.str()?.to_owned(), user: r.str()?.to_owned() })))
        .transpose()?;
    let tags = if has(flag::TAGS) {
        (0..r.u64()?).map(|_| r.str().map(Arc::from)).collect::<Result<_, _>>()?
    } else {
        no_tags()
    };
    let dedup = has(flag::DEDUP).then(|| decode_dedup(r)).transpose()?.map(Arc::new);
    let parent = has(flag::PARENT)
        .then(|| {
            let (queue, id) = (r.queue()?, r.job_id()?);
            Ok(Arc::new(Parent { queue, id, on_failure: child_failure(r.u8()?)? }))
        })
        .transpose()?;
    let traceparent = has(flag::TRACE).then(|| r.str().map(Arc::from)).transpose()?;
    let processed_on = has(flag::PROCESSED).then(|| r.i64().map(after_created)).transpose()?;
    let finished_on = has(flag::FINISHED).then(|| r.i64().map(after_created)).transpose()?;
    let progress = has(flag::PROGRESS)
        .then(|| {
            Ok(Arc::new(Progress {
                percent: r.u8()?,
                message: r.opt(|r| r.str().map(str::to_owned))?,
                data: r.opt(|r| r.bytes().map(Bytes::copy_from_slice))?,
            }))
        })
        .transpose()?;
    let result = has(flag::RESULT).then(|| r.bytes().map(Bytes::copy_from_slice)).transpose()?;
    let mut errors = Vec::new();
    if has(flag::ERRORS) {
        for _ in 0..r.u64()? {
            errors.push(Attempt {
                attempt: r.u32()?,
                worker: WorkerId(r.u64()?),
                started: after_created(r.i64()?),
                ended: after_created(r.i64()?),
                error: JobError { kind: error_kind(r.u8()?)?, message: r.str()?.to_owned() },
            });
        }
    }
    let settled_by = has(flag::SETTLED).then(|| r.token()).transpose()?;
    let log_lines = if has(flag::LOGS) { r.u32()? } else { 0 };
    let schedule = (version == VERSION_SCHEDULED).then(|| decode_slot(r)).transpose()?.map(Arc::new);
    let lifo = has(flag::LIFO);
    let spec = Spec {
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
    };
    let status = Status {
        state,
        created_at,
        run_at,
        attempts_made,
        stalls,
        run,
        processed_on,
        finished_on,
        progress,
        result,
        errors,
        log_lines,
        settled_by,
    };
    Ok((spec, status))
}

/// Appends a job on its way in, with its whole tree.
pub(crate) fn encode_new_job(out: &mut Vec<u8>, job: &NewJob) {
    let status = Status {
        state: JobState::Waiting,
        created_at: 0,
        run_at: 0,
        attempts_made: 0,
        stalls: 0,
        run: 0,
        processed_on: None,
        finished_on: None,
        progress: None,
        result: None,
        errors: Vec::new(),
        log_lines: 0,
        settled_by: None,
    };
    let mut w = Writer(out);
    w.bytes(job.spec.id.as_bytes());
    w.bytes(&job.spec.data);
    encode_record(w.0, &job.spec, &status);
    w.u8(u8::from(job.default_priority));
    match job.when {
        When::Now => w.u8(0),
        When::After(ms) => {
            w.u8(1);
            w.u64(ms);
        }
        When::At(at) => {
            w.u8(2);
            w.u64(at);
        }
    }
    w.u64(job.children.len() as u64);
    for child in &job.children {
        let mut w = Writer(out);
        w.str(child.queue.as_str());
        w.u8(child_failure_code(child.on_failure));
        encode_new_job(out, &child.job);
    }
}

/// Reads what [`encode_new_job`] wrote.
pub(crate) fn decode_new_job(r: &mut Reader<'_>) -> Result<NewJob, DecodeError> {
    decode_new_job_at(r, 1)
}

fn decode_new_job_at(r: &mut Reader<'_>, level: usize) -> Result<NewJob, DecodeError> {
    if level > NewJob::FLOW_DEPTH_MAX {
        return Err(DecodeError::Invalid("flow depth"));
    }
    let id = r.job_id()?;
    let data = Bytes::copy_from_slice(r.bytes()?);
    let (spec, _) = decode_record(r, id, data)?;
    let default_priority = r.u8()? != 0;
    let when = match r.u8()? {
        0 => When::Now,
        1 => When::After(r.u64()?),
        2 => When::At(r.u64()?),
        _ => return Err(DecodeError::Invalid("time")),
    };
    let mut children = Vec::new();
    for _ in 0..r.u64()? {
        let queue = r.queue()?;
        let on_failure = child_failure(r.u8()?)?;
        children.push(NewChild { queue, on_failure, job: decode_new_job_at(r, level + 1)? });
    }
    Ok(NewJob { spec, default_priority, when, children })
}

pub(crate) fn encode_backoff(w: &mut Writer<'_>, backoff: &Backoff) {
    match &backoff.curve {
        Curve::Fixed { delay_ms } => {
            w.u8(0);
            w.u64(*delay_ms);
        }
        Curve::Exponential { base_ms, factor } => {
            w.u8(1);
            w.u64(*base_ms);
            w.0.extend_from_slice(&factor.to_bits().to_be_bytes());
        }
        Curve::Table { delays_ms } => {
            w.u8(2);
            w.u64(delays_ms.len() as u64);
            for delay in delays_ms {
                w.u64(*delay);
            }
        }
    }
    w.opt(backoff.cap_ms, Writer::u64);
    w.u8(match backoff.jitter {
        Jitter::None => 0,
        Jitter::Full => 1,
        Jitter::Equal => 2,
    });
}

pub(crate) fn decode_backoff(r: &mut Reader<'_>) -> Result<Backoff, DecodeError> {
    let curve = match r.u8()? {
        0 => Curve::Fixed { delay_ms: r.u64()? },
        1 => {
            let base_ms = r.u64()?;
            let mut bits = [0; 8];
            bits.copy_from_slice(r.take(8)?);
            Curve::Exponential { base_ms, factor: f64::from_bits(u64::from_be_bytes(bits)) }
        }
        2 => Curve::Table { delays_ms: (0..r.u64()?).map(|_| r.u64()).collect::<Result<_, _>>()? },
        _ => return Err(DecodeError::Invalid("back-off")),
    };
    let cap_ms = r.opt(Reader::u64)?;
    let jitter = match r.u8()? {
        0 => Jitter::None,
        1 => Jitter::Full,
        2 => Jitter::Equal,
        _ => return Err(DecodeError::Invalid("jitter")),
    };
    Ok(Backoff { curve, cap_ms, jitter })
}

fn encode_dedup(w: &mut Writer<'_>, dedup: &Dedup) {
    w.str(&dedup.key);
    w.opt(dedup.ttl_ms, Writer::u64);
    w.opt(dedup.fingerprint, Writer::u64);
}

fn decode_dedup(r: &mut Reader<'_>) -> Result<Dedup, DecodeError> {
    Ok(Dedup { key: r.str()?.into(), ttl_ms: r.opt(Reader::u64)?, fingerprint: r.opt(Reader::u64)? })
}

pub(crate) fn encode_slot(w: &mut Writer<'_>, slot: &ScheduleSlot) {
    w.str(slot.schedule.as_str());
    w.u64(slot.slot);
}

pub(crate) fn decode_slot(r: &mut Reader<'_>) -> Result<ScheduleSlot, DecodeError> {
    Ok(ScheduleSlot { schedule: r.schedule_id()?, slot: r.u64()? })
}

pub(crate) fn child_failure_code(policy: ChildFailure) -> u8 {
    match policy {
        ChildFailure::Fail => 0,
        ChildFailure::Ignore => 1,
        ChildFailure::Continue => 2,
    }
}

pub(crate) fn child_failure(code: u8) -> Result<ChildFailure, DecodeError> {
    [ChildFailure::Fail, ChildFailure::Ignore, ChildFailure::Continue]
        .get(usize::from(code))
        .copied()
        .ok_or(DecodeError::Invalid("child policy"))
}

const ERROR_KINDS: [ErrorKind; 6] = [
    ErrorKind::Retryable,
    ErrorKind::Unrecoverable,
    ErrorKind::Timeout,
    ErrorKind::Panic,
    ErrorKind::Crashed,
    ErrorKind::ChildFailed,
];

pub(crate) fn error_kind_code(kind: ErrorKind) -> u8 {
    ERROR_KINDS.iter().position(|k| *k == kind).unwrap_or_default() as u8
}

pub(crate) fn error_kind(code: u8) -> Result<ErrorKind, DecodeError> {
    ERROR_KINDS.get(usize::from(code)).copied().ok_or(DecodeError::Invalid("error kind"))
}

mod schedule;
pub(crate) use schedule::{ScheduleParts, decode_schedule, decode_schedule_state, encode_schedule_state};

#[cfg(test)]
mod tests;
