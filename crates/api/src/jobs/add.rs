//! POST `/queues/{queue}/jobs` and `/queues/{queue}/jobs/bulk`.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::port::AddOutcome;
use bulrush_catalog::{PayloadProblems, Queue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::jobs::ask::{Ask, Checked, may_add, parse};
use crate::jobs::enqueue::{
    Enqueued, Idempotency, enqueue, outcome, queue_full, starts_as, traceparent, with_state,
};
use crate::jobs::lookup::find_queue;
use crate::jobs::schema::AddJob;
use crate::jobs::view::state_word;
use crate::state::State;

/// Most jobs of one bulk add.
const BULK_MAX: usize = 1_000;
const SHAPE: &str = "{\"name\": \"…\", \"data\": {…}, \"options\": {…}}";

pub fn routes() -> [Route; 2] {
    [
        Route::new(Method::POST, "/queues/{queue}/jobs", Who::Writer, ("jobs", "addJob"), || {
            web::post().to(add)
        })
        .says("Adds a job.")
        .takes::<AddJob>()
        .creates()
        .answers::<AddedAnswer>(202, "The job was added.")
        .answers::<AddedAnswer>(
            200,
            "The job was there already: the same jobId, dedup key or Idempotency-Key.",
        )
        .fails(404, "unknown_queue")
        .fails(413, "data_too_large")
        .fails(422, "invalid_queue_name")
        .fails(422, "invalid_job")
        .fails(429, "queue_full"),
        Route::new(Method::POST, "/queues/{queue}/jobs/bulk", Who::Writer, ("jobs", "addJobs"), || {
            web::post().to(bulk)
        })
        .says("Adds up to 1,000 jobs: all of them, or none if one of them is wrong.")
        .takes::<AddJobs>()
        .creates()
        .answers::<BulkAnswer>(202, "The jobs that are new were added.")
        .answers::<BulkAnswer>(200, "All of the jobs were there already.")
        .fails(404, "unknown_queue")
        .fails(413, "data_too_large")
        .fails(422, "invalid_queue_name")
        .fails(422, "invalid_job")
        .fails(429, "queue_full"),
    ]
}

/// A job that was added, or was there.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedJob {
    job_id: String,
    /// The queue as the client called it.
    queue_name: String,
    job_name: String,
    /// Its state; `removed` if it has ended and is not kept any more.
    status: &'static str,
    /// The jobId that the client chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct AddedAnswer {
    success: bool,
    data: AddedJob,
}

/// Many jobs.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
pub struct AddJobs {
    #[schemars(length(min = 1, max = 1000))]
    jobs: Vec<AddJob>,
}

#[derive(Serialize, JsonSchema)]
pub struct BulkAnswer {
    success: bool,
    data: BulkData,
}

