//! Results that are kept as documents, by the id of the job that made them.

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::can_be_id;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::state::State;

/// A result.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DocumentAnswer {
    success: bool,
    /// The job that made it.
    job_id: String,
    /// When it was made, ms since 1970.
    updated_at: i64,
    #[schemars(with = "serde_json::Map<String, Value>")]
    result: Value,
}

/// What the results of a queue are called where there is none.
struct Kind {
    queue: &'static str,
    code: &'static str,
    absent: &'static str,
}

const ANALYSIS: Kind =
    Kind { queue: "analytics-heavy", code: "unknown_analysis", absent: "There is no such analysis." };
const OPTIMIZATION: Kind =
    Kind { queue: "optimization", code: "unknown_optimization", absent: "There is no such result." };

pub async fn analysis(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    get(&ANALYSIS, &principal, &request, &path, &state).await
}

pub async fn optimization(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    get(&OPTIMIZATION, &principal, &request, &path, &state).await
}

async fn get(
    kind: &'static Kind,
    principal: &Principal,
    request: &HttpRequest,
    asked: &str,
    state: &State,
) -> Result<HttpResponse, Problem> {
    let what = format!("{} {asked}", kind.queue);
    // On the heap: most answers come from the cache.
    let compute = Box::pin(read(kind, state, principal, asked));
    state.reads.answer(request, principal, &what, compute).await
}

async fn read(kind: &Kind, state: &State, principal: &Principal, asked: &str) -> Result<Value, Problem> {
    let found = if can_be_id(asked) {
        state.deps()?.store.results().get(&principal.rows(), asked).await?
    } else {
        None
    };
    let is_of_queue = |of: &str| of.split_once('/').is_some_and(|(queue, _)| queue == kind.queue);
    let found = found
        .filter(|found| is_of_queue(&found.kind))
        .ok_or_else(|| Problem::not_found(kind.code, kind.absent))?;
    let answer = DocumentAnswer {
        success: true,
        job_id: found.job,
        updated_at: found.updated_at_ms,
        result: found.document,
    };
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}
