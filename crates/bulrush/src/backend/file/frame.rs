//! Facts as bytes. A frame holds what one command changed in one queue: its length, the queue's name, then facts to the end. A
//! frame is applied whole or not at all, for its block is.
//!
//! The codes below are the format; a new kind of fact gets a new code, and whoever does not know it refuses the store.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::core::{Core, ExportCursor, Fact, FactSink, Held, Meta, Restore, Running};
use crate::model::codec::{
    DecodeError, Reader, ScheduleParts, Writer, child_failure, child_failure_code, decode_new_job,
    decode_record, decode_schedule, decode_schedule_state, encode_new_job, encode_record,
    encode_schedule_state,
};
use crate::model::{Child, ChildState, Histogram, QueueName, Rollup};
use crate::port::{Delivery, OutboxEntry, Totals};

mod code {
    pub const JOB: u8 = 1;
    pub const DATA: u8 = 2;
    pub const GONE: u8 = 3;
    pub const CHILD: u8 = 4;
    pub const LOG: u8 = 5;
    pub const DEDUP: u8 = 6;
    pub const OUTBOX: u8 = 7;
    pub const MEMBER: u8 = 8;
    pub const RATE: u8 = 9;
    pub const ROLLUP: u8 = 10;
    pub const CONFIG: u8 = 11;
    pub const META: u8 = 12;
    pub const SCHEDULE: u8 = 13;
    pub const SCHEDULE_STATE: u8 = 14;
    pub const DEFAULT_SCHEDULE: u8 = 15;
}

/// Bytes of a frame's length.
const LEN: usize = 8;
/// An exported slice ends at this size, bytes: the queue is locked while it is copied.
const SLICE_BYTES: usize = 1 << 20;
/// An exported slice ends at so many things, for the same reason. In tests it ends soon, so that much happens between two.
const SLICE_ITEMS: usize = if cfg!(test) { 7 } else { 500 };

/// Appends what a queue's last commands changed. Says whether that was anything.
pub(super) fn encode_changes(out: &mut Vec<u8>, core: &mut Core) -> bool {
    let start = open_frame(out, core.queue());
    let mut encoder = Encoder { out, told: false, full_at: usize::MAX };
    core.drain_changes(&mut encoder);
    let told = encoder.told;
    if told {
        close_frame(out, start);
    } else {
        out.truncate(start);
    }
    told
}

/// Appends a slice of everything that a queue holds. Returns where the next slice starts.
pub(super) fn encode_slice(out: &mut Vec<u8>, core: &Core, from: &ExportCursor) -> Option<ExportCursor> {
    let start = open_frame(out, core.queue());
    let full_at = out.len() + SLICE_BYTES;
    let next = core.export(from, SLICE_ITEMS, &mut Encoder { out, told: false, full_at });
    close_frame(out, start);
    next
}

fn open_frame(out: &mut Vec<u8>, queue: &QueueName) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; LEN]);
    Writer(out).str(queue.as_str());
    start
}

fn close_frame(out: &mut [u8], start: usize) {
    let len = (out.len() - start - LEN) as u64;
    out[start..start + LEN].copy_from_slice(&len.to_le_bytes());
}

/// Takes a payload apart, frame by frame, and collects each queue's facts.
pub(super) fn decode_frames(
    mut payload: &[u8],
    restores: &mut BTreeMap<QueueName, Restore>,
) -> Result<(), DecodeError> {
    while !payload.is_empty() {
        let (len, rest) = payload.split_first_chunk::<LEN>().ok_or(DecodeError::Truncated(payload.len()))?;
        let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (frame, rest) = rest.split_at_checked(len).ok_or(DecodeError::Truncated(payload.len()))?;
        payload = rest;
        let mut r = Reader::new(frame);
        let restore = restores.entry(r.queue()?).or_default();
        while !r.is_at_end() {
            decode_fact(&mut r, restore)?;
        }
    }
    Ok(())
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    told: bool,
    full_at: usize,
}

impl FactSink for Encoder<'_> {
    fn keep(&mut self, fact: Fact<'_>) {
        self.told = true;
        encode_fact(self.out, &fact);
    }

    fn is_full(&self) -> bool {
        self.out.len() >= self.full_at
    }
}