#[derive(Serialize, JsonSchema)]
struct BulkData {
    /// How many are new.
    added: usize,
    /// In the order given.
    jobs: Vec<BulkItem>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BulkItem {
    #[serde(flatten)]
    job: AddedJob,
    /// Whether this request added it.
    is_new: bool,
}

impl AddedAnswer {
    pub fn new(data: AddedJob) -> Self {
        Self { success: true, data }
    }
}

impl AddedJob {
    pub fn new(added: &Enqueued, called: &str, name: &str, client_id: Option<&str>, flavor: Flavor) -> Self {
        Self {
            job_id: added.id.to_string(),
            queue_name: called.to_owned(),
            job_name: name.to_owned(),
            status: added.state.map_or("removed", |state| state_word(state, flavor)),
            client_id: client_id.map(str::to_owned),
        }
    }
}

async fn add(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let called = path.into_inner();
    let queue = find_queue(&state, &called)?;
    may_add(&principal, queue)?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let ask: Ask<'_> = parse(&body, SHAPE)?;
    let idempotency = Idempotency::of(&request, queue.name().as_str(), &body)?;
    let mut problems = PayloadProblems::default();
    let checked = ask.check((&state, deps), &principal, queue, &called, &mut problems).await?;
    problems.into_result()?;
    let checked = checked.ok_or_else(|| Problem::field("name", "is not a job of this queue"))?;
    let (name, client_id) = (checked.name.clone(), checked.options.job_id.clone());
    let job = checked.into_job(&principal, idempotency.as_ref(), traceparent(&request).as_deref())?;
    let added = enqueue(deps, queue, job).await?;
    let flavor = Flavor::of(&request);
    let data = AddedJob::new(&added, &called, &name, client_id.as_deref(), flavor);
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    response.insert_header((header::LOCATION, location(flavor, queue, &added)));
    Ok(response.json(AddedAnswer { success: true, data }))
}

/// Where a job is found.
pub fn location(flavor: Flavor, queue: &Queue, added: &Enqueued) -> String {
    format!("{}/queues/{}/jobs/{}", flavor.prefix(), queue.name(), added.id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkAsk<'a> {
    #[serde(borrow)]
    jobs: Vec<Ask<'a>>,
}

async fn bulk(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let called = path.into_inner();
    let queue = find_queue(&state, &called)?;
    may_add(&principal, queue)?;
    let body = read_json(&request, payload, &state, state.config.bulk_max).await?;
    let asked: BulkAsk<'_> = parse(&body, &format!("{{\"jobs\": [{SHAPE}, …]}}"))?;
    if !(1..=BULK_MAX).contains(&asked.jobs.len()) {
        return Err(Problem::field(
            "jobs",
            format!("has {} jobs; give 1 to {BULK_MAX} of them", asked.jobs.len()),
        ));
    }
    let idempotency = Idempotency::of(&request, &format!("bulk {}", queue.name()), &body)?;
    let traceparent = traceparent(&request);
    let mut problems = PayloadProblems::default();
    let mut checked: Vec<Checked<'_>> = Vec::with_capacity(asked.jobs.len());
    for (n, ask) in asked.jobs.iter().enumerate() {
        let mut own = PayloadProblems::default();
        let found = ask.check((&state, deps), &principal, queue, &called, &mut own).await;
        checked.extend(found.map_err(|problem| problem.of_item(&format!("jobs[{n}]")))?);
        for problem in own.0 {
            problems.push(format!("jobs[{n}].{}", problem.field), problem.message);
        }
    }
    problems.into_result()?;
    let flavor = Flavor::of(&request);
    let mut jobs = Vec::with_capacity(checked.len());
    let mut names = Vec::with_capacity(checked.len());
    for (n, checked) in checked.into_iter().enumerate() {
        let own_key = idempotency.as_ref().map(|key| key.nth(n));
        let named = (checked.name.clone(), checked.options.job_id.clone());
        let job = checked
            .into_job(&principal, own_key.as_ref(), traceparent.as_deref())
            .map_err(|problem| problem.of_item(&format!("jobs[{n}]")))?;
        names.push((named, starts_as(&job)));
        jobs.push(job);
    }
    // A queue that cannot take all of them is told before any is in; one that fills up meanwhile tells job by job.
    if let Some(depth_max) = queue.limits().depth_max {
        let depth = deps.inspect.info(queue.name()).await?.counts.depth();
        if depth + jobs.len() as u64 > depth_max {
            return Err(queue_full(depth_max));
        }
    }
    let added = deps.desk(queue).producer.add_bulk(jobs).await?;
    let mut items = Vec::with_capacity(added.len());
    let mut refused = None;
    for (added, ((name, client_id), starts)) in added.into_iter().zip(names) {
        let full = matches!(added.outcome, AddOutcome::Full { .. });
        let id = added.id.clone();
        let enqueued = match outcome(added, starts) {
            Ok((enqueued, true)) => with_state(deps, queue, enqueued).await?,
            Ok((enqueued, false)) => enqueued,
            Err(problem) if full => {
                refused = Some(problem);
                items.push(BulkItem {
                    job: AddedJob {
                        status: "queue_full",
                        ..AddedJob::new(
                            &Enqueued { id, is_new: false, state: None },
                            &called,
                            &name,
                            client_id.as_deref(),
                            flavor,
                        )
                    },
                    is_new: false,
                });
                continue;
            }
            Err(problem) => return Err(problem),
        };
        let job = AddedJob::new(&enqueued, &called, &name, client_id.as_deref(), flavor);
        items.push(BulkItem { job, is_new: enqueued.is_new });
    }
    let added = items.iter().filter(|item| item.is_new).count();
    if let Some(problem) = refused.filter(|_| added == 0) {
        return Err(problem);
    }
    let mut response = if added > 0 { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    Ok(response.json(BulkAnswer { success: true, data: BulkData { added, jobs: items } }))
}
