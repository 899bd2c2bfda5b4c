//! GET `/workers/status`: who works. Administrators see which process runs what.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::port::WorkerState;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::auth::{Principal, identify};
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::state::State;

pub fn routes() -> [Route; 1] {
    [Route::new(Method::GET, "/workers/status", Who::Anybody, ("operation", "getWorkers"), || {
        web::get().to(status)
    })
    .says("How many workers are alive and how busy they are; administrators see each of them.")
    .answers::<Answer>(200, "The workers.")]
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    success: bool,
    data: Status,
}

#[derive(Serialize, JsonSchema)]
struct Status {
    /// Live workers; one process is a worker of each of its queues.
    workers: usize,
    /// By queue.
    queues: BTreeMap<String, OfQueue>,
}

#[derive(Serialize, JsonSchema)]
struct OfQueue {
    workers: usize,
    /// Jobs that they can run at once.
    slots: usize,
    running: usize,
    /// Each of them; for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<Detail>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Detail {
    id: String,
    /// Host, process and binary.
    name: String,
    version: String,
    slots: usize,
    /// ms since 1970.
    started_at: u64,
    /// Until when it counts as alive, ms since 1970.
    lease_until: u64,
    running: Vec<String>,
}

async fn status(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    // Open to everybody, so a token is looked at where there is one; a wrong one is told, not ignored.
    let has_token = request.headers().contains_key(actix_web::http::header::AUTHORIZATION);
    let caller = if has_token { Some(identify(&request, &state).await?) } else { None };
    let details = caller.as_ref().is_some_and(Principal::is_admin);
    let all = state.workers(deps).await?;
    let mut queues = BTreeMap::new();
    for (queue, workers) in &*all {
        queues.insert(queue.to_string(), of_queue(workers, details));
    }
    let workers = queues.values().map(|queue: &OfQueue| queue.workers).sum();
    Ok(HttpResponse::Ok().json(Answer { success: true, data: Status { workers, queues } }))
}

fn of_queue(workers: &[WorkerState], details: bool) -> OfQueue {
    let detail = |worker: &WorkerState| Detail {
        id: worker.info.id.to_string(),
        name: worker.info.name.clone(),
        version: worker.info.version.clone(),
        slots: worker.info.slots,
        started_at: worker.info.started,
        lease_until: worker.lease_until,
        running: worker.running.iter().map(ToString::to_string).collect(),
    };
    OfQueue {
        workers: workers.len(),
        slots: workers.iter().map(|worker| worker.info.slots).sum(),
        running: workers.iter().map(|worker| worker.running.len()).sum(),
        details: details.then(|| workers.iter().map(detail).collect()),
    }
}
