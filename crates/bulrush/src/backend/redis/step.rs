//! The call of a step, and its answer: the hot path.

use std::sync::Arc;

use bytes::Bytes;
use deadpool_redis::redis::{Cmd, RedisWrite};

use super::active::put_expected;
use super::extras::{Pack, Parts};
use super::outbox;
use super::packed::put_u64;
use super::record::{Over, Record, cut_to, put_error, put_over};
use super::reply::{Items, digits, put_ids, strange, unpack_ids, unreadable};
use super::settings::{Settings, bad_record};
use crate::model::{Finished, JobError, JobId, Millis, NewJob, Outcome, QueueName, Taken, WorkerId};
use crate::port::{Result, Settled, Step, StepReply};

/// Ids of one pack of finished jobs: its count is one byte.
const PACK_MAX: usize = 255;

/// How a run ended, as the script reads it.
struct End<'a> {
    /// `c` complete, `r` retry, `z` snooze, `h` release, `l` rate limited, `f` fail, `x` cancelled.
    code: u8,
    /// Tries that count.
    attempts_made: u32,
    result: Option<&'a Bytes>,
    error: Option<&'a JobError>,
    /// Until it runs again, or of the pause, ms.
    delay_ms: Option<u64>,
    follow_ups: &'a [(QueueName, NewJob)],
}

impl<'a> End<'a> {
    fn of(finished: &'a Finished) -> Self {
        let job = &finished.job;
        let base = Self {
            code: b'c',
            attempts_made: job.attempt,
            result: None,
            error: None,
            delay_ms: None,
            follow_ups: &[],
        };
        let uncounted = job.attempt.saturating_sub(1);
        match &finished.outcome {
            Outcome::Complete { result, follow_ups } => Self { result: result.as_ref(), follow_ups, ..base },
            // The last attempt's failure is final whatever the worker says.
            Outcome::Retry { error, .. } if job.attempt >= job.spec.attempts => {
                Self { code: b'f', error: Some(error), ..base }
            }
            Outcome::Retry { after_ms, error } => {
                Self { code: b'r', error: Some(error), delay_ms: Some(*after_ms), ..base }
            }
            Outcome::Fail { error } => Self { code: b'f', error: Some(error), ..base },
            Outcome::Snooze { after_ms } => {
                Self { code: b'z', attempts_made: uncounted, delay_ms: Some(*after_ms), ..base }
            }
            Outcome::RateLimited { retry_after_ms } => {
                Self { code: b'l', attempts_made: uncounted, delay_ms: Some(*retry_after_ms), ..base }
            }
            Outcome::Release => Self { code: b'h', attempts_made: uncounted, ..base },
            Outcome::Cancelled => Self { code: b'x', ..base },
        }
    }

    /// Whether nothing about the end of this job concerns anything but the job: then the script moves whole packs.
    fn is_plain(&self, job: &Taken) -> bool {
        let spec = &job.spec;
        self.code == b'c'
            && self.follow_ups.is_empty()
            && spec.parent.is_none()
            && spec.dedup.is_none()
            && spec.group.is_none()
    }

    fn has_ended(&self) -> bool {
        matches!(self.code, b'c' | b'f' | b'x')
    }
}

/// Appends the arguments of a step.
pub(super) fn put_args(cmd: &mut Cmd, settings: &Settings, step: &Step) {
    let finished = step.finished.as_slice();
    let worker = step.worker.0.to_be_bytes();
    cmd.write_arg_fmt(settings.version);
    cmd.write_arg(&worker);
    cmd.write_arg_fmt(digits(step.call));
    cmd.write_arg_fmt(step.want);
    cmd.write_arg_fmt(finished.len());
    let mut buffer = Vec::with_capacity(512);
    let plain = finished.iter().all(|finished| End::of(finished).is_plain(&finished.job));
    if !plain {
        buffer.extend(finished.iter().map(|finished| End::of(finished).code));
    }
    cmd.write_arg(&buffer);
    cmd.write_arg_fmt(finished.len().div_ceil(PACK_MAX));
    buffer.clear();
    if finished.iter().any(|finished| finished.job.spec.owner.is_some()) {
        for finished in finished {
            put_u64(&mut buffer, finished.job.spec.owner.as_ref().map_or(0, |owner| owner.hash64()));
        }
    }
    cmd.write_arg(&buffer);
    if plain {
        cmd.write_arg(b"");
    } else {
        cmd.write_arg(&extras(settings, finished));
    }
    put_entries(cmd, finished, &mut buffer);
    for pack in finished.chunks(PACK_MAX) {
        buffer.clear();
        put_ids(&mut buffer, pack.iter().map(Finished::id));
        cmd.write_arg(&buffer);
    }
    for finished in finished {
        let end = End::of(finished);
        buffer.clear();
        // Where an error is added to as many as are kept, the oldest goes.
        let kept = settings.errors_max() - usize::from(end.error.is_some());
        let over = Over {
            job: &finished.job,
            attempts_made: end.attempts_made,
            result: end.result,
            errors: &finished.job.errors[finished.job.errors.len().saturating_sub(kept)..],
            ended: end.has_ended(),
        };
        put_over(&mut buffer, &over);
        cmd.write_arg(&buffer);
    }
}

