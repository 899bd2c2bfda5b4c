//! A job as clients see it: a fixed list of fields, none of a worker, a lease or the backend.

use bulrush::model::{JobState, JobView};
use bulrush_catalog::Queue;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::Flavor;
use crate::schedules;

/// A state in a response. The seeds' pollers stop at completed and failed only, so there a cancelled job is a failed one.
pub fn state_word(state: JobState, flavor: Flavor) -> &'static str {
    match (state, flavor) {
        (JobState::Cancelled, Flavor::Seed) => JobState::Failed.as_str(),
        _ => state.as_str(),
    }
}

/// A job in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary<'a> {
    id: &'a str,
    queue: &'a str,
    name: &'a str,
    status: &'static str,
    progress: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    attempts_made: u32,
    timestamp: u64,
    processed_on: Option<u64>,
    finished_on: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_reason: Option<&'a str>,
}

/// A job by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Detail<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    data: Payload,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Payload>,
    attempts: u32,
    priority: u32,
    run_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    tags: Vec<&'a str>,
    /// The schedule that has added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<OfSchedule>,
}

/// Which slot of which schedule a job is of.
#[derive(Debug, Serialize, JsonSchema)]
struct OfSchedule {
    id: String,
    /// RFC 3339; the moment at which it was asked for, if somebody ran the schedule by hand.
    slot: Option<String>,
}

/// Data or a result, byte for byte where nothing is hidden from it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Payload {
    AsStored(#[schemars(with = "Value")] Box<RawValue>),
    Changed(Value),
}

impl Payload {
    pub fn of(bytes: &Bytes, queue: Option<&Queue>) -> Self {
        let text = String::from_utf8_lossy(bytes);
        if let Some(queue) = queue.filter(|queue| queue.has_secrets()) {
            let mut value = serde_json::from_str(&text).unwrap_or(Value::Null);
            queue.hide_secrets(&mut value);
            return Self::Changed(value);
        }
        // The engine takes any bytes; what is no JSON is shown as a text.
        RawValue::from_string(text.to_string())
            .map_or_else(|_| Self::Changed(Value::from(text.into_owned())), Self::AsStored)
    }
}

/// A job in a list.
pub fn summary(job: &JobView, flavor: Flavor) -> Summary<'_> {
    let status = &job.status;
    let progress = status.progress.as_deref();
    let failed_reason = match status.state {
        JobState::Completed => None,
        JobState::Cancelled => Some("cancelled"),
        _ => job.failed_reason(),
    };
    Summary {
        id: job.id().as_str(),
        queue: job.queue.as_str(),
        name: &job.spec.name,
        status: state_word(status.state, flavor),
        progress: match (status.state, progress) {
            // A handler that reports nothing has still done all of it.
            (JobState::Completed, None) => 100,
            (_, progress) => progress.map_or(0, |progress| progress.percent),
        },
        message: progress.and_then(|progress| progress.message.as_deref()),
        attempts_made: status.attempts_made,
        timestamp: status.created_at,
        processed_on: status.processed_on,
        finished_on: status.finished_on,
        failed_reason,
    }
}

/// A job by itself.
pub fn detail<'a>(job: &'a JobView, queue: &Queue, flavor: Flavor) -> Detail<'a> {
    let spec = &job.spec;
    Detail {
        summary: summary(job, flavor),
        data: Payload::of(&spec.data, Some(queue)),
        result: job.status.result.as_ref().map(|result| Payload::of(result, None)),
        attempts: spec.attempts,
        priority: spec.priority,
        run_at: job.status.run_at,
        // The tenant in front is ours.
        group: spec.group.as_deref().map(|group| group.split_once('/').map_or(group, |(_, name)| name)),
        tags: spec.tags.iter().map(|tag| &**tag).collect(),
        schedule: spec.schedule.as_ref().map(|of| OfSchedule {
            id: schedules::id::write(queue, &of.schedule),
            slot: schedules::view::moment(of.slot),
        }),
    }
}
