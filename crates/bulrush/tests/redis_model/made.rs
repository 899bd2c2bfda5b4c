//! Jobs, ends, commands and settings, made of the small numbers of a history.

use bulrush::model::{
    Backoff, Dedup, ErrorKind, GroupConfig, JobError, JobId, Keep, NewJob, Outcome, QueueConfig, RateLimit,
    Taken, When, WorkerId,
};
use bulrush::port::{AdminCommand, WorkerInfo};
use bytes::Bytes;

use crate::happening::{Ask, End, Order, Setting};
use crate::look::{Seen, tenant};
use crate::pair::{Pair, START};

pub fn id(text: &str) -> JobId {
    JobId::new(text).expect("the model uses good ids")
}

pub fn job_id(n: u8) -> JobId {
    id(&format!("j{n}"))
}

/// Bytes of every value, so that whatever takes some of them for its own is found out.
pub fn payload(size: usize, seed: usize) -> Bytes {
    (0..size).map(|n| (n * 7 + seed + n / 256) as u8).collect::<Vec<u8>>().into()
}

pub fn group(n: u8) -> String {
    // Names that a script or a key could take for something else.
    ["-", "+red", "blau\u{0}:{ü}", "g"][usize::from(n) % 4].to_owned()
}

pub fn info(worker: WorkerId) -> WorkerInfo {
    WorkerInfo { id: worker, name: "model \"1\"".into(), slots: 9, version: "1".into(), started: START }
}

/// A job as it is asked for; its id, and those of its children, are seen.
pub fn job(pair: &Pair, seen: &mut Seen, queue: usize, ask: &Ask) -> NewJob {
    seen.ids[queue].insert(job_id(ask.id));
    let mut job =
        NewJob::new(job_id(ask.id), "work \u{0}ü", payload(ask.size, ask.id.into())).attempts(ask.attempts);
    job.spec.lifo = ask.lifo;
    job.spec.timeout_ms = ask.timeout;
    job.when = when(pair, ask.when);
    if let Some(priority) = ask.priority {
        job = job.priority(priority);
    }
    if let Some(n) = ask.group {
        job = job.group(group(n));
    }
    if let Some((key, ttl_ms, fingerprint)) = ask.key {
        job = job.dedup_with(Dedup { key: format!("key{key}").into(), ttl_ms, fingerprint });
    }
    if let Some(owner) = ask.owner {
        job = job.owner(tenant(), format!("user{owner}"));
    }
    if ask.labels {
        job = job.tags(["urgent", "\u{1F980}:{}"]).traceparent("00-ab-cd-01");
        job = job.backoff(Backoff::exponential(100, 2.5).with_cap(9_000));
    }
    for (n, queue, policy, nested) in &ask.children {
        let target = pair.names[*queue].clone();
        let child_id = id(&format!("k{n}"));
        seen.ids[*queue].insert(child_id.clone());
        let mut child = NewJob::new(child_id, "child", payload(usize::from(*n) * 150, 3));
        if *nested {
            let leaf = id(&format!("l{n}"));
            seen.ids[queue ^ 1].insert(leaf.clone());
            let leaf = NewJob::new(leaf, "leaf", "{}").group(group(*n));
            child = child.child(pair.names[queue ^ 1].clone(), leaf, *policy);
        }
        job = job.child(target, child, *policy);
    }
    job
}

fn when(pair: &Pair, when: Option<(bool, u64)>) -> When {
    match when {
        None => When::Now,
        Some((true, ms)) => When::After(ms),
        // Some moments are past.
        Some((false, ms)) => When::At(pair.now() + ms - 2_000),
    }
}

