//! GET `/queues/{queue}/jobs/{id}` and `/jobs/{id}`: how a job is, now or once it has ended.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{EventKind, JobView};
use bulrush_catalog::{PayloadProblems, Queue, parse_span_ms};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::etag::Tagged;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::lookup::{find_anywhere, find_in, find_queue};
use crate::jobs::view;
use crate::jobs::view::{Detail, detail};
use crate::state::{Deps, State};

/// Events read at once while waiting.
const EVENTS: usize = 1_000;
/// Pause between looks at a queue that keeps no events.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub fn routes() -> [Route; 2] {
    let read = |path, id, handler| {
        Route::new(Method::GET, path, Who::Reader, ("jobs", id), handler)
            .param(
                "wait",
                json!({"type": "string", "pattern": r"^\d+(ms|s|m)?$", "maxLength": 8}),
                "How long to wait for its end, at most 60s: 30s, 500ms; a bare number is seconds.",
            )
            .answers_nothing(304, "It is as the client knows it (If-None-Match).")
            .fails(400, "invalid_query")
            .fails(404, "unknown_job")
            .fails(422, "invalid_fields")
    };
    [
        read("/queues/{queue}/jobs/{id}", "getJobOfQueue", || web::get().to(of_queue))
            .says("Tells how a job of a queue is, now or once it has ended.")
            .answers::<OfQueue<'_>>(200, "The job.")
            .fails(404, "unknown_queue")
            .fails(422, "invalid_queue_name"),
        read("/jobs/{id}", "getJob", || web::get().to(of_any_queue))
            .says("Tells how a job is, whatever its queue.")
            .answers::<OfJob<'_>>(200, "The job."),
    ]
}

/// Seeds 002 and 004.
#[derive(Serialize, JsonSchema)]
pub struct OfQueue<'a> {
    pub success: bool,
    pub data: Detail<'a>,
}

/// Seed 003.
#[derive(Serialize, JsonSchema)]
struct OfJob<'a> {
    success: bool,
    job: Detail<'a>,
}

async fn of_queue(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let wait = wait_of(&request, &state)?;
    let (name, id) = path.into_inner();
    let queue = find_queue(&state, &name)?;
    let job = find_in(deps, &principal, queue, &id).await?.ok_or_else(|| Problem::unknown_job(&id))?;
    let job = wait_for_end(&state, deps, queue, job, wait).await?.ok_or_else(|| Problem::unknown_job(&id))?;
    let data = detail(&job, queue, Flavor::of(&request));
    answer(&request, &OfQueue { success: true, data })
}

async fn of_any_queue(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let wait = wait_of(&request, &state)?;
    let id = path.into_inner();
    let found = find_anywhere(&state, deps, &principal, &id).await?;
    let (queue, job) = found.ok_or_else(|| Problem::unknown_job(&id))?;
    let job = wait_for_end(&state, deps, queue, job, wait).await?.ok_or_else(|| Problem::unknown_job(&id))?;
    let job = view::detail(&job, queue, Flavor::of(&request));
    answer(&request, &OfJob { success: true, job })
}

/// The body with its ETag, or 304 if the client has it.
fn answer(request: &HttpRequest, body: &impl Serialize) -> Result<HttpResponse, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
    Ok(Tagged::new(body).answer(request))
}

/// `?wait=30s`: seconds, or a length of time with a unit.
fn wait_of(request: &HttpRequest, state: &State) -> Result<Duration, Problem> {
    let query = Query::of(request)?;
    let mut problems = PayloadProblems::default();
    let text = query.one("wait", &mut problems).map(str::to_owned);
    problems.into_result()?;
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let most = state.config.wait_max;
    let is_bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let ms = if is_bare { parse_span_ms(&format!("{text}s")) } else { parse_span_ms(&text) };
    match ms.map(Duration::from_millis) {
        Ok(wait) if wait <= most => Ok(wait),
        _ => Err(Problem::field(
            "wait",
            format!("must be a length of time of at most {} s, such as 30s", most.as_secs()),
        )),
    }
}

/// The job once it has ended, or as it is when the time is over or the server stops; none if it was removed meanwhile.
async fn wait_for_end(
    state: &State,
    deps: &Deps,
    queue: &Queue,
    job: JobView,
    wait: Duration,
) -> Result<Option<JobView>, Problem> {
    if wait.is_zero() || job.state().is_terminal() {
        return Ok(Some(job));
    }
    let deadline = Instant::now() + wait;
    let id = job.id().clone();
    // The position is read before the job is read again, so an end in between is among the events that follow.
    let info = deps.inspect.info(queue.name()).await?;
    let (mut after, keeps_events) = (info.last_event, info.config.events_max > 0);
    loop {
        // Whose it is was found out by the first read; an id is one owner's for ever.
        let reader = &deps.desk(queue).reader;
        let job = reader.get(bulrush::model::Scope::All, vec![id.clone()]).await?.pop().flatten();
        let left = deadline.saturating_duration_since(Instant::now());
        if job.as_ref().is_none_or(|job| job.state().is_terminal()) || left.is_zero() {
            return Ok(job);
        }
        let stopped = state.shared.shutdown.begun();
        if !keeps_events {
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK_EVERY)) => continue,
                () = stopped => return Ok(job),
            }
        }
        let told = async {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let page = deps.inspect.events(queue.name(), after, EVENTS, left).await?;
                after = page.next;
                let ended =
                    page.events.iter().any(|event| event.job.as_ref() == Some(&id) && is_end(event.kind));
                if ended || page.gap || page.events.is_empty() {
                    return Ok::<(), Problem>(());
                }
            }
        };
        tokio::select! {
            told = told => told?,
            () = stopped => return Ok(job),
        }
    }
}

fn is_end(kind: EventKind) -> bool {
    matches!(kind, EventKind::Completed | EventKind::Failed | EventKind::Cancelled | EventKind::Removed)
}
