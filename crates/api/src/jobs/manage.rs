//! What an owner or an administrator does to a job: remove, cancel, retry, promote, change.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{JobId, JobState, When};
use bulrush::port::{AdminCommand, AdminResult};
use bulrush_catalog::{PayloadProblems, Queue};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::{Body, read_json, read_optional_json};
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::jobs::ask::{check_data, parse};
use crate::jobs::lookup::{find_anywhere, find_in, find_queue};
use crate::jobs::options::Options;
use crate::jobs::read::OfQueue;
use crate::jobs::schema::Moment;
use crate::jobs::view::{detail, state_word};
use crate::state::{Deps, State};

pub fn routes() -> Vec<Route> {
    let of_job = |method, path, id, handler| {
        Route::new(method, path, Who::Writer, ("jobs", id), handler)
            .fails(404, "unknown_job")
            .fails(404, "unknown_queue")
            .fails(422, "invalid_queue_name")
            .fails(409, "wrong_state")
    };
    vec![
        of_job(Method::DELETE, "/queues/{queue}/jobs/{id}", "removeJob", || web::delete().to(remove))
            .says("Removes a job that does not run. One that runs is cancelled first.")
            .answers::<Said>(200, "It was removed."),
        of_job(Method::PATCH, "/queues/{queue}/jobs/{id}", "changeJob", || web::patch().to(change))
            .says("Changes data, priority or time of a job that has not started, in this order.")
            .takes::<Change>()
            .answers::<OfQueue<'_>>(200, "The job as it is now.")
            .fails(413, "data_too_large")
            .fails(422, "invalid_job"),
        of_job(Method::POST, "/queues/{queue}/jobs/{id}/cancel", "cancelJob", || web::post().to(cancel))
            .says("Cancels a job: at once if it has not started, else its worker is asked to stop.")
            .answers::<Cancelled>(200, "It is cancelled.")
            .answers::<Cancelled>(202, "Its worker was asked to stop; it completes or is cancelled soon."),
        of_job(Method::POST, "/queues/{queue}/jobs/{id}/retry", "retryJobOfQueue", || {
            web::post().to(retry_in_queue)
        })
        .says("Runs a failed or cancelled job again, with all attempts, and with other data if given.")
        .may_take::<Retry>()
        .answers::<Retried>(200, "It waits to run again.")
        .fails(413, "data_too_large"),
        of_job(Method::POST, "/queues/{queue}/jobs/{id}/promote", "promoteJob", || web::post().to(promote))
            .says("Runs a delayed job now.")
            .answers::<Said>(200, "It waits to run."),
        of_job(Method::POST, "/jobs/{id}/retry", "retryJob", || web::post().to(retry_anywhere))
            .says("Runs a failed or cancelled job of any queue again.")
            .may_take::<Retry>()
            .answers::<Retried>(200, "It waits to run again.")
            .fails(413, "data_too_large"),
    ]
}

/// Done, in words.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Said {
    success: bool,
    message: &'static str,
}