/// What a worker reports of a run.
pub fn outcome(pair: &Pair, seen: &mut Seen, end: End, job: &Taken) -> Outcome {
    let error = |kind, message: &str| JobError { kind, message: message.into() };
    match end {
        End::Complete => Outcome::Complete { result: None, follow_ups: Vec::new() },
        End::CompleteWith(size) => {
            Outcome::Complete { result: Some(payload(size, job.attempt as usize)), follow_ups: Vec::new() }
        }
        End::CompleteAndFollow(n, queue) => {
            let follow = id(&format!("f{n}"));
            seen.ids[queue].insert(follow.clone());
            let follow_up = NewJob::new(follow, "follow", payload(usize::from(n) * 400, 9)).dedup("key0");
            Outcome::Complete {
                result: Some(Bytes::new()),
                follow_ups: vec![(pair.names[queue].clone(), follow_up)],
            }
        }
        End::Retry(after_ms) => {
            Outcome::Retry { after_ms, error: error(ErrorKind::Retryable, "again\u{0} \"ü\"") }
        }
        End::Fail => Outcome::Fail { error: error(ErrorKind::Unrecoverable, &"für immer ".repeat(500)) },
        End::Snooze(after_ms) => Outcome::Snooze { after_ms },
        End::RateLimited(retry_after_ms) => Outcome::RateLimited { retry_after_ms },
        End::Release => Outcome::Release,
        End::Cancelled => Outcome::Cancelled,
    }
}

/// What an administrator sends.
pub fn command(pair: &Pair, order: &Order) -> AdminCommand {
    let two = |a: &u8, b: &u8| vec![job_id(*a), id("nobody"), job_id(*b), id(&format!("k{b}"))];
    match order {
        Order::Pause => AdminCommand::Pause,
        Order::Unpause => AdminCommand::Unpause,
        Order::Cancel(a, b) => AdminCommand::Cancel(two(a, b)),
        Order::Remove(a, b) => AdminCommand::Remove(two(a, b)),
        Order::Retry(n, data) => {
            AdminCommand::Retry { ids: two(n, n), data: data.map(|size| payload(size, 5)) }
        }
        Order::RetryFailed(limit) => AdminCommand::RetryFailed { limit: *limit },
        Order::Promote(a, b) => AdminCommand::Promote(two(a, b)),
        Order::Reschedule(n, time) => AdminCommand::Reschedule { id: job_id(*n), when: when(pair, *time) },
        Order::SetPriority(n, priority) => AdminCommand::SetPriority { id: job_id(*n), priority: *priority },
        Order::SetData(n, size) => AdminCommand::SetData { id: job_id(*n), data: payload(*size, 11) },
        Order::Clean(state, older_ms, limit) => {
            AdminCommand::Clean { state: *state, older_ms: *older_ms, limit: *limit }
        }
        Order::Drain(delayed, limit) => AdminCommand::Drain { delayed: *delayed, limit: *limit },
        // In what order all are removed is nobody's promise, so it is done whole.
        Order::Obliterate(force) => AdminCommand::Obliterate { force: *force, limit: 1_000 },
    }
}

/// Changes one of a queue's settings.
pub fn change(config: &mut QueueConfig, setting: Setting) {
    match setting {
        Setting::Rate(rate) => config.rate = rate.map(|(max, per_ms)| RateLimit { max, per_ms }),
        Setting::Concurrency(cap) => config.concurrency = cap,
        Setting::GroupDefault(weight, concurrency) => {
            config.group_default = GroupConfig { weight, concurrency };
        }
        Setting::Group(n, weight, concurrency) => {
            config.groups.insert(group(n), GroupConfig { weight, concurrency });
        }
        Setting::DefaultPriority(priority) => config.default_priority = priority,
        Setting::Depth(depth) => config.depth_max = depth,
        Setting::Keep(which, age_ms, count) => {
            let keep = Keep { age_ms, count };
            match which {
                0 => config.retention.completed = keep,
                1 => config.retention.failed = keep,
                _ => config.retention.cancelled = keep,
            }
        }
        Setting::Stalls(max) => config.stalls_max = max,
        Setting::Lease(ms) => config.lease_ms = ms,
        Setting::Bounds(errors, data) => {
            config.bounds.errors = errors;
            config.bounds.data_bytes = data;
        }
        Setting::Events(on) => config.events_max = if on { 10_000 } else { 0 },
    }
}