fn encode_fact(out: &mut Vec<u8>, fact: &Fact<'_>) {
    let mut w = Writer(out);
    match fact {
        Fact::Job { serial, order, active, logs, spec, status } => {
            w.u8(code::JOB);
            w.u64(*serial);
            w.i64(*order);
            w.opt(*active, |w, run| {
                w.token(run.token);
                w.u64(run.started);
                w.opt(run.deadline, Writer::u64);
                w.u8(u8::from(run.cancel));
                w.u32(run.lines);
            });
            w.u32(*logs);
            w.bytes(spec.id.as_bytes());
            encode_record(out, spec, status);
        }
        Fact::Data { serial, data } => {
            w.u8(code::DATA);
            w.u64(*serial);
            w.bytes(data);
        }
        Fact::Gone { serial } => {
            w.u8(code::GONE);
            w.u64(*serial);
        }
        Fact::Child { serial, position, child, on_failure } => {
            w.u8(code::CHILD);
            w.u64(*serial);
            w.u64(*position as u64);
            w.str(child.queue.as_str());
            w.bytes(child.id.as_bytes());
            encode_child_state(&mut w, &child.state);
            w.u8(child_failure_code(*on_failure));
        }
        Fact::Log { serial, number, line } => {
            w.u8(code::LOG);
            w.u64(*serial);
            w.u32(*number);
            w.str(line);
        }
        Fact::Dedup { key, held } => {
            w.u8(code::DEDUP);
            w.str(key);
            w.opt(*held, |w, held| {
                w.bytes(held.id.as_bytes());
                w.opt(held.fingerprint, Writer::u64);
                w.opt(held.until, Writer::u64);
            });
        }
        Fact::Outbox { seq, entry } => {
            w.u8(code::OUTBOX);
            w.u64(*seq);
            w.opt(*entry, |w, entry| {
                w.u64(entry.at);
                w.str(entry.target.as_str());
                encode_delivery(w, &entry.delivery);
            });
        }
        Fact::Member { name, limited_until, ticket } => {
            w.u8(code::MEMBER);
            w.opt(name.map(|name| &**name), Writer::str);
            w.u64(*limited_until);
            w.opt(*ticket, Writer::u64);
        }
        Fact::Rate { at, starts } => {
            w.u8(code::RATE);
            w.u64(*at);
            w.u32(*starts);
        }
        Fact::Rollup { hourly, rollup } => {
            w.u8(code::ROLLUP);
            w.u8(u8::from(*hourly));
            w.u64(rollup.at);
            for n in [rollup.completed, rollup.failed, rollup.retried, rollup.cancelled] {
                w.u64(n);
            }
            encode_histogram(&mut w, &rollup.wait);
            encode_histogram(&mut w, &rollup.run);
        }
        Fact::Schedule { id, spec } => {
            w.u8(code::SCHEDULE);
            w.str(id.as_str());
            w.opt(*spec, |w, spec| {
                let parts = ScheduleParts::of(spec);
                w.bytes(&parts.timing);
                w.bytes(&parts.rest);
            });
        }
        Fact::ScheduleState { id, enabled, state } => {
            w.u8(code::SCHEDULE_STATE);
            w.str(id.as_str());
            encode_schedule_state(&mut w, *enabled, state);
        }
        Fact::DefaultSchedule { id, known } => {
            w.u8(code::DEFAULT_SCHEDULE);
            w.str(id.as_str());
            w.u8(u8::from(*known));
        }
        Fact::Config(config) => {
            w.u8(code::CONFIG);
            // Settings are few and rarely change, so they are kept in the form that grows best. They are plain numbers and names,
            // which JSON can always say.
            w.bytes(&serde_json::to_vec(config).unwrap_or_default());
        }
        Fact::Meta(meta) => {
            w.u8(code::META);
            encode_meta(&mut w, meta);
        }
    }
}

fn decode_fact(r: &mut Reader<'_>, restore: &mut Restore) -> Result<(), DecodeError> {
    match r.u8()? {
        code::JOB => {
            let (serial, order) = (r.u64()?, r.i64()?);
            let active = r.opt(|r| {
                Ok(Running {
                    token: r.token()?,
                    started: r.u64()?,
                    deadline: r.opt(Reader::u64)?,
                    cancel: r.u8()? != 0,
                    lines: r.u32()?,
                })
            })?;
            let logs = r.u32()?;
            let id = r.job_id()?;
            let (spec, status) = decode_record(r, id, Bytes::new())?;
            restore.job(serial, order, active, logs, spec, status);
        }
        code::DATA => restore.data(r.u64()?, Bytes::copy_from_slice(r.bytes()?)),
        code::GONE => restore.gone(r.u64()?),
        code::CHILD => {
            let (serial, position) = (r.u64()?, r.u64()? as usize);
            let child = Child { queue: r.queue()?, id: r.job_id()?, state: decode_child_state(r)? };
            restore.child(serial, position, child, child_failure(r.u8()?)?);
        }
        code::LOG => restore.log(r.u64()?, r.u32()?, r.str()?),
        code::DEDUP => {
            let key = r.str()?;
            let held = r.opt(|r| Ok(Held::new(r.job_id()?, r.opt(Reader::u64)?, r.opt(Reader::u64)?)))?;
            restore.dedup(key, held);
        }
        code::OUTBOX => {
            let seq = r.u64()?;
            let entry = r.opt(|r| {
                Ok(OutboxEntry { seq, at: r.u64()?, target: r.queue()?, delivery: decode_delivery(r)? })
            })?;
            restore.outbox(seq, entry);
        }
        code::MEMBER => {
            let name = r.opt(Reader::str)?;
            restore.member(name, r.u64()?, r.opt(Reader::u64)?);
        }
        code::RATE => restore.rate(r.u64()?, r.u32()?),
        code::ROLLUP => {
            let hourly = r.u8()? != 0;
            let rollup = Rollup {
                at: r.u64()?,
                completed: r.u64()?,
                failed: r.u64()?,
                retried: r.u64()?,
                cancelled: r.u64()?,
                wait: decode_histogram(r)?,
                run: decode_histogram(r)?,
            };
            restore.rollup(hourly, rollup);
        }
        code::SCHEDULE => {
            let id = r.schedule_id()?;
            // Whether it is enabled is told with its state.
            let spec = r.opt(|r| decode_schedule(id.clone(), r.bytes()?, r.bytes()?, true))?;
            restore.schedule(&id, spec);
        }
        code::SCHEDULE_STATE => {
            let id = r.schedule_id()?;
            let (enabled, state) = decode_schedule_state(r)?;
            restore.schedule_state(&id, enabled, state);
        }
        code::DEFAULT_SCHEDULE => restore.default_schedule(&r.schedule_id()?, r.u8()? != 0),
        code::CONFIG => {
            let config = serde_json::from_slice(r.bytes()?).map_err(|_| DecodeError::Invalid("settings"))?;
            restore.config(config);
        }
        code::META => restore.meta(decode_meta(r)?),
        _ => return Err(DecodeError::Invalid("kind of fact")),
    }
    Ok(())
}