/// Appends the entries that the jobs should have in the active hash, each with how many jobs in a row have it. Jobs of one take have the
/// same one, so there are few.
fn put_entries(cmd: &mut Cmd, finished: &[Finished], buffer: &mut Vec<u8>) {
    let same = |a: &Finished, b: &Finished| {
        let (a, b) = (&*a.job, &*b.job);
        (a.token.worker, a.token.take, a.started) == (b.token.worker, b.token.take, b.started)
            && a.spec.timeout_ms == b.spec.timeout_ms
            && a.spec.group == b.spec.group
    };
    cmd.write_arg_fmt(finished.chunk_by(same).count());
    for row in finished.chunk_by(same) {
        buffer.clear();
        put_expected(buffer, &row[0].job);
        cmd.write_arg(buffer);
        cmd.write_arg_fmt(row.len());
    }
}

fn extras(settings: &Settings, finished: &[Finished]) -> Vec<u8> {
    let (mut delays, mut errors, mut moments, mut sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (before, finished) in finished.iter().enumerate() {
        let (place, end, job) = (before + 1, End::of(finished), &finished.job);
        if let Some(ms) = end.delay_ms {
            delays.push((place, ms));
        }
        if let Some(error) = end.error {
            errors.push((place, (job, error)));
        }
        if job.run_at != job.created_at && !matches!(end.code, b'c' | b'f') {
            moments.push((place, job.run_at));
        }
        if !end.follow_ups.is_empty() {
            sent.push((place, end.follow_ups));
        }
    }
    let mut parts = Parts::default();
    let mut packed = Vec::new();
    parts.by_place("d", &delays, |pack, ms| pack.number(*ms));
    parts.by_place("e", &errors, |pack, (job, error)| {
        let message = cut_to(&error.message, settings.message_max()).to_owned();
        let error = JobError { kind: error.kind, message };
        packed.clear();
        put_error(&mut packed, job.attempt, job.token.worker, job.started, &error);
        pack.text(&packed);
    });
    parts.by_place("a", &moments, |pack, at| pack.number(*at));
    parts.by_place("o", &sent, |pack, follow_ups| put_follow_ups(pack, follow_ups));
    parts.finish()
}

fn put_follow_ups(pack: &mut Pack<'_>, follow_ups: &[(QueueName, NewJob)]) {
    pack.array(follow_ups.len());
    let mut entry = Vec::new();
    for (target, job) in follow_ups {
        entry.clear();
        outbox::put_add(&mut entry, target, job);
        pack.text(&entry);
    }
}

/// Reads letters that say what became of each write; none at all is all well.
pub(super) fn read_settled(letters: &[u8], n: usize) -> Result<Vec<Settled>> {
    if letters.is_empty() {
        return Ok(vec![Settled::Ok; n]);
    }
    if letters.len() != n {
        return Err(strange("a letter for each job"));
    }
    let read = |letter: &u8| match letter {
        b'o' => Ok(Settled::Ok),
        b's' => Ok(Settled::Stale),
        b'u' => Ok(Settled::Unknown),
        _ => Err(strange("what became of a write")),
    };
    letters.iter().map(read).collect()
}

/// Who asked for what, to make an answer of a reply.
pub(super) struct Asked<'a> {
    pub queue: &'a QueueName,
    pub worker: WorkerId,
    pub call: u64,
    pub finished: usize,
}

/// Reads the answer to a step, `now` having been read.
pub(super) fn read_reply(asked: &Asked<'_>, now: Millis, mut items: Items) -> Result<StepReply> {
    let settled = read_settled(&items.bytes()?, asked.finished)?;
    let mut ids = Vec::new();
    let mut packs = items.items()?;
    while packs.len() > 0 {
        unpack_ids(&packs.bytes()?, &mut ids).map_err(unreadable("the ids of taken jobs"))?;
    }
    let records = items.items()?;
    let large = items.rows(|row| Ok((row.number()? as usize, row.bytes_or_none()?)))?;
    let next_due = items.moment()?;
    let limited_until = items.moment()?;
    let (paused, known) = (items.flag()?, items.flag()?);
    let outbox = outbox::entries(&mut items)?;
    let cancel = items.ids()?;
    // A repeated call tells when its jobs were taken; any other has just taken them.
    let started = if items.len() > 0 { items.moment()?.unwrap_or(now) } else { now };
    let taken = read_taken(asked, started, ids, records, large)?;
    Ok(StepReply { settled, taken, next_due, limited_until, paused, known, cancel, outbox, now })
}

fn read_taken(
    asked: &Asked<'_>,
    started: Millis,
    ids: Vec<JobId>,
    mut records: Items,
    large: Vec<(usize, Option<Vec<u8>>)>,
) -> Result<Vec<Arc<Taken>>> {
    if records.len() != ids.len() {
        return Err(strange("a record for each id"));
    }
    let mut large = large.into_iter().peekable();
    let mut taken = Vec::with_capacity(ids.len());
    for (before, id) in ids.into_iter().enumerate() {
        let big = large.next_if(|(place, _)| *place == before + 1).and_then(|(_, payload)| payload);
        let Some(record) = records.bytes_or_none()? else { continue };
        match Record::decode(id.clone(), record, big) {
            Ok(record) => taken.push(Arc::new(record.taken(asked.worker, asked.call, started))),
            Err(damaged) => {
                // It must not keep the others of its call: it stays with this worker until that says hello anew.
                let error = bad_record(asked.queue, id.as_str())(damaged);
                tracing::error!(queue = %asked.queue, job = %id, %error, "a job was taken that cannot be run");
            }
        }
    }
    Ok(taken)
}
