//! GET `…/logs`, `…/children` and `…/events` of a job.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{Child, ChildState, Event, EventKind, JobId};
use bulrush_catalog::{PayloadProblems, Queue};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::lookup::{find_in, find_queue};
use crate::jobs::view::Payload;
use crate::state::{Deps, State};

/// Most of anything in one answer.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;
/// Events looked through for those of one job: as many as a queue keeps.
const EVENTS_MAX: usize = 10_000;

pub fn routes() -> Vec<Route> {
    let trail = |path, id, handler| {
        Route::new(Method::GET, path, Who::Reader, ("jobs", id), handler)
            .param(
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
                "Most of them in one answer.",
            )
            .fails(400, "invalid_query")
            .fails(404, "unknown_job")
            .fails(404, "unknown_queue")
            .fails(422, "invalid_queue_name")
            .fails(422, "invalid_fields")
    };
    let offset = || json!({"type": "integer", "minimum": 0, "maximum": 1_000_000_000, "default": 0});
    vec![
        trail("/queues/{queue}/jobs/{id}/logs", "getJobLogs", || web::get().to(logs))
            .says("What the job's handler has logged.")
            .param("offset", offset(), "The first line, counted from 0 since the job was added.")
            .answers::<Answer<Logs>>(200, "The lines that are kept."),
        trail("/queues/{queue}/jobs/{id}/children", "getJobChildren", || web::get().to(children))
            .says("The jobs that this one waits for or has waited for.")
            .param("offset", offset(), "The first child.")
            .answers::<Answer<Children>>(200, "The children as their parent knows them."),
        trail("/queues/{queue}/jobs/{id}/events", "getJobEvents", || web::get().to(events))
            .says("What has happened to the job, as far as its queue's window of events goes back.")
            .answers::<Answer<Events>>(200, "Events, oldest first."),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Answer<T> {
    success: bool,
    data: T,
}

#[derive(Serialize, JsonSchema)]
struct Logs {
    lines: Vec<Line>,
    /// Lines written so far, also those that are not kept any more.
    total: u32,
}

#[derive(Serialize, JsonSchema)]
struct Line {
    number: u32,
    text: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Children {
    children: Vec<ChildView>,
    /// Children that are still waited for.
    pending: u32,
}

#[derive(Serialize, JsonSchema)]
struct ChildView {
    id: String,
    queue: String,
    /// `pending`, `completed` or `failed`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Events {
    events: Vec<EventView>,
    /// Whether the window goes back to the job's beginning.
    complete: bool,
}

#[derive(Serialize, JsonSchema)]
struct EventView {
    /// ms since 1970.
    at: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
}

/// A job of the path, how many are asked for, and from where on.
struct Asked<'s> {
    queue: &'s Queue,
    job: bulrush::model::JobView,
    limit: usize,
    offset: usize,
}

async fn asked<'s>(
    state: &'s State,
    deps: &Deps,
    principal: &Principal,
    request: &HttpRequest,
    (name, id): (String, String),
) -> Result<Asked<'s>, Problem> {
    let query = Query::of(request)?;
    let mut problems = PayloadProblems::default();
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let offset = query.number("offset", (0, 1_000_000_000), 0, &mut problems);
    problems.into_result()?;
    let queue = find_queue(state, &name)?;
    let job = find_in(deps, principal, queue, &id).await?.ok_or_else(|| Problem::unknown_job(&id))?;
    Ok(Asked { queue, job, limit, offset })
}

fn answer<T: Serialize>(data: T) -> HttpResponse {
    HttpResponse::Ok().json(Answer { success: true, data })
}

async fn logs(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let Asked { queue, job, limit, offset } =
        asked(&state, deps, &principal, &request, path.into_inner()).await?;
    let lines = deps.inspect.logs(queue.name(), job.id(), offset as u32, limit).await?;
    let lines = lines.into_iter().map(|(number, text)| Line { number, text }).collect();
    Ok(answer(Logs { lines, total: job.status.log_lines }))
}

async fn children(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let Asked { queue, job, limit, offset } =
        asked(&state, deps, &principal, &request, path.into_inner()).await?;
    let children = deps.inspect.children(queue.name(), job.id(), offset, limit).await?;
    let children = children.into_iter().map(ChildView::of).collect();
    Ok(answer(Children { children, pending: job.children_pending }))
}

impl ChildView {
    fn of(child: Child) -> Self {
        let (status, result, reason) = match child.state {
            ChildState::Pending => ("pending", None, None),
            ChildState::Completed { result } => {
                ("completed", result.map(|result| Payload::of(&result, None)), None)
            }
            ChildState::Failed { reason } => ("failed", None, Some(reason)),
        };
        Self { id: child.id.to_string(), queue: child.queue.to_string(), status, result, reason }
    }
}

async fn events(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let Asked { queue, job, limit, .. } =
        asked(&state, deps, &principal, &request, path.into_inner()).await?;
    let events = of_job(deps, queue, job.id(), limit).await?;
    let complete = events.first().is_some_and(|event| event.kind == EventKind::Added);
    Ok(answer(Events { events: events.iter().map(EventView::of).collect(), complete }))
}

/// The last events of a job.
async fn of_job(deps: &Deps, queue: &Queue, id: &JobId, limit: usize) -> Result<Vec<Event>, Problem> {
    let last = deps.inspect.info(queue.name()).await?.last_event;
    let (mut found, mut after, mut looked_at) = (Vec::new(), 0, 0);
    while looked_at < EVENTS_MAX && after < last {
        let page = deps.inspect.events(queue.name(), after, LIMIT_MAX, std::time::Duration::ZERO).await?;
        if page.events.is_empty() {
            break;
        }
        looked_at += page.events.len();
        after = page.next;
        found.extend(page.events.into_iter().filter(|event| event.job.as_ref() == Some(id)));
    }
    let surplus = found.len().saturating_sub(limit);
    Ok(found.split_off(surplus))
}

impl EventView {
    fn of(event: &Event) -> Self {
        let progress = match event.kind {
            EventKind::Progress { percent } => Some(percent),
            _ => None,
        };
        Self { at: event.at, event: word(event.kind), progress }
    }
}

/// An event's name.
pub fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "added",
        EventKind::Waiting => "waiting",
        EventKind::Active => "active",
        EventKind::Progress { .. } => "progress",
        EventKind::Completed => "completed",
        EventKind::Failed => "failed",
        EventKind::Retrying => "retrying",
        EventKind::Delayed => "delayed",
        EventKind::Stalled => "stalled",
        EventKind::Cancelled => "cancelled",
        EventKind::Removed => "removed",
        EventKind::Paused => "paused",
        EventKind::Resumed => "resumed",
        EventKind::Cleaned { .. } => "cleaned",
        EventKind::Drained => "drained",
    }
}
