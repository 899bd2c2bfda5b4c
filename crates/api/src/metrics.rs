//! GET `/metrics` (Prometheus) and `/metrics/json`, as seed 003 has them.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::config::MetricsAccess;
use crate::http::auth::identify;
use crate::http::problem::Problem;
use crate::state::State;

fn check_access(request: &HttpRequest, state: &State) -> Result<(), Problem> {
    match state.config.metrics {
        MetricsAccess::Open => Ok(()),
        MetricsAccess::Closed => Err(Problem::not_found("unknown_route", "There is nothing here.")),
        MetricsAccess::Admin if identify(request)?.is_admin() => Ok(()),
        MetricsAccess::Admin => Err(Problem::forbidden("Only administrators read the metrics here.")),
    }
}

pub async fn prometheus(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    check_access(&request, &state)?;
    // A process whose engine is away still tells what it knows of itself.
    let snapshot = state.snapshot().await.ok();
    let text = state.shared.metrics.render(snapshot.as_deref(), state.store_pool());
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

pub async fn as_json(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    check_access(&request, &state)?;
    let snapshot = state.snapshot().await?;
    let queues: Map<String, Value> = snapshot
        .queues
        .iter()
        .map(|(name, info)| {
            let counts = &info.counts;
            let value = json!({
                "waiting": counts.waiting,
                "active": counts.active,
                "completed": counts.completed,
                "failed": counts.failed,
                "delayed": counts.delayed,
            });
            (name.to_string(), value)
        })
        .collect();
    let at = i64::try_from(snapshot.at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(HttpResponse::Ok().json(json!({"timestamp": at.map(|at| format!("{at:.3}")), "queues": queues})))
}
