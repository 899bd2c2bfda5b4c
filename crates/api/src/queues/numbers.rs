//! GET `/queues`, `/queues/metrics` and what there is of one queue.
//!
//! Administrators get the numbers of whole queues, from the half-second-old snapshot that the metrics read. Everybody else gets the
//! numbers of the jobs that they may see, counted up to a bound: how busy other people's jobs keep a queue is theirs to know.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{Counts, JobState, PageRequest};
use bulrush_catalog::{PayloadProblems, Queue};
use bulrush_service::Role;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::lookup::find_queue;
use crate::jobs::view::{Detail, detail};
use crate::state::{Deps, State};

/// Records looked at for somebody's numbers of one queue.
const LOOK_MAX: usize = 10_000;
/// Records of one read.
const READ: usize = 1_000;
/// Most failed jobs of one answer, and how far in they may begin.
const FAILED_MAX: usize = 100;
const FAILED_START_MAX: usize = 900;

pub fn routes() -> Vec<Route> {
    let of_queue = |path, id, handler| {
        Route::new(Method::GET, path, Who::Reader, ("queues", id), handler)
            .fails(404, "unknown_queue")
            .fails(422, "invalid_queue_name")
    };
    let place = |max| json!({"type": "integer", "minimum": 0, "maximum": max});
    vec![
        Route::new(Method::GET, "/queues", Who::Reader, ("queues", "listQueues"), || web::get().to(list))
            .says("The queues: what they are for, what they run, and how many jobs the caller has there.")
            .answers::<Answer<Vec<QueueView>>>(200, "The queues."),
        Route::new(Method::GET, "/queues/metrics", Who::Reader, ("queues", "getAllMetrics"), || {
            web::get().to(all_metrics)
        })
        .says(
            "Counts by state of every queue: whole queues for administrators, the caller's jobs for others.",
        )
        .answers::<Answer<BTreeMap<String, Metrics>>>(200, "Counts by queue."),
        of_queue("/queues/{queue}/metrics", "getQueueMetrics", || web::get().to(metrics))
            .says("Counts by state of a queue.")
            .answers::<Answer<Metrics>>(200, "Counts."),
        of_queue("/queues/{queue}/counts", "getQueueCounts", || web::get().to(counts))
            .says("Counts of a queue in every state.")
            .answers::<Answer<AllCounts>>(200, "Counts."),
        of_queue("/queues/{queue}/stats", "getQueueStats", || web::get().to(stats))
            .says("Counts of a queue, their sum, and whether it is paused.")
            .answers::<Answer<Stats>>(200, "Counts."),
        Route::new(Method::GET, "/queues/{queue}/failed", Who::Admin, ("queues", "getFailedJobs"), || {
            web::get().to(failed)
        })
        .says("Failed jobs of a queue, newest first, from `start` to `end`, both included.")
        .param("start", place(FAILED_START_MAX), "The first, from 0; 0 if left out.")
        .param(
            "end",
            place(FAILED_START_MAX + FAILED_MAX - 1),
            "The last; nine more than the first if left out.",
        )
        .answers::<Answer<Vec<Detail<'_>>>>(200, "Failed jobs.")
        .fails(400, "invalid_query")
        .fails(404, "unknown_queue")
        .fails(422, "invalid_queue_name")
        .fails(422, "invalid_fields"),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Answer<T> {
    success: bool,
    data: T,
}

fn answer<T: Serialize>(data: T) -> HttpResponse {
    HttpResponse::Ok().json(Answer { success: true, data })
}

/// The five counts that the seeds' clients know.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    waiting: u64,
    active: u64,
    completed: u64,
    failed: u64,
    delayed: u64,
    #[serde(flatten)]
    exact: Exact,
}

/// Every count.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AllCounts {
    waiting: u64,
    active: u64,
    completed: u64,
    failed: u64,
    delayed: u64,
    waiting_children: u64,
    cancelled: u64,
    total: u64,
    #[serde(flatten)]
    exact: Exact,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Stats {
    queue_name: String,
    waiting: u64,
    active: u64,
    completed: u64,
    failed: u64,
    delayed: u64,
    is_paused: bool,
    total: u64,
    #[serde(flatten)]
    exact: Exact,
}

/// Whether counts are exact, told only where they are not.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Exact {
    /// False: there were more jobs than are looked at, so the counts are lower bounds. Left out where they are exact.
    #[serde(skip_serializing_if = "is_true")]
    #[schemars(default)]
    counts_are_exact: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "it is given a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// A queue.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct QueueView {
    name: &'static str,
    purpose: &'static str,
    aliases: Vec<&'static str>,
    /// The jobs that it runs.
    jobs: Vec<&'static str>,
    /// Whether only administrators and the platform itself add to it.
    internal: bool,
    is_paused: bool,
    attempts: u32,
    timeout: u64,
    counts: Metrics,
}

/// Numbers of one queue.
struct Numbers {
    counts: Counts,
    exact: bool,
    paused: bool,
}

impl Numbers {
    fn metrics(&self) -> Metrics {
        let Counts { waiting, active, completed, failed, delayed, .. } = self.counts;
        Metrics { waiting, active, completed, failed, delayed, exact: Exact { counts_are_exact: self.exact } }
    }
}

