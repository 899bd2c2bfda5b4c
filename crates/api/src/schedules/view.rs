//! A schedule as clients see it: what is asked for by the names under which it is put, and how it stands.

use actix_web::HttpResponse;
use actix_web::http::header;
use bulrush::model::{JobTemplate, Millis, Missed, Overlap, Recurrence, ScheduleView};
use bulrush_catalog::Queue;
use bulrush_catalog::schedules::name_of;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::id;
use crate::jobs::view::Payload;

#[derive(Serialize, JsonSchema)]
pub struct ScheduleAnswer {
    success: bool,
    schedule: Schedule,
}

#[derive(Serialize, JsonSchema)]
pub struct ScheduleList {
    pub success: bool,
    pub schedules: Vec<Schedule>,
    /// The id after which the next page begins; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A schedule. Moments are RFC 3339 in UTC.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    id: String,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    queue: String,
    job_name: String,
    data: Payload,
    options: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// The period, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    jitter: u64,
    missed: Value,
    overlap: &'static str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Belongs>,
    state: Standing,
}

/// To whom it and its jobs belong.
#[derive(Serialize, JsonSchema)]
struct Belongs {
    tenant: String,
    user: String,
}

/// How a schedule stands.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Standing {
    /// Grows with every change; also its ETag.
    revision: u64,
    /// The next slot; none while it is disabled, and once it is over.
    next: Option<String>,
    /// It will never fire again as it is.
    over: bool,
    /// Jobs added.
    fired: u64,
    /// Slots without a job, because the last one had not ended.
    skipped: u64,
    /// Slots that nobody had fired in time, and that were passed over; of a long gap a lower bound.
    missed: u64,
    last_slot: Option<String>,
    last_job: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// A moment, if it is one that can be written.
pub fn stamp(ms: Millis) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

pub fn moment(ms: Millis) -> Option<String> {
    stamp(ms).map(|at| at.to_string())
}

impl Schedule {
    pub fn of(queue: &Queue, view: &ScheduleView) -> Self {
        let (spec, state) = (&view.spec, &view.state);
        let owner = spec.owner.as_deref();
        let (mut cron, mut zone, mut every, mut anchor) = (None, None, None, None);
        match &spec.recurrence {
            Recurrence::Cron { expression, zone: place } => {
                cron = Some(expression.clone());
                zone = Some(place.clone());
            }
            Recurrence::Every { ms, anchor: at } => {
                every = Some(*ms);
                anchor = at.and_then(moment);
            }
        }
        Self {
            id: id::write(queue, view.id()),
            name: name_of(view.id(), owner).map(str::to_owned),
            queue: queue.name().to_string(),
            job_name: spec.job.name.to_string(),
            data: Payload::of(&spec.job.data, Some(queue)),
            options: options(&spec.job),
            cron,
            zone,
            every,
            anchor,
            start: spec.start.and_then(moment),
            end: spec.end.and_then(moment),
            limit: spec.limit,
            jitter: spec.jitter_ms,
            missed: match spec.missed {
                Missed::One => json!({"policy": "one"}),
                Missed::Skip { grace_ms } => json!({"policy": "skip", "grace": grace_ms}),
                Missed::All { max } => json!({"policy": "all", "max": max}),
            },
            overlap: match spec.overlap {
                Overlap::Allow => "allow",
                Overlap::Skip => "skip",
                Overlap::Replace => "replace",
            },
            enabled: spec.enabled,
            owner: owner.map(|owner| Belongs { tenant: owner.tenant.clone(), user: owner.user.clone() }),
            state: Standing {
                revision: state.revision,
                next: state.next.and_then(moment),
                over: view.is_over(),
                fired: state.fired,
                skipped: state.skipped,
                missed: state.missed,
                last_slot: state.last_slot.and_then(moment),
                last_job: state.last_job.as_ref().map(ToString::to_string),
                created_at: moment(state.created_at),
                updated_at: moment(state.updated_at),
            },
        }
    }
}

/// The options of its jobs, as they are put.
fn options(job: &JobTemplate) -> Value {
    let mut options = json!({"attempts": job.attempts});
    let mut put = |name: &str, value: Value| options[name] = value;
    if let Some(priority) = job.priority {
        put("priority", priority.into());
    }
    if let Some(ms) = job.timeout_ms {
        put("timeout", ms.into());
    }
    if let Some(backoff) = &job.backoff {
        put("backoff", view_of_backoff(backoff));
    }
    if let Some(group) = &job.group {
        // The tenant in front is ours.
        put("group", group.split_once('/').map_or(&**group, |(_, name)| name).into());
    }
    if !job.tags.is_empty() {
        put("tags", job.tags.iter().map(|tag| Value::from(&**tag)).collect());
    }
    if job.lifo {
        put("lifo", true.into());
    }
    options
}

fn view_of_backoff(backoff: &bulrush::model::Backoff) -> Value {
    use bulrush::model::{Curve, Jitter};
    let mut view = match &backoff.curve {
        Curve::Fixed { delay_ms } => json!({"type": "fixed", "delay": delay_ms}),
        Curve::Exponential { base_ms, factor } => {
            json!({"type": "exponential", "delay": base_ms, "factor": factor})
        }
        Curve::Table { delays_ms } => json!({"type": "table", "delays": delays_ms}),
    };
    if let Some(cap_ms) = backoff.cap_ms {
        view["cap"] = cap_ms.into();
    }
    match backoff.jitter {
        Jitter::None => {}
        Jitter::Full => view["jitter"] = "full".into(),
        Jitter::Equal => view["jitter"] = "equal".into(),
    }
    view
}

/// The schedule, its revision as its tag.
pub fn answer(
    mut response: actix_web::HttpResponseBuilder,
    queue: &Queue,
    view: &ScheduleView,
) -> HttpResponse {
    response.insert_header((header::ETAG, format!("\"{}\"", view.state.revision)));
    response.json(ScheduleAnswer { success: true, schedule: Schedule::of(queue, view) })
}