fn encode_child_state(w: &mut Writer<'_>, state: &ChildState) {
    match state {
        ChildState::Pending => w.u8(0),
        ChildState::Completed { result } => {
            w.u8(1);
            w.opt(result.as_deref(), Writer::bytes);
        }
        ChildState::Failed { reason } => {
            w.u8(2);
            w.str(reason);
        }
    }
}

fn decode_child_state(r: &mut Reader<'_>) -> Result<ChildState, DecodeError> {
    Ok(match r.u8()? {
        0 => ChildState::Pending,
        1 => ChildState::Completed { result: r.opt(|r| r.bytes().map(Bytes::copy_from_slice))? },
        2 => ChildState::Failed { reason: r.str()?.to_owned() },
        _ => return Err(DecodeError::Invalid("child")),
    })
}

fn encode_delivery(w: &mut Writer<'_>, delivery: &Delivery) {
    match delivery {
        Delivery::Add(job) => {
            w.u8(0);
            encode_new_job(w.0, job);
        }
        Delivery::ChildSettled { parent, child, state } => {
            w.u8(1);
            w.bytes(parent.as_bytes());
            w.bytes(child.as_bytes());
            encode_child_state(w, state);
        }
        Delivery::CancelChild { child, parent } => {
            w.u8(2);
            w.bytes(child.as_bytes());
            w.bytes(parent.as_bytes());
        }
    }
}

fn decode_delivery(r: &mut Reader<'_>) -> Result<Delivery, DecodeError> {
    Ok(match r.u8()? {
        0 => Delivery::Add(Box::new(decode_new_job(r)?)),
        1 => {
            Delivery::ChildSettled { parent: r.job_id()?, child: r.job_id()?, state: decode_child_state(r)? }
        }
        2 => Delivery::CancelChild { child: r.job_id()?, parent: r.job_id()? },
        _ => return Err(DecodeError::Invalid("delivery")),
    })
}

fn encode_histogram(w: &mut Writer<'_>, histogram: &Histogram) {
    // The number of buckets goes along: a version with other bounds must notice.
    w.u64(histogram.buckets.len() as u64);
    histogram.buckets.iter().for_each(|n| w.u64(*n));
    w.u64(histogram.sum_ms);
}

fn decode_histogram(r: &mut Reader<'_>) -> Result<Histogram, DecodeError> {
    let mut histogram = Histogram::default();
    if r.u64()? != histogram.buckets.len() as u64 {
        return Err(DecodeError::Invalid("histogram"));
    }
    for bucket in &mut histogram.buckets {
        *bucket = r.u64()?;
    }
    histogram.sum_ms = r.u64()?;
    Ok(histogram)
}

fn encode_meta(w: &mut Writer<'_>, meta: &Meta) {
    let Meta { now, paused, limited_until, next_outbox, next_ticket, turn, last_event, totals } = *meta;
    let Totals { added, completed, failed, retried, cancelled, stalled } = totals;
    w.u8(u8::from(paused));
    w.u32(turn.1);
    for n in [now, limited_until, next_outbox, next_ticket, turn.0, last_event] {
        w.u64(n);
    }
    for n in [added, completed, failed, retried, cancelled, stalled] {
        w.u64(n);
    }
}

fn decode_meta(r: &mut Reader<'_>) -> Result<Meta, DecodeError> {
    let paused = r.u8()? != 0;
    let left = r.u32()?;
    Ok(Meta {
        paused,
        now: r.u64()?,
        limited_until: r.u64()?,
        next_outbox: r.u64()?,
        next_ticket: r.u64()?,
        turn: (r.u64()?, left),
        last_event: r.u64()?,
        totals: Totals {
            added: r.u64()?,
            completed: r.u64()?,
            failed: r.u64()?,
            retried: r.u64()?,
            cancelled: r.u64()?,
            stalled: r.u64()?,
        },
    })
}