/// What the caller may know of a queue.
async fn numbers(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    queue: &Queue,
) -> Result<Numbers, Problem> {
    let snapshot = state.snapshot().await?;
    let info = snapshot.queues.get(queue.name());
    let paused = info.is_some_and(|info| info.paused);
    if principal.is_admin() {
        let counts = info.map(|info| info.counts).unwrap_or_default();
        return Ok(Numbers { counts, exact: true, paused });
    }
    let mut counts = Counts::default();
    // An empty queue needs no look, and most are.
    if info.is_some_and(|info| info.counts.total() == 0) {
        return Ok(Numbers { counts, exact: true, paused });
    }
    let mut request = PageRequest { limit: READ, ..PageRequest::default() };
    if principal.role == Role::Viewer {
        request.filter.tenant = Some(principal.owner.tenant.clone());
    } else {
        request.owner = Some(principal.owner.clone());
    }
    let mut looked_at = 0;
    let exact = loop {
        let page = deps.inspect.page(queue.name(), request.clone()).await?;
        looked_at += page.scanned;
        for job in &page.jobs {
            add(&mut counts, job.state());
        }
        match page.next {
            None => break true,
            Some(_) if looked_at >= LOOK_MAX => break false,
            Some(next) => request.cursor = Some(next),
        }
    };
    Ok(Numbers { counts, exact, paused })
}

/// The same of every queue, read side by side.
async fn numbers_of_all<'s>(
    state: &'s State,
    deps: &Deps,
    principal: &Principal,
) -> Result<Vec<(&'s Queue, Numbers)>, Problem> {
    let reads = state.shared.catalog.queues().iter().map(|queue| async move {
        numbers(state, deps, principal, queue).await.map(|numbers| (queue, numbers))
    });
    futures_util::future::try_join_all(reads).await
}

fn add(counts: &mut Counts, state: JobState) {
    let count = match state {
        JobState::Waiting => &mut counts.waiting,
        JobState::Delayed => &mut counts.delayed,
        JobState::WaitingChildren => &mut counts.waiting_children,
        JobState::Active => &mut counts.active,
        JobState::Completed => &mut counts.completed,
        JobState::Failed => &mut counts.failed,
        JobState::Cancelled => &mut counts.cancelled,
    };
    *count += 1;
}

async fn list(principal: Principal, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let mut queues = Vec::new();
    for (queue, numbers) in numbers_of_all(&state, deps, &principal).await? {
        let entry = queue.entry();
        queues.push(QueueView {
            name: entry.name,
            purpose: entry.purpose,
            aliases: entry.aliases.iter().map(|alias| alias.name).collect(),
            jobs: entry.jobs.iter().map(|kind| kind.name).collect(),
            internal: queue.is_internal(),
            is_paused: numbers.paused,
            attempts: queue.limits().attempts,
            timeout: queue.limits().timeout_ms,
            counts: numbers.metrics(),
        });
    }
    Ok(answer(queues))
}

async fn all_metrics(principal: Principal, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let all = numbers_of_all(&state, deps, &principal).await?;
    let all = all.into_iter().map(|(queue, numbers)| (queue.name().to_string(), numbers.metrics()));
    Ok(answer(all.collect::<BTreeMap<_, _>>()))
}

async fn metrics(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let queue = find_queue(&state, &path)?;
    Ok(answer(numbers(&state, state.deps()?, &principal, queue).await?.metrics()))
}

async fn counts(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let queue = find_queue(&state, &path)?;
    let numbers = numbers(&state, state.deps()?, &principal, queue).await?;
    let Counts { waiting, active, completed, failed, delayed, waiting_children, cancelled } = numbers.counts;
    Ok(answer(AllCounts {
        waiting,
        active,
        completed,
        failed,
        delayed,
        waiting_children,
        cancelled,
        total: numbers.counts.total(),
        exact: Exact { counts_are_exact: numbers.exact },
    }))
}

async fn stats(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let queue = find_queue(&state, &path)?;
    let numbers = numbers(&state, state.deps()?, &principal, queue).await?;
    let Counts { waiting, active, completed, failed, delayed, .. } = numbers.counts;
    Ok(answer(Stats {
        queue_name: path.into_inner(),
        waiting,
        active,
        completed,
        failed,
        delayed,
        is_paused: numbers.paused,
        total: numbers.counts.total(),
        exact: Exact { counts_are_exact: numbers.exact },
    }))
}

async fn failed(
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let start = query.number("start", (0, FAILED_START_MAX), 0, &mut problems);
    let end = query.number("end", (0, FAILED_START_MAX + FAILED_MAX - 1), start + 9, &mut problems);
    if end < start {
        problems.push("end", format!("is before start ({start}); give one that is not"));
    } else if end - start >= FAILED_MAX {
        problems.push("end", format!("is too far from start: an answer has at most {FAILED_MAX} jobs"));
    }
    problems.into_result()?;
    let queue = find_queue(&state, &path)?;
    let request_page =
        PageRequest { state: Some(JobState::Failed), limit: end + 1, ..PageRequest::default() };
    let page = deps.inspect.page(queue.name(), request_page).await?;
    let flavor = Flavor::of(&request);
    Ok(answer(page.jobs.iter().skip(start).map(|job| detail(job, queue, flavor)).collect::<Vec<_>>()))
}