impl Said {
    pub fn new(message: &'static str) -> Self {
        Self { success: true, message }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    success: bool,
    message: &'static str,
    job_id: String,
    status: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Retried {
    success: bool,
    message: &'static str,
    job_id: String,
}

/// How to run it again.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct Retry {
    /// Other data than before.
    data: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryAsk<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// What to change; at least one of them.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct Change {
    #[schemars(range(min = 0, max = 2_097_152))]
    priority: Option<u32>,
    /// Not before so many ms from now; 0 is now.
    #[schemars(range(min = 0, max = 31_536_000_000_u64))]
    delay: Option<u64>,
    run_at: Option<Moment>,
    data: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ChangeAsk<'a> {
    #[serde(default)]
    priority: Option<Value>,
    #[serde(default)]
    delay: Option<Value>,
    #[serde(default)]
    run_at: Option<Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// A job of a queue that the caller may see, by the path of a request.
async fn named<'s>(
    state: &'s State,
    deps: &Deps,
    principal: &Principal,
    (name, id): (String, String),
) -> Result<(&'s Queue, bulrush::model::JobView), Problem> {
    let queue = find_queue(state, &name)?;
    let job = find_in(deps, principal, queue, &id).await?.ok_or_else(|| Problem::unknown_job(&id))?;
    Ok((queue, job))
}

/// Does something to one job; what became of it, unless it was refused.
async fn order(
    deps: &Deps,
    principal: &Principal,
    queue: &Queue,
    (id, asked): (&JobId, &str),
    command: AdminCommand,
) -> Result<AdminResult, Problem> {
    let reply = deps.desk(queue).producer.admin(&principal.jobs(), command).await?;
    match reply.results.first() {
        Some(AdminResult::WrongState(state)) => Err(wrong_state(id, *state)),
        Some(AdminResult::Unknown) | None => Err(Problem::unknown_job(asked)),
        Some(done) => Ok(*done),
    }
}

/// The job's state does not allow it.
fn wrong_state(id: &JobId, state: JobState) -> Problem {
    let hint = match state {
        JobState::Active => "; cancel it, or wait until it has ended",
        JobState::Completed => "; add a new one to do it again",
        _ => "",
    };
    Problem::new(StatusCode::CONFLICT, "wrong_state", format!("The job is {state}{hint}."))
        .with("job", json!({"id": id, "status": state.as_str()}))
}

async fn remove(
    principal: Principal,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let command = |id| AdminCommand::Remove(vec![id]);
    one(&principal, path.into_inner(), &state, command, "Job removed successfully").await
}

async fn promote(
    principal: Principal,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let command = |id| AdminCommand::Promote(vec![id]);
    one(&principal, path.into_inner(), &state, command, "Job promoted successfully").await
}

/// Does one thing to the job of a path, and says so.
async fn one(
    principal: &Principal,
    path: (String, String),
    state: &State,
    command: impl FnOnce(JobId) -> AdminCommand,
    message: &'static str,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let asked = path.1.clone();
    let (queue, job) = named(state, deps, principal, path).await?;
    order(deps, principal, queue, (job.id(), &asked), command(job.id().clone())).await?;
    Ok(HttpResponse::Ok().json(Said::new(message)))
}

async fn cancel(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let asked = path.1.clone();
    let (queue, job) = named(&state, deps, &principal, path.into_inner()).await?;
    let id = job.id();
    let done = order(deps, &principal, queue, (id, &asked), AdminCommand::Cancel(vec![id.clone()])).await?;
    let (mut response, message, now) = match done {
        AdminResult::Requested => (HttpResponse::Accepted(), "Cancellation requested", JobState::Active),
        _ => (HttpResponse::Ok(), "Job cancelled successfully", JobState::Cancelled),
    };
    let status = state_word(now, Flavor::of(&request));
    Ok(response.json(Cancelled { success: true, message, job_id: id.to_string(), status }))
}

async fn retry_in_queue(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let (called, asked) = path.into_inner();
    let body = read_optional_json(&request, payload, &state).await?;
    let (queue, job) = named(&state, deps, &principal, (called, asked.clone())).await?;
    retry(&state, deps, &principal, queue, &job, &asked, &body).await
}

async fn retry_anywhere(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_optional_json(&request, payload, &state).await?;
    let found = find_anywhere(&state, deps, &principal, &path).await?;
    let (queue, job) = found.ok_or_else(|| Problem::unknown_job(&path))?;
    retry(&state, deps, &principal, queue, &job, &path, &body).await
}

async fn retry(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    queue: &Queue,
    job: &bulrush::model::JobView,
    asked: &str,
    body: &Body,
) -> Result<HttpResponse, Problem> {
    let ask: RetryAsk<'_> =
        if body.is_blank() { RetryAsk { data: None } } else { parse(body, "{\"data\": {…}}, or nothing")? };
    let data = match ask.data {
        None => None,
        Some(data) => Some(new_data(state, deps, principal, queue, job, data).await?),
    };
    let id = job.id();
    let command = AdminCommand::Retry { ids: vec![id.clone()], data };
    order(deps, principal, queue, (id, asked), command).await?;
    Ok(HttpResponse::Ok().json(Retried {
        success: true,
        message: "Job retry initiated",
        job_id: id.to_string(),
    }))
}

/// Other data for a job, checked as if the job were added with it.
async fn new_data(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    queue: &Queue,
    job: &bulrush::model::JobView,
    data: &RawValue,
) -> Result<Bytes, Problem> {
    let (_, kind) = queue
        .job(Some(&job.spec.name), queue.name().as_str())
        .map_err(|error| Problem::field("data", format!("cannot be checked, as the job's name {error}")))?;
    let mut problems = PayloadProblems::default();
    let data = check_data(state, deps, principal, kind, Some(data), &mut problems).await?;
    problems.into_result()?;
    Ok(data)
}

async fn change(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let ask: ChangeAsk<'_> = parse(&body, "{\"priority\": 1, \"delay\": 0, \"data\": {…}}")?;
    let asked = path.1.clone();
    let (queue, job) = named(&state, deps, &principal, path.into_inner()).await?;
    let given = [("priority", ask.priority), ("delay", ask.delay), ("runAt", ask.run_at)];
    let timed = given[1].1.is_some() || given[2].1.is_some();
    let map = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let mut problems = PayloadProblems::default();
    let options = Options::parse(&map, &mut problems);
    for problem in &mut problems.0 {
        problem.field = problem.field.trim_start_matches("options.").to_owned();
    }
    if map.is_empty() && ask.data.is_none() {
        problems.push("priority", "or delay, runAt or data must be given: nothing is to be changed");
    }
    if options.priority.is_some() && job.spec.group.is_some() {
        problems.push("priority", "cannot be given to a job of a group: groups take turns");
    }
    problems.into_result()?;
    let data = match ask.data {
        None => None,
        Some(data) => Some(new_data(&state, deps, &principal, queue, &job, data).await?),
    };
    // Told before anything is changed; a job that starts in between is told by the engine.
    let current = job.state();
    let fits = match (timed, options.priority.is_some()) {
        (true, _) => matches!(current, JobState::Waiting | JobState::Delayed),
        (false, true) => {
            matches!(current, JobState::Waiting | JobState::Delayed | JobState::WaitingChildren)
        }
        (false, false) => current != JobState::Active,
    };
    let id = job.id().clone();
    if !fits {
        return Err(wrong_state(&id, current));
    }
    let whose = (&id, asked.as_str());
    if let Some(data) = data {
        order(deps, &principal, queue, whose, AdminCommand::SetData { id: id.clone(), data }).await?;
    }
    if let Some(priority) = options.priority {
        order(deps, &principal, queue, whose, AdminCommand::SetPriority { id: id.clone(), priority }).await?;
    }
    if timed {
        let when: When = options.when;
        order(deps, &principal, queue, whose, AdminCommand::Reschedule { id: id.clone(), when }).await?;
    }
    let job = find_in(deps, &principal, queue, id.as_str()).await?;
    let job = job.ok_or_else(|| Problem::unknown_job(&asked))?;
    let data = detail(&job, queue, Flavor::of(&request));
    Ok(HttpResponse::Ok().json(OfQueue { success: true, data }))
}
