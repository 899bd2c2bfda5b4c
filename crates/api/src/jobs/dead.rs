//! Dead letters: GET `/jobs/dlq/list`, POST `/jobs/dlq/retry`, DELETE `/jobs/dlq`.
//!
//! Retry and removal of many take a filter, tell with `dryRun` what they would do, and do at most 1,000 a call. They name each job to
//! the engine, in the caller's scope: what somebody else owns is out of reach whatever the filter says.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{JobId, JobState, JobView};
use bulrush::port::{AdminCommand, AdminResult};
use bulrush_catalog::{PayloadProblems, Queue};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::list::{PageEnd, Question, answer, filter_params, page_params};
use crate::jobs::view::Payload;
use crate::state::{Deps, State};

/// Most dead letters of one call.
const CALL_MAX: usize = 1_000;
/// Ids that are told of those that a call concerns.
const TOLD_MAX: usize = 100;

pub fn routes() -> [Route; 3] {
    let many = |method, path, id, handler| {
        let most = json!({"type": "integer", "minimum": 1, "maximum": CALL_MAX, "default": CALL_MAX});
        let dry = json!({"type": "boolean", "default": false});
        filter_params(Route::new(method, path, Who::Writer, ("dead letters", id), handler))
            .param("limit", most, "Most dead letters of this call.")
            .param("dryRun", dry, "Only tell what would be done.")
            .answers::<Done>(200, "What was done, or would be.")
    };
    [
        page_params(Route::new(
            Method::GET,
            "/jobs/dlq/list",
            Who::Reader,
            ("dead letters", "listDeadLetters"),
            || web::get().to(list),
        ))
        .says("The caller's jobs that have failed for good, newest first.")
        .answers::<DeadLetters<'_>>(200, "A page of dead letters."),
        many(Method::POST, "/jobs/dlq/retry", "retryDeadLetters", || web::post().to(retry))
            .says("Runs all dead letters that a filter matches again, at most 1,000 a call."),
        many(Method::DELETE, "/jobs/dlq", "removeDeadLetters", || web::delete().to(remove))
            .says("Removes all dead letters that a filter matches, at most 1,000 a call."),
    ]
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetters<'a> {
    success: bool,
    failed_jobs: Vec<DeadLetter<'a>>,
    #[serde(flatten)]
    end: PageEnd,
}

/// A job that has failed, as seed 003 shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetter<'a> {
    id: &'a str,
    queue: &'a str,
    name: &'a str,
    /// What its last attempt died of.
    error: &'a str,
    attempts_made: u32,
    /// ms since 1970.
    failed_at: Option<u64>,
    data: Payload,
}

/// What became of a command on many dead letters.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Done {
    success: bool,
    message: &'static str,
    dry_run: bool,
    /// Dead letters that the filter matches, at most 1,000.
    matched: usize,
    /// How many were changed.
    changed: usize,
    /// Whether another call would find more.
    more: bool,
    /// Ids of the first of them.
    jobs: Vec<String>,
}

async fn list(
    principal: Principal,
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let question = Question::read(&state, &query, &[Some(JobState::Failed)], &mut problems);
    let (jobs, end) = answer(&state, &principal, &query, question, problems).await?;
    let failed_jobs = jobs.iter().map(|job| dead_letter(&state, job)).collect();
    Ok(HttpResponse::Ok().json(DeadLetters { success: true, failed_jobs, end }))
}

fn dead_letter<'a>(state: &State, job: &'a JobView) -> DeadLetter<'a> {
    DeadLetter {
        id: job.id().as_str(),
        queue: job.queue.as_str(),
        name: &job.spec.name,
        error: job.failed_reason().unwrap_or_default(),
        attempts_made: job.status.attempts_made,
        failed_at: job.status.finished_on,
        data: Payload::of(&job.spec.data, state.shared.catalog.find(job.queue.as_str()).ok()),
    }
}

async fn retry(
    principal: Principal,
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let command = |ids| AdminCommand::Retry { ids, data: None };
    many(&principal, &request, &state, "Job retry initiated", command).await
}

async fn remove(
    principal: Principal,
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    many(&principal, &request, &state, "Jobs removed successfully", AdminCommand::Discard).await
}

/// Does something to all dead letters that the query matches.
async fn many(
    principal: &Principal,
    request: &HttpRequest,
    state: &State,
    message: &'static str,
    command: impl Fn(Vec<JobId>) -> AdminCommand,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let query = Query::of(request)?;
    let mut problems = PayloadProblems::default();
    let question = Question::read(state, &query, &[Some(JobState::Failed)], &mut problems);
    let limit = query.number("limit", (1, CALL_MAX), CALL_MAX, &mut problems);
    let dry_run = match query.one("dryRun", &mut problems) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            problems.push("dryRun", "must be true or false");
            true
        }
    };
    problems.into_result()?;
    let mut found: Vec<(&Queue, JobId)> = Vec::new();
    let mut more = false;
    question
        .walk(deps, principal, |queue, job| {
            more = found.len() == limit;
            if !more {
                found.push((queue, job.id().clone()));
            }
            !more
        })
        .await?;
    let changed = if dry_run { 0 } else { carry_out(deps, principal, &found, command).await? };
    Ok(HttpResponse::Ok().json(Done {
        success: true,
        message,
        dry_run,
        matched: found.len(),
        changed,
        more,
        jobs: found.iter().take(TOLD_MAX).map(|(_, id)| id.to_string()).collect(),
    }))
}

/// One command for each queue; a job that is no dead letter any more is left alone.
async fn carry_out(
    deps: &Deps,
    principal: &Principal,
    found: &[(&Queue, JobId)],
    command: impl Fn(Vec<JobId>) -> AdminCommand,
) -> Result<usize, Problem> {
    let mut changed = 0;
    for of_queue in found.chunk_by(|(a, _), (b, _)| a.name() == b.name()) {
        let ids = of_queue.iter().map(|(_, id)| id.clone()).collect();
        let producer = &deps.desk(of_queue[0].0).producer;
        let reply = producer.admin(&principal.jobs(), command(ids)).await?;
        changed += reply.results.iter().filter(|result| **result == AdminResult::Done).count();
    }
    Ok(changed)
}
